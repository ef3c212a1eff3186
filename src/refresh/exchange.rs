//! The heart: the never-lose protocol as one pure step machine.
//!
//! [`Exchange::start`] and [`Exchange::next`] name one effect at a time; whoever drives the machine performs it and hands back
//! what it came to. The operator drives it against a cluster, tests against values. There is no second implementation.
//!
//! The strict path, for tokens that work once: read the state, preflight, **claim** (compare and swap of the state Secret),
//! **mark** (the status says which token is about to be spent), **send** once, **secure** the new pair (no way back, no end of
//! trying), publish. The light path, for tokens that stay valid, leaves out claim and mark. Nothing is spent before the mark,
//! and after the send nothing but a durable answer ends the exchange. A claim that a dead process left open is ended by
//! whoever finds it: **recover**.

mod ask;
mod claim;
mod look;
mod publish;
mod recover;
mod report;
mod secure;
mod send;
mod step;

pub use ask::{PROBE_MARGIN, asks_from};
pub use look::spendable;
pub use recover::newer_tokens;
pub use report::{Finished, Outcome, OutputOutcome, OutputProblem};
pub use step::{
    Brief, Event, KnownChain, Mark, MarkAnswer, Memento, OutputAction, OutputAnswer, Policy, Question, Seed, SeenOutput,
    StateAnswer, StateWrite, Step, Task, WriteAnswer,
};

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::api::Reason;
use crate::provider::{Delivery, Lost, Probed, RefreshInput, RequestError, Semantics, StepResults, TokenRequest};
use crate::refresh::journal::{Answer, Entry};
use crate::refresh::output::{ObjectName, RenderError, Rendered, largest_tokens, render, wants_previous};
use crate::refresh::state::{Claim, State, Version};
use crate::token::{Fingerprint, HeldTokens};

use look::Footing;
use send::{cannot_request, not_sent};

/// How long after the claim was begun the request may still leave (reference protocol, step 6).
pub const SEND_WITHIN: Duration = Duration::from_secs(10);
/// How long after a claim nobody else takes it over; also how long a late copy of a request may still arrive (step 13).
pub const CLAIM_TTL: Duration = Duration::from_secs(120);

/// An exchange in progress. Equal exchanges go on equally: they answer the same events with the same steps.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
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
    /// A claim stands in the Secret that is known to have spent nothing.
    void: bool,
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
    /// The answer, as it came.
    answer: Option<Answer>,
    /// Why no complete answer came.
    why_lost: Option<Lost>,
    /// Whether the answer stands in an escrow Secret, which goes once the new pair is committed.
    escrow: secure::Escrow,
    /// The exchange was begun by another process, and this one ends it.
    resumed: bool,
    /// The exchange is ended for the sake of its answer only; its object may be gone.
    replaying: bool,
    /// The claim that this one was to be put in the place of.
    taken: Option<Claim>,
    /// Until when a repeat arrives inside the grace window.
    repeat_until: Option<DateTime<Utc>>,
    /// A new pair is committed.
    refreshed: bool,
    /// How many of the steps before the request are done, and what they brought.
    steps: usize,
    results: StepResults,
    /// What the API says became of the token that was presented.
    fate: Option<Probed>,
    /// When the claim that it was presented under was written, on the API server's clock.
    stood_since: Option<DateTime<Utc>>,
    /// Whether the API accepts the new token, as far as it was asked.
    verified: Option<Result<(), String>>,
    /// What became of the revocation of the token that was replaced.
    retired: Option<Result<(), String>>,
    outputs: Vec<OutputOutcome>,
    /// Why the outputs could not be rendered.
    unrendered: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists per exchange under way, and those are bounded")]
enum Phase {
    Reading,
    /// Asking the journal about a claim that is open, or about what a refused state should hold.
    Recalling(recover::Recall),
    /// Asking the escrow Secret the same.
    AskingEscrow(recover::Recall),
    /// Reading the state Secret for an answer that was kept.
    Replaying(Box<Entry>),
    Preflight(publish::Trial),
    Connecting,
    Claiming,
    /// The claim's write had no clear answer: look whether it is ours.
    LookingForClaim,
    WaitingToLook,
    TryingCommit,
    Marking,
    /// Writing the intent into the journal.
    Intending,
    Sending,
    /// Writing the answer into the journal.
    Keeping,
    WaitingToRepeat,
    Securing(secure::Securing),
    /// Deleting the escrow Secret.
    Clearing(secure::Then),
    Publishing(publish::Publishing),
    /// Asking for what the request needs.
    Stepping,
    /// Asking what became of the token that was presented.
    Probing,
    /// Asking whether the new token is accepted.
    Verifying,
    /// Revoking the token that was replaced.
    Retiring,
    /// Taking it out of the state.
    Forgetting,
    Over,
}

type Next = (Exchange, Step);

impl Exchange {
    fn new(brief: Brief) -> Self {
        Self {
            brief: Arc::new(brief),
            phase: Phase::Reading,
            state: State::default(),
            version: None,
            adopted: None,
            claimed: false,
            void: false,
            marked: None,
            claim_begun: None,
            first_sent: None,
            repeats: 0,
            stands: false,
            deleting: false,
            presented: false,
            answer: None,
            why_lost: None,
            escrow: secure::Escrow::None,
            resumed: false,
            replaying: false,
            taken: None,
            repeat_until: None,
            refreshed: false,
            steps: 0,
            results: StepResults::default(),
            fate: None,
            stood_since: None,
            verified: None,
            retired: None,
            outputs: Vec::new(),
            unrendered: None,
        }
    }

    /// Begins an exchange.
    #[must_use]
    pub fn start(brief: Brief, now: DateTime<Utc>) -> Next {
        let exchange = Self::new(brief);
        // Creating the claim is a live question by itself: it cannot succeed where a state Secret exists. The light path
        // writes only after the answer, which is too late to ask.
        let asks = exchange.semantics().spends() && exchange.brief.task != Task::Publish && !exchange.brief.creates;
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
            (Phase::Recalling(recall), Event::Remembered(memento)) => self.recalled(recall, memento, now),
            (Phase::AskingEscrow(recall), Event::Remembered(memento)) => self.escrow_shown(recall, memento, now),
            (Phase::Replaying(entry), Event::State(answer)) => self.replay_on(*entry, answer, now),
            (Phase::Preflight(trial), Event::Output(answer)) => self.tried(trial, answer, now),
            (Phase::Connecting, Event::Connected(Ok(()))) if self.claimed => self.take_over(true, now),
            (Phase::Connecting, Event::Connected(Err(_))) if self.claimed => self.finish(Outcome::Unknown(None)),
            (Phase::Connecting, Event::Connected(Ok(()))) => self.claim(now),
            (Phase::Connecting, Event::Connected(Err(why))) => self.finish(not_sent(why)),
            (Phase::Claiming, Event::Wrote(answer)) => self.claim_answered(answer, now),
            (Phase::LookingForClaim, Event::State(answer)) => self.looked_for_claim(answer, now),
            (Phase::WaitingToLook, _) => self.at(Phase::LookingForClaim, Step::ReadState),
            (Phase::TryingCommit, Event::Wrote(answer)) => self.commit_tried(&answer, now),
            (Phase::Marking, Event::Marked(answer)) => self.mark_answered(answer, now),
            (Phase::Intending, Event::Kept(true)) | (Phase::WaitingToRepeat, _) => self.send(now),
            (Phase::Intending, _) => self.release(postpone(
                Reason::WriteFailed,
                "the operator's journal cannot be written: check the volume of --journal-dir; nothing is spent without it",
            )),
            (Phase::Keeping, _) => self.answered(now),
            (Phase::Clearing(then), _) => self.conclude(then, now),
            (Phase::Sending, Event::Delivered { delivery, sent }) => self.delivered(delivery, sent, now),
            // Whoever cannot say how a sending ended has lost the answer.
            (Phase::Sending, _) => self.delivered(Delivery::Lost { why: Lost::Broken, partial: None }, now, now),
            (Phase::Securing(securing), event) => self.secured(securing, event, now),
            (Phase::Publishing(publishing), event) => self.published(publishing, event, now),
            (Phase::Stepping, event) => self.stepped(asked(event), now),
            (Phase::Probing, event) => self.fate_told(asked(event), now),
            (Phase::Verifying, event) => self.tried_out(asked(event), now),
            (Phase::Retiring, event) => self.retirement_told(asked(event), now),
            (Phase::Forgetting, event) => self.forgotten(event),
            (Phase::Over, _) => self.finish(Outcome::Stale),
            (
                Phase::Reading
                | Phase::Recalling(_)
                | Phase::AskingEscrow(_)
                | Phase::Replaying(_)
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

    /// What a token that was presented has brought stands nowhere yet: neither the state Secret nor escrow took it at the last try.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        matches!(&self.phase, Phase::Securing(securing) if securing.is_held_up())
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
                self.state.clone_from(&stored.state);
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
            Err(outcome) => return self.refused(outcome),
        };
        self.void = self.state.claim.is_some() && footing.state.claim.is_none() && footing.adopted.is_none();
        self.state = footing.state;
        self.adopted = footing.adopted;
        self.claimed = footing.claimed;
        if footing.creates {
            let brief = Arc::make_mut(&mut self.brief);
            brief.provider = brief.provider.clone().creating();
        }
        self.stands = self.adopted.is_none();
        if self.claimed {
            return self.open_claim();
        }
        if self.unsettled() {
            return self.recall(recover::Recall::Unsettled);
        }
        self.go_on(now)
    }

    /// From a state that stands, with no exchange of anybody's open.
    fn go_on(self, now: DateTime<Utc>) -> Next {
        let nothing_new = self.brief.task == Task::Adopt && self.adopted.is_none();
        if self.brief.task == Task::Publish || nothing_new {
            return if self.void { self.close_void() } else { self.publish(now) };
        }
        if self.state.chain_over {
            return self.finish(Outcome::ChainOver(None));
        }
        if let Err(error) = self.first_request(now) {
            return self.finish(cannot_request(&error));
        }
        let rendered = match self.render(&largest_tokens(&self.state.tokens), now) {
            Ok(rendered) => rendered,
            Err(error) => return self.finish(Outcome::Refused { reason: Reason::OutputInvalid, message: error.to_string() }),
        };
        if let Err(outcome) = publish::ownership(&self.brief) {
            return self.finish(outcome);
        }
        if self.brief.preflight { self.try_outputs(rendered) } else { self.claim(now) }
    }

    fn render(&self, tokens: &HeldTokens, now: DateTime<Utc>) -> Result<Vec<Rendered>, RenderError> {
        let object = ObjectName { name: &self.brief.owner.name, namespace: &self.brief.place.namespace };
        render(&self.brief.outputs, object, tokens, &self.brief.key, now)
    }

    /// Whether the access token that is about to be replaced is remembered. Whoever ends an exchange for the sake of its answer
    /// knows no outputs, and goes by what was done before.
    fn remembers(&self) -> bool {
        let wanted = wants_previous(&self.brief.outputs) || self.brief.policy.retires_after.is_some();
        if self.replaying { self.state.tokens.previous.is_some() } else { wanted }
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
        self.brief.provider.request(&self.input(now))
    }

    fn input(&self, now: DateTime<Utc>) -> RefreshInput<'_> {
        let attempt = self.state.claim.as_ref().unwrap_or(&self.brief.claim).first_id();
        RefreshInput { held: &self.state.tokens, login: &self.brief.login, now, attempt, results: &self.results }
    }

    /// When the state Secret was last written, on the API server's clock.
    fn written(&self) -> Option<DateTime<Utc>> {
        self.version.as_ref().and_then(|version| version.written)
    }

    /// What is kept of this exchange outside the state Secret.
    fn entry(&self) -> Box<Entry> {
        let (place, provider) = (self.brief.place.clone(), self.brief.provider.clone());
        Box::new(Entry { place, provider, state: self.state.clone(), answer: self.answer.clone() })
    }

    /// The claim repeats a request whose outcome is not known: nothing that happens to the repeat proves that nothing was spent.
    fn repeating(&self) -> bool {
        self.state.claim.as_ref().is_some_and(|claim| claim.first.is_some())
    }

    /// Ends without having found out what became of the open claim of another.
    fn leave_open(self, outcome: Outcome) -> Next {
        self.close(outcome, true)
    }

    fn finish(self, outcome: Outcome) -> Next {
        let open = self.repeating() && outcome.spent_nothing() || matches!(outcome, Outcome::Escrowed);
        self.close(outcome, open)
    }

    fn close(mut self, outcome: Outcome, open: bool) -> Next {
        let claim = self.state.claim.as_ref();
        let unspent = !self.presented && !open && outcome.spent_nothing();
        let own = claim.map(|claim| claim.id.clone()).filter(|id| *id == self.brief.claim.id);
        let finished = Finished {
            state: Some(self.state.clone()).filter(|_| self.stands && self.version.is_some()),
            outputs: std::mem::take(&mut self.outputs),
            unrendered: self.unrendered.take(),
            spent: self.marked.clone().filter(|_| !unspent),
            unmark: self.marked.clone().filter(|_| unspent),
            void_claim: own.filter(|_| !self.presented),
            adopted: self.adopted.clone().filter(|_| self.stands && self.version.is_some()),
            rest: (self.repeats > 0 || self.taken.is_some()).then_some(CLAIM_TTL),
            open,
            claim: self.state.claim.clone(),
            asks: self.brief.provider.probes() && self.fate != Some(Probed::Spent),
            fate: self.fate,
            verified: self.verified.take(),
            retired: self.retired.take(),
            outcome,
        };
        self.at(Phase::Over, Step::Done(Box::new(finished)))
    }
}

/// The answer to a question; whoever cannot say how it ended has lost it.
fn asked(event: Event) -> Delivery {
    match event {
        Event::Asked(delivery) => delivery,
        _ => Delivery::Lost { why: Lost::Broken, partial: None },
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
