//! What Prometheus is told: counts and durations as they happen, and the gauges of each object from the watches' caches at the
//! moment of the scrape, so that a deleted object is gone from the next one.
//!
//! Nothing here is global: a process has one [`Metrics`], which is handed to whoever records. Labels are closed sets of words,
//! apart from namespace and name of objects; no label is made from a token, a URL or a text of somebody else.

mod auth;
mod exposition;
mod listener;
mod objects;
mod refreshes;
mod words;

use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::runtime::reflector::Store;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

pub use auth::Gate;
pub use exposition::Format;
pub use listener::Listener;
pub(super) use words::CONTROLLER;
pub use words::{Operation, SecretWrite};

use super::cluster::Trouble;
use crate::api::{AttemptState, RefreshableToken, RefreshableTokenStatus};
use crate::operator::guarded::Guarded;
use crate::provider::Delivery;
use crate::refresh::decide::Trigger;
use crate::refresh::exchange::Outcome;
pub use objects::Mine;
use objects::Objects;

/// The prefix of all names.
const PREFIX: &str = "refreshabletoken";

/// Seconds; a token API that takes longer than `timeouts.request` (30 s by default) counts above all of them. Our choice.
const REQUEST_BUCKETS: [f64; 11] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Seconds; a refused commit or output is repeated for minutes. Our choice.
const PROPAGATION_BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0];
/// Seconds; most looks find nothing to do, and an exchange takes as long as its token API. Our choice.
const RECONCILE_BUCKETS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 120.0];

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// A histogram with these upper bounds.
#[derive(Clone)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// The metrics of one operator, and whether it is ready. Clones are the same metrics.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    objects: Arc<Objects>,
    requests: Family<[(&'static str, Cow<'static, str>); 3], Histogram, Buckets>,
    propagation: Histogram,
    reconciliations: Family<Labels<2>, Histogram, Buckets>,
    secret_writes: Family<Labels<2>, Counter>,
    events_dropped: Counter,
    refreshes_waiting: Gauge,
    shards: Gauge,
    shards_configured: Gauge,
    ready: AtomicBool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Debug for Metrics {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics that show nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let mut inner = Inner {
            registry: Registry::with_prefix(PREFIX),
            objects: Arc::default(),
            requests: Family::new_with_constructor(Buckets(&REQUEST_BUCKETS)),
            propagation: Buckets(&PROPAGATION_BUCKETS).new_metric(),
            reconciliations: Family::new_with_constructor(Buckets(&RECONCILE_BUCKETS)),
            secret_writes: Family::default(),
            events_dropped: Counter::default(),
            refreshes_waiting: Gauge::default(),
            shards: Gauge::default(),
            shards_configured: Gauge::default(),
            ready: AtomicBool::new(false),
        };
        inner.register();
        Self { inner: Arc::new(inner) }
    }

    /// The operator works from now on, with these caches, until `over` is cancelled. `mine` says which objects it shows.
    pub fn begin_term(&self, stores: Vec<Store<Guarded<RefreshableToken>>>, mine: Mine, over: CancellationToken) {
        self.inner.objects.begin_term(stores, mine, over);
    }

    /// The work is over: the caches are let go.
    pub fn end_term(&self) {
        self.inner.objects.end_term();
    }

    /// Forgets what was counted for objects that are gone.
    pub fn keep(&self, exists: impl Fn(&str) -> bool) {
        self.inner.objects.refreshes().keep(exists);
    }

    /// The operator has seen what there is, or stands by. It stays ready from then on: an API server that goes away later takes
    /// nothing from it that a restart would give back.
    pub fn set_ready(&self) {
        self.inner.ready.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::set_ready`] was called.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.ready.load(Ordering::Relaxed)
    }

    /// Counts the end of an exchange, if a refresh was what it was about; `status` is what the object said before it.
    pub fn exchange_ended(&self, uid: &str, status: &RefreshableTokenStatus, outcome: &Outcome, trigger: Trigger) {
        let known = status.attempt.as_ref().is_some_and(|attempt| attempt.state == AttemptState::Unknown);
        if let Some(result) = refreshes::result(outcome, trigger, known) {
            self.inner.objects.refreshes().count(uid, result, refreshes::trigger(trigger));
        }
    }

    /// Counts a kept answer of an earlier process that this one has committed.
    pub fn answer_recovered(&self, uid: &str) {
        self.inner.objects.refreshes().count(uid, refreshes::SUCCESS, refreshes::RECOVERY);
    }

    /// A request to a token API has ended like this after this time. `provider` is the name of the API's kind.
    pub fn provider_called(&self, provider: &'static str, operation: Operation, delivery: &Delivery, took: Duration) {
        let labels = [("provider", provider.into()), ("operation", operation.word().into()), ("code", words::code(delivery))];
        self.inner.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A new token stood in its last output so long after it was received.
    pub fn propagated(&self, took: Duration) {
        self.inner.propagation.observe(took.as_secs_f64());
    }

    /// A look at an object has taken so long; a look that broke down is not well.
    pub fn reconciled(&self, well: bool, took: Duration) {
        let labels = [("controller", CONTROLLER), ("result", if well { "success" } else { "error" })];
        self.inner.reconciliations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A write of a Secret has ended, in this trouble or in none.
    pub fn secret_written(&self, write: SecretWrite, trouble: Option<Trouble>) {
        let labels = [("operation", write.word()), ("result", words::result(trouble))];
        self.inner.secret_writes.get_or_create(&labels).inc();
    }

    /// An event could not be published.
    pub fn event_dropped(&self) {
        self.inner.events_dropped.inc();
    }

    /// So many refreshes are due and wait for their turn.
    pub fn waiting(&self, number: usize) {
        set(&self.inner.refreshes_waiting, number);
    }

    /// How many shards there are for all replicas.
    pub fn splits_into(&self, shards: u16) {
        self.inner.shards_configured.set(shards.into());
    }

    /// How many shards this replica holds.
    pub fn holds_shards(&self, number: usize) {
        set(&self.inner.shards, number);
    }

    /// All metrics as they are now.
    #[must_use]
    pub fn text(&self, format: Format) -> String {
        exposition::encode(&self.inner.registry, format)
    }
}

fn set(gauge: &Gauge, number: usize) {
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
}

impl Inner {
    fn register(&mut self) {
        let registry = &mut self.registry;
        let requests = "Time that requests to token APIs took, by the status code of the answer";
        registry.register("provider_request_duration_seconds", requests, self.requests.clone());
        let propagation = "Time from receiving a new token until it stood in the last output Secret";
        registry.register("propagation_delay_seconds", propagation, self.propagation.clone());
        let reconciliations = "Time that looks at objects took; an error is a look that broke down";
        registry.register("reconcile_duration_seconds", reconciliations, self.reconciliations.clone());
        // The encoding adds _total to the names of counters.
        let writes = "Writes of Secrets, dry runs left out";
        registry.register("secret_writes", writes, self.secret_writes.clone());
        registry.register("events_dropped", "Events that could not be published", self.events_dropped.clone());
        let waiting = "Refreshes that are due and wait for a turn at their token API";
        registry.register("refreshes_waiting", waiting, self.refreshes_waiting.clone());
        registry.register("shards", "Shards of the objects that this replica looks after", self.shards.clone());
        let configured = "Shards of the objects that all replicas look after together";
        registry.register("shards_configured", configured, self.shards_configured.clone());
        registry.register_collector(Box::new(Arc::clone(&self.objects)));
    }
}
