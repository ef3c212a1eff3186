//! The shell: effects only. What the core decides is done here, against Kubernetes, token APIs, clocks and signals.
//!
//! `reconcile` looks at one object: facts → decision → exchange (`drive`) → report. All requests to Kubernetes are in
//! `cluster`, all calls of token APIs in `transport`, the time is read in `clock` only.

pub mod balance;
mod bundles;
pub mod check;
pub mod clock;
pub mod cluster;
mod credential;
mod deletion;
mod drive;
pub mod endpoint;
mod gate;
pub mod guarded;
mod in_flight;
pub mod journal;
mod kept;
pub mod key;
mod lanes;
pub mod leader;
mod memory;
pub mod metrics;
mod poll;
pub mod process;
mod provider;
pub mod reconcile;
mod rival;
mod rollout;
mod run;
pub mod seen;
mod shards;
mod start;
pub mod telemetry;
pub mod transport;
mod unwritten;
mod watch;

pub use run::Operator;
pub use start::{JournalPlace, Parts, READ_TIMEOUT, Settings, StartError};

use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::RefreshableToken;
use crate::token::FingerprintKey;
use bundles::Bundles;
use clock::Clock;
use cluster::Cluster;
use guarded::Guarded;
use in_flight::InFlight;
use kept::KeptAnswers;
use lanes::Lanes;
use memory::Memories;
use metrics::Metrics;
use provider::Providers;
use seen::SeenSecrets;
use shards::Shards;
use transport::TokenCalls;

/// A watched namespace, none for all, and where its controller can be told to look at an object.
type Wake = (Option<String>, mpsc::UnboundedSender<ObjectRef<Guarded<RefreshableToken>>>);

/// What every look at an object uses.
pub struct Context {
    cluster: Cluster,
    calls: Arc<dyn TokenCalls>,
    clock: Arc<dyn Clock>,
    kept: KeptAnswers,
    seen: SeenSecrets,
    memory: Arc<Memories>,
    metrics: Metrics,
    stores: Mutex<Vec<Store<Guarded<RefreshableToken>>>>,
    /// Where a controller can be told to look at an object: of each watched namespace, or of all at once.
    wakes: Mutex<Vec<Wake>>,
    providers: Providers,
    bundles: Bundles,
    /// Which objects this replica looks after.
    shards: Arc<Shards>,
    /// Counts looks that have ended.
    looked: Arc<Semaphore>,
    /// In front of the exchanges that are worked on.
    lanes: Arc<Lanes>,
    /// How many exchanges may be in flight at once: so many tokens are at risk when the process dies.
    in_flight: Arc<InFlight>,
    /// Exchanges under way; nothing cancels them.
    exchanges: TaskTracker,
    /// The operator is stopping or has no shard any more: nothing new is spent.
    stopping: CancellationToken,
    key: FingerprintKey,
    cluster_uid: String,
    operator_namespace: String,
    /// Namespaces to watch; none: all.
    namespaces: Vec<String>,
    /// Secrets are listed and watched; otherwise they are asked for by name.
    secrets_watch: bool,
    /// Workloads may be restarted.
    rollout: bool,
    /// Tokens of ServiceAccounts may be asked for.
    service_account_tokens: bool,
    pod: String,
    process: String,
}

impl Context {
    /// The same process in a term of its own: with watches that begin anew, and with what it remembers.
    fn term(&self, stopping: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            cluster: self.cluster.clone(),
            calls: Arc::clone(&self.calls),
            clock: Arc::clone(&self.clock),
            kept: self.kept.clone(),
            seen: SeenSecrets::default(),
            memory: Arc::clone(&self.memory),
            metrics: self.metrics.clone(),
            stores: Mutex::default(),
            wakes: Mutex::default(),
            providers: Providers::default(),
            bundles: Bundles::default(),
            shards: Arc::clone(&self.shards),
            looked: Arc::new(Semaphore::new(0)),
            lanes: Arc::clone(&self.lanes),
            in_flight: Arc::clone(&self.in_flight),
            exchanges: self.exchanges.clone(),
            stopping,
            key: self.key.clone(),
            cluster_uid: self.cluster_uid.clone(),
            operator_namespace: self.operator_namespace.clone(),
            namespaces: self.namespaces.clone(),
            secrets_watch: self.secrets_watch,
            rollout: self.rollout,
            service_account_tokens: self.service_account_tokens,
            pod: self.pod.clone(),
            process: self.process.clone(),
        })
    }

    /// Has an object looked at.
    fn wake(&self, object: ObjectRef<Guarded<RefreshableToken>>) {
        let wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |(scope, _): &&Wake| scope.is_none() || *scope == object.namespace;
        if let Some((_, wake)) = wakes.iter().find(fits) {
            // The receiver is gone only while the operator stops.
            let _ = wake.send(object);
        }
    }

    /// An object as the watches hold it.
    fn object(&self, reference: &ObjectRef<Guarded<RefreshableToken>>) -> Option<Arc<Guarded<RefreshableToken>>> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.iter().find_map(|store| store.get(reference))
    }

    /// Every object that the watches hold.
    fn objects(&self) -> Vec<Arc<Guarded<RefreshableToken>>> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.iter().flat_map(Store::state).collect()
    }
}
