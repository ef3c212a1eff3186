//! The never-lose protocol under a model checker: every course that two replicas, an issuer and a cluster can take.
//!
//! The transitions of an exchange are the implementation's own step function, and what follows on an exchange is its own
//! `decide`, `mark` and `conclude`. What is modelled here is the world around it: the API server's compare and swap, the issuer,
//! the network, crashes, people.

#![expect(clippy::unused_self, reason = "whether a transition asks what its variant switches off changes with the variants")]

mod checking;
mod judge;
mod machine;
mod meddling;
mod operator;
mod spec;
mod status;
mod steps;
mod table;
mod variant;
mod world;

pub use checking::{Report, check};
pub use variant::{R, RIGHT, Rule, Variant, WRONG};

use std::sync::atomic::AtomicBool;

use machine::Machine;
use operator::{End, Planned};
use status::{Known, Recollection};
use table::{Memo, Table};

/// What the first step of an exchange depends on, as the numbers of its parts.
type Beginning = (u32, u32, (u8, u64), u8, (usize, u8, u8));

/// The model: a variant, and all values that its states name by number.
pub struct Protocol {
    variant: Variant,
    machine: Machine,
    known: Table<Known>,
    memories: Table<Recollection>,
    plans: Memo<(u32, u32, u8), Option<Planned>>,
    starts: Memo<Beginning, u32>,
    ends: Memo<(u32, u32, u32, u8, u8), End>,
    edits: Memo<u32, u32>,
    healthy: Memo<world::World, bool>,
    found: AtomicBool,
}

impl Protocol {
    /// The model of a variant.
    pub fn new(variant: Variant) -> Self {
        Self {
            variant,
            machine: Machine::new(variant.promise, variant.without != Some(Rule::RestAfterRepeat)),
            known: Table::new(),
            memories: Table::new(),
            plans: Memo::new(),
            starts: Memo::new(),
            ends: Memo::new(),
            edits: Memo::new(),
            healthy: Memo::new(),
            found: AtomicBool::new(false),
        }
    }

    fn without(&self, rule: Rule) -> bool {
        self.variant.without == Some(rule)
    }
}
