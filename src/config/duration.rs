//! Durations as text: `250ms`, `10s`, `5m`, `2h`, `1d`. For serde's `with`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a whole number with a unit; `0` needs none.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a duration; write a whole number and a unit, like 250ms, 10s, 5m, 2h or 1d");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = text[digits..].trim();
    if unit.is_empty() && number == 0 {
        return Ok(Duration::ZERO);
    }
    let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(*ms).map(Duration::from_millis).ok_or_else(wrong)
}

/// The shortest text that reads back as the same duration, to the millisecond.
pub fn text(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".into();
    }
    let (name, unit) = UNITS.iter().rev().find(|(_, unit)| ms.is_multiple_of(*unit)).expect("1 divides");
    format!("{}{name}", ms / unit)
}

pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text(*duration))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    from.deserialize_str(Text)
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a duration like \"10s\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }
}

/// The same, or `off`. For serde's `with` of an `Option`.
pub(crate) mod or_off {
    use std::time::Duration;

    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    const OFF: &str = "off";

    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&duration.map_or_else(|| OFF.into(), super::text))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(from)?;
        if text.trim() == OFF {
            return Ok(None);
        }
        let parsed = super::parse(&text).map(Some);
        parsed.map_err(|why| D::Error::custom(format!("{why}, or `off`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back_as_themselves() {
        for (read, written) in [("250ms", "250ms"), ("90s", "90s"), (" 60 s ", "1m"), ("24h", "1d"), ("0", "0s")] {
            assert_eq!(text(parse(read).unwrap()), written, "{read}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for wrong in ["", "s", "10", "1.5s", "-1s", "10sec", "99999999999999999999s", "999999999999999999d"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
