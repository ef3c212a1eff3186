//! Refresh windows: cron expressions and time zones, read into times. What a window does to a refresh is said in
//! `refresh::window`.
//!
//! The time zones come with the program (jiff's bundled database), because the image has none, and an object must mean the same
//! everywhere.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
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
#[derive(Clone, Debug)]
pub struct Window {
    cron: Cron,
    zone: TimeZone,
    duration: TimeDelta,
}

/// The zones of the program, not those of the machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone of this very name; the database itself would not mind its case.
fn zone(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok().filter(|zone| zone.iana_name() == Some(name) && !zone.is_unknown())
}

impl Window {
    /// Reads a window.
    pub fn read(window: &RefreshWindow) -> Result<Self, NoWindow> {
        let zone = zone(window.time_zone()).ok_or(NoWindow::Zone)?;
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
        let offset = self.zone.to_offset(Timestamp::from_second(time.timestamp()).ok()?);
        time.naive_utc().checked_add_signed(ahead(offset)).map(|wall| wall.date())
    }

    /// When the clock on the wall shows that. RFC 5545 section 3.3.5: what comes twice means the first time; what never comes is
    /// read with the offset from before the gap, and so comes as much later. An expression of every hour means both times.
    fn instants(&self, wall: NaiveDateTime) -> impl Iterator<Item = DateTime<Utc>> {
        // jiff's own form of what the wall shows; none outside the years that it knows, -9999 to 9999.
        let shown = Timestamp::from_second(wall.and_utc().timestamp()).ok().map(|time| Offset::UTC.to_datetime(time));
        let offsets = shown.map(|shown| match self.zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
            AmbiguousOffset::Gap { before, .. } => [Some(before), None],
            AmbiguousOffset::Fold { before, after } => [Some(before), self.cron.is_hourly().then_some(after)],
        });
        let at = move |offset| wall.checked_sub_signed(ahead(offset)).map(|time| time.and_utc());
        offsets.into_iter().flatten().flatten().filter_map(at)
    }
}

/// How far a clock is ahead of UTC.
fn ahead(offset: Offset) -> TimeDelta {
    TimeDelta::seconds(offset.seconds().into())
}

#[cfg(test)]
mod tests;
