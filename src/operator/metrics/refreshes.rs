//! Refreshes by object, result and trigger; forgotten with the object.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::refresh::decide::Trigger;
use crate::refresh::exchange::Outcome;

/// A new pair is committed.
pub(super) const SUCCESS: &str = "success";
/// What an earlier failure, or an exchange that was left open, has led to.
pub(super) const RECOVERY: &str = "recovery";

const ERROR: &str = "error";
const UNKNOWN: &str = "unknown";

/// Result and trigger.
pub(super) type Kind = (&'static str, &'static str);

/// How often each kind of refresh has ended, by the UID of the object.
#[derive(Debug, Default)]
pub(super) struct Refreshes {
    counts: Mutex<HashMap<String, BTreeMap<Kind, u64>>>,
}

impl Refreshes {
    pub(super) fn count(&self, uid: &str, result: &'static str, trigger: &'static str) {
        *self.lock().entry(uid.to_owned()).or_default().entry((result, trigger)).or_default() += 1;
    }

    pub(super) fn of(&self, uid: &str) -> BTreeMap<Kind, u64> {
        self.lock().get(uid).cloned().unwrap_or_default()
    }

    pub(super) fn keep(&self, exists: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, _| exists(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<Kind, u64>>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of a refresh; none if the exchange was not about one, or its result was counted before: `known` tells that the
/// object said already that the outcome is unknown.
pub(super) fn result(outcome: &Outcome, trigger: Trigger, known: bool) -> Option<&'static str> {
    // Such an exchange begins no refresh; it can find out what became of an earlier one.
    let looks = trigger == Trigger::Drift;
    match outcome {
        Outcome::Refreshed => Some(SUCCESS),
        Outcome::Unknown(_) => (!known).then_some(UNKNOWN),
        Outcome::Refused { .. } | Outcome::Postponed { .. } | Outcome::Rejected(_) | Outcome::ChainOver(_) => {
            (!looks).then_some(ERROR)
        }
        // Not begun, not ended, or another's.
        Outcome::Published | Outcome::Stale | Outcome::Escrowed | Outcome::Held { .. } => None,
    }
}

/// Why a refresh was begun, in the words of the metric.
pub(super) fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Scheduled => "scheduled",
        Trigger::Manual => "manual",
        Trigger::Spec => "spec",
        Trigger::Seed => "seed",
        Trigger::Retry | Trigger::Drift | Trigger::LastTry | Trigger::Bootstrap => RECOVERY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_outcome_counts_once_and_a_look_is_no_refresh() {
        let unknown = Outcome::Unknown(None);
        assert_eq!(result(&unknown, Trigger::Scheduled, false), Some(UNKNOWN));
        assert_eq!(result(&unknown, Trigger::Drift, false), Some(UNKNOWN), "a process died while it was sending");
        assert_eq!(result(&unknown, Trigger::Drift, true), None, "found again after a restart");
        assert_eq!(result(&Outcome::ChainOver(None), Trigger::Drift, false), None);
        assert_eq!(result(&Outcome::ChainOver(None), Trigger::LastTry, true), Some(ERROR));
        assert_eq!(result(&Outcome::Refreshed, Trigger::Drift, false), Some(SUCCESS), "a kept answer was committed");
        assert_eq!(result(&Outcome::Published, Trigger::Seed, false), None);
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let refreshes = Refreshes::default();
        refreshes.count("a", SUCCESS, "manual");
        refreshes.count("a", SUCCESS, "manual");
        refreshes.count("b", ERROR, RECOVERY);
        assert_eq!(refreshes.of("a"), BTreeMap::from([((SUCCESS, "manual"), 2)]));
        refreshes.keep(|uid| uid == "a");
        assert_eq!((refreshes.of("a").len(), refreshes.of("b").len()), (1, 0));
    }
}
