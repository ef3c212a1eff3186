//! What the deletion policy of an object asks for: a finalizer while the object lives, and the end of its chain when it goes.
//!
//! A deletion is never wedged: what cannot be done within [`WITHIN`] is given up, and an event says so.

use std::ops::ControlFlow;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};
use tokio::time::{Instant, sleep};

use super::Context;
use super::cluster::Trouble;
use super::credential::{self, Unusable};
use super::metrics::Operation;
use super::transport::Connection;
use crate::api::{CLEANUP_FINALIZER, DeletionPolicy, Reason, RefreshableToken};
use crate::provider::{Class, Delivery, NotSent, Provider, RefreshInput};
use crate::refresh::conclude::Note;
use crate::refresh::exchange::StateAnswer;
use crate::refresh::journal::Place;
use crate::refresh::state::{Owner, State, StoredState};
use crate::token::Login;

/// How long a deletion waits for the token API and the API server, all in all. Our choice: long enough for a restart of either,
/// and short enough that nobody who waits for a namespace to go looks for the reason.
const WITHIN: Duration = Duration::from_secs(60);
/// How long of that an exchange of another process is waited for. Our choice: one has 10 s from claim to send and 30 s for the
/// answer.
const CLAIM_WITHIN: Duration = Duration::from_secs(45);
/// How often a revocation is tried. Our choice: with pauses of 2, 4, 8 and 16 s between them.
const TRIES: u32 = 5;
/// Longest time of one try. Our choice: nobody needs the answer, so a second try is worth more than patience.
const TRY: Duration = Duration::from_secs(10);
/// Pause before a refused write to the API server is repeated.
const PAUSE: Duration = Duration::from_secs(2);
/// Pause before an object is looked at again whose finalizer could not be written.
const LATER: Duration = Duration::from_secs(5);

/// Looks after the finalizer, and after the chain of an object that is being deleted. `Break` is all there is to do for now.
pub(super) async fn attend(context: &Context, object: &mut RefreshableToken) -> ControlFlow<Action> {
    let held = is_held(&object.metadata);
    let wanted = object.spec.deletion_policy() != DeletionPolicy::Retain;
    if object.metadata.deletion_timestamp.is_some() {
        if held {
            return ControlFlow::Break(clean_up(context, object).await);
        }
    } else if held != wanted {
        match context.cluster.set_finalizers(&object.metadata, &finalizers(&object.metadata, wanted)).await {
            Ok(metadata) => object.metadata = metadata,
            Err(trouble) => return unset(context, object, wanted, trouble).await,
        }
    }
    ControlFlow::Continue(())
}

/// The finalizer could not be written. A chain that runs goes on without; none is begun.
async fn unset(context: &Context, object: &RefreshableToken, wanted: bool, trouble: Trouble) -> ControlFlow<Action> {
    if trouble == Trouble::Denied {
        let message = "the finalizer of the deletion policy cannot be set or taken away: allow the operator to patch RefreshableToken objects";
        tell(context, object, true, Reason::CleanupFailed, message.to_owned()).await;
        let begun = object.status.as_ref().is_some_and(|status| status.seed.is_some() || status.chain_generation.is_some());
        if begun || !wanted {
            return ControlFlow::Continue(());
        }
    }
    ControlFlow::Break(Action::requeue(LATER))
}

/// An object that does not decode and is being deleted: its policy cannot be read, so that nothing is done but let it go.
/// Whether it was such an object.
pub(super) async fn let_go(context: &Context, metadata: &ObjectMeta, reference: &ObjectReference) -> bool {
    if metadata.deletion_timestamp.is_none() || !is_held(metadata) {
        return false;
    }
    let message = "the deletion policy of an object that does not fit the schema cannot be read: its state Secret is kept and its tokens stay valid";
    let note = Note { warning: true, reason: Reason::CleanupFailed, message: message.to_owned() };
    tracing::warn!(reason = note.reason.as_str(), message);
    context.cluster.publish_event(reference, &note).await;
    if let Err(trouble) = context.cluster.set_finalizers(metadata, &finalizers(metadata, false)).await {
        tracing::warn!(?trouble, "the finalizer could not be taken away");
    }
    true
}

fn is_held(metadata: &ObjectMeta) -> bool {
    metadata.finalizers.iter().flatten().any(|name| name == CLEANUP_FINALIZER)
}

fn finalizers(metadata: &ObjectMeta, held: bool) -> Vec<String> {
    let others = metadata.finalizers.iter().flatten().filter(|name| *name != CLEANUP_FINALIZER).cloned();
    others.chain(held.then(|| CLEANUP_FINALIZER.to_owned())).collect()
}

/// Does what the policy asks for, then lets the object go. An operator that stops leaves it to the next one.
async fn clean_up(context: &Context, object: &RefreshableToken) -> Action {
    if object.spec.deletion_policy() != DeletionPolicy::Retain {
        let end = End { context, object, deadline: Instant::now() + WITHIN };
        if context.stopping.run_until_cancelled(end.run()).await.is_none() {
            return Action::await_change();
        }
    }
    match context.cluster.set_finalizers(&object.metadata, &finalizers(&object.metadata, false)).await {
        Ok(_) | Err(Trouble::Missing) => Action::await_change(),
        Err(_) => Action::requeue(LATER),
    }
}

async fn tell(context: &Context, object: &RefreshableToken, warning: bool, reason: Reason, message: String) {
    if warning {
        tracing::warn!(reason = reason.as_str(), message);
    } else {
        tracing::info!(reason = reason.as_str(), message);
    }
    context.cluster.publish_event(&object.object_ref(&()), &Note { warning, reason, message }).await;
}

/// The end of one chain.
struct End<'a> {
    context: &'a Context,
    object: &'a RefreshableToken,
    deadline: Instant,
}

/// Why a revocation did not come about.
struct Failure {
    why: String,
    /// It may pass by itself; after this long at least.
    again: Option<Duration>,
    /// The request may have arrived.
    lost: bool,
}

impl Failure {
    fn passing(why: String) -> Self {
        Self { why, again: Some(Duration::ZERO), lost: false }
    }

    fn lasting(why: String) -> Self {
        Self { why, again: None, lost: false }
    }
}

impl End<'_> {
    async fn run(&self) {
        let Some(stored) = self.find().await else { return };
        if self.object.spec.deletion_policy() == DeletionPolicy::Revoke {
            self.revoke(&stored.state).await;
        }
        self.delete(*stored).await;
    }

    async fn tell(&self, warning: bool, reason: Reason, message: String) {
        tell(self.context, self.object, warning, reason, message).await;
    }

    fn place(&self) -> Place {
        let state_secret = self.object.spec.state_secret_name(&self.object.name_any());
        Place { namespace: self.object.namespace().unwrap_or_default(), state_secret }
    }

    fn owns(&self, state: &State) -> bool {
        let owner = Owner {
            cluster: self.context.cluster_uid.clone(),
            name: self.object.name_any(),
            uid: self.object.uid().unwrap_or_default(),
        };
        state.owner == owner
    }

    /// The state Secret, if it is this object's. An exchange that another process has under way gets time to end.
    async fn find(&self) -> Option<Box<StoredState>> {
        let Place { namespace, state_secret } = self.place();
        let begun = Instant::now();
        loop {
            let kept = match self.context.cluster.read_state(&namespace, &state_secret).await {
                StateAnswer::Missing => return None,
                StateAnswer::Found(stored) if self.owns(&stored.state) => {
                    let claim = stored.state.claim.as_ref();
                    let others = claim.is_some_and(|claim| claim.process != self.context.process);
                    if !others || begun.elapsed() >= CLAIM_WITHIN {
                        return Some(stored);
                    }
                    sleep(PAUSE).await;
                    continue;
                }
                StateAnswer::Found(_) => "belongs to another object or cluster",
                StateAnswer::Malformed(..) => "cannot be read, so that nobody knows whose it is",
                StateAnswer::Denied | StateAnswer::Unclear if Instant::now() + PAUSE < self.deadline => {
                    sleep(PAUSE).await;
                    continue;
                }
                StateAnswer::Denied | StateAnswer::Unclear => "could not be read within a minute",
            };
            let message = format!("Secret {state_secret} is kept, and its tokens are not revoked: it {kept}");
            self.tell(true, Reason::CleanupFailed, message).await;
            return None;
        }
    }

    async fn revoke(&self, state: &State) {
        let mut pause = PAUSE;
        let mut tries = 1;
        let mut lost = false;
        loop {
            let failure = match self.try_to_revoke(state).await {
                Ok(()) => {
                    let message = "the tokens are revoked, as deletionPolicy asks".to_owned();
                    return self.tell(false, Reason::TokenRevoked, message).await;
                }
                Err(failure) => failure,
            };
            lost |= failure.lost;
            let wait = failure.again.map(|asked| asked.max(pause)).filter(|wait| Instant::now() + *wait < self.deadline);
            let Some(wait) = wait.filter(|_| tries < TRIES) else {
                let id = state.tokens.token_id.as_deref().map(|id| format!(" (token ID {id})")).unwrap_or_default();
                // A token that revoked itself is refused from then on: such a refusal proves neither.
                let known = if lost { "nobody knows whether the tokens are revoked" } else { "the tokens are not revoked" };
                let message = format!("{known}: {}. Revoke them at the token API{id}", failure.why);
                return self.tell(true, Reason::RevocationFailed, message).await;
            };
            sleep(wait).await;
            pause *= 2;
            tries += 1;
        }
    }

    async fn try_to_revoke(&self, state: &State) -> Result<(), Failure> {
        let provider = credential::provider(&self.object.spec);
        let login = self.login().await?;
        let connection = self.connection().await?;
        let sent = self.context.clock.now();
        let attempt = self.context.clock.unique_name();
        let input = RefreshInput { held: &state.tokens, login: &login, now: sent, attempt: &attempt };
        let Some(request) = provider.revocation(&input) else {
            return Err(Failure::lasting("there is no token, or the provider does not say how to revoke it".to_owned()));
        };
        let request = request.map_err(|error| Failure::lasting(error.to_string()))?;
        let request = request.signed(sent).map_err(|error| Failure::lasting(error.to_string()))?;
        let begun = Instant::now();
        let delivery = self.context.calls.send(&request, &connection).await;
        let name = self.object.spec.provider.name();
        self.context.metrics.provider_called(name, Operation::Revoke, &delivery, begun.elapsed());
        match delivery {
            Delivery::Answered(reply) => read(&provider, &reply, sent),
            Delivery::NotSent(why @ (NotSent::EndpointNotAllowed | NotSent::CaBundleInvalid)) => {
                Err(Failure::lasting(why.to_string()))
            }
            Delivery::NotSent(why) => Err(Failure::passing(why.to_string())),
            Delivery::Lost { why, .. } => Err(Failure { lost: true, ..Failure::passing(why.to_string()) }),
        }
    }

    /// What is there of credentials beside the tokens: a seed that is gone may not have been needed.
    async fn login(&self) -> Result<Login, Failure> {
        let spec = &self.object.spec;
        if !credential::needs_login(&spec.provider) {
            return Ok(Login::default());
        }
        let seed = self.secret(&spec.credential.seed_secret_ref.name).await?;
        let client = match spec.provider.client_secret_ref() {
            Some(client) => self.secret(&client.name).await?,
            None => None,
        };
        credential::login(seed.as_ref(), client.as_ref(), spec).map_err(unusable)
    }

    async fn secret(&self, name: &str) -> Result<Option<k8s_openapi::api::core::v1::Secret>, Failure> {
        match credential::opted_in(&self.context.cluster, &self.place().namespace, name).await {
            Ok(secret) => Ok(Some(secret)),
            Err(Unusable::Refused(..)) => Ok(None),
            Err(unavailable @ Unusable::Unavailable) => Err(unusable(unavailable)),
        }
    }

    async fn connection(&self) -> Result<Connection, Failure> {
        let provider = &self.object.spec.provider;
        let ca_bundle =
            credential::ca_bundle(&self.context.cluster, &self.place().namespace, provider).await.map_err(unusable)?;
        let timeouts = provider.timeouts();
        Ok(Connection { ca_bundle, connect_timeout: timeouts.connect(), request_timeout: timeouts.request().min(TRY) })
    }

    /// Deletes the state Secret and what was kept beside it.
    async fn delete(&self, mut stored: StoredState) {
        let place = self.place();
        let why = loop {
            match self.context.cluster.delete_state(&place.namespace, &place.state_secret, &stored.version).await {
                Ok(()) => break None,
                Err(Trouble::Denied) => break Some("the operator may not delete it, or an admission policy refuses"),
                Err(_) if Instant::now() + PAUSE >= self.deadline => break Some("the API server gave no clear answer"),
                Err(_) => sleep(PAUSE).await,
            }
            match self.context.cluster.read_state(&place.namespace, &place.state_secret).await {
                StateAnswer::Found(found) if self.owns(&found.state) => stored = *found,
                StateAnswer::Missing => break None,
                StateAnswer::Found(_) | StateAnswer::Malformed(..) => break Some("it was replaced meanwhile"),
                StateAnswer::Denied | StateAnswer::Unclear => {}
            }
        };
        if let Some(why) = why {
            let message = format!("Secret {} is not deleted: {why}. Delete it yourself", place.state_secret);
            return self.tell(true, Reason::CleanupFailed, message).await;
        }
        self.context.kept.remove(&place).await;
        if let Some(claim) = &stored.state.claim {
            self.context.cluster.delete_escrow(&self.context.operator_namespace, &claim.id).await;
        }
        let message = format!("Secret {} is deleted, as deletionPolicy asks", place.state_secret);
        self.tell(false, Reason::StateDeleted, message).await;
    }
}

fn read(provider: &Provider, reply: &crate::provider::Reply, sent: chrono::DateTime<chrono::Utc>) -> Result<(), Failure> {
    provider.read_revocation(reply, sent).map_err(|error| match error.class {
        Class::Transient | Class::Throttled => {
            Failure { again: Some(error.retry_after.unwrap_or_default()), ..Failure::passing(error.to_string()) }
        }
        Class::Configuration | Class::ChainOver | Class::Unknown => Failure::lasting(error.to_string()),
    })
}

fn unusable(why: Unusable) -> Failure {
    match why {
        Unusable::Refused(_, message) => Failure::lasting(message),
        Unusable::Unavailable => Failure::passing("the API server gave no clear answer".to_owned()),
    }
}
