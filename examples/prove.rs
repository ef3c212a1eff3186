//! Proves that no refresh token is lost or spent twice: the real operator in memory, with everything going wrong, and counts.
//!
//! `cargo run --release --example prove` makes a share of the runs, `-- --extended` all of them, `-- --seeds N` so many random
//! walks. A run that fails prints what happened in it; `SIM_SEED=n cargo test --test simulation random_walks` replays a walk.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "the simulation is shared with tests")]
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

#[path = "../tests/support/simulation/mod.rs"]
#[allow(dead_code, reason = "each binary uses a part of the simulation")]
mod simulation;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use simulation::count::Count;
use simulation::issuer::Kind;
use simulation::run::Start;
use simulation::scenarios::{FORGIVING, STRICT, faults, outages, people, walks};
use simulation::world::Setup;

/// Coprime to the number of faults, so that a sample has every fault at every effect.
const SAMPLE: usize = 401;

#[derive(Parser)]
struct Arguments {
    /// Make all runs, not a share of them: takes hours.
    #[arg(long)]
    extended: bool,
    /// How many random walks; default 10000, extended a million.
    #[arg(long)]
    seeds: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let strict = Setup::of(Kind::Strict);
    let seeds = arguments.seeds.unwrap_or(if arguments.extended { 1_000_000 } else { 10_000 });
    let (worlds, refreshes) = if arguments.extended { (100, 100) } else { (8, 50) };
    let nth = if arguments.extended { 1 } else { SAMPLE };
    let moments = Duration::from_millis(40);
    let starts = [Start::First, Start::Steady];
    let mut good = true;
    let mut tell = |name: &str, count: Count| {
        println!("{name}: {count}");
        count.problems.iter().for_each(|problem| println!("\n{problem}\n"));
        good &= count.is_good();
    };
    let each = |setups: &[Setup], one: &dyn Fn(Setup) -> Count| {
        let mut total = Count::default();
        for setup in setups {
            total += one(*setup);
        }
        total
    };
    let single = |setup| {
        let mut total = Count::default();
        for start in starts {
            total += faults::single(setup, start);
        }
        total
    };
    tell("every effect x 14 faults, strict", each(&STRICT, &single));
    tell("every effect x 14 faults, grace, key, overlap, reusable", each(&FORGIVING, &single));
    tell("pairs of faults, strict, first", faults::pairs(strict, Start::First, nth));
    tell("pairs of faults, strict, steady", faults::pairs(strict, Start::Steady, nth));
    tell(
        "a crash at every half millisecond",
        each(&STRICT, &|setup| faults::crash_at_every_moment(setup, Start::Steady, moments)),
    );
    tell("people at every effect", people::deeds(strict));
    tell("API server down 10 min from every effect", each(&STRICT, &outages::api_server_down));
    tell("commit denied 15 min", each(&STRICT, &outages::commit_denied));
    tell("SIGTERM at every effect", each(&STRICT, &outages::sigterm));
    tell("token API down, 5xx, 429 for an hour", outages::token_api(strict));
    tell("two replicas, no election", walks::two_replicas(worlds, refreshes));
    tell("lists and events that lag", walks::lagging_views(seeds / 100));
    tell("random walks", walks::random(0..seeds));
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
