//! Ten thousand objects that are due at once when the operator starts, as after an outage, with tokens that end one after the other.
//!
//! Their ends are spread over the time that an operator at the goal of the strict path needs for all of them, and begin a quarter of it after
//! the start: who refreshes at that rate, and first what ends first, is late for none.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::time::sleep;

use crate::Setting;
use crate::fleet::Fleet;
use crate::process::Process;
use crate::ratio::{bare, options};
use crate::table::{Goal, MIB, Row, Table, Unit, bytes, number, per_second};
use crate::world::{Way, World};

/// What the chart allows the operator by default, in mebibytes.
const LIMIT: f64 = 256.0;
/// The goal of the strict path as a share of the bare loop.
const GOAL: f64 = 0.6;

/// What a storm came to.
struct Storm {
    /// Share of the objects that were refreshed before their token had ended, in percent.
    in_time: f64,
    /// Seconds from the start of the process to the last call.
    took: f64,
    /// Rank correlation of ends and calls.
    order: f64,
    /// Requests that the API server refused because there were too many (429).
    throttled: f64,
    /// The most resident memory of the process, in mebibytes.
    peak: f64,
    /// How much later than planned it began, in seconds.
    late: f64,
}

/// When the tokens end that are issued now.
#[derive(Clone, Copy)]
struct Plan {
    /// The start of the next storm.
    start: DateTime<Utc>,
    /// How long an operator at its goal needs for all objects.
    through: TimeDelta,
}

impl Plan {
    /// For what follows a storm that begins at `begin`: it may take half as long again as it shall, and everything is to be made due anew.
    fn after(begin: DateTime<Utc>, through: TimeDelta) -> Self {
        Self { start: begin + through * 3 / 2 + TimeDelta::seconds(60), through }
    }

    fn end(&self) -> DateTime<Utc> {
        let share = 0.25 + fastrand::f64();
        let after = Duration::from_secs_f64(self.through.as_seconds_f64() * share);
        TimeDelta::from_std(after).map_or(self.start, |after| self.start + after)
    }
}

/// A storm that nobody measures, whose answers are the tokens of the first one that is; and the others.
pub async fn measure(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let world = World::start(setting, false).await?;
    let rate =
        bare(setting, &world, Way::Strict).await?.rate(setting.pick(Duration::from_secs(15), Duration::from_secs(2))).await?;
    let mut fleet = Fleet::new(&world, Way::Strict, "storm").await?;
    // Nothing but the storm makes them due.
    fleet.refresh = json!({"beforePercent": 1, "jitterPercent": 0});
    let objects = setting.pick(10_000, 40);
    fleet.grow(objects).await?;
    let mut process = Process::start(&world, &options(&world, &[&fleet.namespace], None)?)?;
    fleet.refreshed(1).await?;
    process.at_rest().await?;
    process.stop().await?;

    let through = TimeDelta::from_std(Duration::from_secs_f64(number(objects) / (GOAL * rate))).context("plan the storms")?;
    let (_, mut plan) = storm(&fleet, 2, Plan { start: fleet.issuer().now(), through }).await?;
    let mut storms = Vec::new();
    for run in 1..=setting.runs {
        let (storm, next) = storm(&fleet, run + 2, plan).await?;
        storms.push(storm);
        plan = next;
    }
    print(table, objects, rate, through, &storms);
    drop(fleet);
    world.end()
}

/// Lets all objects be refreshed for the `refreshes`-th time, and plans the next storm.
async fn storm(fleet: &Fleet<'_>, refreshes: usize, plan: Plan) -> anyhow::Result<(Storm, Plan)> {
    let issuer = fleet.issuer();
    fleet.make_due().await?;
    sleep((plan.start - issuer.now()).to_std().unwrap_or_default()).await;
    let (calls, refused) = (fleet.calls(), throttled(fleet.world).await?);
    let begin = issuer.now();
    let next = Plan::after(begin, plan.through);
    let mut process = Process::start(fleet.world, &options(fleet.world, &[&fleet.namespace], None)?)?;
    tokio::select! {
        done = fleet.refreshed(refreshes) => done?,
        () = fleet.end_at(|| next.end()) => {}
    }
    process.at_rest().await?;
    let peak = bytes(process.peak()?) / MIB;
    process.stop().await?;
    let once = fleet.chains(|chain| chain.refreshes).into_iter().all(|done| done == refreshes);
    ensure!(once, "this machine is too slow: tokens ended, and were refreshed again, before the storm was over");
    // The token that was replaced.
    let ends: HashMap<_, _> =
        fleet.chains(|chain| (chain.id, chain.pairs.get(refreshes - 1).and_then(|pair| pair.expires_at))).into_iter().collect();
    let calls = fleet.accepted_since(calls);
    let last = calls.iter().map(|(_, at)| *at).max().context("no call")?;
    let places: Vec<(DateTime<Utc>, DateTime<Utc>)> =
        calls.iter().filter_map(|(chain, at)| Some((ends.get(chain).copied().flatten()?, *at))).collect();
    let in_time = places.iter().filter(|(end, at)| at < end).count();
    let storm = Storm {
        in_time: 100.0 * number(in_time) / number(fleet.len()),
        took: (last - begin).as_seconds_f64(),
        order: correlation(&places),
        throttled: number(throttled(fleet.world).await? - refused),
        peak,
        late: (begin - plan.start).as_seconds_f64(),
    };
    Ok((storm, next))
}

/// Requests that the API server has refused so far because there were too many.
async fn throttled(world: &World) -> anyhow::Result<usize> {
    let counts = world.plane.request_counts().await?;
    let refused: u64 = counts.iter().filter(|(key, _)| key.code == "429").map(|(_, count)| count).sum();
    usize::try_from(refused).context("count the refused requests")
}

/// Spearman's rank correlation: 1 if both are in the same order, 0 if one tells nothing of the other.
fn correlation(places: &[(DateTime<Utc>, DateTime<Utc>)]) -> f64 {
    let ends = ranks(places.iter().map(|(end, _)| *end));
    let calls = ranks(places.iter().map(|(_, call)| *call));
    let squares: f64 = ends.iter().zip(&calls).map(|(end, call)| (end - call) * (end - call)).sum();
    let many = number(places.len());
    1.0 - 6.0 * squares / (many * (many * many - 1.0))
}

/// The place of each time among all, from 0.
fn ranks(times: impl Iterator<Item = DateTime<Utc>>) -> Vec<f64> {
    let mut order: Vec<(DateTime<Utc>, usize)> = times.enumerate().map(|(index, time)| (time, index)).collect();
    order.sort_unstable();
    let mut ranks: Vec<(usize, usize)> = order.into_iter().enumerate().map(|(rank, (_, index))| (index, rank)).collect();
    ranks.sort_unstable();
    ranks.into_iter().map(|(_, rank)| number(rank)).collect()
}

fn print(table: &mut Table, objects: usize, rate: f64, through: TimeDelta, storms: &[Storm]) {
    let of = |ask: fn(&Storm) -> f64| storms.iter().map(ask).collect::<Vec<f64>>();
    let what = |what: &str| format!("storm: {objects} due at once: {what}");
    let paces = storms.iter().map(|storm| per_second(objects, Duration::from_secs_f64(storm.took)) / rate).collect();
    table.row(&Row::new(what("pace as a share of the bare loop"), Unit::Ratio, paces).note("start-up included"));
    let (from, to) = (through.as_seconds_f64() / 4.0, through.as_seconds_f64() * 1.25);
    let latest = of(|storm| storm.late).into_iter().fold(0.0, f64::max);
    let slow = if latest < 1.0 { String::new() } else { format!("; one began {latest:.0} s later, for this machine is slow") };
    let ends = format!("tokens end {from:.0} to {to:.0} s after the start{slow}");
    table.row(&Row::new(what("refreshed before their token had ended"), Unit::Percent, of(|storm| storm.in_time)).note(ends));
    let order = Row::new(what("order of calls against order of ends"), Unit::Ratio, of(|storm| storm.order));
    table.row(&order.note("rank correlation: 1 is first what ends first, 0 is any order"));
    table.row(&Row::new(what("until the last call"), Unit::Seconds, of(|storm| storm.took)));
    table.row(&Row::new(what("most resident memory"), Unit::Mebibytes, of(|storm| storm.peak)).goal(Goal::AtMost(LIMIT)));
    table.row(&Row::new(what("requests refused by the API server (429)"), Unit::Count, of(|storm| storm.throttled)));
}
