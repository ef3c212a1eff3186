//! The operator stops and starts: no call because of it, and chains go on.

use std::time::Duration;

use testbed::issuer::Api as Kind;

use crate::manifest::keys;
use crate::sight::wait;
use crate::world::{Scene, World, alone};

#[test]
fn an_operator_that_starts_again_goes_on_where_the_other_stopped() {
    alone(async {
        let world = World::bare().await.unwrap();
        let scene = world.scene("restart").await;
        let operator = world.operator(&["restart"]).await.unwrap();
        let (far, far_pair) = scene.begun("far").await;
        let near_pair = scene.pair(Kind::JfrogAccess, "near", Duration::from_secs(30)).await;
        scene.put_seed("near", &keys(&near_pair)).await;
        scene.put(&scene.access("near", "9s")).await;
        scene.refreshed("near", 1).await;
        scene.begun("kept").await;
        let mended = mend_while_stopped(scene, operator).await;

        let before = requests(&world);
        let operator = world.operator(&["restart"]).await.unwrap();
        let count = scene.status("near").await.chain_generation.unwrap();
        scene.refreshed("near", count + 2).await;
        scene.until_secret("far-token", "put back", |secret| secret.data == mended.data).await;
        scene.holds_newest("near", &near_pair).await;
        scene.healthy("far").await;
        assert_eq!(scene.calls(&far_pair), 1, "a restart is no reason for a call");
        // The log is written just after the answer: the last lines may be late.
        let about = |name: &str| -> Vec<String> {
            requests(&world).into_iter().skip(before.len()).filter(|request| request.contains(name)).collect()
        };
        scene.event("far", "SecretRestored").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let about_far = about("far");
        let event = |request: &&String| request.starts_with("create far.");
        let all = ["get far-state", "create far-token", "update far"];
        let once = all.into_iter().all(|request| about_far.iter().filter(|found| *found == request).count() == 1);
        let events = about_far.iter().filter(event).count();
        assert!(once && events == 1 && about_far.len() == 4, "{about_far:?} after {before:?}");
        assert_eq!(about("kept"), Vec::<String>::new(), "nothing was missing");

        recreated(scene, &far, &far_pair).await;
        operator.stop().await.unwrap();
    });
}

/// Deletes an output while no operator runs.
async fn mend_while_stopped(scene: Scene<'_>, operator: crate::stage::Running) -> k8s_openapi::api::core::v1::Secret {
    operator.stop().await.unwrap();
    // The status says in whole seconds when an output was written: in the same second it would not change.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let secret = scene.secret("far-token").await;
    scene.remove("far-token").await;
    secret
}

/// Requests of the operator so far, without watches.
fn requests(world: &World) -> Vec<String> {
    let events = world.plane.audit_events().unwrap().into_iter();
    let ours = events.filter(|event| event.key.user == "operator" && !["watch", "list"].contains(&event.key.verb.as_str()));
    ours.map(|event| format!("{} {}", event.key.verb, event.name)).collect()
}

/// An object that is deleted and made again goes on with the state Secret.
async fn recreated(scene: Scene<'_>, object: &serde_json::Value, pair: &testbed::issuer::Pair) {
    let uid = scene.objects().get("far").await.unwrap().metadata.uid;
    scene.objects().delete("far", &kube::api::DeleteParams::default()).await.unwrap();
    wait("the end of the object", || async { scene.objects().get_opt("far").await.unwrap().is_none().then_some(()) }).await;
    // What the garbage collector does.
    scene.remove("far-token").await;
    scene.put(object).await;
    let again = scene.healthy("far").await;
    assert_ne!(again.metadata.uid, uid);
    assert_eq!(scene.calls(pair), 1, "the retained state has a token that lives");
    scene.force("far", "go on").await;
    scene.refreshed("far", 2).await;
    scene.holds_newest("far", pair).await;
    scene.never_twice(pair);
}
