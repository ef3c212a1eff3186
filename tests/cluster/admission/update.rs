//! Changes of a stored object: the state Secret stays where it is, the rest may change.

use kube::core::params::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{Request, Status};
use serde_json::Value;

use super::{ACCESS, OAUTH2, answer, causes, manifest, url, yaml};
use crate::world::{Scene, test};

const FIXED: &str = "stateSecretName cannot be changed: the state Secret holds the only copy of the refresh token";

/// What is stored, what it is changed to, and what the API server says.
const ROWS: &[(&str, &str, &str, &str, &str)] = &[
    ("another name", ACCESS, "stateSecretName: one", "stateSecretName: two", FIXED),
    ("a name that is not the default", ACCESS, "{}", "stateSecretName: one", FIXED),
    ("back to the default", ACCESS, "stateSecretName: one", "{}", FIXED),
    ("the default in words", ACCESS, "{}", "stateSecretName: changed-state", ""),
    ("the default left out", ACCESS, "stateSecretName: changed-state", "{}", ""),
    ("another seed", ACCESS, "stateSecretName: one", "{stateSecretName: one, credential: {seedSecretRef: {name: other}}}", ""),
    ("other outputs", ACCESS, "{}", "outputs: [{secretName: other, basicAuth: {username: ci}}]", ""),
    ("a bad schedule", ACCESS, "{}", "refresh: {minInterval: 1s}", "must be from 1m to 99999h"),
    ("an unknown field", ACCESS, "{}", "refresh: {interval: 1h}", "unknown field"),
];

/// The base manifest with other fields in its spec. Suspended, so that the operator that is running leaves it alone.
fn object(name: &str, base: &str, spec: &str) -> Value {
    let mut object = manifest(base);
    object["metadata"]["name"] = name.into();
    object["spec"]["suspend"] = true.into();
    for (field, value) in yaml(spec).as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    object
}

/// Stores one manifest and sends the other in its place, as a dry run.
async fn change(scene: Scene<'_>, before: &Value, after: &Value) -> Result<Value, Box<Status>> {
    let client = &scene.world.client;
    let request = Request::new(url(scene.namespace)).create(&PostParams::default(), before.to_string().into_bytes()).unwrap();
    let stored = answer(client.request(request).await).unwrap();
    let name = stored["metadata"]["name"].as_str().unwrap();
    // Not a PUT: the operator's own status writes would make it a conflict.
    let spec: json_patch::Patch =
        serde_json::from_value(serde_json::json!([{"op": "replace", "path": "/spec", "value": after["spec"]}])).unwrap();
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let mut request = Request::new(url(scene.namespace)).patch(name, &params, &Patch::Json::<()>(spec)).unwrap();
    *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse().unwrap();
    let result = answer(client.request(request).await);
    let delete = Request::new(url(scene.namespace)).delete(name, &DeleteParams::default()).unwrap();
    client.request::<Value>(delete).await.unwrap();
    result
}

/// Sends all changes; gives what was refused and why.
pub async fn refusals(scene: Scene<'_>) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    for (name, base, before, after, says) in ROWS {
        let answer = change(scene, &object("changed", base, before), &object("changed", base, after)).await;
        match answer {
            Ok(_) => assert!(says.is_empty(), "{name} was taken"),
            Err(status) => {
                assert!(!says.is_empty() && status.message.contains(says), "{name}: {}", status.message);
                seen.extend(causes(&status));
            }
        }
    }
    seen
}

#[test]
fn the_state_secret_stays_and_the_rest_may_change() {
    test("admission-change", |scene| async move {
        let seen = refusals(scene).await;
        let fixed =
            seen.iter().filter(|(field, what)| field == "spec.stateSecretName" && what.contains("put the old value back"));
        assert_eq!(fixed.count(), 3, "{seen:?}");
        // A token may move to another API: it begins there with a new seed.
        change(scene, &object("moved", ACCESS, "{}"), &object("moved", OAUTH2, "{}")).await.unwrap();
    });
}
