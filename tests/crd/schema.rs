//! The committed CustomResourceDefinition: up to date, small enough, documented, and free of what trips other tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")
}

fn committed() -> String {
    std::fs::read_to_string(folder().join("refreshabletokens.yaml")).unwrap()
}

pub fn crd() -> Value {
    serde_saphyr::from_str(&committed()).unwrap()
}

pub fn schema() -> Value {
    crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Calls `visit` with the path and the schema of each property and each kind of list item below `schema`.
pub fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        visit(&path, property);
        walk(&path, property, visit);
    }
    if let Some(items) = schema.get("items") {
        let path = format!("{path}[]");
        visit(&path, items);
        walk(&path, items, visit);
    }
}

/// The paths of properties and items that are `wrong`.
fn offenders(wrong: impl Fn(&str, &Value) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    walk("", &schema(), &mut |path, schema| {
        if wrong(path, schema) {
            found.push(path.to_owned());
        }
    });
    found
}

#[test]
fn the_committed_file_is_what_the_program_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_refreshable-token-operator")).arg("crd").output().unwrap();
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stdout).unwrap() == committed(),
        "the types have changed: run `cargo run -- crd > crds/refreshabletokens.yaml`"
    );
    let files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["refreshabletokens.yaml"], "crds/ holds what `crd` prints and nothing else");
}

/// `kubectl apply` stores the whole object in an annotation of at most 262144 bytes, as JSON; the limit here is our choice.
#[test]
fn client_side_apply_has_room() {
    let bytes = committed().len();
    assert!(bytes < 200_000, "{bytes} bytes");
}

#[test]
fn everything_is_described() {
    let undocumented = |path: &str, schema: &Value| {
        let text = schema["description"].as_str().unwrap_or_default();
        // Items of plain strings are described by their list.
        let plain_item = path.ends_with("[]") && schema["type"] == "string";
        !plain_item && (text.trim().is_empty() || text.contains("Auto-generated"))
    };
    assert_eq!(offenders(undocumented), Vec::<String>::new());
    let kind = schema()["description"].as_str().unwrap().to_owned();
    assert!(kind.starts_with("A token that is refreshed"), "{kind}");
    let mut properties = 0;
    walk("", &schema(), &mut |_, _| properties += 1);
    assert!(properties > 80, "the walk sees only {properties} properties");
}

/// `kubectl explain` breaks lines itself; a line break of the source would stay in the middle of a line.
#[test]
fn descriptions_are_whole_paragraphs() {
    let broken = |_: &str, schema: &Value| schema["description"].as_str().unwrap_or_default().replace("\n\n", "").contains('\n');
    assert_eq!(offenders(broken), Vec::<String>::new());
}

/// Defaults in list items are drift for ever in Argo CD, and a default that is stored can never be improved.
/// The status's default is what a new object says until the operator has seen it.
#[test]
fn nothing_but_the_status_has_a_default() {
    assert_eq!(offenders(|_, schema| schema.get("default").is_some()), [".status"]);
}

#[test]
fn formats_are_those_of_kubernetes() {
    let known = ["int32", "int64", "date-time"];
    let unknown = |_: &str, schema: &Value| schema["format"].as_str().is_some_and(|format| !known.contains(&format));
    assert_eq!(offenders(unknown), Vec::<String>::new());
}

/// The API server estimates the cost of a rule from the largest value that the schema allows.
#[test]
fn what_users_write_is_bounded() {
    let unbounded = |path: &str, schema: &Value| {
        path.starts_with(".spec")
            && match schema["type"].as_str() {
                Some("string") => schema.get("maxLength").is_none() && schema.get("enum").is_none(),
                Some("array") => schema.get("maxItems").is_none(),
                Some("integer") => schema.get("maximum").is_none() || schema.get("minimum").is_none(),
                Some("object" | "boolean") => false,
                _ => true,
            }
    };
    assert_eq!(offenders(unbounded), Vec::<String>::new());
}

/// Whoever meets a refusal reads the message, not the rule.
#[test]
fn every_rule_has_a_message_and_no_regular_expression_is_shown() {
    let bare = |_: &str, schema: &Value| {
        let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
        schema.get("pattern").is_some() || rules.into_iter().any(|rule| rule["message"].as_str().unwrap_or_default().is_empty())
    };
    assert_eq!(offenders(bare), Vec::<String>::new());
    assert!(!committed().contains("oneOf"), "the API server's message for oneOf names the wrong field: use schema::one_key");
}

#[test]
fn names_and_columns() {
    let crd = crd();
    let names = &crd["spec"]["names"];
    assert_eq!(names["shortNames"], serde_json::json!(["rtok"]));
    assert_eq!(names["categories"], serde_json::json!(["refreshabletokens"]));
    assert_eq!(crd["spec"]["scope"], "Namespaced");
    assert_eq!(crd["spec"]["versions"][0]["subresources"]["status"], serde_json::json!({}));
    let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
    let columns: Vec<_> = columns
        .iter()
        .map(|column| (column["name"].as_str().unwrap(), column["type"].as_str().unwrap(), column["priority"].as_i64()))
        .collect();
    let expected = [
        ("Ready", "string", None),
        ("Reason", "string", None),
        // A date is shown as an age, which is <invalid> for a time to come.
        ("Expires", "string", None),
        ("Last Refresh", "date", None),
        ("Age", "date", None),
        ("Provider", "string", Some(1)),
        ("Next Refresh", "string", Some(1)),
        ("Failures", "integer", Some(1)),
        ("Suspended", "boolean", Some(1)),
    ];
    assert_eq!(columns, expected);
}

/// A column whose path names nothing is empty for ever.
#[test]
fn columns_show_fields_that_exist() {
    let (crd, schema) = (crd(), schema());
    for column in crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap() {
        let path = column["jsonPath"].as_str().unwrap();
        let plain = path.replace(r#"[?(@.type=="Ready")]"#, "");
        let mut at = &schema;
        for field in plain.split('.').skip(1).take_while(|field| *field != "metadata") {
            at = if at["type"] == "array" { &at["items"] } else { at };
            at = &at["properties"][field];
            assert!(at.is_object(), "{path}: no {field}");
        }
    }
}
