//! Two replicas: without election, both at work on the same object, with SIGKILL of either at random moments; and with election, where the
//! leader is killed, or asked to end.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use testbed::proxy::Signal;
use tokio::time::{Instant, sleep};

use super::case::{Case, Options, PATIENCE};
use super::judge::Verdict;
use super::kills::begin_anew;
use super::plan::{died_with_newest, story};
use super::process::Process;
use super::random::Random;
use super::tally::{Played, Tally};
use super::world::{unique, world};
use crate::proof::{Extent, Row};

const SEED: u64 = 200;
/// A refresh takes less, even on a busy machine.
const REFRESH: u64 = 150;
/// Name of the operator's Lease.
const LEASE: &str = "refreshable-token-operator";
/// A claim of a replica that died is left alone for two minutes by the other one (`CLAIM_TTL`), after it has taken the lead.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(180);

/// Both work.
pub async fn without_election(extent: Extent) -> Row {
    let rounds = if extent == Extent::Extended { 200 } else { 8 };
    let mut row = Row::new("real binary: two replicas, election off, with SIGKILL");
    row.add_note(&format!("seed {SEED}"));
    let _place = world().place().await;
    let mut tally = Tally::new(row);
    if let Err(error) = both_work(&mut Random::new(SEED), rounds, &mut tally).await {
        tally.count("the walk ends", Err(error));
    }
    tally.row()
}

async fn both_work(random: &mut Random, rounds: u64, tally: &mut Tally) -> anyhow::Result<()> {
    let mut case = begun(Options { replicas: 2, ..Options::default() }).await?;
    for round in 0..rounds {
        let next = case.newest() + 1;
        case.script.count();
        case.force(&round.to_string()).await?;
        sleep(random.milliseconds(REFRESH)).await;
        let victim = if random.below(2) == 0 { &case.replicas[0] } else { &case.replicas[1] };
        victim.signal(Signal::Kill);
        case.start().await?;
        let verdict = case.settled(next, PATIENCE).await?;
        if !judged(&case, round, verdict, tally).await? {
            begin_anew(&mut case).await?;
        }
    }
    case.close().await;
    Ok(())
}

/// One leads.
pub async fn with_election(extent: Extent) -> Row {
    let mut row = Row::new("real binary: two replicas, --leader-elect, leader ends");
    let _place = world().idle_place().await;
    let rounds = if extent == Extent::Extended { 40 } else { 2 };
    row.add_note(&format!("seed {SEED}"));
    let mut tally = Tally::new(row);
    let led = one_leads(&mut Random::new(SEED), extent, rounds, &mut tally).await;
    let slowest = match led {
        Ok(slowest) => slowest,
        Err(error) => {
            tally.count("the walk ends", Err(error));
            Duration::ZERO
        }
    };
    let mut row = tally.row();
    if extent == Extent::Short {
        row.add_note(&format!("refreshed by the next leader after at most {:.1} s", slowest.as_secs_f64()));
    }
    row
}

async fn one_leads(random: &mut Random, extent: Extent, rounds: u64, tally: &mut Tally) -> anyhow::Result<Duration> {
    let mut slowest = Duration::ZERO;
    let mut case = begun(Options { replicas: 2, elect: true, ..Options::default() }).await?;
    for round in 0..rounds {
        let next = case.newest() + 1;
        let leader = leader(&case).await?;
        case.script.count();
        let signal = if round % 2 == 0 { Signal::Terminate } else { Signal::Kill };
        if extent == Extent::Extended {
            // In the middle of a refresh; what is left then is left to who comes next.
            case.force(&format!("{round}, and it ends")).await?;
            sleep(random.milliseconds(REFRESH)).await;
        }
        leader.signal(signal);
        leader.end(PATIENCE).await?;
        let begun = Instant::now();
        case.force(&round.to_string()).await?;
        let mut verdict = case.settled(next, TAKEN_OVER_WITHIN).await?;
        if extent == Extent::Short {
            slowest = slowest.max(begun.elapsed());
        }
        case.start().await?;
        if matches!(verdict, Verdict::Lost(_) | Verdict::Unclear(_)) {
            // The journal of who died is in nobody else's hands: it commits what it holds when it is back. It may hold nothing.
            verdict = match (verdict, case.settled_beyond(&["RefreshOutcomeUnknown"], next, PATIENCE).await?) {
                (lost @ Verdict::Lost(_), Verdict::Unclear(_)) => lost,
                (_, later) => later,
            };
        }
        if !judged(&case, round, verdict, tally).await? {
            begin_anew(&mut case).await?;
        }
    }
    case.close().await;
    Ok(slowest)
}

async fn begun(options: Options) -> anyhow::Result<Case> {
    let case = Case::new(&unique("replicas"), options).await?;
    case.start().await?;
    case.apply().await?;
    ensure!(case.settled(1, PATIENCE).await? == Verdict::WentOn, "the first refresh fails\n{}", story(&case));
    Ok(case)
}

/// Counts a round; whether the chain went on.
async fn judged(case: &Case, round: u64, verdict: Verdict, tally: &mut Tally) -> anyhow::Result<bool> {
    let double_spends = case.double_spends();
    let went_on = verdict == Verdict::WentOn;
    let may_lose = died_with_newest(case).await;
    tally.count(format!("round {round}"), Ok(Played { verdict, double_spends, may_lose, wrong: None, story: story(case) }));
    ensure!(double_spends == 0, "a token was spent twice");
    Ok(went_on)
}

/// The replica that the Lease names; for a moment after the end of another it may name none.
async fn leader(case: &Case) -> anyhow::Result<&Process> {
    let leases: Api<Lease> = Api::namespaced(world().client.clone(), &case.namespace);
    let begun = Instant::now();
    loop {
        let lease = leases.get(LEASE).await.context("read the Lease")?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
        let names = |replica: &&Process| holder.starts_with(replica.pod());
        if let Some(leader) = case.replicas.iter().find(names) {
            return Ok(leader);
        }
        ensure!(begun.elapsed() < PATIENCE, "no replica is called {holder:?}");
        sleep(Duration::from_millis(100)).await;
    }
}
