//! The places in flight: how many exchanges may have a token at risk at once.
//!
//! Token APIs take turns: the next place goes to the one with the fewest in flight, and there to the token that ends soonest. So one that
//! never answers holds up nobody else's tokens for longer than the first of its requests that runs out of time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::lanes::Lane;

/// All places.
pub(super) struct InFlight {
    /// How many there are.
    most: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// How many each token API has taken; of those that have taken any.
    taken: HashMap<Lane, usize>,
    /// Who waits. Never many: a lane lets only some exchanges come so far.
    waiting: Vec<Waiting>,
    /// How many have come.
    came: u64,
}

/// Somebody who waits; gone when nobody is there to be called any more.
struct Waiting {
    lane: Lane,
    /// When the token ends; none: it is not known, and others go first.
    ends: Option<DateTime<Utc>>,
    number: u64,
    call: oneshot::Sender<Flight>,
}

/// A place; given back on drop.
pub(super) struct Flight {
    all: Arc<InFlight>,
    lane: Lane,
}

impl InFlight {
    /// So many places; at least one.
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), inner: Mutex::default() }
    }

    /// Waits for a place.
    pub(super) async fn enter(self: &Arc<Self>, lane: &Lane, ends: Option<DateTime<Utc>>) -> Flight {
        let (call, called) = oneshot::channel();
        {
            let mut inner = self.lock();
            inner.came += 1;
            let number = inner.came;
            inner.waiting.push(Waiting { lane: lane.clone(), ends, number, call });
        }
        self.give();
        // Whoever waits is called: its end of the channel is dropped by nobody else.
        match called.await {
            Ok(flight) => flight,
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives away the places that are free.
    fn give(self: &Arc<Self>) {
        loop {
            let next = self.lock().next(self.most);
            let Some(Waiting { lane, call, .. }) = next else { return };
            // Whoever has gone in this moment gives it back by that.
            drop(call.send(Flight { all: Arc::clone(self), lane }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What the mutex guards is whole between any two statements, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes a free place for whoever comes next.
    fn next(&mut self, most: usize) -> Option<Waiting> {
        self.waiting.retain(|waiting| !waiting.call.is_closed());
        if self.taken.values().sum::<usize>() >= most {
            return None;
        }
        let taken = |lane: &Lane| self.taken.get(lane).copied().unwrap_or(0);
        let rank = |waiting: &Waiting| (taken(&waiting.lane), waiting.ends.unwrap_or(DateTime::<Utc>::MAX_UTC), waiting.number);
        let (first, _) = self.waiting.iter().enumerate().min_by_key(|(_, waiting)| rank(waiting))?;
        let next = self.waiting.swap_remove(first);
        *self.taken.entry(next.lane.clone()).or_default() += 1;
        Some(next)
    }

    fn give_back(&mut self, lane: &Lane) {
        if let Some(taken) = self.taken.get_mut(lane) {
            *taken -= 1;
            if *taken == 0 {
                self.taken.remove(lane);
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.all.lock().give_back(&self.lane);
        self.all.give();
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
    async fn token_apis_take_turns_and_of_one_the_token_that_ends_soonest_goes_first() {
        let all = Arc::new(InFlight::new(2));
        let (busy, other) = (Lane::named("busy"), Lane::named("other"));
        let [one, two] = [all.enter(&busy, ends(1)).await, all.enter(&busy, ends(1)).await];
        let mut waiting: Vec<_> = [(&busy, ends(2)), (&other, None), (&other, ends(900)), (&other, ends(300)), (&busy, ends(1))]
            .map(|(lane, ends)| Box::pin(all.enter(lane, ends)))
            .into();
        let mut entered = move || {
            let entered = waiting.iter_mut().enumerate().find_map(|(number, waiting)| Some((number, waiting.now_or_never()?)));
            let (number, flight) = entered?;
            drop(waiting.remove(number));
            Some((number, flight))
        };
        assert!(entered().is_none(), "nobody enters while two are in flight");
        drop(one);
        let (number, flight) = entered().unwrap();
        assert_eq!(number, 3, "the other API has none in flight, and this token of it ends soonest");
        assert!(entered().is_none(), "one place was free");
        drop(flight);
        let (number, flight) = entered().unwrap();
        assert_eq!(number, 2, "one of the busy API is in flight, none of the other");
        drop(two);
        let (number, last) = entered().unwrap();
        assert_eq!(number, 2, "one of the other API is in flight, none of the busy one: its token that ends soonest");
        drop((flight, last));
    }

    #[tokio::test]
    async fn whoever_goes_away_holds_up_nobody() {
        let all = Arc::new(InFlight::new(1));
        let lane = Lane::named("api");
        let inside = all.enter(&lane, None).await;
        let mut gone = Box::pin(all.enter(&lane, ends(1)));
        let mut called = Box::pin(all.enter(&lane, ends(2)));
        let mut last = Box::pin(all.enter(&lane, ends(3)));
        for waiting in [&mut gone, &mut called, &mut last] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(gone);
        drop(inside);
        // It was called and does not look.
        drop(called);
        let last = last.now_or_never().expect("the place is its own now");
        assert_eq!(all.lock().taken.len(), 1);
        drop(last);
        assert!(all.lock().taken.is_empty() && all.lock().waiting.is_empty());
    }
}
