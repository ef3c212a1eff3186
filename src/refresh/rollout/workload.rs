//! What is to be done about one workload, by what it says of itself.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::Contents;
use crate::api::RolloutStatus;

/// How many workloads one selector may mean. Our choice: more than a team runs by one token, and few enough for a second's work.
pub const MOST_WORKLOADS: usize = 100;

/// A workload as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Option<DateTime<Utc>>,
    /// The annotations of its Pod template by which operators remember what it was restarted for.
    pub marks: BTreeMap<String, String>,
    /// It is being deleted.
    pub deleting: bool,
}

/// What is to be done about a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is restarted.
    Restart,
    /// It was restarted for these contents, perhaps by a process that could not say so any more.
    Restarted,
    /// Its Pods began with these contents, nobody can tell, or it is being deleted.
    Leave,
}

impl Workload {
    /// What is to be done about it; `known` is what the status has about its target.
    ///
    /// One that was created after the contents were written is left alone: its Pods began with them. Times are in whole seconds:
    /// one of the same second may have begun before.
    #[must_use]
    pub fn turn(&self, contents: &Contents, known: Option<&RolloutStatus>) -> Turn {
        let mark = self.marks.get(&contents.annotation);
        if self.deleting {
            return Turn::Leave;
        }
        if contents.revision.is(mark) {
            return Turn::Restarted;
        }
        let restart = self.created.zip(self.changed(contents, known)).is_some_and(|(created, changed)| created <= changed);
        if restart { Turn::Restart } else { Turn::Leave }
    }

    /// When the contents changed, as far as that can be told of this workload; none if it cannot.
    fn changed(&self, contents: &Contents, known: Option<&RolloutStatus>) -> Option<DateTime<Utc>> {
        let judge = |remembered| contents.revision.can_judge(remembered);
        let mark = self.marks.get(&contents.annotation);
        if judge(mark) || judge(known.and_then(|known| known.content_hash.as_ref())) {
            // It was brought up to date before, for other contents.
            return Some(contents.written);
        }
        // Either the target is named for the first time, or the status was lost. In the second case an output may have been
        // written again just now, and a workload without a mark is one that was younger than the contents: so the token's own age
        // counts. A mark of another key tells nothing.
        contents.issued.filter(|_| mark.is_none())
    }
}
