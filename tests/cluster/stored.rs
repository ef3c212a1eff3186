//! Objects that were stored under older rules: they do not stop the others, and what the rules forbid is refused in code too.

use std::path::Path;

use refreshable_token_operator::api::{CLEANUP_FINALIZER, ConditionType};
use serde_json::{Value, json};

use crate::manifest::{LONG, keys};
use crate::sight::{Kstatus, kstatus};
use crate::stage::Running;
use crate::world::{Scene, World, alone};

/// Drops every rule of a schema that a value can break; types and required fields stay.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for rule in ["enum", "pattern", "x-kubernetes-validations", "minLength", "maxLength", "minimum", "maximum"] {
                if fields.get(rule).is_some_and(|rule| !rule.is_object()) {
                    fields.remove(rule);
                }
            }
            fields.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Applies the CRD without its rules, and again as it is; in between `store` puts objects that no rule would let in.
async fn under_an_older_schema<F: Future<Output = ()>>(scene: Scene<'_>, store: F) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/refreshabletokens.yaml");
    let shipped = std::fs::read_to_string(path).unwrap();
    let mut crd: Value = serde_saphyr::from_str(&shipped).unwrap();
    loosen(&mut crd["spec"]["versions"]);
    let apply = |text: String| async move {
        scene.world.plane.kubectl(&["replace", "-f", "-"], Some(&text)).await.unwrap().checked().unwrap();
    };
    apply(crd.to_string()).await;
    // The schema is served a moment later.
    let mut probe = scene.access("probe", "an hour");
    probe["spec"]["suspend"] = true.into();
    while scene.try_put(&probe).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    store.await;
    apply(shipped).await;
}

#[test]
fn an_object_that_does_not_decode_does_not_stop_the_others() {
    alone(async {
        let world = World::bare().await.unwrap();
        let scene = world.scene("stored").await;
        let bad = scene.hour("bad").await;
        scene.put_seed("bad", &keys(&bad)).await;
        let mut bad_object = scene.access("bad", LONG);
        bad_object["spec"]["provider"]["jfrogAccess"]["tls"] = json!({"caBundleRef": {"kind": "Folder", "name": "ca"}});
        let mut held = scene.access("held", LONG);
        held["metadata"]["finalizers"] = json!([CLEANUP_FINALIZER, "example.com/other"]);
        held["spec"]["deletionPolicy"] = "Orphan".into();
        let mut metadata = scene.access("metadata", LONG);
        metadata["spec"]["provider"]["jfrogAccess"]["url"] = "https://169.254.169.254".into();
        let mut localhost = scene.access("localhost", LONG);
        localhost["spec"]["provider"]["jfrogAccess"]["url"] = "https://localhost:8443".into();
        let mut invalid = scene.access("invalid", LONG);
        invalid["spec"]["outputs"][0]["secretName"] = "../../default/secrets/other".into();
        let pairs = [scene.hour("metadata").await, scene.hour("localhost").await, scene.hour("invalid").await];
        under_an_older_schema(scene, async {
            scene.put(&bad_object).await;
            scene.put(&held).await;
            scene.put(&scene.access("worse", "an hour")).await;
            for (object, pair) in [&metadata, &localhost, &invalid].into_iter().zip(&pairs) {
                scene.put_seed(object["metadata"]["name"].as_str().unwrap(), &keys(pair)).await;
                scene.put(object).await;
            }
        })
        .await;

        // Without a policy: loopback is not allowed, whatever name leads there.
        let strict =
            Running::start_under("rules: []", &world.plane.user("operator").unwrap().yaml, &["stored"], None).await.unwrap();
        for name in ["metadata", "localhost"] {
            scene.stalled(name, "EndpointNotAllowed").await;
        }
        scene.stalled("invalid", "InvalidSpec").await;
        strict.stop().await.unwrap();

        let operator = world.operator(&["stored"]).await.unwrap();
        let (_, good) = scene.begun("good").await;
        let raw = undecodable(scene).await;
        assert_eq!(raw["status"]["observedGeneration"], raw["metadata"]["generation"]);
        scene.event("bad", "InvalidSpec").await;
        // The API server refuses a status while a CEL rule does not hold for the spec: the event must do.
        scene.event("worse", "InvalidSpec").await;
        scene.force("good", "go on").await;
        scene.refreshed("good", 2).await;
        scene.holds_newest("good", &good).await;
        assert_eq!(scene.calls(&bad), 0);
        is_let_go(scene).await;

        bad_object["spec"]["provider"]["jfrogAccess"].as_object_mut().unwrap().remove("tls");
        scene.put(&bad_object).await;
        scene.refreshed("bad", 1).await;
        let mended = scene.healthy("bad").await;
        assert_eq!(kstatus(&mended), Kstatus::Current);
        assert_eq!(Scene::message(&mended, ConditionType::Stalled), "");
        operator.stop().await.unwrap();
    });
}

/// Its policy is not known, and nobody could mend that once it is being deleted.
async fn is_let_go(scene: Scene<'_>) {
    scene.kubectl(&["delete", "rtok", "held", "--wait=false"], None).await.checked().unwrap();
    crate::sight::wait("the end of the finalizer", || async {
        let left = ["get", "rtok", "held", "-o", "jsonpath={.metadata.finalizers}"];
        let left = scene.kubectl(&left, None).await.checked().unwrap();
        (left == r#"["example.com/other"]"#).then_some(())
    })
    .await;
    let told = scene.event("held", "CleanupFailed").await;
    assert!(told.contains("cannot be read"), "{told}");
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    scene.kubectl(&["patch", "rtok", "held", "--type=merge", "-p", patch], None).await.checked().unwrap();
}

/// The object that does not decode, once it says so.
async fn undecodable(scene: Scene<'_>) -> Value {
    crate::sight::wait("InvalidSpec", || async {
        let raw = scene.kubectl(&["get", "rtok", "bad", "-o", "json"], None).await.checked().unwrap();
        let raw: Value = serde_json::from_str(&raw).unwrap();
        let stalled = json!({"type": "Stalled", "status": "True", "reason": "InvalidSpec"});
        let says = |condition: &Value| stalled.as_object().unwrap().iter().all(|(key, value)| &condition[key] == value);
        let found = raw["status"]["conditions"].as_array().is_some_and(|conditions| conditions.iter().any(says));
        found.then_some(raw)
    })
    .await
}
