//! A plan: a refresh, what goes wrong in it, and how the operator is started again. Plans are played side by side.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use testbed::proxy::{Fault, Moment, Rule, Seen, Side, Signal};
use tokio::time::Instant;

use super::case::{Case, Journal, Options, PATIENCE};
use super::judge::Verdict;
use super::tally::{Played, Tally};
use super::world::{unique, world};
use crate::proof::Row;

/// What the object may say for a while of a seed that could not be read.
const PASSING: [&str; 2] = ["SeedMissing", "SeedNotAllowed"];

/// Which refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cycle {
    /// The first one of an object, whose preflight is the full one.
    First,
    /// A later one.
    Steady,
}

impl Cycle {
    /// Generation of the pair that it brings.
    pub fn generation(self) -> usize {
        match self {
            Self::First => 1,
            Self::Steady => 2,
        }
    }
}

/// One plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The refresh.
    pub cycle: Cycle,
    /// The request that the fault strikes.
    pub index: usize,
    /// What goes wrong.
    pub fault: Fault,
    /// Lifetime of the tokens, and the journal.
    pub options: Options,
    /// How long the chain may take to come to rest.
    pub patience: Duration,
    /// It waits for most of its time.
    pub idle: bool,
}

impl Plan {
    /// A plan with a journal and with tokens that live long.
    pub fn new(cycle: Cycle, index: usize, fault: Fault) -> Self {
        Self { cycle, index, fault, options: Options::default(), patience: PATIENCE, idle: false }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} refresh, request {}, {:?}, journal {:?}", self.cycle, self.index, self.fault, self.options.journal)
    }
}

/// The course of a refresh without a fault.
pub async fn undisturbed(cycle: Cycle) -> anyhow::Result<Vec<Seen>> {
    let case = Case::new(&unique("course"), Options::default()).await?;
    begin(&case, cycle, None).await?;
    let verdict = case.settled(cycle.generation(), PATIENCE).await?;
    ensure!(verdict == Verdict::WentOn, "{verdict:?}: {}", case.operator().log_end());
    case.rest().await;
    let course = case.script.course();
    case.close().await;
    Ok(course)
}

/// Place of the token call in a course.
pub fn call_of(course: &[Seen]) -> anyhow::Result<usize> {
    course.iter().position(|seen| seen.side == Side::TokenApi).context("no token call in the course")
}

/// Place of the commit in a course.
pub fn commit_of(course: &[Seen]) -> anyhow::Result<usize> {
    let call = call_of(course)?;
    let commit = course.iter().skip(call).position(|seen| seen.path.ends_with("-state") && seen.method == "PUT");
    Ok(call + commit.context("no commit in the course")?)
}

/// Brings a case to the beginning of a refresh, and begins it.
pub async fn begin(case: &Case, cycle: Cycle, rule: Option<Rule>) -> anyhow::Result<()> {
    case.start().await?;
    if cycle == Cycle::Steady {
        case.apply().await?;
        let verdict = case.settled(1, PATIENCE).await?;
        ensure!(verdict == Verdict::WentOn, "{verdict:?}: {}", case.operator().log_end());
    }
    case.rest().await;
    if let Some(rule) = rule {
        case.script.arm(rule);
    }
    case.script.count();
    match cycle {
        Cycle::First => case.apply().await,
        Cycle::Steady => case.force("under the fault").await,
    }
}

/// Plays plans side by side.
pub async fn judge(plans: Vec<Plan>, row: Row) -> Row {
    let mut tally = Tally::new(row);
    let cases = plans.into_iter().map(|plan| async move {
        let _place = if plan.idle { world().idle_place().await } else { world().place().await };
        let played = play(&plan).await;
        (plan, played)
    });
    let mut cases: FuturesUnordered<_> = cases.map(tokio::spawn).collect();
    while let Some(ended) = cases.next().await {
        match ended {
            Ok((plan, played)) => tally.count(plan, played),
            Err(error) => tally.count("a case broke down", Err(error.into())),
        }
    }
    tally.row()
}

async fn play(plan: &Plan) -> anyhow::Result<Played> {
    let case = Case::new(&unique("plan"), plan.options.clone()).await?;
    begin(&case, plan.cycle, Some(Rule::at(plan.index, plan.fault))).await?;
    case.struck().await?;
    let wrong = match plan.fault {
        Fault::Signal(signal, _) => ended(&case, signal).await?,
        _ => None,
    };
    case.start().await?;
    let mut verdict = case.settled_beyond(&PASSING, plan.cycle.generation(), plan.patience).await?;
    let may_lose = may_lose(&case, plan).await;
    if verdict == Verdict::WentOn {
        // It is alive: it can be refreshed again.
        let next = case.newest() + 1;
        case.force("once more").await?;
        // An outage may not be over.
        verdict = case.settled(next, plan.patience.max(PATIENCE)).await?;
    }
    let wrong = wrong.or_else(|| called_in_outage(&case)).or_else(|| waits_for_nothing(&case, plan, &verdict));
    let played = Played { verdict, double_spends: case.double_spends(), may_lose, wrong, story: story(&case) };
    case.close().await;
    Ok(played)
}

/// Waits for the end of the operator, which after SIGTERM must come in time and in order.
async fn ended(case: &Case, signal: Signal) -> anyhow::Result<Option<String>> {
    let status = case.operator().end(PATIENCE).await?;
    Ok((signal == Signal::Terminate && !status.success()).then(|| format!("after SIGTERM it ended with {status}")))
}

/// A token call that was begun while the API server was known to be out of reach.
fn called_in_outage(case: &Case) -> Option<String> {
    let seen = case.script.seen();
    let (begun, time) = seen.iter().find_map(|seen| match seen.fault {
        Some(Fault::Outage(Side::Kubernetes, time)) => Some((seen.begun, time)),
        _ => None,
    })?;
    let within = |at: Instant| at > begun && at < begun + time;
    let call = seen.iter().find(|seen| seen.side == Side::TokenApi && within(seen.begun))?;
    Some(format!("a token call was begun {:?} after the API server had gone: {call}", call.begun - begun))
}

/// With a journal an outcome is unknown only if the call may have left: everything else is known to be unspent, or held.
fn waits_for_nothing(case: &Case, plan: &Plan, verdict: &Verdict) -> Option<String> {
    let Verdict::Waits(reason) = verdict else { return None };
    let course = case.script.course();
    let struck = course.iter().find(|seen| seen.fault.is_some())?;
    // The mark's answer is the last thing before the call.
    let marked = plan.fault == Fault::Signal(Signal::Kill, Moment::AfterAnswer) && struck.path.ends_with("/status");
    let fair = struck.side == Side::TokenApi || marked || plan.options.journal != Journal::Kept;
    (!fair).then(|| format!("it stands still for no reason: {reason}"))
}

/// The plans that the protocol cannot save (reference protocol, fault table): the answer was lost on its way, or the process died with it.
async fn may_lose(case: &Case, plan: &Plan) -> bool {
    if plan.fault.kills() {
        return died_with_newest(case).await;
    }
    let course = case.script.course();
    let at_the_call = course.iter().any(|seen| seen.fault.is_some() && seen.side == Side::TokenApi);
    let answered = matches!(plan.fault, Fault::Delay { .. } | Fault::Outage(..) | Fault::Signal(..));
    at_the_call && plan.fault.forwards(Side::TokenApi) && !answered
}

/// Whether the newest token of the chain was in no place that outlived an operator that died.
pub async fn died_with_newest(case: &Case) -> bool {
    match world().issuer.newest(case.pair.chain) {
        Some(newest) => !case.was_held(newest.refresh()).await,
        None => false,
    }
}

/// Requests and logs.
pub fn story(case: &Case) -> String {
    let course: Vec<_> = case.script.course().iter().map(ToString::to_string).collect();
    let logs: Vec<_> = case.replicas.iter().map(super::process::Process::logs).collect();
    format!("{}\n{}", course.join("\n"), logs.join("\n"))
}
