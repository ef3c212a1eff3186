use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::api::{RefreshWindow, SpecDuration};
use crate::refresh::schedule::schedule;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// A policy without jitter, with windows of that many minutes each.
fn windowed(windows: &[(&str, u64)]) -> RefreshSpec {
    let window = |(cron, minutes): &(&str, u64)| {
        let duration = SpecDuration::from_secs(60 * minutes);
        RefreshWindow { cron: (*cron).to_owned(), time_zone: None, duration }
    };
    RefreshSpec { jitter_percent: Some(0), windows: windows.iter().map(window).collect(), ..RefreshSpec::default() }
}

/// When a token that lives for six days is refreshed, in minutes, and the window of that. It is due after four days (96 hours),
/// and windows count that open before five are over.
fn refresh(policy: &RefreshSpec, now: i64) -> (i64, Option<usize>) {
    let got = schedule(policy, at(0), Some(at(6 * DAY)), "uid", at(now));
    let wait = got.wait.unwrap();
    assert_eq!(wait.span, Span { from: at(4 * DAY), until: at(5 * DAY) });
    (got.refresh_time.timestamp() / 60, wait.opening.map(|opening| opening.window))
}

#[test]
fn a_refresh_waits_for_the_next_window_that_opens_in_time() {
    let night = windowed(&[("0 2 * * *", 180)]);
    assert_eq!(refresh(&night, 0), (98 * 60, Some(0)));
    assert_eq!(refresh(&night, 4 * DAY + HOUR), (98 * 60, Some(0)), "while it waits");
    assert_eq!(refresh(&night, 4 * DAY + 3 * HOUR), (98 * 60, Some(0)), "overdue, while the window is open");
    assert_eq!(refresh(&windowed(&[("0 23 * * *", 120)]), 0), (96 * 60, Some(0)), "a window is open when it is due");
    assert_eq!(refresh(&windowed(&[("0 0 * * *", 60)]), 0), (96 * 60, Some(0)), "it opens when it is due");
    assert_eq!(refresh(&windowed(&[("0 23 * * *", 60)]), 0), (119 * 60, Some(0)), "it closes when it is due");
    let both = windowed(&[("0 2 * * *", 180), ("30 0 * * *", 30)]);
    assert_eq!(refresh(&both, 0), (96 * 60 + 30, Some(1)), "of several the one that opens first");
}

#[test]
fn where_no_window_opens_in_time_it_comes_as_if_there_were_none() {
    assert_eq!(refresh(&windowed(&[("0 2 1 7 *", 60)]), 0), (96 * 60, None));
    assert_eq!(refresh(&windowed(&[("0 0 6 1 *", 60)]), 0), (96 * 60, None), "when only the reserve is left is too late");
    assert_eq!(refresh(&windowed(&[("59 23 5 1 *", 60)]), 0).1, Some(0));
    // The operator was away while the window was open: it waits for another, if there is one in time.
    let night = windowed(&[("0 2 * * *", 180)]);
    assert_eq!(refresh(&night, 4 * DAY + 5 * HOUR), (96 * 60, None), "overdue: at once");
    let half = windowed(&[("0 */12 * * *", 60)]);
    assert_eq!(refresh(&half, 4 * DAY + HOUR / 2), (96 * 60, Some(0)), "still open");
    assert_eq!(refresh(&half, 4 * DAY + HOUR), (108 * 60, Some(0)));
    assert_eq!(refresh(&half, 4 * DAY + 13 * HOUR), (96 * 60, None));
}

#[test]
fn the_reserve_is_half_of_before_and_a_sixth_of_the_lifetime_at_most() {
    let reserve = |before: Option<&str>, percent| {
        let before = before.map(|before| SpecDuration::parse(before).unwrap());
        let policy = RefreshSpec { before, before_percent: percent, ..windowed(&[("0 2 * * *", 60)]) };
        let wait = schedule(&policy, at(0), Some(at(6 * DAY)), "uid", at(0)).wait.unwrap();
        6 * DAY - wait.span.until.timestamp()
    };
    assert_eq!(reserve(None, None), DAY);
    assert_eq!(reserve(Some("1h"), None), HOUR / 2);
    assert_eq!(reserve(None, Some(50)), DAY, "the earlier it is due, the longer it may wait");
}

/// What the README says of three hours each night.
#[test]
fn a_nightly_window_needs_days_to_be_met() {
    let met = |percent, hours: i64| {
        let policy = RefreshSpec { before_percent: percent, ..windowed(&[("0 2 * * *", 180)]) };
        // Issued at any time of the day.
        (0..24).all(|hour| {
            let issued = at(hour * HOUR);
            let wait = schedule(&policy, issued, Some(issued + TimeDelta::hours(hours)), "uid", issued).wait.unwrap();
            wait.opening.is_some()
        })
    };
    assert!(met(None, 5 * 24 + 8) && !met(None, 4 * 24));
    assert!(met(Some(66), 48) && !met(Some(66), 36));
}

#[test]
fn short_lives_wait_for_nothing_and_unknown_ones_not_beyond_their_interval() {
    let night = windowed(&[("0 2 * * *", 180)]);
    let short = schedule(&night, at(0), Some(at(150)), "uid", at(0));
    assert_eq!((short.refresh_time, short.wait), (at(100), None));
    let unknown = |policy: &RefreshSpec, now| schedule(policy, at(0), None, "uid", at(now)).refresh_time.timestamp();
    // From 16 hours on, and at 24 in any case.
    assert_eq!(unknown(&windowed(&[("0 20 * * *", 60)]), 0), 20 * HOUR);
    assert_eq!(unknown(&windowed(&[("0 15 * * *", 180)]), 0), 16 * HOUR);
    assert_eq!(unknown(&night, 0), DAY);
    assert_eq!(unknown(&windowed(&[("0 20 * * *", 60)]), 21 * HOUR), DAY, "it went by");
    // From night to night, though each is a little later within the window than the one before.
    let issued = at(2 * HOUR + 600);
    assert_eq!(schedule(&night, issued, None, "uid", issued).refresh_time, at(DAY + 2 * HOUR));
}

#[test]
fn refreshes_are_spread_over_the_beginning_of_a_window() {
    let night = RefreshSpec { jitter_percent: Some(10), ..windowed(&[("0 2 * * *", 180)]) };
    let of = |uid: &str| schedule(&night, at(0), Some(at(6 * DAY)), uid, at(0)).refresh_time.timestamp() % DAY;
    let times: Vec<i64> = (0..50).map(|number| of(&format!("uid-{number}"))).collect();
    assert!(times.iter().all(|time| (2 * HOUR..=2 * HOUR + 1080).contains(time)), "{times:?}");
    assert!(times.iter().max().unwrap() - times.iter().min().unwrap() > 600, "{times:?}");
}

#[test]
fn what_moved_it_is_told() {
    let note = |windows: &[(&str, u64)]| {
        schedule(&windowed(windows), at(0), Some(at(6 * DAY)), "uid", at(0)).wait.unwrap().note().unwrap_or_default()
    };
    assert_eq!(note(&[("0 2 * * *", 60)]), "waits for the next refresh window");
    assert_eq!(note(&[("0 2 1 7 *", 60)]), "no refresh window opens in time: refreshed as if there were none");
    assert_eq!(note(&[("0 23 * * *", 120)]), "");
}

proptest! {
    /// Whatever the windows are, a refresh is no earlier than without them, comes in time, and is never put off for ever.
    #[test]
    fn windows_only_ever_put_off_and_never_too_long(
        lifetime in 180_i64..40_000_000, before in 1_u64..10_000_000, jitter in 0_i32..=50, away in 0_i64..40_000_000,
        windows in proptest::collection::vec((0_u32..60, 0_u32..24, 0_u32..8, 1_u64..3000), 1..4), uid in "[a-f0-9]{8}",
    ) {
        let crons: Vec<(String, u64)> = windows.iter().map(|(minute, hour, weekday, minutes)| {
            let weekday = if *weekday == 7 { "*".to_owned() } else { weekday.to_string() };
            (format!("{minute} {hour} * * {weekday}"), *minutes)
        }).collect();
        let crons: Vec<(&str, u64)> = crons.iter().map(|(cron, minutes)| (cron.as_str(), *minutes)).collect();
        let policy = RefreshSpec {
            before: Some(SpecDuration::from_secs(before)), jitter_percent: Some(jitter), ..windowed(&crons)
        };
        let of = |policy: &RefreshSpec, now| schedule(policy, at(0), Some(at(lifetime)), &uid, now);
        let plain = of(&RefreshSpec { windows: Vec::new(), ..policy.clone() }, at(0)).refresh_time;
        // The operator is away until then; afterwards it looks when it said that it would.
        let mut now = at(away);
        for _ in 0..3 {
            let got = of(&policy, now);
            let wait = got.wait.unwrap();
            prop_assert!(got.refresh_time >= plain);
            prop_assert!(got.refresh_time == plain || got.refresh_time <= wait.span.until, "{got:?}");
            prop_assert!(wait.span.until <= at(lifetime));
            if let Some(opening) = wait.opening {
                prop_assert!(opening.opens <= got.refresh_time && got.refresh_time <= opening.closes, "{got:?}");
            }
            if got.refresh_time <= now {
                return Ok(());
            }
            now = got.refresh_time;
        }
        prop_assert!(false, "it is put off again and again");
    }
}
