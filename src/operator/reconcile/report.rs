//! What follows a look: the status is stored, people are told, workloads are restarted, and the next look is planned.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kube::Resource as _;
use kube::runtime::controller::Action;

use super::super::bundles;
use super::super::cluster::{Trouble, is_owned_by};
use super::super::rollout;
use super::{Turn, UNAVAILABLE_PAUSE};
use crate::api::RefreshableTokenStatus;
use crate::refresh::conclude::{Conclusion, Note};
use crate::refresh::decide::previous_ends;

/// Longest sleep before an object is looked at again. kube sleeps on the monotonic clock, which stops during suspend, so that
/// a long sleep could outlast an expiry.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(300);

impl Turn {
    /// Stores the status if it changed, tells people, and says when to look again.
    pub(super) async fn report(mut self, conclusion: Conclusion, until: Option<DateTime<Utc>>) -> Action {
        self.remembered.memory = conclusion.memory;
        let same = self.object.status.as_ref() == Some(&conclusion.status);
        let stored = same || self.store(&conclusion.status).await;
        if !same {
            self.remembered.latest = Some(Box::new(self.object.clone()));
        } else if conclusion.again
            // What was decided rests on an object that has changed since: the watch may show that much later.
            && let Ok(live) = self.context.cluster.object(&self.namespace, &self.name).await
            && is_owned_by(&live, &self.uid)
        {
            self.remembered.latest = Some(Box::new(live));
        }
        self.context.memory.remember(&self.uid, self.remembered.clone());
        self.wait_for_bundle(&conclusion.status).await;
        self.tell(&conclusion.events).await;
        if !stored {
            return Action::requeue(UNAVAILABLE_PAUSE);
        }
        if conclusion.again {
            return Action::requeue(Duration::from_millis(500));
        }
        let rollout = if self.object.spec.rollout.is_some() { self.roll_out().await } else { None };
        self.next_look(&conclusion.status, [until, rollout])
    }

    /// Notes whether other certificate authorities could mend what is wrong.
    async fn wait_for_bundle(&self, status: &RefreshableTokenStatus) {
        let place = match &self.provider {
            _ if !bundles::waits(status) => None,
            Ok(provider) => bundles::named_by(provider),
            // What a server tells of itself may be what could not be read.
            Err(_) => self.context.named(&self.object).await.ok().as_ref().and_then(bundles::named_by),
        };
        self.context.bundles.note(&self.object, place);
    }

    /// When to look again: at these times, at the next refresh, at the expiry, or when a previous token goes.
    fn next_look(&self, status: &RefreshableTokenStatus, times: [Option<DateTime<Utc>>; 2]) -> Action {
        let now = self.context.clock.now();
        let expiry = status.token.as_ref().and_then(|token| token.expiration_time);
        let times = times.into_iter().chain([status.next_refresh_time, expiry]).flatten();
        let wake = times.chain(previous_ends(&self.object.spec, status)).filter(|time| *time > now).min();
        // The clock is read in whole seconds by the decision: a millisecond more makes sure that the time has come.
        let sleep = wake.map(|time| (time - now).to_std().unwrap_or_default() + Duration::from_millis(1));
        Action::requeue(sleep.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP))
    }

    /// Restarts the workloads whose turn it is, and says when to look at them again. What is said of them is lost if it cannot be
    /// stored: their own annotations tell the next look.
    async fn roll_out(&mut self) -> Option<DateTime<Utc>> {
        let tries = self.remembered.rollouts.take().map(|tries| *tries).unwrap_or_default();
        let attended = rollout::attend(&self.context, &self.work.hold, &self.object, tries).await;
        self.remembered.rollouts = Some(Box::new(attended.tries));
        if let Some(status) = attended.status
            && self.store(&status).await
        {
            self.remembered.latest = Some(Box::new(self.object.clone()));
        }
        self.context.memory.remember(&self.uid, self.remembered.clone());
        self.tell(&attended.notes).await;
        attended.next
    }

    async fn tell(&self, notes: &[Note]) {
        for note in notes {
            if note.warning {
                tracing::warn!(reason = note.reason.as_str(), message = note.message);
            } else {
                tracing::info!(reason = note.reason.as_str(), message = note.message);
            }
            self.context.cluster.publish_event(&self.object.object_ref(&()), note).await;
        }
    }

    /// PUT the status. Somebody who wrote to the object in between is no reason to lose what we know; another replica that has
    /// written about the chain knows more, and its mark must not be written over.
    async fn store(&mut self, status: &RefreshableTokenStatus) -> bool {
        let base = self.object.status.clone().unwrap_or_default();
        for _ in 0..3 {
            self.object.status = Some(status.clone());
            match self.context.cluster.put_status(&self.namespace, &self.object).await {
                Ok(object) => {
                    self.object = object;
                    return true;
                }
                Err(Trouble::Conflict) => match self.context.cluster.object(&self.namespace, &self.name).await {
                    Ok(object) if is_owned_by(&object, &self.uid) => {
                        let same = object.status.as_ref().is_none_or(|live| live.same_chain(&base));
                        self.object = object;
                        if !same {
                            break;
                        }
                    }
                    Ok(_) | Err(Trouble::Missing) => return true,
                    Err(Trouble::Conflict | Trouble::Denied | Trouble::Unclear) => break,
                },
                Err(Trouble::Missing) => return true,
                Err(Trouble::Denied | Trouble::Unclear) => break,
            }
        }
        tracing::warn!("the status could not be stored; it is computed again");
        false
    }
}
