//! Every request of a refresh under every fault, and under SIGTERM.

use std::time::Duration;

use anyhow::Context as _;
use testbed::proxy::{Fault, Moment, Side, Signal};

use super::case::Journal;
use super::plan::{Cycle, Plan, judge, undisturbed};
use crate::proof::{Extent, Row};

const MOMENTS: [Moment; 3] = [Moment::BeforeForward, Moment::BeforeAnswer, Moment::AfterAnswer];

/// With SIGKILL these are the faults of the reference, section 1.2.
const FAULTS: [Fault; 14] = [
    Fault::Status { code: 409, forward: false },
    Fault::Status { code: 403, forward: false },
    Fault::Status { code: 404, forward: false },
    Fault::Status { code: 422, forward: false },
    Fault::Status { code: 429, forward: false },
    Fault::Status { code: 500, forward: false },
    Fault::Status { code: 503, forward: false },
    Fault::Status { code: 504, forward: true },
    Fault::Drop { forward: true, reset: false },
    Fault::Drop { forward: false, reset: true },
    Fault::Truncate,
    Fault::Delay { forward: Duration::from_millis(300), answer: Duration::from_millis(300) },
    Fault::Hang { forward: true },
    Fault::Hang { forward: false },
];
/// One of so many faults is played at each request in the short extent; SIGKILL always is.
const SHARE: usize = 7;

/// Every request under every fault.
pub async fn faults(extent: Extent) -> Row {
    let row = Row::new("real binary: each request of a refresh x each fault");
    let plans = |cycle, index| {
        let share = move |number: usize| extent == Extent::Extended || number % SHARE == index % SHARE;
        let kills = MOMENTS.map(|moment| Plan::new(cycle, index, Fault::Signal(Signal::Kill, moment)));
        let others = FAULTS.into_iter().enumerate().filter(move |(number, _)| share(*number));
        kills.into_iter().chain(others.map(move |(_, fault)| Plan::new(cycle, index, fault))).collect()
    };
    play(&[Cycle::First, Cycle::Steady], plans, row).await
}

/// Without its journal a claim is left alone for two minutes (`CLAIM_TTL`).
const CLAIM_LEFT_ALONE: Duration = Duration::from_secs(150);

/// SIGKILL at every request, and the next process does not find the journal: what was on its way may be lost, nothing is spent twice.
pub async fn kills_without_journal() -> Row {
    let row = Row::new("real binary: SIGKILL at each request, journal gone");
    let plans = |cycle, index| {
        let kills = MOMENTS.map(|moment| {
            let mut plan = Plan::new(cycle, index, Fault::Signal(Signal::Kill, moment));
            plan.options.journal = if cycle == Cycle::First { Journal::None } else { Journal::Gone };
            (plan.patience, plan.idle) = (CLAIM_LEFT_ALONE, true);
            plan
        });
        kills.into()
    };
    play(&[Cycle::First, Cycle::Steady], plans, row).await
}

/// SIGTERM at every request: the operator finishes what it has begun, ends in time, and the next one goes on.
pub async fn terminations(extent: Extent) -> Row {
    let row = Row::new("real binary: SIGTERM at each request");
    let cycles: &[Cycle] = if extent == Extent::Extended { &[Cycle::First, Cycle::Steady] } else { &[Cycle::Steady] };
    let moments = if extent == Extent::Extended { &MOMENTS[..] } else { &MOMENTS[1..2] };
    let plans =
        |cycle, index| moments.iter().map(|moment| Plan::new(cycle, index, Fault::Signal(Signal::Terminate, *moment))).collect();
    play(cycles, plans, row).await
}

/// Lifetime of the tokens in an outage: it ends while the API server is down.
const SHORT_LIFE: Duration = Duration::from_secs(9);
/// "Committed within 30 s of its return": the issue's own figure.
const COMMITTED_WITHIN: Duration = Duration::from_secs(30);

/// The API server goes down at every request and comes back after the access token has ended.
pub async fn outages(extent: Extent) -> Row {
    let time = if extent == Extent::Extended { Duration::from_secs(600) } else { Duration::from_secs(14) };
    let row = Row::new(&format!("real binary: API server down {} s from each request", time.as_secs()));
    let plans = |cycle, index| {
        let mut plan = Plan::new(cycle, index, Fault::Outage(Side::Kubernetes, time));
        plan.options.lifetime = SHORT_LIFE;
        (plan.patience, plan.idle) = (time + COMMITTED_WITHIN, true);
        vec![plan]
    };
    play(&[Cycle::Steady], plans, row).await
}

async fn play(cycles: &[Cycle], plans: impl Fn(Cycle, usize) -> Vec<Plan>, mut row: Row) -> Row {
    let mut all = Vec::new();
    for cycle in cycles {
        match undisturbed(*cycle).await.and_then(|course| course.last().and_then(|last| last.index).context("no request")) {
            Ok(last) => {
                all.extend((0..=last).flat_map(|index| plans(*cycle, index)));
                row.add_note(&format!("{cycle:?}: {} requests", last + 1));
            }
            Err(error) => row.violations.push(format!("the undisturbed refresh: {error:#}")),
        }
    }
    judge(all, row).await
}
