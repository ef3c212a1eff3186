//! Whose turn it is where a provider has limits: the token that ends soonest goes first.
//!
//! Counted in this process: with an elected leader it is the only one that refreshes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::lock;
use crate::api::{Limits, ProviderKind};

/// How soon one that waits asks again where nothing tells when there is room. Our choice: as long as an exchange commonly takes.
const SOON: Duration = Duration::from_secs(1);
/// The longest it waits before it asks again. Our choice: what it waits for may have changed.
const LATEST: Duration = Duration::from_secs(30);
/// How long after its time somebody who does not ask again keeps a place. Our choice: a busy operator comes late.
const FORGOTTEN: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// A shared provider: its kind, its namespace where it has one, and its name.
pub(in crate::operator) type ProviderKey = (ProviderKind, Option<String>, String);

/// The limits of all providers.
#[derive(Default)]
pub(in crate::operator) struct Turnstiles {
    all: Arc<Mutex<HashMap<ProviderKey, Turnstile>>>,
}

/// One provider.
#[derive(Default)]
struct Turnstile {
    /// Exchanges under way.
    inside: usize,
    /// When those of the last minute began, oldest first; on the clock that counts suspend.
    begun: VecDeque<Duration>,
    waiting: HashMap<String, Waiting>,
}

/// Somebody who waits.
struct Waiting {
    /// When the token ends; none: it is not known, and others go first.
    ends: Option<DateTime<Utc>>,
    /// When it is to ask again.
    asks: Duration,
}

/// The right to be one of those under way.
pub(in crate::operator) struct Pass {
    all: Arc<Mutex<HashMap<ProviderKey, Turnstile>>>,
    key: ProviderKey,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut all = lock(&self.all);
        if let Some(turnstile) = all.get_mut(&self.key) {
            turnstile.inside = turnstile.inside.saturating_sub(1);
        }
    }
}

impl Turnstiles {
    /// Asks for a turn; or says how soon to ask again. `now` is of the clock that counts suspend.
    pub(in crate::operator) fn ask(
        &self,
        key: &ProviderKey,
        limits: Limits,
        uid: &str,
        ends: Option<DateTime<Utc>>,
        now: Duration,
    ) -> Result<Pass, Duration> {
        let mut all = lock(&self.all);
        let turnstile = all.entry(key.clone()).or_default();
        turnstile.tidy(now);
        let room = turnstile.room(limits);
        let before = turnstile.before(uid, ends);
        if before < room {
            turnstile.waiting.remove(uid);
            turnstile.inside += 1;
            turnstile.begun.push_back(now);
            return Ok(Pass { all: Arc::clone(&self.all), key: key.clone() });
        }
        let pause = turnstile.pause(limits, before - room, now);
        turnstile.waiting.insert(uid.to_owned(), Waiting { ends, asks: now + pause });
        Err(pause)
    }
}

impl Turnstile {
    fn tidy(&mut self, now: Duration) {
        while self.begun.front().is_some_and(|begun| now.saturating_sub(*begun) >= MINUTE) {
            self.begun.pop_front();
        }
        self.waiting.retain(|_, waiting| now <= waiting.asks + FORGOTTEN);
    }

    /// How many may begin now.
    fn room(&self, limits: Limits) -> usize {
        let inside = limits.max_concurrent().map_or(usize::MAX, |most| most.saturating_sub(self.inside));
        let begun = limits.requests_per_minute().map_or(usize::MAX, |most| most.saturating_sub(self.begun.len()));
        inside.min(begun)
    }

    /// How many of those who wait go first.
    fn before(&self, uid: &str, ends: Option<DateTime<Utc>>) -> usize {
        let rank = |ends: Option<DateTime<Utc>>| ends.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let own = (rank(ends), uid);
        self.waiting.iter().filter(|(uid, waiting)| (rank(waiting.ends), uid.as_str()) < own).count()
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
    use super::*;

    const KEY: (ProviderKind, Option<String>, String) = (ProviderKind::ClusterTokenProvider, None, String::new());

    fn limits(concurrent: Option<i32>, per_minute: Option<i32>) -> Limits {
        Limits { max_concurrent: concurrent, requests_per_minute: per_minute }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ends(seconds: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(seconds, 0)
    }

    #[test]
    fn no_more_are_under_way_at_once_than_may_be() {
        let turnstiles = Turnstiles::default();
        let limits = limits(Some(2), None);
        let ask = |uid: &str| turnstiles.ask(&KEY, limits, uid, ends(100), at(0));
        let first = ask("a").ok();
        let second = ask("b").ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(ask("c").err(), Some(SOON));
        drop(first);
        let third = ask("c").ok();
        assert!(third.is_some());
        assert!(ask("d").is_err());
        drop((second, third));
        assert!(ask("d").is_ok());
    }

    #[test]
    fn no_more_begin_in_any_minute_than_may() {
        let turnstiles = Turnstiles::default();
        let limits = limits(None, Some(3));
        let ask = |uid: &str, now| turnstiles.ask(&KEY, limits, uid, ends(100), at(now)).map(drop);
        assert_eq!([ask("a", 0), ask("b", 10), ask("c", 50)], [Ok(()), Ok(()), Ok(())]);
        assert_eq!(ask("d", 51), Err(at(9)), "the first one leaves the minute after 60 s");
        assert_eq!(ask("d", 60), Ok(()));
        assert_eq!(ask("e", 60), Err(at(10)));
        assert_eq!(ask("e", 70), Ok(()));
        assert_eq!(ask("f", 71), Err(LATEST), "39 s are cut: what it waits for may change");
    }

    #[test]
    fn who_ends_soonest_goes_first_and_who_does_not_ask_again_is_forgotten() {
        let turnstiles = Turnstiles::default();
        let limits = limits(Some(1), None);
        let ask = |uid: &str, ends, now| turnstiles.ask(&KEY, limits, uid, ends, at(now));
        let inside = ask("inside", ends(1), 0).ok();
        assert!(ask("late", ends(900), 0).is_err() && ask("never", None, 0).is_err() && ask("soon", ends(300), 0).is_err());
        drop(inside);
        assert!(ask("never", None, 1).is_err() && ask("late", ends(900), 1).is_err(), "two of them end sooner");
        assert!(ask("soon", ends(300), 1).is_ok(), "its turn");
        assert!(ask("never", None, 1).is_err());
        // Deleted meanwhile: it would be the next one for ever.
        assert!(ask("never", None, 13).is_ok());
    }

    #[test]
    fn a_long_queue_is_told_to_come_back_in_its_order() {
        let turnstiles = Turnstiles::default();
        let limits = limits(None, Some(60));
        let ask = |number: i64| turnstiles.ask(&KEY, limits, &format!("{number:04}"), ends(number), at(0)).map(drop);
        assert_eq!((0..60).filter(|number| ask(*number).is_ok()).count(), 60);
        let pauses: Vec<Duration> = (60..100).filter_map(|number| ask(number).err()).collect();
        assert_eq!(pauses.len(), 40);
        assert!(pauses.iter().all(|pause| *pause == LATEST), "the minute has just begun: {pauses:?}");
    }

    #[test]
    fn providers_do_not_share_a_limit() {
        let turnstiles = Turnstiles::default();
        let other = (ProviderKind::TokenProvider, Some("a".to_owned()), String::new());
        let one = turnstiles.ask(&KEY, limits(Some(1), None), "a", None, at(0));
        assert!(one.is_ok());
        assert!(turnstiles.ask(&other, limits(Some(1), None), "b", None, at(0)).is_ok());
    }
}
