//! Answers that are no success: `metav1.Status` as the API server writes it.

use serde_json::{Value, json};

use super::kind::Kind;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status code.
    pub code: u16,
    /// `reason` of the Status; empty: it has none.
    pub reason: &'static str,
    /// `message` of the Status.
    pub message: String,
    /// `details` of the Status.
    pub details: Option<Value>,
    /// Seconds for a `Retry-After` header.
    pub retry_after: Option<u32>,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self { code, reason, message, details: None, retry_after: None }
    }

    fn about(mut self, kind: Kind, name: &str) -> Self {
        self.details = Some(json!({ "name": name, "group": kind.group(), "kind": kind.plural() }));
        self
    }

    /// What this fake does not know: a test that needs it must fail loudly, not pass by chance.
    pub(super) fn not_implemented(what: &str) -> Self {
        Self::new(501, "NotImplemented", format!("the fake cluster does not know {what}"))
    }

    pub(super) fn not_found(kind: Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", qualified(kind))).about(kind, name)
    }

    pub(super) fn already_exists(kind: Kind, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", qualified(kind))).about(kind, name)
    }

    pub(super) fn conflict(kind: Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", qualified(kind));
        Self::new(409, "Conflict", message).about(kind, name)
    }

    pub(super) fn changed(kind: Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// Fields of other managers would change.
    pub(super) fn apply_conflict(fields: usize) -> Self {
        Self::new(409, "Conflict", format!("Apply failed with {fields} conflicts"))
    }

    pub(super) fn invalid(kind: Kind, name: &str, field: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is invalid: {field}: {why}", kind.name());
        let mut failure = Self::new(422, "Invalid", message);
        let causes = json!([{ "reason": "FieldValueInvalid", "message": why, "field": field }]);
        failure.details = Some(json!({ "name": name, "group": kind.group(), "kind": kind.name(), "causes": causes }));
        failure
    }

    /// A JSON patch that does not fit the object, such as one with a failing test.
    pub(super) fn unprocessable(why: &str) -> Self {
        let mut failure = Self::new(422, "Invalid", "the server rejected our request due to an error in our request".into());
        failure.details = Some(json!({ "causes": [{ "reason": "UnexpectedServerResponse", "message": why }] }));
        failure
    }

    pub(super) fn bad_request(why: &str) -> Self {
        Self::new(400, "BadRequest", why.to_owned())
    }

    /// An error that the server did not class: a Status without a reason.
    pub(super) fn unclassed(why: &str) -> Self {
        Self::new(500, "", why.to_owned())
    }

    /// A resourceVersion that the server no longer remembers.
    pub(super) fn expired(why: &str) -> Self {
        Self::new(410, "Expired", why.to_owned())
    }

    pub(super) fn media_type(given: &str) -> Self {
        Self::new(415, "UnsupportedMediaType", format!("the body of the request was in an unknown format - {given}"))
    }

    /// A refusal by authorization, a webhook or a quota.
    #[must_use]
    pub fn forbidden(why: &str) -> Self {
        Self::new(403, "Forbidden", why.to_owned())
    }

    /// A refusal that a plan makes up, by its code: 403, 404, 409, 422, 429 (with `Retry-After: 1`), 500, 503 or 504.
    #[must_use]
    pub fn by_code(code: u16) -> Self {
        let reason = match code {
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            422 => "Invalid",
            429 => "TooManyRequests",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "InternalError",
        };
        let retry_after = (code == 429).then_some(1);
        Self { retry_after, ..Self::new(code, reason, format!("made up by a plan: {code}")) }
    }

    /// The Status.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": self.details, "code": self.code,
        });
        if let Some(body) = body.as_object_mut() {
            body.retain(|_, value| !value.is_null() && *value != "");
        }
        body
    }
}

/// `secrets`, or `leases.coordination.k8s.io`.
fn qualified(kind: Kind) -> String {
    let group = kind.group();
    if group.is_empty() { kind.plural().to_owned() } else { format!("{}.{group}", kind.plural()) }
}
