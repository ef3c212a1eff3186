//! The shape of a proof: rows of a table, given one by one by sections. Tests run the short extent, `examples/prove.rs` runs either.

use std::fmt::Write as _;

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The share that every change has to pass.
    Short,
    /// Everything.
    Extended,
}

/// One claim and what was counted for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What was run.
    pub what: String,
    /// How many plans, seeds, states or kills.
    pub plans: u64,
    /// Refresh tokens that were presented after they were spent. Must be zero.
    pub double_spends: u64,
    /// Newest refresh tokens that nobody holds any more, where the protocol promises to keep them. Must be zero.
    pub lost: u64,
    /// The same where no protocol can keep them: the answer was lost on its way, or died with the process that received it.
    pub allowed: u64,
    /// What else is not as it shall be; empty when the claim holds. Each says how to repeat it.
    pub violations: Vec<String>,
    /// Further figures.
    pub note: String,
    /// Why nothing was run.
    pub skipped: Option<String>,
}

impl Row {
    /// A row without counts.
    #[must_use]
    pub fn new(what: &str) -> Self {
        Self { what: what.to_owned(), ..Self::default() }
    }

    /// A row that says why nothing was run.
    #[must_use]
    pub fn skipped(what: &str, why: &str) -> Self {
        Self { skipped: Some(why.to_owned()), ..Self::new(what) }
    }

    /// Adds a figure to the note.
    pub fn add_note(&mut self, note: &str) {
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(note);
    }

    /// Whether the claim holds; one that was skipped does not fail.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.double_spends == 0 && self.lost == 0 && self.violations.is_empty()
    }

    /// One line of the table, and the violations below it.
    #[must_use]
    pub fn line(&self, seconds: u64) -> String {
        let verdict = match &self.skipped {
            Some(_) => "skipped",
            None if self.holds() => "pass",
            None => "FAIL",
        };
        let note = self.skipped.as_ref().unwrap_or(&self.note);
        let mut line = format!(
            "{:<58} {:>9} {:>8} {:>6} {:>8} {:>8} {:>8}  {note}\n",
            self.what, self.plans, self.double_spends, self.lost, self.allowed, verdict, seconds
        );
        for violation in &self.violations {
            // Writing to a String cannot fail.
            let _ = writeln!(line, "    {violation}");
        }
        line
    }
}

/// The head of the table.
#[must_use]
pub fn head() -> String {
    format!("{:<58} {:>9} {:>8} {:>6} {:>8} {:>8} {:>8}\n", "what", "plans", "doubles", "lost", "allowed", "verdict", "seconds")
}
