//! Objects that have nothing to do: what they cost while they wait, and what a restart costs with so many of them.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::sleep;

use crate::Setting;
use crate::fleet::Fleet;
use crate::plot::Point;
use crate::process::{Options, Process};
use crate::table::{Goal, MIB, Row, Table, Unit, bytes, median, number, per_second};
use crate::world::{OPERATOR, Way, World};

/// Each object is looked at once in five minutes, whatever happens. One run waits for longer than that.
const LONG: Duration = Duration::from_secs(330);

/// What was measured with one number of objects, a value for each run.
#[derive(Default)]
struct Measured {
    resident: Vec<f64>,
    peak: Vec<f64>,
    started: Vec<f64>,
    requests: Vec<f64>,
    watches: Vec<f64>,
    calls: Vec<f64>,
}

/// Requests of the operator so far.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// Watches and what is about the Lease.
    standing: usize,
    other: usize,
}

/// Ever more objects.
pub async fn measure(setting: &Setting, table: &mut Table, growth: &mut Vec<Point>) -> anyhow::Result<()> {
    let world = World::start(setting, true).await?;
    let mut fleet = Fleet::new(&world, Way::Strict, "idle").await?;
    let sizes = setting.pick(vec![100, 1000, 10_000], vec![10, 20]);
    let largest = sizes.last().copied().unwrap_or_default();
    for objects in sizes {
        let worked = fill(&mut fleet, objects).await?;
        let mut measured = Measured::default();
        for run in 1..=setting.runs {
            let long = run == setting.runs && objects == largest;
            let window = setting.pick(if long { LONG } else { Duration::from_secs(30) }, Duration::from_secs(3));
            restart(&fleet, window, &mut measured).await?;
        }
        growth.extend(Point::of(objects, median(&measured.resident), median(&measured.started)));
        print(table, objects, objects == largest, worked, measured);
    }
    drop(fleet);
    world.end()
}

/// As the chart starts it.
fn options(world: &World) -> anyhow::Result<Options<'static>> {
    Ok(Options {
        kubeconfig: world.kubeconfig()?.to_owned(),
        namespaces: Vec::new(),
        elect: true,
        shards: None,
        replica: 0,
        in_flight: None,
    })
}

/// Adds objects and lets an operator refresh each once; gives the resident memory of the process that did.
async fn fill(fleet: &mut Fleet<'_>, objects: usize) -> anyhow::Result<f64> {
    let mut process = Process::start(fleet.world, &options(fleet.world)?)?;
    fleet.grow(objects).await?;
    fleet.refreshed(1).await?;
    process.at_rest().await?;
    let worked = bytes(process.resident()?) / MIB;
    process.stop().await?;
    Ok(worked)
}

/// One start, and a time in which nothing shall happen.
async fn restart(fleet: &Fleet<'_>, window: Duration, measured: &mut Measured) -> anyhow::Result<()> {
    let calls = fleet.calls();
    let mut process = Process::start(fleet.world, &options(fleet.world)?)?;
    let started = process.at_rest().await?;
    let before = asked(fleet.world)?;
    sleep(window).await;
    let after = asked(fleet.world)?;
    // Memory first: who is asked for metrics writes megabytes of them.
    measured.resident.push(bytes(process.resident()?) / MIB);
    measured.peak.push(bytes(process.peak()?) / MIB);
    let looks = process.looks().await?;
    ensure!(looks >= fleet.len(), "it came to rest after {looks} looks at {} objects", fleet.len());
    process.stop().await?;
    measured.started.push(started.as_secs_f64());
    measured.requests.push(per_second(after.other - before.other, window));
    measured.watches.push(per_second(after.standing - before.standing, window));
    measured.calls.push(number(fleet.calls() - calls));
    Ok(())
}

fn asked(world: &World) -> anyhow::Result<Asked> {
    let mut asked = Asked::default();
    for (key, count) in world.plane.audit_counts()?.iter().filter(|(key, _)| key.user == OPERATOR) {
        let count = usize::try_from(*count).unwrap_or(usize::MAX);
        let standing = key.verb == "watch" || key.resource == "leases";
        *(if standing { &mut asked.standing } else { &mut asked.other }) += count;
    }
    Ok(asked)
}

fn print(table: &mut Table, objects: usize, largest: bool, worked: f64, measured: Measured) {
    let goal = |goal| if largest { goal } else { Goal::None };
    let what = |what: &str| format!("idle: {objects} objects: {what}");
    let Measured { resident, peak, started, requests, watches, calls } = measured;
    table.row(&Row::new(what("resident memory"), Unit::Mebibytes, resident).goal(goal(Goal::AtMost(64.0))));
    table.row(&Row::new(what("most resident memory since the start"), Unit::Mebibytes, peak));
    let worked = Row::new(what("resident memory after as many refreshes"), Unit::Mebibytes, vec![worked]);
    table.row(&worked.note("of the process that made the first refresh of each"));
    let note = "until the process has nothing left to do";
    table.row(&Row::new(what("start-up"), Unit::Seconds, started).goal(goal(Goal::AtMost(10.0))).note(note));
    table.row(&Row::new(what("requests but watches and Lease"), Unit::PerSecond, requests).goal(Goal::Nothing));
    table.row(&Row::new(what("watches and Lease"), Unit::PerSecond, watches));
    table.row(&Row::new(what("token calls after a restart"), Unit::Count, calls).goal(Goal::Nothing));
}
