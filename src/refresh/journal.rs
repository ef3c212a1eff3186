//! What is kept of an exchange outside the state Secret, so that another process can end it: in the journal of the operator's
//! Pod, and in an escrow Secret when the state Secret cannot be written.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::provider::{Provider, RawBody, Reply};
use crate::refresh::state::{PADDING, State};

/// Version of the form. A reader refuses another one instead of losing what it does not know.
const VERSION: u32 = 1;

/// Where the state Secret of an exchange is.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Namespace of the object and its Secrets.
    pub namespace: String,
    /// Name of the state Secret.
    pub state_secret: String,
}

impl Place {
    /// The name of what is kept about this place: one entry, and the newest one replaces it.
    #[must_use]
    pub fn entry_name(&self) -> String {
        format!("{}/{}", self.namespace, self.state_secret)
    }
}

/// Name of the escrow Secret of the claim of this id, in the operator's namespace.
#[must_use]
pub fn escrow_name(claim: &str) -> String {
    format!("refreshable-token-escrow-{claim}")
}

/// An exchange as it stood when its request was about to be sent (the intent), or when the answer had come.
///
/// It holds the whole state, so that an entry can replace the one of an earlier exchange without a loss.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// Where the state Secret is.
    pub place: Place,
    /// Whom the request was made for: an answer is read as the API means it, even when the spec names another one by now.
    pub provider: Provider,
    /// The state with its claim, which is what the answer is added to.
    pub state: State,
    /// The answer; none in an intent.
    pub answer: Option<Answer>,
}

/// An answer as it came.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Answer {
    /// Status, header and body, before anything was read of them.
    pub reply: Reply,
    /// The answer ended before it was complete.
    pub partial: bool,
    /// The instant before the request was sent.
    pub sent: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    version: u32,
    place: Place,
    provider: Provider,
    state: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerForm {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    #[serde(default)]
    partial: bool,
    sent: DateTime<Utc>,
}

impl Entry {
    /// Id of the claim that the exchange was made under; empty if there is none.
    #[must_use]
    pub fn claim(&self) -> &str {
        self.state.claim.as_ref().map_or("", |claim| &claim.id)
    }

    /// JSON. Holds tokens.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut state = self.state.encode();
        // It only proves room in the cluster's store.
        state.remove(PADDING);
        let answer = self.answer.as_ref().map(|answer| AnswerForm {
            status: answer.reply.status,
            headers: answer.reply.headers.clone(),
            body: BASE64_STANDARD.encode(&answer.reply.body.0),
            partial: answer.partial,
            sent: answer.sent,
        });
        let form = Form {
            version: VERSION,
            place: self.place.clone(),
            provider: self.provider.clone(),
            state: state.into_iter().map(|(key, bytes)| (key, BASE64_STANDARD.encode(bytes))).collect(),
            answer,
        };
        // Strings, numbers and times only: nothing that serde_json refuses.
        serde_json::to_vec(&form).unwrap_or_default()
    }

    /// Reads what [`encode`](Self::encode) wrote; none for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let form: Form = serde_json::from_slice(bytes).ok().filter(|form: &Form| form.version == VERSION)?;
        let decoded = |(key, text): (String, String)| Some((key, BASE64_STANDARD.decode(text).ok()?));
        let state: Option<BTreeMap<_, _>> = form.state.into_iter().map(decoded).collect();
        let answer = match form.answer {
            None => None,
            Some(answer) => {
                let body = RawBody(BASE64_STANDARD.decode(answer.body).ok()?);
                let reply = Reply { status: answer.status, headers: answer.headers, body };
                Some(Answer { reply, partial: answer.partial, sent: answer.sent })
            }
        };
        Some(Self { place: form.place, provider: form.provider, state: State::decode(state?).ok()?, answer })
    }
}
