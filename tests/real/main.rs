//! The operator's binary as a process of its own, on a real Kubernetes API server, with a proxy on both sides that breaks things, and
//! SIGKILL. The judge is the token issuer. `cargo run --release --example prove -- --extended` runs all of it, this the short extent.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests may panic as tests do")]

#[path = "../support/oidc.rs"]
#[allow(dead_code, reason = "tests use more of the server")]
mod oidc_server;
#[path = "../support/proof.rs"]
#[allow(dead_code, reason = "tests print no table")]
mod proof;
#[path = "runs/mod.rs"]
mod real;
#[path = "../support/stage.rs"]
#[allow(dead_code, reason = "each test binary uses a part of the stage")]
mod stage;

use proof::{Extent, Row};

/// Runs one row and fails with its violations. What cannot be run here is skipped, unless nobody would see that.
#[expect(clippy::print_stdout, reason = "the figures are what the test is for")]
fn holds(row: &Row) {
    println!("{}{}", proof::head(), row.line(0));
    assert!(row.holds(), "{}", row.line(0));
    let unseen = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(row.skipped.is_none() || !unseen, "{}", row.line(0));
}

#[test]
fn every_request_under_every_fault() {
    holds(&real::faults(Extent::Short));
}

#[test]
fn sigterm_at_every_request() {
    holds(&real::terminations(Extent::Short));
}

#[test]
fn the_api_server_goes_down_at_every_request() {
    holds(&real::outages(Extent::Short));
}

#[test]
fn sigkill_at_random_moments() {
    holds(&real::kills(Extent::Short));
}

#[test]
fn sigkill_at_system_calls() {
    holds(&real::syscalls(Extent::Short));
}

#[test]
fn an_unknown_outcome_is_tried_once_more_when_the_access_token_has_ended() {
    holds(&real::heal(Extent::Short));
}

#[test]
fn sigterm_again_while_the_only_copy_is_in_memory() {
    holds(&real::stop(Extent::Short));
}

#[test]
fn a_commit_that_is_refused_for_a_while() {
    holds(&real::denied(Extent::Short));
}

#[test]
fn sigkill_with_a_server_that_none_of_us_wrote() {
    holds(&real::oidc(Extent::Short));
}

#[test]
fn two_replicas_at_work_on_one_object() {
    holds(&real::replicas(Extent::Short));
}

#[test]
fn the_leader_ends_and_the_other_replica_goes_on() {
    holds(&real::leaders(Extent::Short));
}

#[test]
fn objects_split_over_replicas_of_which_one_is_killed() {
    holds(&real::shards(Extent::Short));
}
