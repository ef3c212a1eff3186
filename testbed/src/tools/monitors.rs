//! JSON Schemas of the Prometheus Operator's kinds that the chart makes, for kubeconform, from the CustomResourceDefinitions in the
//! operator's Go module. Strict: a field that the version does not know is an error, while an API server would drop it silently.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::schemas::{TITLE, fetched, read};
use crate::cache;
use crate::go_build::kept;

const MODULE: &str = "github.com/prometheus-operator/prometheus-operator";
/// The newest that the Go module proxy had when this was written, with the module's checksum as in a `go.sum`.
const VERSION: (&str, &str) = ("0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=");
/// The module's files of definitions, and what kubeconform asks for: kind, the group's first label and version.
const KINDS: [(&str, &str); 3] = [
    ("servicemonitors-crd.json", "servicemonitor-monitoring-v1.json"),
    ("podmonitors-crd.json", "podmonitor-monitoring-v1.json"),
    ("prometheusrules-crd.json", "prometheusrule-monitoring-v1.json"),
];

/// The folder of the schemas, such as `servicemonitor-monitoring-v1.json`.
///
/// Blocks while they are made: seconds, once per machine. Fails if there is no recent enough `go` or the module is not the one that is
/// pinned.
pub fn monitors() -> anyhow::Result<PathBuf> {
    let (version, _) = VERSION;
    let all = cache::folder()?.join("tools");
    kept(TITLE, &all, &format!("prometheus-operator-schemas-{version}"), &KINDS.map(|(_, file)| file), make)
}

fn make(folder: &Path) -> anyhow::Result<()> {
    let (version, checksum) = VERSION;
    eprintln!("{TITLE}: making the schemas of the Prometheus Operator {version}, once");
    let sources = fetched(folder, &format!("{MODULE}@v{version}"), checksum)?;
    for (source, file) in KINDS {
        let definition = read(&sources.join("jsonnet/prometheus-operator").join(source))?;
        let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema");
        let schema = strict(schema.with_context(|| format!("{source} has no schema"))?);
        fs::write(folder.join("out").join(file), schema.to_string())?;
    }
    Ok(())
}

/// The schema, where each object with named fields refuses all others.
fn strict(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(strict).collect(),
        Value::Object(fields) => {
            let mut fields: Map<_, _> = fields.iter().map(|(name, inner)| (name.clone(), strict(inner))).collect();
            // A field may be called `properties`; what is meant here has schemas in it.
            let named = fields.get("properties").and_then(Value::as_object);
            if named.is_some_and(|named| named.values().all(Value::is_object)) {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            Value::Object(fields)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_are_refused_at_every_depth() {
        let schema = strict(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"endpoints": {"type": "array", "items": {"type": "object", "properties": {
                "port": {"type": "string"},
            }}}}},
            "metadata": {"type": "object"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }}));
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["spec"]["properties"]["endpoints"]["items"]["additionalProperties"], false);
        assert_eq!(schema["properties"]["metadata"], json!({"type": "object"}), "its fields are Kubernetes' own");
        assert_eq!(schema["properties"]["labels"]["additionalProperties"]["type"], "string");
    }
}
