//! In front of the exchanges: for each token API, so many are worked on at once, and of those who wait the one whose token ends soonest goes
//! first.
//!
//! An exchange takes a hundred kilobytes and a connection to the API server while it is worked on. Whoever waits here takes next to nothing,
//! so that ten thousand that are due at once fit where one does. A token API that does not answer holds up its own lane and no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use reqwest::Url;
use tokio::time::sleep;

use super::gate::{Gate, Pass};
use super::metrics::Metrics;
use crate::api::ProviderSpec;

/// How many exchanges are worked on at once in a lane, for each one that may be in flight. Our choice: while some are in flight, others
/// read and publish, and some wait for a connection.
const ABREAST: usize = 8;
/// How long the turn of somebody who is called and does not come is kept. Our choice: a busy operator comes late.
const KEPT: Duration = Duration::from_secs(10);

/// The lanes of all token APIs.
pub(super) struct Lanes {
    /// How many are worked on at once in each.
    abreast: usize,
    metrics: Metrics,
    /// Of those that somebody is in or waits for.
    gates: Mutex<HashMap<Lane, Weak<Gate>>>,
    /// Who waits, by UID.
    waiting: Mutex<HashMap<String, Place>>,
    /// How many have waited.
    waited: AtomicU64,
}

/// A place in front of a lane.
struct Place {
    number: u64,
    /// The turn of somebody who is called.
    turn: Option<Pass>,
}

/// The host and port of a token API; none for what calls no token API.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane(Option<String>);

impl Lane {
    /// The lane of those that call this token API, or none.
    pub(super) fn of(provider: Option<&ProviderSpec>) -> Self {
        let authority = |url: Url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?));
        // What is no URL is refused before it is called.
        Self(provider.map(|provider| Url::parse(provider.url()).ok().and_then(authority).unwrap_or_default()))
    }
}

#[cfg(test)]
impl Lane {
    pub(super) fn named(host: &str) -> Self {
        Self(Some(host.to_owned()))
    }
}

/// Who needs a turn.
#[derive(Clone, Debug)]
pub(super) struct Comer {
    pub(super) lane: Lane,
    /// UID of the object.
    pub(super) uid: String,
    /// When its token ends.
    pub(super) ends: Option<DateTime<Utc>>,
}

impl Lanes {
    /// Lanes in which so many are worked on at once that `max_in_flight` can be in flight. Those who wait are counted in `metrics`.
    pub(super) fn new(max_in_flight: usize, metrics: Metrics) -> Self {
        let abreast = ABREAST * max_in_flight;
        Self { abreast, metrics, gates: Mutex::default(), waiting: Mutex::default(), waited: AtomicU64::default() }
    }

    /// A turn: the one that somebody was called for, or another if nobody has to wait.
    pub(super) fn turn(&self, who: &Comer) -> Option<Pass> {
        let mut waiting = self.waiting();
        match waiting.get(&who.uid) {
            Some(Place { turn: Some(_), .. }) => self.leave(&mut waiting, &who.uid),
            Some(_) => None,
            None => self.enter(who).now_or_never(),
        }
    }

    /// Waits for a turn, and calls when it has come. Returns at once if it waits already.
    pub(super) async fn wait(&self, who: &Comer, call: impl Fn()) {
        let number = self.waited.fetch_add(1, Ordering::Relaxed);
        if !self.stand(&who.uid, number) {
            return;
        }
        let _waiting = Waiting { lanes: self, uid: &who.uid, number };
        let turn = self.enter(who).await;
        self.waiting().insert(who.uid.clone(), Place { number, turn: Some(turn) });
        call();
        sleep(KEPT).await;
    }

    /// Takes a place; false if it has one.
    fn stand(&self, uid: &str, number: u64) -> bool {
        let mut waiting = self.waiting();
        if waiting.contains_key(uid) {
            return false;
        }
        waiting.insert(uid.to_owned(), Place { number, turn: None });
        self.metrics.waiting(waiting.len());
        true
    }

    /// Gives up a place, and gives the turn that came.
    fn leave(&self, waiting: &mut HashMap<String, Place>, uid: &str) -> Option<Pass> {
        let place = waiting.remove(uid);
        self.metrics.waiting(waiting.len());
        place?.turn
    }

    async fn enter(&self, who: &Comer) -> Pass {
        self.gate(&who.lane).enter(self.abreast, &who.uid, who.ends).await
    }

    fn gate(&self, lane: &Lane) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(lane).and_then(Weak::upgrade) {
            return gate;
        }
        gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::default();
        gates.insert(lane.clone(), Arc::downgrade(&gate));
        gate
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Place>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives up a place when it is dropped, if it is still the same.
struct Waiting<'a> {
    lanes: &'a Lanes,
    uid: &'a str,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.lanes.waiting();
        if waiting.get(self.uid).is_some_and(|place| place.number == self.number) {
            self.lanes.leave(&mut waiting, self.uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use serde_json::json;

    use super::super::metrics::Format;
    use super::*;

    fn comer(lane: &Lane, uid: &str) -> Comer {
        Comer { lane: lane.clone(), uid: uid.to_owned(), ends: None }
    }

    fn lane(url: &str) -> Lane {
        Lane::of(Some(&serde_json::from_value(json!({"oauth2": {"tokenURL": url}})).unwrap()))
    }

    #[test]
    fn a_lane_is_that_of_a_host_and_port() {
        assert_eq!(lane("https://idp.example.com/a"), lane("https://idp.example.com:443/b"));
        assert_ne!(lane("https://idp.example.com/a"), lane("https://idp.example.com:8443/a"));
        assert_ne!(lane("no url"), Lane::of(None));
    }

    #[test]
    fn a_full_lane_holds_up_no_other_and_is_forgotten_when_empty() {
        let lanes = Lanes::new(1, Metrics::new());
        let (full, other) = (lane("https://dead.example.com"), lane("https://idp.example.com"));
        let enter = |lane: &Lane| lanes.turn(&comer(lane, "a"));
        let inside: Vec<Pass> = (0..ABREAST).filter_map(|_| enter(&full)).collect();
        assert_eq!(inside.len(), ABREAST);
        assert!(enter(&full).is_none() && enter(&other).is_some());
        drop(inside);
        assert!(enter(&full).is_some());
        drop(lanes.gate(&lane("https://new.example.com")));
        assert_eq!(lanes.gates.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_called_has_its_turn_and_who_does_not_come_gives_it_back() {
        let metrics = Metrics::new();
        let lanes = Arc::new(Lanes::new(1, metrics.clone()));
        let lane = lane("https://idp.example.com");
        let turn = |uid: &str| lanes.turn(&comer(&lane, uid));
        let shown = |waiting: usize| {
            let wanted = format!("refreshabletoken_refreshes_waiting {waiting}");
            metrics.text(Format::Prometheus).lines().any(|shown| shown == wanted)
        };
        let mut inside: Vec<Pass> = (0..ABREAST).filter_map(|_| turn("first")).collect();
        let called = Arc::new(AtomicUsize::new(0));
        let wait = |uid: &'static str| {
            let (lanes, who, called) = (Arc::clone(&lanes), comer(&lane, uid), Arc::clone(&called));
            tokio::spawn(async move {
                let call = || {
                    called.fetch_add(1, Ordering::SeqCst);
                };
                lanes.wait(&who, call).await;
            })
        };
        let tasks = [wait("comes"), wait("comes"), wait("stays away")];
        sleep(Duration::from_secs(1)).await;
        assert!(turn("comes").is_none() && called.load(Ordering::SeqCst) == 0 && shown(2));
        inside.truncate(ABREAST - 2);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(called.load(Ordering::SeqCst), 2, "nobody waits twice");
        assert!(turn("new").is_none(), "both turns are kept");
        let came = turn("comes");
        assert!(came.is_some() && shown(1), "whoever has its turn waits no longer");
        assert!(turn("comes").is_none(), "it has one turn");
        let task = wait("comes");
        sleep(KEPT + Duration::from_secs(1)).await;
        assert_eq!(called.load(Ordering::SeqCst), 3, "it waits anew");
        task.abort();
        assert!(task.await.is_err());
        assert!(turn("new").is_some(), "whoever stays away gives it back");
        for task in tasks {
            task.await.unwrap();
        }
        assert!(lanes.waiting().is_empty() && shown(0));
    }
}
