//! The outcome of a call is unknown: the token is not touched while the access token lives, and presented exactly once when it has ended.
//! If the call had not arrived, the chain goes on; if it had, the chain is over and the object says so.

use std::time::Duration;

use anyhow::ensure;
use futures::future::join_all;
use testbed::proxy::{Fault, Moment, Rule, Side, Signal};

use super::case::{Case, Options, PATIENCE};
use super::judge::Verdict;
use super::plan::{Cycle, begin, call_of, story, undisturbed};
use super::world::{unique, world};
use crate::proof::{Extent, Row};

/// Long enough for the call to be over before it ends.
const LIFE: Duration = Duration::from_secs(15);

const FAULTS: [Fault; 7] = [
    Fault::Signal(Signal::Kill, Moment::BeforeForward),
    Fault::Signal(Signal::Kill, Moment::BeforeAnswer),
    Fault::Status { code: 503, forward: false },
    Fault::Status { code: 504, forward: true },
    Fault::Drop { forward: false, reset: true },
    Fault::Drop { forward: true, reset: false },
    Fault::Truncate,
];

/// Plays each fault at the token call.
pub async fn run(_: Extent) -> Row {
    let mut row = Row::new("real binary: one late repeat of an unknown outcome");
    let call = match undisturbed(Cycle::Steady).await.and_then(|course| call_of(&course)) {
        Ok(call) => call,
        Err(error) => {
            row.violations.push(format!("the undisturbed refresh: {error:#}"));
            return row;
        }
    };
    let plays = FAULTS.map(|fault| {
        tokio::spawn(async move {
            let _place = world().places.acquire().await;
            (fault, play(call, fault).await)
        })
    });
    let mut healed = 0;
    for played in join_all(plays).await {
        row.plans += 1;
        match played {
            Ok((_, Ok((went_on, double_spends)))) => {
                row.double_spends += double_spends;
                healed += u64::from(went_on);
                row.allowed += u64::from(!went_on);
            }
            Ok((fault, Err(error))) => row.violations.push(format!("{fault:?}: {error:#}")),
            Err(error) => row.violations.push(format!("a case broke down: {error}")),
        }
    }
    row.note = format!("{healed} healed");
    row
}

/// Whether the chain went on, and its double spends.
async fn play(call: usize, fault: Fault) -> anyhow::Result<(bool, u64)> {
    let options = Options { lifetime: LIFE, ..Options::default() };
    let case = Case::new(&unique("heal"), options).await?;
    begin(&case, Cycle::Steady, Some(Rule::at(call, fault))).await?;
    if fault.kills() {
        case.operator().end(PATIENCE).await?;
        case.start().await?;
    }
    let told = case.settled_beyond(&[], 3, PATIENCE).await?;
    let unknown = "RefreshOutcomeUnknown".to_owned();
    ensure!(told == Verdict::Waits(unknown.clone()) || told == Verdict::Lost(unknown), "not told: {told:?}\n{}", story(&case));
    let before = case.calls();
    let verdict = case.settled_beyond(&["RefreshOutcomeUnknown"], 2, LIFE + PATIENCE).await?;
    let repeats = case.calls() - before;
    let went_on = match (verdict, fault.forwards(Side::TokenApi)) {
        (Verdict::WentOn, false) => true,
        (Verdict::Lost(reason), true) if reason == "ChainLost" => false,
        (verdict, _) => anyhow::bail!("{verdict:?}\n{}", story(&case)),
    };
    if !went_on {
        ensure!(repeats == 1, "presented {repeats} times after the access token had ended\n{}", story(&case));
        tokio::time::sleep(Duration::from_secs(3)).await;
        ensure!(case.calls() == before + 1, "presented again after the chain was over\n{}", story(&case));
    }
    let double_spends = case.double_spends();
    case.close().await;
    Ok((went_on, double_spends))
}
