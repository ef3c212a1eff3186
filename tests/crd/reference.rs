//! docs/reference/api.md: every field of the CRD with its type, its limits, its default and its rules.
//!
//! `RTOK_UPDATE=1 cargo test --test crd reference` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::schema::{crds, kind as kind_of, schema, walk};

const PAGE: &str = "docs/reference/api.md";
const HEAD: &str = "# API reference

<!-- Made from the CRDs: RTOK_UPDATE=1 cargo test --test crd reference -->

Every field, as `kubectl explain --recursive` has it, with its limits and the rules that an API server checks. Bold: required.

";

/// The page of one kind.
fn page(crd: &Value) -> String {
    let version = &crd["spec"]["versions"][0];
    let root = schema(crd);
    let (group, names) = (crd["spec"]["group"].as_str().unwrap(), &crd["spec"]["names"]);
    let mut text = format!(
        "## {}\n\n`{group}/{}`, short name `{}`. {}\n\n",
        names["kind"].as_str().unwrap(),
        version["name"].as_str().unwrap(),
        names["shortNames"][0].as_str().unwrap(),
        one_line(&root["description"])
    );
    rules(root, &mut text);
    // Two kinds have a `spec`; the one that everything else is for has the plain names.
    let prefix = if kind_of(crd) == "RefreshableToken" { String::new() } else { format!("{}.", kind_of(crd)) };
    for part in ["spec", "status"] {
        object(&format!("{prefix}{part}"), &root["properties"][part], &mut text);
    }
    text
}

/// A table of the fields of an object, and one for each object below it.
fn object(path: &str, schema: &Value, text: &mut String) {
    let Some(fields) = schema["properties"].as_object() else { return };
    let _ = write!(text, "### `{path}`\n\n{}\n\n", one_line(&schema["description"]));
    text.push_str("| field | type | |\n|---|---|---|\n");
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in fields {
        let name = if required.contains(&name.as_str()) { format!("**`{name}`**") } else { format!("`{name}`") };
        let mut cell = one_line(&field["description"]);
        for limit in limits(field) {
            let _ = write!(cell, " {limit}.");
        }
        let _ = writeln!(text, "| {name} | {} | {} |", kind(field), cell.replace('|', "\\|").trim());
    }
    text.push('\n');
    rules(schema, text);
    for (name, field) in fields {
        object(&format!("{path}.{name}"), field, text);
        object(&format!("{path}.{name}[]"), &field["items"], text);
    }
}

/// What a rule says when it is broken.
fn rules(schema: &Value, text: &mut String) {
    let messages = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let messages: Vec<&str> = messages.filter_map(|rule| rule["message"].as_str()).collect();
    for message in &messages {
        let _ = writeln!(text, "- {message}");
    }
    if !messages.is_empty() {
        text.push('\n');
    }
}

fn kind(field: &Value) -> String {
    let name = field["type"].as_str().unwrap_or("any");
    match (name, field["format"].as_str()) {
        ("array", _) => format!("list of {}", kind(&field["items"])),
        ("object", _) if field["additionalProperties"].is_object() => format!("map of {}", kind(&field["additionalProperties"])),
        ("string", Some("date-time")) => "time (RFC 3339)".to_owned(),
        _ => name.to_owned(),
    }
}

/// The limits of a value in words, the rules of a value that is no object among them.
fn limits(field: &Value) -> Vec<String> {
    let number = |key: &str| field[key].as_f64();
    let mut found = Vec::new();
    if let Some(words) = field["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`"));
        found.push(format!("One of {}", words.collect::<Vec<_>>().join(", ")));
    }
    let ranges = [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " entries"),
        ("", "maxProperties", " entries"),
    ];
    for (least, most, unit) in ranges {
        match (number(least), number(most)) {
            (Some(least), Some(most)) => found.push(format!("{least} to {most}{unit}")),
            (None, Some(most)) => found.push(format!("At most {most}{unit}")),
            (Some(least), None) => found.push(format!("At least {least}{unit}")),
            (None, None) => {}
        }
    }
    if !field["default"].is_null() {
        found.push(format!("Default: `{}`", field["default"]));
    }
    if field["properties"].is_null() {
        let messages = field["x-kubernetes-validations"].as_array().into_iter().flatten();
        found.extend(messages.filter_map(|rule| rule["message"].as_str()).map(capital));
    }
    found
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn one_line(text: &Value) -> String {
    text.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_reference_of_the_api_is_that_of_the_crds() {
    let mut crds = crds();
    crds.sort_by_key(|crd| kind_of(crd) != "RefreshableToken");
    let pages: String = crds.iter().map(page).collect();
    let text = format!("{HEAD}{}", pages.trim_end()) + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os("RTOK_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{PAGE} is not what the CRDs say: RTOK_UPDATE=1 cargo test --test crd reference");
    let mut all = Vec::new();
    for crd in &crds {
        walk("", schema(crd), &mut |path, _| {
            all.extend(path.rsplit('.').next().filter(|name| !name.ends_with("[]")).map(str::to_owned));
        });
    }
    assert!(all.len() > 150, "the CRDs have more fields than {}", all.len());
    for field in all.iter().filter(|field| *field != "spec" && *field != "status") {
        assert!(text.contains(&format!("`{field}`")), "{field} is not in the reference");
    }
}
