//! Quiet where nothing can be done: an operator that waits for a person does not write the same things again and again.

use std::time::Duration;

use serde_json::json;
use testbed::fake_cluster::Kind as Resource;

use crate::simulation::issuer::Kind;
use crate::simulation::run::simulate;
use crate::simulation::scenarios::walks::{APART, LONG};
use crate::simulation::world::{Setup, World};
use crate::simulation::{NAME, NAMESPACE};

/// For some minutes one replica calls the token expired and the other calls it fresh, and each would write so. `World::until` ends a
/// run that never comes to rest.
#[test]
fn two_replicas_whose_clocks_differ_do_not_quarrel_about_a_refused_object() {
    simulate(async || {
        let mut world = World::new(Setup { skews: &APART, lifetime: LONG, ..Setup::of(Kind::Strict) });
        world.start();
        assert!(world.settle().await, "{}", world.report());
        world.cluster.edit(Resource::RefreshableToken, NAMESPACE, NAME, |object| {
            let output = object["spec"]["outputs"][0].clone();
            object["spec"]["outputs"] = json!([output, output]);
        });
        world.pass(Duration::from_secs(3 * 3600)).await;
        assert_eq!(world.judge.stalled().as_deref(), Some("InvalidSpec"), "{}", world.report());
    });
}
