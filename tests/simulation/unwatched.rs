//! An operator that may not list Secrets: it asks for them by name.

use std::time::Duration;

use testbed::fake_cluster::Kind as Resource;

use crate::check;
use crate::simulation::NAMESPACE;
use crate::simulation::issuer::Kind;
use crate::simulation::run::{Start, simulate};
use crate::simulation::scenarios::faults;
use crate::simulation::world::{Setup, World};

const UNWATCHED: Setup = Setup { secrets_watch: false, ..Setup::of(Kind::Strict) };
const OUTPUT: &str = "demo-token";
/// What the flag's help promises, and a little for the refresh itself.
const NOTICED_WITHIN: Duration = Duration::from_secs(305);

#[test]
fn one_fault_at_any_effect() {
    check("unwatched, first", &faults::single(UNWATCHED, Start::First));
    check("unwatched, steady", &faults::single(UNWATCHED, Start::Steady));
}

#[test]
fn an_output_that_somebody_deletes_or_edits_is_mended_within_five_minutes() {
    simulate(async || {
        let mut world = World::new(Setup { lifetime: 7200, ..UNWATCHED });
        world.start();
        assert!(world.settle().await, "{}", world.report());
        let calls = world.control.calls();
        world.cluster.delete(Resource::Secret, NAMESPACE, OUTPUT);
        world.pass(NOTICED_WITHIN).await;
        assert!(world.judge.verdict().healthy, "{}", world.report());
        world
            .cluster
            .edit(Resource::Secret, NAMESPACE, OUTPUT, |secret| secret["metadata"]["annotations"] = serde_json::json!({}));
        world.pass(NOTICED_WITHIN).await;
        let hash = "refreshabletoken.io/content-hash";
        let output = world.cluster.get(Resource::Secret, NAMESPACE, OUTPUT).unwrap();
        assert!(output["metadata"]["annotations"][hash].is_string(), "{output:#}");
        assert_eq!(world.control.calls(), calls, "the token API is not called for that: {}", world.report());
    });
}

#[test]
fn an_idle_object_costs_a_request_for_each_secret_in_five_minutes() {
    simulate(async || {
        let mut world = World::new(Setup { lifetime: 7200, ..UNWATCHED });
        world.start();
        assert!(world.settle().await, "{}", world.report());
        world.control.arm();
        world.pass(Duration::from_secs(1500)).await;
        let log = world.control.log();
        let secrets: Vec<&String> = log.iter().filter(|line| line.contains(" Secret ")).collect();
        assert!(secrets.iter().all(|line| line.contains("Get Secret demo-")), "{log:#?}");
        assert!((9..=11).contains(&secrets.len()), "five times two in 25 minutes: {log:#?}");
    });
}
