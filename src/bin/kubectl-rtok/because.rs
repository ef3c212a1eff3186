//! Each decision of the operator about a token with its inputs, in words. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use refreshable_token_operator::api::RefreshSpec;
use refreshable_token_operator::provider::Semantics;
use refreshable_token_operator::refresh::decide::{Plan, Trigger, stalled};
use refreshable_token_operator::refresh::schedule::{Schedule, readable, retry_delay};
use serde::Serialize;

use crate::situation::{Known, Situation, semantics};
use crate::time::{absolute, both, relative};
use crate::windows;

/// One decision with its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What is decided.
    pub decision: &'static str,
    /// What it came to.
    pub value: String,
    /// From what.
    pub because: String,
}

impl Situation {
    /// Each decision with its inputs, as of `now`; the last one as of `time`.
    pub fn explain(&self, now: DateTime<Utc>, time: DateTime<Utc>) -> Vec<Line> {
        let policy = self.object.spec.refresh();
        let mut lines = vec![self.provider()];
        lines.extend(self.token(now));
        if let Some(schedule) = self.schedule(now) {
            lines.extend(scheduled(&policy, &schedule, now));
            lines.extend(self.expiration().map(|expiration| tolerance(&schedule, expiration)));
        }
        lines.push(self.retry(&policy, now));
        lines.extend(self.next(now));
        lines.push(self.decision(now, time));
        lines
    }

    fn expiration(&self) -> Option<DateTime<Utc>> {
        self.status().token?.expiration_time
    }

    fn provider(&self) -> Line {
        let semantics = match &self.provider {
            Ok(provider) => semantics(provider, &self.object),
            Err(why) => return Line { decision: "provider", value: self.provider_in_words(), because: why.in_words() },
        };
        let because = match semantics {
            Semantics::SingleUse => "each refresh token works once: claimed before it is sent, sent once",
            Semantics::Grace(_) => "each refresh token works once, and a lost answer may be asked for again within graceSeconds",
            Semantics::IdempotencyKey => {
                "each refresh token works once, and a lost answer may be asked for again under the same key"
            }
            Semantics::Reusable => "the refresh token stays valid: a lost answer costs nothing",
            Semantics::Reissue => "there is no refresh token: credentials, or another token, obtain each token anew",
            Semantics::RenewsItself => "there is no refresh token: the access token renews itself while it lives",
        };
        Line { decision: "provider", value: self.provider_in_words(), because: because.to_owned() }
    }

    fn token(&self, now: DateTime<Utc>) -> Vec<Line> {
        let Some(token) = self.status().token else {
            return vec![Line {
                decision: "lifetime",
                value: "-".to_owned(),
                because: "no token has been obtained yet".to_owned(),
            }];
        };
        let issued = token.issued_time.map_or_else(|| "at an unknown time".to_owned(), absolute);
        let mut lines = vec![match (token.issued_time, token.expiration_time) {
            (Some(from), Some(until)) => Line {
                decision: "lifetime",
                value: readable((until - from).to_std().unwrap_or_default()),
                because: format!("issued {issued}, expires {}", both(until, now)),
            },
            _ => Line {
                decision: "lifetime",
                value: "unknown".to_owned(),
                because: format!("issued {issued}; neither the answer nor the token names an expiry"),
            },
        }];
        lines.extend(token.refresh_token_expiration_time.map(|until| Line {
            decision: "refresh token",
            value: both(until, now),
            because: "its end, as the token API says: after that only a new seed helps".to_owned(),
        }));
        lines
    }

    fn retry(&self, policy: &RefreshSpec, now: DateTime<Utc>) -> Line {
        let failures = self.status().consecutive_failures.and_then(|failures| u32::try_from(failures).ok()).unwrap_or(0);
        let remaining = self.expiration().and_then(|expiration| (expiration - now).to_std().ok());
        let next = retry_delay(policy, failures + 1, remaining, None);
        let own = policy.retry.is_some_and(|retry| retry.initial_delay.is_some() || retry.max_delay.is_some());
        let because = format!(
            "refresh.retry{}: from {}, doubled each time up to {}, and no longer than a third of the token's remaining life; {failures} failure{} in a row",
            if own { "" } else { " (default)" },
            readable(policy.initial_delay()),
            readable(policy.max_delay()),
            if failures == 1 { "" } else { "s" },
        );
        Line { decision: "retry", value: format!("{} after the next failure", readable(next)), because }
    }

    fn next(&self, now: DateTime<Utc>) -> Option<Line> {
        let status = self.status();
        let planned = status.next_refresh_time;
        let scheduled = self.schedule(now).map(|schedule| schedule.refresh_time);
        let because = if let Some(reason) = stalled(&status) {
            format!(
                "Stalled for {reason}: {}",
                if planned.is_some() { "one more try then" } else { "no refresh follows until a person acts" }
            )
        } else if status.consecutive_failures.unwrap_or(0) > 0 {
            "the retry after the last failure".to_owned()
        } else if planned == scheduled {
            "as scheduled".to_owned()
        } else if planned.is_none() {
            "the operator has not planned one".to_owned()
        } else {
            "planned before the policy was changed; the operator plans anew when it sees the change".to_owned()
        };
        let value = planned.map_or_else(|| "none".to_owned(), |time| both(time, now));
        Some(Line { decision: "next refresh", value, because }).filter(|_| status.token.is_some() || planned.is_some())
    }

    fn decision(&self, now: DateTime<Utc>, time: DateTime<Utc>) -> Line {
        let plan = self.plan(time);
        let read = match (&self.seed, &self.outputs) {
            (Known::Unread, _) | (_, Known::Unread) => {
                ". The Secrets may not be read here and are taken to be as the status says"
            }
            _ => "",
        };
        let when = if time == now { "now".to_owned() } else { format!("at {}", both(time, now)) };
        let value = match &plan {
            Plan::Leave | Plan::Wait { until: None } => "nothing".to_owned(),
            Plan::ReadSeed => "read the seed".to_owned(),
            Plan::Exchange { trigger: Trigger::Drift, .. } => "write the outputs".to_owned(),
            Plan::Exchange { .. } => "refresh".to_owned(),
            Plan::Wait { until: Some(until) } => format!("wait {}", relative(*until, time)),
            Plan::Halt { reason, .. } => format!("stand still: {}", reason.as_str()),
        };
        Line { decision: "decision", value: format!("{when}: {value}"), because: format!("{}{read}", self.why(&plan)) }
    }

    /// Why the operator decides so, in words.
    fn why(&self, plan: &Plan) -> String {
        match plan {
            Plan::Leave => "the object is being deleted".to_owned(),
            Plan::ReadSeed => "no chain has begun, or the seed has changed since it was read".to_owned(),
            Plan::Exchange { trigger, preflight, .. } => {
                let why = match trigger {
                    Trigger::Scheduled => "the next refresh is due",
                    Trigger::Retry => "an earlier refresh failed without spending anything, and its retry is due",
                    Trigger::Manual => "the annotation refreshabletoken.io/refresh-requested-at asks for it",
                    Trigger::Spec => "the request has changed",
                    Trigger::Seed => "the seed begins a chain",
                    Trigger::Bootstrap => "the credentials in the seed begin a chain",
                    Trigger::Drift => {
                        "an output is missing, edited or of another spec, an attempt has to be looked at, or the time of a token that was \
                         replaced is over"
                    }
                    Trigger::LastTry => {
                        "the last refresh has an unknown outcome: the token API is asked what became of it where it can be, and once the \
                         access token has ended one last try follows"
                    }
                };
                let tried = if *preflight { ", with the full preflight first" } else { "" };
                format!("{why}{tried}")
            }
            Plan::Wait { .. } if self.object.spec.suspended() => "spec.suspend is true: only the expiry is told".to_owned(),
            Plan::Wait { until: Some(until) } if Some(*until) == self.expiration() => {
                "the token's expiry is told then".to_owned()
            }
            Plan::Wait { until: Some(_) } => "the next refresh is due then, and nothing else is to be done".to_owned(),
            Plan::Wait { until: None } => "nothing is due until somebody changes something".to_owned(),
            Plan::Halt { message, .. } => message.clone(),
        }
    }

    /// When the next refresh is and why, in one sentence.
    pub fn next_in_words(&self, now: DateTime<Utc>) -> String {
        let Some(next) = self.status().next_refresh_time else {
            if let Some(reason) = stalled(&self.status()) {
                return format!("none while {reason} holds");
            }
            return match self.plan(now) {
                Plan::Halt { reason, .. } => format!("none while {} holds", reason.as_str()),
                _ if self.object.spec.suspended() => "none while the object is suspended".to_owned(),
                plan => format!("not planned: {}", self.why(&plan)),
            };
        };
        let why = match self.schedule(now).filter(|schedule| schedule.refresh_time == next) {
            Some(Schedule { wait: Some(wait), .. }) => windows::why(&self.object.spec.refresh(), &wait, now),
            Some(Schedule { before: Some(before), jitter, .. }) => {
                format!("{} before the expiry, {} earlier by jitter", readable(before), readable(jitter))
            }
            Some(Schedule { before: None, .. }) => "every maxInterval, for the expiry is not known".to_owned(),
            None => self.next(now).map(|line| line.because).unwrap_or_default(),
        };
        format!("{}: {why}", both(next, now))
    }
}

fn scheduled(policy: &RefreshSpec, schedule: &Schedule, now: DateTime<Utc>) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(before) = schedule.before {
        let wish = match (policy.before, policy.before_percent) {
            (Some(before), _) => format!("refresh.before: {before}"),
            (None, Some(percent)) => format!("refresh.beforePercent: {percent} % of the lifetime"),
            (None, None) => "default: the last third of the lifetime".to_owned(),
        };
        let note = schedule.note.map(|note| format!("; {note}")).unwrap_or_default();
        lines.push(Line { decision: "before", value: readable(before), because: format!("{wish}{note}") });
    } else {
        let own = if policy.max_interval.is_some() { "refresh.maxInterval" } else { "refresh.maxInterval (default)" };
        let note = schedule.note.unwrap_or_default();
        lines.push(Line { decision: "interval", value: readable(policy.max_interval()), because: format!("{own}; {note}") });
    }
    let own = if policy.jitter_percent.is_some() { "" } else { " (default)" };
    lines.push(Line {
        decision: "jitter",
        value: readable(schedule.jitter),
        because: format!(
            "refresh.jitterPercent{own}: at most {} % of the wait, always earlier; fixed by the object's UID",
            policy.jitter_percent()
        ),
    });
    let own = if policy.min_interval.is_some() { "" } else { " (default)" };
    lines.push(Line {
        decision: "least interval",
        value: readable(policy.min_interval()),
        because: format!("refresh.minInterval{own}: no scheduled refresh sooner after the last one"),
    });
    lines.extend(windows::line(policy, schedule, now));
    let because = match (schedule.wait.and_then(|wait| wait.opening), schedule.before) {
        (Some(_), _) => "the time that the window leaves",
        (None, Some(_)) => "the expiry, less before, less jitter",
        (None, None) => "the issue and maxInterval, less jitter",
    };
    lines.push(Line { decision: "scheduled", value: both(schedule.refresh_time, now), because: because.to_owned() });
    lines
}

fn tolerance(schedule: &Schedule, expiration: DateTime<Utc>) -> Line {
    let left: Duration = (expiration - schedule.refresh_time).to_std().unwrap_or_default();
    let because = "from the scheduled refresh to the expiry: a shorter outage, whenever it begins, leaves the token alive";
    Line { decision: "tolerates", value: format!("an outage of {}", readable(left)), because: because.to_owned() }
}

#[cfg(test)]
mod tests {
    use refreshable_token_operator::api::{REFRESH_REQUESTED_ANNOTATION, RefreshableToken};

    use super::*;
    use crate::situation::tests::{alone, at, object};

    fn line(lines: &[Line], decision: &str) -> (String, String) {
        let line = lines.iter().find(|line| line.decision == decision).unwrap_or_else(|| panic!("no {decision} in {lines:#?}"));
        (line.value.clone(), line.because.clone())
    }

    #[test]
    fn each_decision_is_told_with_the_input_that_made_it() {
        let refresh = "  refresh: {before: 20m, jitterPercent: 0}";
        let lines = alone(object(refresh, "  nextRefreshTime: '1970-01-01T00:40:00Z'")).explain(at(600), at(600));
        let value = |decision| line(&lines, decision).0;
        assert_eq!(value("provider"), "jfrogAccess https://art.example.com");
        assert_eq!(value("lifetime"), "1h");
        assert_eq!(line(&lines, "before"), ("20m".to_owned(), "refresh.before: 20m".to_owned()));
        assert_eq!(value("jitter"), "0s");
        assert_eq!(value("scheduled"), "1970-01-01T00:40:00Z (in 30m)");
        assert_eq!(line(&lines, "next refresh").1, "as scheduled");
        assert_eq!(value("tolerates"), "an outage of 20m");
        assert_eq!(value("retry"), "5s after the next failure");
        assert_eq!(value("decision"), "now: wait in 30m");
    }

    #[test]
    fn defaults_are_named_as_such_and_what_moved_the_policy_is_told() {
        let plain = alone(object("", "")).explain(at(0), at(0));
        assert_eq!(line(&plain, "before").1, "default: the last third of the lifetime");
        assert!(line(&plain, "jitter").1.contains("(default): at most 10 %"));
        let long = alone(object("  refresh: {before: 5h}", "")).explain(at(0), at(0));
        assert!(line(&long, "before").1.contains("shortened to two thirds"), "{long:?}");
    }

    #[test]
    fn the_decision_is_the_operators_own_at_any_time() {
        let next = "  nextRefreshTime: '1970-01-01T00:40:00Z'";
        let decision = |object: RefreshableToken, time| line(&alone(object).explain(at(600), at(time)), "decision");
        let (value, because) = decision(object("", next), 2400);
        assert_eq!(value, "at 1970-01-01T00:40:00Z (in 30m): refresh");
        assert!(because.starts_with("the next refresh is due"), "{because}");
        let (value, because) = decision(object("  suspend: true", next), 2400);
        assert!(value.ends_with(": wait in 20m") && because.starts_with("spec.suspend is true"), "{value} {because}");
        let (value, because) = decision(object("  refresh: {before: 1m, beforePercent: 5}", next), 2400);
        assert!(value.ends_with("stand still: InvalidSpec") && because.contains("spec.refresh"), "{value} {because}");
        let failed = "  consecutiveFailures: 2\n  nextRefreshTime: '1970-01-01T00:10:00Z'";
        let (value, because) = decision(object("", failed), 600);
        assert!(value == "now: refresh" && because.contains("its retry is due, with the full preflight"), "{value} {because}");
        let mut asked = object("", next);
        asked.metadata.annotations = Some([(REFRESH_REQUESTED_ANNOTATION.to_owned(), "x".to_owned())].into());
        assert!(decision(asked, 600).1.contains("the annotation"));
    }

    #[test]
    fn why_the_next_refresh_is_when_it_is() {
        let scheduled = alone(object("  refresh: {jitterPercent: 0}", "  nextRefreshTime: '1970-01-01T00:40:00Z'"));
        assert_eq!(
            scheduled.next_in_words(at(600)),
            "1970-01-01T00:40:00Z (in 30m): 20m before the expiry, 0s earlier by jitter"
        );
        let failed = alone(object("", "  consecutiveFailures: 1\n  nextRefreshTime: '1970-01-01T00:10:05Z'"));
        assert_eq!(failed.next_in_words(at(600)), "1970-01-01T00:10:05Z (in 5s): the retry after the last failure");
        let suspended = alone(object("  suspend: true", ""));
        assert_eq!(suspended.next_in_words(at(600)), "none while the object is suspended");
    }
}
