//! The labelled Secrets of the watched namespaces as last seen: metadata only, never contents.
//!
//! What an idle object needs to know costs no request: whether its seed changed (resourceVersion), and whether each output is
//! there, ours, and unedited (managedFields: whoever changes a key takes it over from us).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource as _;
use kube::runtime::watcher::Event;
use serde::{Deserialize, Serialize};

use crate::api::{CONTENT_HASH_ANNOTATION, GROUP, NAME_LABEL, OUTPUT_MANAGER, ROLE_LABEL, RefreshableToken, WRITER_ANNOTATION};

/// A labelled Secret as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SeenSecret {
    /// `metadata.resourceVersion`.
    #[serde(rename = "v")]
    pub resource_version: String,
    /// `metadata.uid`.
    #[serde(rename = "u")]
    pub uid: String,
    /// Value of the role label.
    #[serde(rename = "r")]
    pub role: String,
    /// Value of the name label.
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    pub name_label: Option<String>,
    /// UIDs of its owners.
    #[serde(rename = "o", skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// One of its owners is a `RefreshableToken`.
    #[serde(rename = "us", skip_serializing_if = "is_false")]
    pub owned_by_us: bool,
    /// The hash that was written with its contents.
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// The object that writes it without owning it.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    /// Keys of its data that this operator manages.
    #[serde(rename = "k", skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Labels that this operator manages, its own aside.
    #[serde(rename = "l", skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Annotations that this operator manages, its own aside.
    #[serde(rename = "a", skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<String>,
    /// Somebody else manages the field `immutable`.
    #[serde(rename = "i", skip_serializing_if = "is_false")]
    pub immutable: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A Secret as it is remembered: as JSON, with names of a letter, which takes a third of the room of so many strings. There may be twenty
/// thousand.
#[derive(Debug)]
struct Packed {
    /// Its resourceVersion, as a number.
    version: u64,
    text: Box<str>,
}

impl Packed {
    fn new(secret: &SeenSecret) -> Self {
        // Of strings, lists and flags serde_json makes text always.
        let text = serde_json::to_string(secret).unwrap_or_default();
        Self { version: number(&secret.resource_version), text: text.into() }
    }

    fn unpack(&self) -> SeenSecret {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

type Place = (String, String);

/// The labelled Secrets of one or more namespaces.
#[derive(Debug, Default)]
pub struct SeenSecrets {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    secrets: HashMap<Place, Packed>,
    /// What a list that is under way has shown, per watch.
    listing: HashMap<usize, HashSet<Place>>,
}

impl SeenSecrets {
    /// The Secret as last seen.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<SeenSecret> {
        self.lock().secrets.get(&(namespace.to_owned(), name.to_owned())).map(Packed::unpack)
    }

    /// Its resourceVersion.
    #[must_use]
    pub fn version(&self, namespace: &str, name: &str) -> Option<String> {
        let inner = self.lock();
        inner.secrets.get(&(namespace.to_owned(), name.to_owned())).map(|secret| secret.unpack().resource_version)
    }

    /// Takes what a write of ours answered, so that the next decision does not rest on what was there before it.
    pub fn wrote(&self, metadata: &ObjectMeta) {
        if let Some((place, secret)) = read(metadata) {
            insert(&mut self.lock().secrets, place, &secret);
        }
    }

    /// The Secret is not there, or none of ours.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.lock().secrets.remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// Takes an event of the watch numbered `watch`, which covers `scope` (a namespace, or all). Gives the Secret that
    /// changed, when the watch is past its first list.
    pub fn take(&self, watch: usize, scope: Option<&str>, event: &Event<ObjectMeta>) -> Option<(Place, SeenSecret)> {
        let mut inner = self.lock();
        match event {
            Event::Init => {
                inner.listing.insert(watch, HashSet::new());
                None
            }
            Event::InitApply(metadata) => {
                let (place, secret) = read(metadata)?;
                inner.listing.entry(watch).or_default().insert(place.clone());
                let before = inner.secrets.get(&place).map(|known| known.unpack().resource_version);
                let changed = before.as_ref() != Some(&secret.resource_version);
                insert(&mut inner.secrets, place.clone(), &secret);
                changed.then_some((place, secret))
            }
            Event::InitDone => {
                let listed = inner.listing.remove(&watch).unwrap_or_default();
                let newest = listed.iter().filter_map(|place| inner.secrets.get(place)).map(|secret| secret.version).max();
                // What we wrote after the list was taken is not in it and yet there.
                inner.secrets.retain(|place, secret| {
                    let covered = scope.is_none_or(|namespace| namespace == place.0);
                    !covered || listed.contains(place) || secret.version > newest.unwrap_or(0)
                });
                None
            }
            Event::Apply(metadata) => {
                let (place, secret) = read(metadata)?;
                insert(&mut inner.secrets, place.clone(), &secret).then_some((place, secret))
            }
            Event::Delete(metadata) => {
                let (place, secret) = read(metadata)?;
                let known = inner.secrets.get(&place).is_none_or(|known| known.unpack().uid == secret.uid);
                if known {
                    inner.secrets.remove(&place);
                }
                Some((place, secret))
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic between two field writes cannot happen here; what a panicking thread left is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the newer of two versions; tells whether the new one was kept and differs.
fn insert(secrets: &mut HashMap<Place, Packed>, place: Place, secret: &SeenSecret) -> bool {
    let packed = Packed::new(secret);
    if let Some(known) = secrets.get(&place)
        && known.version >= packed.version
        && known.unpack().uid == secret.uid
    {
        return false;
    }
    secrets.insert(place, packed);
    true
}

/// A resourceVersion as a number (Kubernetes 1.35 and later promise that it is one and grows; etcd always did so).
pub(super) fn number(resource_version: &str) -> u64 {
    resource_version.parse().unwrap_or(0)
}

fn read(metadata: &ObjectMeta) -> Option<(Place, SeenSecret)> {
    let place = (metadata.namespace.clone()?, metadata.name.clone()?);
    Some((place, SeenSecret::of(metadata)))
}

impl SeenSecret {
    /// What there is to be seen of a Secret.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        let label = |name: &str| metadata.labels.as_ref().and_then(|labels| labels.get(name)).cloned();
        Self {
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            role: label(ROLE_LABEL).unwrap_or_default(),
            name_label: label(NAME_LABEL),
            owners: metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect(),
            owned_by_us: metadata.owner_references.iter().flatten().any(is_ours),
            content_hash: metadata.annotations.as_ref().and_then(|a| a.get(CONTENT_HASH_ANNOTATION)).cloned(),
            writer: metadata.annotations.as_ref().and_then(|a| a.get(WRITER_ANNOTATION)).cloned(),
            keys: managed(metadata, "/f:data"),
            labels: others(managed(metadata, "/f:metadata/f:labels")),
            annotations: others(managed(metadata, "/f:metadata/f:annotations")),
            immutable: metadata
                .managed_fields
                .iter()
                .flatten()
                .any(|entry| entry.fields_v1.as_ref().is_some_and(|f| f.0.get("f:immutable").is_some())),
        }
    }
}

fn is_ours(owner: &OwnerReference) -> bool {
    owner.kind == RefreshableToken::kind(&()) && owner.api_version.starts_with(GROUP)
}

/// The names below a field that this operator manages, by the creation or by server-side apply.
fn managed(metadata: &ObjectMeta, field: &str) -> Vec<String> {
    let ours = metadata.managed_fields.iter().flatten().filter(|entry| entry.manager.as_deref() == Some(OUTPUT_MANAGER));
    let fields = ours.filter_map(|entry| entry.fields_v1.as_ref()?.0.pointer(field)?.as_object());
    let names = fields.flat_map(|names| names.keys()).filter_map(|name| name.strip_prefix("f:")).map(str::to_owned);
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Without the names that every output bears.
fn others(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| name.split_once('/').is_none_or(|(domain, _)| domain != GROUP));
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(version: u64, keys: &[&str]) -> ObjectMeta {
        let data: serde_json::Map<_, _> = keys.iter().map(|key| (format!("f:{key}"), json!({}))).collect();
        serde_json::from_value(json!({
            "namespace": "ns", "name": "out", "uid": "u", "resourceVersion": version.to_string(),
            "labels": {ROLE_LABEL: "output", NAME_LABEL: "token"},
            "managedFields": [
                {"manager": OUTPUT_MANAGER, "operation": "Apply", "fieldsV1": {"f:data": data}},
                {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:other": {}}}},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn what_is_remembered_is_what_was_seen() {
        let labels = json!({ROLE_LABEL: "output", NAME_LABEL: "token"});
        let manager = json!({"manager": OUTPUT_MANAGER, "fieldsV1": {"f:data": {"f:a": {}}, "f:immutable": {}, "f:metadata": {
            "f:labels": {"f:team": {}}, "f:annotations": {"f:note": {}}}}});
        let owner = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "RefreshableToken", "name": "token", "uid": "o"});
        let full: ObjectMeta = serde_json::from_value(json!({
            "namespace": "ns", "name": "out", "uid": "u", "resourceVersion": "7", "labels": labels, "ownerReferences": [owner],
            "annotations": {CONTENT_HASH_ANNOTATION: "hash", WRITER_ANNOTATION: "writer"}, "managedFields": [manager],
        }))
        .unwrap();
        let seen = SeenSecret::of(&full);
        assert!(
            seen.immutable
                && seen.owned_by_us
                && [&seen.keys, &seen.labels, &seen.annotations].iter().all(|names| names.len() == 1)
        );
        for seen in [seen, SeenSecret::of(&metadata(8, &[]))] {
            assert_eq!(Packed::new(&seen).unpack(), seen);
        }
    }

    #[test]
    fn an_older_event_does_not_undo_what_our_own_write_answered() {
        let seen = SeenSecrets::default();
        seen.wrote(&metadata(7, &["a"]));
        assert_eq!(seen.take(0, None, &Event::Apply(metadata(6, &[]))), None);
        assert_eq!(seen.get("ns", "out").unwrap().keys, ["a"]);
        assert!(seen.take(0, None, &Event::Apply(metadata(8, &[]))).is_some(), "somebody took the key over");
        assert!(seen.get("ns", "out").unwrap().keys.is_empty());
    }

    #[test]
    fn a_new_list_forgets_what_is_gone_but_not_what_was_written_after_it() {
        let seen = SeenSecrets::default();
        let mut gone = metadata(3, &[]);
        gone.name = Some("gone".into());
        let mut later = metadata(9, &[]);
        later.name = Some("later".into());
        seen.wrote(&gone);
        seen.take(0, None, &Event::Init);
        seen.take(0, None, &Event::InitApply(metadata(5, &["a"])));
        seen.wrote(&later);
        seen.take(0, None, &Event::InitDone);
        assert!(seen.get("ns", "gone").is_none());
        assert!(seen.get("ns", "out").is_some() && seen.get("ns", "later").is_some());
    }

    #[test]
    fn a_deletion_is_told_and_forgotten() {
        let seen = SeenSecrets::default();
        seen.wrote(&metadata(5, &["a"]));
        assert!(seen.take(0, None, &Event::Delete(metadata(6, &["a"]))).is_some());
        assert!(seen.get("ns", "out").is_none());
    }
}
