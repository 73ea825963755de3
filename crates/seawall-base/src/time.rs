//! Instants and spans: i64 microseconds, UTC.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A point in time: microseconds since 1970-01-01T00:00:00Z. Event times, arrivals and availabilities are instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(pub i64);

impl Instant {
    /// Before every representable instant.
    pub const MIN: Instant = Instant(i64::MIN);
    /// After every representable instant.
    pub const MAX: Instant = Instant(i64::MAX);

    /// The greatest multiple of `step` since the epoch that is not after this instant; right for instants before 1970.
    pub fn floor(self, step: Span) -> Instant {
        assert!(step.0 > 0, "a floor needs a positive step");
        Instant(self.0.div_euclid(step.0).saturating_mul(step.0))
    }
}

impl Add<Span> for Instant {
    type Output = Instant;
    fn add(self, span: Span) -> Instant {
        Instant(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Instant {
    type Output = Instant;
    fn sub(self, span: Span) -> Instant {
        Instant(self.0.saturating_sub(span.0))
    }
}

impl Sub for Instant {
    type Output = Span;
    fn sub(self, other: Instant) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

/// RFC 3339, UTC: `2014-01-01T08:05:00Z`.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{} us", self.0),
        }
    }
}

impl FromStr for Instant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let timestamp: jiff::Timestamp = text.parse().map_err(|e: jiff::Error| {
            Error::invalid("SW0107", format!("{text:?} is not an instant"))
                .because(e)
                .hint("write RFC 3339 with a zone, for example 2014-01-01T08:05:00Z")
        })?;
        Ok(Instant(timestamp.as_microsecond()))
    }
}

/// A length of time in microseconds. Written `90s`, `15m`, `1h`, `30d`, `2w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub i64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// One second.
    pub const SECOND: Span = Span(1_000_000);
    /// One minute.
    pub const MINUTE: Span = Span(60 * Span::SECOND.0);
    /// One hour.
    pub const HOUR: Span = Span(60 * Span::MINUTE.0);
    /// One day of 24 hours.
    pub const DAY: Span = Span(24 * Span::HOUR.0);
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units =
            [(Span::DAY, "d"), (Span::HOUR, "h"), (Span::MINUTE, "m"), (Span::SECOND, "s"), (Span(1_000), "ms")];
        for (unit, name) in units {
            if self.0 != 0 && self.0 % unit.0 == 0 {
                return write!(f, "{}{name}", self.0 / unit.0);
            }
        }
        if self.0 == 0 { write!(f, "0s") } else { write!(f, "{}us", self.0) }
    }
}

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid("SW0108", format!("{text:?} is not a length of time"))
                .hint("write a whole number and a unit: us, ms, s, m, h, d or w, for example 24h")
        };
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let count: i64 = text[..digits].parse().map_err(|_| bad())?;
        let unit = match &text[digits..] {
            "us" => 1,
            "ms" => 1_000,
            "s" => Span::SECOND.0,
            "m" => Span::MINUTE.0,
            "h" => Span::HOUR.0,
            "d" => Span::DAY.0,
            "w" => 7 * Span::DAY.0,
            _ => return Err(bad()),
        };
        Ok(Span(count.checked_mul(unit).ok_or_else(bad)?))
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|e: Error| serde::de::Error::custom(format!("{e}; {}", e.remedy().unwrap_or_default())))
    }
}

/// Instants as RFC 3339 text in JSON: `#[serde(with = "seawall_base::time::text")]`.
pub mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Instant;

    /// Writes the instant as text.
    pub fn serialize<S: Serializer>(instant: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(instant)
    }

    /// Reads an instant from text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
