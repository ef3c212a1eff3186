//! The start: clients, keys, the journal, and what an earlier process left behind.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::{Api, Client, Config, ResourceExt as _};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::Context;
use super::balance::Balance;
use super::bundles::Bundles;
use super::clock::{Clock, SystemClock};
use super::cluster::{Cluster, Trouble, bounded};
use super::endpoint::EndpointPolicy;
use super::guarded::Guarded;
use super::in_flight::InFlight;
use super::journal::{Journal, JournalError, JournalStore};
use super::kept::{KeptAnswers, replay};
use super::key::{KeyError, keys};
use super::lanes::Lanes;
use super::leader::{Election, Timing};
use super::memory::Memories;
use super::metrics::{Gate, Listener, Metrics};
use super::provider::Providers;
use super::run::{Listening, Operator};
use super::seen::SeenSecrets;
use super::shards::Shards;
use super::transport::{TokenCalls, Transport};
use crate::api::RefreshableToken;
use crate::refresh::journal::Place;

/// How many objects are listed at a time. Our choice: what kube's own watches ask for.
const PAGE: u32 = 500;

/// How long the API server may be silent on a connection. A watch or a list on a dead connection would otherwise last for ever
/// (other requests have a deadline of their own). A little more than the 290 s after which kube's watches end by themselves.
pub const READ_TIMEOUT: Duration = Duration::from_secs(295);

/// How the operator runs.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Settings {
    /// How the API server is reached.
    pub config: Config,
    /// Namespaces to watch; none: all.
    pub namespaces: Vec<String>,
    /// Secrets are listed and watched; otherwise they are asked for by name, at least every five minutes.
    pub secrets_watch: bool,
    /// The workloads of `spec.rollout` are restarted.
    pub rollout: bool,
    /// Tokens of ServiceAccounts are asked for, where an object names one.
    pub service_account_tokens: bool,
    /// Where the operator keeps what is its own; none: the namespace that `config` names.
    pub operator_namespace: Option<String>,
    /// Which addresses may be called.
    pub endpoint_policy: EndpointPolicy,
    /// Folder of the journal; none: there is no journal.
    pub journal_dir: Option<PathBuf>,
    /// A replica works on the objects of the shards whose Leases it holds; otherwise on all.
    pub leader_elect: bool,
    /// Into how many shards the objects are split; with one, one replica works at a time.
    pub shards: u16,
    /// How many exchanges may be in flight at once. With more, token APIs take turns, and of one the token that ends soonest goes first.
    pub max_in_flight: usize,
    /// Name of this replica.
    pub pod: String,
    /// Where metrics and probes are served; none: nowhere.
    pub metrics_addr: Option<SocketAddr>,
    /// `/metrics` is shown only to those whom the API server knows and lets get it.
    pub metrics_auth: bool,
}

/// What an operator is made of: the machine's parts, or those of a simulation.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Parts {
    /// The API server. It must not repeat requests by itself.
    pub client: Client,
    /// The token APIs.
    pub calls: Arc<dyn TokenCalls>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The journal.
    pub journal: JournalPlace,
    /// Namespaces to watch; none: all.
    pub namespaces: Vec<String>,
    /// Secrets are listed and watched; otherwise they are asked for by name, at least every five minutes.
    pub secrets_watch: bool,
    /// The workloads of `spec.rollout` are restarted.
    pub rollout: bool,
    /// Tokens of ServiceAccounts are asked for, where an object names one.
    pub service_account_tokens: bool,
    /// Where the operator keeps what is its own.
    pub operator_namespace: String,
    /// A replica works on the objects of the shards whose Leases it holds; otherwise on all.
    pub leader_elect: bool,
    /// Into how many shards the objects are split; with one, one replica works at a time.
    pub shards: u16,
    /// How many exchanges may be in flight at once. With more, token APIs take turns, and of one the token that ends soonest goes first.
    pub max_in_flight: usize,
    /// Name of this replica.
    pub pod: String,
    /// What is counted, and whether the operator is ready.
    pub metrics: Metrics,
}

/// Where the journal is.
pub enum JournalPlace {
    /// There is none: an answer that is held in memory dies with the process.
    None,
    /// In this folder.
    Folder(PathBuf),
    /// Somewhere else.
    Store(Arc<dyn JournalStore>),
}

/// Why the operator cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The settings for the API server cannot be used.
    #[error("no client for the Kubernetes API server can be made: check --kubeconfig")]
    Client(#[source] kube::Error),
    /// The API server does not answer as it should.
    #[error(
        "the kube-system namespace cannot be read ({0:?}): check that the API server is reachable and allow get of that namespace"
    )]
    Cluster(Trouble),
    /// There is no key for fingerprints.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nobody could see how the operator fares.
    #[error("cannot listen on {0}: choose another address with --metrics-addr")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The kind is not installed.
    #[error("RefreshableToken objects cannot be listed: install the CRDs (kubectl apply -f crds/) and allow list and watch")]
    Kind,
}

impl Operator {
    /// An operator on the machine's own parts.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let mut config = settings.config;
        // A repeated PUT would answer 409 for our own first write; a repeated anything hides how long an outage lasts.
        config.default_retry = false;
        config.read_timeout = Some(READ_TIMEOUT);
        let operator_namespace = settings.operator_namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(StartError::Client)?;
        let metrics = Metrics::new();
        // First, so that the start can be watched.
        let listening = match settings.metrics_addr {
            None => None,
            Some(address) => {
                let cluster = || Cluster::new(client.clone(), Some(settings.pod.clone()), metrics.clone());
                let gate = settings.metrics_auth.then(|| Gate::new(cluster()));
                let refused = |error| StartError::Listen(address, error);
                let listener = Listener::bind(address, metrics.clone(), gate).await.map_err(refused)?;
                let address = listener.address().map_err(refused)?;
                Some(Listening { address, _task: AbortOnDropHandle::new(tokio::spawn(listener.serve())) })
            }
        };
        let operator = Self::assemble(Parts {
            client,
            calls: Arc::new(Transport::new(&settings.endpoint_policy)),
            clock: Arc::new(SystemClock),
            journal: settings.journal_dir.map_or(JournalPlace::None, JournalPlace::Folder),
            namespaces: settings.namespaces,
            secrets_watch: settings.secrets_watch,
            rollout: settings.rollout,
            service_account_tokens: settings.service_account_tokens,
            operator_namespace,
            leader_elect: settings.leader_elect,
            shards: settings.shards,
            max_in_flight: settings.max_in_flight,
            pod: settings.pod,
            metrics,
        })
        .await?;
        Ok(Self { listening, ..operator })
    }

    /// Reads the keys and the cluster's name, opens the journal, and commits what an earlier process kept there.
    pub async fn assemble(parts: Parts) -> Result<Self, StartError> {
        let cluster = Cluster::new(parts.client, Some(parts.pod.clone()), parts.metrics.clone());
        let cluster_uid = cluster.uid().await.map_err(StartError::Cluster)?;
        let keys = keys(&cluster, &parts.operator_namespace).await?;
        let store: Option<Arc<dyn JournalStore>> = match parts.journal {
            JournalPlace::None => None,
            JournalPlace::Folder(path) => Some(Arc::new(Journal::open(&path, keys.journal)?)),
            JournalPlace::Store(store) => Some(store),
        };
        let context = Context {
            cluster,
            calls: parts.calls,
            kept: KeptAnswers::new(store),
            seen: SeenSecrets::default(),
            memory: Arc::new(Memories::default()),
            metrics: parts.metrics.clone(),
            stores: Mutex::default(),
            wakes: Mutex::default(),
            providers: Providers::default(),
            bundles: Bundles::default(),
            shards: Arc::new(Shards::new(if parts.leader_elect { parts.shards } else { 1 }, parts.metrics.clone())),
            looked: Arc::new(Semaphore::new(0)),
            lanes: Arc::new(Lanes::new(parts.max_in_flight, parts.metrics)),
            in_flight: Arc::new(InFlight::new(parts.max_in_flight)),
            exchanges: TaskTracker::new(),
            stopping: CancellationToken::new(),
            key: keys.fingerprint,
            cluster_uid,
            operator_namespace: parts.operator_namespace,
            pod: parts.pod,
            process: parts.clock.unique_name(),
            namespaces: parts.namespaces,
            secrets_watch: parts.secrets_watch,
            rollout: parts.rollout,
            service_account_tokens: parts.service_account_tokens,
            clock: parts.clock,
        };
        context.check_kind().await?;
        let context = Arc::new(context);
        replay(&context).await;
        let elections = parts.leader_elect.then(|| {
            let identity = format!("{}_{}", context.pod, context.process);
            let leases = context.shards.count();
            let balance = Arc::new(Balance::new(&identity, leases, Timing::default()));
            let candidate = |number| {
                let (cluster, clock) = (context.cluster.clone(), Arc::clone(&context.clock));
                Election::of(number, Arc::clone(&balance), cluster, clock, &context.operator_namespace)
            };
            (0..leases).map(candidate).collect()
        });
        Ok(Self { context, elections, listening: None })
    }
}

impl Context {
    async fn check_kind(&self) -> Result<(), StartError> {
        let limit = kube::api::ListParams::default().limit(1);
        for (_, api) in self.apis::<RefreshableToken>() {
            let list = tokio::time::timeout(Duration::from_secs(10), api.list_metadata(&limit)).await;
            if !matches!(list, Ok(Ok(_))) {
                return Err(StartError::Kind);
            }
        }
        Ok(())
    }

    /// The API of a kind for each watched namespace, or for all at once.
    pub(super) fn apis<K>(&self) -> Vec<(Option<String>, Api<K>)>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        let client = || self.cluster.client();
        if self.namespaces.is_empty() {
            return vec![(None, Api::all(client()))];
        }
        self.namespaces.iter().map(|name| (Some(name.clone()), Api::namespaced(client(), name))).collect()
    }

    /// How many refreshes of each object are committed, as far as the API server says.
    pub(super) async fn committed(&self) -> HashMap<Place, i64> {
        let mut committed = HashMap::new();
        // What it does not say is not known.
        let _ = self
            .see_all(|object| {
                let place = Place {
                    namespace: object.namespace().unwrap_or_default(),
                    state_secret: object.spec.state_secret_name(&object.name_any()),
                };
                let generation = object.status.as_ref().and_then(|status| status.chain_generation).unwrap_or(0);
                committed.insert(place, generation);
            })
            .await;
        committed
    }

    /// Asks the API server for all objects; those that do not fit the schema are passed over.
    pub(super) async fn see_all(&self, mut see: impl FnMut(&RefreshableToken)) -> Result<(), Trouble> {
        for (_, api) in self.apis::<Guarded<RefreshableToken>>() {
            let mut params = kube::api::ListParams::default().limit(PAGE);
            loop {
                let page = bounded(api.list(&params)).await?;
                page.items.iter().filter_map(|object| object.0.as_ref().ok()).for_each(&mut see);
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params = params.continue_token(&token),
                    None => break,
                }
            }
        }
        Ok(())
    }
}
