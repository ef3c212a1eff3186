//! Files of manifests: the RefreshableTokens in them, and what is wrong with them, without a cluster. Pure but for the reading.

use std::io::Read as _;
use std::path::Path;

use refreshable_token_operator::api::{self, RefreshableToken, validate};
use serde_json::Value;

use crate::failure::Failure;

/// Largest file that is read. Our choice: larger ones cannot be meant.
const LARGEST: u64 = 16 * 1024 * 1024;

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// A RefreshableToken that is valid.
    Valid(Box<RefreshableToken>),
    /// A RefreshableToken that is not: its name and each mistake.
    Invalid(String, Vec<String>),
    /// Something else: its kind and name.
    Other(String),
}

/// The text of a file; of standard input for `-`.
pub fn read(path: &Path) -> Result<String, Failure> {
    let wrong = |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(LARGEST).read_to_string(&mut text).map_err(wrong)?;
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)).map_err(wrong)?;
    }
    Ok(text)
}

/// The documents of a file. An error tells the line only: the file may hold a Secret too.
pub fn documents(text: &str) -> Result<Vec<Document>, Failure> {
    let values: Result<Vec<Value>, _> = serde_saphyr::from_multiple(text);
    let values = values.map_err(|error| {
        let line = error.location().map(|location| format!(", line {}, column {}", location.line(), location.column()));
        Failure::usage(format!("this is not YAML{}", line.unwrap_or_default()))
    })?;
    Ok(values.into_iter().flat_map(items).filter(|value| !value.is_null()).map(document).collect())
}

/// The items of a List, or the value itself.
fn items(value: Value) -> Vec<Value> {
    match value.get("kind").and_then(Value::as_str) {
        Some("List" | "RefreshableTokenList") => value.get("items").and_then(Value::as_array).cloned().unwrap_or_default(),
        _ => vec![value],
    }
}

fn document(value: Value) -> Document {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, name, version) = (text("/kind"), text("/metadata/name"), text("/apiVersion"));
    let group = version.split('/').next().unwrap_or_default();
    if kind != "RefreshableToken" || group != api::GROUP {
        return Document::Other(format!("{kind} {name}").trim().to_owned());
    }
    let mistakes = mistakes(&value);
    match serde_json::from_value::<RefreshableToken>(value) {
        Ok(object) if mistakes.is_empty() => Document::Valid(Box::new(object)),
        _ => Document::Invalid(name, mistakes),
    }
}

/// Everything that is wrong with a RefreshableToken, field by field.
fn mistakes(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let crd = serde_json::to_value(api::crd()).unwrap_or_default();
    let version = crd.pointer("/spec/versions/0").cloned().unwrap_or_default();
    let served = format!("{}/{}", api::GROUP, version.get("name").and_then(Value::as_str).unwrap_or_default());
    if value.get("apiVersion").and_then(Value::as_str) != Some(&served) {
        found.push(format!("apiVersion: must be {served}"));
    }
    let name = value.pointer("/metadata/name").and_then(Value::as_str);
    if !name.is_some_and(api::name::is_name) {
        found.push("metadata.name: must be a lower case RFC 1123 subdomain of at most 253 characters".to_owned());
    }
    for key in value.as_object().into_iter().flat_map(serde_json::Map::keys) {
        if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&key.as_str()) {
            found.push(format!("{key}: there is no such field"));
        }
    }
    let schema = version.pointer("/schema/openAPIV3Schema/properties/spec").cloned().unwrap_or_default();
    match value.get("spec") {
        Some(spec) => shape(spec, &schema, "spec", &mut found),
        None => found.push("spec: is required".to_owned()),
    }
    if !found.is_empty() {
        return found;
    }
    match serde_json::from_value::<RefreshableToken>(value.clone()) {
        Ok(object) => found.extend(validate(name.unwrap_or_default(), &object.spec).err().map(|invalid| invalid.to_string())),
        // Such as a duration of the wrong form. serde repeats the value, which is no secret in a field of this kind.
        Err(error) => found.push(format!("spec: {error}")),
    }
    found
}

/// What the structural schema of the CRD refuses, and unknown fields, which an API server drops or refuses.
fn shape(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let type_ = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let fits = match type_ {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => true,
    };
    if !fits {
        found.push(format!("{path}: must be of type {type_}"));
        return;
    }
    let words: Vec<&Value> =
        schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter(|word| !word.is_null()).collect();
    if !words.is_empty() && !words.contains(&value) {
        let words: Vec<&str> = words.into_iter().filter_map(Value::as_str).collect();
        found.push(format!("{path}: must be one of {}", words.join(", ")));
    }
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if value.get(required).is_none_or(Value::is_null) {
            found.push(format!("{path}.{required}: is required"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    let free = schema.get("additionalProperties");
    for (key, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match (properties.and_then(|properties| properties.get(key)), free) {
            (Some(schema), _) | (None, Some(schema)) => shape(inner, schema, &path, found),
            (None, None) if properties.is_some() => found.push(format!("{path}: there is no such field")),
            (None, None) => {}
        }
    }
    let items = schema.get("items").cloned().unwrap_or_default();
    for (at, inner) in value.as_array().into_iter().flatten().enumerate() {
        shape(inner, &items, &format!("{path}[{at}]"), found);
    }
    for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        // The one kind of rule that decoding would hide behind an error of its own: exactly one of some keys (src/api/schema.rs).
        let text = rule.get("rule").and_then(Value::as_str).unwrap_or_default();
        let Some(keys) = text.strip_prefix('[').and_then(|text| text.strip_suffix("].exists_one(x, x)")) else { continue };
        let keys = keys.split("has(self.").skip(1).filter_map(|rest| rest.split(')').next());
        let there = keys.filter(|key| value.get(key).is_some_and(|value| !value.is_null())).count();
        if there != 1 {
            let what = rule.get("message").and_then(Value::as_str).unwrap_or("must have exactly one key");
            found.push(format!("{path}: {what}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: refreshabletoken.io/v1alpha1
kind: RefreshableToken
metadata: {name: ci}
spec:
  provider: {jfrogAccess: {url: 'https://art.example.com'}}
  credential: {seedSecretRef: {name: ci-seed}}
  outputs: [{secretName: ci-token, opaque: {}}]
";

    fn wrong(from: &str, to: &str) -> Vec<String> {
        assert!(GOOD.contains(from), "{from}");
        match documents(&GOOD.replace(from, to)).unwrap().as_slice() {
            [Document::Invalid(_, mistakes)] => mistakes.clone(),
            other => panic!("{to}: {other:?}"),
        }
    }

    #[test]
    fn good_ones_pass_and_other_kinds_are_named() {
        let text = format!("{GOOD}---\nkind: Secret\nmetadata: {{name: s}}\n---\n");
        let documents = documents(&text).unwrap();
        assert!(matches!(&documents[0], Document::Valid(object) if object.metadata.name.as_deref() == Some("ci")));
        assert_eq!(documents[1..], [Document::Other("Secret s".to_owned())]);
    }

    #[test]
    fn each_mistake_is_named_by_its_field() {
        let rows = [
            ("opaque: {}", "opaque: {accessTokenKye: x}", "spec.outputs[0].opaque.accessTokenKye: there is no such field"),
            ("opaque: {}", "opaque: {}, basicAuth: {username: a}", "spec.outputs[0]: must have exactly one of"),
            ("opaque: {}", "opaque: []", "spec.outputs[0].opaque: must be of type object"),
            ("secretName: ci-token, ", "", "spec.outputs[0].secretName: is required"),
            ("{name: ci-seed}", "{name: Bad_Name}", "spec.credential.seedSecretRef.name: must be a lower case"),
            (
                "{url: 'https://art.example.com'}",
                "{url: 'art.example.com'}",
                "spec.provider.jfrogAccess.url: must be an absolute URL",
            ),
            ("metadata: {name: ci}", "metadata: {name: CI}", "metadata.name: must be"),
            ("v1alpha1", "v1", "apiVersion: must be refreshabletoken.io/v1alpha1"),
            ("spec:\n", "deletionPolicy: Revoke\nspec:\n", "deletionPolicy: there is no such field"),
            ("spec:\n", "spec:\n  deletionPolicy: Forget\n", "spec.deletionPolicy: must be one of"),
            ("spec:\n", "spec:\n  refresh: {before: soon}\n", "spec: "),
            ("spec:\n", "spec:\n  refresh: {before: 1m, beforePercent: 3}\n", "spec.refresh: set before or beforePercent"),
            (
                "provider: {",
                "provider: {elasticCloudEnterprise: {url: 'https://e.example.com'}, ",
                "spec.provider: must have exactly one of",
            ),
        ];
        for (from, to, expected) in rows {
            let mistakes = wrong(from, to);
            assert!(mistakes.iter().any(|mistake| mistake.starts_with(expected)), "{to}: {mistakes:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_yaml_is_not_shown() {
        let error = documents("kind: Secret\nstringData: {access_token: canary-of-a-file\n").unwrap_err();
        assert!(error.message.starts_with("this is not YAML, line ") && !error.message.contains("canary"), "{error:?}");
    }
}
