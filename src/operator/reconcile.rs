//! One object's turn: gather facts, decide, run what was decided, report. Nothing is decided here.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::Context;
use super::cluster::{Owner, Trouble, is_owned_by, output_view};
use super::credential::{self, Unusable};
use super::deletion;
use super::drive::{Driven, Job};
use super::memory::{LoginVersions, Remembered};
use super::metrics::CONTROLLER;
use super::rival;
use super::telemetry;
use super::transport::Connection;
use crate::api::{OutputSpec, REFRESH_REQUESTED_ANNOTATION, Reason, RefreshableToken, RefreshableTokenStatus};
use crate::refresh::conclude::{Conclusion, Note, conclude, conclude_halt, conclude_wait};
use crate::refresh::decide::{Facts, OutputView, Plan, Rival, SeedView, Trigger, decide, previous_ends};
use crate::refresh::exchange::{Brief, KnownChain, Outcome, Task};
use crate::refresh::journal::Place;
use crate::refresh::state::{Claim, Owner as ChainOwner};
use crate::token::Login;

/// Longest sleep before an object is looked at again. kube sleeps on the monotonic clock, which stops during suspend, so that
/// a long sleep could outlast an expiry.
const LONGEST_SLEEP: Duration = Duration::from_secs(300);
/// Pause before an object is looked at again after the API server did not answer.
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(5);

/// Pause between two statuses for which nothing was done. Our choice: nobody waits for them, and an expiry is told at once.
const RESTATE_PAUSE: Duration = Duration::from_secs(5);

/// A reconciliation that broke down; the object is looked at again.
#[derive(Debug, thiserror::Error)]
#[error("the operator broke down over this object; it goes on with the others and tries this one again")]
pub struct Broken;

/// Looks at one object. A panic ends this look only.
pub async fn reconcile(object: Arc<DeserializeGuard<RefreshableToken>>, context: Arc<Context>) -> Result<Action, Broken> {
    let span = span(&object);
    let (metrics, begun) = (context.metrics.clone(), Instant::now());
    let look = async {
        match &object.0 {
            Ok(object) => {
                context.look_at_secrets(object).await;
                Box::pin(Turn::new(object.clone(), context).run()).await
            }
            Err(invalid) => Box::pin(undecodable(&context, invalid)).await,
        }
    };
    let ended = AssertUnwindSafe(look.instrument(span)).catch_unwind().await.map_err(|_| Broken);
    metrics.reconciled(ended.is_ok(), begun.elapsed());
    ended
}

/// The span of one look.
fn span(object: &DeserializeGuard<RefreshableToken>) -> Span {
    let (namespace, name, metadata) = (object.namespace().unwrap_or_default(), object.name_any(), object.meta());
    let (uid, generation) = (metadata.uid.as_deref(), metadata.generation);
    let trace_id = tracing::field::Empty;
    let span = tracing::info_span!("reconcile", controller = CONTROLLER, namespace, name, uid, generation, trace_id);
    telemetry::record_trace(&span);
    span
}

/// What kube does after a look that broke down.
#[must_use]
pub fn after_breakdown(_: Arc<DeserializeGuard<RefreshableToken>>, error: &Broken, _: Arc<Context>) -> Action {
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

/// One look at one object.
struct Turn {
    context: Arc<Context>,
    object: RefreshableToken,
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
    fn new(object: RefreshableToken, context: Arc<Context>) -> Self {
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
        Self { context, object, uid, name, namespace, remembered, status, seed, seed_secret: None, rival: None }
    }

    async fn run(mut self) -> Action {
        if let ControlFlow::Break(action) = deletion::attend(&self.context, &mut self.object).await {
            return action;
        }
        let mut plan = self.decide();
        if plan == Plan::ReadSeed {
            if let Err(action) = self.read_seed().await {
                return action;
            }
            plan = self.decide();
        }
        if matches!(plan, Plan::Exchange { task: Task::Adopt, .. }) {
            let fingerprint = match &self.seed {
                SeedView::Read { seed, .. } => Some(&seed.fingerprint),
                SeedView::Seen(_) | SeedView::NotSeen | SeedView::Unusable { .. } => None,
            };
            self.rival = rival::find(&self.object, fingerprint, &self.context.objects());
            plan = self.decide();
        }
        match plan {
            Plan::Leave => Action::await_change(),
            Plan::ReadSeed => Action::requeue(UNAVAILABLE_PAUSE),
            Plan::Wait { until } => {
                let conclusion = conclude_wait(&self.facts(), self.context.clock.now());
                Box::pin(self.restate(conclusion, until)).await
            }
            Plan::Halt { reason, message } => Box::pin(self.halt(reason, &message)).await,
            Plan::Exchange { task, trigger, preflight } => Box::pin(self.exchange(task, trigger, preflight)).await,
        }
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
        self.report(conclusion, until).await
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

    async fn read_seed(&mut self) -> Result<(), Action> {
        let name = self.object.spec.credential.seed_secret_ref.name.clone();
        let spec = &self.object.spec;
        let semantics = credential::provider(spec).semantics();
        let read = match credential::opted_in(&self.context.cluster, &self.namespace, &name).await {
            Ok(secret) => credential::seed(&secret, &self.name, spec, semantics, &self.context.key).map(|seed| (secret, seed)),
            Err(unusable) => Err(unusable),
        };
        self.seed = match read {
            Ok((secret, seed)) => {
                let resource_version = secret.metadata.resource_version.clone().unwrap_or_default();
                self.seed_secret = Some(secret);
                SeedView::Read { resource_version, seed }
            }
            Err(Unusable::Refused(reason, message)) => SeedView::Unusable { reason, message },
            Err(Unusable::Unavailable) => return Err(Action::requeue(UNAVAILABLE_PAUSE)),
        };
        Ok(())
    }

    async fn exchange(mut self, task: Task, trigger: Trigger, preflight: bool) -> Action {
        if self.context.stopping.is_cancelled() {
            return Action::await_change();
        }
        let credentials = self.credentials(task, preflight).await;
        let (login, connection) = match credentials {
            Ok(found) => found,
            // Publishing needs none, and an open exchange can often be ended without.
            Err(_) if task == Task::Publish => (Login::default(), self.connection()),
            Err(Unusable::Unavailable) => return Action::requeue(UNAVAILABLE_PAUSE),
            Err(Unusable::Refused(reason, message)) => return Box::pin(self.halt(reason, &message)).await,
        };
        let context = Arc::clone(&self.context);
        let Some(_adopting) = context.memory.adopt_alone(&self.seed, &self.uid) else {
            return Action::requeue(UNAVAILABLE_PAUSE);
        };
        let brief = self.brief(task, login, preflight);
        let semantics = brief.provider.semantics();
        let job = Job {
            context: Arc::clone(&self.context),
            object: Some(self.object.clone()),
            owner: self.owner(),
            place: self.place(),
            provider: self.object.spec.provider.name(),
            connection,
            claimed: None,
            permit: None,
            set_apart: false,
        };
        let span = tracing::Span::current();
        let running = self.context.exchanges.spawn(job.run(brief).instrument(span));
        let Ok(Driven { finished, object }) = running.await else { return Action::requeue(UNAVAILABLE_PAUSE) };
        tracing::info!(outcome = finished.outcome.word(), trigger = ?trigger, "exchange ended");
        self.context.metrics.exchange_ended(&self.uid, &self.status, &finished.outcome, trigger);
        let conclusion = conclude(&self.facts(), &finished, trigger, semantics, self.context.clock.now());
        let until = conclusion.memory.retry_time;
        self.object = object.unwrap_or(self.object);
        self.watch(&finished.outcome);
        self.report(conclusion, until).await
    }

    /// Notes since when this process sees another's claim, on the clock that nobody sets.
    fn watch(&mut self, outcome: &Outcome) {
        let Outcome::Held { claim, .. } = outcome else { return self.remembered.watched = None };
        if self.remembered.watched.as_ref().is_none_or(|(watched, _)| watched != claim) {
            self.remembered.watched = Some((claim.clone(), self.context.clock.since_boot()));
        }
    }

    fn connection(&self) -> Connection {
        let timeouts = self.object.spec.provider.timeouts();
        let longest = credential::provider(&self.object.spec).semantics().longest_request().unwrap_or(Duration::MAX);
        let request_timeout = timeouts.request().min(longest);
        Connection { ca_bundle: None, connect_timeout: timeouts.connect(), request_timeout }
    }

    async fn credentials(&mut self, task: Task, preflight: bool) -> Result<(Login, Connection), Unusable> {
        let spec = self.object.spec.clone();
        let mut connection = self.connection();
        if task == Task::Publish && self.status.attempt.is_none() {
            return Ok((Login::default(), connection));
        }
        if spec.provider.tls().is_some() {
            connection.ca_bundle = match &self.remembered.ca_bundle {
                Some(bundle) if !preflight => Some(bundle.clone()),
                Some(_) | None => credential::ca_bundle(&self.context.cluster, &self.namespace, &spec.provider).await?,
            };
            self.remembered.ca_bundle.clone_from(&connection.ca_bundle);
        }
        if !credential::needs_login(&spec.provider) {
            return Ok((Login::default(), connection));
        }
        let seed_name = &spec.credential.seed_secret_ref.name;
        let client_name = spec.provider.client_secret_ref().map(|client| client.name.clone());
        let version = |name: &str| self.context.seen.get(&self.namespace, name).map(|seen| seen.resource_version);
        let versions = LoginVersions { seed: version(seed_name), client: client_name.as_deref().and_then(version) };
        if let Some((known, login)) = &self.remembered.login
            && *known == versions
            && !preflight
        {
            return Ok((login.clone(), connection));
        }
        let client = match &client_name {
            Some(name) => Some(credential::opted_in(&self.context.cluster, &self.namespace, name).await?),
            None => None,
        };
        if self.seed_secret.is_none() && versions.seed.is_some() && client.is_none() {
            self.seed_secret = Some(credential::opted_in(&self.context.cluster, &self.namespace, seed_name).await?);
        }
        let login = credential::login(self.seed_secret.as_ref(), client.as_ref(), &spec)?;
        self.remembered.login = Some((versions, login.clone()));
        Ok((login, connection))
    }

    fn place(&self) -> Place {
        Place { namespace: self.namespace.clone(), state_secret: self.object.spec.state_secret_name(&self.name) }
    }

    fn brief(&self, task: Task, login: Login, preflight: bool) -> Brief {
        let facts = self.facts();
        let context = &self.context;
        let claim = Claim::new(context.clock.unique_name(), &context.pod, &context.process);
        let watched = self.remembered.watched.clone();
        Brief {
            task,
            owner: ChainOwner { cluster: context.cluster_uid.clone(), name: self.name.clone(), uid: self.uid.clone() },
            place: self.place(),
            claim: Claim { journal: context.kept.id(), ..claim },
            watched: watched.map(|(claim, since)| (claim, context.clock.since_boot().saturating_sub(since))),
            provider: credential::provider(&self.object.spec),
            login,
            seed: match &self.seed {
                SeedView::Read { seed, .. } => Some(seed.clone()),
                SeedView::Seen(_) | SeedView::NotSeen | SeedView::Unusable { .. } => None,
            },
            outputs: self.object.spec.outputs.clone(),
            seen: facts.outputs.into_iter().map(|view| view.map(|view| view.seen)).collect(),
            known: KnownChain::of(&self.status, self.remembered.memory.generation),
            preflight,
            expects_state: self.status.seed.is_some() || self.status.attempt.is_some(),
            void_claims: self.remembered.memory.void_claims.clone(),
            key: self.context.key.clone(),
        }
    }

    /// Stores the status if it changed, tells people, and says when to look again.
    async fn report(mut self, conclusion: Conclusion, until: Option<DateTime<Utc>>) -> Action {
        self.remembered.memory = conclusion.memory;
        let same = self.object.status.as_ref() == Some(&conclusion.status);
        let stored = same || self.store(&conclusion.status).await;
        if !same {
            self.remembered.latest = Some(self.object.clone());
        } else if conclusion.again
            // What was decided rests on an object that has changed since: the watch may show that much later.
            && let Ok(live) = self.context.cluster.object(&self.namespace, &self.name).await
            && is_owned_by(&live, &self.uid)
        {
            self.remembered.latest = Some(live);
        }
        self.context.memory.remember(&self.uid, self.remembered);
        for note in &conclusion.events {
            if note.warning {
                tracing::warn!(reason = note.reason.as_str(), message = note.message);
            } else {
                tracing::info!(reason = note.reason.as_str(), message = note.message);
            }
            self.context.cluster.publish_event(&self.object.object_ref(&()), note).await;
        }
        if !stored {
            return Action::requeue(UNAVAILABLE_PAUSE);
        }
        if conclusion.again {
            return Action::requeue(Duration::from_millis(500));
        }
        let now = self.context.clock.now();
        let previous = previous_ends(&self.object.spec, &conclusion.status);
        let times = [until, conclusion.status.next_refresh_time].into_iter().flatten().chain(previous);
        let next = times.filter(|time| *time > now).min();
        let expiry = conclusion.status.token.and_then(|token| token.expiration_time).filter(|time| *time > now);
        let wake = next.into_iter().chain(expiry).min();
        // The clock is read in whole seconds by the decision: a millisecond more makes sure that the time has come.
        let sleep = wake.map(|time| (time - now).to_std().unwrap_or_default() + Duration::from_millis(1));
        Action::requeue(sleep.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP))
    }

    /// PUT the status. Somebody who wrote to the object in between is no reason to lose what we know; another replica that has
    /// written about the chain knows more, and its mark must not be written over.
    async fn store(&mut self, status: &RefreshableTokenStatus) -> bool {
        let base = self.object.status.clone().unwrap_or_default();
        for _ in 0..3 {
            self.object.status = Some(status.clone());
            match self.context.cluster.put_status(&self.namespace, &self.object).await {
                Ok(object) => {
                    self.object = object;
                    return true;
                }
                Err(Trouble::Conflict) => match self.context.cluster.object(&self.namespace, &self.name).await {
                    Ok(object) if is_owned_by(&object, &self.uid) => {
                        let same = object.status.as_ref().is_none_or(|live| live.same_chain(&base));
                        self.object = object;
                        if !same {
                            break;
                        }
                    }
                    Ok(_) | Err(Trouble::Missing) => return true,
                    Err(Trouble::Conflict | Trouble::Denied | Trouble::Unclear) => break,
                },
                Err(Trouble::Missing) => return true,
                Err(Trouble::Denied | Trouble::Unclear) => break,
            }
        }
        tracing::warn!("the status could not be stored; it is computed again");
        false
    }
}
