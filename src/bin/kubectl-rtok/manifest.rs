//! Files of manifests: the objects of the operator's kinds in them, and what is wrong with them, without a cluster. Pure but for the
//! reading.

mod shape;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use refreshable_token_operator::api::{
    self, AllowedNamespaces, ClusterTokenProvider, Limits, ProviderKind, ProviderSpec, RefreshableToken, TokenProvider, validate,
    validate_provider, validate_with,
};
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::connect;
use crate::failure::Failure;
use crate::output::printable;
use shape::shape;

/// Largest file that is read. Our choice: larger ones cannot be meant.
const LARGEST: u64 = 16 * 1024 * 1024;
/// Most documents and values of a file. Our choice: more than what fits a cluster, and little enough for this machine.
const MOST_DOCUMENTS: usize = 100_000;
const MOST_VALUES: usize = 2_000_000;

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// A RefreshableToken that is valid.
    Valid(Box<RefreshableToken>),
    /// A provider that is valid: its kind and name.
    Provider(String),
    /// An object of one of these kinds that is not: its kind and name, and each mistake.
    Invalid(String, Vec<String>),
    /// Something else: its kind and name.
    Other(String),
}

/// A kind of the operator.
struct Kind {
    name: String,
    /// As in `apiVersion`.
    version: String,
    namespaced: bool,
    /// The schema of its spec.
    spec: Value,
}

/// The operator's kinds.
static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let kind = |crd| {
        let crd = serde_json::to_value(crd).unwrap_or_default();
        let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Kind {
            name: text("/spec/names/kind"),
            version: format!("{}/{}", api::GROUP, text("/spec/versions/0/name")),
            namespaced: text("/spec/scope") == "Namespaced",
            spec: crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").cloned().unwrap_or_default(),
        }
    };
    api::crds().into_iter().map(kind).collect()
});

/// The schema of metadata.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<ObjectMeta>().to_value()
});

/// The text of a file; of standard input for `-`.
pub fn read(path: &Path) -> Result<String, Failure> {
    let wrong = |what: String| Failure::usage(format!("{} {what}", path.display()));
    let mut bytes = Vec::new();
    let mut all = |file: &mut dyn Read| file.take(LARGEST + 1).read_to_end(&mut bytes);
    let size = if path == Path::new("-") {
        all(&mut std::io::stdin())
    } else {
        std::fs::File::open(path).and_then(|mut file| all(&mut file))
    };
    let size = size.map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if u64::try_from(size).is_ok_and(|size| size > LARGEST) {
        return Err(wrong("is larger than 16 MiB, which no manifest is".to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text".to_owned()))
}

/// The objects of a file, those in lists too, with `namespace` where they name none. An error tells the line only: the file may hold a
/// Secret too.
pub fn objects(text: &str, namespace: Option<&str>) -> Result<Vec<Value>, Failure> {
    let budget = serde_saphyr::budget!(max_documents: MOST_DOCUMENTS, max_nodes: MOST_VALUES, max_events: 4 * MOST_VALUES);
    let values: Result<Vec<Value>, _> = serde_saphyr::from_multiple_with_options(text, serde_saphyr::options!(budget: budget));
    let values = values.map_err(|error| {
        let line = error.location().map(|location| format!(", line {}, column {}", location.line(), location.column()));
        Failure::usage(format!("{}{}", wrong(&error), line.unwrap_or_default()))
    })?;
    let mut objects: Vec<Value> = values.into_iter().flat_map(items).filter(|value| !value.is_null()).collect();
    for object in &mut objects {
        let namespaced = known(object).is_none_or(|kind| kind.namespaced);
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| namespaced);
        if let (Some(metadata), Some(namespace)) = (metadata, namespace) {
            metadata.entry("namespace").or_insert_with(|| namespace.into());
        }
    }
    Ok(objects)
}

/// The kind of mistake, without a word of the text.
fn wrong(error: &serde_saphyr::Error) -> &'static str {
    match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { .. } => "a mapping has the same key twice",
        serde_saphyr::Error::Budget { .. } => "this is more YAML than is read: split the file",
        _ => "this is not YAML",
    }
}

/// The items of a List, or the value itself.
fn items(value: Value) -> Vec<Value> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    if kind == "List" || KINDS.iter().any(|known| kind.strip_suffix("List") == Some(known.name.as_str())) {
        return value.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    }
    vec![value]
}

/// The documents of a file, each token with its provider where that is in the file too.
pub fn documents(text: &str, namespace: Option<&str>) -> Result<Vec<Document>, Failure> {
    let objects = objects(text, namespace)?;
    let providers = Providers::of(&objects);
    Ok(objects.into_iter().map(|object| document(object, &providers)).collect())
}

/// A provider that objects can name.
struct Shared {
    spec: ProviderSpec,
    allowed: Option<AllowedNamespaces>,
}

/// The providers of some files, by kind, namespace and name.
#[derive(Default)]
pub struct Providers(BTreeMap<(ProviderKind, Option<String>, String), Shared>);

impl Providers {
    /// Those among some objects.
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut found = BTreeMap::new();
        for object in objects {
            let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned);
            let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned) else { continue };
            match known(object).map(|kind| kind.name.as_str()) {
                Some("TokenProvider") => {
                    let provider = serde_json::from_value::<TokenProvider>(object.clone()).ok();
                    let shared = provider.map(|provider| Shared { spec: provider.spec.provider, allowed: None });
                    found.extend(shared.map(|shared| ((ProviderKind::TokenProvider, namespace, name), shared)));
                }
                Some("ClusterTokenProvider") => {
                    let provider = serde_json::from_value::<ClusterTokenProvider>(object.clone()).ok();
                    let shared = provider
                        .map(|provider| Shared { spec: provider.spec.provider, allowed: Some(provider.spec.allowed_namespaces) });
                    found.extend(shared.map(|shared| ((ProviderKind::ClusterTokenProvider, None, name), shared)));
                }
                _ => {}
            }
        }
        Self(found)
    }

    /// The provider that an object names, if it is among them.
    fn named(&self, object: &RefreshableToken) -> Option<&Shared> {
        let reference = object.spec.provider_ref.as_ref()?;
        let namespace = match reference.kind() {
            ProviderKind::TokenProvider => object.metadata.namespace.clone(),
            ProviderKind::ClusterTokenProvider => None,
        };
        self.0.get(&(reference.kind(), namespace, reference.name.clone()))
    }
}

/// The kind of an object, if it is one of the operator's. Whoever leaves the version out means it too.
fn known(value: &Value) -> Option<&'static Kind> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let version = text("apiVersion");
    let ours = version.is_empty() || version.split('/').next() == Some(api::GROUP);
    KINDS.iter().find(|kind| ours && kind.name == text("kind"))
}

/// What an object is, and everything that is wrong with it.
pub fn document(value: Value, providers: &Providers) -> Document {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let named = printable(format!("{} {}", text("/kind"), text("/metadata/name")).trim());
    let Some(kind) = known(&value) else { return Document::Other(named) };
    let mut mistakes = kind.mistakes(&value);
    let mut token = None;
    if mistakes.is_empty() {
        let checked = match kind.name.as_str() {
            "TokenProvider" => serde_json::from_value(value)
                .map(|provider: TokenProvider| of_provider(&provider.spec.provider, provider.spec.limits, None)),
            "ClusterTokenProvider" => serde_json::from_value(value).map(|provider: ClusterTokenProvider| {
                of_provider(&provider.spec.provider, provider.spec.limits, Some(&provider.spec.allowed_namespaces))
            }),
            _ => serde_json::from_value(value).map(|object: RefreshableToken| {
                let mistake = of_token(&object, providers);
                token = Some(Box::new(object));
                mistake
            }),
        };
        // Such as a duration of the wrong form. serde repeats the value, which is no secret in a field of this kind.
        mistakes.extend(checked.unwrap_or_else(|error| Some(format!("spec: {error}"))));
    }
    match token {
        _ if !mistakes.is_empty() => Document::Invalid(named, mistakes.iter().map(|mistake| printable(mistake)).collect()),
        Some(token) => Document::Valid(token),
        None => Document::Provider(named),
    }
}

impl Kind {
    /// What the schemas refuse, field by field.
    fn mistakes(&self, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        if value.get("apiVersion").and_then(Value::as_str) != Some(&self.version) {
            found.push(format!("apiVersion: must be {}", self.version));
        }
        let name = value.pointer("/metadata/name").and_then(Value::as_str);
        if !name.is_some_and(api::name::is_name) {
            found.push("metadata.name: must be a lower case RFC 1123 subdomain of at most 253 characters".to_owned());
        }
        let namespace = value.pointer("/metadata/namespace").and_then(Value::as_str);
        if namespace.is_some_and(|namespace| connect::namespace(namespace).is_err()) {
            found.push("metadata.namespace: must be lower case letters, digits and '-', at most 63 characters".to_owned());
        }
        shape(value.get("metadata").unwrap_or(&Value::Null), &METADATA, "metadata", &mut found);
        for key in value.as_object().into_iter().flat_map(serde_json::Map::keys) {
            if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&key.as_str()) {
                found.push(format!("{key}: there is no such field"));
            }
        }
        match value.get("spec") {
            Some(spec) => shape(spec, &self.spec, "spec", &mut found),
            None => found.push("spec: is required".to_owned()),
        }
        found
    }
}

/// The rules of a token, by itself and with its provider.
fn of_token(object: &RefreshableToken, providers: &Providers) -> Option<String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let shared = providers.named(object);
    let joined = || shared.map_or(Ok(()), |shared| validate_with(name, &object.spec, &shared.spec));
    if let Err(invalid) = validate(name, &object.spec).and_then(|()| joined()) {
        return Some(invalid.to_string());
    }
    let namespace = object.metadata.namespace.as_deref()?;
    let allowed = shared?.allowed.as_ref()?.by_name(namespace);
    let provider = &object.spec.provider_ref.as_ref()?.name;
    (allowed == Some(false))
        .then(|| format!("spec.providerRef: ClusterTokenProvider {provider} does not allow namespace {namespace}"))
}

/// The rules of a provider that objects share.
fn of_provider(spec: &ProviderSpec, limits: Option<Limits>, allowed: Option<&AllowedNamespaces>) -> Option<String> {
    if let Err(invalid) = validate_provider(spec) {
        return Some(invalid.to_string());
    }
    if limits.is_some_and(|limits| limits.max_concurrent.is_none() && limits.requests_per_minute.is_none()) {
        return Some("spec.limits: must have maxConcurrent or requestsPerMinute".to_owned());
    }
    let nobody = allowed.is_some_and(|allowed| allowed.names.is_empty() && allowed.match_labels.is_none());
    nobody.then(|| "spec.allowedNamespaces: must have names or matchLabels (matchLabels: {} allows every namespace)".to_owned())
}

#[cfg(test)]
mod tests;
