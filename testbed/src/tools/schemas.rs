//! JSON Schemas of the built-in kinds of Kubernetes versions, for kubeconform, made from the OpenAPI document that each version's
//! own Go module carries. Strict: a field that the version does not know is an error.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};

use crate::cache;
use crate::go_build::{GoCommand, kept};

pub(super) const TITLE: &str = "chart tools";
const MODULE: &str = "k8s.io/kubernetes";
/// Which `go` can fetch the modules; our choice, as for the control plane.
const GO: &str = "1.26.0";
const DEFINITIONS: &str = "_definitions.json";

/// The versions that the chart is checked against: the newest patch of each minor version that it supports that the Go module proxy
/// had when this was written, with the module's checksum as in a `go.sum`.
pub const KUBERNETES_VERSIONS: [(&str, &str); 7] = [
    ("1.30.14", "h1:MrlKXh9uhLIJpyxOeXhcndzRVSvwiV9iJ8NgH8nqPsg="),
    ("1.31.14", "h1:UtjLfqvXLuSVDdJ4+NpQCIfFkKkLnAAVmxAEMsnkhjk="),
    ("1.32.13", "h1:5TGYdZ6YZqdp6h/Rp1vX/4TIoybMPdgv97LCZCtPuNQ="),
    ("1.33.13", "h1:bmH31xUdSzeA5vk0wZAK9MZp11mdLuzUSeKk0qN3hPQ="),
    ("1.34.4", "h1:Yy6R4QB8C9kJPp25GFqEvX5XQwY5qzKeqD0Xx6oAcmk="),
    ("1.35.4", "h1:o/8dBC/pHVpYoGV4OAIytAlNPZbdYVTXJHoYvXC4qzM="),
    ("1.36.3", "h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o="),
];

/// The folder with one folder of schemas for each of [`KUBERNETES_VERSIONS`], such as `v1.30.14/deployment-apps-v1.json`.
///
/// Blocks while they are made: seconds a version, once per machine. Fails if there is no recent enough `go` or a module is not the
/// one that is pinned.
pub fn schemas() -> anyhow::Result<PathBuf> {
    let all = cache::folder()?.join("tools/kubernetes-schemas");
    for (version, checksum) in KUBERNETES_VERSIONS {
        kept(TITLE, &all, &format!("v{version}"), &[DEFINITIONS], |folder| make(folder, version, checksum))?;
    }
    Ok(all)
}

fn make(folder: &Path, version: &str, checksum: &str) -> anyhow::Result<()> {
    eprintln!("{TITLE}: making the schemas of Kubernetes {version}, once");
    let document = fetched(folder, &format!("{MODULE}@v{version}"), checksum)?.join("api/openapi-spec/swagger.json");
    let document = read(&document)?;
    for (name, schema) in files(&document).context("find the definitions")? {
        fs::write(folder.join("out").join(name), schema.to_string())?;
    }
    Ok(())
}

/// The folder of a module's sources, below `folder`; fails unless its checksum, as in a `go.sum`, is this one.
pub(super) fn fetched(folder: &Path, module: &str, checksum: &str) -> anyhow::Result<PathBuf> {
    // Beside the result and removed with it: the sources are large, and nobody else needs them.
    let modules = folder.join("modules");
    let settings = [("GOMODCACHE", modules.as_os_str()), ("GOFLAGS", OsStr::new("-modcacherw"))];
    let go = GoCommand::new("go".as_ref(), folder, TITLE, GO)?;
    go.run(["mod", "download", "-json", module].map(OsStr::new), &settings, &format!("fetching {module}"))?;
    let fetched = fs::read_to_string(go.log())?;
    ensure!(fetched.contains(&format!("\"Sum\": \"{checksum}\"")), "{module} is not the module that is pinned: {fetched}");
    Ok(modules.join(module))
}

/// A file of JSON.
pub(super) fn read(path: &Path) -> anyhow::Result<Value> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("read the JSON of {}", path.display()))
}

/// File names and contents: one file with all definitions, and one for each kind that points into it.
fn files(document: &Value) -> Option<Vec<(String, Value)>> {
    let definitions = document.get("definitions")?.as_object()?;
    let strict: Map<_, _> = definitions.iter().map(|(name, schema)| (name.clone(), strict(name, schema))).collect();
    let mut files = vec![(DEFINITIONS.to_owned(), json!({ "definitions": strict }))];
    for (name, schema) in definitions {
        for kind in schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array).into_iter().flatten() {
            let word = |key: &str| kind.get(key).and_then(Value::as_str).unwrap_or_default().to_lowercase();
            // As kubeconform asks for them: the group's first label only.
            let group = word("group").split('.').next().filter(|group| !group.is_empty()).map(|group| format!("-{group}"));
            let file = format!("{}{}-{}.json", word("kind"), group.unwrap_or_default(), word("version"));
            files.push((file, json!({ "$ref": format!("{DEFINITIONS}#/definitions/{name}") })));
        }
    }
    Some(files)
}

/// A definition that refuses unknown fields, and takes numbers where Kubernetes reads them as text.
fn strict(name: &str, schema: &Value) -> Value {
    let mut schema = schema.clone();
    let Some(fields) = schema.as_object_mut() else { return schema };
    let number_or_text = fields.get("format").is_some_and(|format| format == "int-or-string");
    if number_or_text || name == "io.k8s.apimachinery.pkg.api.resource.Quantity" {
        return json!({ "type": ["string", "number"] });
    }
    if fields.contains_key("properties") {
        fields.insert("additionalProperties".into(), false.into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_refused_and_files_are_named_as_kubeconform_asks() {
        let document = json!({ "definitions": {
            "io.k8s.api.apps.v1.Deployment": {
                "type": "object", "properties": { "spec": { "type": "object" } },
                "x-kubernetes-group-version-kind": [{ "group": "apps", "kind": "Deployment", "version": "v1" }],
            },
            "io.k8s.api.networking.v1.NetworkPolicy": {
                "x-kubernetes-group-version-kind": [{ "group": "networking.k8s.io", "kind": "NetworkPolicy", "version": "v1" }],
            },
            "io.k8s.api.core.v1.Pod": { "x-kubernetes-group-version-kind": [{ "group": "", "kind": "Pod", "version": "v1" }] },
            "io.k8s.apimachinery.pkg.api.resource.Quantity": { "type": "string" },
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString": { "format": "int-or-string", "type": "string" },
        } });
        let files = files(&document).unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [DEFINITIONS, "deployment-apps-v1.json", "pod-v1.json", "networkpolicy-networking-v1.json"]);
        let strict = &files[0].1["definitions"];
        assert_eq!(strict["io.k8s.api.apps.v1.Deployment"]["additionalProperties"], false);
        assert_eq!(strict["io.k8s.apimachinery.pkg.api.resource.Quantity"]["type"], json!(["string", "number"]));
        assert_eq!(strict["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["type"], json!(["string", "number"]));
    }
}
