//! What of an answer is compared: all but what no two clusters have in common.

use std::collections::HashMap;

use serde_json::{Value, json};

/// Replaces UIDs by the order in which they came, resourceVersions by how they stand to the one before, and times by a word.
#[derive(Default)]
pub struct View {
    uids: HashMap<String, usize>,
    versions: HashMap<String, u64>,
}

impl View {
    /// An answer to a request.
    pub fn answer(&mut self, code: u16, body: &Value) -> Value {
        if body["kind"] == "Status" {
            let details = &body["details"];
            let details = if code < 300 { json!([details["name"], details["kind"]]) } else { Value::Null };
            return json!([code, body["status"], body["reason"], details]);
        }
        let mut body = body.clone();
        if let Some(items) = body.get_mut("items") {
            items.as_array_mut().into_iter().flatten().for_each(|item| self.object(item));
            // The counter counts all writes of the cluster, not only those of this sequence.
            body["metadata"] = Value::Null;
        } else {
            self.object(&mut body);
        }
        json!([code, body])
    }

    /// An event of a watch.
    pub fn event(&mut self, event: &Value) -> Value {
        let mut object = event["object"].clone();
        self.object(&mut object);
        json!([event["type"], object])
    }

    fn object(&mut self, object: &mut Value) {
        let name = format!("{}/{}", object["kind"], object["metadata"]["name"]);
        if object["regarding"].is_object() {
            // What an Event of the old API would say; always there, and always empty here.
            object.as_object_mut().unwrap().retain(|key, value| !key.starts_with("deprecated") || !is_nothing(value));
        }
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
        for key in ["creationTimestamp", "deletionTimestamp"] {
            if metadata.get(key).is_some_and(Value::is_string) {
                metadata.insert(key.into(), "time".into());
            }
        }
        metadata.remove("namespace");
        if let Some(uid) = metadata.get("uid").and_then(Value::as_str) {
            let next = self.uids.len();
            let number = *self.uids.entry(uid.to_owned()).or_insert(next);
            metadata.insert("uid".into(), number.into());
        }
        if let Some(version) = metadata.get("resourceVersion").and_then(Value::as_str) {
            let version: u64 = version.parse().unwrap();
            let before = self.versions.insert(name, version);
            let word = before.map_or("first", |before| match version.cmp(&before) {
                std::cmp::Ordering::Less => "older",
                std::cmp::Ordering::Equal => "same",
                std::cmp::Ordering::Greater => "newer",
            });
            metadata.insert("resourceVersion".into(), word.into());
        }
        if let Some(managers) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
            for manager in managers.iter_mut() {
                manager.as_object_mut().unwrap().remove("time");
            }
            managers.sort_by_key(Value::to_string);
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}
