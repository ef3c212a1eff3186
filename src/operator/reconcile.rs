//! One object's turn: gather facts, decide, run what was decided, report. Nothing is decided here.

mod adopt;
mod credentials;
mod queue;
mod report;

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use queue::Next;
use report::LONGEST_SLEEP;

use super::Context;
use super::cluster::{Owner, output_view};
use super::credential::Unusable;
use super::deletion;
use super::drive::{Driven, Job};
use super::gate::Pass;
use super::guarded::Guarded;
use super::lanes::Lane;
use super::memory::Remembered;
use super::metrics::CONTROLLER;
use super::provider::Resolved;
use super::shards::{FIRST, Work};
use super::telemetry;
use super::watch::reference;
use crate::api::{OutputSpec, REFRESH_REQUESTED_ANNOTATION, Reason, RefreshableToken, RefreshableTokenStatus};
use crate::provider::Provider;
use crate::refresh::conclude::{Conclusion, Note, conclude, conclude_halt, conclude_wait};
use crate::refresh::decide::{Facts, OutputView, Plan, ProviderView, Rival, SeedView, Trigger, decide, new_seed, to_begin};
use crate::refresh::exchange::{Brief, KnownChain, Outcome, Policy, Task};
use crate::refresh::journal::Place;
use crate::refresh::state::{Claim, Owner as ChainOwner};
use crate::token::Login;

/// Pause before an object is looked at again after the API server did not answer.
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(5);

/// Pause between two statuses for which nothing was done. Our choice: nobody waits for them, and an expiry is told at once.
const RESTATE_PAUSE: Duration = Duration::from_secs(5);

/// A reconciliation that broke down; the object is looked at again.
#[derive(Debug, thiserror::Error)]
#[error("the operator broke down over this object; it goes on with the others and tries this one again")]
pub struct Broken;

/// Looks at one object. A panic ends this look only.
pub async fn reconcile(object: Arc<Guarded<RefreshableToken>>, context: Arc<Context>) -> Result<Action, Broken> {
    // In a box of its own: before it begins, an object takes no room for what a look needs.
    match Box::pin(look(&object, &context)).await? {
        Next::Look(action) => Ok(action),
        Next::Queue(who) => Ok(context.queue(who, reference(object.as_ref()))),
    }
}

async fn look(object: &Guarded<RefreshableToken>, context: &Arc<Context>) -> Result<Next, Broken> {
    // Whose it is can change without a word of it; looking costs nothing.
    let Some(work) = context.begin(object) else { return Ok(Next::Look(Action::requeue(LONGEST_SLEEP))) };
    let (span, begun) = (span(object), Instant::now());
    let look = async {
        match &object.0 {
            Ok(object) => {
                context.look_at_secrets(object).await;
                match Box::pin(Turn::begin(object.clone(), Arc::clone(context), work)).await {
                    Ok(turn) => Box::pin(turn.run()).await,
                    Err(action) => Next::Look(action),
                }
            }
            Err(invalid) => Next::Look(Box::pin(undecodable(context, invalid)).await),
        }
    };
    let ended = AssertUnwindSafe(look.instrument(span)).catch_unwind().await.map_err(|_| Broken);
    context.metrics.reconciled(ended.is_ok(), begun.elapsed());
    context.looked.add_permits(1);
    ended
}

/// The span of one look.
fn span(object: &Guarded<RefreshableToken>) -> Span {
    let (namespace, name, metadata) = (object.namespace().unwrap_or_default(), object.name_any(), object.meta());
    let (uid, generation) = (metadata.uid.as_deref(), metadata.generation);
    let trace_id = tracing::field::Empty;
    let span = tracing::info_span!("reconcile", controller = CONTROLLER, namespace, name, uid, generation, trace_id);
    telemetry::record_trace(&span);
    span
}

/// What kube does after a look that broke down.
#[must_use]
pub fn after_breakdown(_: Arc<Guarded<RefreshableToken>>, error: &Broken, _: Arc<Context>) -> Action {
    tracing::error!(%error);
    Action::requeue(Duration::from_secs(60))
}

/// An object whose stored spec does not fit the schema of this operator: say so once per generation, and leave the others be.
async fn undecodable(context: &Context, invalid: &InvalidObject) -> Action {
    let metadata = &invalid.metadata;
    let (Some(namespace), Some(name)) = (metadata.namespace.as_deref(), metadata.name.as_deref()) else {
        return Action::await_change();
    };
    let reference = kube::runtime::reflector::ObjectRef::<RefreshableToken>::new(name).within(namespace);
    let mut reference: k8s_openapi::api::core::v1::ObjectReference = reference.into();
    reference.uid = metadata.uid.clone();
    if deletion::let_go(context, metadata, &reference).await {
        return Action::await_change();
    }
    let uid = metadata.uid.clone().unwrap_or_default();
    if !context.memory.first_report(&uid, metadata.generation) {
        return Action::await_change();
    }
    let message = "the stored object does not fit the schema of this operator: compare it with kubectl explain rtok.spec and apply it again";
    let now = context.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let condition = |type_: &str, status: &str| {
        json!({ "type": type_, "status": status, "reason": Reason::InvalidSpec.as_str(), "message": message,
                "observedGeneration": metadata.generation, "lastTransitionTime": now })
    };
    let conditions = [condition("Ready", "False"), condition("Stalled", "True")];
    let patch = json!({ "status": { "observedGeneration": metadata.generation, "conditions": conditions } });
    tracing::warn!(namespace, name, message);
    if context.cluster.patch_status(namespace, name, &patch).await.is_err() {
        tracing::warn!(namespace, name, "the status of the object could not be written");
    }
    let note = Note { warning: true, reason: Reason::InvalidSpec, message: message.to_owned() };
    context.cluster.publish_event(&reference, &note).await;
    Action::await_change()
}

/// What tells one sight of a provider from another.
fn with_bundle(seen: Option<&str>, bundle: Option<&str>) -> Option<String> {
    match (seen, bundle) {
        (seen, None) => seen.map(str::to_owned),
        (seen, Some(bundle)) => Some(format!("{} authorities={bundle}", seen.unwrap_or_default())),
    }
}

/// One look at one object.
struct Turn {
    context: Arc<Context>,
    work: Work,
    /// Its turn in the lane of its token API, once it has come.
    turn: Option<Pass>,
    object: RefreshableToken,
    provider: Result<Resolved, (Reason, String)>,
    /// Changes with the provider and with the Secrets that it names, as the watches showed them.
    seen: Option<String>,
    /// The same, and with the certificate authorities that were read last.
    version: Option<String>,
    uid: String,
    name: String,
    namespace: String,
    remembered: Remembered,
    status: RefreshableTokenStatus,
    seed: SeedView,
    seed_secret: Option<k8s_openapi::api::core::v1::Secret>,
    rival: Option<Rival>,
}

impl Turn {
    async fn begin(object: RefreshableToken, context: Arc<Context>, work: Work) -> Result<Self, Action> {
        let uid = object.uid().unwrap_or_default();
        let mut remembered = context.memory.recall(&uid);
        // Our own last write may not have come back through the watch yet. Once it has, one copy is enough.
        let newer = remembered.newer_than(&object);
        if newer.is_none() {
            remembered.latest = None;
        }
        let object = newer.unwrap_or(object);
        let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
        let status = object.status.clone().unwrap_or_default();
        let seed_name = &object.spec.credential.seed_secret_ref.name;
        let seed = match context.seen.get(&namespace, seed_name) {
            Some(seen) if seen.role == "seed" => SeedView::Seen(seen.resource_version),
            Some(_) | None => SeedView::NotSeen,
        };
        let provider = match context.resolve(&object).await {
            Ok(resolved) => Ok(resolved),
            Err(Unusable::Refused(reason, message)) => Err((reason, message)),
            Err(Unusable::Unavailable) => return Err(Action::requeue(UNAVAILABLE_PAUSE)),
        };
        let watched = provider.as_ref().ok().and_then(|provider| context.version(provider));
        Ok(Self {
            version: with_bundle(watched.as_deref(), remembered.bundle.as_deref()),
            seen: watched,
            context,
            work,
            turn: None,
            object,
            provider,
            uid,
            name,
            namespace,
            remembered,
            status,
            seed,
            seed_secret: None,
            rival: None,
        })
    }

    async fn run(mut self) -> Next {
        let own = self.context.shard_of(&self.object);
        if self.work.hold.number == own
            && let ControlFlow::Break(action) = deletion::attend(&self.context, &self.work.hold, &mut self.object).await
        {
            return Next::Look(action);
        }
        let plan = self.decide();
        // Nothing but a halt, a wait or a leave is planned without one.
        let Ok(resolved) = self.provider.clone() else {
            let stands = self.work.hold.number == own;
            return Next::Look(if stands { self.stand(plan).await } else { Action::requeue(LONGEST_SLEEP) });
        };
        match self.queue_up(&plan, &resolved) {
            Some(who) => Next::Queue(who),
            None => Next::Look(self.follow(plan, resolved).await),
        }
    }

    async fn follow(mut self, mut plan: Plan, resolved: Resolved) -> Action {
        if plan == Plan::ReadSeed {
            if let Err(action) = self.read_seed(&resolved).await {
                return action;
            }
            plan = self.decide();
        }
        // Two objects can have been given one seed: what has a new one is looked after where all chains begin.
        let shard = if new_seed(&self.facts()) { FIRST } else { self.context.shard_of(&self.object) };
        let Some(work) = self.context.shards.begin(shard) else { return Action::requeue(LONGEST_SLEEP) };
        self.work = work;
        if matches!(plan, Plan::Exchange { task: Task::Adopt, .. }) {
            self.rival = match self.find_rival(&resolved).await {
                Ok(rival) => rival,
                Err(action) => return action,
            };
            plan = self.decide();
        }
        match plan {
            Plan::Exchange { task, trigger, preflight } => Box::pin(self.exchange(resolved, task, trigger, preflight)).await,
            plan => self.stand(plan).await,
        }
    }

    /// Follows a plan that begins nothing.
    async fn stand(self, plan: Plan) -> Action {
        match plan {
            Plan::Leave => Action::await_change(),
            Plan::ReadSeed | Plan::Exchange { .. } => Action::requeue(UNAVAILABLE_PAUSE),
            Plan::Wait { until } => {
                let conclusion = conclude_wait(&self.facts(), self.context.clock.now());
                Box::pin(self.restate(conclusion, until)).await
            }
            Plan::Halt { reason, message } => Box::pin(self.halt(reason, &message)).await,
        }
    }

    /// The token API with what this object asks of it.
    fn offer(&self, resolved: &Resolved) -> Provider {
        Provider::new(resolved.spec.clone(), self.object.spec.request())
    }

    async fn halt(self, reason: Reason, message: &str) -> Action {
        let conclusion = conclude_halt(&self.facts(), reason, message, self.context.clock.now());
        let until = conclusion.memory.retry_time;
        Box::pin(self.restate(conclusion, until)).await
    }

    /// Reports a status for which nothing was done.
    async fn restate(mut self, conclusion: Conclusion, until: Option<DateTime<Utc>>) -> Action {
        if self.object.status.as_ref() != Some(&conclusion.status) {
            if let Some(left) = self.restated_lately() {
                return Action::requeue(left);
            }
            self.remembered.restated = Some(self.context.clock.since_boot());
        }
        Box::pin(self.report(conclusion, until)).await
    }

    /// For how long a status waits that follows from nothing but facts and the clock. Two replicas without an election whose clocks
    /// differ can call one token expired and fresh: each would write its own view over that of the other, for ever.
    fn restated_lately(&self) -> Option<Duration> {
        let passed = self.context.clock.since_boot().saturating_sub(self.remembered.restated?);
        RESTATE_PAUSE.checked_sub(passed).filter(|left| !left.is_zero())
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            name: &self.name,
            uid: &self.uid,
            generation: self.object.metadata.generation,
            request: self.object.annotations().get(REFRESH_REQUESTED_ANNOTATION).map(String::as_str),
            deleting: self.object.metadata.deletion_timestamp.is_some(),
            spec: &self.object.spec,
            provider: match &self.provider {
                Ok(resolved) => ProviderView::Known { spec: &resolved.spec, version: self.version.as_deref() },
                Err((reason, message)) => ProviderView::Unusable { reason: *reason, message },
            },
            status: &self.status,
            rival: self.rival.clone(),
            seed: self.seed.clone(),
            outputs: self.output_views(),
            memory: &self.remembered.memory,
            key: &self.context.key,
        }
    }

    fn decide(&self) -> Plan {
        decide(&self.facts(), self.context.clock.now())
    }

    fn output_views(&self) -> Vec<Option<OutputView>> {
        let owner = self.owner();
        let view = |output: &OutputSpec| {
            let seen = self.context.seen.get(&self.namespace, &output.secret_name)?;
            output_view(seen, output, &self.status, &owner)
        };
        self.object.spec.outputs.iter().map(view).collect()
    }

    fn owner(&self) -> Owner {
        Owner { namespace: self.namespace.clone(), name: self.name.clone(), uid: self.uid.clone() }
    }

    async fn exchange(mut self, resolved: Resolved, task: Task, trigger: Trigger, preflight: bool) -> Action {
        if self.work.hold.over.is_cancelled() {
            return Action::await_change();
        }
        // What is under way already must not wait: a grace may end.
        let begins = self.status.attempt.is_none() && task != Task::Publish;
        let _pass = match resolved.limits.as_ref().filter(|_| begins).map(|limits| self.ask(limits)) {
            Some(Ok(pass)) => Some(pass),
            Some(Err(pause)) => return Box::pin(self.come_back(pause)).await,
            None => None,
        };
        let provider = self.offer(&resolved);
        let creates = trigger == Trigger::Bootstrap || (trigger == Trigger::Manual && to_begin(&self.facts()));
        let credentials = self.credentials(&resolved, task, preflight, creates).await;
        let (login, connection) = match credentials {
            Ok(found) => found,
            // Publishing needs none, and an open exchange can often be ended without.
            Err(_) if task == Task::Publish => (Login::default(), self.connection(&resolved)),
            Err(Unusable::Unavailable) => return Action::requeue(UNAVAILABLE_PAUSE),
            Err(Unusable::Refused(reason, message)) => return Box::pin(self.halt(reason, &message)).await,
        };
        let context = Arc::clone(&self.context);
        let Some(_adopting) = context.memory.adopt_alone(&self.seed, &self.uid) else {
            return Action::requeue(UNAVAILABLE_PAUSE);
        };
        let semantics = provider.semantics();
        let brief = Brief { creates, ..self.brief(provider, task, login, preflight) };
        let job = Job {
            context: Arc::clone(&self.context),
            object: Some(self.object.clone()),
            owner: self.owner(),
            place: self.place(),
            provider: resolved.spec.name(),
            connection,
            claimed: None,
            ends: self.ends(),
            over: self.work.hold.over.clone(),
            lane: Lane::of(Some(&resolved.spec)),
            turn: self.turn.take(),
            flight: None,
        };
        let span = tracing::Span::current();
        // Whoever takes over the shard waits for it, and so does the end of the process.
        let exchange = self.work.hold.begun.track_future(job.run(brief).instrument(span));
        let running = self.context.exchanges.spawn(exchange);
        let Ok(Driven { finished, object }) = running.await else { return Action::requeue(UNAVAILABLE_PAUSE) };
        tracing::info!(outcome = finished.outcome.word(), trigger = ?trigger, "exchange ended");
        self.context.metrics.exchange_ended(&self.uid, &self.status, &finished.outcome, trigger);
        let conclusion = conclude(&self.facts(), &finished, trigger, semantics, self.context.clock.now());
        let until = conclusion.memory.retry_time;
        self.object = object.unwrap_or(self.object);
        self.watch(&finished.outcome);
        Box::pin(self.report(conclusion, until)).await
    }

    /// Notes since when this process sees another's claim, on the clock that nobody sets.
    fn watch(&mut self, outcome: &Outcome) {
        let Outcome::Held { claim, .. } = outcome else { return self.remembered.watched = None };
        if self.remembered.watched.as_ref().is_none_or(|watched| watched.0 != *claim) {
            self.remembered.watched = Some(Box::new((claim.clone(), self.context.clock.since_boot())));
        }
    }

    fn place(&self) -> Place {
        Place { namespace: self.namespace.clone(), state_secret: self.object.spec.state_secret_name(&self.name) }
    }

    fn brief(&self, provider: Provider, task: Task, login: Login, preflight: bool) -> Brief {
        let facts = self.facts();
        let context = &self.context;
        let claim = Claim::new(context.clock.unique_name(), &context.pod, &context.process);
        let watched = self.remembered.watched.as_deref().cloned();
        Brief {
            task,
            owner: ChainOwner { cluster: context.cluster_uid.clone(), name: self.name.clone(), uid: self.uid.clone() },
            place: self.place(),
            claim: Claim { journal: context.kept.id(), ..claim },
            watched: watched.map(|(claim, since)| (claim, context.clock.since_boot().saturating_sub(since))),
            provider,
            login,
            seed: self.seed_that_was_read().cloned(),
            outputs: self.object.spec.outputs.clone(),
            seen: facts.outputs.into_iter().map(|view| view.map(|view| view.seen)).collect(),
            known: KnownChain::of(&self.status, self.remembered.memory.generation),
            preflight,
            creates: false,
            policy: Policy::of(&self.object.spec),
            expects_state: self.status.seed.is_some() || self.status.attempt.is_some(),
            void_claims: self.remembered.memory.void_claims.clone(),
            key: self.context.key.clone(),
        }
    }
}
