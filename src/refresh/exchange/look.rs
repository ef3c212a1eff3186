//! What a state Secret that was read allows: the checks of protocol step 1, in order.

use std::collections::BTreeMap;

use crate::api::{CLAIM_FINALIZER, Reason};
use crate::provider::{RawBody, Semantics};
use crate::token::{AccessToken, Fingerprint, FingerprintKey, HeldTokens, Purpose, RefreshToken};

use super::report::Outcome;
use super::step::Brief;
use crate::refresh::state::{Claim, Malformed, ORPHANED, State, StoredState};

/// What is said of the state Secret of another cluster.
const FOREIGN: &str =
    "the state Secret was written in another cluster, where its token may still be in use: put a new token into the seed Secret";
/// The same where the other operator had a key of its own: by its marks nobody here can tell a new seed from one that came along.
const FOREIGN_WITH_OTHER_KEY: &str = "the state Secret was written in another cluster, where its token may still be in use: put a new \
     token into the seed Secret, then delete this copy of the state Secret";

/// A state to go on from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Footing {
    /// The contents to go on from.
    pub(super) state: State,
    /// The seed that they were just taken from.
    pub(super) adopted: Option<Fingerprint>,
    /// A claim of somebody's is open: nothing may be spent, and the Secret is not touched.
    pub(super) claimed: bool,
    /// No chain lives: the first tokens of one are asked for.
    pub(super) creates: bool,
}

/// The fingerprint of the token that a refresh presents: the refresh token, or the access token where that renews itself. Where
/// tokens are obtained anew none is presented; a refresh token that is held all the same is one of an earlier grant, and unspent.
#[must_use]
pub fn spendable(tokens: &HeldTokens, semantics: Semantics, key: &FingerprintKey) -> Option<Fingerprint> {
    let text = match semantics {
        Semantics::RenewsItself => tokens.access_token.as_ref().map(AccessToken::reveal),
        Semantics::SingleUse | Semantics::Grace(_) | Semantics::IdempotencyKey | Semantics::Reusable | Semantics::Reissue => {
            tokens.refresh_token.as_ref().map(RefreshToken::reveal)
        }
    };
    text.map(|text| key.fingerprint(Purpose::Token, text.as_bytes()))
}

/// The state Secret does not exist.
pub(super) fn at_nothing(brief: &Brief) -> Result<Footing, Outcome> {
    // A mark is written after the claim: whoever knows of an attempt knows that there was a state Secret.
    let stood = brief.known.generation > 0 || brief.known.attempt.is_some();
    if stood && !seed_is_new(brief, &State::default()) {
        if reissues(brief) || brief.creates {
            return Ok(anew(brief, State::default()));
        }
        return Err(refuse(
            Reason::StateLost,
            "the state Secret is gone, and with it the only copy of the refresh token: put a new token into the seed Secret",
        ));
    }
    adopt(brief, State { generation: brief.known.generation, ..State::default() })
}

/// The state Secret exists but cannot be read.
pub(super) fn at_malformed(brief: &Brief, why: Malformed) -> Result<Footing, Outcome> {
    match why {
        Malformed::NotState => Err(refuse(
            Reason::StateConflict,
            "the Secret named by stateSecretName was not written by the operator: delete it, or make a new object with another stateSecretName",
        )),
        Malformed::Unreadable | Malformed::NotText if seed_is_new(brief, &State::default()) => {
            adopt(brief, State { generation: brief.known.generation, ..State::default() })
        }
        Malformed::Unreadable | Malformed::NotText => Err(refuse(
            Reason::StateInvalid,
            "the state Secret was edited and cannot be read: restore it, or put a new token into the seed Secret",
        )),
    }
}

/// The state Secret was read.
pub(super) fn at_state(brief: &Brief, stored: &StoredState) -> Result<Footing, Outcome> {
    let state = &stored.state;
    if stored.immutable {
        return Err(refuse(
            Reason::StateImmutable,
            "the state Secret is immutable, so a new token could not be stored: copy it, delete it and create it again without immutable: true",
        ));
    }
    let foreign_cluster = state.owner.cluster != brief.owner.cluster;
    if state.owner.name != brief.owner.name && !foreign_cluster {
        let message = format!(
            "the state Secret belongs to RefreshableToken {}: make a new object with another stateSecretName",
            state.owner.name
        );
        return Err(Outcome::Refused { reason: Reason::StateConflict, message });
    }
    let rekeyed = state.key.as_ref().is_some_and(|key| *key != brief.key.name());
    if !rekeyed && seed_is_new(brief, state) {
        return adopt(brief, State { generation: state.generation.max(brief.known.generation), ..state.clone() });
    }
    if foreign_cluster && !reissues(brief) {
        return Err(refuse(Reason::ForeignCluster, if rekeyed { FOREIGN_WITH_OTHER_KEY } else { FOREIGN }));
    }
    // The same name with another UID: the object was deleted and made again, and the chain goes on.
    let mut state = State { owner: brief.owner.clone(), key: Some(brief.key.name()), ..state.clone() };
    if rekeyed {
        // The operator's key was lost: nobody can tell a new seed from an old one, and an old one would end the chain. What the
        // seed holds now counts as old.
        state.seeds = brief.seed.iter().map(|seed| seed.fingerprint.clone()).collect();
    }
    if reissues(brief) || (brief.creates && state.chain_over && state.claim.is_none()) {
        return Ok(anew(brief, state));
    }
    let spent = spendable(&state.tokens, brief.provider.semantics(), &brief.key)
        .is_some_and(|fingerprint| brief.known.spent.contains(&fingerprint));
    // A claim that is known to have spent nothing holds nobody up, unless it repeats one of which that is not known.
    let void = |claim: &Claim| brief.void_claims.contains(&claim.id) && claim.first.is_none();
    if state.claim.as_ref().is_some_and(|claim| !void(claim)) {
        let older = state.generation < brief.known.generation || spent && brief.known.attempt.is_none();
        return if older { Err(regressed()) } else { Ok(Footing { state, adopted: None, claimed: true, creates: false }) };
    }
    // A claim's finalizer is ours to take away, and what it kept is put back; any other we wait for.
    let ours = stored.version.finalizers.iter().any(|name| name == CLAIM_FINALIZER);
    if stored.deleting && state.claim.is_none() && !ours {
        return Err(refuse(
            Reason::StateLost,
            "the state Secret is being deleted: let that finish, then put a new token into the seed Secret",
        ));
    }
    // The mark bears a claim that was closed, or that this process knows to have spent nothing.
    let void = state.claim.as_ref().map(|claim| &claim.id);
    let settled = brief.known.attempt.as_ref().is_some_and(|id| state.closed_claims.contains(id) || void == Some(id));
    if state.generation < brief.known.generation || (spent && !settled && !state.chain_over) {
        return Err(regressed());
    }
    // A claim that is void is closed: whoever has taken it for an attempt learns that from the state.
    let mut state = state.released();
    state.keep_named(brief.known.attempt.as_deref());
    Ok(Footing { state, adopted: None, claimed: false, creates: false })
}

/// Credentials beside the tokens bring each token anew.
fn reissues(brief: &Brief) -> bool {
    brief.provider.semantics() == Semantics::Reissue
}

/// Where each token is obtained anew, or a chain that is over is followed by another, nothing that stands can be lost or spent: no
/// copy is too old, and no claim of an earlier grant holds anybody up. A refresh token of an earlier grant is kept aside, and what its mark says of it stays.
fn anew(brief: &Brief, ground: State) -> Footing {
    let mut foreign = ground.foreign.clone();
    if ground.tokens.refresh_token.is_some() || ground.unparsed.is_some() {
        foreign.extend(ground.set_aside("replaced"));
    }
    let tokens = HeldTokens { refresh_token: None, refresh_token_expiration_time: None, ..ground.tokens };
    let state = State {
        tokens,
        generation: ground.generation.max(brief.known.generation),
        owner: brief.owner.clone(),
        key: Some(brief.key.name()),
        claim: None,
        chain_over: false,
        unparsed: None,
        rest_until: None,
        foreign,
        ..ground
    };
    Footing { state, adopted: None, claimed: false, creates: brief.creates }
}

fn regressed() -> Outcome {
    refuse(
        Reason::Regressed,
        "the state Secret is an older copy, whose token was already spent: restore the newest copy, or put a new token into the seed Secret",
    )
}

fn refuse(reason: Reason, message: &str) -> Outcome {
    Outcome::Refused { reason, message: message.to_owned() }
}

fn seed_is_new(brief: &Brief, state: &State) -> bool {
    brief
        .seed
        .as_ref()
        .is_some_and(|seed| !state.seeds.contains(&seed.fingerprint) && !brief.known.spent.contains(&seed.fingerprint))
}

/// What an adoption replaces and nobody else may have: a token that was not spent, an answer that could not be read. A seed
/// that was put in by mistake must not end a chain that works; the copies of the last adoption make room.
fn replaced(brief: &Brief, ground: &State, seed: &Fingerprint) -> BTreeMap<String, RawBody> {
    let held = spendable(&ground.tokens, brief.provider.semantics(), &brief.key);
    let good = held.is_some_and(|held| held != *seed && !brief.known.spent.contains(&held)) && !ground.chain_over;
    let mut foreign = ground.foreign.clone();
    let last = format!("{ORPHANED}replaced.");
    if good || ground.unparsed.is_some() {
        foreign.retain(|name, _| !name.starts_with(&last));
        foreign.extend(ground.set_aside("replaced"));
    }
    foreign
}

/// Begins a chain with the seed, on the ground of what was there.
fn adopt(brief: &Brief, ground: State) -> Result<Footing, Outcome> {
    let Some(seed) = &brief.seed else {
        return Err(refuse(Reason::SeedMissing, "there is neither a state Secret nor a seed to begin with"));
    };
    if brief.known.spent.contains(&seed.fingerprint) {
        return Err(refuse(
            Reason::AlreadySpent,
            "the seed holds a token that was spent before: put a new token into the seed Secret",
        ));
    }
    let mut state = State {
        tokens: seed.tokens.clone(),
        owner: brief.owner.clone(),
        key: Some(brief.key.name()),
        claim: None,
        chain_over: false,
        unparsed: None,
        foreign: replaced(brief, &ground, &seed.fingerprint),
        ..ground
    };
    state.adopt(seed.fingerprint.clone());
    let creates = brief.creates && seed.tokens == HeldTokens::default();
    Ok(Footing { state, adopted: Some(seed.fingerprint.clone()), claimed: false, creates })
}
