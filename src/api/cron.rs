//! Cron expressions as those of a Kubernetes CronJob: five fields (minute, hour, day of month, month, day of week), each a set of
//! numbers. Own code, because the crates for it bring seconds, years and searches without a bound.

use std::ops::RangeInclusive;

use chrono::{Datelike as _, NaiveDate, NaiveDateTime};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// How many days each month has at most.
const LONGEST: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// The times that an expression names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
}

/// The numbers of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set {
    bits: u64,
    /// A part of it is `*`: the field does not narrow.
    any: bool,
}

impl Set {
    fn has(self, number: u32) -> bool {
        1_u64.checked_shl(number).is_some_and(|bit| self.bits & bit != 0)
    }
}

impl Cron {
    /// Reads an expression; none if it is not one.
    pub(super) fn read(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(' ').collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
        let weekdays = set(weekdays, 0..=7, &WEEKDAYS)?;
        Some(Self {
            minutes: set(minutes, 0..=59, &[])?,
            hours: set(hours, 0..=23, &[])?,
            days: set(days, 1..=31, &[])?,
            months: set(months, 1..=12, &MONTHS)?,
            // Sunday is 0 and 7.
            weekdays: Set { bits: weekdays.bits | (weekdays.bits >> 7), ..weekdays },
        })
    }

    /// Whether it names a time that ever comes: February 30 does not.
    pub(super) fn comes(self) -> bool {
        let month = |(longest, month): (u32, u32)| self.months.has(month) && (1..=longest).any(|day| self.days.has(day));
        !self.weekdays.any || LONGEST.into_iter().zip(1..).any(month)
    }

    /// Whether it names every hour of a day: it means a distance of time, not a time on the clock.
    pub(super) fn is_hourly(self) -> bool {
        (0..24).all(|hour| self.hours.has(hour))
    }

    /// The times of a day that it names, in order.
    pub(super) fn times(self, day: NaiveDate) -> impl Iterator<Item = NaiveDateTime> {
        let hours = (0..24).filter(move |hour| self.hours.has(*hour)).take(if self.on(day) { 24 } else { 0 });
        let minutes = move |hour| (0..60).filter(move |minute| self.minutes.has(*minute)).map(move |minute| (hour, minute));
        hours.flat_map(minutes).filter_map(move |(hour, minute)| day.and_hms_opt(hour, minute, 0))
    }

    /// Where both days are narrowed, one of them is enough (POSIX `crontab`).
    fn on(self, day: NaiveDate) -> bool {
        let (of_month, of_week) = (self.days.has(day.day()), self.weekdays.has(day.weekday().num_days_from_sunday()));
        let fits = if self.days.any || self.weekdays.any { of_month && of_week } else { of_month || of_week };
        fits && self.months.has(day.month())
    }
}

/// A list of `*`, numbers, names and ranges, each perhaps with a step.
fn set(text: &str, range: RangeInclusive<u32>, names: &[&str]) -> Option<Set> {
    let mut set = Set { bits: 0, any: false };
    for part in text.split(',') {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(number(step).filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let value = |text: &str| value(text, *range.start(), names).filter(|value| range.contains(value));
        let (first, last) = match span.split_once('-') {
            _ if span == "*" => (*range.start(), *range.end()),
            Some((first, last)) => (value(first)?, value(last)?),
            // With a step: from there to the end.
            None => (value(span)?, if step.is_some() { *range.end() } else { value(span)? }),
        };
        if first > last {
            return None;
        }
        set.any |= span == "*" && step.is_none_or(|step| step == 1);
        for number in (first..=last).step_by(usize::try_from(step.unwrap_or(1)).ok()?) {
            set.bits |= 1_u64.checked_shl(number)?;
        }
    }
    Some(set)
}

fn value(text: &str, first: u32, names: &[&str]) -> Option<u32> {
    let word = names.iter().position(|name| text.eq_ignore_ascii_case(name));
    word.and_then(|place| u32::try_from(place).ok()?.checked_add(first)).or_else(|| number(text))
}

/// One or two digits.
fn number(text: &str) -> Option<u32> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first time that is not before `from`.
    fn next(cron: &str, from: &str) -> String {
        let (cron, from): (Cron, NaiveDateTime) = (Cron::read(cron).unwrap(), from.parse().unwrap());
        let mut times = from.date().iter_days().take(9 * 366).flat_map(|day| cron.times(day));
        times.find(|time| *time >= from).unwrap().to_string()
    }

    #[test]
    fn the_times_of_an_expression_come_in_order() {
        // 2026-11-28 is a Saturday.
        for (cron, from, expected) in [
            ("* * * * *", "2026-11-28T10:00:00", "2026-11-28 10:00:00"),
            ("* * * * *", "2026-11-28T10:00:01", "2026-11-28 10:01:00"),
            ("0 2 * * *", "2026-11-28T02:00:30", "2026-11-29 02:00:00"),
            ("*/15 9-17 * * *", "2026-11-28T17:46:00", "2026-11-29 09:00:00"),
            ("5/20 * * * *", "2026-11-28T10:46:00", "2026-11-28 11:05:00"),
            ("0 0 1,15 * *", "2026-11-28T00:00:01", "2026-12-01 00:00:00"),
            ("0 0 31 * *", "2026-11-28T00:00:00", "2026-12-31 00:00:00"),
            ("0 0 29 feb *", "2026-11-28T00:00:00", "2028-02-29 00:00:00"),
            ("0 0 29 2 *", "2097-01-01T00:00:00", "2104-02-29 00:00:00"),
            ("30 1 * JAN-MAR MON", "2026-11-28T00:00:00", "2027-01-04 01:30:00"),
            ("0 0 * * 7", "2026-11-28T00:00:00", "2026-11-29 00:00:00"),
            ("0 0 * * 5-7", "2026-11-28T00:00:01", "2026-11-29 00:00:00"),
            ("0 0 13 * 5", "2026-11-28T00:00:00", "2026-12-04 00:00:00"),
            ("0 0 */2 * 5", "2026-11-28T00:00:00", "2026-11-29 00:00:00"),
            ("0 0 */1 * 5", "2026-11-28T00:00:00", "2026-12-04 00:00:00"),
            ("59 23 31 12 *", "2026-12-31T23:59:01", "2027-12-31 23:59:00"),
        ] {
            assert_eq!(next(cron, from), expected, "{cron} from {from}");
        }
    }

    #[test]
    fn what_is_no_cron_expression_is_refused() {
        let wrong = "|* * * *|* * * * * *|0  2 * * *| 0 2 * * *|60 * * * *|* 24 * * *|* * 0 * *|* * 32 * *|* * * 0 *|* * * 13 *|* * * * 8|\
             5-1 * * * *|*/0 * * * *|+5 * * * *|1, * * * *|-1 * * * *|1-2-3 * * * *|*/ * * * *|a * * * *|MON * * * *|\
             * * * MON *|* * L * *|H * * * *|? * * * *|@daily|005 * * * *|0 2 * * * UTC|0 2 * * \u{661}|*/100 * * * *";
        for cron in wrong.split('|') {
            assert_eq!(Cron::read(cron), None, "{cron:?}");
        }
    }

    #[test]
    fn what_never_comes_is_known() {
        let comes = |cron: &str| Cron::read(cron).unwrap().comes();
        for cron in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "* * 30,31 feb */1"] {
            assert!(!comes(cron), "{cron}");
        }
        for cron in ["0 0 29 2 *", "0 0 30 2 1", "0 0 31 4,5 *", "* * * * *", "0 0 * 2 *"] {
            assert!(comes(cron), "{cron}");
        }
    }

    #[test]
    fn every_hour_is_told_from_some() {
        let hourly = |cron: &str| Cron::read(cron).unwrap().is_hourly();
        assert!(hourly("*/5 * 1 * *") && hourly("0 0-23 * * *") && hourly("0 */1 * * *"));
        assert!(!hourly("0 */2 * * *") && !hourly("0 1-23 * * *"));
    }
}
