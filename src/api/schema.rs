//! The CustomResourceDefinition as it is installed: what the derive macros leave to do.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use super::{ClusterTokenProvider, RefreshableToken, TokenProvider};

/// The CustomResourceDefinition of `RefreshableToken`.
#[must_use]
pub fn crd() -> CustomResourceDefinition {
    finished(RefreshableToken::crd())
}

/// All CustomResourceDefinitions, in the order in which they are printed.
#[must_use]
pub fn crds() -> [CustomResourceDefinition; 3] {
    [crd(), finished(TokenProvider::crd()), finished(ClusterTokenProvider::crd())]
}

fn finished(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let Ok(mut value) = serde_json::to_value(&crd) else { return crd };
    join_lines(&mut value);
    serde_json::from_value(value).unwrap_or(crd)
}

/// Makes one line of each paragraph of a description: doc comments are broken where the source is, `kubectl explain` breaks
/// lines itself.
fn join_lines(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "description" => {
                        let paragraphs: Vec<_> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
                        *text = paragraphs.join("\n\n");
                    }
                    _ => join_lines(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Labels: at most 16 (our choice), with values of at most 63 characters (Kubernetes label syntax).
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "maxProperties": 16, "additionalProperties": { "type": "string", "maxLength": 63 } })
}

/// As [`labels`], and may be left out.
pub(super) fn optional_labels(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = labels(generator);
    schema.insert("nullable".to_owned(), true.into());
    schema
}

/// Labels to select by: as [`labels`], and one at least, for none would select everything.
pub(super) fn match_labels(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = labels(generator);
    schema.insert("minProperties".to_owned(), 1.into());
    schema
}

/// Annotations: at most 16, with values of at most 1024 characters (our choice).
pub(super) fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "maxProperties": 16, "additionalProperties": { "type": "string", "maxLength": 1024 } })
}

/// Turns the schema of an enum with one key per variant into an object with a rule that exactly one key is there.
///
/// kube would leave a `oneOf`, about which the API server says that the first key is missing, whatever the mistake is.
pub(super) fn one_key(schema: &mut Schema) {
    let object = schema.ensure_object();
    let Some(Value::Array(variants)) = object.remove("oneOf") else { return };
    let mut properties = Map::new();
    for variant in variants {
        let description = variant.get("description").cloned();
        let Some(Value::Object(keys)) = variant.get("properties").cloned() else { continue };
        for (key, mut value) in keys {
            if let (Some(value), Some(description)) = (value.as_object_mut(), &description) {
                value.insert("description".to_owned(), description.clone());
            }
            properties.insert(key, value);
        }
    }
    let has: Vec<_> = properties.keys().map(|key| format!("has(self.{key})")).collect();
    let names: Vec<_> = properties.keys().map(String::as_str).collect();
    let rule = Rule::new(format!("[{}].exists_one(x, x)", has.join(", ")))
        .message(format!("must have exactly one of {}", names.join(", ")).as_str());
    object.insert("type".to_owned(), "object".into());
    object.insert("properties".to_owned(), Value::Object(properties));
    // A rule is a struct of strings: it always serialises.
    let _ = kube::core::validate(schema, rule);
}
