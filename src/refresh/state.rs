//! The state Secret: the operator's one copy of a chain. Reading and writing of its contents, without any cluster.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::provider::RawBody;
use crate::token::{AccessToken, Fingerprint, HeldTokens, PreviousToken, RefreshToken, SecretText};

/// Key of the access token; plain text, so that a person can save it.
const ACCESS_TOKEN: &str = "access_token";
/// Key of the refresh token; plain text, so that a person can save it.
const REFRESH_TOKEN: &str = "refresh_token";
/// Key of the reference token.
const REFERENCE_TOKEN: &str = "reference_token";
/// Key of the access token before the newest, where an output asks for it. It came out of the key above: the padding of a claim
/// proves that it fits, as it does for the tokens that come.
const PREVIOUS_TOKEN: &str = "previous_access_token";
/// Key of everything that is no secret.
const STATE: &str = "state.json";
/// Key that fills a claimed state to the size that the largest answer needs.
pub(super) const PADDING: &str = "padding";
/// Key of an answer that could not be read.
const UNPARSED: &str = "unparsed_response";

/// How keys begin under which tokens stand beside another chain.
pub(super) const ORPHANED: &str = "orphaned.";

/// Size of the padding in bytes. Our choice: an access and a refresh token of 16 KiB each, the most that
/// common HTTP servers accept in a header field.
pub const PADDING_SIZE: usize = 32 * 1024;
/// How many closed claims are remembered. Our choice: more than are released before the newest status has come back through the watch.
const MOST_CLOSED: usize = 32;
/// How many seeds are remembered. Our choice: far more than people put in by hand, and a bound.
const MOST_SEEDS: usize = 32;

/// The contents of a state Secret.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct State {
    /// The newest tokens.
    pub tokens: HeldTokens,
    /// Refreshes committed; never goes back.
    pub generation: i64,
    /// The cluster and object that the chain belongs to.
    pub owner: Owner,
    /// The name of the key that `seeds` were made with.
    pub key: Option<Fingerprint>,
    /// Fingerprints of the seeds that were adopted, newest last.
    pub seeds: Vec<Fingerprint>,
    /// The exchange that is open.
    pub claim: Option<Claim>,
    /// The claims that were closed since the tokens came, oldest first: the one of the commit that brought them, and those that
    /// were released. A mark in the status that bears one of them is void. Not only the last: the status can still bear the mark
    /// of one that was released while others came and went.
    pub closed_claims: Vec<String>,
    /// The tokens came in a repeat: until then, on the API server's clock, a copy of an earlier request can still arrive, which must
    /// not be two generations old.
    pub rest_until: Option<DateTime<Utc>>,
    /// The token API said that this chain is over: its tokens are never presented again.
    pub chain_over: bool,
    /// An answer that could not be read, byte for byte.
    pub unparsed: Option<RawBody>,
    /// Keys that somebody else put there; kept as they are.
    pub foreign: BTreeMap<String, RawBody>,
}

/// Whom a chain belongs to.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// UID of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// Name of the `RefreshableToken`; its namespace is the Secret's.
    pub name: String,
    /// UID of the `RefreshableToken`.
    pub uid: String,
}

/// A claim: whoever wrote it, and nobody else, may present the token.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Name of this claim (UUID version 7).
    pub id: String,
    /// Who holds it: the operator's Pod.
    pub holder: String,
    /// Which process of the holder.
    pub process: String,
    /// Keyed fingerprint of the token that is about to be spent.
    pub fingerprint: String,
    /// When it was made, on the holder's clock.
    pub time: DateTime<Utc>,
    /// Id of the journal that the holder writes. The journal's folder is locked for as long as its process lives, so whoever has
    /// the lock knows that the holder of every other claim with this id is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// Id of the claim whose request is repeated under this one: what became of that request is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// When the first claim was written, on the API server's clock and in whole seconds: a grace window begins after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// When the access token has ended for certain, on the API server's clock: its lifetime after it was stored, or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ends: Option<DateTime<Utc>>,
    /// This is the one late repeat (reference protocol, step 13): whatever becomes of it, no other follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last_try: bool,
}

impl Claim {
    /// A claim of this name by a process of a Pod; what it is on, and when, is filled in by the exchange.
    #[must_use]
    pub fn new(id: String, holder: &str, process: &str) -> Self {
        Self {
            id,
            holder: holder.to_owned(),
            process: process.to_owned(),
            fingerprint: String::new(),
            time: DateTime::UNIX_EPOCH,
            journal: None,
            first: None,
            since: None,
            token_ends: None,
            last_try: false,
        }
    }

    /// Id of the first claim on this token: the same in every repeat, and so the key of an idempotent request.
    #[must_use]
    pub fn first_id(&self) -> &str {
        self.first.as_deref().unwrap_or(&self.id)
    }
}

/// Why the contents of a state Secret cannot be used. Names keys, never contents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum Malformed {
    /// It is no state Secret at all.
    #[error("the key state.json is missing: this Secret was not written by the operator")]
    NotState,
    /// It was edited into something unreadable.
    #[error("the key state.json cannot be read")]
    Unreadable,
    /// A token is not text.
    #[error("a token is not UTF-8 text")]
    NotText,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    version: u32,
    generation: i64,
    owner: Owner,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default)]
    seeds: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim: Option<Claim>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    closed_claims: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rest_until: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    chain_over: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_time: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiration_time: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token_expiration_time: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<PreviousFacts>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PreviousFacts {
    replaced_time: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiration_time: Option<DateTime<Utc>>,
}

/// Version of the contents' form. A reader of an older operator refuses a newer one instead of losing what it does not know.
const VERSION: u32 = 1;

impl State {
    /// The state without its claim, which is thereby closed.
    #[must_use]
    pub fn released(&self) -> Self {
        let mut closed_claims = self.closed_claims.clone();
        closed_claims.extend(self.claim.as_ref().map(|claim| claim.id.clone()));
        let surplus = closed_claims.len().saturating_sub(MOST_CLOSED);
        closed_claims.drain(..surplus);
        Self { claim: None, closed_claims, ..self.clone() }
    }

    /// Remembers the claims that somebody else has closed since, before those that were closed here.
    pub fn keep_closed(&mut self, closed: &[String]) {
        let ours = std::mem::replace(&mut self.closed_claims, closed.to_vec());
        self.closed_claims.extend(ours.into_iter().filter(|id| !closed.contains(id)));
        let surplus = self.closed_claims.len().saturating_sub(MOST_CLOSED);
        self.closed_claims.drain(..surplus);
    }

    /// Remembers the closed claim that the status names for longer than the others: forgotten, it would look like an open one.
    pub fn keep_named(&mut self, id: Option<&str>) {
        if let Some(at) = id.and_then(|id| self.closed_claims.iter().position(|closed| closed == id)) {
            let named = self.closed_claims.remove(at);
            self.closed_claims.push(named);
        }
    }

    /// Remembers a seed.
    pub fn adopt(&mut self, seed: Fingerprint) {
        self.seeds.retain(|known| *known != seed);
        self.seeds.push(seed);
        let surplus = self.seeds.len().saturating_sub(MOST_SEEDS);
        self.seeds.drain(..surplus);
    }

    /// What must not be lost of this state, under keys that can stand beside another chain: `orphaned.<why>.<key>`.
    #[must_use]
    pub fn set_aside(&self, why: &str) -> BTreeMap<String, RawBody> {
        let ours = Self { foreign: BTreeMap::new(), ..self.clone() }.encode();
        let kept = [ACCESS_TOKEN, REFRESH_TOKEN, REFERENCE_TOKEN, UNPARSED];
        let kept = ours.into_iter().filter(|(name, _)| kept.contains(&name.as_str()));
        kept.map(|(name, bytes)| (format!("{ORPHANED}{why}.{name}"), RawBody(bytes))).collect()
    }

    /// The data of the Secret. While a claim is open it is padded, so that the claim proves that the commit will fit.
    #[must_use]
    pub fn encode(&self) -> BTreeMap<String, Vec<u8>> {
        let tokens = &self.tokens;
        let facts = Facts {
            version: VERSION,
            generation: self.generation,
            owner: self.owner.clone(),
            key: self.key.as_ref().map(ToString::to_string),
            seeds: self.seeds.iter().map(ToString::to_string).collect(),
            claim: self.claim.clone(),
            closed_claims: self.closed_claims.clone(),
            rest_until: self.rest_until,
            chain_over: self.chain_over,
            issued_time: tokens.issued_time,
            expiration_time: tokens.expiration_time,
            refresh_token_expiration_time: tokens.refresh_token_expiration_time,
            token_id: tokens.token_id.clone(),
            scope: tokens.scope.clone(),
            subject: tokens.subject.clone(),
            previous: tokens.previous.as_ref().map(|previous| PreviousFacts {
                replaced_time: previous.replaced_time,
                expiration_time: previous.expiration_time,
            }),
        };
        // Facts holds strings, numbers and times only: no map with odd keys, nothing that serde_json refuses.
        let facts = serde_json::to_vec(&facts).unwrap_or_default();
        let mut data: BTreeMap<String, Vec<u8>> =
            self.foreign.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
        data.insert(STATE.to_owned(), facts);
        let mut token = |key: &str, text: Option<&str>| {
            if let Some(text) = text {
                data.insert(key.to_owned(), text.as_bytes().to_vec());
            }
        };
        token(ACCESS_TOKEN, tokens.access_token.as_ref().map(AccessToken::reveal));
        token(REFRESH_TOKEN, tokens.refresh_token.as_ref().map(RefreshToken::reveal));
        token(REFERENCE_TOKEN, tokens.reference_token.as_ref().map(SecretText::reveal));
        token(PREVIOUS_TOKEN, tokens.previous.as_ref().map(|previous| previous.access_token.reveal()));
        if let Some(raw) = &self.unparsed {
            data.insert(UNPARSED.to_owned(), raw.0.clone());
        }
        if self.claim.is_some() && self.unparsed.is_none() {
            data.insert(PADDING.to_owned(), vec![b'.'; PADDING_SIZE]);
        }
        data
    }

    /// Reads the data of a Secret.
    pub fn decode(mut data: BTreeMap<String, Vec<u8>>) -> Result<Self, Malformed> {
        let facts = data.remove(STATE).ok_or(Malformed::NotState)?;
        let facts: Facts = serde_json::from_slice(&facts).map_err(|_| Malformed::Unreadable)?;
        if facts.version != VERSION {
            return Err(Malformed::Unreadable);
        }
        let mut text = |key: &str| match data.remove(key) {
            Some(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| Malformed::NotText),
            None => Ok(None),
        };
        // One without the other was edited: nothing hangs on it.
        let previous = text(PREVIOUS_TOKEN)?.map(AccessToken::new).zip(facts.previous);
        let tokens = HeldTokens {
            access_token: text(ACCESS_TOKEN)?.map(AccessToken::new),
            refresh_token: text(REFRESH_TOKEN)?.map(RefreshToken::new),
            reference_token: text(REFERENCE_TOKEN)?.map(SecretText::new),
            issued_time: facts.issued_time,
            expiration_time: facts.expiration_time,
            refresh_token_expiration_time: facts.refresh_token_expiration_time,
            token_id: facts.token_id,
            scope: facts.scope,
            subject: facts.subject,
            previous: previous.map(|(access_token, facts)| PreviousToken {
                access_token,
                replaced_time: facts.replaced_time,
                expiration_time: facts.expiration_time,
            }),
        };
        data.remove(PADDING);
        let unparsed = data.remove(UNPARSED).map(RawBody);
        Ok(Self {
            tokens,
            generation: facts.generation,
            owner: facts.owner,
            key: facts.key.map(Fingerprint::from_stored),
            seeds: facts.seeds.into_iter().map(Fingerprint::from_stored).collect(),
            claim: facts.claim,
            closed_claims: facts.closed_claims,
            rest_until: facts.rest_until,
            chain_over: facts.chain_over,
            unparsed,
            foreign: data.into_iter().map(|(key, value)| (key, RawBody(value))).collect(),
        })
    }
}

/// A state Secret as it was read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StoredState {
    /// Its contents.
    pub state: State,
    /// What a write must name to be sure that nobody wrote in between.
    pub version: Version,
    /// The Secret's data cannot be changed.
    pub immutable: bool,
    /// The Secret is being deleted.
    pub deleting: bool,
}

/// The identity of one written version of a Secret, and the metadata that others put on it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Version {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// Labels that others put there.
    pub labels: BTreeMap<String, String>,
    /// Annotations that others put there.
    pub annotations: BTreeMap<String, String>,
    /// Finalizers that others put there.
    pub finalizers: Vec<String>,
    /// When this operator last changed the Secret, on the API server's clock and in whole seconds (`managedFields`).
    pub written: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_closed_claim_that_the_status_names_outlives_the_others() {
        let mut state = State { closed_claims: vec!["named".to_owned()], ..State::default() };
        for number in 0..3 * MOST_CLOSED {
            state.keep_named(Some("named"));
            state.keep_named(Some("unknown"));
            state.claim = Some(Claim::new(format!("claim {number}"), "pod", "process"));
            state = state.released();
            assert!(state.closed_claims.contains(&"named".to_owned()), "{number}");
        }
        assert_eq!((state.closed_claims.len(), state.claim), (MOST_CLOSED, None));
    }

    fn full() -> State {
        State {
            tokens: HeldTokens {
                access_token: Some(AccessToken::new("a")),
                refresh_token: Some(RefreshToken::new("r\n\"quoted\"")),
                reference_token: Some(SecretText::new("ref")),
                issued_time: DateTime::from_timestamp(1, 5),
                expiration_time: DateTime::from_timestamp(2, 0),
                refresh_token_expiration_time: DateTime::from_timestamp(3, 0),
                token_id: Some("id".into()),
                scope: Some("scope".into()),
                subject: Some("subject".into()),
                previous: Some(PreviousToken {
                    access_token: AccessToken::new("before"),
                    replaced_time: DateTime::from_timestamp(1, 5).unwrap(),
                    expiration_time: DateTime::from_timestamp(2, 5),
                }),
            },
            generation: 7,
            owner: Owner { cluster: "c".into(), name: "n".into(), uid: "u".into() },
            key: Some(Fingerprint::from_stored("hmac:0")),
            seeds: vec![Fingerprint::from_stored("hmac:1")],
            claim: None,
            closed_claims: vec!["closed".into()],
            rest_until: DateTime::from_timestamp(5, 0),
            chain_over: true,
            unparsed: Some(RawBody(vec![0, 255])),
            foreign: BTreeMap::from([("note".to_owned(), RawBody(b"x".to_vec()))]),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let state = full();
        assert_eq!(State::decode(state.encode()), Ok(state));
    }

    #[test]
    fn a_state_of_an_operator_that_knew_no_previous_token_is_read() {
        let mut state = full();
        state.tokens.previous = None;
        let older = state.encode();
        assert!(!older.contains_key(PREVIOUS_TOKEN) && !String::from_utf8(older[STATE].clone()).unwrap().contains("previous"));
        assert_eq!(State::decode(older), Ok(state));
        let mut edited = full().encode();
        edited.remove(PREVIOUS_TOKEN);
        assert_eq!(State::decode(edited).unwrap().tokens.previous, None);
    }

    #[test]
    fn a_claimed_state_is_padded_to_the_size_of_the_largest_tokens_and_the_padding_is_not_kept() {
        let claim = Claim {
            id: "i".into(),
            holder: "h".into(),
            process: "p".into(),
            fingerprint: "f".into(),
            time: DateTime::UNIX_EPOCH,
            journal: Some("j".into()),
            first: Some("0".into()),
            since: DateTime::from_timestamp(4, 0),
            token_ends: DateTime::from_timestamp(5, 0),
            last_try: true,
        };
        let state = State { claim: Some(claim), unparsed: None, ..full() };
        let data = state.encode();
        assert!(data.values().map(Vec::len).sum::<usize>() > 2 * 16 * 1024);
        let read = State::decode(data).unwrap();
        assert!(!read.foreign.contains_key(PADDING));
        assert_eq!(read, state);
    }

    #[test]
    fn what_is_no_state_is_told_from_what_cannot_be_read() {
        let data = |entries: &[(&str, &[u8])]| entries.iter().map(|(k, v)| ((*k).to_owned(), v.to_vec())).collect();
        assert_eq!(State::decode(data(&[("password", b"x")])), Err(Malformed::NotState));
        assert_eq!(State::decode(data(&[(STATE, b"{")])), Err(Malformed::Unreadable));
        let mut newer = full().encode();
        let text = String::from_utf8(newer[STATE].clone()).unwrap().replace("\"version\":1", "\"version\":2");
        newer.insert(STATE.into(), text.into_bytes());
        assert_eq!(State::decode(newer), Err(Malformed::Unreadable));
        let mut binary = full().encode();
        binary.insert(REFRESH_TOKEN.into(), vec![0xff]);
        assert_eq!(State::decode(binary), Err(Malformed::NotText));
    }

    proptest! {
        #[test]
        fn decoding_never_panics(data in prop::collection::btree_map("[a-z_.]{1,20}", prop::collection::vec(any::<u8>(), 0..64), 0..5)) {
            let _ = State::decode(data);
        }
    }
}
