//! Refresh windows: cron expressions and time zones, read into times. What a window does to a refresh is said in
//! `refresh::window`.
//!
//! The time zones come with the program (chrono-tz), because the image has none, and an object must mean the same everywhere.

use std::time::Duration;

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cron::Cron;
use super::{SpecDuration, value_rule};

/// A time in which scheduled refreshes happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefreshWindow {
    /// When the window opens, in the five fields of cron as a CronJob has them: minute, hour, day of month, month, day of week.
    /// `0 2 * * 1-5` is two o'clock from Monday to Friday. A time that a change of clocks leaves out opens as much later; one that
    /// comes twice opens once, the first time, but with every hour named (`*`) both times.
    #[schemars(length(max = 100))]
    #[x_kube(validation = value_rule::cron())]
    pub cron: String,
    /// Time zone of the clock on the wall, such as Europe/Berlin (IANA). Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = value_rule::time_zone())]
    pub time_zone: Option<String>,
    /// How long it stays open, by the clock that nobody changes. 1m to 168h.
    #[x_kube(validation = value_rule::duration("1m", "168h"))]
    pub duration: SpecDuration,
}

impl RefreshWindow {
    /// Time zone, default filled in.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        self.time_zone.as_deref().unwrap_or("UTC")
    }
}

/// Why a window cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoWindow {
    /// The cron expression cannot be read.
    #[error("must have the five fields of cron, such as 0 2 * * 1-5: minute, hour, day of month, month, day of week")]
    Cron,
    /// It names no time that comes.
    #[error("names a time that never comes, such as February 30")]
    Never,
    /// The time zone is not known.
    #[error("must be a time zone of the IANA database, such as Europe/Berlin or UTC")]
    Zone,
}

/// A window that was read.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    cron: Cron,
    zone: Tz,
    duration: TimeDelta,
}

/// What is taken from a time on the wall to get a time of UTC that lies at least half a day before it, whatever the zone. Zones are
/// 14 hours ahead of UTC at most, and no two changes of clocks are that close.
const EARLIER: TimeDelta = TimeDelta::hours(26);

impl Window {
    /// Reads a window.
    pub fn read(window: &RefreshWindow) -> Result<Self, NoWindow> {
        let zone = window.time_zone().parse().map_err(|_| NoWindow::Zone)?;
        let cron = Cron::read(&window.cron).ok_or(NoWindow::Cron)?;
        let duration = TimeDelta::from_std(window.duration.get()).unwrap_or(TimeDelta::MAX);
        if cron.comes() { Ok(Self { cron, zone, duration }) } else { Err(NoWindow::Never) }
    }

    /// How long it stays open.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration.to_std().unwrap_or_default()
    }

    /// The first time at which it opens of those that leave it open after `time`; none if that is not before `until`. It is open at
    /// `time` if it opens then or before.
    ///
    /// Looks at the days between both, and never at more than eight years of them: by then everything comes that comes (February 29).
    #[must_use]
    pub fn opens(&self, time: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = time.checked_sub_signed(self.duration)?;
        let last = self.date(until).unwrap_or(NaiveDate::MAX);
        let mut days = self.date(after)?.iter_days().take_while(|day| *day <= last);
        let first = |day| self.cron.times(day).flat_map(|wall| self.instants(wall)).filter(|opens| *opens > after).min();
        days.find_map(first).filter(|opens| *opens < until)
    }

    /// The date on the wall.
    fn date(&self, time: DateTime<Utc>) -> Option<NaiveDate> {
        let offset = self.zone.offset_from_utc_datetime(&time.naive_utc()).fix();
        time.naive_utc().checked_add_offset(offset).map(|wall| wall.date())
    }

    /// When the clock on the wall shows that. RFC 5545 section 3.3.5: what comes twice means the first time; what never comes is
    /// read with the offset from before the gap, and so comes as much later. An expression of every hour means both times.
    fn instants(&self, wall: NaiveDateTime) -> impl Iterator<Item = DateTime<Utc>> {
        let (first, second) = match self.zone.from_local_datetime(&wall) {
            LocalResult::Single(time) => (Some(time.to_utc()), None),
            LocalResult::Ambiguous(one, other) => (Some(one.min(other).to_utc()), Some(one.max(other).to_utc())),
            LocalResult::None => (self.as_before(wall), None),
        };
        first.into_iter().chain(second.filter(|_| self.cron.is_hourly()))
    }

    /// That time on the wall by the offset from before the gap.
    fn as_before(&self, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        let offset = self.zone.offset_from_utc_datetime(&wall.checked_sub_signed(EARLIER)?).fix();
        wall.checked_sub_offset(offset).map(|time| time.and_utc())
    }
}

#[cfg(test)]
mod tests;
