//! Every request of a refresh under every fault: of the first refresh, whose preflight is the full one, and of a steady one.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use testbed::proxy::{Fault, Moment, Rule, Seen, Side, Signal};

use super::case::{Case, Journal, Options, PATIENCE};
use super::judge::Verdict;
use super::world::world;
use crate::proof::{Extent, Row};

const KILLS: [Fault; 3] = [
    Fault::Signal(Signal::Kill, Moment::BeforeForward),
    Fault::Signal(Signal::Kill, Moment::BeforeAnswer),
    Fault::Signal(Signal::Kill, Moment::AfterAnswer),
];

const OTHERS: [Fault; 14] = [
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

/// Which refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cycle {
    /// The first one of an object.
    First,
    /// A later one.
    Steady,
}

/// One plan.
#[derive(Clone, Copy, Debug)]
struct Cell {
    cycle: Cycle,
    index: usize,
    fault: Fault,
    journal: Journal,
}

/// Runs the plans.
pub async fn run(extent: Extent) -> Row {
    let mut row = Row::new("real binary: every request index x every fault, strict");
    match plans(extent).await {
        Ok((cells, note)) => {
            row.note = note;
            judge_all(cells, &mut row).await;
        }
        Err(error) => row.violations.push(format!("the undisturbed refresh: {error:#}")),
    }
    row
}

async fn judge_all(cells: Vec<Cell>, row: &mut Row) {
    let mut waits: BTreeMap<String, u64> = BTreeMap::new();
    let cases = cells.into_iter().enumerate().map(|(number, cell)| async move {
        let _place = world().places.acquire().await;
        (cell, play(number, cell).await)
    });
    let mut cases: FuturesUnordered<_> = cases.map(tokio::spawn).collect();
    while let Some(ended) = cases.next().await {
        row.plans += 1;
        match ended {
            Ok((cell, Ok(played))) => {
                row.double_spends += played.double_spends;
                match played.verdict {
                    Verdict::WentOn => {}
                    Verdict::Waits(reason) => *waits.entry(reason).or_default() += 1,
                    Verdict::Lost(_) if played.may_lose => row.allowed += 1,
                    Verdict::Lost(reason) => {
                        row.lost += 1;
                        row.violations.push(format!("{cell:?}: lost, {reason}; {}", played.story));
                    }
                    Verdict::Unclear(how) => row.violations.push(format!("{cell:?}: {how}; {}", played.story)),
                }
                if played.double_spends > 0 {
                    row.violations.push(format!("{cell:?}: spent twice; {}", played.story));
                }
            }
            Ok((cell, Err(error))) => row.violations.push(format!("{cell:?}: {error:#}")),
            Err(error) => row.violations.push(format!("a case broke down: {error}")),
        }
    }
    row.note = format!("{}; held and waiting: {waits:?}", row.note);
}

/// Every cell, or the share of the short extent.
async fn plans(extent: Extent) -> anyhow::Result<(Vec<Cell>, String)> {
    let mut cells = Vec::new();
    let mut lengths = Vec::new();
    for cycle in [Cycle::First, Cycle::Steady] {
        let course = undisturbed(cycle).await?;
        lengths.push(course.len());
        for seen in &course {
            let index = seen.index.context("the course is numbered")?;
            let cell = |fault| Cell { cycle, index, fault, journal: Journal::None };
            cells.extend(KILLS.map(cell));
            let share = OTHERS.iter().enumerate().filter(|(number, _)| extent == Extent::Extended || number % 6 == index % 6);
            cells.extend(share.map(|(_, fault)| cell(*fault)));
        }
    }
    Ok((cells, format!("{lengths:?} requests")))
}

/// The course of a refresh without a fault.
async fn undisturbed(cycle: Cycle) -> anyhow::Result<Vec<Seen>> {
    let case = Case::new(&format!("course-{cycle:?}").to_lowercase(), Options::default()).await?;
    begin(&case, cycle, None).await?;
    let verdict = case.settled(generation(cycle), PATIENCE).await?;
    ensure!(verdict == Verdict::WentOn, "{verdict:?}: {}", case.operator().log_end());
    case.rest().await;
    let course = case.script.course();
    case.close().await;
    Ok(course)
}

fn generation(cycle: Cycle) -> usize {
    match cycle {
        Cycle::First => 1,
        Cycle::Steady => 2,
    }
}

/// Brings the case to the beginning of the refresh, and begins it.
async fn begin(case: &Case, cycle: Cycle, rule: Option<Rule>) -> anyhow::Result<()> {
    case.start().await?;
    if cycle == Cycle::Steady {
        case.apply().await?;
        let verdict = case.settled(1, PATIENCE).await?;
        ensure!(verdict == Verdict::WentOn, "{verdict:?}: {}", case.operator().log_end());
    }
    case.rest().await;
    rule.into_iter().for_each(|rule| case.script.arm(rule));
    case.script.count();
    match cycle {
        Cycle::First => case.apply().await,
        Cycle::Steady => case.force("under the fault").await,
    }
}

/// What came of a cell.
struct Played {
    verdict: Verdict,
    double_spends: u64,
    may_lose: bool,
    story: String,
}

async fn play(number: usize, cell: Cell) -> anyhow::Result<Played> {
    let options = Options { journal: cell.journal, ..Options::default() };
    let case = Case::new(&format!("cell-{number}"), options).await?;
    begin(&case, cell.cycle, Some(Rule::at(cell.index, cell.fault))).await?;
    if cell.fault.kills() {
        case.operator().end(PATIENCE).await.context("the fault did not strike")?;
    }
    let may_lose = may_lose(&case, cell);
    case.start().await?;
    let mut verdict = case.settled(generation(cell.cycle), PATIENCE).await?;
    ensure!(case.script.struck(), "the fault did not strike: {:?}", case.script.course());
    if verdict == Verdict::WentOn {
        // It is alive: it can be refreshed again.
        let next = case.newest() + 1;
        case.force("once more").await?;
        verdict = case.settled(next, PATIENCE).await?;
    }
    let played = Played { verdict, double_spends: case.double_spends(), may_lose, story: story(&case) };
    case.close().await;
    Ok(played)
}

/// The cells that the protocol cannot save (reference protocol, fault table): the answer was lost on its way, or it was in the hands of a
/// process that died and left no journal.
fn may_lose(case: &Case, cell: Cell) -> bool {
    let course = case.script.course();
    let struck = course.iter().find(|seen| seen.fault.is_some());
    let at_the_call = struck.is_some_and(|seen| seen.side == Side::TokenApi);
    let delays = matches!(cell.fault, Fault::Delay { .. });
    if at_the_call && cell.fault.forwards() && !delays {
        return true;
    }
    let call = course.iter().position(|seen| seen.side == Side::TokenApi && seen.server_status == Some(200));
    let committed =
        |call: usize| course.iter().skip(call).any(|seen| seen.path.ends_with("-state") && seen.server_status == Some(200));
    cell.fault.kills() && cell.journal != Journal::Kept && call.is_some_and(|call| !committed(call))
}

fn story(case: &Case) -> String {
    let course: Vec<_> = case.script.course().iter().map(ToString::to_string).collect();
    format!("{}\n{}", course.join("\n"), case.operator().logs())
}
