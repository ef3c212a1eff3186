//! The runs, for the tests and for `examples/prove.rs`.
//!
//! | module | what it holds |
//! |---|---|
//! | `world` | what all runs share: the control plane, the issuer, the binary |
//! | `process` | the operator as a process |
//! | `case` | one object with an operator and proxies of its own |
//! | `judge` | what became of its chain |
//! | `plan` | one refresh and what goes wrong in it |
//! | `matrix` | every request under every fault, SIGTERM and outage |
//! | `kills`, `syscalls` | SIGKILL at random moments, and at each system call |

mod case;
mod judge;
mod kills;
mod matrix;
mod plan;
mod process;
mod syscalls;
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

/// All of it, row by row.
#[allow(dead_code, reason = "tests run the rows one by one")]
pub fn prove(extent: Extent, report: &mut dyn FnMut(Row)) -> anyhow::Result<()> {
    world::ready()?;
    for row in [faults, kills, syscalls, terminations, outages] {
        report(row(extent));
    }
    Ok(())
}
