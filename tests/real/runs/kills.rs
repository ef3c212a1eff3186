//! SIGKILL at random moments: of a refresh, and of a start. Several operators walk side by side, each by a seed of its own.

use anyhow::ensure;
use futures::future::join_all;
use testbed::proxy::Signal;

use super::case::{Case, Options, PATIENCE};
use super::judge::Verdict;
use super::plan::{died_with_newest, story};
use super::random::Random;
use super::tally::{Played, Tally};
use super::world::{unique, world};
use crate::proof::{Extent, Row};

/// The first walker's seed; the others count on from it.
const SEED: u64 = 1;
const WALKERS: u64 = 6;
/// A refresh takes less, even on a busy machine.
const REFRESH: u64 = 120;
/// So does a start.
const START: u64 = 200;
/// One of so many kills is followed by another one while the operator starts.
const STARTS: u64 = 4;

/// Kills and kills again.
pub async fn run(extent: Extent) -> Row {
    let rounds = if extent == Extent::Extended { 100 } else { 4 };
    let mut row = Row::new("real binary: SIGKILL at random moments");
    row.add_note(&format!("{WALKERS} seeds from {SEED}"));
    let mut tally = Tally::new(row);
    let walkers = (0..WALKERS).map(|number| tokio::spawn(walk(SEED + number, rounds)));
    for walked in join_all(walkers).await {
        match walked {
            Ok(walked) => walked.into_iter().for_each(|(plan, played)| tally.count(plan, played)),
            Err(error) => tally.count("a walk broke down", Err(error.into())),
        }
    }
    tally.row()
}

type Walked = Vec<(String, anyhow::Result<Played>)>;

async fn walk(seed: u64, rounds: u64) -> Walked {
    let _place = world().place().await;
    let mut walked = Walked::new();
    if let Err(error) = try_walk(&mut Random::new(seed), rounds, &mut walked).await {
        walked.push((format!("seed {seed}, round {}", walked.len()), Err(error)));
    }
    walked
}

async fn try_walk(random: &mut Random, rounds: u64, walked: &mut Walked) -> anyhow::Result<()> {
    let mut case = Case::new(&unique("walk"), Options::default()).await?;
    case.start().await?;
    case.apply().await?;
    ensure!(case.settled(1, PATIENCE).await? == Verdict::WentOn, "the first refresh fails\n{}", story(&case));
    for round in 0..rounds {
        let next = case.newest() + 1;
        case.script.count();
        case.force(&round.to_string()).await?;
        tokio::time::sleep(random.milliseconds(REFRESH)).await;
        case.operator().signal(Signal::Kill);
        while random.below(STARTS) == 0 {
            case.launch(0).await?;
            tokio::time::sleep(random.milliseconds(START)).await;
            case.operator().signal(Signal::Kill);
        }
        case.start().await?;
        let verdict = case.settled(next, PATIENCE).await?;
        let (double_spends, may_lose) = (case.double_spends(), died_with_newest(&case).await);
        let went_on = verdict == Verdict::WentOn;
        let played = Played { verdict, double_spends, may_lose, wrong: None, story: story(&case) };
        walked.push((format!("{}, round {round}", case.namespace), Ok(played)));
        ensure!(double_spends == 0, "the walk ends");
        if !went_on {
            begin_anew(&mut case).await?;
        }
    }
    case.close().await;
    Ok(())
}

/// What a person does after a loss: a new pair in the seed.
pub async fn begin_anew(case: &mut Case) -> anyhow::Result<()> {
    case.pair = world().issuer.seed_jfrog_access(&case.namespace, chrono::TimeDelta::from_std(case.options.lifetime)?);
    case.put_seed(&case.pair).await?;
    let verdict = case.settled_beyond(&["RefreshOutcomeUnknown", "ChainLost"], 1, PATIENCE).await?;
    ensure!(verdict == Verdict::WentOn, "a new seed does not help: {verdict:?}\n{}", story(case));
    Ok(())
}
