//! Which replica holds how many of the Leases, as the candidates of this one see it, and who is to have one more.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::leader::Timing;

/// What the candidates of one replica have in common: one for each Lease.
pub struct Balance {
    pub(super) identity: String,
    pub(super) timing: Timing,
    seen: Mutex<Seen>,
}

struct Seen {
    /// Who holds each of the Leases; none: nobody, as far as is known.
    holders: Vec<Option<String>>,
    /// When this replica last asked another for one.
    asked: Option<Instant>,
}

impl Balance {
    /// Of the replica called `identity`, for so many Leases.
    #[must_use]
    pub fn new(identity: &str, leases: usize, timing: Timing) -> Self {
        let seen = Seen { holders: vec![None; leases], asked: None };
        Self { identity: identity.to_owned(), timing, seen: Mutex::new(seen) }
    }

    /// How many Leases there are.
    pub(super) fn leases(&self) -> usize {
        self.seen().holders.len()
    }

    /// Takes in who holds a Lease.
    pub(super) fn note(&self, number: usize, holder: Option<&str>) {
        if let Some(known) = self.seen().holders.get_mut(number) {
            *known = holder.map(str::to_owned);
        }
    }

    /// Whether this replica shall ask for a Lease now: its holder has at least two more. Not one after the other at once, as an answer takes
    /// as long as a renewal.
    pub(super) fn wants(&self, number: usize) -> bool {
        let mut seen = self.seen();
        let Some(holder) = seen.holders.get(number).cloned().flatten() else { return false };
        let patient = seen.asked.is_none_or(|asked| asked.elapsed() >= self.pause());
        let wants = holder != self.identity && patient && seen.number_of(&holder) >= seen.number_of(&self.identity) + 2;
        if wants {
            seen.asked = Some(Instant::now());
        }
        wants
    }

    /// Whether a Lease of this replica goes to another that has asked for it. From then on it counts as that one's.
    pub(super) fn spares(&self, number: usize, other: &str) -> bool {
        let mut seen = self.seen();
        let own = seen.holders.get(number).is_some_and(|holder| holder.as_deref() == Some(&self.identity));
        let spares = own && seen.number_of(&self.identity) >= seen.number_of(other) + 2;
        if spares && let Some(holder) = seen.holders.get_mut(number) {
            *holder = Some(other.to_owned());
        }
        spares
    }

    /// Our choice: a holder hears of it at its next renewal, and gives up the Lease once its exchanges have ended.
    fn pause(&self) -> Duration {
        3 * self.timing.retry
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // What the mutex guards is whole between any two statements.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn number_of(&self, replica: &str) -> usize {
        self.holders.iter().flatten().filter(|holder| *holder == replica).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen_by(identity: &str, holders: &[&str]) -> Balance {
        let balance = Balance::new(identity, holders.len(), Timing::default());
        for (number, holder) in holders.iter().enumerate() {
            balance.note(number, Some(*holder).filter(|holder| !holder.is_empty()));
        }
        balance
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_wanted_of_whoever_has_two_more() {
        let newcomer = seen_by("c", &["a", "a", "a", "b", ""]);
        assert!(!newcomer.wants(3), "b has one only");
        assert!(!newcomer.wants(4), "it is free");
        assert!(newcomer.wants(0));
        assert!(!newcomer.wants(1), "it has asked just now");
        tokio::time::sleep(newcomer.pause()).await;
        assert!(newcomer.wants(1));
        let full = seen_by("c", &["a", "a", "c"]);
        assert!(!full.wants(0), "one more would be given back");
        assert!(!seen_by("a", &["a", "a"]).wants(0));
    }

    #[test]
    fn a_lease_is_spared_for_whoever_has_two_less() {
        let balance = seen_by("a", &["a", "a", "a", "b"]);
        assert!(!balance.spares(3, "c"), "it is not its own");
        assert!(balance.spares(0, "b"));
        assert!(!balance.spares(1, "b"), "b counts as having two by now");
        assert!(balance.spares(1, "c"));
        assert!(!balance.spares(2, "d"), "nobody gives up the only one");
        balance.note(0, Some("a"));
        assert!(balance.spares(0, "d"), "what was kept counts again");
    }
}
