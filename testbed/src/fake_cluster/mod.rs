//! A Kubernetes API server in memory: a service for `kube::Client`, without sockets, threads or clocks of its own.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! use testbed::fake_cluster::{FakeCluster, Kind};
//!
//! let cluster = FakeCluster::new(|| chrono::DateTime::UNIX_EPOCH);
//! cluster.create_namespace("demo");
//! let client = cluster.client("me", "demo");
//! let request = http::Request::get("/api/v1/namespaces/demo/secrets").body(vec![]).unwrap();
//! let list: serde_json::Value = client.request(request).await.unwrap();
//! assert_eq!(list["kind"], "SecretList");
//! cluster.put(Kind::Secret, FakeCluster::secret("demo", "a", &serde_json::json!({}), &[("key", "value")]));
//! # });
//! ```
//!
//! It serves RefreshableTokens with their status, Secrets, ConfigMaps, Leases, Events, Deployments and (read only) Namespaces, with
//! resourceVersions, UID preconditions, generations, finalizers, field managers, dry runs, selectors, pages and watches. What
//! it does not know it answers with 501, and [`FakeCluster::unknown`] remembers it. The suite `tests/conformance` of the product
//! sends random sequences of requests to this and to a real API server and compares the answers.
//!
//! Where it is simpler than the real one:
//!
//! - Objects are not checked against their schemas, but for the rules in `rules`; unknown fields are kept. Null is kept.
//! - Empty lists, maps and texts are the same as none in built-in kinds. (The real one tells `data: {}` from none where a
//!   Secret is immutable.)
//! - `message` and `details` of a refusal are worded on their own; code and reason are the real ones.
//! - Server-side apply serves Secrets and ConfigMaps. New items of a list come last.
//! - Deletion is in the background; owned objects go when [`FakeCluster::collect_garbage`] is called. Namespaces are not emptied.
//! - Deployments are stored as they come: no defaults, no checks, no controller. They are not part of that comparison.
//! - Everybody may do everything: there is no authorization, admission or quota but what a [`Plan`] refuses.
//! - A page of a list expires with the next write. Lists ignore `resourceVersion`: they show what is there, or what a plan
//!   makes them show.
//!
//! | module | what it holds |
//! |---|---|
//! | `kind` | what is served |
//! | `request`, `selector`, `service` | HTTP in and out |
//! | `store` | objects, the counter, history |
//! | `read`, `write`, `rules`, `watch` | what the verbs do |
//! | `managed`, `typed`, `fields` | field managers and server-side apply |
//! | `plan` | faults |
//! | `hands` | what people do |

mod failure;
mod fields;
mod hands;
mod json;
mod kind;
mod managed;
mod plan;
mod read;
mod request;
mod rules;
mod selector;
mod service;
mod store;
mod typed;
mod watch;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use kube::Client;

pub use failure::Failure;
pub use hands::set_secret_value;
pub use kind::Kind;
pub use plan::{Calm, Effect, EventFate, Fate, Loss, Plan, Seen, SeenEvent};
pub use request::{Request, Verb};

use store::Store;
use watch::Open;

/// Where the time for `creationTimestamp` and its like comes from.
type Clock = Box<dyn Fn() -> DateTime<Utc> + Send>;

/// The API server. Clones are the same one.
#[derive(Clone)]
pub struct FakeCluster {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Mutex<Inner>,
    plan: Mutex<Box<dyn Plan>>,
}

struct Inner {
    store: Store,
    clock: Clock,
    watches: BTreeMap<u64, Open>,
    next_watch: u64,
    uids: u64,
    requests: u64,
    unknown: Vec<String>,
}

impl FakeCluster {
    /// A cluster with the namespace `kube-system` and nothing else, in which nothing goes wrong.
    pub fn new(clock: impl Fn() -> DateTime<Utc> + Send + 'static) -> Self {
        let inner = Inner {
            store: Store::default(),
            clock: Box::new(clock),
            watches: BTreeMap::new(),
            next_watch: 0,
            uids: 0,
            requests: 0,
            unknown: Vec::new(),
        };
        let shared = Shared { inner: Mutex::new(inner), plan: Mutex::new(Box::new(Calm)) };
        let cluster = Self { shared: Arc::new(shared) };
        cluster.create_namespace("kube-system");
        cluster
    }

    /// Puts a plan into force, in place of the one before.
    pub fn follow(&self, plan: impl Plan + 'static) {
        *lock(&self.shared.plan) = Box::new(plan);
    }

    /// A client that plans know by this name. Call it on a runtime.
    #[must_use]
    pub fn client(&self, name: &str, default_namespace: &str) -> Client {
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        let service = tower::service_fn(move |request| service::serve(Arc::clone(&shared), name.clone(), request));
        Client::new(service, default_namespace)
    }

    /// How many requests have come.
    #[must_use]
    pub fn requests(&self) -> u64 {
        lock(&self.shared.inner).requests
    }

    /// The revision of the last write.
    #[must_use]
    pub fn revision(&self) -> u64 {
        lock(&self.shared.inner).store.revision()
    }

    /// What was asked for and is not known here: a test that leaves something in it has proved less than it says.
    #[must_use]
    pub fn unknown(&self) -> Vec<String> {
        lock(&self.shared.inner).unknown.clone()
    }
}

impl fmt::Debug for FakeCluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FakeCluster").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl Inner {
    fn now(&self) -> String {
        (self.clock)().to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// A UID that is the same in every run.
    fn fresh_uid(&mut self) -> String {
        self.uids += 1;
        uuid::Uuid::from_u64_pair(0x4000, self.uids | (1 << 63)).to_string()
    }

    fn count(&mut self) -> u64 {
        self.requests += 1;
        self.requests - 1
    }

    fn note_unknown(&mut self, failure: &Failure) {
        if failure.code == 501 {
            self.unknown.push(failure.message.clone());
        }
    }

    /// Wakes every watch: something was written or cut.
    fn wake(&mut self) {
        for open in self.watches.values_mut() {
            if let Some(waker) = open.waker.take() {
                waker.wake();
            }
        }
    }
}

/// What the mutexes here guard is whole between any two statements, so a panic elsewhere leaves nothing half done.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
