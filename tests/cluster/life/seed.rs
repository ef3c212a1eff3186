//! Seeds that cannot be used: said so, no token call, and the chain begins as soon as the seed is mended.

use refreshable_token_operator::api::ConditionType;
use serde_json::{Value, json};

use crate::manifest::{LONG, keys};
use crate::sight::{Kstatus, kstatus};
use crate::world::{Scene, test};

#[test]
fn a_missing_seed_is_waited_for() {
    test("seed-missing", |scene| async move {
        let pair = scene.hour("a").await;
        scene.put(&scene.access("a", LONG)).await;
        let object = scene.stalled("a", "SeedMissing").await;
        assert_eq!(kstatus(&object), Kstatus::Failed);
        scene.put_seed("a", &keys(&pair)).await;
        goes_on(scene, "a").await;
    });
}

#[test]
fn a_seed_without_the_label_is_not_taken() {
    test("seed-label", |scene| async move {
        let pair = scene.hour("a").await;
        let mut seed = scene.secret_manifest("a-seed", &keys(&pair));
        seed["metadata"]["labels"] = json!({});
        scene.put(&seed).await;
        scene.put(&scene.access("a", LONG)).await;
        let object = scene.stalled("a", "SeedNotAllowed").await;
        let message = Scene::message(&object, ConditionType::Stalled);
        let command = "kubectl label secret a-seed refreshabletoken.io/role=seed";
        assert!(message.contains(command), "{message}");
        assert_eq!(scene.calls(&pair), 0);
        let args: Vec<&str> = command.split(' ').skip(1).collect();
        scene.kubectl(&args, None).await.checked().unwrap();
        goes_on(scene, "a").await;
    });
}

#[test]
fn a_seed_of_a_type_that_belongs_to_kubernetes_is_not_taken() {
    test("seed-type", |scene| async move {
        let pair = scene.hour("a").await;
        let tls = [("tls.crt", ""), ("tls.key", "")];
        let mut seed = scene.secret_manifest("tls-seed", &[keys(&pair).as_slice(), &tls].concat());
        seed["type"] = "kubernetes.io/tls".into();
        scene.put(&seed).await;
        let mut seed = scene.secret_manifest("sa-seed", &keys(&pair));
        seed["type"] = "kubernetes.io/service-account-token".into();
        seed["metadata"]["annotations"] = json!({"kubernetes.io/service-account.name": "default"});
        scene.put(&seed).await;
        for name in ["tls", "sa"] {
            scene.put(&scene.access(name, LONG)).await;
            scene.stalled(name, "SeedNotAllowed").await;
        }
        assert_eq!(scene.calls(&pair), 0);
    });
}

#[test]
fn a_seed_whose_value_is_no_token_is_not_sent() {
    test("seed-invalid", |scene| async move {
        let pair = scene.hour("a").await;
        let (access, refresh) = (pair.access_token.as_str(), pair.refresh());
        let newline = format!("{refresh}\n");
        // 1 MiB is what a Secret holds in all.
        let large = "t".repeat(1024 * 1024 - 1024);
        let seeds: [(&str, Vec<(&str, &str)>); 4] = [
            ("no-key", vec![("access_token", access), ("refresh-token", refresh)]),
            ("empty", vec![("access_token", access), ("refresh_token", "")]),
            ("newline", vec![("access_token", access), ("refresh_token", &newline)]),
            ("large", vec![("refresh_token", &large)]),
        ];
        for (name, keys) in &seeds {
            scene.put_seed(name, keys).await;
        }
        let mut binary: Value = scene.secret_manifest("binary-seed", &[]);
        binary["data"] = json!({"refresh_token": "/////w=="});
        scene.put(&binary).await;
        for (name, what) in
            [("no-key", "refresh_token"), ("empty", "empty"), ("newline", "printf"), ("large", "16 KiB"), ("binary", "UTF-8")]
        {
            scene.put(&scene.access(name, LONG)).await;
            let object = scene.stalled(name, "SeedInvalid").await;
            let message = Scene::message(&object, ConditionType::Stalled);
            assert!(message.contains(what), "{name}: {message}");
        }
        assert_eq!(scene.calls(&pair), 0);
        scene.put_seed("newline", &keys(&pair)).await;
        goes_on(scene, "newline").await;
        assert_eq!(scene.calls(&pair), 1);
    });
}

/// The first refresh comes within seconds, not after the rest that follows a refusal.
async fn goes_on(scene: Scene<'_>, name: &str) {
    let came = tokio::time::timeout(std::time::Duration::from_secs(20), scene.refreshed(name, 1)).await;
    assert!(came.is_ok(), "{}/{name} does not go on: {:#?}", scene.namespace, scene.status(name).await);
    scene.healthy(name).await;
}
