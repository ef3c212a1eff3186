//! Refreshes per second, end to end, as a share of what the bare loop of the same writes reaches on the same API server in the same minute.

use std::time::Duration;

use crate::Setting;
use crate::bare::Bare;
use crate::fleet::Fleet;
use crate::process::{Options, Process};
use crate::table::{Goal, Row, Table, Unit};
use crate::wave::Waves;
use crate::world::{Way, World};

/// As it is shipped, and with as many refreshes under way as the bare loop has tasks.
const IN_FLIGHT: [Option<u16>; 2] = [None, Some(8)];

/// Our goals: the writes are most of what a refresh costs; the read of the state, the journal and the token call are the rest.
fn goal(way: Way, in_flight: Option<u16>) -> Goal {
    match (way, in_flight) {
        (_, Some(_)) => Goal::None,
        (Way::Strict, None) => Goal::AtLeast(0.6),
        (Way::Light, None) => Goal::AtLeast(0.8),
    }
}

/// Each path, as shipped and with more in flight.
pub async fn measure(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let world = World::start(setting, false).await?;
    for way in Way::ALL {
        let mut bare = bare(setting, &world, way).await?;
        for in_flight in IN_FLIGHT {
            let (mut ratios, mut operator, mut loops) = (Vec::new(), Vec::new(), Vec::new());
            let name = format!("{}-{}", way.word(), in_flight.unwrap_or_default());
            let mut fleet = Fleet::new(&world, way, &name).await?;
            fleet.grow(setting.pick(500, 12)).await?;
            let mut waves = Waves::begin(setting, &fleet, &options(&world, &[&name], in_flight)?).await?;
            for _ in 0..setting.runs {
                let rate = waves.next().await?.rate;
                let time = setting.pick(Duration::from_secs(8), Duration::from_secs(2)).min(waves.pause());
                let plain = bare.rate(time).await?;
                ratios.push(rate / plain);
                operator.push(rate);
                loops.push(plain);
            }
            waves.end().await?;
            let objects = fleet.len();
            let how = in_flight.map_or_else(|| "as shipped".to_owned(), |most| format!("--max-in-flight {most}"));
            let what = |what: &str| format!("ratio: {}, {how}: {what}", way.name());
            table.row(
                &Row::new(what("share of the bare loop"), Unit::Ratio, ratios)
                    .goal(goal(way, in_flight))
                    .note(format!("{objects} objects")),
            );
            table.row(&Row::new(what("operator"), Unit::PerSecond, operator));
            table.row(&Row::new(what("bare loop, 8 tasks"), Unit::PerSecond, loops));
        }
    }
    world.end()
}

/// Objects for the bare loop, as an operator has left them.
pub async fn bare(setting: &Setting, world: &World, way: Way) -> anyhow::Result<Bare> {
    let name = format!("bare-{}", way.word());
    let mut fleet = Fleet::new(world, way, &name).await?;
    fleet.grow(setting.pick(64, 8)).await?;
    let mut process = Process::start(world, &options(world, &[&name], None)?)?;
    fleet.refreshed(1).await?;
    process.at_rest().await?;
    process.stop().await?;
    Bare::of(&fleet).await
}

/// An operator for some namespaces only.
pub fn options<'a>(world: &World, namespaces: &[&'a str], in_flight: Option<u16>) -> anyhow::Result<Options<'a>> {
    Ok(Options {
        kubeconfig: world.kubeconfig()?.to_owned(),
        namespaces: namespaces.to_vec(),
        elect: false,
        shards: None,
        replica: 0,
        in_flight,
    })
}
