//! What the status, the events and the next look come to, from facts and from what an exchange found.

mod conditions;
mod outcome;
mod unwritten;
mod words;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::{
    AttemptState, AttemptStatus, EffectiveStatus, OutputStatus, PreviousTokenStatus, Reason, RefreshableTokenStatus, SeedStatus,
    TokenStatus,
};
use crate::provider::Semantics;
use crate::token::{AccessToken, Fingerprint, HeldTokens, Purpose};

pub use unwritten::conclude_unwritten;
use words::{NO_NEWER_TOKEN, OLD_SEED};

use super::decide::{Facts, Memory, SeedView, Sight, Trigger, new_seed, requested};
use super::exchange::{Finished, Outcome, OutputOutcome, spendable};
use super::schedule::{after, paced, readable, schedule, whole_seconds};
use super::state::State;

/// How many spent tokens the status remembers (reference protocol, section 2.5).
const MOST_SPENT: usize = 8;
/// How many void claims this process remembers. Our choice: only the newest can still stand in the state Secret.
const MOST_VOID: usize = 8;
/// How long something that a person has to mend rests before it is looked at again. Nothing is spent by looking.
const REFUSAL_REST: Duration = Duration::from_secs(300);
/// How long a new pair waits in escrow before its commit is tried again. Our choice: as long as one exchange pauses at most.
const ESCROW_REST: Duration = Duration::from_secs(10);

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
        // When the one repeat of an open attempt is due, is found out anew once the object goes on.
        draft.memory.looked_at = None;
    }
    draft.finish(None)
}

/// The status of an object that cannot go on until somebody changes something.
#[must_use]
pub fn conclude_halt(facts: &Facts<'_>, reason: Reason, message: &str, now: DateTime<Utc>) -> Conclusion {
    let mut draft = Draft::new(facts, now);
    draft.plan_nothing();
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
    draft.memory.sight = Some(Box::new(Sight::of(facts)));
    draft.memory.void_claims.extend(finished.void_claim.clone());
    let surplus = draft.memory.void_claims.len().saturating_sub(MOST_VOID);
    draft.memory.void_claims.drain(..surplus);
    draft.memory.rest_until = finished.rest.map(|rest| after(now, rest)).or(draft.memory.rest_until.filter(|until| *until > now));
    draft.spent(finished, semantics);
    draft.seed(finished);
    if let Some(state) = &finished.state {
        draft.chain(state);
    }
    if let (Some(Ok(())), Some(token)) = (&finished.verified, &mut draft.status.token) {
        token.verified_time = Some(whole_seconds(now));
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
    let trouble = draft.outcome(finished, trigger, semantics);
    // A refresh can be due already, as after an outage: no watch event need come to say so.
    let due = draft.status.next_refresh_time.is_some_and(|time| time <= now);
    draft.again |= due && draft.memory.retry_time.is_none();
    draft.finish(trouble)
}

/// Another process is at work on the object: whatever there is to be said, it says.
fn conclude_held(facts: &Facts<'_>, remaining: Duration, now: DateTime<Utc>) -> Conclusion {
    let mut memory = facts.memory.clone();
    memory.retry_time = Some(after(now, remaining) + TimeDelta::seconds(1));
    memory.sight = Some(Box::new(Sight::of(facts)));
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
        if let Some(provider) = facts.provider.spec() {
            provider.name().clone_into(&mut effective.provider);
        }
        let targets = facts.spec.rollout.iter().flat_map(|rollout| &rollout.targets);
        status.rollouts.retain(|known| targets.clone().any(|target| known.is_of(target)));
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
            let message = "began a new chain with what the seed Secret holds".to_owned();
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
        let before = self.status.token.take();
        self.status.token = token_status(&state.tokens, self.facts);
        if let (Some(token), Some(before)) = (&mut self.status.token, before)
            && token.fingerprint == before.fingerprint
        {
            token.verified_time = before.verified_time;
        }
    }

    fn reschedule(&mut self) {
        let issued = self.status.token.as_ref().and_then(|token| token.issued_time);
        let Some(issued) = issued else { return };
        let expiration = self.status.token.as_ref().and_then(|token| token.expiration_time);
        let policy = self.facts.spec.refresh();
        let plan = schedule(&policy, issued, expiration, self.facts.uid, self.now);
        let planned = paced(&policy, plan.refresh_time, self.status.last_refresh_time, self.status.token.as_ref());
        if let Some(effective) = &mut self.status.effective {
            effective.before = plan.before.map(readable);
            effective.jitter = Some(readable(plan.jitter));
            let moved = plan.wait.and_then(|wait| wait.note());
            let notes = if planned == plan.refresh_time { [plan.note, moved] } else { [Some(NO_NEWER_TOKEN), None] };
            let notes: Vec<&str> = notes.into_iter().flatten().collect();
            effective.note = Some(notes.join("; ")).filter(|note| !note.is_empty());
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
            None => Some(planned.max(self.memory.rest_until.unwrap_or(planned))),
        };
    }

    /// No refresh follows until somebody changes something. The one late repeat of an open attempt stays planned.
    fn plan_nothing(&mut self) {
        if self.status.attempt.is_none() {
            self.status.next_refresh_time = None;
        }
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
            lasting_hash: output.lasting_hash.as_ref().map(Fingerprint::to_string),
            last_write_time: whole_seconds(self.now),
        };
        match self.status.outputs.iter_mut().find(|known| known.secret_name == output.name) {
            Some(known) => *known = entry,
            None => self.status.outputs.push(entry),
        }
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
    marked.attempt = Some(Box::new(AttemptStatus { id: mark.claim.id.clone(), state: AttemptState::Sending, start_time }));
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
        verified_time: None,
        previous: tokens.previous.as_ref().map(|previous| {
            Box::new(PreviousTokenStatus {
                fingerprint: facts.key.fingerprint(Purpose::Token, previous.access_token.reveal().as_bytes()).to_string(),
                replaced_time: whole_seconds(previous.replaced_time),
                expiration_time: previous.expiration_time.map(whole_seconds),
            })
        }),
    })
}

/// At most 256 characters of a text that an API sent, without control characters.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
