//! The table: a row for each figure, printed as soon as it stands.

use std::io::Write as _;
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::Setting;

/// A mebibyte in bytes.
pub const MIB: f64 = 1024.0 * 1024.0;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share of something else.
    Ratio,
    /// A share in percent.
    Percent,
    /// A number of things.
    Count,
    /// A number of things in a second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Nanoseconds.
    Nanoseconds,
    /// 1 024 × 1 024 bytes, as Kubernetes counts memory.
    Mebibytes,
    /// 1 000 000 bytes.
    Megabytes,
    /// 1 000 bytes.
    Kilobytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio | Self::Count => format!("{value:.2}"),
            Self::Percent => format!("{value:.2} %"),
            Self::PerSecond => format!("{value:.2}/s"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Nanoseconds => format!("{value:.0} ns"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Megabytes => format!("{value:.2} MB"),
            Self::Kilobytes => format!("{value:.1} kB"),
        }
    }
}

/// What a figure shall be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// There is no goal: the figure is for comparison.
    None,
    /// The median is this or more.
    AtLeast(f64),
    /// The median is this or less.
    AtMost(f64),
    /// Nothing, in no run.
    Nothing,
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Row {
    what: String,
    unit: Unit,
    goal: Goal,
    values: Vec<f64>,
    note: String,
}

impl Row {
    /// A figure with its value in each run.
    pub fn new(what: impl Into<String>, unit: Unit, values: Vec<f64>) -> Self {
        Self { what: what.into(), unit, goal: Goal::None, values, note: String::new() }
    }

    /// The same with a goal.
    pub fn goal(self, goal: Goal) -> Self {
        Self { goal, ..self }
    }

    /// The same with something that helps to read it.
    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// Whether the goal is met; none without a goal.
    fn meets(&self) -> Option<bool> {
        let middle = median(&self.values)?;
        match self.goal {
            Goal::None => None,
            Goal::AtLeast(goal) => Some(middle >= goal),
            Goal::AtMost(goal) => Some(middle <= goal),
            Goal::Nothing => Some(self.values.iter().all(|value| *value <= 0.0)),
        }
    }

    fn line(&self, verdict: &str) -> String {
        let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| self.unit.show(value));
        let least = self.values.iter().copied().min_by(f64::total_cmp);
        let most = self.values.iter().copied().max_by(f64::total_cmp);
        let spread = if self.values.len() < 2 { "one value".to_owned() } else { format!("{} - {}", show(least), show(most)) };
        let goal = match self.goal {
            Goal::None => String::new(),
            Goal::AtLeast(goal) => format!(">= {}", self.unit.show(goal)),
            Goal::AtMost(goal) => format!("<= {}", self.unit.show(goal)),
            Goal::Nothing => "0".to_owned(),
        };
        let line = columns(&self.what, &show(median(&self.values)), &spread, &goal, verdict);
        let line = format!("{line}  {}", self.note);
        line.trim_end().to_owned() + "\n"
    }
}

fn columns(what: &str, middle: &str, spread: &str, goal: &str, verdict: &str) -> String {
    format!("{what:<66} {middle:>12} {spread:>25} {goal:>12} {verdict:>7}")
}

/// The middle value, or the mean of the two in the middle; none of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2)?;
    let before = sorted.len().checked_sub(1).and_then(|last| sorted.get(last / 2))?;
    Some(before.midpoint(*middle))
}

/// The value below which `percent` of the values are.
pub fn quantile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().checked_sub(1)? * percent / 100).copied()
}

/// A count as a figure.
pub fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// Bytes as a figure; what is above 4 GiB is counted in KiB.
pub fn bytes(count: u64) -> f64 {
    u32::try_from(count).map_or_else(|_| u32::try_from(count / 1024).map_or(f64::INFINITY, f64::from) * 1024.0, f64::from)
}

/// How often in a second.
pub fn per_second(count: usize, time: Duration) -> f64 {
    number(count) / time.as_secs_f64()
}

/// Everything that is printed above the rows.
pub fn head(setting: &Setting) -> String {
    let cores = available_parallelism().map_or(1, NonZero::get);
    let quick = if setting.quick { "Small numbers (--quick): these figures mean nothing, and no goal is judged.\n" } else { "" };
    let columns = columns("what", "median", "least - most", "goal", "verdict");
    format!(
        "{} runs on {cores} cores. The operator shares them with etcd, kube-apiserver, the simulated token APIs and this program, and so \
         does the bare loop:\nratios are of the same run and tell more than absolute figures, which are this machine's.\n\
         program: {}\n{quick}\n{columns}\n",
        setting.runs,
        setting.program.display()
    )
}

/// The table so far.
pub struct Table {
    quick: bool,
    rows: usize,
    unmet: usize,
    failed: usize,
}

impl Table {
    /// An empty table; with small numbers no goal is judged.
    pub fn new(quick: bool) -> Self {
        Self { quick, rows: 0, unmet: 0, failed: 0 }
    }

    /// Prints a row.
    pub fn row(&mut self, row: &Row) {
        let met = row.meets().filter(|_| !self.quick);
        self.rows += 1;
        self.unmet += usize::from(met == Some(false));
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "",
        };
        say(&row.line(verdict));
    }

    /// A section that could not be measured.
    pub fn failure(&mut self, section: &str, error: &anyhow::Error) {
        self.failed += 1;
        say(&format!("section {section} cannot be measured: {error:#}\n"));
    }

    /// Prints how it ended; whether everything could be measured.
    pub fn finish(self) -> bool {
        let Self { rows, unmet, failed, .. } = self;
        say(&format!("\n{rows} rows, {unmet} goals not met, {failed} sections that could not be measured\n"));
        failed == 0
    }
}

/// Prints at once: whoever watches sees the row that is slow.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is no reason to stop: the end of this program still tells.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
