//! The heart: the never-lose protocol as one pure step machine.
//!
//! [`Exchange::start`] and [`Exchange::next`] name one effect at a time; whoever drives the machine performs it and hands back
//! what it came to. The operator drives it against a cluster, tests against values. There is no second implementation.
//!
//! The strict path, for tokens that work once: read the state, preflight, **claim** (compare and swap of the state Secret),
//! **mark** (the status says which token is about to be spent), **send** once, **secure** the new pair (no way back, no end of
//! trying), publish. The light path, for tokens that stay valid, leaves out claim and mark. Nothing is spent before the mark,
//! and after the send nothing but a durable answer ends the exchange.

mod look;
mod publish;
mod secure;
mod step;

pub use look::spendable;
pub use step::{
    Brief, Event, Finished, KnownChain, Mark, MarkAnswer, Outcome, OutputAction, OutputAnswer, OutputOutcome, OutputProblem,
    Seed, SeenOutput, StateAnswer, StateWrite, Step, Task, WriteAnswer,
};

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::api::Reason;
use crate::provider::{Class, Delivery, Lost, NotSent, RefreshInput, Reply, RequestError, Semantics, TokenRequest};
use crate::refresh::output::{Rendered, largest_tokens, render};
use crate::refresh::state::{Claim, State, Version};
use crate::token::Fingerprint;

use look::Footing;
use secure::Then;

/// How long after the claim was begun the request may still leave (reference protocol, step 6).
pub const SEND_WITHIN: Duration = Duration::from_secs(10);
/// How long after a claim nobody else takes it over; also how long a late copy of a request may still arrive (step 13).
pub const CLAIM_TTL: Duration = Duration::from_secs(120);
/// What a grace window must still hold when a request is repeated, so that the repeat arrives inside it. Our choice.
const GRACE_MARGIN: Duration = Duration::from_secs(2);
/// How often a request is repeated inside a grace window. Our choice: if three answers are lost, something else is wrong.
const MOST_REPEATS: u32 = 3;

/// An exchange in progress.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact that the exchange has established")]
pub struct Exchange {
    brief: Arc<Brief>,
    phase: Phase,
    /// The state to go on from.
    state: State,
    /// The version of the state Secret that was last seen; none while there is no Secret.
    version: Option<Version>,
    adopted: Option<Fingerprint>,
    /// The state Secret holds somebody's open claim.
    claimed: bool,
    /// Fingerprint of the token that the mark names.
    marked: Option<Fingerprint>,
    claim_begun: Option<DateTime<Utc>>,
    first_sent: Option<DateTime<Utc>>,
    repeats: u32,
    /// The state Secret holds `state`, as far as anybody can know. A seed that is being adopted stands only once it is written.
    stands: bool,
    /// The Secret was found to be on its way out, held by finalizers only.
    deleting: bool,
    /// The token was presented: whatever the outcome is called, it is spent.
    presented: bool,
    /// A new pair is committed.
    refreshed: bool,
    outputs: Vec<OutputOutcome>,
    /// Why the outputs could not be rendered.
    unrendered: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists per exchange under way, and those are bounded")]
enum Phase {
    Reading,
    Preflight(publish::Trial),
    Connecting,
    Claiming,
    /// The claim's write had no clear answer: look whether it is ours.
    LookingForClaim,
    WaitingToLook,
    TryingCommit,
    Marking,
    Sending,
    WaitingToRepeat,
    Securing(secure::Securing),
    Publishing(publish::Publishing),
    Over,
}

type Next = (Exchange, Step);

impl Exchange {
    /// Begins an exchange.
    #[must_use]
    pub fn start(brief: Brief, now: DateTime<Utc>) -> Next {
        let exchange = Self {
            brief: Arc::new(brief),
            phase: Phase::Reading,
            state: State::default(),
            version: None,
            adopted: None,
            claimed: false,
            marked: None,
            claim_begun: None,
            first_sent: None,
            repeats: 0,
            stands: false,
            deleting: false,
            presented: false,
            refreshed: false,
            outputs: Vec::new(),
            unrendered: None,
        };
        // Creating the claim is a live question by itself: it cannot succeed where a state Secret exists. The light path
        // writes only after the answer, which is too late to ask.
        let asks = exchange.semantics().spends() && exchange.brief.task != Task::Publish;
        if asks && !exchange.brief.expects_state && exchange.brief.known.generation == 0 {
            let footing = look::at_nothing(&exchange.brief);
            return exchange.stand(footing, now);
        }
        (exchange, Step::ReadState)
    }

    /// Takes what the last step came to and names the next one.
    ///
    /// An event that does not answer the step that was asked for ends the exchange without another effect where nothing is at
    /// stake, and is taken as "unclear" where something is: the driver, not this machine, is wrong then.
    #[must_use]
    pub fn next(self, event: Event, now: DateTime<Utc>) -> Next {
        match (self.phase.clone(), event) {
            (Phase::Reading, Event::State(answer)) => self.read(answer, now),
            (Phase::Preflight(trial), Event::Output(answer)) => self.tried(trial, answer, now),
            (Phase::Connecting, Event::Connected(Ok(()))) => self.claim(now),
            (Phase::Connecting, Event::Connected(Err(why))) => self.finish(not_sent(why)),
            (Phase::Claiming, Event::Wrote(answer)) => self.claim_answered(answer, now),
            (Phase::LookingForClaim, Event::State(answer)) => self.looked_for_claim(answer, now),
            (Phase::WaitingToLook, _) => self.at(Phase::LookingForClaim, Step::ReadState),
            (Phase::TryingCommit, Event::Wrote(answer)) => self.commit_tried(&answer, now),
            (Phase::Marking, Event::Marked(answer)) => self.mark_answered(answer, now),
            (Phase::Sending, Event::Delivered { delivery, sent }) => self.delivered(delivery, sent, now),
            // Whoever cannot say how a sending ended has lost the answer.
            (Phase::Sending, _) => self.lost(Some(Lost::Broken), None, now),
            (Phase::WaitingToRepeat, _) => self.send(now),
            (Phase::Securing(securing), event) => self.secured(securing, event, now),
            (Phase::Publishing(publishing), event) => self.published(publishing, event),
            (Phase::Over, _) => self.finish(Outcome::Stale),
            (
                Phase::Reading
                | Phase::Preflight(_)
                | Phase::Connecting
                | Phase::Claiming
                | Phase::LookingForClaim
                | Phase::TryingCommit
                | Phase::Marking,
                _,
            ) => self.finish(unclear("the operator mixed up its steps")),
        }
    }

    fn at(mut self, phase: Phase, step: Step) -> Next {
        self.phase = phase;
        (self, step)
    }

    fn semantics(&self) -> Semantics {
        self.brief.provider.semantics()
    }

    fn read(mut self, answer: StateAnswer, now: DateTime<Utc>) -> Next {
        let footing = match answer {
            StateAnswer::Found(stored) => {
                self.version = Some(stored.version.clone());
                self.deleting = stored.deleting;
                look::at_state(&self.brief, &stored)
            }
            StateAnswer::Malformed(why, version) => {
                self.version = Some(*version);
                look::at_malformed(&self.brief, why)
            }
            StateAnswer::Missing => look::at_nothing(&self.brief),
            StateAnswer::Denied => Err(postpone(
                Reason::ClusterUnavailable,
                "the API server refuses to show the state Secret: check the operator's permissions in this namespace",
            )),
            StateAnswer::Unclear => Err(unclear("the API server did not show the state Secret")),
        };
        self.stand(footing, now)
    }

    /// From a state to the preflight, which spends nothing and writes nothing.
    fn stand(mut self, footing: Result<Footing, Outcome>, now: DateTime<Utc>) -> Next {
        let footing = match footing {
            Ok(footing) => footing,
            Err(outcome) => return self.finish(outcome),
        };
        self.state = footing.state;
        self.adopted = footing.adopted;
        self.claimed = footing.claimed;
        self.stands = self.adopted.is_none();
        let nothing_new = self.brief.task == Task::Adopt && self.adopted.is_none();
        if self.brief.task == Task::Publish || nothing_new {
            return self.publish();
        }
        if self.claimed {
            return self.finish(Outcome::Unknown(None));
        }
        if self.state.chain_over {
            return self.finish(Outcome::ChainOver(None));
        }
        if let Err(error) = self.request(now) {
            return self.finish(cannot_request(&error));
        }
        let rendered = match render(&self.brief.outputs, &largest_tokens(&self.state.tokens), &self.brief.key) {
            Ok(rendered) => rendered,
            Err(error) => return self.finish(Outcome::Refused { reason: Reason::OutputInvalid, message: error.to_string() }),
        };
        if let Err(outcome) = publish::ownership(&self.brief) {
            return self.finish(outcome);
        }
        if self.brief.preflight { self.try_outputs(rendered) } else { self.claim(now) }
    }

    fn try_outputs(self, rendered: Vec<Rendered>) -> Next {
        match publish::Trial::start(&self.brief, rendered) {
            Some((trial, step)) => self.at(Phase::Preflight(trial), step),
            None => self.connect(),
        }
    }

    fn tried(self, trial: publish::Trial, answer: OutputAnswer, _now: DateTime<Utc>) -> Next {
        match trial.next(&self.brief, answer) {
            publish::Tried::Step(trial, step) => self.at(Phase::Preflight(trial), step),
            publish::Tried::Passed => self.connect(),
            publish::Tried::Failed(outcome) => self.finish(outcome),
        }
    }

    fn connect(self) -> Next {
        let url = self.brief.provider.url().to_owned();
        self.at(Phase::Connecting, Step::Connect { url })
    }

    fn request(&self, now: DateTime<Utc>) -> Result<TokenRequest, RequestError> {
        self.brief.provider.request(&RefreshInput { held: &self.state.tokens, login: &self.brief.login, now })
    }

    /// The claim, or on the light path the request itself.
    fn claim(mut self, now: DateTime<Utc>) -> Next {
        if !self.semantics().spends() {
            return self.send(now);
        }
        let Some(fingerprint) = spendable(&self.state.tokens, self.semantics(), &self.brief.key) else {
            return self.finish(cannot_request(&RequestError::Missing("refresh_token")));
        };
        self.claim_begun = Some(now);
        self.state.claim = Some(Claim { fingerprint: fingerprint.to_string(), time: now, ..self.brief.claim.clone() });
        let write = StateWrite { state: self.state.clone(), replaces: self.version.clone(), dry_run: false };
        self.at(Phase::Claiming, Step::WriteState(Box::new(write)))
    }

    fn claim_answered(mut self, answer: WriteAnswer, now: DateTime<Utc>) -> Next {
        match answer {
            WriteAnswer::Done(version) => {
                self.version = Some(*version);
                self.stands = true;
                self.claimed_it(now)
            }
            WriteAnswer::Conflict if self.version.is_none() => {
                // A state Secret exists after all: an object of this name lived before.
                self.state = State::default();
                self.stands = false;
                self.adopted = None;
                self.at(Phase::Reading, Step::ReadState)
            }
            // Deleted since it was read: what was read is the only copy, and is put back with the claim.
            WriteAnswer::Missing if self.version.take().is_some() => self.claim(now),
            WriteAnswer::Conflict | WriteAnswer::Missing => self.unclaimed(Outcome::Stale),
            WriteAnswer::Denied => self.unclaimed(postpone(
                Reason::WriteFailed,
                "the API server refuses to write the state Secret: check the operator's permissions, admission policies and quota",
            )),
            WriteAnswer::Unclear => self.at(Phase::LookingForClaim, Step::ReadState),
        }
    }

    /// The claim was not written, for certain.
    fn unclaimed(mut self, outcome: Outcome) -> Next {
        self.state.claim = None;
        self.finish(outcome)
    }

    fn looked_for_claim(mut self, answer: StateAnswer, now: DateTime<Utc>) -> Next {
        match answer {
            StateAnswer::Found(stored) if is_claim(&stored.state, &self.brief.claim.id) => {
                self.version = Some(stored.version);
                self.deleting = stored.deleting;
                self.stands = true;
                self.claimed_it(now)
            }
            StateAnswer::Found(_) | StateAnswer::Malformed(..) | StateAnswer::Missing => self.finish(Outcome::Stale),
            StateAnswer::Denied | StateAnswer::Unclear if self.late(now) => {
                self.finish(unclear("the API server gave no clear answer to the claim"))
            }
            StateAnswer::Denied | StateAnswer::Unclear => self.at(Phase::WaitingToLook, Step::Pause(Duration::from_secs(1))),
        }
    }

    fn late(&self, now: DateTime<Utc>) -> bool {
        self.claim_begun.is_none_or(|begun| (now - begun).to_std().is_ok_and(|passed| passed >= SEND_WITHIN))
    }

    /// The claim stands. When the full preflight is due, the commit is tried too: it needs other rights than a creation.
    fn claimed_it(self, now: DateTime<Utc>) -> Next {
        if !self.brief.preflight {
            return self.mark(now);
        }
        let commit = StateWrite {
            state: State { generation: self.state.generation.saturating_add(1), ..self.released() },
            replaces: self.version.clone(),
            dry_run: true,
        };
        self.at(Phase::TryingCommit, Step::WriteState(Box::new(commit)))
    }

    fn commit_tried(self, answer: &WriteAnswer, now: DateTime<Utc>) -> Next {
        match answer {
            WriteAnswer::Done(_) => self.mark(now),
            WriteAnswer::Conflict | WriteAnswer::Missing => self.release(Outcome::Stale),
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

    fn mark_answered(self, answer: MarkAnswer, now: DateTime<Utc>) -> Next {
        match answer {
            MarkAnswer::Done => self.send(now),
            MarkAnswer::Stale => self.release(Outcome::Stale),
            MarkAnswer::Denied => self.release(postpone(
                Reason::ClusterUnavailable,
                "the API server refuses to write this object's status: check the operator's permissions",
            )),
            MarkAnswer::Unclear => self.release(unclear("the API server gave no clear answer to the mark")),
        }
    }

    fn send(self, now: DateTime<Utc>) -> Next {
        // A repeat inside a grace window is not bound to the claim's age: the window bounds it.
        let bound_to_claim = self.semantics().spends() && self.repeats == 0;
        match self.request(now) {
            Ok(request) => self.at(Phase::Sending, Step::Send { request, bound_to_claim }),
            Err(error) if self.repeats == 0 => self.release(cannot_request(&error)),
            // A repeat follows a sending that may have arrived.
            Err(_) => self.finish(Outcome::Unknown(None)),
        }
    }

    fn delivered(mut self, delivery: Delivery, sent: DateTime<Utc>, now: DateTime<Utc>) -> Next {
        let reply = match delivery {
            Delivery::Answered(reply) => reply,
            // Only the first sending can prove that nothing was spent: a repeat follows one that may have arrived.
            Delivery::NotSent(why) if self.repeats == 0 => return self.release(not_sent(why)),
            Delivery::NotSent(_) => return self.lost(None, None, now),
            Delivery::Lost { why, partial } => {
                self.first_sent = self.first_sent.or(Some(sent));
                return self.lost(Some(why), partial, now);
            }
        };
        self.first_sent = self.first_sent.or(Some(sent));
        match self.brief.provider.read(&reply, sent) {
            Ok(granted) => {
                let tokens = self.state.tokens.after(&granted, sent);
                let generation = self.state.generation.saturating_add(1);
                // Without a new refresh token the one that was just spent is all there is: it is never presented again.
                let chain_over = granted.refresh_token.is_none() && !self.brief.provider.keeps_omitted_refresh_token();
                let commit = State { tokens, generation, chain_over, unparsed: None, ..self.released() };
                self.secure(commit, Then::Publish)
            }
            Err(error) => match error.class {
                // After a lost answer a refusal proves nothing about the first sending.
                Class::Transient | Class::Throttled | Class::Configuration if self.repeats == 0 => {
                    self.release(Outcome::Rejected(error))
                }
                Class::ChainOver => {
                    let over = State { chain_over: true, ..self.released() };
                    self.secure(over, Then::Finish(Outcome::ChainOver(Some(error))))
                }
                Class::Transient | Class::Throttled | Class::Configuration | Class::Unknown => self.lost(None, Some(reply), now),
            },
        }
    }

    /// Nobody can tell whether the token was spent. What follows depends on what the API promises, and on nothing else.
    fn lost(mut self, why: Option<Lost>, partial: Option<Reply>, now: DateTime<Utc>) -> Next {
        match self.semantics() {
            Semantics::Reusable | Semantics::RenewsItself => {
                let message = why.map_or_else(|| "the token API's answer cannot be read".to_owned(), |why| why.to_string());
                self.finish(Outcome::Postponed { reason: Reason::RefreshRetrying, message })
            }
            Semantics::Grace(window) if self.may_repeat(window, now) => {
                self.repeats += 1;
                self.at(Phase::WaitingToRepeat, Step::Pause(Duration::from_secs(1)))
            }
            Semantics::SingleUse | Semantics::Grace(_) => match partial.filter(|reply| !reply.body.0.is_empty()) {
                Some(reply) => {
                    let kept = State { unparsed: Some(reply.body), ..self.state.clone() };
                    self.secure(kept, Then::Finish(Outcome::Unknown(why)))
                }
                None => self.finish(Outcome::Unknown(why)),
            },
        }
    }

    fn may_repeat(&self, window: Duration, now: DateTime<Utc>) -> bool {
        let passed = self.first_sent.or(self.claim_begun).and_then(|first| (now - first).to_std().ok()).unwrap_or_default();
        self.repeats < MOST_REPEATS && passed.saturating_add(GRACE_MARGIN) < window
    }

    /// The state without the claim, which is thereby closed.
    fn released(&self) -> State {
        let closed_claim = self.state.claim.as_ref().map(|claim| claim.id.clone()).or_else(|| self.state.closed_claim.clone());
        State { claim: None, closed_claim, ..self.state.clone() }
    }

    fn finish(mut self, outcome: Outcome) -> Next {
        let unspent = !self.presented
            && matches!(outcome, Outcome::Refused { .. } | Outcome::Postponed { .. } | Outcome::Rejected(_) | Outcome::Stale);
        let open = self.state.claim.as_ref().map(|claim| claim.id.clone()).filter(|id| *id == self.brief.claim.id);
        let finished = Finished {
            state: Some(self.state.clone()).filter(|_| self.stands && self.version.is_some()),
            outputs: std::mem::take(&mut self.outputs),
            unrendered: self.unrendered.take(),
            spent: self.marked.clone().filter(|_| !unspent),
            unmark: self.marked.clone().filter(|_| unspent),
            void_claim: open.filter(|_| unspent),
            adopted: self.adopted.clone().filter(|_| self.stands && self.version.is_some()),
            rest: (self.repeats > 0).then_some(CLAIM_TTL),
            outcome,
        };
        self.at(Phase::Over, Step::Done(Box::new(finished)))
    }
}

fn is_claim(state: &State, id: &str) -> bool {
    state.claim.as_ref().is_some_and(|claim| claim.id == id)
}

fn postpone(reason: Reason, message: &str) -> Outcome {
    Outcome::Postponed { reason, message: message.to_owned() }
}

fn unclear(message: &str) -> Outcome {
    postpone(Reason::ClusterUnavailable, message)
}

fn cannot_request(error: &RequestError) -> Outcome {
    let reason = match error {
        RequestError::Missing(_) | RequestError::NotSendable(_) => Reason::SeedInvalid,
        RequestError::Url(_) => Reason::InvalidSpec,
    };
    Outcome::Refused { reason, message: error.to_string() }
}

fn not_sent(why: NotSent) -> Outcome {
    let message = why.to_string();
    match why {
        NotSent::EndpointNotAllowed => Outcome::Refused { reason: Reason::EndpointNotAllowed, message },
        NotSent::CaBundleInvalid => Outcome::Refused { reason: Reason::CaBundleInvalid, message },
        NotSent::NameNotResolved | NotSent::NotConnected | NotSent::TlsRejected | NotSent::ConnectTimeout => {
            Outcome::Postponed { reason: Reason::EndpointUnreachable, message }
        }
        NotSent::HeldBack => Outcome::Postponed { reason: Reason::RefreshRetrying, message },
    }
}
