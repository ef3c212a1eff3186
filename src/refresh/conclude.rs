//! What the status, the events and the next look come to, from facts and from what an exchange found.

mod conditions;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::{
    AttemptState, AttemptStatus, ConditionStatus, ConditionType, EffectiveStatus, OutputStatus, Reason, RefreshableTokenStatus,
    SeedStatus, TokenStatus,
};
use crate::provider::{Class, Semantics, TokenError};
use crate::token::{AccessToken, Fingerprint, HeldTokens, Purpose};

use super::decide::{Facts, Memory, SeedView, Sight, Trigger, new_seed, request_fingerprint, requested};
use super::exchange::{Finished, Outcome, OutputOutcome, spendable};
use super::journal::escrow_name;
use super::schedule::{CONFIGURATION_REST, after, readable, retry_delay, schedule, whole_seconds};
use super::state::State;

/// How many spent tokens the status remembers (reference protocol, section 2.5).
const MOST_SPENT: usize = 8;
/// How many void claims this process remembers. Our choice: only the newest can still stand in the state Secret.
const MOST_VOID: usize = 8;
/// How long something that a person has to mend rests before it is looked at again. Nothing is spent by looking.
const REFUSAL_REST: Duration = Duration::from_secs(300);
/// How long a new pair waits in escrow before its commit is tried again. Our choice: as long as one exchange pauses at most.
const ESCROW_REST: Duration = Duration::from_secs(10);

/// What is said about a seed that was used before.
const OLD_SEED: &str =
    "the seed Secret holds a token that was used before: it is ignored, and the chain goes on from the operator's own state";

/// What is said when an answer brings an access token and no refresh token, where each works once.
const NO_SUCCESSOR: &str = "the token API gave an access token but no new refresh token, so this was the last refresh (JFrog: \
                            token.allow-refreshable is off). Put a new token into the seed Secret to begin a new chain";

/// What follows from a decision or an exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    /// The status to store, if it differs from what is stored.
    pub status: RefreshableTokenStatus,
    /// What to tell people, on transitions only.
    pub events: Vec<Note>,
    /// What this process remembers.
    pub memory: Memory,
    /// Decide again at once: the decision was made on old facts.
    pub again: bool,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Something that a person should look at.
    pub warning: bool,
    /// One word for programs.
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
}

/// The status of an object about which nothing is done now.
#[must_use]
pub fn conclude_wait(facts: &Facts<'_>, now: DateTime<Utc>) -> Conclusion {
    let mut draft = Draft::new(facts, now);
    draft.seed_version();
    // Nothing is left to be written again.
    if draft.memory.retry_time.is_none_or(|retry| retry <= now) {
        draft.memory.publish_failures = 0;
    }
    draft.reschedule();
    if facts.spec.suspended() {
        draft.status.next_refresh_time = None;
    }
    draft.finish(None)
}

/// The status of an object that cannot go on until somebody changes something.
#[must_use]
pub fn conclude_halt(facts: &Facts<'_>, reason: Reason, message: &str, now: DateTime<Utc>) -> Conclusion {
    let mut draft = Draft::new(facts, now);
    draft.status.next_refresh_time = None;
    draft.rest(REFUSAL_REST);
    draft.finish(Some(Trouble::Stalled(reason, message.to_owned())))
}

/// The status after an exchange.
#[must_use]
pub fn conclude(
    facts: &Facts<'_>,
    finished: &Finished,
    trigger: Trigger,
    semantics: Semantics,
    now: DateTime<Utc>,
) -> Conclusion {
    if let Outcome::Held { remaining, .. } = &finished.outcome {
        return conclude_held(facts, *remaining, now);
    }
    let mut draft = Draft::new(facts, now);
    draft.memory.retry_time = None;
    draft.memory.sight = Some(Sight::of(facts));
    draft.memory.void_claims.extend(finished.void_claim.clone());
    let surplus = draft.memory.void_claims.len().saturating_sub(MOST_VOID);
    draft.memory.void_claims.drain(..surplus);
    draft.memory.rest_until = finished.rest.map(|rest| after(now, rest)).or(draft.memory.rest_until.filter(|until| *until > now));
    draft.spent(finished, semantics);
    draft.seed(finished);
    if let Some(state) = &finished.state {
        draft.chain(state);
    }
    // A request is handled by the refresh that it asked for, or by any other that was committed since.
    let handled = trigger == Trigger::Manual && finished.outcome != Outcome::Stale || finished.outcome == Outcome::Refreshed;
    if handled && requested(facts) {
        draft.status.last_handled_refresh_request = facts.request.map(str::to_owned);
    }
    draft.outputs(&finished.outputs);
    // The exchange's own mark, or the chain that the attempt belonged to, is settled.
    let marked = finished.spent.is_some() || finished.unmark.is_some();
    if finished.open {
        draft.attempt(finished, None);
    } else if (marked || finished.adopted.is_some()) && !matches!(finished.outcome, Outcome::Unknown(_)) {
        draft.resolved();
    }
    draft.unwritten = !draft.published
        && facts.status.observed_generation != facts.generation
        && facts.status.chain_generation.unwrap_or(0) > 0;
    let trouble = draft.outcome(finished, trigger);
    draft.finish(trouble)
}

/// Another process is at work on the object: whatever there is to be said, it says.
fn conclude_held(facts: &Facts<'_>, remaining: Duration, now: DateTime<Utc>) -> Conclusion {
    let mut memory = facts.memory.clone();
    memory.retry_time = Some(after(now, remaining) + TimeDelta::seconds(1));
    memory.sight = Some(Sight::of(facts));
    Conclusion { status: facts.status.clone(), events: Vec::new(), memory, again: false }
}

enum Trouble {
    /// A person must act.
    Stalled(Reason, String),
    /// It is tried again.
    Retrying(Reason, String),
}

struct Draft<'a> {
    facts: &'a Facts<'a>,
    now: DateTime<Utc>,
    status: RefreshableTokenStatus,
    memory: Memory,
    events: Vec<Note>,
    unsynced: Option<(Reason, String)>,
    published: bool,
    /// The spec has changed, and the outputs were not written since.
    unwritten: bool,
    again: bool,
}

impl<'a> Draft<'a> {
    fn new(facts: &'a Facts<'a>, now: DateTime<Utc>) -> Self {
        let mut status = facts.status.clone();
        status.observed_generation = facts.generation;
        let effective = status.effective.get_or_insert_with(EffectiveStatus::default);
        facts.spec.provider.name().clone_into(&mut effective.provider);
        let memory = facts.memory.clone();
        Self { facts, now, status, memory, events: Vec::new(), unsynced: None, published: false, unwritten: false, again: false }
    }

    fn note(&mut self, warning: bool, reason: Reason, message: String) {
        self.events.push(Note { warning, reason, message });
    }

    fn spent(&mut self, finished: &Finished, semantics: Semantics) {
        let spent = &mut self.status.spent_fingerprints;
        if let Some(fingerprint) = &finished.unmark {
            spent.retain(|known| known != fingerprint.as_str());
        }
        if let Some(fingerprint) = &finished.spent {
            remember(spent, fingerprint);
        }
        // A state that stands without a claim holds an unspent token, whatever an earlier mark says: that mark was released, or
        // the server gave the same refresh token back (RFC 6749 section 6).
        let open = matches!(finished.outcome, Outcome::Unknown(_) | Outcome::ChainOver(_));
        let standing = finished.state.as_ref().filter(|state| !open && state.claim.is_none() && !state.chain_over);
        if let Some(held) = standing.and_then(|state| spendable(&state.tokens, semantics, self.facts.key)) {
            spent.retain(|known| known != held.as_str());
        }
    }

    /// A seed counts as handled once it is adopted, or known to have been adopted or spent before.
    fn seed(&mut self, finished: &Finished) {
        let SeedView::Read { seed, resource_version } = &self.facts.seed else { return };
        let known = finished.state.as_ref().is_some_and(|state| state.seeds.contains(&seed.fingerprint));
        if known || finished.adopted.is_some() {
            let fingerprint = seed.fingerprint.to_string();
            let other = self.status.seed.as_ref().is_some_and(|before| before.fingerprint != fingerprint);
            if other && finished.adopted.is_none() {
                self.note(true, Reason::AlreadySpent, OLD_SEED.to_owned());
            }
            self.status.seed = Some(SeedStatus { fingerprint, resource_version: Some(resource_version.clone()) });
        }
        if finished.adopted.is_some() {
            let message = "began a new chain with the token of the seed Secret".to_owned();
            self.note(false, Reason::SeedAdopted, message);
        }
    }

    /// A seed that was read again and holds nothing new. A new one that has to wait is read again later.
    fn seed_version(&mut self) {
        let SeedView::Read { seed, resource_version } = &self.facts.seed else { return };
        if new_seed(self.facts) {
            return;
        }
        match &mut self.status.seed {
            Some(known) if known.fingerprint == seed.fingerprint.as_str() => {
                known.resource_version = Some(resource_version.clone());
            }
            Some(known) => {
                known.resource_version = Some(resource_version.clone());
                self.note(true, Reason::AlreadySpent, OLD_SEED.to_owned());
            }
            None => {}
        }
    }

    fn chain(&mut self, state: &State) {
        let known = self.status.chain_generation.unwrap_or(0);
        self.status.chain_generation = Some(state.generation.max(known));
        // A seed's tokens, of which nothing is known yet; the outputs still hold what the status is about.
        if state.tokens.issued_time.is_none() {
            return;
        }
        self.status.token = token_status(&state.tokens, self.facts);
    }

    fn reschedule(&mut self) {
        let issued = self.status.token.as_ref().and_then(|token| token.issued_time);
        let Some(issued) = issued else { return };
        let expiration = self.status.token.as_ref().and_then(|token| token.expiration_time);
        let plan = schedule(&self.facts.spec.refresh(), issued, expiration, self.facts.uid);
        if let Some(effective) = &mut self.status.effective {
            effective.before = plan.before.map(readable);
            effective.jitter = Some(readable(plan.jitter));
            effective.note = plan.note.map(str::to_owned);
        }
        if self.facts.spec.suspended() {
            self.status.next_refresh_time = None;
            return;
        }
        let resting = self.status.consecutive_failures.unwrap_or(0) > 0 || self.status.attempt.is_some();
        if resting {
            return;
        }
        self.status.next_refresh_time = match super::decide::stalled(&self.status) {
            Some(_) => None,
            None => Some(plan.refresh_time.max(self.memory.rest_until.unwrap_or(plan.refresh_time))),
        };
    }

    fn outputs(&mut self, outcomes: &[OutputOutcome]) {
        for output in outcomes {
            match output.result {
                Ok(()) => self.written(output),
                Err(problem) => {
                    let problem = (problem.reason(), problem.message(&output.name));
                    self.unsynced.get_or_insert(problem);
                }
            }
        }
        self.published = !outcomes.is_empty();
        let wanted =
            |written: &OutputStatus| self.facts.spec.outputs.iter().any(|output| output.secret_name == written.secret_name);
        self.status.outputs.retain(wanted);
    }

    fn written(&mut self, output: &OutputOutcome) {
        let entry = OutputStatus {
            secret_name: output.name.clone(),
            type_: output.type_.to_owned(),
            content_hash: output.content_hash.to_string(),
            last_write_time: whole_seconds(self.now),
        };
        match self.status.outputs.iter_mut().find(|known| known.secret_name == output.name) {
            Some(known) => *known = entry,
            None => self.status.outputs.push(entry),
        }
    }

    fn outcome(&mut self, finished: &Finished, trigger: Trigger) -> Option<Trouble> {
        if let Some(message) = &finished.unrendered {
            self.unsynced = Some((Reason::OutputInvalid, message.clone()));
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
                self.rest(REFUSAL_REST);
                self.status.next_refresh_time = None;
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
            Outcome::Rejected(error) => Some(self.rejected(error)),
            Outcome::ChainOver(error) => {
                self.resolved();
                self.status.next_refresh_time = None;
                Some(Trouble::Stalled(Reason::ChainLost, chain_lost(error.as_ref())))
            }
            Outcome::Unknown(_) => {
                self.unknown(finished, trigger);
                Some(Trouble::Stalled(Reason::RefreshOutcomeUnknown, unknown(self.status.next_refresh_time)))
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
        if let Some(effective) = &mut self.status.effective {
            effective.request_fingerprint = Some(request_fingerprint(self.facts.spec, self.facts.key).to_string());
        }
        self.status.conditions.retain(|c| c.type_ != ConditionType::Stalled);
        self.reschedule();
        if !quiet && !after_seed {
            let message = format!("refresh {} is committed", self.status.chain_generation.unwrap_or(0));
            self.note(false, Reason::Refreshed, message);
        }
    }

    fn resolved(&mut self) {
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
        let restored: Vec<&str> =
            finished.outputs.iter().filter(|o| o.result.is_ok() && known(&o.name)).map(|o| o.name.as_str()).collect();
        let changed = self.facts.status.observed_generation != self.facts.generation;
        if !restored.is_empty() && drifted && !changed && self.facts.status.attempt.is_none() {
            let message = format!("wrote {} again from the operator's state; the token API was not called", restored.join(", "));
            self.note(false, Reason::SecretRestored, message);
        }
        None
    }

    /// Puts off what failed, until then or until the watch shows something else.
    fn rest(&mut self, rest: Duration) {
        self.memory.retry_time = Some(after(self.now, rest));
        self.memory.sight = Some(Sight::of(self.facts));
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

    /// A failure that spent nothing: the next try.
    fn failed(&mut self, retry_after: Option<Duration>, rest: Option<Duration>) {
        self.memory.sight = Some(Sight::of(self.facts));
        let failures = self.status.consecutive_failures.unwrap_or(0).saturating_add(1);
        self.status.consecutive_failures = Some(failures);
        self.status.last_failure_time = Some(whole_seconds(self.now));
        let expiration = self.status.token.as_ref().and_then(|token| token.expiration_time);
        let remaining = expiration.map(|time| (time - self.now).to_std().unwrap_or_default());
        let count = u32::try_from(failures).unwrap_or(1);
        let delay = retry_delay(&self.facts.spec.refresh(), count, remaining, retry_after).max(rest.unwrap_or_default());
        self.status.next_refresh_time = Some(after(self.now, delay) + TimeDelta::seconds(1));
    }

    fn rejected(&mut self, error: &TokenError) -> Trouble {
        let message = error.to_string();
        match error.class {
            Class::Configuration => {
                self.failed(error.retry_after, Some(CONFIGURATION_REST));
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
    fn attempt(&mut self, finished: &Finished, state: Option<AttemptState>) {
        let claim = finished.claim.as_ref();
        let known = self.facts.status.attempt.as_ref();
        let id = claim.map(|claim| claim.id.clone()).or_else(|| known.map(|attempt| attempt.id.clone())).unwrap_or_default();
        let start_time = claim.map(|claim| claim.time).or_else(|| known.map(|attempt| attempt.start_time)).unwrap_or(self.now);
        let state = state.or(known.map(|attempt| attempt.state)).unwrap_or(AttemptState::Sending);
        self.status.attempt = Some(AttemptStatus { id, state, start_time: whole_seconds(start_time) });
    }

    fn unknown(&mut self, finished: &Finished, trigger: Trigger) {
        let known = self.facts.status.attempt.as_ref().map(|attempt| attempt.state);
        self.attempt(finished, Some(AttemptState::Unknown));
        self.memory.looked_at = self.status.attempt.as_ref().map(|attempt| attempt.id.clone());
        if trigger == Trigger::LastTry {
            return self.failed(None, None);
        }
        if known != Some(AttemptState::Unknown) {
            self.status.last_failure_time = Some(whole_seconds(self.now));
            self.status.consecutive_failures = Some(self.status.consecutive_failures.unwrap_or(0).saturating_add(1));
        }
        // Nothing can get worse then.
        let held = finished.state.as_ref().and_then(|state| state.tokens.expiration_time);
        let expiration = held.or(self.status.token.as_ref().and_then(|token| token.expiration_time));
        self.status.next_refresh_time = expiration.map(|time| after(time, Duration::from_secs(1)).max(whole_seconds(self.now)));
    }
}

fn remember(spent: &mut Vec<String>, fingerprint: &Fingerprint) {
    spent.retain(|known| known != fingerprint.as_str());
    spent.push(fingerprint.to_string());
    let surplus = spent.len().saturating_sub(MOST_SPENT);
    spent.drain(..surplus);
}

/// The status with the mark: what is written before a token is sent.
#[must_use]
pub fn mark(status: &RefreshableTokenStatus, mark: &super::exchange::Mark) -> RefreshableTokenStatus {
    let mut marked = status.clone();
    remember(&mut marked.spent_fingerprints, &mark.fingerprint);
    let start_time = whole_seconds(mark.claim.time);
    marked.attempt = Some(AttemptStatus { id: mark.claim.id.clone(), state: AttemptState::Sending, start_time });
    marked
}

fn token_status(tokens: &HeldTokens, facts: &Facts<'_>) -> Option<TokenStatus> {
    let access = tokens.access_token.as_ref().map(AccessToken::reveal)?;
    let lifetime = tokens.expiration_time.zip(tokens.issued_time).and_then(|(end, begin)| (end - begin).to_std().ok());
    Some(TokenStatus {
        fingerprint: facts.key.fingerprint(Purpose::Token, access.as_bytes()).to_string(),
        issued_time: tokens.issued_time.map(whole_seconds),
        expiration_time: tokens.expiration_time.map(whole_seconds),
        lifetime: lifetime.map(readable),
        refresh_token_expiration_time: tokens.refresh_token_expiration_time.map(whole_seconds),
        subject: tokens.subject.as_deref().map(short),
        scope: tokens.scope.as_deref().map(short),
        token_id: tokens.token_id.as_deref().map(short),
    })
}

fn unknown(last_try: Option<DateTime<Utc>>) -> String {
    let next = last_try.map_or_else(
        || "it is not sent again".to_owned(),
        |time| {
            let time = time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            format!("it is not sent again before the access token has expired, and then once, at {time}")
        },
    );
    format!(
        "the refresh token was sent and no answer came: nobody can tell whether it was spent, so {next}. Put a new token into the \
         seed Secret to begin a new chain"
    )
}

fn escrowed(claim: &str) -> String {
    format!(
        "a new token was obtained, but the API server refuses to write it into the state Secret: check the operator's permissions, \
         admission policies, quota and whether the Secret is immutable. The token is safe in Secret {} of the operator's namespace, \
         and the write is tried again",
        escrow_name(claim)
    )
}

/// At most 256 characters of a text that an API sent, without control characters.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

fn chain_lost(error: Option<&TokenError>) -> String {
    let why = error.map_or_else(
        || "the refresh token was spent or is no longer accepted, and no newer one is known".to_owned(),
        ToString::to_string,
    );
    format!("{why}. Put a new token into the seed Secret to begin a new chain")
}
