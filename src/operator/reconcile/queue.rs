//! Turns. What is due waits for one in the lane of its token API, outside the looks: kube asks after each of those that are under way again
//! and again. Where a provider has limits, it comes back and asks for one.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use super::Turn;
use crate::api::{Limits, RefreshableToken};
use crate::operator::Context;
use crate::operator::gate::Pass;
use crate::operator::guarded::Guarded;
use crate::operator::lanes::{Comer, Lane};
use crate::operator::provider::{ProviderKey, Resolved};
use crate::refresh::conclude::conclude_wait;
use crate::refresh::decide::Plan;
use crate::refresh::schedule::after;

/// Longest wait in a lane before an object is looked at again: it may be suspended or deleted by now. Our choice.
const LONGEST_QUEUE: Duration = Duration::from_secs(30);

/// How long after its creation an object whose token has no known end counts as ending where others wait too. Our choice: tokens that
/// end sooner go first, and whoever has just made an object is not kept waiting by all others.
const NEWCOMER: Duration = Duration::from_secs(300);

/// What follows a look.
pub(super) enum Next {
    /// The next one.
    Look(Action),
    /// A turn in a lane; then another look.
    Queue(Comer),
}

impl Context {
    /// Has the object looked at when its turn comes, and now and then until then.
    pub(super) fn queue(self: &Arc<Self>, who: Comer, object: ObjectRef<Guarded<RefreshableToken>>) -> Action {
        let context = Arc::clone(self);
        tokio::spawn(async move {
            let call = || context.wake(object.clone());
            context.stopping.run_until_cancelled(context.lanes.wait(&who, call)).await;
        });
        Action::requeue(LONGEST_QUEUE)
    }
}

impl Turn {
    /// Takes a turn in the lane of the token API, if the plan needs one; or says who has to wait for it, and where.
    pub(super) fn queue_up(&mut self, plan: &Plan, resolved: &Resolved) -> Option<Comer> {
        let calls = match plan {
            Plan::ReadSeed => true,
            Plan::Exchange { task, .. } => self.calls(*task),
            Plan::Leave | Plan::Wait { .. } | Plan::Halt { .. } => return None,
        };
        // What is under way already must not wait: a grace may end.
        if self.turn.is_some() || self.status.attempt.is_some() {
            return None;
        }
        let lane = Lane::of(calls.then_some(&resolved.spec));
        let who = Comer { lane, uid: self.uid.clone(), ends: self.ends() };
        self.turn = self.context.lanes.turn(&who);
        self.turn.is_none().then_some(who)
    }

    /// Asks for a turn at a provider that has limits; or says how soon to ask again.
    pub(super) fn ask(&self, (provider, limits): &(ProviderKey, Limits)) -> Result<Pass, Duration> {
        self.context.providers.turnstiles.ask(provider, *limits, &self.uid, self.ends(), self.context.clock.since_boot())
    }

    /// Waits for its turn; says what the passing of time makes of the token.
    pub(super) async fn come_back(self, pause: Duration) -> Action {
        let now = self.context.clock.now();
        tracing::debug!(?pause, "the provider's limits are reached: others go first");
        let conclusion = conclude_wait(&self.facts(), now);
        self.restate(conclusion, Some(after(now, pause))).await
    }

    /// When the token ends, for the order in which tokens that wait for each other have their turn.
    pub(super) fn ends(&self) -> Option<DateTime<Utc>> {
        let known = self.status.token.as_ref().and_then(|token| token.expiration_time);
        let created = self.object.metadata.creation_timestamp.as_ref();
        let created = created.and_then(|time| DateTime::from_timestamp(time.0.as_second(), 0));
        known.or(created.map(|created| after(created, NEWCOMER)))
    }
}
