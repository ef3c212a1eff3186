//! Two replicas without election, both at work on the same object, and SIGKILL of either at random moments.

use anyhow::ensure;
use testbed::proxy::Signal;
use tokio::time::sleep;

use super::case::{Case, Journal, Options, PATIENCE};
use super::judge::Verdict;
use super::kills::begin_anew;
use super::plan::{died_with_newest, story};
use super::random::Random;
use super::world::{unique, world};
use crate::proof::{Extent, Row};

const SEED: u64 = 200;
/// A refresh takes less, even on a busy machine.
const REFRESH: u64 = 150;

/// Kills again and again.
pub async fn run(extent: Extent) -> Row {
    let rounds = if extent == Extent::Extended { 200 } else { 8 };
    let mut row = Row::new("real binary: two replicas, election off, with SIGKILL");
    row.note = format!("seed {SEED}");
    let _place = world().places.acquire().await;
    if let Err(error) = walk(&mut Random::new(SEED), rounds, &mut row).await {
        row.violations.push(format!("{error:#}"));
    }
    row
}

async fn walk(random: &mut Random, rounds: u64, row: &mut Row) -> anyhow::Result<()> {
    let options = Options { journal: Journal::Kept, replicas: 2, ..Options::default() };
    let mut case = Case::new(&unique("replicas"), options).await?;
    case.start().await?;
    case.apply().await?;
    ensure!(case.settled(1, PATIENCE).await? == Verdict::WentOn, "the first refresh fails\n{}", story(&case));
    for round in 0..rounds {
        let next = case.newest() + 1;
        case.script.count();
        case.force(&round.to_string()).await?;
        sleep(random.milliseconds(REFRESH)).await;
        let victim = if random.below(2) == 0 { &case.replicas[0] } else { &case.replicas[1] };
        victim.signal(Signal::Kill);
        case.start().await?;
        let verdict = case.settled(next, PATIENCE).await?;
        row.plans += 1;
        row.double_spends += case.double_spends();
        ensure!(case.double_spends() == 0, "round {round}: spent twice\n{}", story(&case));
        match verdict {
            Verdict::WentOn => continue,
            Verdict::Lost(_) if died_with_newest(&case).await => row.allowed += 1,
            verdict => anyhow::bail!("round {round}: {verdict:?}\n{}", story(&case)),
        }
        begin_anew(&mut case).await?;
    }
    case.close().await;
    Ok(())
}
