//! What refresh windows make of a schedule. They move a refresh, but never so far that the token could die of it: where none opens
//! in time, it comes as if there were none.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::schedule::{Schedule, after};
use crate::api::{RefreshSpec, Window};
use crate::token::unit_interval;

/// How a refresh keeps to the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When it may come.
    pub span: Span,
    /// The window in which it comes; none: none is open in that time, and it comes as if there were no windows.
    pub opening: Option<Opening>,
}

/// The time in which a refresh may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Not before this time: it is due then, or, where no expiry is known, two thirds of `maxInterval` are over.
    pub from: DateTime<Utc>,
    /// It waits for a window that opens before this time.
    pub until: DateTime<Utc>,
}

/// A window while it is open once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Which window, as its place in the spec.
    pub window: usize,
    /// When it opens.
    pub opens: DateTime<Utc>,
    /// When it closes.
    pub closes: DateTime<Utc>,
}

impl Wait {
    /// What moved the refresh; none if it comes when it would come without windows.
    #[must_use]
    pub fn note(&self) -> Option<&'static str> {
        match self.opening {
            None => Some("no refresh window opens in time: refreshed as if there were none"),
            Some(opening) if opening.opens > self.span.from => Some("waits for the next refresh window"),
            Some(_) => None,
        }
    }
}

/// The schedule of a token issued at `issued` with its windows, as it looks at `now`; `plain` is that without them.
///
/// The refresh comes at its time if a window is open then, else in the first window that opens before only a reserve is left: a
/// sixth of the lifetime (half of the default `before`), or half of `before` if that is less. Our choice: a refresh that fails then
/// has time to be repeated. Where no window is open from `now` until then, it comes as if there were none. Without a known expiry
/// it must not come later than `maxInterval`, so that it comes in the first window of its last third.
///
/// Lifetimes under three `minInterval`s wait for nothing: their reserve would be seconds.
pub(super) fn keep_to_windows(
    policy: &RefreshSpec,
    plain: Schedule,
    (issued, expiration): (DateTime<Utc>, Option<DateTime<Utc>>),
    uid: &str,
    now: DateTime<Utc>,
) -> Schedule {
    let Some(span) = span(policy, &plain, issued, expiration).filter(|_| !policy.windows.is_empty()) else { return plain };
    let (refresh_time, opening) = match first(policy, span, uid, now) {
        Some((time, opening)) => (time, Some(opening)),
        None => (plain.refresh_time, None),
    };
    Schedule { refresh_time, wait: Some(Wait { span, opening }), ..plain }
}

fn span(policy: &RefreshSpec, plain: &Schedule, issued: DateTime<Utc>, expiration: Option<DateTime<Utc>>) -> Option<Span> {
    let Some(expiration) = expiration else {
        let wait = (policy.max_interval() / 3 * 2).max(policy.min_interval());
        return Some(Span { from: after(issued, wait), until: after(issued, policy.max_interval()) });
    };
    let lifetime = (expiration - issued).to_std().unwrap_or_default();
    let reserve = (lifetime / 6).min(plain.before.unwrap_or_default() / 2);
    let until = after(issued, lifetime.saturating_sub(reserve));
    (lifetime >= policy.min_interval().saturating_mul(3)).then_some(Span { from: plain.refresh_time, until })
}

/// The earliest refresh that the windows allow, and the opening in which it comes.
fn first(policy: &RefreshSpec, span: Span, uid: &str, now: DateTime<Utc>) -> Option<(DateTime<Utc>, Opening)> {
    let candidate = |(index, window)| {
        // A window that cannot be read is refused before anything is scheduled.
        let window = Window::read(window).ok()?;
        let opens = window.opens(span.from.max(now), span.until)?;
        let opening = Opening { window: index, opens, closes: after(opens, window.duration()) };
        let time = if opens <= span.from { span.from } else { spread(policy, opens, window.duration(), uid).min(span.until) };
        Some((time, opening))
    };
    policy.windows.iter().enumerate().filter_map(candidate).min_by_key(|(time, opening)| (*time, opening.window))
}

/// Spread over the first part of a window as jitter is over a wait, so that not every token is refreshed as it opens.
fn spread(policy: &RefreshSpec, opens: DateTime<Utc>, duration: Duration, uid: &str) -> DateTime<Utc> {
    after(opens, duration.mul_f64(f64::from(policy.jitter_percent()) / 100.0 * unit_interval(uid)))
}

#[cfg(test)]
mod tests;
