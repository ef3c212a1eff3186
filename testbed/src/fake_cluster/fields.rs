//! Sets of field paths, as `managedFields` stores them (FieldsV1).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of paths. A step of a path is written as FieldsV1 writes it: `f:name`, `k:{"uid":"…"}`, `v:"value"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    here: bool,
    below: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    /// Adds a path. The empty path is the whole object, which nobody owns.
    pub(super) fn insert(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else { return };
        let next = self.below.entry(first.clone()).or_default();
        if rest.is_empty() {
            next.here = true;
        } else {
            next.insert(rest);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.here && self.below.values().all(Self::is_empty)
    }

    /// Whether the path that leads here is a member itself.
    pub(super) fn is_member(&self) -> bool {
        self.here
    }

    /// What is below a step.
    pub(super) fn under(&self, step: &str) -> Option<&Self> {
        self.below.get(step)
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = (&String, &Self)> {
        self.below.iter()
    }

    /// Adds a member directly below.
    pub(super) fn set(&mut self, step: &str, below: Self) {
        self.below.insert(step.to_owned(), below);
    }

    /// Marks the path that leads here as a member, or not.
    pub(super) fn mark(&mut self, here: bool) {
        self.here = here;
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a || b)
    }

    pub(super) fn difference(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a && !b)
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a && b)
    }

    /// Without a field of the top level and all that is below it.
    pub(super) fn without_top(mut self, steps: &[&str]) -> Self {
        self.below.retain(|step, _| !steps.contains(&step.as_str()));
        self
    }

    fn zip(&self, other: &Self, rule: fn(bool, bool) -> bool) -> Self {
        let none = Self::default();
        let steps = self.below.keys().chain(other.below.keys().filter(|step| !self.below.contains_key(*step)));
        let below = steps.filter_map(|step| {
            let (a, b) = (self.below.get(step).unwrap_or(&none), other.below.get(step).unwrap_or(&none));
            Some((step.clone(), a.zip(b, rule))).filter(|(_, set)| !set.is_empty())
        });
        Self { here: rule(self.here, other.here), below: below.collect() }
    }

    /// Reads FieldsV1.
    pub(super) fn parse(fields: &Value) -> Self {
        let Some(map) = fields.as_object() else { return Self::default() };
        let below = map.iter().filter(|(step, _)| *step != ".").map(|(step, below)| (step.clone(), Self::parse_below(below)));
        Self { here: map.contains_key("."), below: below.collect() }
    }

    fn parse_below(fields: &Value) -> Self {
        let mut set = Self::parse(fields);
        set.here |= set.below.is_empty();
        set
    }

    /// Writes FieldsV1.
    pub(super) fn render(&self) -> Value {
        let mut map = Map::new();
        if self.here && !self.below.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        map.extend(self.below.iter().map(|(step, below)| (step.clone(), below.render())));
        Value::Object(map)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_read_as_they_are_written() {
        let fields = json!({
            "f:data": {".": {}, "f:a": {}},
            "f:metadata": {"f:ownerReferences": {".": {}, "k:{\"uid\":\"u\"}": {}}, "f:finalizers": {"v:\"x\"": {}}},
        });
        assert_eq!(FieldSet::parse(&fields).render(), fields);
    }

    #[test]
    fn sets_are_combined_by_path() {
        let one = FieldSet::parse(&json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}}));
        let two = FieldSet::parse(&json!({"f:data": {"f:b": {}, "f:c": {}}}));
        assert_eq!(one.union(&two).render(), json!({"f:data": {".": {}, "f:a": {}, "f:b": {}, "f:c": {}}}));
        assert_eq!(one.difference(&two).render(), json!({"f:data": {".": {}, "f:a": {}}}));
        assert_eq!(one.intersection(&two).render(), json!({"f:data": {"f:b": {}}}));
        assert!(two.difference(&two).is_empty());
    }
}
