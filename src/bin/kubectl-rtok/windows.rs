//! What refresh windows do to a token, in words. Pure.

use chrono::{DateTime, Utc};
use refreshable_token_operator::api::RefreshSpec;
use refreshable_token_operator::refresh::schedule::Schedule;
use refreshable_token_operator::refresh::window::{Opening, Wait};

use crate::because::Line;
use crate::time::{absolute, both};

/// The line about windows; none without windows.
pub fn line(policy: &RefreshSpec, schedule: &Schedule, now: DateTime<Utc>) -> Option<Line> {
    if policy.windows.is_empty() {
        return None;
    }
    let (value, because) = match &schedule.wait {
        None => {
            let because = "refresh.windows: a lifetime under three times minInterval is too short to wait for one";
            ("no wait".to_owned(), because.to_owned())
        }
        Some(wait) => (value(policy, wait), why(policy, wait, now)),
    };
    Some(Line { decision: "window", value, because })
}

fn value(policy: &RefreshSpec, wait: &Wait) -> String {
    let window = wait.opening.and_then(|opening| policy.windows.get(opening.window));
    let named = window.map(|window| format!("{} {} for {}", window.cron, window.time_zone(), window.duration));
    named.unwrap_or_else(|| "none opens in time".to_owned())
}

/// Why a refresh comes when it comes, as far as windows have to do with it.
pub fn why(policy: &RefreshSpec, wait: &Wait, now: DateTime<Utc>) -> String {
    let (from, until) = (both(wait.span.from, now), absolute(wait.span.until));
    match wait.opening {
        None => format!(
            "due at {from}, and no window of refresh.windows opens before {until}, after which too little of the token's life would be \
             left: refreshed as if there were no windows"
        ),
        Some(Opening { window, opens, closes }) if opens <= wait.span.from => {
            format!("due at {from}, when refresh.windows[{window}] is open, from {} to {}", absolute(opens), absolute(closes))
        }
        Some(Opening { window, opens, closes }) => {
            let spread = if policy.jitter_percent() > 0 { ", spread over its beginning by jitterPercent" } else { "" };
            format!(
                "due at {from}, when no window is open; refresh.windows[{window}] is the next, from {} to {}{spread}. It waits for \
                 windows that open before {until}, so that the token cannot die of it",
                absolute(opens),
                absolute(closes)
            )
        }
    }
}

/// What to tell a person whose windows are of no use to the token; none if they are.
pub fn missed(schedule: &Schedule) -> Option<String> {
    let wait = schedule.wait.filter(|wait| wait.opening.is_none())?;
    Some(format!(
        "no refresh window opens from {} to {}, so that it is refreshed as if there were none: the token lives too short a time for \
         the windows, or refresh.before is too short",
        absolute(wait.span.from),
        absolute(wait.span.until)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::situation::Situation;
    use crate::situation::tests::{alone, at, object};

    /// A token that is due at 40 minutes and waits for windows that open before 50 are over.
    fn of(cron: &str, next: &str) -> Situation {
        let refresh = format!("  refresh: {{jitterPercent: 0, windows: [{{cron: '{cron}', duration: 5m}}]}}");
        alone(object(&refresh, &format!("  nextRefreshTime: '1970-01-01T00:{next}:00Z'")))
    }

    fn said(situation: &Situation, now: i64, decision: &str) -> (String, String) {
        let lines = situation.explain(at(now), at(now));
        let line = lines.iter().find(|line| line.decision == decision).unwrap_or_else(|| panic!("no {decision} in {lines:#?}"));
        (line.value.clone(), line.because.clone())
    }

    #[test]
    fn what_a_refresh_waits_for_is_told() {
        let waits = of("45 * * * *", "45");
        let (value, because) = said(&waits, 600, "window");
        assert_eq!(value, "45 * * * * UTC for 5m");
        assert!(because.starts_with("due at 1970-01-01T00:40:00Z (in 30m), when no window is open"), "{because}");
        assert!(because.contains("windows that open before 1970-01-01T00:50:00Z"), "{because}");
        assert_eq!(said(&waits, 600, "scheduled").0, "1970-01-01T00:45:00Z (in 35m)");
        assert!(waits.next_in_words(at(600)).contains("refresh.windows[0] is the next, from 1970-01-01T00:45:00Z"));
        assert_eq!(missed(&waits.schedule(at(600)).unwrap()), None);
        let open = said(&of("38 * * * *", "40"), 600, "window").1;
        assert!(open.contains("when refresh.windows[0] is open, from 1970-01-01T00:38:00Z to 1970-01-01T00:43:00Z"), "{open}");
        let none = of("55 * * * *", "40");
        assert_eq!(said(&none, 600, "window").0, "none opens in time");
        assert_eq!(said(&none, 600, "scheduled").0, "1970-01-01T00:40:00Z (in 30m)");
        assert!(missed(&none.schedule(at(600)).unwrap()).is_some_and(|what| what.contains("1970-01-01T00:50:00Z")));
        assert!(alone(object("", "")).explain(at(0), at(0)).iter().all(|line| line.decision != "window"));
    }

    #[test]
    fn the_decision_keeps_to_the_window_whatever_was_planned() {
        let early = of("45 * * * *", "20");
        assert_eq!(said(&early, 2500, "decision").0, "now: wait in 3m20s");
        assert_eq!(said(&early, 2700, "decision").0, "now: refresh");
        // It went by, and the next one opens too late.
        assert_eq!(said(&early, 3000, "decision").0, "now: refresh");
    }
}
