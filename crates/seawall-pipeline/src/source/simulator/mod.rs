//! Simulated card payments: a seeded world whose every fault and every fraud is known.
//!
//! A [`World`] is a function of its [`Options`]: the same options give the same bytes on every machine, in whatever
//! slices they are asked for and from wherever the asking begins, so a demo that was killed resumes where its log ends.
//! Time is cut into days; a day is made from the seed alone, kept for a while, and forgotten. Rows are handed out in the
//! order of their arrival. What must become of them is told by [`World::truth`], by construction.
//!
//! There is drift without any fault, slow enough that what was learnt early stays right: weekdays and hours, prices that
//! rise, customers who come, go and move online, merchants and countries that open, fraudsters who learn a little. Faults
//! lie in the second half of the period, each in a window of its own; fraudsters who change their ways change them for
//! good. A [`Live`] world goes on after the period, and faults can be injected while it does. Everything here is
//! invented: no person, card or merchant exists.

mod day;
mod draw;
mod entities;
mod fault;
mod fraud;
mod live;
mod project;
mod rows;
#[cfg(test)]
mod tests;
mod truth;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use seawall_base::declare::Simulator;
use seawall_base::error::Result;
use seawall_base::{Error, Instant, Span};
use serde::{Deserialize, Serialize};

use day::{CHARGEBACK_REACH_DAYS, Chargeback, Day, Delivery, PAYMENT_REACH_DAYS};
use entities::{COUNTRIES, Population};

pub use fault::{Fault, Window};
pub use live::Live;
pub use project::project;
pub use truth::{Counts, FaultTruth, LabelTruth, NaturalChange, Reason, Truth};

/// The simulated period begins at 2026-01-01T00:00:00Z unless told otherwise.
pub const DEFAULT_START: Instant = Instant(1_767_225_600_000_000);
/// The greatest amount that the contract of payments admits, in cents.
pub const AMOUNT_CENTS_MAX: u64 = 50_000 * 100;
/// The longest period.
pub const LENGTH_MAX: Span = Span(1_100 * Span::DAY.0);
/// The greatest mean number of payments per day.
pub const PAYMENTS_PER_DAY_MAX: u32 = 200_000;
/// Rows of a delivered batch; more only when rows arrive in the same microsecond, which are kept together.
pub const BATCH_ROWS_MAX: usize = 8_192;

/// Days of payments kept; asking for consecutive slices makes each day once.
const PAYMENT_DAYS_KEPT: usize = 8;
/// Days of chargebacks kept.
const CHARGEBACK_DAYS_KEPT: usize = 64;
/// Simulated time per step of [`World::deliveries`].
const STEP: Span = Span::HOUR;

/// What makes a world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Beginning of the period; moved back to midnight UTC.
    pub start: Instant,
    /// Length of the period, 1 day to [`LENGTH_MAX`]; a part of a day is dropped.
    pub length: Span,
    /// Mean number of payments per day, 1 to [`PAYMENTS_PER_DAY_MAX`].
    pub payments_per_day: u32,
    /// The faults to inject; order and repetition do not matter.
    pub faults: Vec<Fault>,
}

impl Default for Options {
    /// 90 days of 2,000 payments with every fault.
    fn default() -> Self {
        Options {
            seed: 7,
            start: DEFAULT_START,
            length: Span(90 * Span::DAY.0),
            payments_per_day: 2_000,
            faults: Fault::ALL.to_vec(),
        }
    }
}

impl Options {
    /// The stream and the world that a declaration names. Sources whose declarations differ in the stream only share a
    /// world: their chargebacks belong to their payments.
    pub fn of(declared: &Simulator) -> Result<(Stream, Options)> {
        let mut faults = Vec::new();
        for name in &declared.faults {
            faults.push(name.parse()?);
        }
        let options = Options {
            seed: declared.seed,
            start: DEFAULT_START,
            length: declared.length,
            payments_per_day: declared.payments_per_day,
            faults,
        };
        options.check()?;
        Ok((declared.stream.parse()?, options))
    }

    fn check(&self) -> Result<()> {
        if self.length < Span::DAY || self.length > LENGTH_MAX {
            let message = format!("a simulated period of {} is not between 1d and {LENGTH_MAX}", self.length);
            return Err(Error::invalid("SW0722", message).hint("set `length`, for example to 90d"));
        }
        if self.payments_per_day == 0 || self.payments_per_day > PAYMENTS_PER_DAY_MAX {
            let message =
                format!("{} payments per day are not between 1 and {PAYMENTS_PER_DAY_MAX}", self.payments_per_day);
            return Err(Error::invalid("SW0722", message).hint("set `payments_per_day`, for example to 2000"));
        }
        let latest = i64::MAX / 4;
        if !(-latest..latest).contains(&self.start.0) {
            return Err(Error::invalid("SW0722", format!("the period cannot begin at {}", self.start)));
        }
        Ok(())
    }
}

/// One of the world's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Card payments.
    Payments,
    /// Payments that were charged back, 3 to 45 days later.
    Chargebacks,
}

impl FromStr for Stream {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "payments" => Ok(Stream::Payments),
            "chargebacks" => Ok(Stream::Chargebacks),
            _ => Err(Error::invalid("SW0720", format!("the simulator has no stream {text:?}"))
                .hint("its streams are payments and chargebacks")),
        }
    }
}

/// Rows that arrive together: one request of a producer.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The rows, in the shape of [`Stream::schema`], in the order of their arrival.
    pub rows: RecordBatch,
    /// When each row arrives, never decreasing.
    pub arrivals: Vec<Instant>,
    /// Whether the whole batch is of a schema version that the contract rejects.
    pub malformed: bool,
}

impl Delivered {
    /// The instant after the last arrival. Asking for what arrives from then on continues right after this batch: no
    /// row is missed and none comes twice, because rows of one microsecond are never in different batches.
    pub fn until(&self) -> Instant {
        self.arrivals.last().map_or(Instant::MIN, |last| Instant(last.0 + 1))
    }
}

/// A simulated period.
#[derive(Debug)]
pub struct World {
    options: Options,
    /// Days that are made.
    days: u32,
    population: Population,
    windows: Vec<Window>,
    payments: BTreeMap<u32, Arc<Vec<Delivery>>>,
    chargebacks: BTreeMap<u32, Arc<Vec<Chargeback>>>,
}

impl World {
    /// The world of `options`. Fails when they are out of bounds.
    pub fn new(mut options: Options) -> Result<Self> {
        options.check()?;
        options.start = options.start.floor(Span::DAY);
        let days = (options.length.0 / Span::DAY.0) as u32;
        options.length = Span(i64::from(days) * Span::DAY.0);
        let population = Population::new(options.seed, options.payments_per_day, days);
        let windows = fault::windows(options.seed, options.start, options.length, &options.faults);
        Ok(World { options, days, population, windows, payments: BTreeMap::new(), chargebacks: BTreeMap::new() })
    }

    /// First instant of the period.
    pub fn start(&self) -> Instant {
        self.options.start
    }

    /// End of the period: what would arrive then or later is not delivered.
    pub fn end(&self) -> Instant {
        self.midnight(self.days)
    }

    /// Shape of the batches of `stream`.
    pub fn schema(&self, stream: Stream) -> SchemaRef {
        stream.schema()
    }

    /// The rows of `stream` that arrive at `from <= t < to`, in the order of their arrival, in batches of about
    /// [`BATCH_ROWS_MAX`] rows at most. A malformed batch holds malformed rows only. Joining the answers for adjacent slices gives
    /// the same rows as one answer for both.
    pub fn batch_between(&mut self, stream: Stream, from: Instant, to: Instant) -> Vec<Delivered> {
        let (from, to) = (from.max(self.start()), to.min(self.end()));
        if from >= to {
            return Vec::new();
        }
        match stream {
            Stream::Payments => self.payments_between(from, to),
            Stream::Chargebacks => self.chargebacks_between(from, to),
        }
    }

    /// Everything of `stream` that arrives from `from` on, hour by hour.
    pub fn deliveries(&mut self, stream: Stream, from: Instant) -> impl Iterator<Item = Delivered> + '_ {
        let mut slice_start = from.max(self.start());
        let mut ready = Vec::new().into_iter();
        std::iter::from_fn(move || {
            loop {
                if let Some(delivered) = ready.next() {
                    return Some(delivered);
                }
                if slice_start >= self.end() {
                    return None;
                }
                let slice_end = slice_start.floor(STEP) + STEP;
                ready = self.batch_between(stream, slice_start, slice_end).into_iter();
                slice_start = slice_end;
            }
        })
    }

    fn payments_between(&mut self, from: Instant, to: Instant) -> Vec<Delivered> {
        let mut due: Vec<Delivery> = Vec::new();
        for number in self.days_behind(from, to, PAYMENT_REACH_DAYS) {
            due.extend_from_slice(between(&self.payments_of(number), from, to, |delivery| delivery.arrival));
        }
        due.sort_unstable_by_key(Delivery::order);
        let mut delivered = Vec::new();
        for same in due.chunk_by(|a, b| is_malformed(a) == is_malformed(b)) {
            for rows in pieces(same, |delivery| delivery.arrival) {
                delivered.push(Delivered {
                    rows: rows::payments(&self.population, rows),
                    arrivals: rows.iter().map(|delivery| delivery.arrival).collect(),
                    malformed: rows.iter().any(is_malformed),
                });
            }
        }
        delivered
    }

    fn chargebacks_between(&mut self, from: Instant, to: Instant) -> Vec<Delivered> {
        let mut due: Vec<Chargeback> = Vec::new();
        for number in self.days_behind(from, to, CHARGEBACK_REACH_DAYS) {
            due.extend_from_slice(between(&self.chargebacks_of(number), from, to, |chargeback| chargeback.arrival));
        }
        due.sort_unstable_by_key(Chargeback::order);
        let delivered = pieces(&due, |chargeback| chargeback.arrival).into_iter().map(|rows| Delivered {
            rows: rows::chargebacks(rows),
            arrivals: rows.iter().map(|chargeback| chargeback.arrival).collect(),
            malformed: false,
        });
        delivered.collect()
    }

    /// The days that can have made something that arrives at `from <= t < to`.
    fn days_behind(&self, from: Instant, to: Instant, reach_days: i64) -> std::ops::Range<u32> {
        let day_of = |at: Instant| (at - self.start()).0.div_euclid(Span::DAY.0);
        let first = (day_of(from) - reach_days).max(0) as u32;
        let last = day_of(Instant(to.0 - 1)) as u32;
        first..(last + 1).min(self.days)
    }

    fn payments_of(&mut self, number: u32) -> Arc<Vec<Delivery>> {
        if let Some(kept) = self.payments.get(&number) {
            return Arc::clone(kept);
        }
        self.keep(number).0
    }

    fn chargebacks_of(&mut self, number: u32) -> Arc<Vec<Chargeback>> {
        if let Some(kept) = self.chargebacks.get(&number) {
            return Arc::clone(kept);
        }
        self.keep(number).1
    }

    /// Makes a day and keeps it.
    fn keep(&mut self, number: u32) -> (Arc<Vec<Delivery>>, Arc<Vec<Chargeback>>) {
        let Day { deliveries, chargebacks } = self.day(number);
        let (deliveries, chargebacks) = (Arc::new(deliveries), Arc::new(chargebacks));
        self.payments.insert(number, Arc::clone(&deliveries));
        self.chargebacks.insert(number, Arc::clone(&chargebacks));
        forget_farthest(&mut self.payments, PAYMENT_DAYS_KEPT, number);
        forget_farthest(&mut self.chargebacks, CHARGEBACK_DAYS_KEPT, number);
        (deliveries, chargebacks)
    }

    /// The drift that is no fault, as far as it has a beginning within the period.
    fn changes(&self) -> Vec<NaturalChange> {
        let mut changes = Vec::new();
        let mut change = |start: Instant, columns: &[&str], cause: String| {
            let columns = columns.iter().map(|column| (*column).to_owned()).collect();
            changes.push(NaturalChange { start, columns, cause });
        };
        change(self.start(), &["amount_eur"], "prices rise by 0.05 % a day".into());
        change(self.start(), &["channel", "device_id"], "customers move from terminals to web and app".into());
        change(self.start(), &["card_id", "customer_id", "merchant_id"], "new customers and merchants come".into());
        change(
            self.start(),
            &["label"],
            "fraudsters become a little slower and less greedy, and stay closer to home".into(),
        );
        for (place, (code, _, opens)) in COUNTRIES.iter().enumerate() {
            let first = self.population.merchants.iter().find(|merchant| usize::from(merchant.country) == place);
            if let Some(first) = first.filter(|first| *opens > 0 && first.opened < self.days) {
                change(self.midnight(first.opened), &["country"], format!("the first merchants in {code} open"));
            }
        }
        changes
    }
}

/// Forgets the day farthest from `number` when more than `days_max` are kept: after a jump back in time the days ahead
/// go, not the one that was just made.
fn forget_farthest<T>(kept: &mut BTreeMap<u32, T>, days_max: usize, number: u32) {
    if kept.len() <= days_max {
        return;
    }
    let distance = |day: Option<&u32>| day.map_or(0, |day| day.abs_diff(number));
    if distance(kept.keys().next()) >= distance(kept.keys().next_back()) {
        kept.pop_first();
    } else {
        kept.pop_last();
    }
}

/// The part of `rows`, ordered by arrival, that arrives at `from <= t < to`.
fn between<T>(rows: &[T], from: Instant, to: Instant, arrival: impl Fn(&T) -> Instant) -> &[T] {
    let first = rows.partition_point(|row| arrival(row) < from);
    let end = rows.partition_point(|row| arrival(row) < to);
    &rows[first..end]
}

/// Cuts `rows`, ordered by arrival, into pieces of [`BATCH_ROWS_MAX`] rows; equal arrivals stay together.
fn pieces<T>(rows: &[T], arrival: impl Fn(&T) -> Instant) -> Vec<&[T]> {
    let mut pieces = Vec::new();
    let mut rest = rows;
    while rest.len() > BATCH_ROWS_MAX {
        let last = arrival(&rest[BATCH_ROWS_MAX - 1]);
        let (piece, after) = rest.split_at(rest.partition_point(|row| arrival(row) <= last));
        pieces.push(piece);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

fn is_malformed(delivery: &Delivery) -> bool {
    delivery.verdict == truth::Verdict::Rejected
}
