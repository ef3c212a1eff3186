//! Proves, by running it, that no refresh token is ever lost or spent twice, and prints a table of what was counted.
//!
//! `cargo run --release --example prove` runs the share that every change has to pass, `-- --extended` all of it. The end is 1 if any claim
//! does not hold.

mod in_memory;
mod model;
#[path = "../../tests/support/oidc.rs"]
#[allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "written for tests, which use more and may panic")]
mod oidc_server;
#[path = "../../tests/support/proof.rs"]
mod proof;
#[path = "../../tests/model/protocol/mod.rs"]
#[allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "written for tests, which may panic")]
mod protocol;
#[path = "../../tests/real/runs/mod.rs"]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "written for tests, which may panic")]
mod real;
#[path = "../../tests/support/simulation/mod.rs"]
#[allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "written for tests, which may panic")]
mod simulation;
#[path = "../../tests/support/stage.rs"]
#[allow(dead_code, reason = "tests use more of the stage than the proofs do")]
mod stage;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use proof::{Extent, Row};
use tokio::time::Instant;

/// Proves that no refresh token is ever lost or spent twice.
#[derive(Parser)]
struct Arguments {
    /// Run everything; without it the share that every change has to pass.
    #[arg(long)]
    extended: bool,
    /// Run this section only; may be repeated.
    #[arg(long, value_name = "SECTION", value_parser = SECTIONS)]
    only: Vec<String>,
    /// How many random walks the simulation makes. Default: 10000, with --extended 100000. A million take two hours on two cores.
    #[arg(long, value_name = "N")]
    walks: Option<u64>,
}

/// Every section, in the order of the table.
const SECTIONS: [&str; 3] = ["model", "simulation", "real"];

impl Arguments {
    /// Runs a section. It hands over each row as soon as it stands; an error is about the means, not about the claims.
    fn run(&self, section: &str, report: &mut dyn FnMut(Row)) -> anyhow::Result<()> {
        let extent = if self.extended { Extent::Extended } else { Extent::Short };
        match section {
            "model" => model::prove(extent, report),
            "simulation" => in_memory::prove(extent, self.walks, report),
            _ => real::prove(extent, report),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (mut rows, mut failed) = (0, 0);
    let mut begun = Instant::now();
    say(&proof::head());
    for name in SECTIONS {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
            continue;
        }
        let ended = arguments.run(name, &mut |row| {
            rows += 1;
            failed += u32::from(!row.holds());
            say(&row.line(begun.elapsed().as_secs()));
            begun = Instant::now();
        });
        if let Err(error) = ended {
            failed += 1;
            say(&format!("section {name} cannot run: {error:#}\n"));
        }
    }
    say(&format!("\n{rows} rows, {failed} failed\n"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is no reason to stop: the end of this program still tells.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
