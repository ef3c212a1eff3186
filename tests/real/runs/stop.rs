//! SIGTERM, and SIGTERM again, while the only copy of a token is in memory: the operator ends after the commit and not before.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use testbed::proxy::{Fault, Rule, Side, Signal};
use tokio::time::{Instant, sleep};

use super::case::{Case, Options, PATIENCE};
use super::judge::Verdict;
use super::plan::{Cycle, begin, commit_of, story, undisturbed};
use super::world::{unique, world};
use crate::proof::{Extent, Row};

/// Between two signals.
const PAUSE: Duration = Duration::from_secs(2);

/// Signals again and again while the API server is down.
pub async fn run(extent: Extent) -> Row {
    let time = if extent == Extent::Extended { Duration::from_secs(40) } else { Duration::from_secs(7) };
    let mut row = Row::new("real binary: SIGTERM again with the token in memory only");
    let _place = world().idle_place().await;
    row.plans = 1;
    match try_run(time).await {
        Ok((note, double_spends)) => (row.note, row.double_spends) = (note, double_spends),
        Err(error) => row.violations.push(format!("{error:#}")),
    }
    row
}

async fn try_run(time: Duration) -> anyhow::Result<(String, u64)> {
    let commit = commit_of(&undisturbed(Cycle::Steady).await?)?;
    let case = Case::new(&unique("stop"), Options::default()).await?;
    begin(&case, Cycle::Steady, Some(Rule::at(commit, Fault::Outage(Side::Kubernetes, time)))).await?;
    case.struck().await?;
    let gone = Instant::now();
    let mut signals = 0;
    while gone.elapsed() + PAUSE < time {
        case.operator().signal(Signal::Terminate);
        signals += 1;
        sleep(PAUSE).await;
        let ended = case.operator().ended()?;
        ensure!(ended.is_none(), "{ended:?} after {signals} SIGTERM, and the token is nowhere\n{}", story(&case));
    }
    let status = case.operator().end(PATIENCE).await?;
    let end = gone.elapsed();
    ensure!(status.success(), "it ended with {status}\n{}", story(&case));
    // Nothing is started again: what is held is held by the cluster.
    let held = case.holds_newest().await?;
    ensure!(held, "it ended without a commit\n{}", story(&case));
    case.start().await?;
    let verdict = case.settled(2, PATIENCE).await?;
    ensure!(verdict == Verdict::WentOn, "{verdict:?}\n{}", story(&case));
    let late = end.checked_sub(time).context("it ended before the API server was back")?;
    let double_spends = case.double_spends();
    case.close().await;
    Ok((format!("{signals} signals in {} s; ended {:.1} s after the return", time.as_secs(), late.as_secs_f64()), double_spends))
}
