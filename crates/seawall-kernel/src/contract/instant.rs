//! Timestamps: text and local times into microseconds UTC, by the zone that the contract names.

use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::text::{self, Fault};

const TIMESTAMP: Fault = Fault::NotA("a timestamp like 2014-01-31T08:05:00Z");
const RANGE: Fault = Fault::OutOfRange("a timestamp");
pub(super) const DAY_US: i64 = 86_400_000_000;

/// The zone in which local timestamps are read.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    zone: TimeZone,
    utc: bool,
}

impl Zone {
    /// The zone called `name` in the IANA database; `None` when there is no such zone.
    pub(super) fn named(name: &str) -> Option<Zone> {
        let zone = TimeZone::get(name).ok()?;
        let utc = matches!(name, "UTC" | "Etc/UTC" | "Z");
        Some(Zone { zone, utc })
    }

    /// A zone of the database.
    pub(super) fn of(zone: TimeZone) -> Zone {
        Zone { zone, utc: false }
    }

    /// Coordinated universal time.
    pub(super) fn utc() -> Zone {
        Zone { zone: TimeZone::UTC, utc: true }
    }

    /// The instant of a local time given in microseconds since 1970-01-01T00:00:00 local: the earlier one when clocks
    /// show it twice, a fault when they skip it.
    pub(super) fn instant(&self, local_us: i64) -> Result<i64, Fault> {
        if self.utc {
            return Ok(local_us);
        }
        let local = civil_from_us(local_us).ok_or(RANGE)?;
        let offset = match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { .. } => return Err(Fault::Gap),
            AmbiguousOffset::Fold { before, .. } => before,
        };
        local_us.checked_sub(i64::from(offset.seconds()) * 1_000_000).ok_or(RANGE)
    }
}

fn civil_from_us(local_us: i64) -> Option<civil::DateTime> {
    // Read as if it were UTC, the local clock's microseconds give the local fields.
    let timestamp = jiff::Timestamp::from_microsecond(local_us).ok()?;
    Some(TimeZone::UTC.to_datetime(timestamp))
}

/// Reads `YYYY-MM-DD(T| )HH:MM[:SS[.fraction]][Z|+HH:MM|-HH:MM|+HHMM|+HH]` into microseconds UTC. Without a zone the
/// text is local time in `zone`.
pub(super) fn timestamp(text: &str, zone: &Zone) -> Result<i64, Fault> {
    let bytes = text.as_bytes();
    if bytes.len() < 16 || !matches!(bytes[10], b'T' | b't' | b' ') || !text.is_ascii() {
        return Err(TIMESTAMP);
    }
    let days = text::date(&text[..10]).map_err(|_| TIMESTAMP)?;
    let rest = &text[11..];
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, offset) = rest.split_at(zone_at);
    let nanos = text::time_of_day(clock).map_err(|_| TIMESTAMP)?;
    let offset_us = offset_us(offset).ok_or(TIMESTAMP)?;
    if nanos % 1_000 != 0 {
        return Err(Fault::Nanoseconds);
    }
    let local_us = i64::from(days) * DAY_US + nanos / 1_000;
    match offset_us {
        Some(offset_us) => Ok(local_us - offset_us),
        None => zone.instant(local_us),
    }
}

/// Whether a timestamp ends with a zone; the hyphens of its date come before.
pub(super) fn names_zone(text: &str) -> bool {
    text.get(11..).is_some_and(|rest| rest.contains(['Z', 'z', '+', '-']))
}

/// Microseconds east of UTC; `Some(None)` when the text names no zone, `None` when it is malformed.
pub(super) fn offset_us(text: &str) -> Option<Option<i64>> {
    let bytes = text.as_bytes();
    let (sign, digits) = match bytes {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(Some(0)),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hour, minute) = match digits.len() {
        2 => (&digits[..2], &b"00"[..]),
        4 => (&digits[..2], &digits[2..]),
        5 if digits[2] == b':' => (&digits[..2], &digits[3..]),
        _ => return None,
    };
    let hour = text::digits(hour).filter(|h| *h < 24)?;
    let minute = text::digits(minute).filter(|m| *m < 60)?;
    Some(Some(sign * i64::from(hour * 3600 + minute * 60) * 1_000_000))
}
