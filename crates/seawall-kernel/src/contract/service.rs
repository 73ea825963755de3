//! Service levels: what a contract promises about a dataset over time, and whether it is kept at this moment.
//!
//! All properties of the standard are judged: availability, throughput, error rate, general availability, end of
//! support, end of life, retention, frequency, latency, times to detect, to notify and to repair, and the
//! `timeOfAvailability` of its examples. The watcher says what it observed; nothing here reads a clock.

use jiff::tz::TimeZone;
use seawall_base::{Instant, Span};

use super::table_rule::Measurement;

/// Which promise it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Share of the time in which the dataset takes rows in.
    Availability,
    /// Rows per span of time.
    Throughput,
    /// Share of the rows that are refused.
    ErrorRate,
    /// From when there is data.
    GeneralAvailability,
    /// Until when somebody looks after it.
    EndOfSupport,
    /// Until when there is data.
    EndOfLife,
    /// How old a row may become.
    Retention,
    /// How often there are new rows.
    Frequency,
    /// How old the newest row may be.
    Latency,
    /// How long a fault may go unnoticed.
    TimeToDetect,
    /// How long until somebody is told.
    TimeToNotify,
    /// How long a fault may last once it is known.
    TimeToRepair,
    /// By what time of each day there are new rows.
    TimeOfAvailability,
}

impl Service {
    /// By name or synonym, in any case.
    pub(super) fn named(name: &str) -> Option<Service> {
        Some(match name.to_ascii_lowercase().as_str() {
            "availability" | "av" => Service::Availability,
            "throughput" | "th" => Service::Throughput,
            "errorrate" | "er" => Service::ErrorRate,
            "generalavailability" | "ga" => Service::GeneralAvailability,
            "endofsupport" | "es" => Service::EndOfSupport,
            "endoflife" | "el" => Service::EndOfLife,
            "retention" | "re" => Service::Retention,
            "frequency" | "fy" => Service::Frequency,
            "latency" | "ly" | "freshness" => Service::Latency,
            "timetodetect" | "td" => Service::TimeToDetect,
            "timetonotify" | "tn" => Service::TimeToNotify,
            "timetorepair" | "tr" => Service::TimeToRepair,
            "timeofavailability" => Service::TimeOfAvailability,
            _ => return None,
        })
    }
}

/// What is promised.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Promise {
    /// At most this long.
    Within(Span),
    /// A percentage.
    Percent(f64),
    /// So many rows in so much time.
    Rows(f64, Span),
    /// At or from this instant.
    At(Instant),
    /// By this time of day, in microseconds since midnight UTC.
    DailyBy(i64),
}

/// A service level that the monitor watches.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceLevel {
    /// Name in results: the property as written, or its id.
    pub rule: String,
    /// Which promise it is.
    pub service: Service,
    /// Timestamp column that it is about, if any.
    pub column: Option<String>,
    /// Where it stands in the contract.
    pub path: String,
    /// Why it matters, if the contract says so.
    pub driver: Option<String>,
    /// What must hold, for people.
    pub description: String,
    pub(super) promise: Promise,
}

/// What was observed of a dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The newest and the oldest value of the level's column, or of the event time.
    pub newest: Option<Instant>,
    /// See [`newest`](Self::newest).
    pub oldest: Option<Instant>,
    /// When rows last came in.
    pub last_arrival: Option<Instant>,
    /// Since when the dataset is watched.
    pub since: Option<Instant>,
    /// Rows that came in over the period of the promise.
    pub received: u64,
    /// Those of them that were not accepted.
    pub refused: u64,
    /// Looks at the dataset, and those at which it took rows in.
    pub looks: u64,
    /// See [`looks`](Self::looks).
    pub looks_up: u64,
    /// Faults of the dataset: when they began, when they were noticed, when they were over.
    pub faults: Vec<Fault>,
}

/// A fault of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// When the first bad row came in.
    pub began: Instant,
    /// When the incident was opened, which is when people are told.
    pub noticed: Instant,
    /// When it was over; none while it lasts.
    pub over: Option<Instant>,
}

impl ServiceLevel {
    /// Over what period rows are counted.
    pub fn period(&self) -> Span {
        match &self.promise {
            Promise::Rows(_, period) => *period,
            _ => Span::DAY,
        }
    }

    /// Whether the promise is kept at `now`; none while nothing can be said yet.
    pub fn judge(&self, observed: &Observed, now: Instant) -> Option<Measurement> {
        let (holds, value) = match (&self.promise, self.service) {
            (Promise::Within(limit), Service::TimeToDetect | Service::TimeToNotify | Service::TimeToRepair) => {
                let worst = observed.faults.iter().map(|fault| self.lasted(fault, now)).max()?;
                (worst <= *limit, worst.to_string())
            }
            (Promise::Within(limit), service) => {
                let then = match service {
                    Service::Retention => observed.oldest,
                    Service::Frequency => observed.last_arrival.or(observed.since),
                    _ => observed.newest,
                }?;
                let age = now - then;
                (age <= *limit, age.to_string())
            }
            (Promise::Percent(limit), Service::ErrorRate) => {
                let rate = percent(observed.refused, observed.received)?;
                (rate <= *limit, format!("{rate:.3} %"))
            }
            (Promise::Percent(limit), _) => {
                let share = percent(observed.looks_up, observed.looks)?;
                (share >= *limit, format!("{share:.3} %"))
            }
            (Promise::Rows(least, period), _) => {
                // Less than one period cannot have been enough.
                if now - observed.since? < *period {
                    return None;
                }
                (observed.received as f64 >= *least, format!("{} rows", observed.received))
            }
            (Promise::At(at), Service::GeneralAvailability) => {
                let has_rows = observed.last_arrival.is_some();
                (now < *at || has_rows, if has_rows { "rows have come in" } else { "no rows have come in" }.to_owned())
            }
            (Promise::At(at), _) => (now < *at, now.to_string()),
            (Promise::DailyBy(us), _) => {
                let deadline = last_deadline(*us, now);
                if observed.since? > deadline - Span::DAY {
                    return None;
                }
                let in_time = observed.last_arrival.is_some_and(|arrival| arrival > deadline - Span::DAY);
                let last = observed.last_arrival.map_or_else(|| "never".to_owned(), |arrival| arrival.to_string());
                (in_time, format!("rows last came in {last}"))
            }
        };
        let message = format!("{}: {value}; it {}", self.rule, self.description);
        Some(Measurement { holds, value, message })
    }

    fn lasted(&self, fault: &Fault, now: Instant) -> Span {
        match self.service {
            Service::TimeToRepair => fault.over.unwrap_or(now) - fault.noticed,
            _ => fault.noticed - fault.began,
        }
    }
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// The newest instant not after `now` with this time of day.
fn last_deadline(us_of_day: i64, now: Instant) -> Instant {
    let today = Instant(now.0.div_euclid(Span::DAY.0) * Span::DAY.0 + us_of_day);
    if today <= now { today } else { today - Span::DAY }
}

/// A promise with a span: `value` of `unit`.
pub(super) fn span(value: f64, unit: &str, months: bool) -> Option<Span> {
    let unit = match unit.to_ascii_lowercase().as_str() {
        "s" | "sec" | "second" | "seconds" => Span::SECOND,
        "m" | "mo" | "month" | "months" if months => Span(30 * Span::DAY.0),
        "mo" | "month" | "months" => Span(30 * Span::DAY.0),
        "m" | "min" | "minute" | "minutes" => Span::MINUTE,
        "h" | "hr" | "hour" | "hours" => Span::HOUR,
        "d" | "day" | "days" => Span::DAY,
        "w" | "wk" | "week" | "weeks" => Span(7 * Span::DAY.0),
        "y" | "yr" | "year" | "years" => Span(365 * Span::DAY.0),
        _ => return None,
    };
    let us = value * unit.0 as f64;
    (us.is_finite() && (0.0..9.0e18).contains(&us)).then_some(Span(us as i64))
}

/// `09:00-08:00` as microseconds since midnight UTC.
pub(super) fn time_of_day_utc(text: &str) -> Option<i64> {
    let at = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let nanos = super::text::time_of_day(&text[..at]).ok()?;
    let offset = super::instant::offset_us(&text[at..])?.unwrap_or(0);
    Some((nanos / 1_000 - offset).rem_euclid(Span::DAY.0))
}

/// An instant or a date, at whose beginning in UTC it is meant.
pub(super) fn instant(text: &str) -> Option<Instant> {
    if let Ok(days) = super::text::date(text) {
        return Some(Instant(i64::from(days) * Span::DAY.0));
    }
    super::instant::timestamp(text, &super::instant::Zone::of(TimeZone::UTC)).ok().map(Instant)
}
