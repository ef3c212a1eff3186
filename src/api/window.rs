//! Refresh windows: cron expressions and time zones, read into times. What a window does to a refresh is said in
//! `refresh::schedule`.
//!
//! The time zones come with the program (chrono-tz), because the image has none, and the same object must mean the same everywhere.

use std::time::Duration;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cron::Cron;
use super::{SpecDuration, value_rule};

/// A time in which scheduled refreshes happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefreshWindow {
    /// When the window opens, in the five fields of cron: minute, hour, day of month, month, day of week. `0 2 * * 1-5` is two
    /// o'clock from Monday to Friday. A time that a change of clocks leaves out opens as much later; one that comes twice opens
    /// once, the first time.
    #[schemars(length(max = 100))]
    #[x_kube(validation = value_rule::cron())]
    pub cron: String,
    /// Time zone of the clock on the wall, such as Europe/Berlin (IANA). Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = value_rule::time_zone())]
    pub time_zone: Option<String>,
    /// How long it stays open.
    #[x_kube(validation = value_rule::duration("1m", "168h"))]
    pub duration: SpecDuration,
}

/// How much further back openings are looked for than a window lasts, for clocks that were changed meanwhile. Our choice: no clock is
/// put back or forward by more than two hours today.
const CHANGE: TimeDelta = TimeDelta::hours(3);
/// How many openings are looked at: those that are over, each minute of [`CHANGE`], some of them twice.
const MOST_OPENINGS: usize = 400;

/// Why a window cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoWindow {
    /// The cron expression cannot be read.
    #[error("must have the five fields of cron, such as 0 2 * * 1-5: minute, hour, day of month, month, day of week")]
    Cron,
    /// It names no time that comes.
    #[error("names no time that comes within four years, such as February 30")]
    Never,
    /// The time zone is not known.
    #[error("must be a time zone of the IANA database, such as Europe/Berlin or UTC")]
    Zone,
}

/// A window that was read.
#[derive(Clone, Debug)]
pub struct Window {
    cron: Cron,
    zone: Tz,
    duration: Duration,
}

/// A window while it is open once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opening {
    /// When it opens.
    pub opens: DateTime<Utc>,
    /// When it closes.
    pub closes: DateTime<Utc>,
}

impl Window {
    /// Reads a window.
    pub fn read(window: &RefreshWindow) -> Result<Self, NoWindow> {
        let zone = window.time_zone.as_deref().unwrap_or("UTC").parse().map_err(|_| NoWindow::Zone)?;
        let cron = Cron::read(&window.cron).ok_or(NoWindow::Cron)?;
        // Whatever comes comes within four years of any time.
        cron.next(DateTime::UNIX_EPOCH.naive_utc()).ok_or(NoWindow::Never)?;
        Ok(Self { cron, zone, duration: window.duration.get() })
    }

    /// The first time that the window is open at `time` or later; none within four years.
    #[must_use]
    pub fn open_at(&self, time: DateTime<Utc>) -> Option<Opening> {
        let duration = TimeDelta::from_std(self.duration).ok()?;
        let since = time.checked_sub_signed(duration)?.with_timezone(&self.zone).naive_local();
        let mut wall = since.checked_sub_signed(CHANGE)?;
        for _ in 0..MOST_OPENINGS {
            wall = self.cron.next(wall)?;
            let opens = self.instant(wall)?;
            let closes = opens.checked_add_signed(duration)?;
            if closes > time {
                return Some(Opening { opens, closes });
            }
            wall = wall.checked_add_signed(TimeDelta::minutes(1))?;
        }
        None
    }

    /// When the clock on the wall shows that: the first time, where it does twice; as much later as it was put forward, where it
    /// never does.
    fn instant(&self, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        match self.zone.from_local_datetime(&wall) {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.to_utc()),
            LocalResult::None => {
                let before = self.zone.from_local_datetime(&wall.checked_sub_signed(CHANGE)?).earliest()?;
                before.to_utc().checked_add_signed(CHANGE)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(cron: &str, time_zone: &str, hours: u64) -> RefreshWindow {
        let duration = SpecDuration::from_secs(hours * 3600);
        RefreshWindow { cron: cron.to_owned(), time_zone: Some(time_zone.to_owned()), duration }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// When a window that lasts an hour is open at that time or later.
    fn opens(cron: &str, zone: &str, time: &str) -> String {
        let opening = Window::read(&window(cron, zone, 1)).unwrap().open_at(at(time)).unwrap();
        assert_eq!(opening.closes - opening.opens, TimeDelta::hours(1));
        opening.opens.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
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
        assert_eq!(opens("0 0 29 2 *", "UTC", "2026-11-28T00:00:00Z"), "2028-02-29T00:00:00Z");
        let long = Window::read(&window("*/1 * * * *", "UTC", 168)).unwrap().open_at(at("2026-11-28T10:00:30Z")).unwrap();
        assert_eq!(long.opens, at("2026-11-21T10:01:00Z"), "of those that overlap the one that closes first");
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
        let minutes = |time| opens("* * * * *", "Europe/Berlin", time);
        for time in ["2026-03-29T01:00:00Z", "2026-03-29T02:30:00Z", "2026-10-25T01:45:00Z", "2026-10-25T02:30:00Z"] {
            assert!(at(&minutes(time)) <= at(time), "always open: {time}");
        }
    }

    #[test]
    fn what_is_no_window_is_told_why() {
        let read = |cron: &str, zone: &str| Window::read(&window(cron, zone, 1)).map(|_| ());
        for cron in ["", "* * * *", "* * * * * *", "0 2 * * * UTC", "60 * * * *", "a b c d e", "@daily", "H * * * *"] {
            assert_eq!(read(cron, "UTC"), Err(NoWindow::Cron), "{cron:?}");
        }
        assert_eq!(read("0 2 30 2 *", "UTC"), Err(NoWindow::Never));
        for zone in ["Europe/Nowhere", "CEST-1", "", "../../etc/passwd"] {
            assert_eq!(read("0 2 * * *", zone), Err(NoWindow::Zone), "{zone:?}");
        }
        assert_eq!(read("*/15 0-5 1,15 JAN-JUN SUN", "Asia/Kathmandu"), Ok(()));
    }
}
