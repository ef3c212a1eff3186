//! When to refresh: arithmetic on times only.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::{RefreshSpec, Window};
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
    /// What shortened or moved the policy.
    pub note: Option<&'static str>,
    /// How windows moved it, if they did.
    pub wait: Option<Wait>,
}

/// How refresh windows move a refresh that would come outside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When the refresh would come without windows.
    pub due: DateTime<Utc>,
    /// The window that it waits for, as its place in the spec; none: none opens in time.
    pub window: Option<usize>,
    /// Until when it waits for one at most.
    pub latest: DateTime<Utc>,
}

/// When the token issued at `issued` is refreshed, as it looks at `now`.
///
/// Without an expiry: `maxInterval` after its issue. With one: `before` the expiry (default: the last third of the real
/// lifetime, at most two thirds of it), minus jitter, but no sooner than `minInterval` after its issue; a lifetime under three
/// `minInterval`s is refreshed after two thirds of itself, though never sooner than [`FASTEST`]. Jitter depends on `uid` only.
///
/// Windows then move it to when the next of them opens, `now` or later: a window that went by unused is no reason to refresh
/// outside. They are ignored for lifetimes under three `minInterval`s.
#[must_use]
pub fn schedule(
    policy: &RefreshSpec,
    issued: DateTime<Utc>,
    expiration: Option<DateTime<Utc>>,
    uid: &str,
    now: DateTime<Utc>,
) -> Schedule {
    let plain = without_windows(policy, issued, expiration, uid);
    if policy.windows.is_empty() {
        return plain;
    }
    let lifetime = expiration.map(|expiration| (expiration - issued).to_std().unwrap_or_default());
    match lifetime {
        Some(lifetime) if lifetime < policy.min_interval().saturating_mul(3) => plain,
        Some(lifetime) => {
            // What a retry may still need: a sixth of the lifetime is half of the default `before`.
            let left = (lifetime / 6).min(plain.before.unwrap_or_default() / 2);
            let latest = after(issued, lifetime.saturating_sub(left));
            within_windows(policy, plain, latest, uid, now)
        }
        // No end is known: as long again as the refresh has waited so far.
        None => {
            let latest = after(plain.refresh_time, policy.max_interval());
            within_windows(policy, plain, latest, uid, now)
        }
    }
}

fn within_windows(policy: &RefreshSpec, plain: Schedule, latest: DateTime<Utc>, uid: &str, now: DateTime<Utc>) -> Schedule {
    let due = plain.refresh_time;
    // A window that cannot be read is refused before anything is scheduled.
    let windows = policy.windows.iter().enumerate().filter_map(|(index, window)| Some((Window::read(window).ok()?, index)));
    let opening = |(window, index): (Window, usize)| window.open_at(due.max(now)).map(|opening| (opening, index));
    let next = windows.filter_map(opening).min_by_key(|(opening, index)| (opening.opens.max(due), *index));
    let (refresh_time, window, note) = match next {
        Some((opening, _)) if opening.opens <= due => return plain,
        Some((opening, index)) if opening.opens < latest => {
            // Spread over the window as it would be over the wait, so that not everything refreshes as it opens.
            let length = (opening.closes - opening.opens).to_std().unwrap_or_default();
            let spread = length.mul_f64(f64::from(policy.jitter_percent()) / 100.0 * unit_interval(uid));
            (after(opening.opens, spread).min(latest), Some(index), "waits for the next refresh window")
        }
        Some(_) | None => {
            (latest.max(due), None, "no refresh window opens in time: refreshed outside, while there is time for retries")
        }
    };
    Schedule { refresh_time, note: plain.note.or(Some(note)), wait: Some(Wait { due, window, latest }), ..plain }
}

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

/// How long to wait after the `failures`-th failure in a row (1 is the first).
///
/// `initialDelay`, doubled each time up to `maxDelay`; but no longer than a third of the token's `remaining` life (or
/// `initialDelay`, when that is longer), so that a long delay cannot outlive the token; and never shorter than what the API
/// asked for.
#[must_use]
pub fn retry_delay(policy: &RefreshSpec, failures: u32, remaining: Option<Duration>, retry_after: Option<Duration>) -> Duration {
    let doubled = policy.initial_delay().saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(31)));
    let delay = doubled.min(policy.max_delay());
    let delay = match remaining {
        Some(left) if !left.is_zero() => delay.min((left / 3).max(policy.initial_delay())),
        _ => delay,
    };
    delay.max(retry_after.unwrap_or_default())
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
    use crate::api::{RefreshWindow, RetrySpec, SpecDuration};

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

    /// A policy with a window of that many minutes.
    fn windowed(cron: &str, minutes: u64) -> RefreshSpec {
        let duration = SpecDuration::from_secs(60 * minutes);
        let window = RefreshWindow { cron: cron.to_owned(), time_zone: None, duration };
        RefreshSpec { windows: vec![window], ..plain() }
    }

    #[test]
    fn a_refresh_waits_for_a_window_but_not_too_long() {
        const DAY: i64 = 86_400;
        // Lives for six days: due after four, and after five it is refreshed in any case.
        let refresh = |policy: &RefreshSpec, now: i64| {
            let got = schedule(policy, at(0), Some(at(6 * DAY)), "uid", at(now));
            (got.refresh_time.timestamp(), got.wait.map(|wait| (wait.due.timestamp(), wait.window, wait.latest.timestamp())))
        };
        let night = windowed("0 2 * * *", 180);
        assert_eq!(refresh(&night, 0), (4 * DAY + 7200, Some((4 * DAY, Some(0), 5 * DAY))));
        assert_eq!(refresh(&windowed("0 23 * * *", 120), 0), (4 * DAY, None), "the window is open when it is due");
        let never = windowed("0 2 1 1 *", 60);
        assert_eq!(refresh(&never, 0), (5 * DAY, Some((4 * DAY, None, 5 * DAY))), "none opens in time");
        // The operator was away while the window was open: it waits for the next, while there is time.
        let noon = windowed("0 */12 * * *", 60);
        assert_eq!(refresh(&noon, 4 * DAY + 1800).0, 4 * DAY, "still open");
        assert_eq!(refresh(&noon, 4 * DAY + 3600).0, 4 * DAY + 43_200);
        assert_eq!(refresh(&night, 4 * DAY + 20_000).0, 5 * DAY, "the next one opens too late");
        assert_eq!(refresh(&night, 5 * DAY + 1).0, 5 * DAY, "overdue");
        // Of several the one that opens first.
        let both = RefreshSpec { windows: [night.windows.clone(), windowed("30 0 * * *", 30).windows].concat(), ..plain() };
        assert_eq!(refresh(&both, 0), (4 * DAY + 1800, Some((4 * DAY, Some(1), 5 * DAY))));
        // `before` of an hour: half an hour is kept for retries.
        let late = RefreshSpec { before: duration("1h"), ..windowed("0 2 * * *", 60) };
        assert_eq!(refresh(&late, 0).0, 6 * DAY - 1800);
        // A short life waits for nothing, and without a known end it is maxInterval at most.
        assert_eq!(schedule(&night, at(0), Some(at(150)), "uid", at(0)).refresh_time, at(100));
        assert_eq!(schedule(&night, at(0), None, "uid", at(0)).refresh_time, at(DAY + 7200));
        assert_eq!(schedule(&never, at(0), None, "uid", at(0)).refresh_time, at(2 * DAY));
    }

    #[test]
    fn refreshes_are_spread_over_a_window() {
        let night = RefreshSpec { jitter_percent: Some(10), ..windowed("0 2 * * *", 180) };
        let times: Vec<i64> = (0..50)
            .map(|n| schedule(&night, at(0), Some(at(6 * 86_400)), &format!("uid-{n}"), at(0)).refresh_time.timestamp() % 86_400)
            .collect();
        assert!(times.iter().all(|time| (7200..=7200 + 1080).contains(time)), "{times:?}");
        assert!(times.iter().max().unwrap() - times.iter().min().unwrap() > 600, "{times:?}");
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
            jitter in 0_i32..=50, least in 60_u64..100_000, uid in "[a-f0-9]{8}", hour in 0..48, hours in 1_u64..=24, passed in 0_i64..40_000_000,
        ) {
            let policy = RefreshSpec {
                before: (explicit == 1).then(|| SpecDuration::from_secs(before)),
                before_percent: (explicit == 2).then_some(percent),
                jitter_percent: Some(jitter),
                min_interval: Some(SpecDuration::from_secs(least)),
                ..RefreshSpec::default()
            };
            let got = schedule(&policy, at(0), Some(at(lifetime)), &uid, at(0));
            prop_assert!(got.refresh_time <= at(lifetime));
            prop_assert!(got.refresh_time >= at(2));
            let unjittered = schedule(&RefreshSpec { jitter_percent: Some(0), ..policy.clone() }, at(0), Some(at(lifetime)), &uid, at(0));
            prop_assert!(got.refresh_time <= unjittered.refresh_time, "jitter is only ever earlier");
            // Every second case has a window.
            if hour < 24 {
                let windows = windowed(&format!("0 {hour} * * *"), 60 * hours).windows;
                let windowed = schedule(&RefreshSpec { windows, ..policy.clone() }, at(0), Some(at(lifetime)), &uid, at(passed));
                prop_assert!(windowed.refresh_time >= got.refresh_time, "a window is only ever later");
                prop_assert!(windowed.refresh_time <= at(lifetime), "and never too late");
            }
            prop_assert_eq!(got.refresh_time, schedule(&policy, at(0), Some(at(lifetime)), &uid, at(0)).refresh_time);
        }
    }
}
