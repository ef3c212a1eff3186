//! The end of an exchange that a dead process left open, from whatever it left behind: its journal, its escrow, its claim.
//!
//! An answer that was kept is taken as if it had just come. Without one nobody can tell whether the token was spent, and only
//! what the API promises says what may be done (reference protocol, step 13).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::report::Outcome;
use super::secure::Escrow;
use super::send::GRACE_MARGIN;
use super::step::{Brief, Memento, StateAnswer, Step, Task};
use super::{CLAIM_TTL, Exchange, Next, Phase, SEND_WITHIN, postpone, unclear};
use crate::api::Reason;
use crate::provider::{Class, Probed, Semantics, TokenError};
use crate::refresh::journal::Entry;
use crate::refresh::state::{Claim, ORPHANED, State};
use crate::token::{Fingerprint, HeldTokens, TokenSet};

/// Why something that was kept is asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Recall {
    /// A claim is open.
    OpenClaim {
        /// The journal holds no intent for it, so that nothing was sent under it.
        unspent: bool,
        /// The journal's answer, which brings no tokens: an answer to a repeat that no journal took may stand in escrow.
        refusal: Option<Box<Entry>>,
        /// Escrow was asked under the claim of the request that it repeats: the answer to that one may have come after all.
        first: bool,
    },
    /// The state Secret is refused for this; what was kept may be newer.
    Refused(Outcome),
    /// The status names an attempt that the state Secret knows nothing of: an older copy stands there, or somebody's edit.
    Unsettled,
}

impl Exchange {
    /// Ends an exchange for the sake of the answer that was kept of it, and for nothing else. Neither the object nor its outputs
    /// are touched: they may be gone.
    #[must_use]
    pub fn replay(brief: Brief, entry: Entry) -> Next {
        let mut exchange = Self::new(brief);
        exchange.replaying = true;
        exchange.at(Phase::Replaying(Box::new(entry)), Step::ReadState)
    }

    pub(super) fn replay_on(mut self, entry: Entry, answer: StateAnswer, now: DateTime<Utc>) -> Next {
        let StateAnswer::Found(stored) = answer else { return self.finish(Outcome::Stale) };
        let mine = stored.state.claim.as_ref().is_some_and(|claim| claim.id == entry.claim());
        // An answer that brings no tokens is none to put back: what stands knows more of what was closed since.
        let older = stored.state.claim.is_none() && grants(&entry) && predates(&stored.state, &entry);
        if !mine && !older {
            return self.finish(Outcome::Published);
        }
        self.version = Some(stored.version);
        self.deleting = stored.deleting;
        self.state = stored.state;
        self.stands = true;
        self.resume(entry, now)
    }

    /// A claim stands in the state Secret.
    pub(super) fn open_claim(mut self) -> Next {
        let Some(claim) = self.state.claim.clone() else { return self.finish(Outcome::Stale) };
        if let Some(remaining) = self.may_live(&claim) {
            return self.finish(Outcome::Held { claim: claim.id, remaining });
        }
        self.marked = Some(Fingerprint::from_stored(claim.fingerprint));
        self.date_claim();
        self.recall(Recall::OpenClaim { unspent: false, refusal: None, first: false })
    }

    /// For how long the holder of a claim may still be at work. Without its journal's lock only time tells that it is dead: time
    /// on this process's own clock, since it first saw the claim.
    fn may_live(&self, claim: &Claim) -> Option<Duration> {
        let own = &self.brief.claim;
        let dead = claim.process == own.process || claim.journal.is_some() && claim.journal == own.journal;
        if dead {
            return None;
        }
        let watched = self.brief.watched.as_ref().filter(|(id, _)| *id == claim.id).map(|(_, time)| *time).unwrap_or_default();
        let in_flight = self.semantics().longest_request().map_or(CLAIM_TTL, |request| SEND_WITHIN.saturating_add(request));
        let patience = in_flight.min(CLAIM_TTL);
        patience.checked_sub(watched).filter(|remaining| !remaining.is_zero())
    }

    /// The state Secret cannot be used as it is. Something newer may have been kept.
    pub(super) fn refused(self, outcome: Outcome) -> Next {
        let lost = [Reason::Regressed, Reason::StateLost, Reason::StateInvalid];
        match &outcome {
            Outcome::Refused { reason, .. } if lost.contains(reason) && self.semantics().spends() => {
                self.recall(Recall::Refused(outcome))
            }
            _ => self.finish(outcome),
        }
    }

    pub(super) fn recall(self, recall: Recall) -> Next {
        if self.brief.claim.journal.is_some() {
            self.at(Phase::Recalling(recall), Step::ReadJournal)
        } else {
            self.ask_escrow(recall)
        }
    }

    fn ask_escrow(self, recall: Recall) -> Next {
        let claim = match &recall {
            Recall::OpenClaim { first: false, .. } => self.state.claim.as_ref().map(|claim| claim.id.clone()),
            Recall::OpenClaim { first: true, .. } => self.state.claim.as_ref().map(|claim| claim.first_id().to_owned()),
            Recall::Refused(_) | Recall::Unsettled => self.brief.known.attempt.clone(),
        };
        match (claim, recall) {
            (Some(claim), recall) => self.at(Phase::AskingEscrow(recall), Step::ReadEscrow(claim)),
            (None, Recall::Refused(outcome)) => self.finish(outcome),
            (None, Recall::OpenClaim { .. } | Recall::Unsettled) => self.finish(Outcome::Stale),
        }
    }

    /// Whether the status names an attempt that is neither open nor closed in the state Secret.
    pub(super) fn unsettled(&self) -> bool {
        let known = |id: &String| self.state.closed_claims.contains(id) || self.brief.void_claims.contains(id);
        self.semantics().spends() && self.adopted.is_none() && self.brief.known.attempt.as_ref().is_some_and(|id| !known(id))
    }

    /// What the journal holds.
    pub(super) fn recalled(self, recall: Recall, memento: Memento, now: DateTime<Utc>) -> Next {
        match (recall, memento) {
            (Recall::OpenClaim { .. }, Memento::Entry(entry)) if self.is_open(&entry) => {
                if grants(&entry) {
                    return self.resume(*entry, now);
                }
                let refusal = (entry.answer.is_some() && !self.dealt_with(&entry)).then_some(entry);
                self.ask_escrow(Recall::OpenClaim { unspent: false, refusal, first: false })
            }
            (Recall::OpenClaim { .. }, Memento::Entry(_) | Memento::Nothing) => {
                // The intent is durable before the request may leave.
                let own = |claim: &Claim| claim.first.is_none() && claim.journal == self.brief.claim.journal;
                let unspent = self.state.claim.as_ref().is_some_and(own);
                self.ask_escrow(Recall::OpenClaim { unspent, refusal: None, first: false })
            }
            (Recall::Refused(_) | Recall::Unsettled, Memento::Entry(entry)) if self.is_newer(&entry) => self.resume(*entry, now),
            (recall, _) => self.ask_escrow(recall),
        }
    }

    /// What the escrow Secret holds.
    pub(super) fn escrow_shown(mut self, recall: Recall, memento: Memento, now: DateTime<Utc>) -> Next {
        match (recall, memento) {
            (Recall::OpenClaim { .. }, Memento::Entry(entry))
                if self.is_open(&entry) && entry.answer.is_some() && !self.dealt_with(&entry) =>
            {
                self.escrow = Escrow::Stands;
                self.resume(*entry, now)
            }
            (Recall::Refused(_) | Recall::Unsettled, Memento::Entry(entry)) if self.is_newer(&entry) => {
                self.escrow = Escrow::Stands;
                self.resume(*entry, now)
            }
            (Recall::OpenClaim { .. }, Memento::Unclear) => {
                self.leave_open(unclear("the API server did not show the operator's escrow Secret"))
            }
            (Recall::OpenClaim { unspent, refusal, first: false }, _) if self.repeating() => {
                self.ask_escrow(Recall::OpenClaim { unspent, refusal, first: true })
            }
            (Recall::OpenClaim { refusal: Some(entry), .. }, _) => self.resume(*entry, now),
            (Recall::OpenClaim { unspent: true, .. }, _) => self.release(Outcome::Stale),
            (Recall::OpenClaim { unspent: false, .. }, _) => self.undecided(now),
            (Recall::Refused(outcome), _) => self.finish(outcome),
            (Recall::Unsettled, _) => self.go_on(now),
        }
    }

    /// The answer brings no tokens, and was dealt with: a refusal of a repeat says nothing about the first sending, so that the claim
    /// stayed open; and one to a request that was repeated since was known when that was decided. Taken up again it would stand in the
    /// way of every further repeat.
    fn dealt_with(&self, entry: &Entry) -> bool {
        let Some(claim) = self.state.claim.as_ref().filter(|claim| self.repeating() && !claim.last_try) else { return false };
        let refusal = read(entry).and_then(Result::err);
        let refused =
            refusal.is_some_and(|error| matches!(error.class, Class::Transient | Class::Throttled | Class::Configuration));
        refused || claim.id != entry.claim() && !grants(entry)
    }

    /// What was kept is of the open claim, or of the one whose request it repeats.
    fn is_open(&self, entry: &Entry) -> bool {
        self.state.claim.as_ref().is_some_and(|claim| claim.id == entry.claim() || claim.first_id() == entry.claim())
    }

    /// What was kept is the newest of this chain that anybody knows of, and newer than what stands, if anything does.
    fn is_newer(&self, entry: &Entry) -> bool {
        let brings = entry.state.generation.saturating_add(1);
        let stands = self.version.is_none() || self.state == State::default() || predates(&self.state, entry);
        grants(entry) && self.is_mine(entry) && brings >= self.brief.known.generation && stands
    }

    fn is_mine(&self, entry: &Entry) -> bool {
        let (kept, mine) = (&entry.state.owner, &self.brief.owner);
        kept.cluster == mine.cluster && kept.name == mine.name && entry.place == self.brief.place
    }

    /// Goes on with an answer that was kept, as if it had just come.
    fn resume(mut self, entry: Entry, now: DateTime<Utc>) -> Next {
        let Some(claim) = entry.state.claim.clone() else { return self.finish(Outcome::Stale) };
        // Other people's keys as they are now, and what was set aside even where the Secret does not know of it.
        let mut foreign = entry.state.foreign;
        foreign.retain(|name, _| self.version.is_none() || name.starts_with(ORPHANED));
        foreign.append(&mut self.state.foreign);
        self.state = State { foreign, owner: self.brief.owner.clone(), ..entry.state };
        self.marked = Some(Fingerprint::from_stored(claim.fingerprint.clone()));
        self.claimed = false;
        self.resumed = true;
        if self.escrow == Escrow::None {
            self.escrow = Escrow::MayStand;
        }
        self.answer = entry.answer;
        let brief = Arc::make_mut(&mut self.brief);
        brief.provider = entry.provider;
        brief.claim.id = claim.id;
        self.answered(now)
    }

    /// Nobody knows whether the token was spent under the open claim.
    pub(super) fn undecided(mut self, now: DateTime<Utc>) -> Next {
        let Some(claim) = self.state.claim.clone() else { return self.finish(Outcome::Stale) };
        self.claimed = true;
        if self.replaying {
            return self.finish(Outcome::Unknown(None));
        }
        if claim.last_try && !self.brief.void_claims.contains(&claim.id) {
            return self.end_chain(None, None);
        }
        match self.semantics() {
            Semantics::Reusable | Semantics::RenewsItself | Semantics::Reissue => self.release(Outcome::Stale),
            Semantics::IdempotencyKey => self.take_over(false, now),
            _ if self.brief.task == Task::LastTry && self.may_be_asked(now) => self.ask_fate(now),
            _ if self.brief.task == Task::LastTry => self.connect(),
            Semantics::Grace(_) if !self.reported() => self.take_over(false, now),
            Semantics::Grace(_) | Semantics::SingleUse if self.brief.task == Task::Publish => self.publish(now),
            Semantics::Grace(_) | Semantics::SingleUse => self.finish(Outcome::Unknown(None)),
        }
    }

    /// The outcome of this claim was found to be unknown before: its window is over.
    fn reported(&self) -> bool {
        let known = &self.brief.known;
        known.unknown && known.attempt.as_ref() == self.state.claim.as_ref().map(|claim| &claim.id)
    }

    /// Takes over the open claim, so that nobody else repeats the request too.
    pub(super) fn take_over(mut self, last_try: bool, now: DateTime<Utc>) -> Next {
        let Some(before) = self.state.claim.clone() else { return self.finish(Outcome::Stale) };
        if let Err(error) = self.request(now) {
            // The credentials may be out of reach for a moment only: the window is not over for that.
            let passed = (now - before.time).to_std().unwrap_or_default();
            return match self.semantics() {
                Semantics::Grace(window) if passed < window => {
                    self.leave_open(postpone(Reason::RefreshRetrying, &format!("an open request cannot be repeated: {error}")))
                }
                _ => self.finish(Outcome::Unknown(None)),
            };
        }
        (self.claim_begun, self.claimed, self.taken) = (Some(now), false, Some(before.clone()));
        self.state.claim = Some(Claim {
            time: now,
            first: Some(before.first_id().to_owned()),
            last_try,
            fingerprint: before.fingerprint,
            since: before.since,
            token_ends: before.token_ends,
            ..self.brief.claim.clone()
        });
        self.write_claim()
    }

    /// Whether a repeat under the claim that was just taken over comes in time: inside the grace window, or after the end of the
    /// access token. All times are the API server's own: the clocks of two replicas can differ by more than a window.
    pub(super) fn may_still_repeat(&mut self, now: DateTime<Utc>) -> bool {
        let Some(claim) = &self.state.claim else { return false };
        let written = self.written();
        if claim.last_try {
            return written.zip(claim.token_ends).is_none_or(|(now, ends)| now > ends);
        }
        if self.fate == Some(Probed::Unspent) {
            // A copy of what was sent under the claim before may be on its way for as long.
            let passed = written.zip(self.stood_since).and_then(|(now, since)| (now - since).to_std().ok());
            return passed.is_some_and(|passed| passed >= CLAIM_TTL);
        }
        let Semantics::Grace(window) = self.semantics() else { return true };
        let passed = written.zip(claim.since).and_then(|(now, first)| (now - first).to_std().ok());
        // The times are in whole seconds.
        let passed = passed.map(|passed| passed.saturating_add(Duration::from_secs(1)).saturating_add(GRACE_MARGIN));
        let left = passed.and_then(|passed| window.checked_sub(passed)).filter(|left| !left.is_zero());
        self.repeat_until = left.map(|left| crate::refresh::schedule::after(now, left));
        left.is_some()
    }
}

/// The tokens of the answer that was kept, if they are newer than what stands, or if nothing does. Who owns what is not asked.
#[must_use]
pub fn newer_tokens(entry: &Entry, stands: Option<&State>) -> Option<HeldTokens> {
    let (sent, granted) = (entry.answer.as_ref()?.sent, read(entry)?.ok()?);
    let open = |state: &State| state.claim.as_ref().is_some_and(|claim| claim.id == entry.claim());
    let newer = stands.is_none_or(|state| open(state) || predates(state, entry));
    newer.then(|| entry.state.tokens.after(&granted, sent))
}

/// What the answer that was kept says; none if there is none, or not the whole of it.
fn read(entry: &Entry) -> Option<Result<TokenSet, TokenError>> {
    let whole = entry.answer.as_ref().filter(|answer| !answer.partial)?;
    Some(entry.provider.read(&whole.reply, whole.sent))
}

/// The answer that was kept brings tokens.
fn grants(entry: &Entry) -> bool {
    read(entry).is_some_and(|read| read.is_ok())
}

/// The state is this chain as it was before the exchange that was kept.
fn predates(state: &State, entry: &Entry) -> bool {
    let same_chain = state.owner.name == entry.state.owner.name
        && state.owner.cluster == entry.state.owner.cluster
        && state.seeds.iter().all(|seed| entry.state.seeds.contains(seed));
    same_chain && state.generation <= entry.state.generation
}
