//! What requests beside that of a refresh bring: results for the next one, and verdicts.

use std::collections::BTreeMap;

use crate::token::SecretText;

/// What the steps before brought, by name. Never stored. `Debug` shows names only.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct StepResults(BTreeMap<String, SecretText>);

impl StepResults {
    /// What is called so, if a step brought it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SecretText> {
        self.0.get(name)
    }

    pub(super) fn put(&mut self, name: &str, value: SecretText) {
        self.0.insert(name.to_owned(), value);
    }
}

/// What the answer to a harmless question says about the refresh token that was presented.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Probed {
    /// It is still good: nothing was spent.
    Unspent,
    /// It was spent, or is not valid any more for another reason.
    Spent,
    /// The answer does not tell.
    Unclear,
}
