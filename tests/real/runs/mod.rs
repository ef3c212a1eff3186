//! The runs, for the tests and for `examples/prove.rs`.
//!
//! | module | what it holds |
//! |---|---|
//! | `world` | what all runs share: the control plane, the issuer, the binary |
//! | `process` | the operator as a process |
//! | `case` | one object with an operator and proxies of its own |
//! | `judge` | what became of its chain |
//! | `matrix` | every request under every fault |

mod case;
mod judge;
mod matrix;
mod process;
mod world;

use crate::proof::{Extent, Row};

/// Every request of a refresh under every fault.
pub fn matrix(extent: Extent) -> Row {
    world::run(matrix::run(extent))
}

/// All of it, row by row.
#[allow(dead_code, reason = "tests run the rows one by one")]
pub fn prove(extent: Extent, report: &mut dyn FnMut(Row)) -> anyhow::Result<()> {
    world::ready()?;
    for row in [matrix] {
        report(row(extent));
    }
    Ok(())
}
