//! What the operator costs and how fast it is, measured by running it: `cargo bench --bench operator` prints one table, ratios first.
//!
//! The operator runs as a process of its own on a real API server, with simulated token APIs. Every figure is taken in each of `--runs` runs;
//! the table shows their median and both ends, and whether the median meets its goal.
//!
//! | section | what is measured |
//! |---|---|
//! | `ratio` | refreshes per second, as a share of what a bare loop of the same writes reaches on the same API server in the same minute |
//! | `cost` | requests to the API server, bytes and CPU of one refresh |
//! | `idle` | memory, requests and start-up with 100, 1 000 and 10 000 objects that have nothing to do |
//! | `storm` | 10 000 objects that are due at once |
//! | `shards` | refreshes per second of a slow token API by three replicas that split the objects, as a multiple of one |
//! | `latency` | from the answer of a token API to the journal, the state Secret and the output |
//! | `core` | nanoseconds of a decision, a conclusion and a rendered output |
//! | `size` | bytes of the program and of the image |

mod bare;
#[path = "../../tests/refresh"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "written for tests, which use more and may panic"
)]
mod chain {
    pub mod issuer;
    pub mod operator;
    pub mod plan;
    pub mod scenario;
    pub mod world;
}
mod cost;
mod fleet;
mod idle;
#[path = "../../examples/e2e/image.rs"]
mod image;
mod latency;
mod plot;
mod process;
mod pure;
mod ratio;
mod shards;
mod size;
#[path = "../../tests/support/stage.rs"]
#[allow(dead_code, reason = "tests use more of the stage than this does")]
mod stage;
mod storm;
mod table;
mod wave;
mod wire;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;

use table::{Table, say};

/// Measures the operator on a real Kubernetes API server with simulated token APIs, and prints one table.
#[derive(Parser)]
struct Arguments {
    /// Small numbers: shows within minutes that everything runs. Its figures mean nothing, and no goal is judged by them.
    #[arg(long)]
    quick: bool,
    /// Measure this section only; may be repeated.
    #[arg(long, value_name = "SECTION", value_parser = SECTIONS)]
    only: Vec<String>,
    /// How often everything is measured.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// Measure the static program that the image is made of. Default: the program that cargo built beside this one, which is linked to the
    /// C library of this machine and can send traces (--features otlp), as the tests run it.
    #[arg(long = "static")]
    of_image: bool,
    /// Measure this program: the operator of another commit, or built in another way, for a before and after.
    #[arg(long, value_name = "FILE", conflicts_with = "of_image")]
    program: Option<PathBuf>,
    /// Draw memory and start-up by the number of objects into this file (SVG). Needs the section idle.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// `cargo bench` says that this is a benchmark. Without it, as under `cargo test --benches`, nobody waits for an hour.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Every section, in the order of the table.
const SECTIONS: [&str; 8] = ["ratio", "cost", "idle", "storm", "shards", "latency", "core", "size"];

/// How everything is measured.
pub struct Setting {
    /// Small numbers.
    pub quick: bool,
    /// How often.
    pub runs: usize,
    /// The operator.
    pub program: PathBuf,
}

impl Setting {
    /// The number for a measurement, or the one that only shows that it runs.
    pub fn pick<T>(&self, measured: T, quick: T) -> T {
        if self.quick { quick } else { measured }
    }
}

impl Arguments {
    fn setting(&self) -> anyhow::Result<Setting> {
        let program = if let Some(program) = &self.program {
            // It is started in a folder of its own.
            program.canonicalize().with_context(|| format!("find {}", program.display()))?
        } else if self.of_image {
            let program = image::operator()?;
            ensure!(program.obstacle().is_none(), "{}", program.obstacle().unwrap_or_default());
            program.path
        } else {
            env!("CARGO_BIN_EXE_refreshable-token-operator").into()
        };
        Ok(Setting { quick: self.quick || !self.bench, runs: self.runs.into(), program })
    }

    fn wants(&self, section: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == section)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stage::crypto();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("nothing can be measured: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Whether every section could be measured; a goal that is not met is no failure.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    ensure!(arguments.plot.is_none() || arguments.wants("idle"), "--plot draws what the section idle measures");
    let setting = arguments.setting()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    say(&table::head(&setting));
    let (mut table, mut growth) = (Table::new(setting.quick), Vec::new());
    for section in SECTIONS.into_iter().filter(|section| arguments.wants(section)) {
        if let Err(error) = runtime.block_on(measure(section, &setting, &mut table, &mut growth)) {
            table.failure(section, &error);
        }
    }
    if let Some(path) = arguments.plot.as_ref().filter(|_| !growth.is_empty()) {
        std::fs::write(path, plot::svg(&growth)).with_context(|| format!("write {}", path.display()))?;
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(table.finish())
}

async fn measure(section: &str, setting: &Setting, table: &mut Table, growth: &mut Vec<plot::Point>) -> anyhow::Result<()> {
    match section {
        "ratio" => ratio::measure(setting, table).await,
        "cost" => cost::measure(setting, table).await,
        "idle" => idle::measure(setting, table, growth).await,
        "storm" => storm::measure(setting, table).await,
        "shards" => shards::measure(setting, table).await,
        "latency" => latency::measure(setting, table).await,
        "core" => pure::measure(setting, table),
        _ => size::measure(setting, table),
    }
}
