//! What is printed: a row for each thing shown, as soon as it is.

use std::fmt::Write as _;
use std::io::Write as _;

use tokio::time::Instant;

/// A table of one place; says how long each row took since the one before.
pub struct Table {
    place: &'static str,
    since: Instant,
    failed: usize,
    /// Printed below the table, each under a heading.
    appendix: Vec<(String, String)>,
}

/// The heading of all tables.
pub fn head() -> String {
    format!("{:<8} {:<14} {:>7}  {}\n", "place", "step", "seconds", "shown")
}

impl Table {
    /// An empty table; the first row counts from here.
    pub fn new(place: &'static str) -> Self {
        Self { place, since: Instant::now(), failed: 0, appendix: Vec::new() }
    }

    /// What a step has shown, a line each.
    pub fn row(&mut self, step: &str, shown: &[String]) {
        let seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        let mut text = String::new();
        for (index, line) in shown.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = if index == 0 {
                writeln!(text, "{:<8} {step:<14} {seconds:>7.1}  {line}", self.place)
            } else {
                writeln!(text, "{:<32} {line}", "")
            };
        }
        say(&text);
    }

    /// A step that did not show what it shall.
    pub fn failure(&mut self, step: &str, error: &anyhow::Error) {
        self.failed += 1;
        self.row(step, &[format!("FAILED: {error:#}")]);
    }

    /// Something long, for the end.
    pub fn append(&mut self, title: &str, text: &str) {
        self.appendix.push((title.to_owned(), text.to_owned()));
    }

    /// Prints what is left; whether every row holds.
    pub fn finish(self) -> bool {
        for (title, text) in &self.appendix {
            say(&format!("\n{title}\n{text}\n"));
        }
        self.failed == 0
    }
}

/// Prints at once: whoever watches sees the step that is slow.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is no reason to stop: the end of this program still tells.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
