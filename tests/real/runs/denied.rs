//! The commit is refused for a while, as by a webhook, a quota, a missing right or an immutable Secret: the answer is safe elsewhere within
//! two seconds, and committed when the refusal ends.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::future::join_all;
use kube::ResourceExt as _;
use kube::api::ListParams;
use testbed::proxy::{Fault, Rule, Side};
use tokio::time::{Instant, sleep};

use super::case::{Case, NAME, Options, PATIENCE};
use super::judge::Verdict;
use super::plan::{Cycle, begin, commit_of, story, undisturbed};
use super::relics::KEY_SECRET;
use super::world::{unique, world};
use crate::proof::{Extent, Row};

/// From the first refusal to the escrow Secret: the issue's own figure.
const ESCROW_WITHIN: Duration = Duration::from_secs(2);

/// Refuses with each status.
pub async fn run(extent: Extent) -> Row {
    let time = if extent == Extent::Extended { Duration::from_secs(900) } else { Duration::from_secs(5) };
    let mut row = Row::new(&format!("real binary: commit denied for {} s", time.as_secs()));
    let commit = match undisturbed(Cycle::Steady).await.and_then(|course| commit_of(&course)) {
        Ok(commit) => commit,
        Err(error) => {
            row.violations.push(format!("the undisturbed refresh: {error:#}"));
            return row;
        }
    };
    let plays = [403, 422].map(|code| {
        tokio::spawn(async move {
            let _place = world().idle_place().await;
            (code, play(commit, code, time).await)
        })
    });
    let mut slowest = Duration::ZERO;
    for played in join_all(plays).await {
        row.plans += 1;
        match played {
            Ok((_, Ok((escrowed, double_spends)))) => {
                row.double_spends += double_spends;
                slowest = slowest.max(escrowed);
            }
            Ok((code, Err(error))) => row.violations.push(format!("{code}: {error:#}")),
            Err(error) => row.violations.push(format!("a case broke down: {error}")),
        }
    }
    row.note = format!("escrow after at most {} ms", slowest.as_millis());
    row
}

/// How long the escrow took, and double spends.
async fn play(commit: usize, code: u16, time: Duration) -> anyhow::Result<(Duration, u64)> {
    let case = Case::new(&unique("denied"), Options::default()).await?;
    let refused = Fault::Status { code, forward: false };
    let rule = Rule::each(refused).side(Side::Kubernetes).on("PUT", &format!("/{NAME}-state")).from(commit);
    begin(&case, Cycle::Steady, Some(rule)).await?;
    case.struck().await?;
    let denied = Instant::now();
    while escrows(&case).await? == 0 {
        ensure!(denied.elapsed() < ESCROW_WITHIN, "no escrow within {ESCROW_WITHIN:?}\n{}", story(&case));
        sleep(Duration::from_millis(10)).await;
    }
    let escrowed = denied.elapsed();
    sleep(time.saturating_sub(escrowed)).await;
    case.script.disarm();
    let verdict = case.settled(2, PATIENCE).await?;
    ensure!(verdict == Verdict::WentOn, "{verdict:?}\n{}", story(&case));
    let begun = Instant::now();
    while escrows(&case).await? > 0 {
        ensure!(begun.elapsed() < PATIENCE, "the escrow stays\n{}", story(&case));
        sleep(Duration::from_millis(50)).await;
    }
    let double_spends = case.double_spends();
    case.close().await;
    Ok((escrowed, double_spends))
}

/// Secrets that are neither the object's nor the key of fingerprints.
async fn escrows(case: &Case) -> anyhow::Result<usize> {
    let secrets = case.secrets().list(&ListParams::default()).await.context("list Secrets")?;
    let known = |name: &str| name.starts_with(&format!("{NAME}-")) || name == KEY_SECRET;
    Ok(secrets.items.into_iter().filter(|secret| !known(&secret.name_any())).count())
}
