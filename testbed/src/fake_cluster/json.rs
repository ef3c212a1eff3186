//! Looking into JSON objects, and changing them, without a panic for what is not there.

use serde_json::{Map, Value};

/// The text at a pointer (RFC 6901); none if there is no text.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// The list at a pointer; empty if there is none.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// `metadata`, made if it is missing.
pub(super) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    child(map(object), "metadata")
}

/// The object under a key, made if it is missing or something else.
pub(super) fn child<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    map(parent.entry(key.to_owned()).or_insert_with(|| Value::Object(Map::new())))
}

/// The value as an object; what is none becomes an empty one.
pub(super) fn map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// Sets a field of `metadata`, or removes it.
pub(super) fn set_meta(object: &mut Value, key: &str, value: Option<Value>) {
    let metadata = metadata(object);
    match value {
        Some(value) => metadata.insert(key.to_owned(), value),
        None => metadata.remove(key),
    };
}

/// A field of `metadata`.
pub(super) fn meta<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.get("metadata").and_then(|metadata| metadata.get(key))
}

/// A text of `metadata`; empty if it is missing.
pub(super) fn meta_text<'a>(object: &'a Value, key: &str) -> &'a str {
    meta(object, key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a value counts as absent where Go leaves out what is empty.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
