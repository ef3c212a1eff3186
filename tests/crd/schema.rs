//! The committed CustomResourceDefinitions: up to date, small enough, documented, and free of what trips other tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")
}

/// Names and texts of the files, in the order of their names.
fn committed() -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(&path).unwrap())
    };
    files.into_iter().map(read).collect()
}

pub fn crds() -> Vec<Value> {
    committed().iter().map(|(_, text)| serde_saphyr::from_str(text).unwrap()).collect()
}

/// The kind that everything else is for.
pub fn crd() -> Value {
    crds().into_iter().find(|crd| kind(crd) == "RefreshableToken").unwrap()
}

pub fn kind(crd: &Value) -> &str {
    crd["spec"]["names"]["kind"].as_str().unwrap()
}

pub fn schema(crd: &Value) -> &Value {
    &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
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

/// The paths of properties and items that are `wrong`, each after its kind.
fn offenders(wrong: impl Fn(&str, &Value) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for crd in crds() {
        walk("", schema(&crd), &mut |path, schema| {
            if wrong(path, schema) {
                found.push(format!("{}{path}", kind(&crd)));
            }
        });
    }
    found
}

#[test]
fn the_committed_files_are_what_the_program_prints() {
    let written = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_refreshable-token-operator");
    let run = |arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["crd", "--dir", written.path().to_str().unwrap()]);
    let names: Vec<String> = committed().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["clustertokenproviders.yaml", "refreshabletokens.yaml", "tokenproviders.yaml"]);
    let printed = run(&["crd"]);
    for (name, text) in committed() {
        let made = std::fs::read_to_string(written.path().join(&name)).unwrap();
        assert!(made == text, "the types have changed: run `cargo run -- crd --dir crds`");
        assert!(printed.split("---\n").any(|document| document == text), "{name} is printed otherwise");
    }
}

/// `kubectl apply` stores the whole object in an annotation of at most 262144 bytes, as JSON; the limit here is our choice.
#[test]
fn client_side_apply_has_room() {
    for crd in crds() {
        let stored = crd.to_string().len();
        assert!(stored < 200_000, "{}: {stored} bytes", kind(&crd));
    }
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
    for crd in crds() {
        let text = schema(&crd)["description"].as_str().unwrap();
        assert!(text.starts_with("A token"), "{text}");
    }
    let mut properties = 0;
    walk("", schema(&crd()), &mut |_, _| properties += 1);
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
    let expected = ["ClusterTokenProvider.status", "RefreshableToken.status", "TokenProvider.status"];
    assert_eq!(offenders(|_, schema| schema.get("default").is_some()), expected);
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
    assert!(
        committed().iter().all(|(_, text)| !text.contains("oneOf")),
        "the API server's message for oneOf names the wrong field: use schema::one_key"
    );
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
    let crds = crds();
    let columns = |crd: &'_ Value| crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap().clone();
    for (crd, column) in crds.iter().flat_map(|crd| columns(crd).into_iter().map(move |column| (crd, column))) {
        let path = column["jsonPath"].as_str().unwrap();
        let plain = path.replace(r#"[?(@.type=="Ready")]"#, "");
        let mut at = schema(crd);
        for field in plain.split('.').skip(1).take_while(|field| *field != "metadata") {
            at = if at["type"] == "array" { &at["items"] } else { at };
            at = &at["properties"][field];
            assert!(at.is_object(), "{path}: no {field}");
        }
    }
}
