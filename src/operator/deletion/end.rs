//! The end of a chain whose object is deleted: its tokens are revoked, its state Secret and what was kept beside it go.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::ResourceExt as _;
use tokio::time::{Instant, sleep};

use super::tell;
use crate::api::{DeletionPolicy, Reason, RefreshableToken};
use crate::operator::Context;
use crate::operator::cluster::Trouble;
use crate::operator::credential::{self, Unusable, outfit};
use crate::operator::metrics::Operation;
use crate::operator::provider::Resolved;
use crate::operator::transport::Connection;
use crate::provider::{Class, Delivery, NotSent, Provider, RefreshInput, StepResults};
use crate::refresh::exchange::{Memento, StateAnswer, newer_tokens};
use crate::refresh::journal::{Place, escrow_name};
use crate::refresh::state::{Owner, State, StoredState};
use crate::token::{HeldTokens, Login};

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

/// What is left of a chain.
enum Left {
    /// Its state Secret.
    State(Box<StoredState>),
    /// No state Secret; the operator may have kept something all the same.
    NoState,
}

/// What the journal and escrow hold of a chain.
struct Kept {
    /// The newest tokens, if they are newer than those of the state Secret.
    tokens: Option<HeldTokens>,
    /// There may be such tokens, and they cannot be read.
    unclear: bool,
}

/// The end of one chain.
pub(super) struct End<'a> {
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

impl<'a> End<'a> {
    pub(super) fn new(context: &'a Context, object: &'a RefreshableToken) -> Self {
        Self { context, object, deadline: Instant::now() + WITHIN }
    }
}

impl End<'_> {
    pub(super) async fn run(&self) {
        let Some(left) = self.find().await else { return };
        let stored = match left {
            Left::State(stored) => Some(*stored),
            Left::NoState => None,
        };
        let stands = stored.as_ref().map(|stored| &stored.state);
        let claims = self.claims(stands);
        let kept = self.kept(stands, &claims).await;
        let newest = kept.tokens.as_ref().or(stands.map(|state| &state.tokens));
        if let Some(tokens) = newest.filter(|_| self.object.spec.deletion_policy() == DeletionPolicy::Revoke) {
            self.revoke(tokens).await;
        }
        let gone = match stored {
            Some(stored) => self.delete(stored).await,
            None if kept.tokens.is_some() => {
                Some("what was kept of an exchange is deleted, as deletionPolicy asks; the state Secret was gone".to_owned())
            }
            None => None,
        };
        if kept.unclear {
            self.leave(&claims).await;
        } else if gone.is_some() {
            self.forget(&claims).await;
        }
        if let Some(message) = gone {
            self.tell(false, Reason::StateDeleted, message).await;
        }
    }

    /// The claims under which an answer of this chain can be in escrow.
    fn claims(&self, stands: Option<&State>) -> BTreeSet<String> {
        let open = stands.and_then(|state| state.claim.as_ref()).map(|claim| claim.id.clone());
        let marked = self.object.status.as_ref().and_then(|status| status.attempt.as_ref()).map(|attempt| attempt.id.clone());
        open.into_iter().chain(marked).collect()
    }

    /// What was kept because it could not be written into the state Secret, and is newer than what stands there.
    async fn kept(&self, stands: Option<&State>, claims: &BTreeSet<String>) -> Kept {
        let journal = self.context.kept.read(&self.place()).await;
        loop {
            let mut escrows = Vec::new();
            for claim in claims {
                escrows.push(self.context.cluster.read_escrow(&self.context.operator_namespace, claim).await);
            }
            let all = || escrows.iter().chain([&journal]);
            let tokens = all().find_map(|memento| match memento {
                Memento::Entry(entry) if self.owns(&entry.state) => newer_tokens(entry, stands),
                Memento::Entry(_) | Memento::Nothing | Memento::Unclear => None,
            });
            let passing = tokens.is_none() && escrows.contains(&Memento::Unclear);
            if !passing || Instant::now() + PAUSE + TRY >= self.deadline {
                let unclear = tokens.is_none() && all().any(|memento| *memento == Memento::Unclear);
                return Kept { tokens, unclear };
            }
            sleep(PAUSE).await;
        }
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

    /// What is left of the chain, if it is this object's. An exchange that another process has under way gets time to end.
    async fn find(&self) -> Option<Left> {
        let Place { namespace, state_secret } = self.place();
        let begun = Instant::now();
        loop {
            let kept = match self.context.cluster.read_state(&namespace, &state_secret).await {
                StateAnswer::Missing => return Some(Left::NoState),
                StateAnswer::Found(stored) if self.owns(&stored.state) => {
                    let claim = stored.state.claim.as_ref();
                    let others = claim.is_some_and(|claim| claim.process != self.context.process);
                    if !others || begun.elapsed() >= CLAIM_WITHIN {
                        return Some(Left::State(stored));
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

    async fn revoke(&self, tokens: &HeldTokens) {
        let mut pause = PAUSE;
        let mut tries = 1;
        let mut lost = false;
        loop {
            let failure = match self.try_to_revoke(tokens).await {
                Ok(()) => {
                    let message = "the tokens are revoked, as deletionPolicy asks".to_owned();
                    return self.tell(false, Reason::TokenRevoked, message).await;
                }
                Err(failure) => failure,
            };
            lost |= failure.lost;
            let wait = failure.again.map(|asked| asked.max(pause)).filter(|wait| Instant::now() + *wait < self.deadline);
            let Some(wait) = wait.filter(|_| tries < TRIES) else {
                let id = tokens.token_id.as_deref().map(|id| format!(" (token ID {id})")).unwrap_or_default();
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

    async fn try_to_revoke(&self, tokens: &HeldTokens) -> Result<(), Failure> {
        let resolved = self.context.resolve(self.object).await.map_err(unusable)?;
        let provider = Provider::new(resolved.spec.clone(), self.object.spec.request());
        let login = self.login(&resolved).await?;
        let connection = self.connection(&resolved).await?;
        let sent = self.context.clock.now();
        let attempt = self.context.clock.unique_name();
        let input = RefreshInput { held: tokens, login: &login, now: sent, attempt: &attempt, results: &StepResults::default() };
        let Some(request) = provider.revocation(&input) else {
            return Err(Failure::lasting("there is no token, or the provider does not say how to revoke it".to_owned()));
        };
        let request = request.map_err(|error| Failure::lasting(error.to_string()))?;
        let request = request.signed(sent).map_err(|error| Failure::lasting(error.to_string()))?;
        let begun = Instant::now();
        let delivery = self.context.calls.send(&request, &connection).await;
        self.context.metrics.provider_called(provider.name(), Operation::Revoke, &delivery, begun.elapsed());
        match delivery {
            Delivery::Answered(reply) => read(&provider, &reply, sent),
            Delivery::NotSent(
                why @ (NotSent::EndpointNotAllowed | NotSent::CaBundleInvalid | NotSent::ClientCertificateRejected),
            ) => Err(Failure::lasting(why.to_string())),
            Delivery::NotSent(why) => Err(Failure::passing(why.to_string())),
            Delivery::Lost { why, .. } => Err(Failure { lost: true, ..Failure::passing(why.to_string()) }),
        }
    }

    /// What is there of credentials beside the tokens: a seed that is gone may not have been needed.
    async fn login(&self, provider: &Resolved) -> Result<Login, Failure> {
        let reference = &self.object.spec.credential.seed_secret_ref;
        if !credential::needs_login(&provider.spec) {
            return Ok(Login::default());
        }
        let seed = self.secret(&self.place().namespace, &reference.name).await?;
        let client = match provider.spec.client_secret_ref() {
            Some(client) => self.secret(&provider.home, &client.name).await?,
            None => None,
        };
        credential::login(seed.as_ref(), client.as_ref(), &provider.spec, reference).map_err(unusable)
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<k8s_openapi::api::core::v1::Secret>, Failure> {
        match credential::opted_in(&self.context.cluster, namespace, name).await {
            Ok(secret) => Ok(Some(secret)),
            Err(Unusable::Refused(..)) => Ok(None),
            Err(unavailable @ Unusable::Unavailable) => Err(unusable(unavailable)),
        }
    }

    async fn connection(&self, provider: &Resolved) -> Result<Connection, Failure> {
        let outfit = outfit::read(&self.context.cluster, &provider.home, &provider.spec).await.map_err(unusable)?;
        let connection = outfit.on(&provider.connection());
        let request_timeout = connection.request_timeout.min(TRY);
        Ok(Connection { request_timeout, ..connection })
    }

    /// Deletes the state Secret; says that it is gone.
    async fn delete(&self, mut stored: StoredState) -> Option<String> {
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
            self.tell(true, Reason::CleanupFailed, message).await;
            return None;
        }
        Some(format!("Secret {} is deleted, as deletionPolicy asks", place.state_secret))
    }

    /// Says that something may be left which nobody could read.
    async fn leave(&self, claims: &BTreeSet<String>) {
        let secrets: Vec<String> = claims.iter().map(|claim| escrow_name(claim)).collect();
        let message = format!(
            "a newer token may be left in the operator's journal or in its namespace ({}), and cannot be read: revoke it at the token \
             API, and delete what holds it",
            secrets.join(", ")
        );
        self.tell(true, Reason::CleanupFailed, message).await;
    }

    /// Ends what was kept of the chain outside its state Secret.
    async fn forget(&self, claims: &BTreeSet<String>) {
        self.context.kept.remove(&self.place()).await;
        for claim in claims {
            if !self.context.cluster.delete_escrow(&self.context.operator_namespace, claim).await {
                let message =
                    format!("Secret {} of the operator's namespace is not deleted: delete it yourself", escrow_name(claim));
                self.tell(true, Reason::CleanupFailed, message).await;
            }
        }
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
