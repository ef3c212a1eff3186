//! How long a token is in memory only: from the answer to the commit's request, which leaves once the journal is durable, and to its answer.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::case::{Case, Options, PATIENCE};
use super::judge::Verdict;
use super::plan::{call_of, commit_of, story};
use super::world::unique;
use crate::proof::{Extent, Row};

/// Refreshes again and again, undisturbed; nothing else runs.
pub async fn run(extent: Extent) -> Row {
    let refreshes = if extent == Extent::Extended { 200 } else { 10 };
    let mut row = Row::new("real binary: answer received -> commit sent -> committed");
    match measure(refreshes).await {
        Ok((sent, committed)) => {
            row.plans = refreshes.try_into().unwrap_or_default();
            row.note = format!("p50/p99 {} -> {}", quantiles(sent), quantiles(committed));
        }
        Err(error) => row.violations.push(format!("{error:#}")),
    }
    row
}

async fn measure(refreshes: usize) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let case = Case::new(&unique("pace"), Options::default()).await?;
    case.start().await?;
    case.apply().await?;
    ensure!(case.settled(1, PATIENCE).await? == Verdict::WentOn, "the first refresh fails\n{}", story(&case));
    let (mut sent, mut committed) = (Vec::new(), Vec::new());
    for refresh in 1..=refreshes {
        case.rest().await;
        case.script.count();
        case.force(&refresh.to_string()).await?;
        let verdict = case.settled(refresh + 1, PATIENCE).await?;
        ensure!(verdict == Verdict::WentOn, "{verdict:?}\n{}", story(&case));
        case.rest().await;
        let course = case.script.course();
        let (call, commit) = (&course[call_of(&course)?], &course[commit_of(&course)?]);
        let answered = call.answered.context("no answer")?;
        sent.push(commit.begun - answered);
        committed.push(commit.answered.context("no answer")? - answered);
    }
    ensure!(case.double_spends() == 0, "spent twice\n{}", story(&case));
    case.close().await;
    Ok((sent, committed))
}

/// Median and 99th percentile in milliseconds.
fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| times.get((times.len().saturating_sub(1)) * percent / 100).copied().unwrap_or_default();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    format!("{:.1}/{:.1} ms", milliseconds(at(50)), milliseconds(at(99)))
}
