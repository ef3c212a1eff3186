//! The gates of providers that have limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::lock;
use crate::api::{Limits, ProviderKind};
use crate::operator::gate::{Gate, Pass};

/// A shared provider: its kind, its namespace where it has one, and its name.
pub(in crate::operator) type ProviderKey = (ProviderKind, Option<String>, String);

/// One gate for each provider.
#[derive(Default)]
pub(in crate::operator) struct Turnstiles {
    all: Mutex<HashMap<ProviderKey, Arc<Gate>>>,
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
        let gate = Arc::clone(lock(&self.all).entry(key.clone()).or_default());
        gate.ask(limits, uid, ends, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::gate::{LATEST, SOON};

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
