//! The outcome of a call is unknown: the token is not touched while the access token lives, and presented exactly once when it has ended.
//! If the call had not arrived, the chain goes on; if it had, the chain is over and the object says so.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::future::join_all;
use testbed::proxy::{Fault, Moment, Rule, Side, Signal};
use tokio::time::Instant;

use super::case::{Case, NAME, Options, PATIENCE};
use super::judge::{Verdict, stalled};
use super::plan::{Cycle, begin, call_of, story, undisturbed};
use super::world::{unique, world};
use crate::proof::{Extent, Row};

const UNKNOWN: &str = "RefreshOutcomeUnknown";
const CHAIN_LOST: &str = "ChainLost";
/// "Within 5 s": the issue's own figure.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
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
            let _place = world().idle_place().await;
            (fault, play(call, fault).await)
        })
    });
    let (mut healed, mut slowest) = (0, Duration::ZERO);
    for played in join_all(plays).await {
        row.plans += 1;
        match played {
            Ok((_, Ok(healing))) => {
                row.double_spends += healing.double_spends;
                healed += u64::from(healing.went_on);
                row.allowed += u64::from(!healing.went_on);
                slowest = slowest.max(healing.told);
            }
            Ok((fault, Err(error))) => row.violations.push(format!("{fault:?}: {error:#}")),
            Err(error) => row.violations.push(format!("a case broke down: {error}")),
        }
    }
    row.note = format!("{healed} healed; condition, event and metric after at most {} ms", slowest.as_millis());
    row
}

/// What came of a fault.
struct Healing {
    went_on: bool,
    double_spends: u64,
    told: Duration,
}

/// A port below those that the kernel gives to outgoing connections (Linux: 32768 and up): of the many that are made here, one could take a
/// port of that range before the operator does.
fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port);
    std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).take(1000).find_map(free).context("no port is free")
}

async fn play(call: usize, fault: Fault) -> anyhow::Result<Healing> {
    let port = free_port()?;
    let options = Options { lifetime: LIFE, metrics: Some(port), ..Options::default() };
    let case = Case::new(&unique("heal"), options).await?;
    begin(&case, Cycle::Steady, Some(Rule::at(call, fault))).await?;
    if fault.kills() {
        case.operator().end(PATIENCE).await?;
        case.start().await?;
    }
    case.struck().await?;
    let mut slowest = told(&case, port, UNKNOWN).await?;
    let before = case.calls();
    if fault.forwards(Side::TokenApi) {
        let begun = Instant::now();
        while case.calls() == before {
            ensure!(begun.elapsed() < LIFE + PATIENCE, "no late repeat\n{}", story(&case));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slowest = slowest.max(told(&case, port, CHAIN_LOST).await?);
    }
    let verdict = case.settled_beyond(&[UNKNOWN], 2, LIFE + PATIENCE).await?;
    let repeats = case.calls() - before;
    let went_on = match (verdict, fault.forwards(Side::TokenApi)) {
        (Verdict::WentOn, false) => true,
        (Verdict::Lost(reason), true) if reason == CHAIN_LOST => false,
        (verdict, _) => anyhow::bail!("{verdict:?}\n{}", story(&case)),
    };
    if !went_on {
        ensure!(repeats == 1, "presented {repeats} times after the access token had ended\n{}", story(&case));
        tokio::time::sleep(Duration::from_secs(3)).await;
        ensure!(case.calls() == before + 1, "presented again after the chain was over\n{}", story(&case));
    }
    let double_spends = case.double_spends();
    case.close().await;
    Ok(Healing { went_on, double_spends, told: slowest })
}

/// How long it took until condition, event and metric say for this reason that the object stands still.
async fn told(case: &Case, port: u16, why: &str) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    loop {
        let object = case.objects().get(NAME).await?;
        let condition = stalled(&object).is_some_and(|reason| reason == why);
        let event = case.events().await?.iter().any(|reason| reason == why);
        let metric = shown(port, why).await;
        if condition && event && metric {
            return Ok(begun.elapsed());
        }
        ensure!(
            begun.elapsed() < TOLD_WITHIN,
            "{why} within {TOLD_WITHIN:?}: condition {condition}, event {event}, metric {metric}\n{}",
            story(case)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the metrics show it; they cannot be read while the operator starts.
async fn shown(port: u16, why: &str) -> bool {
    let Ok(answer) = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await else { return false };
    let text = answer.text().await.unwrap_or_default();
    let reason = format!("reason=\"{why}\"");
    text.lines().any(|line| line.starts_with("refreshabletoken_stalled{") && line.contains(&reason) && line.ends_with(" 1"))
}
