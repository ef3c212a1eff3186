//! Many objects of many tenants, and a token API that answers each as its test says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use refreshable_token_operator::operator::metrics::Metrics;
use refreshable_token_operator::operator::transport::{Connection, TokenCalls};
use refreshable_token_operator::operator::{JournalPlace, Operator, Parts};
use refreshable_token_operator::provider::{Delivery, Lost, NotSent, RawBody, Reply, TokenRequest};
use serde_json::{Value, json};
use testbed::fake_cluster::{FakeCluster, Kind as Resource};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::simulation::clock::{Skew, SkewedClock, Time};
use crate::simulation::run::simulate;
use crate::simulation::{NAMESPACE, OPERATOR_NAMESPACE};

/// As many at once as the flag's default allows.
const IN_FLIGHT: usize = 4;
/// As many are worked on at once for each of those, for one token API.
const ABREAST: usize = 8;
/// How long the token API takes. Our choice.
const WAY: Duration = Duration::from_millis(20);
/// A host that takes no connection, and what the names of its objects begin with.
const DEAD: &str = "dead";
/// A host that takes connections and never answers, likewise.
const MUTE: &str = "mute";
/// How long a connection is waited for. Our choice.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer is waited for: the default of `timeouts.request`.
const LONG_PATIENCE: Duration = Duration::from_secs(30);

type Answer = dyn Fn(&str, usize) -> Delivery + Send + Sync;

/// A token API: what it answers is a function of the object's name and of how often that one has asked.
pub struct Api {
    answer: Box<Answer>,
    asked: Mutex<BTreeMap<String, usize>>,
    now: AtomicUsize,
    most: AtomicUsize,
    connecting: AtomicUsize,
    most_connecting: AtomicUsize,
}

impl Api {
    pub fn new(answer: impl Fn(&str, usize) -> Delivery + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            answer: Box::new(answer),
            asked: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            connecting: AtomicUsize::new(0),
            most_connecting: AtomicUsize::new(0),
        })
    }

    /// How often this object's token was presented.
    pub fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    /// Most requests at one time.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// Most exchanges that waited for a connection at one time.
    pub fn most_connecting(&self) -> usize {
        self.most_connecting.load(Ordering::SeqCst)
    }
}

impl TokenCalls for Api {
    fn send<'a>(&'a self, request: &'a TokenRequest, _: &'a Connection) -> BoxFuture<'a, Delivery> {
        async move {
            self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // The object's name stands in the URL.
            let name = request.url.rsplit('/').next().unwrap_or_default();
            let mute = name.starts_with(MUTE);
            sleep(if mute { LONG_PATIENCE } else { WAY }).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            let count = {
                let mut asked = self.asked.lock().unwrap();
                let count = asked.entry(name.to_owned()).or_default();
                *count += 1;
                *count
            };
            if mute { Delivery::Lost { why: Lost::Timeout, partial: None } } else { (self.answer)(name, count) }
        }
        .boxed()
    }

    fn connect<'a>(&'a self, url: &'a str, _: &'a Connection) -> BoxFuture<'a, Result<(), NotSent>> {
        async move {
            self.most_connecting.fetch_max(self.connecting.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let dead = url.contains(DEAD);
            sleep(if dead { PATIENCE } else { WAY }).await;
            self.connecting.fetch_sub(1, Ordering::SeqCst);
            if dead { Err(NotSent::NotConnected) } else { Ok(()) }
        }
        .boxed()
    }
}

/// An answer with this status and body.
pub fn answered(status: u16, body: impl Into<Vec<u8>>) -> Delivery {
    Delivery::Answered(Reply { status, headers: Vec::new(), body: RawBody(body.into()) })
}

/// A new pair.
pub fn granted(name: &str, count: usize) -> Delivery {
    let body = json!({ "access_token": format!("access-{name}-{count}"), "refresh_token": format!("refresh-{name}-{count}"),
        "expires_in": 600 });
    answered(200, body.to_string())
}

/// A cluster with these objects, and an operator at work on it.
pub struct Crowd {
    pub cluster: FakeCluster,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Crowd {
    /// Objects of these names with their seeds, and then the operator.
    pub async fn begin(names: &[String], api: &Arc<Api>) -> Self {
        let time = Time::begin();
        let cluster = FakeCluster::new(move || time.now());
        for namespace in [NAMESPACE, OPERATOR_NAMESPACE] {
            cluster.create_namespace(namespace);
        }
        for name in names {
            create(&cluster, name);
        }
        let calls: Arc<dyn TokenCalls> = Arc::<Api>::clone(api);
        let parts = Parts {
            secrets_watch: true,
            rollout: false,
            service_account_tokens: false,
            client: cluster.client("operator", OPERATOR_NAMESPACE),
            calls,
            clock: Arc::new(SkewedClock::new(time, Skew::default(), "operator")),
            journal: JournalPlace::None,
            namespaces: vec![NAMESPACE.to_owned()],
            operator_namespace: OPERATOR_NAMESPACE.to_owned(),
            leader_elect: false,
            shards: 1,
            max_in_flight: IN_FLIGHT,
            pod: "operator-0".to_owned(),
            metrics: Metrics::new(),
        };
        let operator = Operator::assemble(parts).await.unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { operator.run(stopped.cancelled_owned()).await });
        Self { cluster, stop, task }
    }

    /// Adds an object with its seed.
    pub fn create(&self, name: &str) {
        create(&self.cluster, name);
    }

    /// Lets time pass until it is as wanted; tells whether it came.
    pub async fn until(&self, within: Duration, often: Duration, wanted: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + within;
        while Instant::now() < end && !wanted(self) {
            sleep(often).await;
        }
        wanted(self)
    }

    pub fn status(&self, name: &str) -> Value {
        let object = self.cluster.get(Resource::RefreshableToken, NAMESPACE, name);
        object.map(|object| object["status"].clone()).unwrap_or_default()
    }

    /// The reason of a condition that is true; empty if it is not.
    pub fn says(&self, name: &str, type_: &str) -> String {
        let status = self.status(name);
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        let found = conditions.find(|condition| condition["type"] == type_ && condition["status"] == "True");
        found.and_then(|condition| condition["reason"].as_str()).unwrap_or_default().to_owned()
    }

    pub fn generation(&self, name: &str) -> i64 {
        self.status(name)["chainGeneration"].as_i64().unwrap_or(0)
    }

    pub async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn create(cluster: &FakeCluster, name: &str) {
    let (seed, labels) = (format!("{name}-seed"), json!({ "refreshabletoken.io/role": "seed" }));
    let values = [("refresh_token", name), ("client_id", "client"), ("client_secret", "secret")];
    cluster.put(Resource::Secret, FakeCluster::secret(NAMESPACE, &seed, &labels, &values));
    cluster.put(Resource::RefreshableToken, object(name));
}

fn object(name: &str) -> Value {
    let host = [DEAD, MUTE].into_iter().find(|host| name.starts_with(host)).unwrap_or("issuer");
    json!({
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "provider": { "oauth2": { "tokenURL": format!("https://{host}.example.com/{name}"), "rotation": "Strict" } },
            "credential": { "seedSecretRef": { "name": format!("{name}-seed") } },
            "outputs": [{ "secretName": format!("{name}-token"), "opaque": {} }],
        },
    })
}

#[test]
fn bad_input_65_ten_thousand_objects_at_once_keep_to_the_limit() {
    simulate(async || {
        let names: Vec<String> = (0..10_000).map(|number| format!("t{number}")).collect();
        let api = Api::new(granted);
        let crowd = Crowd::begin(&names, &api).await;
        let all = |crowd: &Crowd| names.iter().all(|name| crowd.generation(name) == 1);
        let done = crowd.until(Duration::from_secs(3600), Duration::from_secs(10), all).await;
        assert!(done, "{} were served", names.iter().filter(|name| crowd.generation(name) == 1).count());
        assert_eq!(api.most(), IN_FLIGHT);
        assert!(api.most_connecting() <= ABREAST * IN_FLIGHT, "{} were worked on at once", api.most_connecting());
        assert!(names.iter().all(|name| api.asked(name) == 1), "each token is presented once");
        crowd.end().await;
    });
}

#[test]
fn a_token_api_that_takes_no_connection_holds_up_nobody_elses_objects() {
    simulate(async || {
        let names: Vec<String> = (0..500).map(|number| format!("{DEAD}{number}")).collect();
        let well: Vec<String> = (0..50).map(|number| format!("well{number}")).collect();
        let api = Api::new(granted);
        let crowd = Crowd::begin(&[names, well.clone()].concat(), &api).await;
        let served = |crowd: &Crowd| well.iter().all(|name| crowd.generation(name) == 1);
        // Less than the first of the others waits for its connection.
        let done = crowd.until(PATIENCE / 2, Duration::from_millis(100), served).await;
        assert!(done, "{} were served", well.iter().filter(|name| crowd.generation(name) == 1).count());
        assert!(api.most_connecting() <= 2 * ABREAST * IN_FLIGHT, "{} were worked on at once", api.most_connecting());
        crowd.end().await;
    });
}

#[test]
fn a_token_api_that_never_answers_holds_up_nobody_elses_objects() {
    simulate(async || {
        let names: Vec<String> = (0..500).map(|number| format!("{MUTE}{number}")).collect();
        let well: Vec<String> = (0..50).map(|number| format!("well{number}")).collect();
        let api = Api::new(granted);
        let crowd = Crowd::begin(&names, &api).await;
        // All places are taken, and hundreds wait for one.
        let full = crowd.until(PATIENCE, Duration::from_millis(100), |_| api.most() == IN_FLIGHT).await;
        assert!(full);
        for name in &well {
            crowd.create(name);
        }
        let served = |crowd: &Crowd| well.iter().all(|name| crowd.generation(name) == 1);
        // Until the first of the others give up. There is work for an hour behind those.
        let done = crowd.until(LONG_PATIENCE + PATIENCE, Duration::from_millis(100), served).await;
        assert!(done, "{} were served", well.iter().filter(|name| crowd.generation(name) == 1).count());
        assert_eq!(api.most(), IN_FLIGHT);
        crowd.end().await;
    });
}
