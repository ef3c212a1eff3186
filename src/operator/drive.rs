//! Drives an exchange: performs each step that the machine names and hands back what it came to.
//!
//! Runs as a task of its own that nothing cancels: between the send and the durable answer it holds the only copy of a token.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument as _, Span};

use super::Context;
use super::cluster::Owner;
use super::gate::Pass;
use super::in_flight::Flight;
use super::lanes::Lane;
use super::metrics::Operation;
use super::transport::Connection;
use super::unwritten;
use crate::api::RefreshableToken;
use crate::provider::{Delivery, Lost, NotSent, TokenRequest};
use crate::refresh::conclude::mark;
use crate::refresh::exchange::{
    Brief, Event, Exchange, Finished, Mark, MarkAnswer, Memento, Outcome, OutputAnswer, Question, StateAnswer, Step, WriteAnswer,
};
use crate::refresh::journal::Place;

/// What an exchange needs beside its brief.
pub(super) struct Job {
    pub(super) context: Arc<Context>,
    /// The object as it was decided on; none when an answer is replayed.
    pub(super) object: Option<RefreshableToken>,
    pub(super) owner: Owner,
    pub(super) place: Place,
    /// The key of the token API.
    pub(super) provider: &'static str,
    pub(super) connection: Connection,
    /// When the claim was first written, on the clock that counts suspend.
    pub(super) claimed: Option<Duration>,
    /// When the token ends, for the order in which places are given; none: it is not known, and others go first.
    pub(super) ends: Option<DateTime<Utc>>,
    /// Cancelled when nothing more may be sent.
    pub(super) over: CancellationToken,
    /// The lane of the token API, for the order in which places are given.
    pub(super) lane: Lane,
    /// The right to be one of those that are worked on in it; none where it does not wait for others.
    pub(super) turn: Option<Pass>,
    /// The right to be one of those in flight, from the claim (or the light path's request) to the end.
    pub(super) flight: Option<Flight>,
}

/// What an exchange came to, and the object as our mark left it.
pub(super) struct Driven {
    pub(super) finished: Finished,
    pub(super) object: Option<RefreshableToken>,
}

impl Job {
    /// Runs the exchange to its end.
    pub(super) async fn run(self, brief: Brief) -> Driven {
        let first = Exchange::start(brief, self.context.clock.now());
        self.drive(first).await
    }

    /// Runs an exchange from its first step to its end.
    pub(super) async fn drive(mut self, first: (Exchange, Step)) -> Driven {
        let (mut exchange, mut step) = first;
        let mut propagation = Propagation::default();
        let (mut telling, mut denied) = (None, false);
        loop {
            let event = match step {
                Step::Done(finished) => {
                    if let Some(took) = propagation.took(&finished) {
                        self.context.metrics.propagated(took);
                    }
                    return Driven { finished: *finished, object: self.object };
                }
                other => self.perform_guarded(other).await,
            };
            propagation.note(&event);
            if let Event::Wrote(answer) = &event {
                denied = matches!(answer, WriteAnswer::Denied);
            }
            (exchange, step) = exchange.next(event, self.context.clock.now());
            if denied && exchange.is_held_up() {
                (self.turn, self.flight) = (None, None);
            }
            if telling.is_none()
                && exchange.is_held_up()
                && let Some(object) = &self.object
            {
                let tell = unwritten::tell(Arc::clone(&self.context), object.clone()).in_current_span();
                telling = Some(AbortOnDropHandle::new(tokio::spawn(tell)));
            }
        }
    }

    /// A step that breaks down has an unclear end; it must not take the exchange with it.
    async fn perform_guarded(&mut self, step: Step) -> Event {
        let broken = broken(&step);
        let span = self.span(&step);
        match AssertUnwindSafe(self.perform(step).instrument(span)).catch_unwind().await {
            Ok(event) => event,
            Err(_) => broken.unwrap_or_else(|| Event::Delivered {
                delivery: Delivery::Lost { why: Lost::Broken, partial: None },
                sent: self.context.clock.now(),
            }),
        }
    }

    /// The span of a step that people look for in a trace; of others, none.
    fn span(&self, step: &Step) -> Span {
        match step {
            Step::Send { .. } => {
                tracing::info_span!("provider.refresh", provider = self.provider, status_code = tracing::field::Empty)
            }
            Step::Ask { question, .. } => {
                tracing::info_span!("provider.ask", provider = self.provider, question = ?question, status_code = tracing::field::Empty)
            }
            Step::WriteState(write) => {
                tracing::info_span!("state.write", secret = self.place.state_secret, dry_run = write.dry_run)
            }
            Step::Output { action, rendered, .. } => {
                tracing::info_span!("outputs.write", secret = rendered.name, action = ?action)
            }
            Step::ReadState
            | Step::Connect { .. }
            | Step::Mark(_)
            | Step::Journal(_)
            | Step::ReadJournal
            | Step::WriteEscrow(_)
            | Step::ReadEscrow(_)
            | Step::DeleteEscrow(_)
            | Step::Pause(_)
            | Step::Done(_) => Span::none(),
        }
    }

    async fn perform(&mut self, step: Step) -> Event {
        let placed = !needs_place(&step) || self.take_place().await;
        let cluster = &self.context.cluster;
        let namespace = &self.owner.namespace;
        match step {
            Step::WriteState(_) if !placed => Event::Wrote(WriteAnswer::HeldBack),
            Step::ReadState => Event::State(cluster.read_state(namespace, &self.place.state_secret).await),
            Step::WriteState(write) => {
                if write.begins {
                    self.claimed.get_or_insert(self.context.clock.since_boot());
                }
                Event::Wrote(cluster.write_state(namespace, &self.place.state_secret, &self.owner.name, &write).await)
            }
            Step::Journal(entry) => Event::Kept(self.context.kept.write(&entry).await),
            Step::ReadJournal => Event::Remembered(self.context.kept.read(&self.place).await),
            Step::WriteEscrow(entry) => {
                let kept = cluster.write_escrow(&self.context.operator_namespace, &self.owner, &entry).await;
                if !kept {
                    tracing::error!(
                        "a new token could be written neither into the state Secret nor into escrow: it is held in memory"
                    );
                }
                Event::Kept(kept)
            }
            Step::ReadEscrow(claim) => Event::Remembered(cluster.read_escrow(&self.context.operator_namespace, &claim).await),
            Step::DeleteEscrow(claim) => Event::Kept(cluster.delete_escrow(&self.context.operator_namespace, &claim).await),
            Step::Connect { url } => Event::Connected(self.context.calls.connect(&url, &self.connection).await),
            Step::Mark(mark) => Event::Marked(self.mark(&mark).await),
            // Held back there if there was no place.
            Step::Send { request, within } => self.send(&request, within).await,
            Step::Ask { request, question } => Event::Asked(self.call(&request, question.into()).await),
            Step::Output { action, seen, rendered, .. } => {
                let (answer, metadata) = cluster.output(&self.owner, action, seen.as_ref(), &rendered).await;
                if let Some(metadata) = metadata {
                    self.context.seen.wrote(&metadata);
                }
                Event::Output(answer)
            }
            Step::Pause(pause) => {
                tokio::time::sleep(pause).await;
                Event::Paused
            }
            Step::Done(_) => Event::Paused,
        }
    }

    /// Waits for a place among those in flight; false if there is none before the operator stops or loses the shard.
    async fn take_place(&mut self) -> bool {
        if self.flight.is_none() {
            let entered = self.context.in_flight.enter(&self.lane, self.ends);
            self.flight = self.over.run_until_cancelled(entered).await;
        }
        self.flight.is_some()
    }

    async fn mark(&mut self, about: &Mark) -> MarkAnswer {
        let Some(mut object) = self.object.clone() else { return MarkAnswer::Stale };
        object.status = Some(mark(&object.status.unwrap_or_default(), about));
        match self.context.cluster.put_status(&self.owner.namespace, &object).await {
            Ok(object) => {
                self.object = Some(object);
                MarkAnswer::Done
            }
            Err(trouble) => trouble.into(),
        }
    }

    async fn send(&self, request: &TokenRequest, within: Option<Duration>) -> Event {
        let sent = self.context.clock.now();
        let passed = self.claimed.map(|claimed| self.context.clock.since_boot().saturating_sub(claimed)).unwrap_or_default();
        let late = within.is_some_and(|within| passed > within);
        if late {
            return Event::Delivered { delivery: Delivery::NotSent(NotSent::HeldBack), sent };
        }
        Event::Delivered { delivery: self.call(request, Operation::Refresh).await, sent }
    }

    /// One request to the token API; none once the operator is stopping, or has lost the shard.
    async fn call(&self, request: &TokenRequest, operation: Operation) -> Delivery {
        if self.over.is_cancelled() {
            return Delivery::NotSent(NotSent::HeldBack);
        }
        let Ok(request) = request.signed(self.context.clock.now()) else { return Delivery::NotSent(NotSent::NotSigned) };
        let begun = Instant::now();
        let delivery = self.context.calls.send(&request, &self.connection).await;
        if let Delivery::Answered(reply) = &delivery {
            Span::current().record("status_code", reply.status);
        }
        self.context.metrics.provider_called(self.provider, operation, &delivery, begun.elapsed());
        delivery
    }
}

/// When a new token came, and when the last output was written after that.
#[derive(Default)]
struct Propagation {
    received: Option<Instant>,
    written: Option<Instant>,
}

impl Propagation {
    fn note(&mut self, event: &Event) {
        match event {
            Event::Delivered { delivery: Delivery::Answered(_), .. } => self.received = Some(Instant::now()),
            Event::Output(OutputAnswer::Done) => self.written = Some(Instant::now()),
            _ => {}
        }
    }

    /// How long the token took, if it came in this exchange and stands in every output.
    fn took(&self, finished: &Finished) -> Option<Duration> {
        let whole = finished.outcome == Outcome::Refreshed && finished.outputs.iter().all(|output| output.result.is_ok());
        self.written?.checked_duration_since(self.received?).filter(|_| whole)
    }
}

/// Whether a step is one of those of which few are under way at once. What comes before, such as a connection to a host that does not
/// answer, takes no place, so that a broken object does not hold up the others.
fn needs_place(step: &Step) -> bool {
    match step {
        Step::WriteState(write) => write.begins,
        Step::Send { .. } => true,
        // A step is part of a refresh; nothing else waits for those.
        Step::Ask { question, .. } => *question == Question::Step,
        _ => false,
    }
}

/// What a step's breakdown means; none for the send, whose answer is lost.
fn broken(step: &Step) -> Option<Event> {
    match step {
        Step::ReadState => Some(Event::State(StateAnswer::Unclear)),
        Step::WriteState(_) => Some(Event::Wrote(WriteAnswer::Unclear)),
        Step::Connect { .. } => Some(Event::Connected(Err(NotSent::NotConnected))),
        Step::Mark(_) => Some(Event::Marked(MarkAnswer::Unclear)),
        Step::Journal(_) | Step::WriteEscrow(_) | Step::DeleteEscrow(_) => Some(Event::Kept(false)),
        Step::ReadJournal | Step::ReadEscrow(_) => Some(Event::Remembered(Memento::Unclear)),
        Step::Output { .. } => Some(Event::Output(OutputAnswer::Unclear)),
        Step::Pause(_) | Step::Done(_) => Some(Event::Paused),
        Step::Ask { .. } => Some(Event::Asked(Delivery::Lost { why: Lost::Broken, partial: None })),
        Step::Send { .. } => None,
    }
}
