//! A gate for tokens: so many are let through at once, or in a minute, and of those who wait the one that ends soonest goes first.
//!
//! Counted in this process: with an elected leader it is the only one that refreshes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use crate::api::Limits;

/// How soon one that waits asks again where nothing tells when there is room. Our choice: as long as an exchange commonly takes.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// The longest it waits before it asks again. Our choice: what it waits for may have changed.
pub(super) const LATEST: Duration = Duration::from_secs(30);
/// How long after its time somebody who does not ask again keeps a place. Our choice: a busy operator comes late.
const FORGOTTEN: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// A gate. Those who wait stand in front of it ([`enter`](Self::enter)) or come back ([`ask`](Self::ask)).
#[derive(Default)]
pub(super) struct Gate {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Those who were let through and are not done.
    inside: usize,
    /// When those of the last minute were let through, oldest first; on the clock that counts suspend. Of those who asked.
    begun: VecDeque<Duration>,
    /// Who waits, in the order in which they go.
    waiting: BTreeMap<Rank, Until>,
    /// The ranks of those who wait, by their names.
    ranks: HashMap<String, Rank>,
    /// How many have stood in front of it.
    stood: u64,
}

/// When the token ends, and the name of whoever waits: those whose end is not known go last.
type Rank = (DateTime<Utc>, String);

fn rank(name: &str, ends: Option<DateTime<Utc>>) -> Rank {
    (ends.unwrap_or(DateTime::<Utc>::MAX_UTC), name.to_owned())
}

/// What somebody waits for.
enum Until {
    /// It asks again at this time.
    Asks(Duration),
    /// It is called.
    Called(Arc<Notify>),
}

/// The right to be one of those inside.
pub(super) struct Pass {
    gate: Arc<Gate>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inner = self.gate.lock();
        inner.inside = inner.inside.saturating_sub(1);
        inner.call();
    }
}

impl Gate {
    /// Asks for a turn; or says how soon to ask again. `now` is of the clock that counts suspend.
    pub(super) fn ask(
        self: &Arc<Self>,
        limits: Limits,
        uid: &str,
        ends: Option<DateTime<Utc>>,
        now: Duration,
    ) -> Result<Pass, Duration> {
        let mut inner = self.lock();
        inner.tidy(now);
        let (room, rank) = (inner.room(limits), rank(uid, ends));
        let before = inner.waiting.range::<Rank, _>(..&rank).count();
        if before < room {
            inner.begun.push_back(now);
            return Ok(inner.admit(self, uid));
        }
        let pause = inner.pause(limits, before - room, now);
        inner.wait(rank, Until::Asks(now + pause));
        Err(pause)
    }

    /// Waits for a turn, where at most `most` are inside at once; at least one is.
    pub(super) async fn enter(self: &Arc<Self>, most: usize, uid: &str, ends: Option<DateTime<Utc>>) -> Pass {
        let standing = self.stand(uid);
        let (rank, called) = (rank(&standing.name, ends), Arc::new(Notify::new()));
        loop {
            {
                let mut inner = self.lock();
                let room = most.max(1).saturating_sub(inner.inside);
                // However many wait, only so many of them matter.
                if inner.waiting.range::<Rank, _>(..&rank).take(room).count() < room {
                    let pass = inner.admit(self, &standing.name);
                    // There may be room for the next one too.
                    inner.call();
                    return pass;
                }
                inner.wait(rank.clone(), Until::Called(Arc::clone(&called)));
            }
            called.notified().await;
        }
    }

    fn stand(&self, uid: &str) -> Standing<'_> {
        let mut inner = self.lock();
        inner.stood += 1;
        // The number first: of those that end together, who came first goes first. An object can stand here twice, once with an answer
        // that is replayed.
        Standing { gate: self, name: format!("{:020} {uid}", inner.stood) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What the mutex guards is whole between any two statements, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in front of the gate; given up on drop.
struct Standing<'a> {
    gate: &'a Gate,
    name: String,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        let mut inner = self.gate.lock();
        // It may have been called and not come.
        if inner.leave(&self.name) {
            inner.call();
        }
    }
}

impl Inner {
    fn admit(&mut self, gate: &Arc<Gate>, name: &str) -> Pass {
        self.leave(name);
        self.inside += 1;
        Pass { gate: Arc::clone(gate) }
    }

    /// Waits, or goes on waiting at another place or for something else.
    fn wait(&mut self, rank: Rank, until: Until) {
        self.leave(&rank.1);
        self.ranks.insert(rank.1.clone(), rank.clone());
        self.waiting.insert(rank, until);
    }

    /// Waits no longer; whether it did.
    fn leave(&mut self, name: &str) -> bool {
        self.ranks.remove(name).is_some_and(|rank| self.waiting.remove(&rank).is_some())
    }

    /// Calls the first of those who stand in front of the gate; whether there is room it sees itself.
    fn call(&self) {
        let called = self.waiting.values().find_map(|until| match until {
            Until::Called(called) => Some(called),
            Until::Asks(_) => None,
        });
        if let Some(called) = called {
            called.notify_one();
        }
    }

    fn tidy(&mut self, now: Duration) {
        while self.begun.front().is_some_and(|begun| now.saturating_sub(*begun) >= MINUTE) {
            self.begun.pop_front();
        }
        let ranks = &mut self.ranks;
        self.waiting.retain(|rank, until| {
            let keeps = match until {
                Until::Asks(again) => now <= *again + FORGOTTEN,
                Until::Called(_) => true,
            };
            if !keeps {
                ranks.remove(&rank.1);
            }
            keeps
        });
    }

    /// How many may begin now.
    fn room(&self, limits: Limits) -> usize {
        let inside = limits.max_concurrent().map_or(usize::MAX, |most| most.saturating_sub(self.inside));
        let begun = limits.requests_per_minute().map_or(usize::MAX, |most| most.saturating_sub(self.begun.len()));
        inside.min(begun)
    }

    /// When it may be the turn of one behind whom so many wait in front.
    fn pause(&self, limits: Limits, before: usize, now: Duration) -> Duration {
        let next = self.begun.front().map(|begun| (*begun + MINUTE).saturating_sub(now));
        let by_rate = limits.requests_per_minute().filter(|most| self.begun.len() >= *most).and(next);
        let queue = limits.requests_per_minute().map_or(Duration::ZERO, |most| {
            MINUTE.mul_f64(
                f64::from(u32::try_from(before).unwrap_or(u32::MAX)) / f64::from(u32::try_from(most.max(1)).unwrap_or(u32::MAX)),
            )
        });
        (by_rate.unwrap_or_default() + queue).clamp(SOON, LATEST)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn ends(seconds: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(seconds, 0)
    }

    #[tokio::test]
    async fn who_ends_soonest_enters_first() {
        let gate = Arc::new(Gate::default());
        let inside = [gate.enter(2, "a", ends(9)).await, gate.enter(2, "b", ends(9)).await];
        let entered = Arc::new(Mutex::new(Vec::new()));
        let wait = |uid: &'static str, ends| {
            let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
            tokio::spawn(async move {
                let pass = gate.enter(2, uid, ends).await;
                entered.lock().unwrap().push(uid);
                tokio::task::yield_now().await;
                drop(pass);
            })
        };
        let mut waiting = Vec::new();
        for (uid, ends) in [("late", ends(900)), ("unknown", None), ("soon", ends(300)), ("between", ends(600)), ("last", None)] {
            waiting.push(wait(uid, ends));
            // Each stands there before the next one comes.
            tokio::task::yield_now().await;
        }
        assert_eq!(*entered.lock().unwrap(), Vec::<&str>::new(), "nobody enters while two are inside");
        let [one, other] = inside;
        drop(one);
        futures::future::join_all(waiting).await;
        assert_eq!(*entered.lock().unwrap(), ["soon", "between", "late", "unknown", "last"]);
        drop(other);
        assert_eq!(gate.lock().inside, 0);
    }

    #[tokio::test]
    async fn room_for_several_is_used_by_several() {
        let gate = Arc::new(Gate::default());
        let inside = [gate.enter(2, "a", None).await, gate.enter(2, "b", None).await];
        let mut waiting: Vec<_> = ["c", "d", "e"].map(|uid| Box::pin(gate.enter(2, uid, None))).into();
        assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        drop(inside);
        let entered: Vec<_> = waiting.iter_mut().filter_map(futures::FutureExt::now_or_never).collect();
        assert_eq!(entered.len(), 2);
    }

    #[tokio::test]
    async fn whoever_is_called_and_does_not_come_holds_nobody_up() {
        let gate = Arc::new(Gate::default());
        let inside = gate.enter(1, "a", None).await;
        let mut first = Box::pin(gate.enter(1, "b", ends(1)));
        let mut second = Box::pin(gate.enter(1, "c", ends(2)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(inside);
        drop(first);
        tokio::time::timeout(Duration::from_secs(5), second).await.expect("it is called in its place");
    }
}
