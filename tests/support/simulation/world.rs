//! A cluster, an issuer and replicas of the real operator, in one runtime whose time is paused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use refreshable_token_operator::operator::clock::Clock;
use refreshable_token_operator::operator::metrics::Metrics;
use refreshable_token_operator::operator::transport::TokenCalls;
use refreshable_token_operator::operator::{JournalPlace, Operator, Parts};
use serde_json::{Value, json};
use testbed::fake_cluster::{FakeCluster, Kind as Resource};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::calls::SimulatedCalls;
use super::clock::{Skew, SkewedClock, Time};
use super::control::{Control, ControlPlan};
use super::disk::Disk;
use super::issuer::{IDENTITY, Issuer, Kind};
use super::judge::Judge;
use super::{NAME, NAMESPACE, OPERATOR_NAMESPACE};

/// How long a Pod that died takes to come back. Our choice: a container is back after seconds.
const COMES_BACK: Duration = Duration::from_secs(3);
/// Pause between tries of a process that cannot start.
const RESTART: Duration = Duration::from_secs(2);
/// An operator that has more effects than that never comes to rest. Our choice: the longest runs have some thousands.
const MOST_EFFECTS: usize = 20_000;
/// How often that is looked at, at least. Our choice: an operator that spins is seen before it fills the memory.
const LOOK: Duration = Duration::from_secs(10);

/// What the journal of a Pod does when its process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Journal {
    /// There is none.
    None,
    /// It is there when the process comes back.
    Kept,
    /// It is gone with the process, and the next one has an empty one.
    Lost,
}

/// What a world is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// What the issuer does with used tokens.
    pub kind: Kind,
    /// The journal of each Pod.
    pub journal: Journal,
    /// How long an access token lives, in seconds.
    pub lifetime: i64,
    /// One clock for each replica.
    pub skews: &'static [Skew],
    /// Secrets are watched; otherwise they are asked for by name.
    pub secrets_watch: bool,
}

impl Setup {
    /// One replica with a true clock and a journal that is kept.
    pub const fn of(kind: Kind) -> Self {
        Self { kind, journal: Journal::Kept, lifetime: 600, skews: &[Skew { offset: 0, rate: 1.0 }], secrets_watch: true }
    }

    /// The same with another journal.
    pub const fn with(self, journal: Journal) -> Self {
        Self { journal, ..self }
    }
}

struct Replica {
    skew: Skew,
    disk: Disk,
    lives: u32,
    process: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The world.
pub struct World {
    /// The true time.
    pub time: Time,
    /// The API server.
    pub cluster: FakeCluster,
    /// The issuer and the verdict.
    pub judge: Arc<Judge>,
    /// What goes wrong.
    pub control: Control,
    setup: Setup,
    replicas: BTreeMap<String, Replica>,
    disks: u32,
}

impl World {
    /// A world with a seed and an object, and no replica yet. Call it on a runtime whose time is paused.
    pub fn new(setup: Setup) -> Self {
        let time = Time::begin();
        let cluster = FakeCluster::new(move || time.now());
        for namespace in [NAMESPACE, OPERATOR_NAMESPACE] {
            cluster.create_namespace(namespace);
        }
        let issuer = Issuer::new(setup.kind, chrono::TimeDelta::seconds(setup.lifetime), time.now());
        let mut values = vec![("client_id", "client"), ("client_secret", "secret")];
        if issuer.refreshes() {
            values.push(("refresh_token", issuer.current()));
        }
        match setup.kind {
            Kind::Reissue => {}
            Kind::Created => values.push(("access_token", IDENTITY)),
            _ => values.push(("access_token", issuer.access())),
        }
        let labels = json!({ "refreshabletoken.io/role": "seed" });
        cluster.put(Resource::Secret, FakeCluster::secret(NAMESPACE, "demo-seed", &labels, &values));
        let judge = Judge::new(issuer, &cluster, time);
        cluster.put(Resource::RefreshableToken, object(setup.kind));
        let control = Control::default();
        cluster.follow(ControlPlan(control.clone()));
        Self { time, cluster, judge, control, setup, replicas: BTreeMap::new(), disks: 0 }
    }

    /// Starts all replicas.
    pub fn start(&mut self) {
        for (number, skew) in self.setup.skews.iter().enumerate() {
            let pod = format!("operator-{number}");
            let disk = self.new_disk();
            let replica = self.launch(&pod, 0, *skew, disk);
            self.replicas.insert(pod, replica);
        }
    }

    fn new_disk(&mut self) -> Disk {
        self.disks += 1;
        let disk = Disk::new(&format!("journal-{}", self.disks));
        if self.setup.journal != Journal::None {
            self.judge.add_disk(&disk);
        }
        disk
    }

    fn launch(&self, pod: &str, lives: u32, skew: Skew, disk: Disk) -> Replica {
        let process = format!("{pod}.{lives}");
        let stop = CancellationToken::new();
        let journal = match self.setup.journal {
            Journal::None => None,
            Journal::Kept | Journal::Lost => Some(disk.journal(&process, &self.control, self.setup.journal == Journal::Kept)),
        };
        let calls = SimulatedCalls { process: process.clone(), control: self.control.clone(), judge: Arc::clone(&self.judge) };
        let calls: Arc<dyn TokenCalls> = Arc::new(calls);
        let clock: Arc<dyn Clock> = Arc::new(SkewedClock::new(self.time, skew, &process));
        let secrets_watch = self.setup.secrets_watch;
        let (cluster, name, pod, stopped) = (self.cluster.clone(), process.clone(), pod.to_owned(), stop.clone());
        let task = tokio::spawn(async move {
            loop {
                let parts = Parts {
                    secrets_watch,
                    rollout: true,
                    service_account_tokens: false,
                    client: cluster.client(&name, OPERATOR_NAMESPACE),
                    calls: Arc::clone(&calls),
                    clock: Arc::clone(&clock),
                    journal: journal.clone().map_or(JournalPlace::None, JournalPlace::Store),
                    namespaces: vec![NAMESPACE.to_owned()],
                    operator_namespace: OPERATOR_NAMESPACE.to_owned(),
                    leader_elect: false,
                    shards: 1,
                    max_in_flight: 4,
                    pod: pod.clone(),
                    metrics: Metrics::new(),
                };
                let started = stopped.run_until_cancelled(Operator::assemble(parts)).await;
                match started {
                    None => return,
                    Some(Ok(operator)) => return operator.run(stopped.cancelled_owned()).await,
                    Some(Err(_)) => sleep(RESTART).await,
                }
            }
        });
        Replica { skew, disk, lives, process, stop, task }
    }

    /// Lets time pass, and brings back what dies meanwhile.
    pub async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.until(end, time, |_| false).await;
    }

    /// Lets time pass until it is as wanted, looking that often, or until the end; tells whether it came.
    pub async fn until(&mut self, end: Instant, often: Duration, wanted: impl Fn(&Self) -> bool) -> bool {
        while Instant::now() < end {
            self.clear_away().await;
            if wanted(self) {
                return true;
            }
            let rests = self.control.total() < MOST_EFFECTS;
            assert!(rests, "does not come to rest: {}\n{:#}", self.control.newest(), self.object()["status"]);
            let tick = (Instant::now() + often.min(LOOK)).min(end);
            let changed = Arc::clone(&self.control.changed);
            tokio::select! {
                () = changed.notified() => {}
                () = tokio::time::sleep_until(tick) => {}
            }
        }
        wanted(self)
    }

    /// Ends the processes that were killed, and starts new ones in their place.
    async fn clear_away(&mut self) {
        if self.control.take_stop() {
            self.replicas.values().for_each(|replica| replica.stop.cancel());
        }
        for process in self.control.take_killed() {
            let pod = process.split('.').next().unwrap_or_default().to_owned();
            let Some(dead) = self.replicas.remove(&pod) else { continue };
            dead.task.abort();
            let disk = if self.setup.journal == Journal::Lost {
                self.judge.drop_disk(&dead.disk);
                self.new_disk()
            } else {
                dead.disk
            };
            if self.control.was_holding(&process) && !self.judge.is_held() {
                self.judge.died_holding();
            }
            sleep(COMES_BACK).await;
            let replica = self.launch(&pod, dead.lives + 1, dead.skew, disk);
            self.replicas.insert(pod, replica);
        }
    }

    /// Kills every replica at this moment.
    pub fn kill_all(&self) {
        for replica in self.replicas.values() {
            self.control.kill(&replica.process);
        }
    }

    /// Whether every replica has come to its end.
    pub fn has_ended(&self) -> bool {
        self.replicas.values().all(|replica| replica.task.is_finished())
    }

    /// Starts every replica anew, as after a rollout: with the journal as the setup says.
    pub fn start_again(&mut self) {
        for (pod, old) in std::mem::take(&mut self.replicas) {
            self.control.bury(&old.process);
            let disk = if self.setup.journal == Journal::Lost {
                self.judge.drop_disk(&old.disk);
                self.new_disk()
            } else {
                old.disk
            };
            let replica = self.launch(&pod, old.lives + 1, old.skew, disk);
            self.replicas.insert(pod, replica);
        }
    }

    /// Waits until the first refresh is committed and published, and a little longer.
    pub async fn settle(&mut self) -> bool {
        let end = Instant::now() + Duration::from_secs(120);
        let done = self.until(end, Duration::from_millis(500), |world| world.judge.verdict().healthy).await;
        self.pass(Duration::from_secs(5)).await;
        done
    }

    /// Goes on until just before the next refresh.
    pub async fn until_due(&mut self) {
        let object = self.object();
        let due = object["status"]["nextRefreshTime"].as_str().and_then(|time| chrono::DateTime::parse_from_rfc3339(time).ok());
        let left = due.and_then(|due| (due.to_utc() - self.time.now()).to_std().ok()).unwrap_or_default();
        self.pass(left.saturating_sub(Duration::from_secs(1))).await;
    }

    /// How many entries there are in the journals of all replicas.
    pub fn journal_entries(&self) -> usize {
        self.replicas.values().map(|replica| replica.disk.contents().len()).sum()
    }

    /// The object as it is stored.
    pub fn object(&self) -> Value {
        self.cluster.get(Resource::RefreshableToken, NAMESPACE, NAME).map(|object| Value::clone(&object)).unwrap_or_default()
    }
}

fn object(kind: Kind) -> Value {
    let mut object = json!({
        "metadata": { "name": NAME, "namespace": NAMESPACE },
        "spec": {
            "provider": kind.provider(),
            "credential": { "seedSecretRef": { "name": "demo-seed" } },
            "outputs": [{ "secretName": "demo-token", "opaque": { "accessTokenKey": "access_token" } }],
        },
    });
    if kind == Kind::Created {
        object["spec"]["credential"]["bootstrap"] = "Create".into();
        object["spec"]["recovery"] = json!({ "onLostChain": "Bootstrap" });
    }
    if kind == Kind::Asked {
        object["spec"]["recovery"] = json!({ "verifyBeforePublish": true });
        object["spec"]["refresh"] = json!({ "revokeReplacedAfter": "1m" });
    }
    object
}
