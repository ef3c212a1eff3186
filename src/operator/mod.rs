//! The shell: effects only. What the core decides is done here, against Kubernetes, token APIs, clocks and signals.
//!
//! `reconcile` looks at one object: facts → decision → exchange (`drive`) → report. All requests to Kubernetes are in
//! `cluster`, all calls of token APIs in `transport`, the time is read in `clock` only.

pub mod clock;
pub mod cluster;
mod credential;
mod drive;
pub mod endpoint;
pub mod journal;
pub mod key;
pub mod leader;
mod memory;
pub mod reconcile;
mod rival;
mod run;
pub mod seen;
pub mod telemetry;
pub mod transport;

pub use run::{Operator, Settings, StartError};

use std::sync::{Arc, Mutex, PoisonError};

use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::RefreshableToken;
use crate::token::FingerprintKey;
use clock::Clock;
use cluster::Cluster;
use memory::Memories;
use seen::SeenSecrets;
use transport::Transport;

/// What every look at an object uses.
pub struct Context {
    cluster: Cluster,
    transport: Transport,
    clock: Arc<dyn Clock>,
    seen: SeenSecrets,
    memory: Memories,
    stores: Mutex<Vec<Store<DeserializeGuard<RefreshableToken>>>>,
    /// How many exchanges may run at once: so many tokens are at risk when the process dies.
    in_flight: Arc<Semaphore>,
    /// Exchanges under way; nothing cancels them.
    exchanges: TaskTracker,
    /// The operator is stopping: nothing new is spent.
    stopping: CancellationToken,
    key: FingerprintKey,
    cluster_uid: String,
    pod: String,
    process: String,
}

impl Context {
    /// Every object that the watches hold.
    fn objects(&self) -> Vec<Arc<DeserializeGuard<RefreshableToken>>> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.iter().flat_map(Store::state).collect()
    }
}
