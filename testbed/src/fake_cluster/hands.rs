//! What people and other programs do to the cluster, past all plans.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::json::{child, list, map, meta, meta_text, set_meta};
use super::kind::Kind;
use super::managed::{self, Writer};
use super::rules;
use super::store::Key;
use super::{FakeCluster, Inner, lock};

/// The field manager of what is done by hand.
const MANAGER: &str = "kubectl-edit";

impl FakeCluster {
    /// The object, if it is there.
    #[must_use]
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Value>> {
        lock(&self.shared.inner).store.get(&place(kind, namespace, name))
    }

    /// The objects of a kind in a namespace, by name.
    #[must_use]
    pub fn list(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>> {
        let inner = lock(&self.shared.inner);
        inner.store.list(kind, Some(namespace))
    }

    /// The bytes of one key of a Secret.
    #[must_use]
    pub fn secret_value(&self, namespace: &str, name: &str, key: &str) -> Option<Vec<u8>> {
        let secret = self.get(Kind::Secret, namespace, name)?;
        STANDARD.decode(secret.get("data")?.get(key)?.as_str()?).ok()
    }

    /// Creates a namespace.
    pub fn create_namespace(&self, name: &str) {
        self.write(|inner| {
            let namespace = json!({ "metadata": { "name": name } });
            inner.restore(&place(Kind::Namespace, "", name), namespace);
        });
    }

    /// Creates an object, or puts it in the place of the one with its name; the status counts too. A status of a
    /// RefreshableToken that is missing becomes the default one.
    ///
    /// This is how an object comes back from a backup: it gets a new UID if the old one is gone.
    pub fn put(&self, kind: Kind, object: Value) {
        self.write(|inner| {
            let key = place(kind, meta_text(&object, "namespace"), meta_text(&object, "name"));
            inner.restore(&key, object);
        });
    }

    /// A Secret with these values and labels, as [`put`](Self::put) takes it.
    #[must_use]
    pub fn secret(namespace: &str, name: &str, labels: &Value, values: &[(&str, &str)]) -> Value {
        let data: serde_json::Map<String, Value> =
            values.iter().map(|(key, value)| ((*key).to_owned(), STANDARD.encode(value).into())).collect();
        json!({ "metadata": { "namespace": namespace, "name": name, "labels": labels }, "type": "Opaque", "data": data })
    }

    /// Changes an object if it is there; the generation counts for a custom resource. Tells whether it is there.
    pub fn edit(&self, kind: Kind, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) -> bool {
        self.write(|inner| {
            let key = place(kind, namespace, name);
            let Some(before) = inner.store.get(&key) else { return false };
            let mut after = Value::clone(&before);
            change(&mut after);
            rules::decode(kind, &mut after);
            if before.get("spec") != after.get("spec") {
                let generation = meta(&before, "generation").and_then(Value::as_i64).unwrap_or(0) + 1;
                set_meta(&mut after, "generation", Some(generation.into()));
            }
            inner.store_by_hand(&key, Some(&before), after);
            true
        })
    }

    /// Deletes an object, which its finalizers hold back.
    pub fn delete(&self, kind: Kind, namespace: &str, name: &str) {
        self.write(|inner| inner.remove(&place(kind, namespace, name)));
    }

    /// Deletes an object and takes its finalizers away first.
    pub fn delete_by_force(&self, kind: Kind, namespace: &str, name: &str) {
        self.write(|inner| inner.store.remove(&place(kind, namespace, name)));
    }

    /// Deletes what has owners that are all gone; see the garbage collector. Gives how many objects that were.
    pub fn collect_garbage(&self) -> usize {
        self.write(Inner::collect_garbage)
    }

    /// Forgets the history: watches that lag behind, and those that begin from before, are told that their
    /// resourceVersion has expired.
    pub fn compact(&self) {
        self.write(|inner| inner.store.compact());
    }

    /// Ends the open watches of a client; of all clients if none is named.
    pub fn cut_watches(&self, client: Option<&str>) {
        self.write(|inner| {
            let named = inner.watches.values_mut().filter(|open| client.is_none_or(|client| client == open.client));
            named.for_each(|open| open.cut = true);
        });
    }

    fn write<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = lock(&self.shared.inner);
        let done = act(&mut inner);
        inner.wake();
        done
    }
}

impl Inner {
    /// Puts an object in place, whatever is there.
    fn restore(&mut self, key: &Key, mut object: Value) {
        let before = self.store.get(key);
        rules::decode(key.kind, &mut object);
        set_meta(&mut object, "managedFields", None);
        if let Some(before) = &before {
            for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
                set_meta(&mut object, field, meta(before, field).cloned());
            }
        } else {
            let status = object.get("status").cloned();
            let (uid, now) = (self.fresh_uid(), self.now());
            rules::prepare_create(key.kind, &mut object, &key.namespace, uid, &now);
            if let Some(status) = status {
                map(&mut object).insert("status".into(), status);
            }
        }
        self.store_by_hand(key, before.as_deref(), object);
    }

    fn store_by_hand(&mut self, key: &Key, before: Option<&Value>, mut after: Value) {
        let now = self.now();
        managed::update(key.kind, before, &mut after, &Writer { manager: MANAGER, status: false, now: &now });
        let deleted = meta(&after, "deletionTimestamp").is_some() && list(&after, "/metadata/finalizers").is_empty();
        if deleted {
            self.store.remove(key);
        } else {
            self.store.put(key, after);
        }
    }
}

/// Sets a value of a Secret; none takes the key away.
pub fn set_secret_value(secret: &mut Value, key: &str, value: Option<&[u8]>) {
    let data = child(map(secret), "data");
    match value {
        Some(value) => data.insert(key.to_owned(), STANDARD.encode(value).into()),
        None => data.remove(key),
    };
}

fn place(kind: Kind, namespace: &str, name: &str) -> Key {
    Key { kind, namespace: namespace.to_owned(), name: name.to_owned() }
}
