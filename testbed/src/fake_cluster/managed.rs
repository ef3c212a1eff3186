//! `metadata.managedFields`: who owns which field, by plain writes and by server-side apply.
//!
//! Follows `merge/update.go` of structured-merge-diff v6 and `util/managedfields` of apimachinery 0.36.

use serde_json::{Value, json};

use super::failure::Failure;
use super::fields::FieldSet;
use super::json::{list, set_meta, text};
use super::kind::{Kind, Shape};
use super::typed::{Comparison, fields_of, merge, remove, with_known_fields};

/// Fields of `metadata` that nobody owns (`internal/stripmeta.go`).
const UNOWNED: [&str; 9] = [
    "f:name",
    "f:namespace",
    "f:creationTimestamp",
    "f:selfLink",
    "f:uid",
    "f:clusterName",
    "f:generation",
    "f:managedFields",
    "f:resourceVersion",
];

/// Whoever writes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Writer<'a> {
    pub(super) manager: &'a str,
    /// The status subresource is written.
    pub(super) status: bool,
    /// The time for `managedFields[].time`.
    pub(super) now: &'a str,
}

/// One entry of `managedFields`.
#[derive(Clone, Debug)]
struct Entry {
    manager: String,
    applied: bool,
    api_version: String,
    subresource: String,
    time: String,
    fields: FieldSet,
}

impl Entry {
    fn read(value: &Value) -> Self {
        let read = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            manager: read("manager"),
            applied: text(value, "/operation") == Some("Apply"),
            api_version: read("apiVersion"),
            subresource: read("subresource"),
            time: read("time"),
            fields: value.get("fieldsV1").map(FieldSet::parse).unwrap_or_default(),
        }
    }

    fn write(&self) -> Value {
        let mut value = json!({
            "manager": self.manager, "operation": if self.applied { "Apply" } else { "Update" },
            "apiVersion": self.api_version, "time": self.time,
            "fieldsType": "FieldsV1", "fieldsV1": self.fields.render(),
        });
        if let (false, Some(map)) = (self.subresource.is_empty(), value.as_object_mut()) {
            map.insert("subresource".into(), self.subresource.clone().into());
        }
        value
    }

    fn is(&self, writer: &Writer<'_>, applied: bool) -> bool {
        let subresource = if writer.status { "status" } else { "" };
        self.manager == writer.manager && self.applied == applied && self.subresource == subresource
    }
}

fn read(object: &Value) -> Vec<Entry> {
    list(object, "/metadata/managedFields").iter().map(Entry::read).collect()
}

fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by(|a, b| {
        let key = |entry: &Entry| (!entry.applied, entry.time.clone(), entry.manager.clone(), entry.subresource.clone());
        key(a).cmp(&key(b))
    });
    let entries: Vec<Value> = entries.iter().map(Entry::write).collect();
    set_meta(object, "managedFields", (!entries.is_empty()).then_some(Value::Array(entries)));
}

/// The fields that a request of this kind cannot change (`GetResetFields` of the strategies of custom resources).
fn reset(kind: Kind, status: bool) -> &'static [&'static str] {
    match (kind.is_custom(), status) {
        (true, false) => &["f:status"],
        (true, true) => &["f:metadata", "f:spec"],
        (false, _) => &[],
    }
}

fn owned(fields: &FieldSet) -> FieldSet {
    let mut kept = fields.clone().without_top(&["f:apiVersion", "f:kind", "f:metadata"]);
    let mut metadata = fields.under("f:metadata").cloned().unwrap_or_default().without_top(&UNOWNED);
    metadata.mark(false);
    if !metadata.is_empty() {
        kept.set("f:metadata", metadata);
    }
    kept
}

/// Notes in `after` who owns what once it replaces `before` (nothing: it is created).
pub(super) fn update(kind: Kind, before: Option<&Value>, after: &mut Value, writer: &Writer<'_>) {
    let zero = kind.zero();
    let live = before.unwrap_or(&zero);
    let own = read(after);
    // Only the subresource's client cannot name managers; elsewhere what the body says counts, if it says anything.
    let cleared = is_reset(after) && !writer.status;
    let mut entries = if own.is_empty() || writer.status { read(live) } else { own };
    if cleared {
        entries.clear();
    }
    if entries.is_empty() && before.is_some() {
        return write(after, entries);
    }
    let changed = Comparison::of(live, after, kind.shape()).without_top(reset(kind, writer.status));
    let taken = changed.modified.union(&changed.added);
    for entry in &mut entries {
        entry.fields = entry.fields.difference(&taken).difference(&changed.removed);
    }
    let mine = owned(&taken);
    if !mine.is_empty() {
        take(&mut entries, kind, writer, false, mine);
    }
    write(after, entries);
}

/// The way to say that nobody owns anything: one empty entry.
fn is_reset(object: &Value) -> bool {
    let entries = list(object, "/metadata/managedFields");
    entries.len() == 1 && entries.iter().all(|entry| entry.as_object().is_some_and(serde_json::Map::is_empty))
}

fn take(entries: &mut Vec<Entry>, kind: Kind, writer: &Writer<'_>, applied: bool, fields: FieldSet) {
    let known = entries.iter_mut().find(|entry| entry.is(writer, applied));
    if let Some(entry) = known {
        entry.fields = if applied { fields } else { entry.fields.union(&fields) };
        writer.now.clone_into(&mut entry.time);
        return;
    }
    entries.push(Entry {
        manager: writer.manager.to_owned(),
        applied,
        api_version: kind.api_version(),
        subresource: if writer.status { "status".into() } else { String::new() },
        time: writer.now.to_owned(),
        fields,
    });
}

/// Server-side apply: what the object becomes.
pub(super) fn apply(
    kind: Kind,
    before: Option<&Value>,
    configuration: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, Failure> {
    if !list(configuration, "/metadata/managedFields").is_empty() {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let shape = kind.shape();
    let empty = json!({ "apiVersion": kind.api_version(), "kind": kind.name() });
    let live = before.unwrap_or(&empty);
    let mut entries = read(live);
    if entries.is_empty() && before.is_some() {
        // Whatever is there belongs to those who wrote before anybody applied (`internal/skipnonapplied.go`).
        let first = Writer { manager: "before-first-apply", ..writer.clone() };
        let fields = owned(&Comparison::of(&empty, live, shape).added);
        take(&mut entries, kind, &first, false, fields);
    }
    let last = entries.iter().find(|entry| entry.is(writer, true)).map(|entry| entry.fields.clone());
    // With its name, which keeps the rest of `metadata` from being taken away.
    let fields = fields_of(configuration, shape);
    let had_time = entries.iter().find(|entry| entry.is(writer, true)).map(|entry| entry.time.clone());
    take(&mut entries, kind, writer, true, fields);
    let mut object = merge(live, configuration, shape);
    if let Some(last) = last.filter(|last| !last.is_empty()) {
        object = prune(&object, &entries, &last, shape);
    }
    let changed = Comparison::of(live, &object, shape);
    let taken = changed.modified.union(&changed.added);
    let others = |entry: &&mut Entry| !entry.is(writer, true);
    let conflicts = entries.iter_mut().filter(others).filter(|entry| !entry.fields.intersection(&taken).is_empty()).count();
    if conflicts > 0 && !force {
        return Err(Failure::apply_conflict(conflicts));
    }
    for entry in entries.iter_mut().filter(others) {
        entry.fields = entry.fields.difference(&taken).difference(&changed.removed);
    }
    if let Some(entry) = entries.iter_mut().find(|entry| entry.is(writer, true)) {
        entry.fields = owned(&entry.fields);
        if let (true, Some(time)) = (same_but_managers(live, &object), had_time) {
            entry.time = time;
        }
    }
    write(&mut object, entries);
    Ok(object)
}

fn same_but_managers(live: &Value, object: &Value) -> bool {
    let bare = |object: &Value| {
        let mut object = object.clone();
        set_meta(&mut object, "managedFields", None);
        object
    };
    bare(live) == bare(object)
}

/// Takes away what the manager applied last time and nobody owns now.
fn prune(merged: &Value, entries: &[Entry], last: &FieldSet, shape: &Shape) -> Value {
    let take_away = |set: &FieldSet| remove(merged, set, shape).unwrap_or_else(|| json!({}));
    let last = with_known_fields(last, shape);
    let all = with_known_fields(&fields_of(merged, shape), shape);
    let pruned = take_away(&last);
    let owned = entries.iter().fold(FieldSet::default(), |all, entry| all.union(&entry.fields));
    let kept = with_known_fields(&fields_of(&pruned, shape), shape).union(&with_known_fields(&owned, shape));
    let pruned = take_away(&all.difference(&kept));
    let kept = with_known_fields(&fields_of(&pruned, shape), shape);
    take_away(&all.difference(&kept).intersection(&last))
}

/// An object that differs from the stored one in nothing but the times of `managedFields` keeps those times, so that it is
/// no change (`IgnoreManagedFieldsTimestampsTransformer`).
pub(super) fn keep_times(before: &Value, after: &mut Value) {
    let timeless = |object: &Value| -> Vec<Value> {
        let strip = |mut entry: Entry| {
            entry.time.clear();
            entry.write()
        };
        read(object).into_iter().map(strip).collect()
    };
    let (mut old, mut new) = (timeless(before), timeless(after));
    old.sort_by_key(Value::to_string);
    new.sort_by_key(Value::to_string);
    if old == new && same_but_managers(before, after) {
        let stored = before.pointer("/metadata/managedFields").cloned();
        set_meta(after, "managedFields", stored);
    }
}

/// The manager of a request that names none: the part of the user agent before the first `/`.
pub(super) fn manager_of(user_agent: &str) -> &str {
    user_agent.split('/').next().unwrap_or_default()
}
