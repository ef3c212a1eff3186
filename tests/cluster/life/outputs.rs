//! Outputs: every shape from one refresh, and a changed spec that needs no refresh.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::manifest::{LONG, keys};
use crate::world::test;

fn text(secret: &Secret, key: &str) -> Option<String> {
    let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
    Some(String::from_utf8(bytes.clone()).unwrap())
}

#[test]
fn every_shape_comes_from_one_refresh_and_changes_without_a_call() {
    test("outputs", |scene| async move {
        let pair = scene.hour("a").await;
        scene.put_seed("a", &keys(&pair)).await;
        let mut object = scene.access("a", LONG);
        object["spec"]["outputs"] = json!([
            {"secretName": "a-token", "opaque": {"expirationTimeKey": "expires_at", "refreshTokenKey": "refresh"}},
            {"secretName": "a-pull", "dockerConfigJSON": {"registries": ["docker.example.com", "r2.example.com"], "username": "ci"}},
            {"secretName": "a-basic", "basicAuth": {"username": "ci"}},
        ]);
        scene.put(&object).await;
        let uid = scene.refreshed("a", 1).await.metadata.uid.unwrap();
        scene.healthy("a").await;
        let newest = scene.world.issuer.newest(pair.chain).unwrap();
        let opaque = scene.secret("a-token").await;
        assert_eq!(opaque.type_.as_deref(), Some("Opaque"));
        assert_eq!(text(&opaque, "access_token").as_ref(), Some(&newest.access_token));
        assert_eq!(text(&opaque, "refresh"), newest.refresh_token);
        assert_eq!(text(&opaque, "expires_at").map(|time| time.len()), Some("2026-11-22T15:04:05Z".len()));
        let pull = scene.secret("a-pull").await;
        assert_eq!(pull.type_.as_deref(), Some("kubernetes.io/dockerconfigjson"));
        let config: Value = serde_json::from_str(&text(&pull, ".dockerconfigjson").unwrap()).unwrap();
        assert_eq!(config["auths"]["r2.example.com"]["password"], newest.access_token);
        let basic = scene.secret("a-basic").await;
        assert_eq!(basic.type_.as_deref(), Some("kubernetes.io/basic-auth"));
        assert_eq!(text(&basic, "password").as_ref(), Some(&newest.access_token));
        for secret in [&opaque, &pull, &basic] {
            let owner = &secret.metadata.owner_references.as_ref().unwrap()[0];
            assert_eq!((&owner.uid, owner.controller), (&uid, Some(true)));
        }
        assert_eq!(scene.secret("a-state").await.metadata.owner_references, None, "the state outlives the object");

        // A key is renamed, an output is added, and one is named no more.
        object["spec"]["outputs"] = json!([
            {"secretName": "a-token", "opaque": {"accessTokenKey": "token"}},
            {"secretName": "a-basic", "basicAuth": {"username": "ci"}},
            {"secretName": "a-more", "opaque": {}},
        ]);
        scene.put(&object).await;
        scene
            .until_secret("a-more", "written", |secret| text(secret, "access_token").as_ref() == Some(&newest.access_token))
            .await;
        let renamed = scene.until_secret("a-token", "renamed", |secret| text(secret, "token").is_some()).await;
        let keys: Vec<&String> = renamed.data.as_ref().unwrap().keys().collect();
        assert_eq!(keys, ["token"], "the old keys are gone");
        let status = scene.healthy("a").await.status.unwrap();
        let names: Vec<&str> = status.outputs.iter().map(|output| output.secret_name.as_str()).collect();
        assert_eq!(names, ["a-token", "a-basic", "a-more"]);
        assert_eq!(scene.calls(&pair), 1);

        object["spec"]["request"]["description"] = "changed".into();
        scene.put(&object).await;
        scene.refreshed("a", 2).await;
        scene.healthy("a").await;
        assert_eq!(scene.calls(&pair), 2, "another wish is another token");
    });
}

#[test]
fn an_output_cannot_change_its_type_and_keeps_what_it_holds() {
    test("outputs-type", |scene| async move {
        let (mut object, pair) = scene.begun("a").await;
        let before = scene.secret("a-token").await;
        object["spec"]["outputs"] = json!([{"secretName": "a-token", "basicAuth": {"username": "ci"}}]);
        scene.put(&object).await;
        scene.stalled("a", "OutputTypeMismatch").await;
        assert_eq!(scene.secret("a-token").await.data, before.data, "workloads keep what they mount");
        scene.remove("a-token").await;
        let new = scene.until_secret("a-token", "made anew", |secret| text(secret, "password").is_some()).await;
        assert_eq!(new.type_.as_deref(), Some("kubernetes.io/basic-auth"));
        scene.healthy("a").await;
        assert_eq!(scene.calls(&pair), 1);
    });
}
