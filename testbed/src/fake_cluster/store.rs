//! What is stored: the objects, the counter of all writes, and the history that watches and stale reads are served from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::json::set_meta;
use super::kind::Kind;
use super::rules::stored;

/// Where the counter begins. Our choice: any number above 1 shows that nobody counts on its value.
const FIRST_REVISION: u64 = 1000;

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// One write.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) revision: u64,
    pub(super) key: Key,
    pub(super) before: Option<Arc<Value>>,
    /// None: deleted.
    pub(super) after: Option<Arc<Value>>,
}

/// The objects and their history.
#[derive(Debug)]
pub(super) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    revision: u64,
    history: Vec<Change>,
    /// Watches from before this revision are told that it has expired.
    forgotten: u64,
}

impl Default for Store {
    fn default() -> Self {
        let (revision, forgotten) = (FIRST_REVISION, FIRST_REVISION);
        Self { objects: BTreeMap::new(), revision, history: Vec::new(), forgotten }
    }
}

impl Store {
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(key).map(|object| stored(key.kind, object))
    }

    /// Whether this is what is stored, to the last default.
    pub(super) fn holds(&self, key: &Key, object: &Value) -> bool {
        self.objects.get(key).is_some_and(|stored| **stored == *object)
    }

    /// The objects of a kind, of one namespace or of all, by namespace and name.
    pub(super) fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let covered = |key: &Key| key.kind == kind && namespace.is_none_or(|wanted| wanted == key.namespace);
        self.objects.iter().filter(|(key, _)| covered(key)).map(|(_, object)| stored(kind, object)).collect()
    }

    /// Every object.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter()
    }

    /// Stores an object under the next revision and gives it as stored.
    pub(super) fn put(&mut self, key: &Key, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        set_meta(&mut object, "resourceVersion", Some(self.revision.to_string().into()));
        let object = Arc::new(object);
        let before = self.objects.insert(key.clone(), Arc::clone(&object));
        let object = stored(key.kind, &object);
        self.note(key, before, Some(Arc::clone(&object)));
        object
    }

    /// Removes an object under the next revision.
    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(before) = self.objects.remove(key) {
            self.revision += 1;
            self.note(key, Some(before), None);
        }
    }

    fn note(&mut self, key: &Key, before: Option<Arc<Value>>, after: Option<Arc<Value>>) {
        let before = before.map(|before| stored(key.kind, &before));
        self.history.push(Change { revision: self.revision, key: key.clone(), before, after });
    }

    /// Whether changes after this revision are no longer remembered.
    pub(super) fn has_forgotten(&self, revision: u64) -> bool {
        revision < self.forgotten
    }

    /// The first change after a revision that `wanted` accepts.
    pub(super) fn next_change(&self, after: u64, wanted: impl Fn(&Change) -> bool) -> Option<&Change> {
        let from = self.history.partition_point(|change| change.revision <= after);
        self.history.iter().skip(from).find(|change| wanted(change))
    }

    /// Forgets the history, as etcd's compaction does: watches from earlier revisions expire.
    pub(super) fn compact(&mut self) {
        self.forgotten = self.revision;
        self.history.clear();
    }

    /// The store as it was some writes ago, as far as it is remembered.
    pub(super) fn earlier(&self, writes: u64) -> Self {
        let revision = self.revision.saturating_sub(writes).max(self.forgotten);
        let mut objects = self.objects.clone();
        for change in self.history.iter().rev().take_while(|change| change.revision > revision) {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), Arc::clone(before)),
                None => objects.remove(&change.key),
            };
        }
        Self { objects, revision, history: Vec::new(), forgotten: revision }
    }
}
