//! Times for people: absolute, and as seen from now.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// A span in its two largest units: `45s`, `12m30s`, `5h3m`, `12d4h`.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (large, small) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3600 => ((seconds / 60, "m"), (seconds % 60, "s")),
        3600..86_400 => ((seconds / 3600, "h"), (seconds % 3600 / 60, "m")),
        _ => ((seconds / 86_400, "d"), (seconds % 86_400 / 3600, "h")),
    };
    let rest = if small.0 == 0 { String::new() } else { format!("{}{}", small.0, small.1) };
    format!("{}{}{rest}", large.0, large.1)
}

/// A time as seen from now: `in 12m30s`, `5s ago`, `now`.
pub fn relative(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match (time - now).to_std() {
        Ok(ahead) if ahead.as_secs() == 0 => "now".to_owned(),
        Ok(ahead) => format!("in {}", span(ahead)),
        Err(_) => format!("{} ago", span((now - time).to_std().unwrap_or_default())),
    }
}

/// How long ago, without a word.
pub fn age(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    span((now - time).to_std().unwrap_or_default())
}

/// A time in RFC 3339, whole seconds, UTC.
pub fn absolute(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Both: `2026-11-28T15:55:00Z (in 12m30s)`.
pub fn both(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ({})", absolute(time), relative(time, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_two_largest_units() {
        let rows = [(0, "0s"), (59, "59s"), (60, "1m"), (750, "12m30s"), (3600, "1h"), (18_180, "5h3m"), (1_051_200, "12d4h")];
        for (seconds, text) in rows {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        assert_eq!(relative(at(100), at(40)), "in 1m");
        assert_eq!(relative(at(40), at(100)), "1m ago");
        assert_eq!(relative(at(40), at(40)), "now");
        assert_eq!(both(at(0), at(61)), "1970-01-01T00:00:00Z (1m1s ago)");
    }
}
