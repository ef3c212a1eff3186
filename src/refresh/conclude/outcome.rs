//! What the outcome of an exchange does to the status: successes, failures that are tried again, attempts that stay open.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::words::{Fate, NO_SUCCESSOR, chain_lost, escrowed, unknown, unverified};
use super::{Draft, ESCROW_REST, REFUSAL_REST, Trouble};
use crate::api::{AttemptState, AttemptStatus, ConditionStatus, ConditionType, Reason};
use crate::provider::{Class, Probed, Semantics, TokenError};
use crate::refresh::decide::{Sight, Trigger, lapsed, lost, request_fingerprint, retires};
use crate::refresh::exchange::{Finished, Outcome, OutputOutcome, asks_from};
use crate::refresh::schedule::{CONFIGURATION_REST, after, retry_delay, whole_seconds, within_life};
use crate::refresh::state::{Claim, State};

impl Draft<'_> {
    pub(super) fn outcome(&mut self, finished: &Finished, trigger: Trigger, semantics: Semantics) -> Option<Trouble> {
        let trouble = self.trouble(finished, trigger, semantics);
        if trigger == Trigger::Bootstrap && lost(self.facts.status) { trouble.map(still_lost) } else { trouble }
    }

    fn trouble(&mut self, finished: &Finished, trigger: Trigger, semantics: Semantics) -> Option<Trouble> {
        if let Some(message) = &finished.unrendered {
            self.unsynced = Some((Reason::OutputInvalid, message.clone()));
        }
        if let Some(Err(why)) = &finished.verified {
            self.unsynced = Some((Reason::TokenNotVerified, unverified(why)));
        }
        match &finished.outcome {
            Outcome::Refreshed => {
                self.refreshed(trigger);
                let over = finished.state.as_ref().is_some_and(|state| state.chain_over);
                over.then(|| Trouble::Stalled(Reason::ChainLost, NO_SUCCESSOR.to_owned()))
            }
            Outcome::Published => self.published(finished),
            Outcome::Stale => {
                self.again = true;
                self.memory.retry_time = None;
                None
            }
            Outcome::Refused { reason, message } => {
                // One wrong answer of the API server must not outlive the token.
                self.rest(within_life(&self.facts.spec.refresh(), REFUSAL_REST, self.remaining()));
                self.plan_nothing();
                Some(Trouble::Stalled(*reason, message.clone()))
            }
            Outcome::Postponed { reason, message } => {
                if trigger == Trigger::Drift {
                    self.held_up();
                } else {
                    self.failed(None, None);
                }
                Some(Trouble::Retrying(*reason, message.clone()))
            }
            Outcome::Rejected(error) => Some(self.rejected(error, semantics)),
            Outcome::ChainOver(error) => {
                self.resolved();
                self.status.next_refresh_time = None;
                // Another one is begun at once.
                self.again |= self.facts.spec.recovers();
                Some(Trouble::Stalled(Reason::ChainLost, chain_lost(error.as_ref())))
            }
            Outcome::Unknown(_) => {
                self.unknown(finished, trigger);
                let kept = finished.state.as_ref().is_some_and(|state| state.unparsed.is_some());
                let next = self.status.next_refresh_time;
                let fate = if finished.fate == Some(Probed::Spent) { Fate::Gone } else { self.fate(finished, next) };
                Some(Trouble::Stalled(Reason::RefreshOutcomeUnknown, unknown(next, kept, fate)))
            }
            Outcome::Escrowed => {
                self.rest(ESCROW_REST);
                let claim = self.status.attempt.as_ref().map(|attempt| attempt.id.as_str()).unwrap_or_default();
                Some(Trouble::Retrying(Reason::WriteFailed, escrowed(claim)))
            }
            // Concluded before.
            Outcome::Held { .. } => None,
        }
    }

    fn refreshed(&mut self, trigger: Trigger) {
        let quiet = trigger == Trigger::Scheduled && self.facts.status.chain_generation.unwrap_or(0) > 0;
        let after_seed = self.events.iter().any(|note| note.reason == Reason::SeedAdopted);
        self.resolved();
        self.memory.publish_failures = 0;
        self.memory.sight = None;
        self.memory.generation = self.status.chain_generation.unwrap_or(0);
        self.status.last_refresh_time = Some(whole_seconds(self.now));
        self.status.consecutive_failures = Some(0);
        if let (Some(effective), Some(provider)) = (&mut self.status.effective, self.facts.provider.spec()) {
            let asked = request_fingerprint(provider, &self.facts.spec.request(), self.facts.key);
            effective.request_fingerprint = Some(asked.to_string());
        }
        self.status.conditions.retain(|c| c.type_ != ConditionType::Stalled);
        self.reschedule();
        if trigger == Trigger::Bootstrap {
            let message = "a chain was begun with the credentials in the seed".to_owned();
            self.note(false, Reason::Bootstrapped, message);
        } else if !quiet && !after_seed {
            let message = format!("refresh {} is committed", self.status.chain_generation.unwrap_or(0));
            self.note(false, Reason::Refreshed, message);
        }
    }

    pub(super) fn resolved(&mut self) {
        self.status.attempt = None;
        self.memory.looked_at = None;
        // What became of it is known now.
        self.status
            .conditions
            .retain(|c| c.type_ != ConditionType::Stalled || c.reason != Reason::RefreshOutcomeUnknown.as_str());
    }

    fn published(&mut self, finished: &Finished) -> Option<Trouble> {
        self.resolved();
        let state = finished.state.as_ref();
        if state.is_some_and(|state| state.generation > self.facts.status.chain_generation.unwrap_or(0)) {
            self.caught_up(state);
        }
        if finished.state.as_ref().is_some_and(|state| state.chain_over) {
            self.status.next_refresh_time = None;
            return Some(Trouble::Stalled(Reason::ChainLost, chain_lost(None)));
        }
        self.status
            .conditions
            .retain(|c| c.type_ != ConditionType::Stalled || c.reason == Reason::ConfigurationRejected.as_str());
        self.reschedule();
        let drifted = self.old(ConditionType::SecretsSynced).is_some_and(|(status, ..)| status == ConditionStatus::True);
        let known = |name: &str| self.facts.status.outputs.iter().any(|output| output.secret_name == name);
        let lapsed = lapsed(self.facts, self.now);
        let restored = |o: &&OutputOutcome| o.result.is_ok() && known(&o.name) && !lapsed.contains(&o.name.as_str());
        let restored: Vec<&str> = finished.outputs.iter().filter(restored).map(|o| o.name.as_str()).collect();
        let changed = self.facts.status.observed_generation != self.facts.generation;
        let retires = retires(self.facts, self.now);
        if retires && finished.retired != Some(Ok(())) {
            self.unretired(finished);
        }
        if !restored.is_empty() && drifted && !changed && !retires && self.facts.status.attempt.is_none() {
            let message = format!("wrote {} again from the operator's state; the token API was not called", restored.join(", "));
            self.note(false, Reason::SecretRestored, message);
        }
        None
    }

    /// The token that was replaced is valid still: that is tried again until it has expired.
    fn unretired(&mut self, finished: &Finished) {
        if let Some(Err(why)) = finished.retired.as_ref().filter(|_| self.memory.publish_failures == 0) {
            let message = format!("the access token that was replaced could not be revoked, which is tried again: {why}");
            self.note(true, Reason::RevocationFailed, message);
        }
        self.held_up();
    }

    /// Puts off what failed, until then or until the watch shows something else.
    pub(super) fn rest(&mut self, rest: Duration) {
        self.memory.retry_time = Some(after(self.now, rest));
        self.memory.sight = Some(Box::new(Sight::of(self.facts)));
    }

    /// A commit whose status was never written, because the process died in between.
    fn caught_up(&mut self, state: Option<&State>) {
        self.status.consecutive_failures = Some(0);
        self.status.last_refresh_time = state.and_then(|state| state.tokens.issued_time).map(whole_seconds);
        self.status.conditions.retain(|c| c.type_ != ConditionType::Stalled);
    }

    /// The outputs could not be looked after: no refresh has failed, and none is nearer for it.
    fn held_up(&mut self) {
        self.memory.publish_failures = self.memory.publish_failures.saturating_add(1);
        let delay = retry_delay(&self.facts.spec.refresh(), self.memory.publish_failures, None, None);
        self.rest(delay + Duration::from_secs(1));
    }

    /// What is left of the access token's life; none when it is over, or its end is not known.
    fn remaining(&self) -> Option<Duration> {
        let expiration = self.status.token.as_ref()?.expiration_time?;
        (expiration - self.now).to_std().ok().filter(|left| !left.is_zero())
    }

    /// A failure that spent nothing: the next try.
    fn failed(&mut self, retry_after: Option<Duration>, rest: Option<Duration>) {
        self.memory.sight = Some(Box::new(Sight::of(self.facts)));
        let failures = self.status.consecutive_failures.unwrap_or(0).saturating_add(1);
        self.status.consecutive_failures = Some(failures);
        self.status.last_failure_time = Some(whole_seconds(self.now));
        let count = u32::try_from(failures).unwrap_or(1);
        let delay = retry_delay(&self.facts.spec.refresh(), count, self.remaining(), retry_after).max(rest.unwrap_or_default());
        self.status.next_refresh_time = Some(after(self.now, delay) + TimeDelta::seconds(1));
    }

    fn rejected(&mut self, error: &TokenError, semantics: Semantics) -> Trouble {
        let message = error.to_string();
        match error.class {
            Class::Configuration => {
                // A token that renews itself dies with its lifetime: until then it is tried like any other failure. How long the
                // seed's lives nobody knows.
                let lives = self.status.token.is_none() || self.remaining().is_some();
                let dies = semantics == Semantics::RenewsItself && lives;
                self.failed(error.retry_after, (!dies).then_some(CONFIGURATION_REST));
                let hint =
                    "nothing was spent; it is tried again within the hour, and at once when the object or the seed changes";
                Trouble::Stalled(Reason::ConfigurationRejected, format!("{message}; {hint}"))
            }
            Class::Throttled => {
                self.failed(error.retry_after, None);
                Trouble::Retrying(Reason::Throttled, message)
            }
            Class::Transient | Class::ChainOver | Class::Unknown => {
                self.failed(error.retry_after, None);
                Trouble::Retrying(Reason::RefreshRetrying, message)
            }
        }
    }

    /// The attempt that goes on: the claim that stands in the state Secret, in `state` or as far as it was known to have come.
    pub(super) fn attempt(&mut self, finished: &Finished, state: Option<AttemptState>) {
        let claim = finished.claim.as_ref();
        let known = self.facts.status.attempt.as_ref();
        let id = claim.map(|claim| claim.id.clone()).or_else(|| known.map(|attempt| attempt.id.clone())).unwrap_or_default();
        let start_time = claim.map(|claim| claim.time).or_else(|| known.map(|attempt| attempt.start_time)).unwrap_or(self.now);
        let state = state.or(known.map(|attempt| attempt.state)).unwrap_or(AttemptState::Sending);
        self.status.attempt = Some(Box::new(AttemptStatus { id, state, start_time: whole_seconds(start_time) }));
    }

    fn unknown(&mut self, finished: &Finished, trigger: Trigger) {
        let known = self.facts.status.attempt.as_ref().map(|attempt| attempt.state);
        self.attempt(finished, Some(AttemptState::Unknown));
        self.memory.looked_at = self.status.attempt.as_ref().map(|attempt| attempt.id.clone());
        let asks = finished.claim.as_ref().filter(|_| finished.asks).map(asks_from);
        if trigger == Trigger::LastTry && finished.fate != Some(Probed::Spent) {
            self.failed(None, None);
            self.status.next_refresh_time = self.status.next_refresh_time.max(asks);
            return;
        }
        if known != Some(AttemptState::Unknown) {
            self.status.last_failure_time = Some(whole_seconds(self.now));
            self.status.consecutive_failures = Some(self.status.consecutive_failures.unwrap_or(0).saturating_add(1));
        }
        // Nothing can get worse then.
        let held = finished.state.as_ref().and_then(|state| state.tokens.expiration_time);
        let expiration = held.or(self.status.token.as_ref().and_then(|token| token.expiration_time));
        let due = expiration.map(|time| after(time, Duration::from_secs(1)));
        let last_try = due.max(finished.claim.as_ref().and_then(certain_end));
        let next = last_try.into_iter().chain(asks).min();
        self.status.next_refresh_time = next.map(|time| time.max(whole_seconds(self.now)));
    }

    /// What comes next of a token of unknown fate: the API is asked, or nothing before the access token has expired.
    fn fate(&self, finished: &Finished, next: Option<DateTime<Utc>>) -> Fate {
        let expiration = self.status.token.as_ref().and_then(|token| token.expiration_time);
        let before = next.is_some_and(|next| expiration.is_none_or(|end| next < end));
        if finished.asks && before { Fate::Asked } else { Fate::Unknown }
    }
}

/// When the access token has ended on the API server's clock too, to which the late repeat is held: told on the clock of whoever
/// claimed. The server's times are cut to whole seconds, and so is this one.
fn certain_end(claim: &Claim) -> Option<DateTime<Utc>> {
    let (ends, since) = claim.token_ends.zip(claim.since.filter(|_| claim.first.is_none()))?;
    Some(after(claim.time, (ends - since).to_std().ok()?.saturating_add(Duration::from_secs(2))))
}

/// A chain that could not be followed by another is lost as before: so that is tried again, and not taken for a refresh that failed.
fn still_lost(trouble: Trouble) -> Trouble {
    let (Trouble::Stalled(_, message) | Trouble::Retrying(_, message)) = trouble;
    let message = format!("the chain is over, and no other could be begun with the credentials in the seed: {message}");
    Trouble::Stalled(Reason::ChainLost, message)
}
