//! Which tokens of a chain are the newest, when an answer was kept that may not stand in the state Secret.

use chrono::DateTime;
use refreshable_token_operator::provider::{Provider, RawBody, Reply};
use refreshable_token_operator::refresh::exchange::newer_tokens;
use refreshable_token_operator::refresh::journal::{Answer, Entry, Place};
use refreshable_token_operator::refresh::state::{Claim, Owner, State};
use refreshable_token_operator::token::{Fingerprint, RefreshToken};

use super::issuer::Kind;
use super::scenario::spec;

/// The state that stands, or stood, with so many refreshes.
fn state(generation: i64) -> State {
    let owner = Owner { cluster: "cluster".into(), name: "name".into(), uid: "uid".into() };
    State { generation, owner, seeds: vec![Fingerprint::from_stored("hmac:seed")], ..State::default() }
}

/// The answer to the refresh after three, under a claim.
fn entry() -> Entry {
    let spec = spec(Kind::Strict);
    let claim = Some(Claim::new("claim".into(), "pod", "process"));
    let body = RawBody(br#"{"access_token": "new-access", "refresh_token": "new", "token_type": "Bearer"}"#.to_vec());
    let reply = Reply { status: 200, headers: Vec::new(), body };
    Entry {
        place: Place { namespace: "namespace".into(), state_secret: "state".into() },
        provider: Provider::new(spec.provider.clone().unwrap(), spec.request()),
        state: State { claim, ..state(3) },
        answer: Some(Answer { reply, partial: false, sent: DateTime::UNIX_EPOCH }),
    }
}

/// The refresh token that is newer than what stands.
fn newer(entry: &Entry, stands: Option<&State>) -> Option<String> {
    newer_tokens(entry, stands)?.refresh_token.as_ref().map(RefreshToken::reveal).map(str::to_owned)
}

#[test]
fn an_answer_is_newer_than_what_was_there_before_it() {
    let entry = entry();
    let open = State { claim: entry.state.claim.clone(), ..state(3) };
    for stands in [None, Some(open), Some(state(3)), Some(state(2))] {
        assert_eq!(newer(&entry, stands.as_ref()).as_deref(), Some("new"), "{stands:?}");
    }
}

#[test]
fn an_answer_that_was_committed_or_belongs_to_another_chain_is_not() {
    let reseeded = State { seeds: vec![Fingerprint::from_stored("hmac:other")], ..state(3) };
    let renamed = State { owner: Owner { name: "other".into(), ..state(3).owner }, ..state(3) };
    for stands in [state(4), state(5), reseeded, renamed] {
        assert_eq!(newer(&entry(), Some(&stands)), None, "{stands:?}");
    }
}

#[test]
fn without_a_whole_answer_that_grants_there_is_nothing_newer() {
    let intent = Entry { answer: None, ..entry() };
    let (mut partial, mut refused) = (entry(), entry());
    partial.answer.as_mut().unwrap().partial = true;
    refused.answer.as_mut().unwrap().reply.status = 503;
    for entry in [intent, partial, refused] {
        assert_eq!(newer(&entry, None), None, "{entry:?}");
    }
}
