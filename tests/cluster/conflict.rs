//! Two objects that want the same, and Secrets that belong to somebody else: the second is refused, and nobody's data changes.

use refreshable_token_operator::api::{ConditionStatus, ConditionType};
use serde_json::{Value, json};

use crate::manifest::{LONG, keys};
use crate::world::{Scene, condition, test};

/// The first object goes on: it is healthy and refreshes when asked.
async fn goes_on(scene: Scene<'_>, pair: &testbed::issuer::Pair) {
    scene.force("first", "go on").await;
    scene.refreshed("first", 2).await;
    scene.holds_newest("first", pair).await;
    scene.healthy("first").await;
}

/// A second object that names what the first one names, by this change.
async fn second(scene: Scene<'_>, change: impl FnOnce(&mut Value)) -> testbed::issuer::Pair {
    let pair = scene.hour("second").await;
    scene.put_seed("second", &keys(&pair)).await;
    let mut object = scene.access("second", LONG);
    change(&mut object);
    scene.put(&object).await;
    pair
}

#[test]
fn bad_input_29_the_second_object_with_the_same_output_is_refused() {
    test("conflict-output", |scene| async move {
        let (_, first) = scene.begun("first").await;
        let pair = second(scene, |object| object["spec"]["outputs"][0]["secretName"] = "first-token".into()).await;
        let object = scene.stalled("second", "OutputConflict").await;
        assert!(Scene::message(&object, ConditionType::Stalled).contains("conflict-output/first"));
        assert_eq!(condition(&object, ConditionType::Ready).unwrap().0, ConditionStatus::False);
        goes_on(scene, &first).await;
        assert_eq!(scene.calls(&pair), 0);
    });
}

#[test]
fn the_second_object_with_the_same_state_secret_is_refused() {
    test("conflict-state", |scene| async move {
        let (_, first) = scene.begun("first").await;
        let pair = second(scene, |object| object["spec"]["stateSecretName"] = "first-state".into()).await;
        scene.stalled("second", "StateConflict").await;
        goes_on(scene, &first).await;
        assert_eq!(scene.calls(&pair), 0);
    });
}

#[test]
fn the_second_object_with_the_same_seed_is_refused() {
    test("conflict-seed", |scene| async move {
        let (_, first) = scene.begun("first").await;
        let seed = json!({"seedSecretRef": {"name": "first-seed"}});
        let pair = second(scene, |object| object["spec"]["credential"] = seed).await;
        scene.stalled("second", "SeedInUse").await;
        goes_on(scene, &first).await;
        assert_eq!(scene.calls(&pair), 0);
    });
}

#[test]
fn a_token_begins_one_chain_however_many_seeds_hold_it() {
    test("conflict-token", |scene| async move {
        let (_, first) = scene.begun("older").await;
        let (_, second) = scene.begun("first").await;
        scene.put(&scene.access("third", LONG)).await;
        scene.put_seed("third", &keys(&second)).await;
        scene.stalled("third", "SeedInUse").await;
        // An older object has no better right to a token that a younger one took, nor to one that it has spent since.
        scene.put_seed("older", &keys(&second)).await;
        scene.stalled("older", "SeedInUse").await;
        goes_on(scene, &second).await;
        let other = scene.hour("first").await;
        scene.put_seed("first", &keys(&other)).await;
        scene.refreshed("first", 3).await;
        scene.kubectl(&["annotate", "secret", "third-seed", "touched=yes"], None).await.checked().unwrap();
        scene.stalled("third", "SeedInUse").await;
        scene.quiet(&second, 2).await;
        assert_eq!((scene.calls(&first), scene.calls(&second)), (1, 2));
        scene.never_twice(&second);
    });
}

#[test]
fn bad_input_30_a_secret_of_somebody_else_is_not_touched() {
    test("conflict-foreign", |scene| async move {
        let pair = scene.hour("a").await;
        scene.put_seed("a", &keys(&pair)).await;
        let mut foreign = Vec::new();
        for (name, type_, immutable) in [
            ("a-token", "Opaque", false),
            ("b-token", "Opaque", true),
            ("c-token", "example.com/own", false),
            ("d-state", "Opaque", false),
        ] {
            let mut secret = scene.secret_manifest(name, &[("note", "not yours"), ("access_token", "mine")]);
            secret["metadata"]["labels"] = json!({});
            secret["type"] = type_.into();
            secret["immutable"] = immutable.into();
            scene.put(&secret).await;
            foreign.push(scene.secret(name).await);
        }
        for (name, reason) in [("a", "OutputConflict"), ("b", "OutputConflict"), ("c", "OutputConflict"), ("d", "StateConflict")]
        {
            let pair = scene.hour(name).await;
            scene.put_seed(name, &keys(&pair)).await;
            scene.put(&scene.access(name, LONG)).await;
            scene.stalled(name, reason).await;
            assert_eq!(scene.calls(&pair), 0, "{name}");
        }
        for before in foreign {
            assert_eq!(scene.secret(before.metadata.name.as_deref().unwrap()).await, before, "not a byte");
        }
    });
}

#[test]
fn bad_input_32_an_output_that_was_made_immutable_is_told_before_anything_is_spent() {
    test("conflict-immutable", |scene| async move {
        let (_, pair) = scene.begun("a").await;
        scene.kubectl(&["patch", "secret", "a-token", "-p", r#"{"immutable": true}"#], None).await.checked().unwrap();
        let before = scene.secret("a-token").await;
        scene.force("a", "now").await;
        let object = scene.stalled("a", "OutputImmutable").await;
        assert_eq!(condition(&object, ConditionType::SecretsSynced).unwrap().0, ConditionStatus::False);
        assert_eq!(scene.calls(&pair), 1, "nothing was spent");
        assert_eq!(scene.secret("a-token").await, before);
        scene.remove("a-token").await;
        scene.until_secret("a-token", "made anew", |secret| secret.immutable.is_none() && secret.data == before.data).await;
        scene.force("a", "again").await;
        scene.refreshed("a", 2).await;
        scene.holds_newest("a", &pair).await;
        scene.healthy("a").await;
    });
}
