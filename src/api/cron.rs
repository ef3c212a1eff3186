//! Cron expressions of five fields (POSIX `crontab`: minute, hour, day of month, month, day of week), as sets of numbers. Own code,
//! because the crates for it bring years, seconds and searches without a bound.

use std::ops::RangeInclusive;

use chrono::{Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike as _};

/// How many days are looked through for the next time: four years, so that each February 29 is among them.
const MOST_DAYS: usize = 4 * 366;
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The times that an expression names, each field as a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both days are given: one of them is enough (POSIX `crontab`).
    either_day: bool,
}

impl Cron {
    /// Reads an expression; none if it is not one.
    pub(super) fn read(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(' ').collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
        let either_day = !days.starts_with('*') && !weekdays.starts_with('*');
        let weekdays = field(weekdays, 0..=7, &WEEKDAYS)?;
        Some(Self {
            minutes: field(minutes, 0..=59, &[])?,
            hours: field(hours, 0..=23, &[])?,
            days: field(days, 1..=31, &[])?,
            months: field(months, 1..=12, &MONTHS)?,
            // Sunday is 0 and 7.
            weekdays: weekdays | (weekdays >> 7),
            either_day,
        })
    }

    /// The first time that it names, `from` or later, in whole minutes; none within four years.
    pub(super) fn next(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let whole = from.with_second(0)?.with_nanosecond(0)?;
        let from = if whole == from { whole } else { whole.checked_add_signed(TimeDelta::minutes(1))? };
        let mut days = from.date().iter_days().take(MOST_DAYS).filter(|day| self.on(*day));
        days.find_map(|day| {
            let since = if day == from.date() { from.time() } else { NaiveTime::MIN };
            Some(day.and_time(self.at(since)?))
        })
    }

    fn on(&self, day: NaiveDate) -> bool {
        let (of_month, of_week) = (has(self.days, day.day()), has(self.weekdays, day.weekday().num_days_from_sunday()));
        let fits = if self.either_day { of_month || of_week } else { of_month && of_week };
        fits && has(self.months, day.month())
    }

    /// The first time of a day, `since` or later.
    fn at(&self, since: NaiveTime) -> Option<NaiveTime> {
        (since.hour()..24).filter(|hour| has(self.hours, *hour)).find_map(|hour| {
            let first = if hour == since.hour() { since.minute() } else { 0 };
            let minute = (first..60).find(|minute| has(self.minutes, *minute))?;
            NaiveTime::from_hms_opt(hour, minute, 0)
        })
    }
}

fn has(set: u64, number: u32) -> bool {
    1_u64.checked_shl(number).is_some_and(|bit| set & bit != 0)
}

/// A list of `*`, numbers, names and ranges, each perhaps with a step.
fn field(text: &str, range: RangeInclusive<u32>, names: &[&str]) -> Option<u64> {
    let mut set = 0;
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
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        for number in (first..=last).step_by(step) {
            set |= 1_u64.checked_shl(number)?;
        }
    }
    Some(set)
}

fn value(text: &str, first: u32, names: &[&str]) -> Option<u32> {
    let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
    named.and_then(|place| u32::try_from(place).ok()?.checked_add(first)).or_else(|| number(text))
}

/// One or two digits.
fn number(text: &str) -> Option<u32> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, from: &str) -> String {
        Cron::read(cron).unwrap().next(from.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_next_time_is_found() {
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
            ("30 1 * JAN-MAR MON", "2026-11-28T00:00:00", "2027-01-04 01:30:00"),
            ("0 0 * * 7", "2026-11-28T00:00:00", "2026-11-29 00:00:00"),
            ("0 0 * * 5-7", "2026-11-28T00:00:01", "2026-11-29 00:00:00"),
            ("0 0 13 * 5", "2026-11-28T00:00:00", "2026-12-04 00:00:00"),
            ("0 0 */2 * 5", "2026-11-28T00:00:00", "2026-12-11 00:00:00"),
            ("59 23 31 12 *", "2026-12-31T23:59:01", "2027-12-31 23:59:00"),
        ] {
            assert_eq!(next(cron, from), expected, "{cron} from {from}");
        }
        assert_eq!(Cron::read("0 0 30 2 *").unwrap().next("2026-11-28T00:00:00".parse().unwrap()), None);
    }

    #[test]
    fn what_is_no_cron_expression_is_refused() {
        let wrong = "|* * * *|* * * * * *|0  2 * * *|60 * * * *|* 24 * * *|* * 0 * *|* * 32 * *|* * * 0 *|* * * 13 *|* * * * 8|5-1 * * * *|\
                     */0 * * * *|+5 * * * *|1, * * * *|-1 * * * *|1-2-3 * * * *|*/ * * * *|a * * * *|MON * * * *|* * * MON *|* * L * *|\
                     H * * * *|@daily|005 * * * *|0 2 * * * UTC|0 2 * * \u{661}";
        for cron in wrong.split('|') {
            assert_eq!(Cron::read(cron), None, "{cron:?}");
        }
    }
}
