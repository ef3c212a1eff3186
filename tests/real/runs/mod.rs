//! The runs, for the tests and for `examples/prove.rs`.
//!
//! | module | what it holds |
//! |---|---|
//! | `world` | what all runs share: the control plane, the issuer, the binary |
//! | `process` | the operator as a process |
//! | `case` | one object with an operator and proxies of its own |
//! | `judge` | what became of its chain |
//! | `relics` | what an operator left behind when it died |
//! | `tally` | from what came of many plans to one row |
//! | `plan` | one refresh and what goes wrong in it |
//! | `matrix` | every request under every fault, SIGTERM and outage |
//! | `kills`, `syscalls` | SIGKILL at random moments, and at each system call |
//! | `stop`, `denied`, `heal` | SIGTERM with the token in memory only, a commit that is refused, the late repeat |
//! | `replicas` | two at work on one object |
//! | `shards` | many objects split over three |
//! | `oidc` | a token server that none of us wrote |
//! | `random` | numbers for random moments |
//! | `pace` | how long a token is in memory only |

mod case;
mod denied;
mod heal;
mod judge;
mod kills;
mod matrix;
mod oidc;
mod pace;
mod plan;
mod process;
mod random;
mod relics;
mod replicas;
mod shards;
mod stop;
mod syscalls;
mod tally;
mod world;

use crate::proof::{Extent, Row};

/// Every request of a refresh under every fault.
pub fn faults(extent: Extent) -> Row {
    world::run(matrix::faults(extent))
}

/// SIGTERM at every request.
pub fn terminations(extent: Extent) -> Row {
    world::run(matrix::terminations(extent))
}

/// The API server goes down at every request.
pub fn outages(extent: Extent) -> Row {
    world::run(matrix::outages(extent))
}

/// SIGKILL at random moments.
pub fn kills(extent: Extent) -> Row {
    world::run(kills::run(extent))
}

/// SIGKILL at each system call.
pub fn syscalls(extent: Extent) -> Row {
    world::run(syscalls::run(extent))
}

/// SIGTERM again and again while the only copy of a token is in memory.
pub fn stop(extent: Extent) -> Row {
    world::run(stop::run(extent))
}

/// The commit is refused for a while.
pub fn denied(extent: Extent) -> Row {
    world::run(denied::run(extent))
}

/// One late repeat of a call whose outcome is unknown.
pub fn heal(extent: Extent) -> Row {
    world::run(heal::run(extent))
}

/// Two replicas at work on one object.
pub fn replicas(extent: Extent) -> Row {
    world::run(replicas::without_election(extent))
}

/// Two replicas of which one leads.
pub fn leaders(extent: Extent) -> Row {
    world::run(replicas::with_election(extent))
}

/// Three replicas that split the objects, of which some are killed.
pub fn shards(extent: Extent) -> Row {
    world::run(shards::run(extent))
}

/// SIGKILL at every request, and the journal is gone. Extended only: claims are left alone for two minutes then.
#[allow(dead_code, reason = "tests run the short extent")]
pub fn kills_without_journal(_: Extent) -> Row {
    world::run(matrix::kills_without_journal())
}

/// Against a token server that none of us wrote.
pub fn oidc(extent: Extent) -> Row {
    world::run(oidc::run(extent))
}

/// How long a token is in memory only.
pub fn pace(extent: Extent) -> Row {
    world::run(pace::run(extent))
}

type Run = fn(Extent) -> Row;

/// All of it, row by row. What waits for most of its time runs beside the rest.
#[allow(dead_code, reason = "tests run the rows one by one")]
pub fn prove(extent: Extent, report: &mut dyn FnMut(Row)) -> anyhow::Result<()> {
    const WORKING: [Run; 7] = [pace, faults, kills, syscalls, terminations, replicas, oidc];
    const WAITING: [Run; 6] = [heal, stop, leaders, shards, outages, denied];
    world::ready()?;
    let extended: &[Run] = if extent == Extent::Extended { &[kills_without_journal] } else { &[] };
    std::thread::scope(|scope| {
        // Alone, because it measures.
        report(WORKING[0](extent));
        let waiting = WAITING.iter().chain(extended).map(|run| scope.spawn(move || run(extent)));
        let waiting: Vec<_> = waiting.collect();
        WORKING[1..].iter().for_each(|run| report(run(extent)));
        for run in waiting {
            report(run.join().map_err(|_| anyhow::anyhow!("a run broke down"))?);
        }
        Ok(())
    })
}
