//! The words that stand in labels: closed sets.

use std::borrow::Cow;

use http::StatusCode;

use crate::operator::cluster::Trouble;
use crate::provider::Delivery;
use crate::refresh::exchange::Question;

/// The one controller there is.
pub(in crate::operator) const CONTROLLER: &str = "refreshabletoken";

/// What a token API is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new token.
    Refresh,
    /// The end of a token.
    Revoke,
    /// A step before the request of a new token.
    Step,
    /// The question what became of a token.
    Probe,
    /// The trial of a new token.
    Verify,
}

impl From<Question> for Operation {
    fn from(question: Question) -> Self {
        match question {
            Question::Step => Self::Step,
            Question::Probe => Self::Probe,
            Question::Verification => Self::Verify,
            Question::Retirement => Self::Revoke,
        }
    }
}

impl Operation {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Revoke => "revoke",
            Self::Step => "step",
            Self::Probe => "probe",
            Self::Verify => "verify",
        }
    }
}

/// How a Secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretWrite {
    /// POST.
    Create,
    /// PUT.
    Update,
    /// Server-side apply.
    Apply,
    /// Any other PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl SecretWrite {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Apply => "apply",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// What became of a request to the API server.
pub(super) fn result(trouble: Option<Trouble>) -> &'static str {
    match trouble {
        None => "success",
        Some(Trouble::Missing) => "missing",
        Some(Trouble::Conflict) => "conflict",
        Some(Trouble::Denied) => "denied",
        Some(Trouble::Unclear) => "unclear",
    }
}

/// The status code of an answer. One that nobody has registered is told by its class only: a server may make up what it likes,
/// and each new word would be a new series.
pub(super) fn code(delivery: &Delivery) -> Cow<'static, str> {
    let status = match delivery {
        Delivery::Answered(reply) => reply.status,
        Delivery::NotSent(_) => return "not_sent".into(),
        Delivery::Lost { .. } => return "lost".into(),
    };
    match StatusCode::from_u16(status) {
        Ok(code) if code.canonical_reason().is_some() => code.as_str().to_owned().into(),
        Ok(code) if code.is_informational() => "1xx".into(),
        Ok(code) if code.is_success() => "2xx".into(),
        Ok(code) if code.is_redirection() => "3xx".into(),
        Ok(code) if code.is_client_error() => "4xx".into(),
        Ok(code) if code.is_server_error() => "5xx".into(),
        Ok(_) | Err(_) => "other".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Lost, NotSent, RawBody, Reply};

    #[test]
    fn no_answer_can_make_up_a_word() {
        let mut words = std::collections::BTreeSet::new();
        for status in 0..=1000 {
            words.insert(code(&Delivery::Answered(Reply { status, headers: Vec::new(), body: RawBody::default() })));
        }
        assert!(words.contains("200") && words.contains("429") && words.contains("5xx") && words.contains("other"));
        assert!(words.len() < 80, "{words:?}");
        assert_eq!(code(&Delivery::NotSent(NotSent::NotConnected)), "not_sent");
        assert_eq!(code(&Delivery::Lost { why: Lost::Timeout, partial: None }), "lost");
    }
}
