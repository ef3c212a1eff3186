//! Refreshes per second of a token API that takes its time, by one replica and by three that split the objects.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;
use testbed::issuer::{Fault, Rule};
use tokio::time::{Instant, sleep};

use crate::fleet::Fleet;
use crate::process::{Options, Process};
use crate::ratio::options;
use crate::table::{Goal, Row, Table, Unit};
use crate::wave::Waves;
use crate::world::{Way, World};
use crate::{Setting, stage};

/// How long each answer takes, in milliseconds. Our choice: as an API on the internet may; it is what limits a replica, whose refreshes under
/// way are few (`--max-in-flight`).
const ANSWER: u64 = 200;
/// How many shards there are. Our choice: a few times the replicas.
const SHARDS: u16 = 6;
/// How many replicas are compared with one.
const REPLICAS: usize = 3;
/// How long it may take until each replica has its share.
const PATIENCE: Duration = Duration::from_secs(120);

/// One replica, then three.
pub async fn measure(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let world = World::start(setting, false).await?;
    world.issuer(Way::Strict).arm(Rule::once(Fault::Delay { before_ms: 0, answer_ms: ANSWER }).times(usize::MAX));
    let one = rates(setting, &world, 1).await?;
    let three = rates(setting, &world, REPLICAS).await?;
    let ratios = three.iter().zip(&one).map(|(three, one)| three / one).collect();
    let note = format!("{SHARDS} shards, answers after {ANSWER} ms");
    table.row(&Row::new("shards: three replicas, times one", Unit::Ratio, ratios).goal(Goal::AtLeast(2.0)).note(note));
    table.row(&Row::new("shards: one replica", Unit::PerSecond, one));
    table.row(&Row::new("shards: three replicas", Unit::PerSecond, three));
    world.end()
}

async fn rates(setting: &Setting, world: &World, replicas: usize) -> anyhow::Result<Vec<f64>> {
    let name = format!("by-{replicas}");
    let mut fleet = Fleet::new(world, Way::Strict, &name).await?;
    fleet.grow(setting.pick(300, 24)).await?;
    let options = |replica| anyhow::Ok(Options { shards: Some(SHARDS), replica, ..options(world, &[&name], None)? });
    let mut waves = Waves::begin(setting, &fleet, &options(0)?).await?;
    let others = (1..replicas).map(|replica| Process::start(world, &options(replica)?)).collect::<anyhow::Result<Vec<_>>>()?;
    balanced(world, replicas).await?;
    let mut rates = Vec::new();
    for _ in 0..setting.runs {
        rates.push(waves.next().await?.rate);
    }
    waves.end().await?;
    for other in others {
        other.stop().await?;
    }
    Ok(rates)
}

/// Waits until each replica holds as many shards as the others.
async fn balanced(world: &World, replicas: usize) -> anyhow::Result<()> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), stage::OPERATOR_NAMESPACE);
    let begun = Instant::now();
    loop {
        let mut shares: BTreeMap<String, usize> = BTreeMap::new();
        for lease in leases.list(&ListParams::default()).await.context("list Leases")? {
            let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
            *shares.entry(holder).or_default() += 1;
        }
        if shares.len() == replicas && shares.values().all(|share| *share == usize::from(SHARDS) / replicas) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "the shares do not become equal: {shares:?}");
        sleep(Duration::from_millis(500)).await;
    }
}
