//! The real operator against everything that can go wrong, in memory and in paused time.
//!
//! These are samples for a normal run; `cargo run --release --example prove -- --extended` makes all runs. `SIM_SEED=n` replays
//! one random walk.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]
#![expect(clippy::print_stdout, reason = "the counts are for the reader")]

mod bombs;
mod crowd;
mod deletion;
mod mark;
mod quiet;
mod recreated;
mod rollout;
#[path = "../support/simulation/mod.rs"]
#[allow(dead_code, reason = "each binary uses a part of the simulation")]
mod simulation;
mod unwatched;

use std::time::Duration;

use simulation::count::Count;
use simulation::fault::Fault;
use simulation::issuer::Kind;
use simulation::run::{Start, run};
use simulation::scenarios::{FORGIVING, STRICT, faults, outages, people, walks};
use simulation::world::{Setup, World};

/// Prints what was counted, and fails on what must not be.
fn check(name: &str, count: &Count) {
    println!("{name}: {count}");
    assert!(count.is_good(), "{name}: {count}\n{}", count.problems.join("\n\n"));
}

#[test]
fn one_fault_at_any_effect_of_a_strict_refresh() {
    for setup in STRICT {
        check(&format!("first {setup:?}"), &faults::single(setup, Start::First));
        check(&format!("steady {setup:?}"), &faults::single(setup, Start::Steady));
    }
}

#[test]
fn one_fault_at_an_issuer_that_forgives_loses_nothing_at_any_point() {
    for setup in FORGIVING {
        for start in [Start::First, Start::Steady] {
            let count = faults::single(setup, start);
            check(&format!("{start:?} {setup:?}"), &count);
            assert_eq!((count.allowed_losses, count.given_up), (0, 0), "{start:?} {setup:?}");
        }
    }
}

#[test]
fn one_fault_where_a_token_works_once_only_now_and_then() {
    for start in [Start::First, Start::Steady] {
        check(&format!("{start:?}"), &faults::single(Setup::of(Kind::Sometimes), start));
    }
}

#[test]
fn pairs_of_faults_sampled() {
    for start in [Start::First, Start::Steady] {
        check(&format!("{start:?}"), &faults::pairs(Setup::of(Kind::Strict), start, faults::SAMPLE));
    }
}

/// Found among the pairs: while a successor looks after a claim, it is told once that there is no state Secret, and takes the answer
/// of the refresh before for the newest.
#[test]
fn an_answer_of_long_ago_is_not_taken_for_the_newest() {
    let setup = Setup::of(Kind::Strict);
    for (crash, wrong) in [((3, Fault::CrashBefore), 14), ((3, Fault::CrashUnapplied), 14), ((2, Fault::CrashApplied), 13)] {
        let pair = [crash, (wrong, Fault::Refused(404))];
        let what = || format!("{pair:?}");
        let plan = |world: &World| pair.iter().for_each(|(index, fault)| world.control.fault(*index, *fault));
        check(&what(), &run(setup, Start::Steady, plan, what));
    }
}

/// The first try is refused unclearly, and the journal keeps that; the answer to its repeat goes into escrow only, for neither the
/// journal nor the state Secret takes it. By the time it is looked for the grace is over.
#[test]
fn the_answer_to_a_repeat_is_found_in_escrow() {
    let setup = Setup::of(Kind::Grace(12));
    let faults = [(4, Fault::Refused(503)), (7, Fault::Refused(503)), (8, Fault::Hang)];
    let plan = |world: &World| faults.iter().for_each(|(index, fault)| world.control.fault(*index, *fault));
    let count = run(setup, Start::Steady, plan, || format!("{faults:?}"));
    check("repeat", &count);
    assert_eq!((count.allowed_losses, count.given_up), (0, 0));
}

#[test]
fn a_crash_at_every_moment_of_a_refresh() {
    for setup in STRICT {
        check(&format!("{setup:?}"), &faults::crash_at_every_moment(setup, Start::Steady, Duration::from_millis(40)));
    }
}

#[test]
fn people_at_every_effect() {
    check("people", &people::deeds(Setup::of(Kind::Strict)));
}

#[test]
fn people_at_every_effect_of_two_replicas() {
    check("people", &people::deeds(Setup { skews: &walks::ALIKE, ..Setup::of(Kind::Strict) }));
}

#[test]
fn the_api_server_is_down_from_any_effect() {
    for setup in STRICT {
        check(&format!("{setup:?}"), &outages::api_server_down(setup));
    }
}

#[test]
fn the_commit_is_denied() {
    for setup in STRICT {
        check(&format!("{setup:?}"), &outages::commit_denied(setup));
    }
}

#[test]
fn sigterm_at_any_effect() {
    for setup in STRICT {
        check(&format!("{setup:?}"), &outages::sigterm(setup));
    }
}

#[test]
fn the_token_api_fails_for_an_hour() {
    check("token API", &outages::token_api(Setup::of(Kind::Strict)));
}

#[test]
fn two_replicas_without_an_election() {
    check("two replicas", &walks::two_replicas(4, 25));
}

#[test]
fn lists_and_events_that_lag() {
    check("lagging views", &walks::lagging_views(20));
}

#[test]
fn random_walks() {
    if let Some(seed) = std::env::var_os("SIM_SEED") {
        let (count, log) = walks::walk(seed.to_str().and_then(|seed| seed.parse().ok()).unwrap());
        println!("{}", log.join("\n"));
        return check("replayed", &count);
    }
    check("random walks", &walks::random(0..10_000));
}

#[test]
fn random_walks_of_chains_that_begin_anew() {
    check("random walks of chains that begin anew", &walks::random(walks::CREATED..walks::CREATED + 2_000));
}

#[test]
fn random_walks_at_an_api_that_can_be_asked() {
    check("random walks at an API that can be asked", &walks::random(walks::ASKED..walks::ASKED + 2_000));
}

/// Walks that ended badly once, and are not among those of a normal run.
#[test]
fn walks_that_ended_badly_once() {
    for seed in [12_286, 46_829, 49_679, 68_395, 70_553, 89_955, 89_973, 95_305, 99_936] {
        check(&format!("SIM_SEED={seed}"), &walks::walk(seed).0);
    }
}

#[test]
fn a_seed_gives_the_same_walk_again() {
    for seed in 0..10 {
        let ((one, first), (two, second)) = (walks::walk(seed), walks::walk(seed));
        let differ = first.iter().zip(&second).position(|(a, b)| a != b);
        let around = |log: &[String]| differ.map(|at| log[at.saturating_sub(3)..log.len().min(at + 2)].join("\n"));
        assert_eq!(around(&first), around(&second), "seed {seed}");
        assert_eq!(one.to_string(), two.to_string(), "seed {seed}");
    }
}
