//! The claim and the mark: from a state that stands to the right to present its token.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::report::Outcome;
use super::send::cannot_request;
use super::step::{Mark, MarkAnswer, StateAnswer, StateWrite, Step, WriteAnswer};
use super::{Exchange, Next, Phase, SEND_WITHIN, is_claim, postpone, spendable, unclear};
use crate::api::Reason;
use crate::provider::RequestError;
use crate::refresh::state::{Claim, State};
use crate::token::Fingerprint;

impl Exchange {
    /// The claim, or on the light path the request itself.
    pub(super) fn claim(mut self, now: DateTime<Utc>) -> Next {
        if !self.semantics().spends() {
            return self.send(now);
        }
        let Some(fingerprint) = spendable(&self.state.tokens, self.semantics(), &self.brief.key) else {
            return self.finish(cannot_request(&RequestError::Missing("refresh_token")));
        };
        self.claim_begun = Some(now);
        let (tokens, stored) = (&self.state.tokens, self.written());
        let lifetime = tokens.expiration_time.zip(tokens.issued_time).map(|(end, begin)| end - begin);
        // The expiry of a seed's token is the issuer's own time.
        let token_ends = stored.zip(lifetime).map(|(stored, lifetime)| stored + lifetime).or(tokens.expiration_time);
        let own = self.brief.claim.clone();
        self.state.claim = Some(Claim { fingerprint: fingerprint.to_string(), time: now, token_ends, ..own });
        self.write_claim()
    }

    pub(super) fn write_claim(self) -> Next {
        let write = StateWrite { state: self.state.clone(), replaces: self.version.clone(), dry_run: false, begins: true };
        self.at(Phase::Claiming, Step::WriteState(Box::new(write)))
    }

    pub(super) fn claim_answered(mut self, answer: WriteAnswer, now: DateTime<Utc>) -> Next {
        match answer {
            WriteAnswer::Done(version) => {
                self.version = Some(*version);
                self.stands = true;
                self.claimed_it(now)
            }
            WriteAnswer::Conflict if self.version.is_none() && !self.repeating() => {
                // A state Secret exists after all: an object of this name lived before.
                self.state = State::default();
                self.stands = false;
                self.adopted = None;
                self.at(Phase::Reading, Step::ReadState)
            }
            // Deleted since it was read: what was read is the only copy, and is put back with the claim.
            WriteAnswer::Missing if self.version.take().is_some() => self.write_claim(),
            WriteAnswer::Conflict | WriteAnswer::Missing | WriteAnswer::HeldBack => self.unclaimed(Outcome::Stale),
            WriteAnswer::Denied => self.unclaimed(postpone(
                Reason::WriteFailed,
                "the API server refuses to write the state Secret: check the operator's permissions, admission policies and quota",
            )),
            WriteAnswer::Unclear => self.at(Phase::LookingForClaim, Step::ReadState),
        }
    }

    /// The claim was not written, for certain.
    fn unclaimed(mut self, outcome: Outcome) -> Next {
        self.state.claim = self.taken.take();
        // A claim that was to be taken over stands as it was, or somebody else has ended it: there is nothing new to say of it.
        if self.state.claim.is_some() {
            self.marked = None;
        }
        self.finish(outcome)
    }

    /// The claim does not stand, and its write can still arrive.
    fn perhaps_claimed(self, outcome: Outcome) -> Next {
        if self.taken.is_some() { self.unclaimed(outcome) } else { self.finish(outcome) }
    }

    pub(super) fn looked_for_claim(mut self, answer: StateAnswer, now: DateTime<Utc>) -> Next {
        match answer {
            StateAnswer::Found(stored) if is_claim(&stored.state, &self.brief.claim.id) => {
                self.version = Some(stored.version);
                self.deleting = stored.deleting;
                self.stands = true;
                self.claimed_it(now)
            }
            // An older copy, or nothing: what was read before is the only copy of the newest tokens.
            StateAnswer::Found(stored) if stored.state.claim.is_none() && self.outlives(&stored.state) => {
                self.version = Some(stored.version);
                self.deleting = stored.deleting;
                self.write_claim()
            }
            StateAnswer::Missing if self.version.take().is_some() => self.write_claim(),
            StateAnswer::Found(_) | StateAnswer::Malformed(..) | StateAnswer::Missing => self.perhaps_claimed(Outcome::Stale),
            StateAnswer::Denied | StateAnswer::Unclear if self.late(now) => {
                self.perhaps_claimed(unclear("the API server gave no clear answer to the claim"))
            }
            StateAnswer::Denied | StateAnswer::Unclear => self.at(Phase::WaitingToLook, Step::Pause(Duration::from_secs(1))),
        }
    }

    /// What was found is this chain as it was before, with other tokens.
    fn outlives(&self, found: &State) -> bool {
        found.tokens != self.state.tokens && self.precedes(found, &self.state)
    }

    fn late(&self, now: DateTime<Utc>) -> bool {
        self.claim_begun.is_none_or(|begun| (now - begun).to_std().is_ok_and(|passed| passed >= SEND_WITHIN))
    }

    /// The newest write of the state Secret is that of the first claim: that is when it was made.
    pub(super) fn date_claim(&mut self) {
        let written = self.written();
        if let Some(claim) = self.state.claim.as_mut().filter(|claim| claim.first.is_none()) {
            claim.since = claim.since.or(written);
        }
    }

    /// The claim stands. When the full preflight is due, the commit is tried too: it needs other rights than a creation.
    fn claimed_it(mut self, now: DateTime<Utc>) -> Next {
        self.date_claim();
        if self.repeating() && !self.may_still_repeat(now) {
            return self.release(Outcome::Unknown(None));
        }
        let rests = self.state.rest_until.filter(|_| !self.repeating());
        if rests.is_some_and(|until| self.written().unwrap_or(now) < until) {
            return self.release(postpone(
                Reason::RefreshRetrying,
                "the last refresh was repeated, and a copy of its first request may still be on its way: the next one waits",
            ));
        }
        if !self.brief.preflight || self.repeating() {
            return self.mark(now);
        }
        let commit = StateWrite {
            state: State { generation: self.state.generation.saturating_add(1), ..self.state.released() },
            replaces: self.version.clone(),
            dry_run: true,
            begins: false,
        };
        self.at(Phase::TryingCommit, Step::WriteState(Box::new(commit)))
    }

    pub(super) fn commit_tried(self, answer: &WriteAnswer, now: DateTime<Utc>) -> Next {
        match answer {
            WriteAnswer::Done(_) => self.mark(now),
            WriteAnswer::Conflict | WriteAnswer::Missing | WriteAnswer::HeldBack => self.release(Outcome::Stale),
            WriteAnswer::Denied => self.release(postpone(
                Reason::WriteFailed,
                "the API server would refuse the new state: check the operator's permissions, admission policies and quota",
            )),
            WriteAnswer::Unclear => self.release(unclear("the API server gave no clear answer to the trial of the commit")),
        }
    }

    fn mark(mut self, _now: DateTime<Utc>) -> Next {
        let Some(claim) = self.state.claim.clone() else { return self.finish(unclear("the operator lost its claim")) };
        let fingerprint = Fingerprint::from_stored(claim.fingerprint.clone());
        self.marked = Some(fingerprint.clone());
        self.at(Phase::Marking, Step::Mark(Mark { claim, fingerprint }))
    }

    pub(super) fn mark_answered(self, answer: MarkAnswer, now: DateTime<Utc>) -> Next {
        match answer {
            MarkAnswer::Done if self.brief.claim.journal.is_some() => {
                let intent = self.entry();
                self.at(Phase::Intending, Step::Journal(intent))
            }
            MarkAnswer::Done => self.send(now),
            MarkAnswer::Stale => self.release(Outcome::Stale),
            MarkAnswer::Denied => self.release(postpone(
                Reason::ClusterUnavailable,
                "the API server refuses to write this object's status: check the operator's permissions",
            )),
            MarkAnswer::Unclear => self.release(unclear("the API server gave no clear answer to the mark")),
        }
    }
}
