//! A checked duration for specs: `1h30m`, `20m`, `45s`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The form of a duration in a spec, the empty text aside; CEL's `duration()` and Go read it too.
pub const DURATION_PATTERN: &str = "^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,7}s)?$";

/// A duration in whole seconds, written as hours, minutes and seconds in this order (`1h30m`), each part optional.
///
/// At least one part must be there. Largest: 99999h (our choice: eleven years is longer than any token lives). A type of our
/// own, because `kube::core::Duration` panics on huge values and accepts empty and negative ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SpecDuration(Duration);

/// Why a text is no duration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a duration: write hours, minutes and seconds in this order, such as 1h30m, 20m or 45s")]
pub struct NotADuration;

impl SpecDuration {
    /// A duration of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Reads `1h30m`.
    pub fn parse(text: &str) -> Result<Self, NotADuration> {
        let mut rest = text;
        let mut total = 0_u64;
        for (unit, seconds) in [('h', 3600), ('m', 60), ('s', 1)] {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at_checked(digits).ok_or(NotADuration)?;
            let Some(after) = tail.strip_prefix(unit) else { continue };
            let most = if unit == 's' { 7 } else { 5 };
            if number.len() > most {
                return Err(NotADuration);
            }
            let number: u64 = number.parse().map_err(|_| NotADuration)?;
            total += number * seconds;
            rest = after;
        }
        if rest.is_empty() && !text.is_empty() { Ok(Self::from_secs(total)) } else { Err(NotADuration) }
    }
}

impl fmt::Display for SpecDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.as_secs();
        let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if seconds > 0 || total == 0 {
            write!(f, "{seconds}s")?;
        }
        Ok(())
    }
}

impl Serialize for SpecDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SpecDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for SpecDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 20 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_back() {
        for (text, seconds) in [("1h30m", 5400), ("20m", 1200), ("45s", 45), ("0s", 0), ("99999h", 359_996_400), ("1h1s", 3601)] {
            let duration = SpecDuration::parse(text).unwrap();
            assert_eq!(duration.get().as_secs(), seconds, "{text}");
            assert_eq!(duration.to_string(), text);
        }
        assert_eq!(SpecDuration::parse("90m").unwrap().to_string(), "1h30m");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "1", "h", "-1h", "1d", "5m5m", "1s1h", "1.5h", "999999h", "1 h", "99999999999999999999h", "1ms", "1hh"] {
            assert_eq!(SpecDuration::parse(text), Err(NotADuration), "{text}");
        }
    }
}
