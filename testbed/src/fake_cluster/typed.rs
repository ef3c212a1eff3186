//! Objects seen as fields: what differs, what a configuration names, what is merged and what is taken away.
//!
//! Follows structured-merge-diff v6 (`typed/compare.go`, `tofieldset.go`, `merge.go`, `remove.go`), which the API server uses.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fields::FieldSet;
use super::kind::Shape;

/// The parts of a value that are fields of their own, by step.
type Children<'a> = BTreeMap<String, (&'a Value, &'a Shape)>;

/// How two versions of an object differ.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) added: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) removed: FieldSet,
}

impl Comparison {
    pub(super) fn of(before: &Value, after: &Value, shape: &Shape) -> Self {
        let mut comparison = Self::default();
        comparison.walk(Some(before), Some(after), shape, &mut Vec::new());
        comparison
    }

    fn walk(&mut self, before: Option<&Value>, after: Option<&Value>, shape: &Shape, path: &mut Vec<String>) {
        let old = before.map(|before| children(before, shape)).unwrap_or_default();
        let new = after.map(|after| children(after, shape)).unwrap_or_default();
        if old.is_empty() && new.is_empty() {
            // Nothing below on either side: a leaf.
            return self.note(before, after, path);
        }
        for step in old.keys().chain(new.keys().filter(|step| !old.contains_key(*step))) {
            let (one, other) = (old.get(step), new.get(step));
            let below = one.or(other).map_or(&Shape::Deduced, |(_, shape)| *shape);
            path.push(step.clone());
            self.walk(one.map(|(value, _)| *value), other.map(|(value, _)| *value), below, path);
            path.pop();
        }
        if before.is_none() || after.is_none() {
            self.note(before, after, path);
        }
    }

    fn note(&mut self, before: Option<&Value>, after: Option<&Value>, path: &[String]) {
        match (before, after) {
            (None, _) => self.added.insert(path),
            (_, None) => self.removed.insert(path),
            (Some(before), Some(after)) if before != after => self.modified.insert(path),
            (Some(_), Some(_)) => {}
        }
    }

    /// Without fields of the top level that this request cannot change.
    pub(super) fn without_top(self, steps: &[&str]) -> Self {
        Self {
            added: self.added.without_top(steps),
            modified: self.modified.without_top(steps),
            removed: self.removed.without_top(steps),
        }
    }
}

fn children<'a>(value: &'a Value, shape: &'a Shape) -> Children<'a> {
    match (shape, value) {
        (Shape::Deduced | Shape::Struct(_), Value::Object(map)) => {
            map.iter().map(|(key, below)| (format!("f:{key}"), (below, shape.field(key).0))).collect()
        }
        (Shape::Set, Value::Array(list)) => list.iter().map(|item| (format!("v:{item}"), (item, &Shape::Atomic))).collect(),
        (Shape::Keyed(key, below), Value::Array(list)) => {
            list.iter().map(|item| (keyed_step(key, item), (item, *below))).collect()
        }
        _ => Children::new(),
    }
}

fn keyed_step(key: &str, item: &Value) -> String {
    format!("k:{}", json!({ key: item.get(key) }))
}

/// The fields that a configuration names.
pub(super) fn fields_of(value: &Value, shape: &Shape) -> FieldSet {
    let mut set = FieldSet::default();
    for (step, (below, below_shape)) in children(value, shape) {
        let mut fields = fields_of(below, below_shape);
        let leaf = !splits(below, below_shape);
        let item = !step.starts_with("f:");
        let known = step.strip_prefix("f:").is_some_and(|name| shape.field(name).1);
        fields.mark(leaf || item || !known || below.as_object().is_some_and(Map::is_empty));
        if !fields.is_empty() {
            set.set(&step, fields);
        }
    }
    set
}

fn splits(value: &Value, shape: &Shape) -> bool {
    match shape {
        Shape::Atomic => false,
        Shape::Deduced | Shape::Struct(_) => value.is_object(),
        Shape::Set | Shape::Keyed(..) => value.is_array(),
    }
}

/// The set with those known fields that lead to a member as members too (`EnsureNamedFieldsAreMembers`).
pub(super) fn with_known_fields(set: &FieldSet, shape: &Shape) -> FieldSet {
    let mut wider = FieldSet::default();
    wider.mark(set.is_member());
    for (step, below) in set.steps() {
        let (below_shape, known) = match (step.strip_prefix("f:"), shape) {
            (Some(name), _) => shape.field(name),
            (None, Shape::Keyed(_, below)) => (*below, false),
            (None, _) => (&Shape::Deduced, false),
        };
        let mut next = with_known_fields(below, below_shape);
        next.mark(below.is_member() || known);
        wider.set(step, next);
    }
    wider
}

/// A value without the members of a set; none if nothing is left.
pub(super) fn remove(value: &Value, set: &FieldSet, shape: &Shape) -> Option<Value> {
    let keep = |step: &str, below: &Value, below_shape: &Shape| match set.under(step) {
        Some(under) if under.is_member() => None,
        Some(under) if !under.is_empty() && splits(below, below_shape) => remove(below, under, below_shape),
        _ => Some(below.clone()),
    };
    match (shape, value) {
        (Shape::Deduced | Shape::Struct(_), Value::Object(map)) => {
            let kept = map.iter().filter_map(|(key, below)| {
                keep(&format!("f:{key}"), below, shape.field(key).0).map(|below| (key.clone(), below))
            });
            Some(Value::Object(kept.collect())).filter(|kept| kept.as_object().is_some_and(|kept| !kept.is_empty()))
        }
        (Shape::Set, Value::Array(list)) => {
            keep_items(list.iter().filter_map(|item| keep(&format!("v:{item}"), item, &Shape::Atomic)))
        }
        (Shape::Keyed(key, below), Value::Array(list)) => {
            keep_items(list.iter().filter_map(|item| keep(&keyed_step(key, item), item, below)))
        }
        _ => Some(value.clone()),
    }
}

fn keep_items(items: impl Iterator<Item = Value>) -> Option<Value> {
    let items: Vec<Value> = items.collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

/// A configuration laid over a live object. New items of lists come last; the real server can weave them in between.
pub(super) fn merge(live: &Value, configuration: &Value, shape: &Shape) -> Value {
    match (shape, live, configuration) {
        (Shape::Deduced | Shape::Struct(_), Value::Object(old), Value::Object(new)) => {
            let mut merged = old.clone();
            for (key, value) in new {
                let value = old.get(key).map_or_else(|| value.clone(), |known| merge(known, value, shape.field(key).0));
                merged.insert(key.clone(), value);
            }
            Value::Object(merged)
        }
        (Shape::Set, Value::Array(old), Value::Array(new)) => {
            let fresh = new.iter().filter(|item| !old.contains(item));
            Value::Array(old.iter().chain(fresh).cloned().collect())
        }
        (Shape::Keyed(key, below), Value::Array(old), Value::Array(new)) => {
            let same = |item: &Value, other: &Value| item.get(*key) == other.get(*key);
            let merged = old.iter().map(|item| {
                new.iter().find(|other| same(item, other)).map_or_else(|| item.clone(), |other| merge(item, other, below))
            });
            let fresh = new.iter().filter(|item| !old.iter().any(|other| same(item, other))).cloned();
            Value::Array(merged.chain(fresh).collect())
        }
        _ => configuration.clone(),
    }
}
