use chrono::SecondsFormat;
use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;

fn window(cron: &str, time_zone: &str, minutes: u64) -> RefreshWindow {
    let duration = SpecDuration::from_secs(minutes * 60);
    RefreshWindow { cron: cron.to_owned(), time_zone: Some(time_zone.to_owned()), duration }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// When a window that lasts an hour opens, of those times that leave it open after `time`.
fn opens(cron: &str, zone: &str, time: &str) -> String {
    let window = Window::read(&window(cron, zone, 60)).unwrap();
    let opens = window.opens(at(time), DateTime::<Utc>::MAX_UTC).unwrap();
    opens.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[test]
fn a_window_is_open_from_its_minute_until_its_duration_is_over() {
    let two = |time| opens("0 2 * * *", "UTC", time);
    assert_eq!(two("2026-11-28T01:59:59Z"), "2026-11-28T02:00:00Z");
    assert_eq!(two("2026-11-28T02:00:00Z"), "2026-11-28T02:00:00Z");
    assert_eq!(two("2026-11-28T02:59:59Z"), "2026-11-28T02:00:00Z");
    assert_eq!(two("2026-11-28T03:00:00Z"), "2026-11-29T02:00:00Z", "closed");
    assert_eq!(opens("0 2 * * 1-5", "UTC", "2026-11-28T00:00:00Z"), "2026-11-30T02:00:00Z", "Saturday: on Monday");
    assert_eq!(opens("0 22 * * *", "America/New_York", "2026-11-28T00:00:00Z"), "2026-11-28T03:00:00Z");
    assert_eq!(opens("0 0 29 2 *", "UTC", "2096-03-01T12:00:00Z"), "2104-02-29T00:00:00Z");
    let week = Window::read(&window("* * * * *", "UTC", 168 * 60)).unwrap();
    let first = week.opens(at("2026-11-28T10:00:30Z"), DateTime::<Utc>::MAX_UTC);
    assert_eq!(first, Some(at("2026-11-21T10:01:00Z")), "of those that overlap the first");
}

#[test]
fn an_opening_that_is_not_before_the_end_is_none() {
    let night = Window::read(&window("0 2 * * *", "UTC", 60)).unwrap();
    let opens = |until| night.opens(at("2026-11-28T12:00:00Z"), at(until));
    assert_eq!(opens("2026-11-29T02:00:01Z"), Some(at("2026-11-29T02:00:00Z")));
    assert_eq!(opens("2026-11-29T02:00:00Z"), None);
    assert_eq!(opens("2026-11-28T10:00:00Z"), None, "an end that is over");
    assert_eq!(night.opens(DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MAX_UTC), None);
    assert_eq!(night.opens(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC), None, "no time is before the first");
}

/// Berlin, 2026: on March 29 the clock goes from 02:00 to 03:00, on October 25 from 03:00 back to 02:00.
#[test]
fn a_change_of_clocks_neither_drops_a_window_nor_opens_it_twice() {
    let half_past = |time| opens("30 2 * * *", "Europe/Berlin", time);
    assert_eq!(half_past("2026-03-28T00:00:00Z"), "2026-03-28T01:30:00Z");
    assert_eq!(half_past("2026-03-29T00:00:00Z"), "2026-03-29T01:30:00Z", "03:30, for there is no 02:30");
    assert_eq!(half_past("2026-03-29T02:00:00Z"), "2026-03-29T01:30:00Z", "and it is open for its hour");
    assert_eq!(half_past("2026-03-30T00:00:00Z"), "2026-03-30T00:30:00Z");
    assert_eq!(half_past("2026-10-25T00:00:00Z"), "2026-10-25T00:30:00Z", "the first 02:30");
    assert_eq!(half_past("2026-10-25T01:30:00Z"), "2026-10-26T01:30:00Z", "not at the second one");
    // Every hour is every hour.
    let hourly = |time| opens("30 * * * *", "Europe/Berlin", time);
    assert_eq!(hourly("2026-10-25T01:30:00Z"), "2026-10-25T01:30:00Z", "the second 02:30");
    assert_eq!(hourly("2026-03-29T01:30:00Z"), "2026-03-29T01:30:00Z");
}

/// Gaps at midnight, of half an hour and of a day, and clocks that are put back over midnight.
#[test]
fn clocks_are_changed_in_other_ways_elsewhere() {
    // Cairo, 2026-04-24: from 00:00 to 01:00. Santiago, 2026-04-05: from 24:00 back to 23:00 of April 4.
    assert_eq!(opens("15 0 * * *", "Africa/Cairo", "2026-04-23T21:00:00Z"), "2026-04-23T22:15:00Z", "01:15");
    assert_eq!(opens("30 23 * * *", "America/Santiago", "2026-04-05T02:00:00Z"), "2026-04-05T02:30:00Z", "the first 23:30");
    assert_eq!(opens("30 23 * * *", "America/Santiago", "2026-04-05T03:30:00Z"), "2026-04-06T03:30:00Z", "and no second");
    // Lord Howe, 2026-10-04: from 02:00 to 02:30. What is read in the gap does not come before what stands after it.
    assert_eq!(opens("15,40 2 * * *", "Australia/Lord_Howe", "2026-10-03T15:00:00Z"), "2026-10-03T15:40:00Z", "02:40");
    let short = Window::read(&window("15,40 2 * * *", "Australia/Lord_Howe", 5)).unwrap();
    let opens = |time| short.opens(at(time), DateTime::<Utc>::MAX_UTC);
    assert_eq!(opens("2026-10-03T15:42:00Z"), Some(at("2026-10-03T15:40:00Z")), "open, though 02:15 stands first");
    assert_eq!(opens("2026-10-03T15:45:00Z"), Some(at("2026-10-03T15:45:00Z")), "02:45 for 02:15");
    // Apia left out December 30, 2011.
    let apia = Window::read(&window("0 12 30 * *", "Pacific/Apia", 60)).unwrap();
    assert_eq!(apia.opens(at("2011-12-28T00:00:00Z"), at("2012-01-15T00:00:00Z")), Some(at("2011-12-30T22:00:00Z")));
}

#[test]
fn what_is_no_window_is_told_why() {
    let read = |cron: &str, zone: &str| Window::read(&window(cron, zone, 60)).map(|_| ());
    for cron in ["", "* * * *", "* * * * * *", "0 2 * * * UTC", "60 * * * *", "a b c d e", "@daily", "H * * * *"] {
        assert_eq!(read(cron, "UTC"), Err(NoWindow::Cron), "{cron:?}");
    }
    assert_eq!(read("0 2 30 2 *", "UTC"), Err(NoWindow::Never));
    for zone in ["Europe/Nowhere", "europe/berlin", "Etc/Unknown", "CEST-1", "", "../../etc/passwd"] {
        assert_eq!(read("0 2 * * *", zone), Err(NoWindow::Zone), "{zone:?}");
    }
    assert_eq!(read("*/15 0-5 1,15 JAN-JUN SUN", "Asia/Kathmandu"), Ok(()));
}

/// Times on the wall around changes of clocks, and the zones that make them.
const CHANGES: [(&str, &str); 6] = [
    ("Europe/Berlin", "2026-03-28T12:00:00Z"),
    ("Europe/Berlin", "2026-10-24T12:00:00Z"),
    ("America/New_York", "2026-11-01T00:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T04:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T04:00:00Z"),
    ("Africa/Cairo", "2026-04-23T10:00:00Z"),
];

proptest! {
    /// Minute by minute: a window opens whenever the clock on the wall shows one of its times for the first time (every hour: each
    /// time), and as much later where the clock leaves it out.
    #[test]
    fn openings_are_those_that_a_look_at_the_clock_each_minute_finds(
        change in 0_usize..6, minute in 0_u32..60, hours in proptest::collection::btree_set(0_u32..24, 1..4), every in any::<bool>(),
        begin in 0_i64..36 * 60,
    ) {
        let (zone_name, from) = CHANGES[change];
        let zone: Tz = zone_name.parse().unwrap();
        let named = |hour: u32| every || hours.contains(&hour);
        let field = if every { "*".to_owned() } else { hours.iter().map(ToString::to_string).collect::<Vec<_>>().join(",") };
        let window = Window::read(&window(&format!("{minute} {field} * * *"), zone_name, 1)).unwrap();
        let begin = at(from) + TimeDelta::minutes(begin);
        let wall = |time: DateTime<Utc>| time.with_timezone(&zone).naive_local();
        let shown = |time: DateTime<Utc>| {
            use chrono::Timelike as _;
            (wall(time).minute() == minute) && named(wall(time).hour())
        };
        // Whether the clock showed that before: within the last two hours it was put back.
        let again = |time: DateTime<Utc>| (1..=120).any(|back| wall(time - TimeDelta::minutes(back)) == wall(time));
        // The times that were left out when the clock jumped at this minute or up to two hours ago, as much later.
        let left_out = |time: DateTime<Utc>| (0..=120).any(|back| {
            use chrono::Timelike as _;
            let (after, before) = (time - TimeDelta::minutes(back), time - TimeDelta::minutes(back + 1));
            let gap = wall(after) - wall(before) - TimeDelta::minutes(1);
            let missed = wall(time) - gap;
            gap > TimeDelta::zero() && missed > wall(before) && missed < wall(after)
                && missed.minute() == minute && named(missed.hour())
        });
        let opens = |time: DateTime<Utc>| shown(time) && (every || !again(time)) || left_out(time);
        let expected = (0..48 * 60).map(|minutes| begin + TimeDelta::minutes(minutes)).find(|time| opens(*time));
        // It lasts a minute: whatever leaves it open after `begin` opens at `begin` or later.
        prop_assert_eq!(window.opens(begin, begin + TimeDelta::hours(48)), expected);
    }
}
