//! The object is deleted and made again under its name while its token is being refreshed.

use std::time::Duration;

use testbed::fake_cluster::{FakeCluster, Kind as Resource};

use crate::simulation::issuer::Kind;
use crate::simulation::run::{Start, begin, come_to_rest, effects, simulate};
use crate::simulation::world::{Journal, Setup, World};
use crate::simulation::{NAME, NAMESPACE};

/// What `kubectl replace --force` does: another object of this name with the same spec, and outputs that went with the old one.
fn make_again(cluster: &FakeCluster) {
    let object = cluster.get(Resource::RefreshableToken, NAMESPACE, NAME).unwrap();
    let spec = object["spec"].clone();
    cluster.delete_by_force(Resource::RefreshableToken, NAMESPACE, NAME);
    cluster.collect_garbage();
    let metadata = serde_json::json!({ "name": NAME, "namespace": NAMESPACE });
    cluster.put(Resource::RefreshableToken, serde_json::json!({ "metadata": metadata, "spec": spec }));
}

#[test]
fn bad_input_59_an_object_that_is_made_again_during_a_refresh_goes_on_with_the_chain() {
    for setup in [Setup::of(Kind::Strict), Setup::of(Kind::Strict).with(Journal::None)] {
        let last = effects(setup, Start::Steady);
        for index in 0..=last {
            simulate(async || {
                let mut world = World::new(setup);
                begin(&mut world, Start::Steady).await;
                let uid = world.object()["metadata"]["uid"].clone();
                let cluster = world.cluster.clone();
                world.control.act(index, Box::new(move || make_again(&cluster)));
                world.control.arm();
                world.pass(Duration::from_secs(30)).await;
                world.control.disarm();
                // An output that the refresh still wrote for the object that is gone goes as that object's outputs go.
                world.cluster.collect_garbage();
                come_to_rest(&mut world).await;
                let verdict = world.judge.verdict();
                let what = format!("{setup:?} at {index}: {verdict:?}\n{}", world.report());
                assert!(index == last || world.object()["metadata"]["uid"] != uid, "{what}");
                assert!(verdict.healthy && !verdict.lost && verdict.double_spends == 0, "{what}");
                assert_eq!((verdict.last_tries, &verdict.stalled), (0, &None), "{what}");
            });
        }
    }
}
