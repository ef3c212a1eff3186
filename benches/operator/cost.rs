//! What one refresh costs: requests by the API server's audit log, bytes by a relay in between, processor time by the kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;

use crate::Setting;
use crate::fleet::Fleet;
use crate::process::{Options, Process};
use crate::ratio::{bare, options};
use crate::table::{Goal, Row, Table, Unit, bytes, number};
use crate::wave::Waves;
use crate::wire::Relay;
use crate::world::{OPERATOR, Way, World};

/// Our goals for one refresh with one output (design, section 7): steady, and the first one with its full preflight.
fn most_requests(way: Way) -> (f64, f64) {
    match way {
        Way::Strict => (6.0, 10.0),
        Way::Light => (4.0, 10.0),
    }
}

/// Each path.
pub async fn measure(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let world = World::start(setting, true).await?;
    let server = world.plane.url().trim_start_matches("https://").parse().context("read the address of the API server")?;
    for way in Way::ALL {
        let relay = Relay::start(server).await?;
        // The certificate is for the address, whatever the port.
        let kubeconfig = world.kubeconfig()?.replace(world.plane.url(), &format!("https://{}", relay.address()));
        way_of(setting, table, &world, way, &relay, kubeconfig).await?;
    }
    world.end()
}

async fn way_of(
    setting: &Setting,
    table: &mut Table,
    world: &World,
    way: Way,
    relay: &Relay,
    kubeconfig: String,
) -> anyhow::Result<()> {
    let mut fleet = Fleet::new(world, way, way.word()).await?;
    let objects = setting.pick(300, 10);
    fleet.grow(objects).await?;
    let each = |count: f64| count / number(objects);
    let options = Options { kubeconfig, ..options(world, &[way.word()], None)? };
    let mut bare = bare(setting, world, way).await?;
    let (first, mut waves) = first(setting, &fleet, &options).await?;
    let (mut requests, mut sizes, mut times, mut kinds) = (Vec::new(), Vec::new(), Vec::new(), String::new());
    let mut shares = Vec::new();
    for _ in 0..setting.runs {
        let (before, carried) = (asked(&fleet)?, relay.bytes());
        let wave = waves.next().await?;
        let grown = grown(&before, &asked(&fleet)?);
        requests.push(each(number(grown.values().sum())));
        sizes.push(each(bytes(relay.bytes() - carried)) / 1000.0);
        let time = setting.pick(Duration::from_secs(5), Duration::from_secs(2)).min(waves.pause());
        let cpu = each(wave.cpu.as_secs_f64());
        times.push(cpu * 1000.0);
        shares.push(cpu / bare.cost(time).await?);
        kinds = grown.iter().map(|(kind, count)| format!("{:.2} {kind}", each(number(*count)))).collect::<Vec<_>>().join(", ");
    }
    waves.end().await?;
    let (steady, full) = most_requests(way);
    let what = |what: &str| format!("cost: {}, one refresh, one output: {what}", way.name());
    table.row(&Row::new(what("requests"), Unit::Count, requests).goal(Goal::AtMost(steady)).note(kinds));
    let first = Row::new(
        format!("cost: {}, first refresh: requests, events included", way.name()),
        Unit::Count,
        vec![each(number(first))],
    );
    table.row(&first.goal(Goal::AtMost(full)).note("once only: the first refresh of each object"));
    table.row(&Row::new(what("bytes"), Unit::Kilobytes, sizes).note("both ways, with TLS and the watches"));
    table.row(&Row::new(what("processor time"), Unit::Milliseconds, times).goal(Goal::AtMost(1.0)).note("user and kernel"));
    let share = Row::new(what("processor time, times that of the bare loop"), Unit::Ratio, shares);
    table.row(&share.note("which makes the same writes with the same client, and nothing else"));
    Ok(())
}

/// Requests for the first refreshes, and the waves that follow. The first wave, which is made by hand, is counted with neither.
async fn first<'a>(setting: &Setting, fleet: &'a Fleet<'a>, options: &Options<'_>) -> anyhow::Result<(usize, Waves<'a>)> {
    let before = asked(fleet)?;
    let mut process = Process::start(fleet.world, options)?;
    fleet.refreshed(1).await?;
    process.at_rest().await?;
    let first = grown(&before, &asked(fleet)?).values().sum();
    Ok((first, Waves::of(setting, fleet, process).await?))
}

/// Requests of the operator about the objects of a fleet so far, by verb and resource. Lists and watches are about no object.
fn asked(fleet: &Fleet<'_>) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut asked = BTreeMap::new();
    for event in fleet.world.plane.audit_events()? {
        let verb = event.key.verb.as_str();
        if event.key.user == OPERATOR && event.namespace == fleet.namespace && verb != "watch" && verb != "list" {
            let separator = if event.key.subresource.is_empty() { "" } else { "/" };
            *asked.entry(format!("{verb} {}{separator}{}", event.key.resource, event.key.subresource)).or_default() += 1;
        }
    }
    Ok(asked)
}

/// What was asked for between two readings.
fn grown(before: &BTreeMap<String, usize>, after: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let grown = after.iter().map(|(kind, count)| (kind.clone(), count - before.get(kind).copied().unwrap_or_default()));
    grown.filter(|(_, count)| *count > 0).collect()
}
