//! No value of the chart is without effect: each, changed, changes what is rendered.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::installed::{chart, helm};
use crate::world::run;

/// How many renderings run at once. Our choice: one takes a tenth of a second of one core.
const AT_ONCE: usize = 3;

/// Paths of all leaves; an empty object is one.
fn leaves(value: &Value, path: &str, into: &mut BTreeMap<String, Value>) {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(field, &path, into);
            }
        }
        None => {
            into.insert(path.to_owned(), value.clone());
        }
    }
}

/// What the value counts under only.
fn context(path: &str) -> Vec<String> {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut context = Vec::new();
    for part in ["service", "serviceMonitor", "podMonitor", "prometheusRule", "dashboard"] {
        if name != "enabled" && format!("{parent}.").starts_with(&format!("metrics.{part}.")) {
            context.push(format!("metrics.{part}.enabled=true"));
        }
    }
    if parent == "networkPolicy.egress" && name != "enabled" {
        context.push("networkPolicy.egress.enabled=true".to_owned());
    }
    if parent == "journal" && !matches!(name, "type" | "size") {
        context.push("journal.type=\"persistentVolumeClaim\"".to_owned());
    }
    if path == "serviceAccount.create" {
        context.push("serviceAccount.name=\"mine\"".to_owned());
    }
    context
}

/// Another value that the schema takes.
fn other(path: &str, value: &Value) -> Value {
    match path {
        "global" => return json!({"imageRegistry": "other.example.com"}),
        "endpointPolicy" => return json!({"rules": [{"hosts": ["other.example.com"]}]}),
        "image.digest" => return format!("sha256:{}", "0".repeat(64)).into(),
        "image.pullPolicy" => return "Always".into(),
        "journal.type" => return "none".into(),
        "journal.size" => return "2Gi".into(),
        "config.logFormat" => return "text".into(),
        "dnsPolicy" => return "Default".into(),
        "hostUsers" => return false.into(),
        "journal.accessModes" => return json!(["ReadWriteMany"]),
        "networkPolicy.egress.ports" => return json!([1]),
        "watchNamespaces" | "extraArgs" => return json!(["other"]),
        _ => {}
    }
    match value {
        Value::Bool(value) => (!value).into(),
        Value::Number(number) => (number.as_i64().unwrap() + 1).into(),
        Value::String(_) if path.ends_with("nterval") || path.ends_with("Timeout") => "7s".into(),
        Value::String(_) => "other".into(),
        Value::Array(_) => json!([{"name": "other"}]),
        Value::Object(_) => json!({"other": "other"}),
        Value::Null => panic!("{path} needs a value of its own here"),
    }
}

async fn render(set: &[String]) -> String {
    let chart = chart();
    let mut arguments = vec!["template", "x", chart.to_str().unwrap()];
    arguments.extend(set.iter().flat_map(|set| ["--set-json", set]));
    helm(None, &arguments).await.unwrap()
}

#[test]
fn each_value_changes_what_is_rendered() {
    run(async {
        let text = std::fs::read_to_string(chart().join("values.yaml")).unwrap();
        let mut values = BTreeMap::new();
        leaves(&serde_saphyr::from_str(&text).unwrap(), "", &mut values);
        assert!(values.len() > 100, "{}", values.len());
        let looks = futures::stream::iter(values).map(|(path, value)| async move {
            let context = context(&path);
            let mut changed = context.clone();
            changed.push(format!("{path}={}", other(&path, &value)));
            (render(&context).await == render(&changed).await).then_some(path)
        });
        let without: Vec<String> = looks.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
        assert_eq!(without, Vec::<String>::new(), "values without effect");
    });
}
