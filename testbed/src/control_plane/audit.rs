//! Reads the API server's audit log: who asked for what.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::Value;

/// One request, at level Metadata; empty texts where the request has no such part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// The API server's id of the request.
    pub audit_id: String,
    /// What is counted by.
    pub key: AuditKey,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object; empty for a create, list or watch.
    pub name: String,
    /// Path and query as sent.
    pub uri: String,
    /// HTTP status code; 0 if there was no answer.
    pub code: u64,
}

/// What requests are counted by.
///
/// The verb is in RBAC's words: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`,
/// `deletecollection` (a server-side apply is a `patch`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditKey {
    /// Name of the user, as authenticated.
    pub user: String,
    /// The client's own name for itself.
    pub user_agent: String,
    /// What was done.
    pub verb: String,
    /// API group; empty for the core group and for paths that are no resource.
    pub group: String,
    /// Plural; empty for a path that is no resource, such as `/readyz`.
    pub resource: String,
    /// Such as `status`.
    pub subresource: String,
}

/// One event per request, in the order in which they were first written.
///
/// A watch is written when it starts and again when it ends: the later event replaces the earlier.
/// A last line without its end is still being written and left out.
pub(super) fn parse(log: &str) -> anyhow::Result<Vec<AuditEvent>> {
    let mut events: Vec<AuditEvent> = Vec::new();
    let mut positions = BTreeMap::new();
    for line in log.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let value: Value = serde_json::from_str(line).context("parse an audit event")?;
        let event = event(&value);
        let next = events.len();
        let position = *positions.entry(event.audit_id.clone()).or_insert(next);
        match events.get_mut(position) {
            Some(earlier) => *earlier = event,
            None => events.push(event),
        }
    }
    Ok(events)
}

/// Number of requests by user and kind.
pub(super) fn count(events: impl IntoIterator<Item = AuditEvent>) -> BTreeMap<AuditKey, u64> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event.key).or_default() += 1;
    }
    counts
}

fn event(value: &Value) -> AuditEvent {
    let text = |pointer| {
        let found = value.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    AuditEvent {
        audit_id: text("/auditID"),
        key: AuditKey {
            user: text("/user/username"),
            user_agent: text("/userAgent"),
            verb: text("/verb"),
            group: text("/objectRef/apiGroup"),
            resource: text("/objectRef/resource"),
            subresource: text("/objectRef/subresource"),
        },
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        uri: text("/requestURI"),
        code: value.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCH_STARTED: &str = r#"{"auditID":"w","stage":"ResponseStarted","verb":"watch","user":{"username":"op"},"objectRef":{"resource":"secrets"},"responseStatus":{"code":200}}"#;
    const WATCH_ENDED: &str = r#"{"auditID":"w","stage":"ResponseComplete","verb":"watch","user":{"username":"op"},"objectRef":{"resource":"secrets"},"responseStatus":{"code":200}}"#;
    const STATUS: &str = r#"{"auditID":"s","stage":"ResponseComplete","verb":"patch","user":{"username":"op"},"userAgent":"x/1","requestURI":"/apis/g/v1/things/a/status","objectRef":{"apiGroup":"g","resource":"things","subresource":"status","namespace":"n","name":"a"},"responseStatus":{"code":409}}"#;

    #[test]
    fn a_watch_that_started_and_ended_is_one_request() {
        let events = parse(&format!("{WATCH_STARTED}\n{STATUS}\n{WATCH_ENDED}\n")).unwrap();
        let verbs: Vec<_> = events.iter().map(|event| event.key.verb.as_str()).collect();
        assert_eq!(verbs, ["watch", "patch"]);
        assert_eq!(count(events).values().sum::<u64>(), 2);
    }

    #[test]
    fn an_event_keeps_the_parts_of_its_object() {
        let events = parse(&format!("{STATUS}\n")).unwrap();
        let expected = AuditEvent {
            audit_id: "s".into(),
            key: AuditKey {
                user: "op".into(),
                user_agent: "x/1".into(),
                verb: "patch".into(),
                group: "g".into(),
                resource: "things".into(),
                subresource: "status".into(),
            },
            namespace: "n".into(),
            name: "a".into(),
            uri: "/apis/g/v1/things/a/status".into(),
            code: 409,
        };
        assert_eq!(events, [expected]);
    }

    #[test]
    fn a_line_that_is_still_being_written_is_left_out() {
        let events = parse(&format!("{STATUS}\n{}", &WATCH_STARTED[..20])).unwrap();
        assert_eq!(events.len(), 1);
    }
}
