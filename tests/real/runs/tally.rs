//! From what came of many plans to one row.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::judge::Verdict;
use crate::proof::Row;

/// What came of a plan.
pub struct Played {
    /// What became of the chain.
    pub verdict: Verdict,
    /// Spent tokens that were presented.
    pub double_spends: u64,
    /// No protocol could have kept the token.
    pub may_lose: bool,
    /// What else is wrong.
    pub wrong: Option<String>,
    /// For a person who looks for the reason.
    pub story: String,
}

/// Counts plans into a row.
#[derive(Default)]
pub struct Tally {
    row: Row,
    waits: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts on in this row.
    pub fn new(row: Row) -> Self {
        Self { row, waits: BTreeMap::new() }
    }

    /// Counts one plan, or one round of a walk.
    pub fn count(&mut self, plan: impl Display, played: anyhow::Result<Played>) {
        self.row.plans += 1;
        let Played { verdict, double_spends, may_lose, wrong, story } = match played {
            Ok(played) => played,
            Err(error) => return self.row.violations.push(format!("{plan}: {error:#}")),
        };
        self.row.double_spends += double_spends;
        let mut violation = |what: &str| self.row.violations.push(format!("{plan}: {what}\n{story}"));
        if double_spends > 0 {
            violation("spent twice");
        }
        if let Some(wrong) = wrong {
            violation(&wrong);
        }
        match verdict {
            Verdict::WentOn => {}
            Verdict::Waits(reason) => *self.waits.entry(reason).or_default() += 1,
            Verdict::Lost(_) if may_lose => self.row.allowed += 1,
            Verdict::Lost(reason) => {
                violation(&format!("lost, {reason}"));
                self.row.lost += 1;
            }
            Verdict::Unclear(how) => violation(&how),
        }
    }

    /// The row, with what waits.
    pub fn row(mut self) -> Row {
        if !self.waits.is_empty() {
            self.row.add_note(&format!("held and waiting: {:?}", self.waits));
        }
        self.row
    }
}
