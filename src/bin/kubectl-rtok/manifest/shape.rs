//! What a structural schema says of a value. Pure.

use serde_json::Value;

/// What the structural schema of the CRD refuses, and unknown fields, which an API server drops or refuses.
pub(super) fn shape(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
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
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    if let (Some(number), Some(least), Some(most)) = (value.as_f64(), bound("minimum"), bound("maximum"))
        && !(least..=most).contains(&number)
    {
        found.push(format!("{path}: must be {least} to {most}"));
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
