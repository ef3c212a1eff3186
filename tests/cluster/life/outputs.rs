//! Outputs: every shape from one refresh, and a changed spec that needs no refresh.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use refreshable_token_operator::api::{ConditionStatus, ConditionType};
use serde_json::{Value, json};

use crate::manifest::{LONG, keys};
use crate::world::{Scene, test};

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
fn bad_input_31_an_output_cannot_change_its_type_and_keeps_what_it_holds() {
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

#[test]
fn files_and_metadata_are_written_and_taken_away_without_a_call() {
    test("outputs-files", |scene| async move {
        let (mut object, pair) = scene.begun("a").await;
        let token = scene.world.issuer.newest(pair.chain).unwrap().access_token;
        let uid = scene.secret("a-token").await.metadata.uid;
        object["spec"]["outputs"][0]["files"] = json!([
            {"key": ".npmrc", "npmrc": {"registry": "https://art.example.com/api/npm/npm/"}},
            {"key": "app.env", "template": "{{ object.namespace }}/{{ object.name }} {{ token.access }}"},
        ]);
        object["spec"]["outputs"][0]["metadata"] =
            json!({"labels": {"team": "build", "app.kubernetes.io/part-of": "ci"}, "annotations": {"note": "kept"}});
        scene.put(&object).await;
        let secret = scene.until_secret("a-token", "a file", |secret| text(secret, "app.env").is_some()).await;
        assert_eq!(text(&secret, "app.env").unwrap(), format!("outputs-files/a {token}"));
        assert!(text(&secret, ".npmrc").unwrap().ends_with(&format!("//art.example.com/api/npm/npm/:_authToken={token}\n")));
        let labels = secret.metadata.labels.clone().unwrap();
        assert_eq!((labels["team"].as_str(), labels["app.kubernetes.io/part-of"].as_str()), ("build", "ci"));
        assert_eq!(secret.metadata.annotations.clone().unwrap()["note"], "kept");
        let status = scene.healthy("a").await.status.unwrap();

        // Somebody changes a label of ours and adds one of his own.
        scene.kubectl(&["label", "secret", "a-token", "--overwrite", "team=other", "mine=yes"], None).await.checked().unwrap();
        scene
            .until_secret("a-token", "a label put back", |secret| secret.metadata.labels.as_ref().unwrap()["team"] == "build")
            .await;

        object["spec"]["outputs"][0]["metadata"] = json!({"labels": {"app.kubernetes.io/part-of": "ci"}});
        object["spec"]["outputs"][0]["files"] = json!([]);
        scene.put(&object).await;
        let secret = scene.until_secret("a-token", "no file", |secret| text(secret, "app.env").is_none()).await;
        let labels = secret.metadata.labels.unwrap();
        assert!(!labels.contains_key("team") && !secret.metadata.annotations.unwrap().contains_key("note"));
        assert_eq!((labels["app.kubernetes.io/part-of"].as_str(), labels["mine"].as_str()), ("ci", "yes"));
        assert_eq!((secret.metadata.uid, scene.calls(&pair)), (uid, 1));
        let after = scene.healthy("a").await.status.unwrap();
        assert_ne!(after.outputs[0].content_hash, status.outputs[0].content_hash);
    });
}

/// Bad input 34: a template with an unknown placeholder, told before any call.
#[test]
fn bad_input_34_a_template_that_is_none_is_told_before_any_call() {
    test("outputs-template", |scene| async move {
        let pair = scene.hour("a").await;
        scene.put_seed("a", &keys(&pair)).await;
        let mut object = scene.access("a", LONG);
        object["spec"]["outputs"][0]["files"] = json!([{"key": "f", "template": "a\n{{ token.acess }}"}]);
        scene.put(&object).await;
        let stalled = scene.stalled("a", "InvalidSpec").await;
        let message = Scene::message(&stalled, ConditionType::Stalled);
        assert!(
            message.contains("spec.outputs[0].files[0].template: line 2 of the template: there is no token.acess"),
            "{message}"
        );
        assert_eq!(scene.calls(&pair), 0);
        object["spec"]["outputs"][0]["files"][0]["template"] = "{{ token.access }}".into();
        scene.put(&object).await;
        scene.refreshed("a", 1).await;
    });
}

#[test]
fn an_orphan_stays_when_its_object_goes_and_the_next_one_takes_it_up() {
    test("outputs-orphan", |scene| async move {
        let (mut object, pair) = scene.begun("a").await;
        object["spec"]["outputs"][0]["creationPolicy"] = "Orphan".into();
        scene.put(&object).await;
        let owned = |secret: &Secret| secret.metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty());
        let orphan = scene.until_secret("a-token", "no owner", |secret| !owned(secret)).await;
        scene.healthy("a").await;
        scene.kubectl(&["delete", "rtok", "a", "--timeout=60s"], None).await.checked().unwrap();
        assert_eq!(scene.secret("a-token").await.data, orphan.data);
        scene.put(&object).await;
        scene.healthy("a").await;
        scene.holds_newest("a", &pair).await;
        object["spec"]["outputs"][0].as_object_mut().unwrap().remove("creationPolicy");
        scene.put(&object).await;
        let secret = scene.until_secret("a-token", "an owner", owned).await;
        assert_eq!(secret.metadata.uid, orphan.metadata.uid);
        scene.never_twice(&pair);
    });
}

#[test]
fn a_merge_waits_for_the_secret_and_writes_its_own_keys_only() {
    test("outputs-merge", |scene| async move {
        let pair = scene.hour("a").await;
        scene.put_seed("a", &keys(&pair)).await;
        let mut object = scene.access("a", LONG);
        object["spec"]["outputs"][0]["creationPolicy"] = "Merge".into();
        scene.put(&object).await;
        scene.says("a", ConditionType::Reconciling, ConditionStatus::True, "OutputMissing").await;
        assert_eq!(scene.calls(&pair), 0, "nothing is spent");
        let mut theirs = scene.secret_manifest("a-token", &[("theirs", "kept"), ("access_token", "old")]);
        theirs["metadata"]["labels"] = json!({"team": "build"});
        scene.put(&theirs).await;
        scene.refreshed("a", 1).await;
        scene.healthy("a").await;
        scene.holds_newest("a", &pair).await;
        let secret = scene.secret("a-token").await;
        assert_eq!(text(&secret, "theirs").as_deref(), Some("kept"));
        assert!(text(&secret, "expires_at").is_some());
        assert_eq!(secret.metadata.labels.as_ref().unwrap()["team"], "build");
        assert_eq!(secret.metadata.owner_references, None);

        // Its owner writes it anew, without our keys.
        scene.remove("a-token").await;
        theirs["data"].as_object_mut().unwrap().remove("access_token");
        scene.put(&theirs).await;
        scene.until_secret("a-token", "merged again", |secret| text(secret, "access_token").is_some()).await;

        // A key is wanted no more: ours goes, theirs stay.
        object["spec"]["outputs"][0]["opaque"] = json!({"accessTokenKey": "token"});
        scene.put(&object).await;
        let secret = scene.until_secret("a-token", "renamed", |secret| text(secret, "token").is_some()).await;
        let left: Vec<&String> = secret.data.as_ref().unwrap().keys().collect();
        assert_eq!(left, ["theirs", "token"]);
        assert_eq!(scene.calls(&pair), 1);
    });
}

/// Bad inputs 29 to 31, with a policy that takes Secrets of somebody else.
#[test]
fn bad_inputs_29_to_31_a_merge_takes_no_secret_that_objects_write_or_of_another_type() {
    test("outputs-merge-not", |scene| async move {
        let (_, first) = scene.begun("first").await;
        scene.healthy("first").await;
        let mut tls = scene.secret_manifest("other", &[("note", "x")]);
        tls["metadata"]["labels"] = json!({});
        tls["type"] = "example.com/own".into();
        scene.put(&tls).await;
        let before = [scene.secret("first-state").await, scene.secret("first-seed").await, scene.secret("other").await];
        for (name, secret, reason) in [
            ("state", "first-state", "OutputConflict"),
            ("seed", "first-seed", "OutputConflict"),
            ("type", "other", "OutputTypeMismatch"),
        ] {
            let pair = scene.hour(name).await;
            scene.put_seed(name, &keys(&pair)).await;
            let mut object = scene.access(name, LONG);
            object["spec"]["outputs"] = json!([{"secretName": secret, "opaque": {}, "creationPolicy": "Merge"}]);
            scene.put(&object).await;
            scene.stalled(name, reason).await;
            assert_eq!(scene.calls(&pair), 0, "{name}");
        }
        for secret in before {
            assert_eq!(scene.secret(secret.metadata.name.as_deref().unwrap()).await, secret, "not a byte");
        }
        assert_eq!(scene.calls(&first), 1);
    });
}

#[test]
fn the_previous_token_stands_for_its_grace() {
    test("outputs-previous", |scene| async move {
        let (mut object, pair) = scene.begun("a").await;
        object["spec"]["outputs"][0]["opaque"] = json!({"previousAccessTokenKey": "previous", "previousAccessTokenGrace": "5s"});
        scene.put(&object).await;
        scene.observed("a").await;
        let first = scene.value("a-token", "access_token").await.unwrap();
        scene.force("a", "1").await;
        scene.until_secret("a-token", "the previous token", |secret| text(secret, "previous").as_ref() == Some(&first)).await;
        scene.until_secret("a-token", "its end", |secret| text(secret, "previous").is_none()).await;
        scene.healthy("a").await;
        scene.holds_newest("a", &pair).await;
        let events = scene.events("a").await;
        let restored = events.iter().any(|(reason, _)| reason == "SecretRestored");
        assert!(!restored, "an end that was planned is no repair: {events:?}");
        assert_eq!(scene.calls(&pair), 2);
    });
}
