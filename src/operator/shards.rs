//! The objects split over replicas: each has its place in the range of a hash, the range is cut into shards, and each shard belongs to the
//! replica that holds its Lease.
//!
//! This spares replicas double work and lets them share it; that no token is spent twice rests on claims alone. Two things are not for
//! everybody, and belong to the first shard: the beginning of a chain, as two objects can have been given one seed, and what is asked of a
//! provider with limits, which count for all its objects together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use kube::ResourceExt as _;
use tokio::sync::{OnceCell, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Context;
use super::cluster::Trouble;
use super::guarded::Guarded;
use super::leader::Election;
use super::metrics::Metrics;
use super::rival::Taken;
use super::watch::reference;
use crate::api::RefreshableToken;
use crate::token::unit_interval;

/// How long a shard that another replica wants waits for its exchanges to end; it is kept if they do not. Our choice: most take less than a
/// second, and what would have begun meanwhile waits for nothing worse.
const EXCHANGES_END: Duration = Duration::from_secs(10);

/// The shard of what is not for everybody.
pub(super) const FIRST: usize = 0;

/// The shards, and which of them this replica holds.
pub(super) struct Shards {
    count: u16,
    held: Mutex<BTreeMap<usize, Hold>>,
    state: watch::Sender<State>,
    metrics: Metrics,
}

/// How far this replica is with its shards; it is sent with every change.
#[derive(Clone, Copy, Default)]
struct State {
    /// How many it holds.
    number: usize,
    /// It has lost the last one, and what it began with them has not ended.
    ending: bool,
}

/// The right to look after the objects of a shard.
#[derive(Clone)]
pub(super) struct Hold {
    pub(super) number: usize,
    /// Cancelled when it ends, or the operator stops: nothing new is begun.
    pub(super) over: CancellationToken,
    /// What was begun with it; nothing cancels that.
    pub(super) begun: TaskTracker,
    /// Of the first shard: who had taken which token since this replica holds it.
    taken: Arc<OnceCell<Taken>>,
}

/// Work for a shard. Whoever takes over the shard waits until it is dropped.
pub(super) struct Work {
    pub(super) hold: Hold,
    _token: TaskTrackerToken,
}

impl Work {
    /// None once the hold has ended.
    fn begin(hold: Hold) -> Option<Self> {
        // In this order: whoever ends the hold looks at what was begun after that.
        let token = hold.begun.token();
        (!hold.over.is_cancelled()).then_some(Self { hold, _token: token })
    }
}

impl Shards {
    pub(super) fn new(count: u16, metrics: Metrics) -> Self {
        let count = count.max(1);
        metrics.splits_into(count);
        Self { count, held: Mutex::default(), state: watch::Sender::default(), metrics }
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The shard with this number, if this replica holds it.
    pub(super) fn hold(&self, number: usize) -> Option<Hold> {
        self.held().get(&number).cloned()
    }

    /// Begins work for the shard with this number, if this replica holds it.
    pub(super) fn begin(&self, number: usize) -> Option<Work> {
        Work::begin(self.hold(number)?)
    }

    /// Holds a shard until `over`, or until it is lost; none while what was begun before is still ending, as nobody would look after it.
    pub(super) fn take(&self, number: usize, over: CancellationToken) -> Option<Hold> {
        let mut all = self.held();
        if self.state.borrow().ending {
            return None;
        }
        let hold = Hold { number, over, begun: TaskTracker::new(), taken: Arc::default() };
        all.insert(number, hold.clone());
        self.tell(&all);
        Some(hold)
    }

    fn lose(&self, number: usize) {
        let mut held = self.held();
        held.remove(&number);
        self.tell(&held);
    }

    fn tell(&self, held: &BTreeMap<usize, Hold>) {
        self.metrics.holds_shards(held.len());
        self.state.send_modify(|state| state.number = held.len());
    }

    /// Resolves once this replica holds a shard: it works from now on.
    pub(super) async fn begun(&self) {
        self.reach(|state| state.number > 0).await;
    }

    /// Resolves once the last shard was lost. None is taken until [`Self::ended`].
    pub(super) async fn lost_all(&self) {
        loop {
            self.reach(|state| state.number == 0).await;
            let held = self.held();
            if held.is_empty() {
                return self.state.send_modify(|state| state.ending = true);
            }
        }
    }

    /// What was begun with the last shard has ended.
    pub(super) fn ended(&self) {
        self.state.send_modify(|state| state.ending = false);
    }

    /// Resolves once shards can be taken.
    async fn at_rest(&self) {
        self.reach(|state| !state.ending).await;
    }

    async fn reach(&self, wanted: impl Fn(&State) -> bool) {
        // The sender lives as long as this.
        let _ = self.state.subscribe().wait_for(wanted).await;
    }

    /// The shard of an object with this UID: its place in the range of a hash. Not the hash that jitter is drawn from: the objects of a
    /// shard would be due one after the other, and those of another later.
    fn of(&self, uid: &str) -> usize {
        let (place, count) = (unit_interval(&format!("shard {uid}")), f64::from(self.count));
        (1..self.count).take_while(|bound| f64::from(*bound) / count <= place).count()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<usize, Hold>> {
        // What the mutex guards is whole between any two statements.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands for the Lease of each shard until the operator stops. Each shard that is lost or given up is stood for again.
pub(super) async fn stand(context: &Context, elections: &[Election]) {
    let each = elections.iter().enumerate().map(|(number, election)| stand_for(context, number, election));
    context.stopping.run_until_cancelled(join_all(each)).await;
}

async fn stand_for(context: &Context, number: usize, election: &Election) {
    let shards = &context.shards;
    loop {
        shards.at_rest().await;
        let term = election.lead().await;
        loop {
            let Some(hold) = shards.take(number, context.stopping.child_token()) else {
                election.give_up().await;
                break;
            };
            let wanted = tokio::select! {
                () = term.lost.cancelled() => false,
                () = term.wanted.notified() => true,
            };
            hold.over.cancel();
            shards.lose(number);
            if !wanted {
                tracing::warn!(shard = number, "the lead is lost: no new exchange is begun, those under way are finished");
                break;
            }
            hold.begun.close();
            if timeout(EXCHANGES_END, hold.begun.wait()).await.is_ok() {
                tracing::info!(shard = number, "given up: another replica has less to do");
                election.give_up().await;
                break;
            }
            tracing::info!(shard = number, "kept, though another replica has less to do: an exchange goes on");
            election.keep();
        }
    }
}

impl Context {
    /// The shard that an object belongs to, as long as its seed holds no new token.
    pub(super) fn shard_of(&self, object: &RefreshableToken) -> usize {
        let begun = object.status.as_ref().and_then(|status| status.chain_generation).unwrap_or(0) > 0;
        if self.shards.count() > 1 && begun && !self.shares_limits(object) {
            self.shards.of(&object.uid().unwrap_or_default())
        } else {
            FIRST
        }
    }

    /// Whether an object belongs to a shard of this replica.
    pub(super) fn looks_after(&self, object: &Guarded<RefreshableToken>) -> bool {
        self.shards.hold(self.own_shard(object)).is_some()
    }

    /// The shard that a stored object belongs to; those that do not decode belong to the first.
    fn own_shard(&self, object: &Guarded<RefreshableToken>) -> usize {
        object.0.as_ref().map_or(FIRST, |object| self.shard_of(object))
    }

    /// Begins work for an object, if this replica may have to do with it.
    pub(super) fn begin(&self, object: &Guarded<RefreshableToken>) -> Option<Work> {
        self.holds(object).find_map(Work::begin)
    }

    /// The shards of this replica that have to do with an object: its own, and the first one where it may have a new seed.
    fn holds(&self, object: &Guarded<RefreshableToken>) -> impl Iterator<Item = Hold> {
        // In this order, one at a time: with a shard of its own at hand nobody asks after the seed.
        let own = self.shards.hold(self.own_shard(object));
        let may_adopt = |_: &usize| object.0.as_ref().is_ok_and(|object| self.seed_changed(object));
        own.into_iter().chain([FIRST].into_iter().filter(may_adopt).filter_map(|first| self.shards.hold(first)))
    }

    /// Who had taken which token before this replica came to begin chains with `hold`; none if the API server does not answer. Nobody else
    /// begins any where there is one shard.
    pub(super) async fn taken<'a>(&self, hold: &'a Hold) -> Option<&'a Taken> {
        let ask = async || {
            let mut taken = Taken::default();
            if self.shards.count() > 1 {
                self.see_all(|object| taken.note(object)).await?;
            }
            Ok::<_, Trouble>(taken)
        };
        hold.taken.get_or_try_init(ask).await.ok()
    }

    /// Whether the seed of an object may be another than its chain began with; nobody knows where Secrets are not watched.
    fn seed_changed(&self, object: &RefreshableToken) -> bool {
        let known = object.status.as_ref().and_then(|status| status.seed.as_ref()?.resource_version.as_deref());
        let namespace = object.namespace().unwrap_or_default();
        let seen = self.seen.get(&namespace, &object.spec.credential.seed_secret_ref.name);
        !self.secrets_watch || seen.is_some_and(|seen| Some(seen.resource_version.as_str()) != known)
    }

    /// Has the objects of each shard looked at that this replica has come to hold.
    pub(super) async fn look_at_new_shards(self: &Arc<Self>) {
        let looks = async {
            let mut changes = self.shards.state.subscribe();
            let mut known: Vec<Hold> = Vec::new();
            loop {
                let held: Vec<Hold> = self.shards.held().values().cloned().collect();
                known.retain(|hold| !hold.over.is_cancelled());
                let new = |hold: &Hold| !known.iter().any(|known| known.number == hold.number);
                for object in self.objects().iter().filter(|object| self.holds(object).any(|hold| new(&hold))) {
                    self.wake(reference(object.as_ref()));
                }
                known = held;
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        self.stopping.run_until_cancelled(looks).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_cut_into_equal_shards() {
        for count in [1_u16, 2, 3, 7, 64] {
            let shards = Shards::new(count, Metrics::new());
            let mut sizes = vec![0_u32; shards.count()];
            for number in 0..10_000 {
                sizes[shards.of(&format!("uid-{number}"))] += 1;
            }
            let fair = 10_000 / u32::from(count);
            assert!(sizes.iter().all(|size| *size > fair / 2 && *size < 2 * fair), "{count}: {sizes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_is_lost_before_anything_was_begun_is_stood_for_again() {
        let shards = Shards::new(1, Metrics::new());
        shards.take(0, CancellationToken::new()).unwrap();
        shards.lose(0);
        assert!(timeout(EXCHANGES_END, shards.at_rest()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_begins_once_a_shard_is_over_and_what_has_begun_is_waited_for() {
        let shards = Shards::new(1, Metrics::new());
        let hold = shards.take(0, CancellationToken::new()).unwrap();
        let work = shards.begin(0).unwrap();
        hold.over.cancel();
        hold.begun.close();
        assert!(shards.begin(0).is_none());
        assert!(timeout(EXCHANGES_END, hold.begun.wait()).await.is_err());
        drop(work);
        hold.begun.wait().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_is_taken_again_is_another_hold() {
        let shards = Shards::new(2, Metrics::new());
        let stopping = CancellationToken::new();
        let first = shards.take(1, stopping.child_token()).unwrap();
        assert!(shards.hold(0).is_none() && shards.hold(1).is_some());
        shards.begun().await;
        first.over.cancel();
        shards.lose(1);
        shards.lost_all().await;
        assert!(timeout(EXCHANGES_END, shards.at_rest()).await.is_err(), "what it began has not ended");
        assert!(shards.take(1, stopping.child_token()).is_none(), "a Lease that was won meanwhile is given back");
        shards.ended();
        shards.at_rest().await;
        let second = shards.take(1, stopping.child_token()).unwrap();
        assert!(!second.over.is_cancelled());
        stopping.cancel();
        assert!(second.over.is_cancelled());
    }
}
