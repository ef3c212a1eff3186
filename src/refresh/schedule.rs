//! When to refresh: arithmetic on times only.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::window::{Wait, keep_to_windows};
use crate::api::{RefreshSpec, TokenStatus};
use crate::token::unit_interval;

/// Fastest refresh of a token whose life is very short (design section 2: never faster than every 2 s).
pub const FASTEST: Duration = Duration::from_secs(2);
/// How long a refusal for configuration rests before it is tried again without a change. Our choice: long enough to be no
/// burden on the API, short enough that a mended server is found within the hour.
pub const CONFIGURATION_REST: Duration = Duration::from_secs(3600);

/// When a token is refreshed, and how that came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The time of the refresh, in whole seconds.
    pub refresh_time: DateTime<Utc>,
    /// How long before the expiry that is, jitter left out; none while the expiry is unknown.
    pub before: Option<Duration>,
    /// How much earlier because of jitter.
    pub jitter: Duration,
    /// What shortened or moved the policy, windows aside.
    pub note: Option<&'static str>,
    /// How it keeps to the windows; none: there are none, or the lifetime is too short for them.
    pub wait: Option<Wait>,
}

/// When the token issued at `issued` is refreshed, as it looks at `now`: which window is the next one hangs on that, and nothing
/// else does. [`super::window`] says what windows do.
#[must_use]
pub fn schedule(
    policy: &RefreshSpec,
    issued: DateTime<Utc>,
    expiration: Option<DateTime<Utc>>,
    uid: &str,
    now: DateTime<Utc>,
) -> Schedule {
    keep_to_windows(policy, without_windows(policy, issued, expiration, uid), (issued, expiration), uid, now)
}

/// When the token issued at `issued` would be refreshed without windows.
///
/// Without an expiry: `maxInterval` after its issue. With one: `before` the expiry (default: the last third of the real
/// lifetime, at most two thirds of it), minus jitter, but no sooner than `minInterval` after its issue; a lifetime under three
/// `minInterval`s is refreshed after two thirds of itself, though never sooner than [`FASTEST`]. Jitter depends on `uid` only.
fn without_windows(policy: &RefreshSpec, issued: DateTime<Utc>, expiration: Option<DateTime<Utc>>, uid: &str) -> Schedule {
    let jitter_of = |wait: Duration| wait.mul_f64(f64::from(policy.jitter_percent()) / 100.0 * unit_interval(uid));
    let Some(expiration) = expiration else {
        let jitter = jitter_of(policy.max_interval());
        let refresh_time = after(issued, policy.max_interval().saturating_sub(jitter));
        let note = Some("neither the answer nor the token names an expiry: refreshed every maxInterval");
        return Schedule { refresh_time, before: None, jitter, note, wait: None };
    };
    let lifetime = (expiration - issued).to_std().unwrap_or_default();
    let least = policy.min_interval();
    if lifetime < least.saturating_mul(3) {
        let wait = (lifetime * 2 / 3).max(FASTEST);
        let note = Some("the lifetime is under three times minInterval: refreshed after two thirds of it");
        let before = Some(lifetime.saturating_sub(wait));
        return Schedule { refresh_time: after(issued, wait), before, jitter: Duration::ZERO, note, wait: None };
    }
    let wished = match (policy.before, policy.before_percent) {
        (Some(before), _) => before.get(),
        (None, Some(percent)) => lifetime.mul_f64(f64::from(percent.clamp(1, 66)) / 100.0),
        (None, None) => lifetime / 3,
    };
    let most = lifetime * 2 / 3;
    let (before, mut note) = if wished > most {
        (most, Some("refresh.before is above two thirds of the real lifetime: shortened to two thirds"))
    } else {
        (wished, None)
    };
    let wait = lifetime.saturating_sub(before);
    let mut jitter = jitter_of(wait);
    let mut wait_with_jitter = wait.saturating_sub(jitter);
    if wait_with_jitter < least {
        wait_with_jitter = least;
        jitter = wait.saturating_sub(least);
        note = note.or(Some("moved to minInterval after the last refresh"));
    }
    Schedule { refresh_time: after(issued, wait_with_jitter), before: Some(before), jitter, note, wait: None }
}

/// When a refresh planned for `planned` is made, after one at `last`: a plan that is not after it came with an older access token.
///
/// An answer may hold a refresh token only, and a token may have ended before its commit came through. Then `minInterval` after
/// `last`, or two thirds of the token's lifetime where that is shorter, though never sooner than [`FASTEST`]; otherwise an API that
/// never gives an access token would be asked for ever without a pause.
#[must_use]
pub fn paced(
    policy: &RefreshSpec,
    planned: DateTime<Utc>,
    last: Option<DateTime<Utc>>,
    token: Option<&TokenStatus>,
) -> DateTime<Utc> {
    let Some(last) = last.filter(|last| planned <= *last) else { return planned };
    let lifetime = token.and_then(|token| (token.expiration_time? - token.issued_time?).to_std().ok());
    let pause = lifetime.map_or(policy.min_interval(), |lifetime| policy.min_interval().min(lifetime * 2 / 3));
    after(last, pause.max(FASTEST))
}

/// How long to wait after the `failures`-th failure in a row (1 is the first).
///
/// `initialDelay`, doubled each time up to `maxDelay`; but no longer than the token's `remaining` life allows
/// ([`within_life`]); and never shorter than what the API asked for.
#[must_use]
pub fn retry_delay(policy: &RefreshSpec, failures: u32, remaining: Option<Duration>, retry_after: Option<Duration>) -> Duration {
    let doubled = policy.initial_delay().saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(31)));
    within_life(policy, doubled.min(policy.max_delay()), remaining).max(retry_after.unwrap_or_default())
}

/// `delay`, but no longer than a third of the token's `remaining` life (or `initialDelay`, when that is longer), so that it cannot
/// outlive the token. One that has expired, or never does, sets no bound.
#[must_use]
pub fn within_life(policy: &RefreshSpec, delay: Duration, remaining: Option<Duration>) -> Duration {
    let left = remaining.filter(|left| !left.is_zero());
    left.map_or(delay, |left| delay.min((left / 3).max(policy.initial_delay())))
}

/// `time` and `wait`, cut to whole seconds (Kubernetes stores whole seconds; comparing uncut times would loop).
#[must_use]
pub fn after(time: DateTime<Utc>, wait: Duration) -> DateTime<Utc> {
    let sum = TimeDelta::from_std(wait).ok().and_then(|wait| time.checked_add_signed(wait)).unwrap_or(DateTime::<Utc>::MAX_UTC);
    whole_seconds(sum)
}

/// `time` cut to whole seconds.
#[must_use]
pub fn whole_seconds(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time)
}

/// A duration as Kubernetes users read it: `1h0m5s`.
#[must_use]
pub fn readable(duration: Duration) -> String {
    crate::api::SpecDuration::from_secs(duration.as_secs()).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::{RetrySpec, SpecDuration};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn duration(text: &str) -> Option<SpecDuration> {
        SpecDuration::parse(text).ok()
    }

    fn plain() -> RefreshSpec {
        RefreshSpec { jitter_percent: Some(0), ..RefreshSpec::default() }
    }

    #[test]
    fn the_schedule_follows_the_real_lifetime() {
        let rows: [(&str, RefreshSpec, Option<i64>, i64); 9] = [
            ("default: last third", plain(), Some(3600), 2400),
            ("before", RefreshSpec { before: duration("20m"), ..plain() }, Some(3600), 2400),
            ("percent", RefreshSpec { before_percent: Some(10), ..plain() }, Some(3600), 3240),
            ("before above two thirds", RefreshSpec { before: duration("2h"), ..plain() }, Some(3600), 1200),
            ("unknown expiry", plain(), None, 86_400),
            ("unknown expiry, maxInterval", RefreshSpec { max_interval: duration("1h"), ..plain() }, None, 3600),
            ("short life: two thirds", plain(), Some(30), 20),
            ("shortest life: every 2 s", plain(), Some(1), 2),
            (
                "before so early that minInterval holds",
                RefreshSpec { before: duration("20m"), min_interval: duration("15m"), ..plain() },
                Some(3000),
                1800,
            ),
        ];
        for (name, policy, lifetime, expected) in rows {
            let got = schedule(&policy, at(0), lifetime.map(at), "uid", at(0)).refresh_time;
            assert_eq!(got, at(expected), "{name}");
        }
    }

    #[test]
    fn an_expiry_in_the_past_is_due_but_does_not_spin() {
        let got = schedule(&plain(), at(1000), Some(at(10)), "uid", at(1000));
        assert_eq!(got.refresh_time, at(1002));
    }

    #[test]
    fn retries_double_and_know_the_time_left() {
        let policy = RefreshSpec {
            retry: Some(RetrySpec { initial_delay: duration("5s"), max_delay: duration("10m") }),
            ..RefreshSpec::default()
        };
        let delay = |failures, remaining: Option<u64>, after: Option<u64>| {
            retry_delay(&policy, failures, remaining.map(Duration::from_secs), after.map(Duration::from_secs)).as_secs()
        };
        assert_eq!([delay(1, None, None), delay(2, None, None), delay(3, None, None)], [5, 10, 20]);
        assert_eq!(delay(50, None, None), 600);
        assert_eq!(delay(50, Some(300), None), 100, "a third of the time left");
        assert_eq!(delay(50, Some(3), None), 5, "never under the initial delay");
        assert_eq!(delay(50, Some(0), None), 600, "an expired token has no time left to save");
        assert_eq!(delay(1, Some(300), Some(3600)), 3600, "Retry-After is honoured");
    }

    proptest! {
        #[test]
        fn a_refresh_is_never_after_expiry_nor_faster_than_every_two_seconds(
            lifetime in 3_i64..40_000_000, before in 1_u64..100_000_000, percent in 1_i32..=66, explicit in 0..3,
            jitter in 0_i32..=50, least in 60_u64..100_000, uid in "[a-f0-9]{8}",
        ) {
            let policy = RefreshSpec {
                before: (explicit == 1).then(|| SpecDuration::from_secs(before)),
                before_percent: (explicit == 2).then_some(percent),
                jitter_percent: Some(jitter),
                min_interval: Some(SpecDuration::from_secs(least)),
                ..RefreshSpec::default()
            };
            let of = |policy: &RefreshSpec, now| schedule(policy, at(0), Some(at(lifetime)), &uid, at(now)).refresh_time;
            let got = of(&policy, 0);
            prop_assert!(got <= at(lifetime));
            prop_assert!(got >= at(2));
            prop_assert_eq!(got, of(&policy, lifetime), "the same at any time");
            let unjittered = of(&RefreshSpec { jitter_percent: Some(0), ..policy }, 0);
            prop_assert!(got <= unjittered, "jitter is only ever earlier");
        }
    }
}
