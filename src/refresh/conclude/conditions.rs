//! Conditions and events: what is said about an object, from its status and from what troubles it.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::super::schedule::{retry_delay, whole_seconds};
use super::{Conclusion, Draft, REFUSAL_REST, Trouble};
use crate::api::condition::{Statement, restate};
use crate::api::{Condition, ConditionStatus, ConditionType, Reason};

impl Draft<'_> {
    /// Conditions, and events for what has changed in them.
    pub(super) fn finish(mut self, trouble: Option<Trouble>) -> Conclusion {
        if let Some((reason, _)) = &self.unsynced {
            let fleeting = passes(*reason);
            self.memory.publish_failures = self.memory.publish_failures.saturating_add(1);
            let delay = retry_delay(&self.facts.spec.refresh(), self.memory.publish_failures, None, None);
            self.rest(if fleeting { delay + Duration::from_secs(1) } else { REFUSAL_REST });
        } else if self.published {
            self.memory.publish_failures = 0;
        }
        let synced = self.synced(trouble.as_ref());
        let progress = self.progress(trouble);
        let failing = self.status.consecutive_failures.unwrap_or(0) > 0;
        if progress.as_ref().is_some_and(|statement| statement.type_ == ConditionType::Stalled) && !failing {
            self.status.next_refresh_time = None;
        }
        let ready = self.ready(&synced, progress.as_ref());
        self.tell(&ready, &synced, progress.as_ref());
        let statements: Vec<Statement> = [Some(ready), Some(synced), progress].into_iter().flatten().collect();
        self.status.conditions =
            restate(&self.facts.status.conditions, statements, self.facts.generation, whole_seconds(self.now));
        Conclusion { status: self.status, events: self.events, memory: self.memory, again: self.again }
    }

    pub(super) fn old(&self, type_: ConditionType) -> Option<(ConditionStatus, Reason, String)> {
        let condition = self.status.conditions.iter().find(|c| c.type_ == type_)?;
        Some((condition.status, Reason::parse(&condition.reason)?, condition.message.clone()))
    }

    fn synced(&self, trouble: Option<&Trouble>) -> Statement {
        let state = |status, reason, message: String| Statement { type_: ConditionType::SecretsSynced, status, reason, message };
        if let Some((reason, message)) = &self.unsynced {
            return state(ConditionStatus::False, *reason, message.clone());
        }
        if let Some(Trouble::Stalled(reason, message)) = trouble
            && matches!(
                reason,
                Reason::OutputConflict | Reason::OutputImmutable | Reason::OutputTypeMismatch | Reason::OutputInvalid
            )
        {
            return state(ConditionStatus::False, *reason, message.clone());
        }
        if self.published {
            let (all, total) = (self.status.outputs.len(), self.facts.spec.outputs.len());
            return state(ConditionStatus::True, Reason::Written, format!("{all} of {total} Secrets hold the newest token"));
        }
        match self.old(ConditionType::SecretsSynced) {
            Some((ConditionStatus::True, ..)) if self.unwritten => {
                let message = "the Secrets have not been written since the spec changed".to_owned();
                state(ConditionStatus::Unknown, Reason::Pending, message)
            }
            Some((status, reason, message)) => state(status, reason, message),
            None => state(ConditionStatus::Unknown, Reason::Pending, "no token has been obtained yet".to_owned()),
        }
    }

    /// `Stalled` or `Reconciling`, or neither.
    fn progress(&self, trouble: Option<Trouble>) -> Option<Statement> {
        let state = |type_, reason, message| Statement { type_, status: ConditionStatus::True, reason, message };
        match trouble {
            Some(Trouble::Stalled(reason, message)) => return Some(state(ConditionType::Stalled, reason, message)),
            Some(Trouble::Retrying(reason, message)) => return Some(state(ConditionType::Reconciling, reason, message)),
            None => {}
        }
        if let Some((reason, message)) = &self.unsynced {
            let type_ = if passes(*reason) { ConditionType::Reconciling } else { ConditionType::Stalled };
            return Some(state(type_, *reason, message.clone()));
        }
        let keep = |type_| self.old(type_).map(|(_, reason, message)| state(type_, reason, message));
        let unwritten = self.old(ConditionType::SecretsSynced).is_some_and(|(status, ..)| status == ConditionStatus::False);
        let behind = self.memory.publish_failures > 0 || unwritten;
        let working = self.status.consecutive_failures.unwrap_or(0) > 0 || behind && !self.published;
        // A spec that was refused has been changed, or nobody would have come here.
        let mended = self.facts.status.observed_generation != self.facts.generation;
        keep(ConditionType::Stalled)
            .filter(|statement| statement.reason != Reason::InvalidSpec || !mended)
            .or_else(|| keep(ConditionType::Reconciling).filter(|_| working && !self.facts.spec.suspended()))
    }

    fn ready(&self, synced: &Statement, progress: Option<&Statement>) -> Statement {
        let state = |status, reason, message: String| Statement { type_: ConditionType::Ready, status, reason, message };
        let expiration = self.status.token.as_ref().and_then(|token| token.expiration_time);
        let stalled = progress.filter(|statement| statement.type_ == ConditionType::Stalled);
        if self.status.token.is_none() {
            return match progress {
                Some(trouble) => state(ConditionStatus::False, trouble.reason, trouble.message.clone()),
                None if self.facts.spec.suspended() => {
                    state(ConditionStatus::False, Reason::Suspended, "suspended before the first token was obtained".to_owned())
                }
                None => state(ConditionStatus::Unknown, Reason::Pending, "the first refresh has not ended yet".to_owned()),
            };
        }
        if expiration.is_some_and(|expiration| expiration <= self.now) {
            let mut message = format!("the access token expired at {}", text(expiration));
            if let Some(trouble) = progress {
                message = format!("{message}: {}", trouble.message);
            }
            return state(ConditionStatus::False, Reason::Expired, message);
        }
        if synced.status == ConditionStatus::False {
            return state(ConditionStatus::False, synced.reason, synced.message.clone());
        }
        if let Some(stalled) = stalled.filter(|statement| statement.reason == Reason::InvalidSpec) {
            return state(ConditionStatus::False, stalled.reason, stalled.message.clone());
        }
        if self.facts.spec.suspended() {
            let message = format!("suspended; the access token is valid until {}", text(expiration));
            return state(ConditionStatus::True, Reason::Suspended, message);
        }
        let message = match (stalled, self.status.next_refresh_time) {
            (Some(stalled), None) => format!("valid until {}, but no refresh will follow: {}", text(expiration), stalled.message),
            (Some(stalled), Some(next)) => {
                format!("valid until {}, next try at {}: {}", text(expiration), text(Some(next)), stalled.message)
            }
            (None, Some(next)) => format!("valid until {}, next refresh at {}", text(expiration), text(Some(next))),
            (None, None) => format!("valid until {}", text(expiration)),
        };
        state(ConditionStatus::True, Reason::TokenFresh, message)
    }

    fn tell(&mut self, ready: &Statement, synced: &Statement, progress: Option<&Statement>) {
        let changed = |statement: &Statement| {
            let same = |c: &Condition| c.type_ == statement.type_ && c.reason == statement.reason.as_str();
            !self.facts.status.conditions.iter().any(same)
        };
        let mut told = Vec::new();
        if let Some(progress) = progress.filter(|statement| changed(statement)) {
            told.push((true, progress.reason, progress.message.clone()));
        }
        if synced.status == ConditionStatus::False && changed(synced) && progress.is_none_or(|p| p.reason != synced.reason) {
            told.push((true, synced.reason, synced.message.clone()));
        }
        let lapsed = ready.reason == Reason::Expired || ready.reason == Reason::Suspended;
        if lapsed && changed(ready) {
            told.push((ready.reason == Reason::Expired, ready.reason, ready.message.clone()));
        }
        for (warning, reason, message) in told {
            self.note(warning, reason, message);
        }
    }
}

/// Whether trying again by itself can help an output.
fn passes(reason: Reason) -> bool {
    matches!(reason, Reason::WriteFailed | Reason::OutputMissing | Reason::TokenNotVerified)
}

/// A time, or that there is none.
pub(super) fn text(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "an unknown time".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}
