//! Writes of the state Secret that must come through: the commit of a new pair, an answer that could not be read, a release.
//!
//! A commit that is refused is written into an escrow Secret; until it stands somewhere it is tried for as long as the process
//! lives, because it exists nowhere else. A release is given up after some tries, because nothing is lost by an open claim that
//! is known to have spent nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::report::Outcome;
use super::step::{Event, StateAnswer, StateWrite, Step, WriteAnswer};
use super::{Exchange, Next, Phase, is_claim, spendable};
use crate::api::{CLAIM_FINALIZER, Reason};
use crate::refresh::state::{Claim, Malformed, ORPHANED, State, StoredState, Version};

/// First and longest pause between two tries (reference protocol, step 9).
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a release is tried. Our choice: about 13 s in all; the next process can tell that the claim is void.
const RELEASE_TRIES: u32 = 7;
/// Without a clear answer of the API server the escrow is tried at the first failure and then each time of so many. Our choice:
/// when the API server is away it would only double the time that one round takes.
const ESCROW_EVERY: u32 = 4;

/// What is known of the escrow Secret of this claim.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) enum Escrow {
    /// There is none.
    #[default]
    None,
    /// An earlier process may have made one.
    MayStand,
    /// It stands.
    Stands,
}

/// A write under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Securing {
    target: State,
    then: Then,
    tries: u32,
    stage: Stage,
    may_give_up: bool,
    /// Another chain that was found in the Secret: it is kept.
    beside: Option<Box<State>>,
}

/// What follows a write.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Then {
    /// Write the outputs: there is a new token.
    Publish,
    /// Look after the outputs: there is none.
    Show,
    /// End with this.
    Finish(Outcome),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Stage {
    Writing,
    Looking,
    Escrowing,
    Pausing,
}

impl Securing {
    fn new(target: State, then: Then, may_give_up: bool) -> Self {
        Self { target, then, tries: 0, stage: Stage::Writing, may_give_up, beside: None }
    }

    /// It waits for the next try, and it is one of those that are never given up.
    pub(super) fn is_held_up(&self) -> bool {
        self.stage == Stage::Pausing && !self.may_give_up
    }

    /// What is written: the target, or a newer chain that stands there with the target's tokens beside it.
    fn contents(&self, claim: &str) -> State {
        let Some(newer) = &self.beside else { return self.target.clone() };
        let mut kept = State::clone(newer);
        kept.foreign.extend(self.target.set_aside(claim));
        kept
    }
}

impl Exchange {
    /// Writes `target`, however long it takes: the token was presented.
    pub(super) fn secure(mut self, target: State, then: Then) -> Next {
        self.presented = true;
        self.write(Securing::new(target, then, false))
    }

    /// Looks whether the claim and its token still stand, and puts them back if not: nobody knows whether it was spent, and if
    /// not it is the newest there is.
    pub(super) fn hold(mut self, then: Then) -> Next {
        self.presented = true;
        let target = self.state.clone();
        self.look(Securing::new(target, then, true))
    }

    /// Closes the claim, if there is one: nothing was spent.
    pub(super) fn release(self, outcome: Outcome) -> Next {
        if self.state.claim.is_none() {
            return self.finish(outcome);
        }
        // Only what was done under this claim is undone: what became of the first sending is as unknown as before.
        let target = if self.repeating() { self.not_last() } else { self.state.released() };
        if target == self.state {
            return self.finish(outcome);
        }
        self.write(Securing::new(target, Then::Finish(outcome), true))
    }

    fn not_last(&self) -> State {
        let claim = self.state.claim.clone().map(|claim| Claim { last_try: false, ..claim });
        State { claim, ..self.state.clone() }
    }

    pub(super) fn secured(mut self, securing: Securing, event: Event, now: DateTime<Utc>) -> Next {
        match (securing.stage, event) {
            (Stage::Writing, Event::Wrote(WriteAnswer::Done(version))) if self.ends_the_secret(&securing, &version) => {
                self.version = Some(*version);
                self.gone(securing, now)
            }
            (Stage::Writing, Event::Wrote(WriteAnswer::Done(version))) => {
                self.version = Some(*version);
                self.settled(securing, now)
            }
            (Stage::Writing, Event::Wrote(WriteAnswer::Conflict)) => self.look(securing),
            (Stage::Writing, Event::Wrote(WriteAnswer::Missing)) | (Stage::Looking, Event::State(StateAnswer::Missing)) => {
                self.gone(securing, now)
            }
            (Stage::Looking, Event::State(StateAnswer::Found(stored))) => self.compare(securing, *stored, now),
            (Stage::Looking, Event::State(StateAnswer::Malformed(Malformed::Unreadable | Malformed::NotText, version))) => {
                self.version = Some(*version);
                self.write(Securing { beside: None, ..securing })
            }
            (Stage::Pausing, _) => self.write(securing),
            (Stage::Escrowing, Event::Kept(true)) => {
                self.escrow = Escrow::Stands;
                self.finish(Outcome::Escrowed)
            }
            (Stage::Escrowing, _) => self.wait(securing, now),
            (Stage::Writing, Event::Wrote(WriteAnswer::Denied)) => self.put_in_escrow(securing, true, now),
            // Unclear, somebody else's Secret in its place, or an event that answers nothing.
            (Stage::Writing | Stage::Looking, _) => self.put_in_escrow(securing, false, now),
        }
    }

    /// The finalizer of our claim held a Secret that somebody deletes: the write that closes the claim ends the Secret too.
    fn ends_the_secret(&self, securing: &Securing, version: &Version) -> bool {
        let open = securing.contents(&self.brief.claim.id).claim.is_some();
        self.deleting && !open && version.finalizers.iter().all(|name| name == CLAIM_FINALIZER)
    }

    fn write(self, securing: Securing) -> Next {
        let state = securing.contents(&self.brief.claim.id);
        let write = StateWrite { state, replaces: self.version.clone(), dry_run: false, begins: false };
        self.at(Phase::Securing(Securing { stage: Stage::Writing, ..securing }), Step::WriteState(Box::new(write)))
    }

    fn look(self, securing: Securing) -> Next {
        self.at(Phase::Securing(Securing { stage: Stage::Looking, ..securing }), Step::ReadState)
    }

    /// The state Secret could not be written: what must not be lost goes elsewhere, or the write is tried again.
    fn put_in_escrow(self, securing: Securing, denied: bool, now: DateTime<Utc>) -> Next {
        let spent = !securing.may_give_up && self.state.claim.is_some();
        if spent && self.escrow == Escrow::Stands {
            return self.finish(Outcome::Escrowed);
        }
        if spent && (denied || securing.tries.is_multiple_of(ESCROW_EVERY)) {
            let entry = self.entry();
            return self.at(Phase::Securing(Securing { stage: Stage::Escrowing, ..securing }), Step::WriteEscrow(entry));
        }
        self.wait(securing, now)
    }

    fn wait(self, securing: Securing, now: DateTime<Utc>) -> Next {
        let tries = securing.tries.saturating_add(1);
        if securing.may_give_up && tries >= RELEASE_TRIES {
            return self.conclude(securing.then, now);
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(securing.tries.min(16))).min(LONGEST_PAUSE);
        self.at(Phase::Securing(Securing { tries, stage: Stage::Pausing, ..securing }), Step::Pause(pause))
    }

    fn settled(mut self, securing: Securing, now: DateTime<Utc>) -> Next {
        self.state = securing.contents(&self.brief.claim.id);
        self.stands = true;
        // A seed that was being adopted has not begun what stands there.
        self.adopted = self.adopted.filter(|_| securing.beside.is_none());
        let then = if securing.beside.is_some() && self.presented {
            let message = "another chain was put into the state Secret while a refresh was under way; it is kept, and the \
                           refreshed tokens stand beside it under keys that begin with orphaned: see which one you want to keep";
            Then::Finish(Outcome::Refused { reason: Reason::StateConflict, message: message.to_owned() })
        } else {
            securing.then
        };
        self.clear(then, now)
    }

    /// Takes the escrow Secret away, if there may be one: the state Secret holds what it held.
    fn clear(self, then: Then, now: DateTime<Utc>) -> Next {
        if self.escrow == Escrow::None {
            return self.conclude(then, now);
        }
        let claim = self.brief.claim.id.clone();
        self.at(Phase::Clearing(then), Step::DeleteEscrow(claim))
    }

    pub(super) fn conclude(mut self, then: Then, now: DateTime<Utc>) -> Next {
        match then {
            Then::Publish => {
                self.refreshed = true;
                self.publish(now)
            }
            Then::Show => self.publish(now),
            Then::Finish(outcome) => self.finish(outcome),
        }
    }

    /// Closes a claim of our own that stands although it is known to have spent nothing: others take it for an open exchange.
    pub(super) fn close_void(self) -> Next {
        let target = self.state.clone();
        self.write(Securing::new(target, Then::Show, true))
    }

    /// The Secret is gone: what we hold is the only copy, spent or not, and is put back. Not where an answer that was kept is replayed:
    /// it stays kept, and its object may be gone too. If it is not, its next look puts the Secret back.
    fn gone(mut self, securing: Securing, now: DateTime<Utc>) -> Next {
        if self.replaying {
            return self.finish(Outcome::Stale);
        }
        let securing = Securing { beside: None, ..securing };
        self.deleting = false;
        // A creation that finds nothing to be created in: the namespace is going. Not again at once.
        if self.version.take().is_none() { self.wait(securing, now) } else { self.write(securing) }
    }

    /// Somebody wrote in between, perhaps we ourselves in a write whose answer was lost.
    fn compare(mut self, mut securing: Securing, stored: StoredState, now: DateTime<Utc>) -> Next {
        let found = stored.state;
        self.version = Some(stored.version);
        self.deleting = stored.deleting;
        // Other people's keys as they are now; what was set aside stays, even where an older copy does not know of it.
        let aside = std::mem::replace(&mut securing.target.foreign, found.foreign.clone());
        securing.target.foreign.extend(aside.into_iter().filter(|(name, _)| name.starts_with(ORPHANED)));
        if found.tokens == securing.target.tokens {
            securing.target.keep_closed(&found.closed_claims);
        }
        if self.is_surpassed(&found, &securing.target) {
            // The mark that stands is not that of the exchange whose answer was kept.
            self.marked = self.marked.filter(|_| !self.resumed);
            return self.finish(Outcome::Stale);
        }
        if self.claimed_by_another(&found, &securing.target) {
            self.state = found;
            return self.clear(securing.then, now);
        }
        let ours = found == securing.target || is_claim(&found, &self.brief.claim.id) || self.precedes(&found, &securing.target);
        securing.beside = (!ours).then(|| Box::new(found.clone()));
        if found == securing.contents(&self.brief.claim.id) { self.settled(securing, now) } else { self.write(securing) }
    }

    /// What stands there has come as far as the commit of a new pair, or further. Written over it, ours would take the generation back.
    fn is_surpassed(&self, found: &State, target: &State) -> bool {
        let commit = target.generation > self.state.generation;
        if !commit || found.owner.name != target.owner.name || found == target || is_claim(found, &self.brief.claim.id) {
            return false;
        }
        // Somebody else has begun a chain meanwhile: that one goes on, and of ours nothing was ever used.
        if self.brief.provider.creates() && !found.chain_over && found.tokens != self.state.tokens && holds_tokens(found) {
            return true;
        }
        // An answer that was kept was committed long ago: the state Secret was not gone, as it had seemed to be.
        let committed = found.tokens == target.tokens || found.generation > target.generation;
        if self.resumed && found.seeds == target.seeds && committed {
            return true;
        }
        // Somebody else refreshed, and was given the same refresh token: theirs are as good as ours, which go as a lost answer would.
        let same_token = found.tokens.refresh_token == target.tokens.refresh_token;
        same_token && found.claim.is_none() && found.generation >= target.generation
    }

    /// Somebody else holds the claim on the very tokens that we would write: theirs is not ours to close, and nothing is lost.
    fn claimed_by_another(&self, found: &State, target: &State) -> bool {
        found.claim.is_some() && !is_claim(found, &self.brief.claim.id) && found.tokens == target.tokens
    }

    /// What stands there is this chain as it was before: an older copy, or our claim edited away. A chain that knows a seed
    /// which ours does not know is another one; generations of two chains say nothing about each other. A copy from before our
    /// seed was adopted has the same generation and fewer seeds. Not every server gives a new refresh token each time: where the
    /// token is the same, the generation tells.
    pub(super) fn precedes(&self, found: &State, target: &State) -> bool {
        let token = |state: &State| spendable(&state.tokens, self.semantics(), &self.brief.key);
        let before = token(&self.state);
        let older = token(target) != before || found.generation <= target.generation;
        let same_token = before.is_some() && token(found) == before && older;
        let same_chain = found.owner.name == target.owner.name && found.seeds.iter().all(|seed| target.seeds.contains(seed));
        let age = |state: &State| (state.generation, state.seeds.len());
        same_token || same_chain && age(found) < age(target)
    }
}

fn holds_tokens(state: &State) -> bool {
    state.tokens.access_token.is_some() || state.tokens.refresh_token.is_some()
}
