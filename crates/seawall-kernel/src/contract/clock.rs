//! How a temporal column reads its text: in ISO 8601 or in the form that the contract gives, in which zone, and whether
//! a text must name its zone.

use std::borrow::Cow;

use super::form::Form;
use super::instant::{self, Zone};
use super::text::{self, Fault};

/// What the contract says about the texts of a date, a timestamp or a time of day.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// `format`; ISO 8601 without.
    pub form: Option<Form>,
    /// `defaultTimezone`; the dataset's zone without.
    pub zone: Option<Zone>,
    /// `timezone`: whether a text must name its zone, or must not. Both are fine without.
    pub zoned: Option<bool>,
}

impl Clock {
    /// Days since 1970-01-01.
    pub(super) fn date(&self, text: &str) -> Result<i32, Fault> {
        match &self.form {
            Some(form) => form.read(text)?.days(),
            None => text::date(text),
        }
    }

    /// Microseconds UTC; `zone` is the dataset's.
    pub(super) fn timestamp(&self, text: &str, zone: &Zone) -> Result<i64, Fault> {
        let zone = self.zone.as_ref().unwrap_or(zone);
        let Some(form) = &self.form else {
            self.check_zone(instant::names_zone(text))?;
            return instant::timestamp(text, zone);
        };
        let fields = form.read(text)?;
        self.check_zone(fields.offset_s.is_some() || fields.zone.is_some())?;
        let nanos = fields.nanos_of_day()?;
        if nanos % 1_000 != 0 {
            return Err(Fault::Nanoseconds);
        }
        let local_us = i64::from(fields.days()?) * instant::DAY_US + nanos / 1_000;
        match (fields.offset_s, &fields.zone) {
            (Some(offset_s), _) => Ok(local_us - offset_s * 1_000_000),
            (None, Some(named)) => Zone::of(named.clone()).instant(local_us),
            (None, None) => zone.instant(local_us),
        }
    }

    /// The time of day in ISO 8601, in which times are kept.
    pub(super) fn time<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, Fault> {
        let Some(form) = &self.form else {
            let (clock, zone) = split_zone(text);
            self.check_zone(zone.is_some())?;
            // Without `timezone: true` a time of day has no zone.
            if zone.is_some() && self.zoned != Some(true) {
                return Err(text::TIME);
            }
            if zone.is_some_and(|zone| instant::offset_us(zone).flatten().is_none()) {
                return Err(text::TIME);
            }
            return text::time_of_day(clock).map(|_| Cow::Borrowed(text));
        };
        let fields = form.read(text)?;
        self.check_zone(fields.offset_s.is_some() || fields.zone.is_some())?;
        let nanos = fields.nanos_of_day()?;
        Ok(Cow::Owned(text::time_text(nanos)))
    }

    fn check_zone(&self, is_named: bool) -> Result<(), Fault> {
        match self.zoned {
            Some(true) if !is_named => Err(Fault::ZoneMissing),
            Some(false) if is_named => Err(Fault::ZoneGiven),
            _ => Ok(()),
        }
    }
}

/// Nanoseconds since midnight of a time that a column keeps.
pub(super) fn kept_time(text: &str) -> Result<i64, Fault> {
    text::time_of_day(split_zone(text).0)
}

/// A time of day and the zone behind it.
fn split_zone(text: &str) -> (&str, Option<&str>) {
    match text.find(['Z', 'z', '+', '-']) {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    }
}
