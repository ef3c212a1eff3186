//! What the API server does to an object before it is stored, and what it refuses.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::json::{child, is_empty, list, map, meta, meta_text, metadata, set_meta, text};
use super::kind::Kind;

/// Largest sum of the values of a Secret or a ConfigMap, in bytes (`core.MaxSecretSize`).
const LARGEST_DATA: usize = 1024 * 1024;
/// Longest name of an object (RFC 1123 subdomain).
const LONGEST_NAME: usize = 253;
/// Types of Secrets and the keys that they need.
const NEEDED: [(&str, &[&str]); 2] = [
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    // One of the two is enough.
    ("kubernetes.io/basic-auth", &["username", "password"]),
];

/// What reading a body does: defaults, and no trace of what is empty.
pub(super) fn decode(kind: Kind, object: &mut Value) {
    set_text(object, "apiVersion", &kind.api_version());
    set_text(object, "kind", kind.name());
    metadata(object).retain(|_, value| !is_empty(value));
    if kind.is_custom() {
        fill_in(object);
        return;
    }
    map(object).retain(|key, value| key == "metadata" || !is_empty(value));
    for (key, value) in map(&mut kind.zero()) {
        map(object).entry(key.clone()).or_insert_with(|| value.take());
    }
    if kind == Kind::Secret {
        decode_secret(object);
    }
}

/// The default of `status` in the CRD. It is filled in whenever an object is read, from a request or from the store, so that a
/// new object is stored without.
fn fill_in(token: &mut Value) {
    map(token).entry("status").or_insert_with(|| json!({ "observedGeneration": -1 }));
}

/// An object as it is read from the store.
pub(super) fn stored(kind: Kind, object: &Arc<Value>) -> Arc<Value> {
    if !kind.is_custom() || object.get("status").is_some() {
        return Arc::clone(object);
    }
    let mut read = Value::clone(object);
    fill_in(&mut read);
    Arc::new(read)
}

fn set_text(object: &mut Value, key: &str, text: &str) {
    map(object).insert(key.to_owned(), text.into());
}

fn decode_secret(secret: &mut Value) {
    let texts = map(secret).remove("stringData");
    if let Some(Value::Object(texts)) = texts {
        let data = child(map(secret), "data");
        let encoded = texts.into_iter().filter_map(|(key, value)| {
            let text = value.as_str()?;
            Some((key, STANDARD.encode(text).into()))
        });
        data.extend(encoded);
    }
    map(secret).entry("type").or_insert_with(|| "Opaque".into());
}

/// Refuses a body that is no object of this kind, or not the object that the path names.
pub(super) fn check_body(kind: Kind, object: &Value, namespace: &str, name: &str) -> Result<(), Failure> {
    if !object.is_object() || meta(object, "name").is_some_and(|name| !name.is_string()) {
        return Err(Failure::bad_request("the body is no object"));
    }
    let given = (text(object, "/apiVersion"), text(object, "/kind"));
    let fits = |given: Option<&str>, wanted: &str| given.is_none_or(|given| given == wanted);
    if !fits(given.0, &kind.api_version()) || !fits(given.1, kind.name()) {
        return Err(Failure::bad_request("the kind in the data does not match the expected one"));
    }
    if let Some(data) = object.get("data").filter(|_| kind == Kind::Secret) {
        let is_base64 = |value: &Value| value.as_str().is_some_and(|text| STANDARD.decode(text).is_ok());
        if !data.is_null() && !data.as_object().is_some_and(|data| data.values().all(|value| value.is_null() || is_base64(value)))
        {
            return Err(Failure::bad_request("illegal base64 data"));
        }
    }
    let own = meta_text(object, "namespace");
    if !own.is_empty() && own != namespace {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let own = meta_text(object, "name");
    if !name.is_empty() && !own.is_empty() && own != name {
        return Err(Failure::bad_request("the name of the object does not match the name on the URL"));
    }
    Ok(())
}

/// Refuses what no object of this kind may look like.
pub(super) fn validate(kind: Kind, object: &Value) -> Result<(), Failure> {
    let name = meta_text(object, "name");
    let refuse = |field: &str, why: &str| Err(Failure::invalid(kind, name, field, why));
    if name.is_empty() {
        return refuse("metadata.name", "name or generateName is required");
    }
    if !is_name(name) {
        return refuse(
            "metadata.name",
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'",
        );
    }
    let controllers =
        list(object, "/metadata/ownerReferences").iter().filter(|owner| owner.get("controller") == Some(&true.into()));
    if controllers.count() > 1 {
        return refuse("metadata.ownerReferences", "only one reference can have Controller set to true");
    }
    if !matches!(kind, Kind::Secret | Kind::ConfigMap) {
        return Ok(());
    }
    let empty = Map::new();
    let data = object.get("data").and_then(Value::as_object).unwrap_or(&empty);
    if data.keys().any(|key| !is_key(key)) {
        return refuse("data", "a valid config key must consist of alphanumeric characters, '-', '_' or '.'");
    }
    let length = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        if kind == Kind::Secret { STANDARD.decode(text).map_or(0, |bytes| bytes.len()) } else { text.len() }
    };
    if data.values().map(length).sum::<usize>() > LARGEST_DATA {
        return refuse("data", "Too long: may not be more than 1048576 bytes");
    }
    let type_ = text(object, "/type").unwrap_or_default();
    let needed = NEEDED.iter().find(|(known, _)| *known == type_);
    if needed.is_some_and(|(_, keys)| !keys.iter().any(|key| data.contains_key(*key))) {
        return refuse("data", "Required value");
    }
    Ok(())
}

/// Refuses changes that are not allowed.
pub(super) fn validate_update(kind: Kind, before: &Value, after: &Value) -> Result<(), Failure> {
    let name = meta_text(before, "name");
    let refuse = |field: &str, why: &str| Err(Failure::invalid(kind, name, field, why));
    if meta(before, "uid") != meta(after, "uid") {
        return refuse("metadata.uid", "field is immutable");
    }
    if meta(before, "deletionTimestamp") != meta(after, "deletionTimestamp") {
        return refuse("metadata.deletionTimestamp", "field is immutable");
    }
    if meta(before, "deletionTimestamp").is_some() {
        let known = list(before, "/metadata/finalizers");
        if list(after, "/metadata/finalizers").iter().any(|finalizer| !known.contains(finalizer)) {
            return refuse("metadata.finalizers", "no new finalizers can be added if the object is being deleted");
        }
    }
    if matches!(kind, Kind::Secret) && before.get("type") != after.get("type") {
        return refuse("type", "field is immutable");
    }
    if before.get("immutable") == Some(&Value::Bool(true)) {
        if after.get("immutable") != Some(&Value::Bool(true)) {
            return refuse("immutable", "field is immutable when `immutable` is set");
        }
        if before.get("data") != after.get("data") || before.get("binaryData") != after.get("binaryData") {
            return refuse("data", "field is immutable when `immutable` is set");
        }
    }
    validate(kind, after)
}

/// What no client decides when an object is created.
pub(super) fn prepare_create(kind: Kind, object: &mut Value, namespace: &str, uid: String, now: &str) {
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
        set_meta(object, key, None);
    }
    if !namespace.is_empty() {
        set_meta(object, "namespace", Some(namespace.into()));
    }
    set_meta(object, "uid", Some(uid.into()));
    set_meta(object, "creationTimestamp", Some(now.into()));
    if kind.counts_generations() {
        set_meta(object, "generation", Some(1.into()));
        map(object).remove("status");
    }
}

/// What no client decides when an object is replaced.
pub(super) fn prepare_update(kind: Kind, before: &Value, after: &mut Value, status: bool) {
    if status {
        let (new, managers) = (after.get("status").cloned(), meta(after, "managedFields").cloned());
        let version = meta(after, "resourceVersion").cloned();
        after.clone_from(before);
        set_meta(after, "managedFields", managers);
        set_meta(after, "resourceVersion", version);
        if let Some(new) = new {
            map(after).insert("status".into(), new);
        }
        return;
    }
    for key in ["creationTimestamp", "deletionTimestamp", "generation", "name", "namespace"] {
        set_meta(after, key, meta(before, key).cloned());
    }
    for key in ["uid", "deletionGracePeriodSeconds"] {
        if meta(after, key).is_none() {
            set_meta(after, key, meta(before, key).cloned());
        }
    }
    if !kind.counts_generations() {
        return;
    }
    if let Some(old) = before.get("status") {
        map(after).insert("status".into(), old.clone());
    }
    if before.get("spec") != after.get("spec") {
        let generation = meta(before, "generation").and_then(Value::as_i64).unwrap_or(0) + 1;
        set_meta(after, "generation", Some(generation.into()));
    }
}

/// RFC 1123 subdomain.
fn is_name(name: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label = |label: &str| {
        label.starts_with(alphanumeric) && label.ends_with(alphanumeric) && label.chars().all(|c| alphanumeric(c) || c == '-')
    };
    name.len() <= LONGEST_NAME && name.split('.').all(label)
}

/// `IsConfigMapKey`.
fn is_key(key: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !key.is_empty() && key.len() <= LONGEST_NAME && key.chars().all(fits) && key != "." && !key.starts_with("..")
}
