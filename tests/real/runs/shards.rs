//! Many objects split over three replicas: each works on its share, one is killed in the middle of its work and again, and the others take
//! over what was its.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch};
use kube::{Api, ResourceExt as _};
use refreshable_token_operator::api::RefreshableToken;
use refreshable_token_operator::operator::leader::LEASE;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::issuer::{Fault, Issuer, Pair, Rotation, Rule};
use testbed::proxy::Signal;
use tokio::time::{Instant, sleep};

use super::case::{self, PATIENCE, user};
use super::judge::{Verdict, stalled};
use super::process::Process;
use super::random::Random;
use super::tally::{Played, Tally};
use super::world::{unique, world};
use crate::proof::{Extent, Row};

const SEED: u64 = 300;
const OBJECTS: usize = 30;
const REPLICAS: usize = 3;
const SHARDS: usize = 6;
/// Pairs of objects that are given one token.
const TWINS: usize = 6;
/// How long the token API takes for an answer, in milliseconds: so that a kill finds something under way.
const ANSWER: u64 = 200;
/// The same where there is more to do than one replica can: all of it would take it much longer than a wanted shard waits (10 s).
const BUSY_ANSWER: u64 = 4000;
/// What a replica says that does not give up a shard.
const KEPT: &str = "kept, though another replica has less to do";
/// So many refreshes of one replica are under way at once (`--max-in-flight`), and no more can be lost with it.
const IN_FLIGHT: u64 = 4;
/// A dead replica's shards are taken within the duration of a Lease (15 s) and a look (2.4 s); the rest is for a busy machine.
const MOVED_WITHIN: Duration = Duration::from_secs(30);
/// A claim of a replica that died is left alone for two minutes by the others (`CLAIM_TTL`).
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(200);

/// Rounds of a kill and a return.
pub async fn run(extent: Extent) -> Row {
    let mut row = Row::new("real binary: objects split over three replicas, SIGKILL");
    row.add_note(&format!("seed {SEED}, {OBJECTS} objects, {SHARDS} shards"));
    let _place = world().idle_place().await;
    let rounds = if extent == Extent::Extended { 12 } else { 2 };
    let mut tally = Tally::new(row);
    let walked = walk(&mut Random::new(SEED), rounds, &mut tally).await;
    let slowest = walked.unwrap_or_else(|error| {
        tally.count("the walk ends", Err(error));
        Duration::ZERO
    });
    let mut row = tally.row();
    let most = rounds * IN_FLIGHT;
    if row.allowed > most {
        row.violations
            .push(format!("{} answers were lost with what was killed: no more than {most} were under way", row.allowed));
    }
    row.add_note(&format!("a dead replica's shards moved after at most {:.1} s", slowest.as_secs_f64()));
    row
}

async fn walk(random: &mut Random, rounds: u64, tally: &mut Tally) -> anyhow::Result<Duration> {
    let mut crowd = Crowd::begin().await?;
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        crowd.balanced().await?;
        crowd.twins(&format!("twin-{round}")).await?;
        let worked = crowd.exchanges();
        crowd.force(&format!("round {round}")).await?;
        sleep(random.milliseconds(6 * ANSWER)).await;
        let victim = usize::try_from(random.below(3)).unwrap_or_default();
        crowd.replicas[victim].signal(Signal::Kill);
        slowest = slowest.max(crowd.moved(victim).await?);
        // What others wait for is in its journal; it is back before they may go on without.
        crowd.replicas[victim].start()?;
        let verdicts = crowd.settled(TAKEN_OVER_WITHIN).await?;
        let now = crowd.exchanges();
        let idle = (0..REPLICAS).any(|replica| replica != victim && now[replica] == worked[replica]);
        ensure!(!idle, "a replica did nothing: {worked:?}, {now:?}");
        let double_spends = crowd.issuer.double_spends();
        for (name, verdict) in verdicts {
            let may_lose = verdict == Verdict::Lost("RefreshOutcomeUnknown".to_owned());
            if may_lose {
                crowd.begin_anew(&name).await?;
            }
            let story = crowd.replicas.iter().map(Process::logs).collect();
            tally.count(format!("round {round}, {name}"), Ok(Played { verdict, double_spends: 0, may_lose, wrong: None, story }));
        }
        ensure!(double_spends == 0, "{double_spends} tokens were spent twice");
    }
    crowd.balanced().await?;
    crowd.new_seeds_without_the_first_shard().await?;
    crowd.shares_while_all_is_busy().await?;
    crowd.force("at the end").await?;
    for (name, verdict) in crowd.settled(PATIENCE).await? {
        ensure!(verdict == Verdict::WentOn, "{name} at the end: {verdict:?}");
    }
    ensure!(crowd.issuer.double_spends() == 0, "tokens were spent twice");
    crowd.replicas.iter().for_each(|replica| replica.signal(Signal::Kill));
    Ok(slowest)
}

impl Crowd {
    /// Every object is given another token while nobody holds the first shard: whoever takes it begins all chains, also of the objects
    /// that it looked after already.
    async fn new_seeds_without_the_first_shard(&mut self) -> anyhow::Result<()> {
        let first = self.holders().await?.remove(LEASE).context("nobody holds the first shard")?;
        let dead = self.replicas.iter().position(|replica| first.starts_with(replica.pod())).context("it is none of these")?;
        self.replicas[dead].signal(Signal::Kill);
        for name in self.pairs.keys().cloned().collect::<Vec<_>>() {
            self.begin_anew(&name).await?;
        }
        self.moved(dead).await?;
        for (name, verdict) in self.settled(PATIENCE).await? {
            ensure!(
                verdict == Verdict::WentOn,
                "{name} with another token: {verdict:?}\n{}",
                self.logs(std::slice::from_ref(&name))
            );
        }
        self.replicas[dead].start()
    }

    /// One replica has more to do than it can, and others come: it gives them their shares, and what waited for its turn waits no longer.
    async fn shares_while_all_is_busy(&mut self) -> anyhow::Result<()> {
        let (busy, others) = (0, 1..REPLICAS);
        for other in others.clone() {
            self.replicas[other].signal(Signal::Kill);
            self.moved(other).await?;
        }
        self.issuer.clear_faults();
        self.issuer.arm(Rule::once(Fault::Delay { before_ms: 0, answer_ms: BUSY_ANSWER }).times(usize::MAX));
        let worked = self.exchanges();
        self.force("more than one can do").await?;
        for other in others.clone() {
            self.replicas[other].start()?;
        }
        for (name, verdict) in self.settled(TAKEN_OVER_WITHIN).await? {
            ensure!(verdict == Verdict::WentOn, "{name} among many: {verdict:?}\n{}", self.logs(std::slice::from_ref(&name)));
        }
        let now = self.exchanges();
        ensure!(
            others.clone().all(|other| now[other] > worked[other]),
            "the others were given nothing to do: {worked:?}, {now:?}"
        );
        ensure!(
            !self.replicas[busy].logs().contains(KEPT),
            "a shard was kept because others of its objects waited for their turn"
        );
        Ok(())
    }
}

struct Crowd {
    // Dropped before what they talk to.
    replicas: Vec<Process>,
    issuer: Issuer,
    namespace: String,
    /// By the object's name, with the generation that each is to come to.
    pairs: BTreeMap<String, (Pair, usize)>,
    folder: TempDir,
}

impl Crowd {
    async fn begin() -> anyhow::Result<Self> {
        let world = world();
        let namespace = unique("shards");
        world.namespace(&namespace).await?;
        let issuer = Issuer::builder().rotation(Rotation::Strict).family_revocation(true).start().await?;
        issuer.arm(Rule::once(Fault::Delay { before_ms: 0, answer_ms: ANSWER }).times(usize::MAX));
        let folder = tempfile::Builder::new().prefix("rtok-shards-").tempdir()?;
        case::write_settings(world, &folder, world.plane.url())?;
        let mut crowd = Self { replicas: Vec::new(), issuer, namespace, pairs: BTreeMap::new(), folder };
        for number in 0..OBJECTS {
            crowd.begin_anew(&format!("object-{number:02}")).await?;
        }
        crowd.replicas = (0..REPLICAS).map(|number| crowd.replica(number)).collect::<anyhow::Result<_>>()?;
        for (name, verdict) in crowd.settled(PATIENCE).await? {
            ensure!(verdict == Verdict::WentOn, "the first refresh of {name}: {verdict:?}");
        }
        Ok(crowd)
    }

    fn replica(&self, number: usize) -> anyhow::Result<Process> {
        let journal = format!("journal-{number}");
        std::fs::create_dir_all(self.folder.path().join(&journal))?;
        let more = vec!["--leader-elect".to_owned(), format!("--shards={SHARDS}"), format!("--journal-dir={journal}")];
        let replica = case::replica(number, &self.namespace, self.folder.path(), more);
        replica.start()?;
        Ok(replica)
    }

    /// A seed with a new pair, and its object.
    async fn begin_anew(&mut self, name: &str) -> anyhow::Result<()> {
        let pair = self.issuer.seed_jfrog_access(name, chrono::TimeDelta::hours(1));
        self.put_seed(name, &pair).await?;
        self.pairs.insert(name.to_owned(), (pair, 1));
        self.put(name, json!({})).await
    }

    async fn put_seed(&self, name: &str, pair: &Pair) -> anyhow::Result<()> {
        let seed = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("{name}-seed"), "labels": {"refreshabletoken.io/role": "seed"}},
            "stringData": {"access_token": pair.access_token, "refresh_token": pair.refresh_token},
        });
        self.secrets().patch(&format!("{name}-seed"), &user(), &Patch::Apply(seed)).await.context("apply a seed")?;
        Ok(())
    }

    /// Gives one token to two objects, of which one begins a chain and the other says why it does not; and then another token to both.
    async fn twins(&self, what: &str) -> anyhow::Result<()> {
        let twins: Vec<[String; 2]> = (0..TWINS).map(|number| ["a", "b"].map(|twin| format!("{what}-{number}{twin}"))).collect();
        for again in [false, true] {
            let pairs: Vec<Pair> = twins
                .iter()
                .map(|[first, _]| self.issuer.seed_jfrog_access(&format!("{first}-{again}"), chrono::TimeDelta::hours(1)))
                .collect();
            let all = twins.iter().zip(&pairs).flat_map(|(names, pair)| names.iter().map(move |name| (name, pair)));
            try_join_all(all.map(|(name, pair)| async move {
                self.put_seed(name, pair).await?;
                if again { Ok(()) } else { self.put(name, json!({})).await }
            }))
            .await?;
            let begun = Instant::now();
            for (names, pair) in twins.iter().zip(&pairs) {
                while self.issuer.presented(pair.refresh()) == 0 || self.reasons(names).await? != ["SeedInUse"] {
                    let reasons = self.reasons(names).await?;
                    ensure!(
                        begun.elapsed() < PATIENCE,
                        "{names:?} with one token, again: {again}, say {reasons:?}; it was presented {} times\n{}",
                        self.issuer.presented(pair.refresh()),
                        self.logs(names)
                    );
                    sleep(Duration::from_millis(200)).await;
                }
            }
            let twice = pairs.iter().filter(|pair| self.issuer.presented(pair.refresh()) != 1).count();
            ensure!(twice == 0 && self.issuer.double_spends() == 0, "{twice} of {TWINS} tokens were presented by two objects");
        }
        for name in twins.iter().flatten() {
            self.objects().delete(name, &DeleteParams::default()).await.context("delete a twin")?;
        }
        Ok(())
    }

    /// What the replicas say of some of these.
    fn logs(&self, names: &[String]) -> String {
        let logs: Vec<String> = self.replicas.iter().map(|replica| format!("{}\n{}", replica.pod(), replica.logs())).collect();
        let about = |line: &&str| line.starts_with("operator-") || names.iter().any(|name| line.contains(name.as_str()));
        logs.iter().flat_map(|log| log.lines().filter(about)).collect::<Vec<_>>().join("\n")
    }

    /// Why some of these wait for a person.
    async fn reasons(&self, names: &[String]) -> anyhow::Result<Vec<String>> {
        let mut reasons = Vec::new();
        for name in names {
            reasons.extend(stalled(&self.objects().get(name).await?));
        }
        Ok(reasons)
    }

    async fn put(&self, name: &str, annotations: Value) -> anyhow::Result<()> {
        let object = json!({
            "apiVersion": "refreshabletoken.io/v1alpha1", "kind": "RefreshableToken",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {
                "provider": {"jfrogAccess": {"url": self.issuer.url()}},
                "request": {"lifetime": "3600s"},
                "refresh": {"retry": {"initialDelay": "1s", "maxDelay": "2s"}},
                "credential": {"seedSecretRef": {"name": format!("{name}-seed")}},
                "outputs": [{"secretName": format!("{name}-token"), "opaque": {}}],
            },
        });
        self.objects().patch(name, &user(), &Patch::Apply(object)).await.context("apply an object")?;
        Ok(())
    }

    /// Asks for one refresh of each object.
    async fn force(&mut self, value: &str) -> anyhow::Result<()> {
        let names: Vec<String> = self.pairs.keys().cloned().collect();
        for name in names {
            self.put(&name, json!({"refreshabletoken.io/refresh-requested-at": value})).await?;
            if let Some((pair, generation)) = self.pairs.get_mut(&name) {
                *generation = self.issuer.newest(pair.chain).map_or(0, |newest| newest.generation).max(*generation) + 1;
            }
        }
        Ok(())
    }

    /// Waits until every chain has come to rest.
    async fn settled(&self, patience: Duration) -> anyhow::Result<Vec<(String, Verdict)>> {
        let begun = Instant::now();
        loop {
            let mut verdicts = self.verdicts().await?;
            let rest = verdicts.iter().all(|(_, verdict)| !matches!(verdict, Verdict::Unclear(_)));
            if rest || begun.elapsed() > patience {
                // A condition may be older than what is under way.
                sleep(Duration::from_secs(1)).await;
                verdicts = self.verdicts().await?;
                if begun.elapsed() > patience || verdicts.iter().all(|(_, verdict)| !matches!(verdict, Verdict::Unclear(_))) {
                    return Ok(verdicts);
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn verdicts(&self) -> anyhow::Result<Vec<(String, Verdict)>> {
        let secrets = self.secrets().list(&ListParams::default()).await.context("list Secrets")?;
        let secrets: BTreeMap<String, Secret> = secrets.into_iter().map(|secret| (secret.name_any(), secret)).collect();
        let objects = self.objects().list(&ListParams::default()).await.context("list objects")?;
        let objects: BTreeMap<String, RefreshableToken> = objects.into_iter().map(|object| (object.name_any(), object)).collect();
        let value = |secret: String, key: &str| {
            let bytes = secrets.get(&secret)?.data.as_ref()?.get(key)?;
            Some(String::from_utf8_lossy(&bytes.0).into_owned())
        };
        let verdict = |(name, (pair, generation)): (&String, &(Pair, usize))| {
            let newest = self.issuer.newest(pair.chain).unwrap_or_else(|| pair.clone());
            let facts = value(format!("{name}-state"), "state.json").unwrap_or_default();
            let facts: Value = serde_json::from_str(&facts).unwrap_or_default();
            let held = value(format!("{name}-state"), "refresh_token") == newest.refresh_token;
            let published = value(format!("{name}-token"), "access_token").as_deref() == Some(newest.access_token.as_str());
            if held && published && facts["claim"].is_null() && newest.generation >= *generation {
                return (name.clone(), Verdict::WentOn);
            }
            match objects.get(name).and_then(stalled) {
                Some(reason) if held => (name.clone(), Verdict::Waits(reason)),
                Some(reason) => (name.clone(), Verdict::Lost(reason)),
                None => (
                    name.clone(),
                    Verdict::Unclear(format!("held {held}, published {published}, {} of {generation}", newest.generation)),
                ),
            }
        };
        Ok(self.pairs.iter().map(verdict).collect())
    }

    /// Waits until each replica has its share.
    async fn balanced(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let holders = self.holders().await?;
            let share = |replica: &Process| holders.values().filter(|holder| holder.starts_with(replica.pod())).count();
            if self.replicas.iter().all(|replica| share(replica) == SHARDS / REPLICAS) {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE + PATIENCE, "the shares do not become equal: {holders:?}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until a dead replica holds nothing; how long that took.
    async fn moved(&self, dead: usize) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        loop {
            let holders = self.holders().await?;
            if holders.values().all(|holder| !holder.starts_with(self.replicas[dead].pod())) {
                return Ok(begun.elapsed());
            }
            ensure!(begun.elapsed() < MOVED_WITHIN, "the shards of a dead replica do not move: {holders:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Who holds each Lease.
    async fn holders(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let leases: Api<Lease> = Api::namespaced(world().client.clone(), &self.namespace);
        let leases = leases.list(&ListParams::default()).await.context("list Leases")?;
        Ok(leases.into_iter().filter_map(|lease| Some((lease.name_any(), lease.spec?.holder_identity?))).collect())
    }

    /// How many exchanges each replica has ended so far.
    fn exchanges(&self) -> Vec<usize> {
        self.replicas.iter().map(|replica| replica.logs().matches("exchange ended").count()).collect()
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(world().client.clone(), &self.namespace)
    }

    fn objects(&self) -> Api<RefreshableToken> {
        Api::namespaced(world().client.clone(), &self.namespace)
    }
}
