//! SIGKILL at random moments: of a refresh, and of a start. Several operators walk side by side, each by a seed of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::future::join_all;
use testbed::proxy::Signal;

use super::case::{Case, Journal, Options, PATIENCE};
use super::judge::Verdict;
use super::plan::{died_with_answer, story};
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
    row.note = format!("seeds {SEED}..{}", SEED + WALKERS);
    let walkers = (SEED..SEED + WALKERS).map(|seed| tokio::spawn(walk(seed, rounds)));
    let mut waits = BTreeMap::new();
    for walked in join_all(walkers).await {
        match walked {
            Ok(walked) => {
                row.plans += walked.kills;
                row.double_spends += walked.double_spends;
                row.lost += walked.lost;
                row.allowed += walked.allowed;
                row.violations.extend(walked.violations);
                walked.waits.into_iter().for_each(|reason| *waits.entry(reason).or_insert(0) += 1);
            }
            Err(error) => row.violations.push(format!("a walk broke down: {error}")),
        }
    }
    if !waits.is_empty() {
        row.note.push_str(&format!("; held and waiting: {waits:?}"));
    }
    row
}

/// What came of a walk.
#[derive(Default)]
struct Walked {
    kills: u64,
    double_spends: u64,
    lost: u64,
    allowed: u64,
    waits: Vec<String>,
    violations: Vec<String>,
}

async fn walk(seed: u64, rounds: u64) -> Walked {
    let _place = world().places.acquire().await;
    let mut walked = Walked::default();
    if let Err(error) = try_walk(&mut Random(seed), rounds, &mut walked).await {
        walked.violations.push(format!("seed {seed}: {error:#}"));
    }
    walked
}

async fn try_walk(random: &mut Random, rounds: u64, walked: &mut Walked) -> anyhow::Result<()> {
    let options = Options { journal: Journal::None, ..Options::default() };
    let mut case = Case::new(&unique("walk"), options).await?;
    case.start().await?;
    case.apply().await?;
    ensure!(case.settled(1, PATIENCE).await? == Verdict::WentOn, "the first refresh fails: {}", story(&case));
    for round in 0..rounds {
        let next = case.newest() + 1;
        case.script.count();
        case.force(&round.to_string()).await?;
        tokio::time::sleep(random.milliseconds(REFRESH)).await;
        case.operator().signal(Signal::Kill);
        walked.kills += 1;
        while random.below(STARTS) == 0 {
            case.launch(0)?;
            tokio::time::sleep(random.milliseconds(START)).await;
            case.operator().signal(Signal::Kill);
            walked.kills += 1;
        }
        case.start().await?;
        let verdict = case.settled(next, PATIENCE).await?;
        walked.double_spends += case.double_spends();
        ensure!(case.double_spends() == 0, "round {round}: spent twice\n{}", story(&case));
        match verdict {
            Verdict::WentOn => continue,
            Verdict::Waits(reason) => walked.waits.push(reason),
            Verdict::Lost(_) if died_with_answer(&case) => walked.allowed += 1,
            Verdict::Lost(reason) => {
                walked.lost += 1;
                walked.violations.push(format!("round {round}: lost, {reason}\n{}", story(&case)));
            }
            Verdict::Unclear(how) => walked.violations.push(format!("round {round}: {how}\n{}", story(&case))),
        }
        begin_anew(&mut case).await.with_context(|| format!("round {round}"))?;
    }
    case.close().await;
    Ok(())
}

/// What a person does after a loss: a new pair in the seed.
async fn begin_anew(case: &mut Case) -> anyhow::Result<()> {
    case.pair = world().issuer.seed_jfrog_access(&case.namespace, chrono::TimeDelta::from_std(case.options.lifetime)?);
    case.put_seed(&case.pair).await?;
    let verdict = case.settled_beyond(&["RefreshOutcomeUnknown", "ChainLost"], 1, PATIENCE).await?;
    ensure!(verdict == Verdict::WentOn, "a new seed does not help: {verdict:?}\n{}", story(case));
    Ok(())
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn milliseconds(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}
