//! A seed counts once: a changed one begins a new chain, an old one does nothing.

use serde_json::json;

use crate::manifest::keys;
use crate::world::test;

#[test]
fn a_changed_seed_begins_a_new_chain_and_an_old_one_does_nothing() {
    test("reseed", |scene| async move {
        let (_, first) = scene.begun("a").await;
        scene.event("a", "SeedAdopted").await;
        let second = scene.hour("a").await;
        assert_ne!(first.chain, second.chain);
        scene.put_seed("a", &keys(&second)).await;
        scene.refreshed("a", 2).await;
        scene.holds_newest("a", &second).await;
        assert_eq!((scene.calls(&first), scene.calls(&second)), (1, 1));

        scene.put_seed("a", &keys(&first)).await;
        let note = scene.event("a", "AlreadySpent").await;
        assert!(note.contains("ignored"), "{note}");
        scene.quiet(&first, 2).await;
        scene.force("a", "go on").await;
        scene.refreshed("a", 3).await;
        scene.holds_newest("a", &second).await;
        assert_eq!((scene.calls(&first), scene.calls(&second)), (1, 2), "the chain goes on from the state");
        scene.healthy("a").await;
    });
}

#[test]
fn the_same_seed_applied_again_does_nothing() {
    test("reseed-same", |scene| async move {
        let (_, pair) = scene.begun("a").await;
        let version = scene.healthy("a").await.status.unwrap().seed.unwrap().resource_version;
        scene.put_seed("a", &keys(&pair)).await;
        scene.kubectl(&["annotate", "secret", "a-seed", "touched=yes"], None).await.checked().unwrap();
        let read_again = |object: &refreshable_token_operator::api::RefreshableToken| {
            object.status.as_ref().unwrap().seed.as_ref().unwrap().resource_version != version
        };
        scene.until("a", "another look at the seed", read_again).await;
        scene.remove("a-seed").await;
        scene.quiet(&pair, 2).await;
        scene.put_seed("a", &keys(&pair)).await;
        scene.quiet(&pair, 2).await;
        assert_eq!(scene.calls(&pair), 1);
        scene.healthy("a").await;
        assert!(!scene.events("a").await.iter().any(|(reason, _)| reason == "AlreadySpent"), "the seed in use is no old seed");
    });
}

#[test]
fn a_new_seed_is_not_forgotten_when_it_cannot_be_taken_at_once() {
    test("reseed-later", |scene| async move {
        let (mut object, first) = scene.begun("a").await;
        let foreign = scene.secret_manifest("foreign", &[("note", "not yours")]);
        scene.put(&foreign).await;
        let outputs = object["spec"]["outputs"].clone();
        object["spec"]["outputs"] = json!([outputs[0], {"secretName": "foreign", "opaque": {}}]);
        scene.put(&object).await;
        scene.stalled("a", "OutputConflict").await;
        let second = scene.hour("a").await;
        scene.put_seed("a", &keys(&second)).await;
        scene.quiet(&second, 3).await;
        assert_eq!(scene.calls(&second), 0, "nothing is spent while an output is in the way");
        object["spec"]["outputs"] = outputs;
        scene.put(&object).await;
        scene.refreshed("a", 2).await;
        scene.holds_newest("a", &second).await;
        assert_eq!((scene.calls(&first), scene.calls(&second)), (1, 1));
        scene.healthy("a").await;
    });
}
