//! What came in, hour by hour: counts, broken rules, missing values, units of numbers. Every state is a sum, so neither
//! the order nor the batching of rows matters, and a restart that reads the log again finds the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use arrow::array::{Array, AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use seawall_base::declare::Monitor;
use seawall_base::error::Result;
use seawall_base::watch::Period;
use seawall_base::{Dataset, Error, Instant, Offset, Partition, RowId, Span, column};
use seawall_kernel::drift::unit::UnitProfile;
use serde::{Deserialize, Serialize};

use super::recent::{Recent, RecentRow, RecentRows};
use super::written;
use crate::frame::Frame;

/// How long hours are kept apart; older ones are added up by day.
const HOURS_KEPT: Span = Span(3 * Span::DAY.0);
/// Days that make the baseline.
const BASELINE_DAYS: i64 = 28;
/// Values of a slicing column that are watched apart.
const SLICES_MAX: usize = 64;
/// An event time this far ahead of the arrival is no jitter.
const AHEAD_MIN: Span = Span(10 * Span::MINUTE.0);

/// A number column, of all rows or of one slice (`column=value`).
pub(super) type UnitKey = (String, Option<String>);
/// A rule of the contract, with its column.
pub(super) type RuleKey = (String, Option<String>);

/// Sums over a period.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    /// Rows received.
    pub received: u64,
    /// Rows accepted.
    pub accepted: u64,
    /// Rows rejected.
    pub rejected: u64,
    /// Accepted rows whose event time lies ahead of their arrival.
    pub ahead: u64,
    /// Rows that broke a rule, by rule.
    #[serde(with = "written::pairs")]
    pub rules: BTreeMap<RuleKey, u64>,
    /// Numbers.
    #[serde(with = "written::pairs")]
    pub units: BTreeMap<UnitKey, UnitProfile>,
}

impl Sums {
    /// Adds accepted rows, and to the slices that are watched what belongs to them.
    fn add_rows(&mut self, rows: &RecentRows, range: Range<usize>, watched: &BTreeSet<String>) {
        self.accepted += range.len() as u64;
        self.ahead += rows.ahead[range.clone()].iter().filter(|ahead| **ahead).count() as u64;
        let mut of_slice: HashMap<&String, Vec<usize>> = HashMap::new();
        for values in &rows.slices {
            for at in range.clone() {
                if let Some(slice) = values[at].as_ref().filter(|slice| watched.contains(*slice)) {
                    of_slice.entry(slice).or_default().push(at);
                }
            }
        }
        for (column, values) in &rows.numbers {
            self.add_numbers((column.clone(), None), values[range.clone()].iter().flatten());
            for (slice, places) in &of_slice {
                let key = (column.clone(), Some((*slice).clone()));
                self.add_numbers(key, places.iter().filter_map(|at| values[*at].as_ref()));
            }
        }
    }

    fn add_numbers<'v>(&mut self, key: UnitKey, values: impl Iterator<Item = &'v f64>) {
        let mut values = values.peekable();
        if values.peek().is_some() {
            let profile = self.units.entry(key).or_default();
            values.for_each(|value| profile.add_value(*value));
        }
    }

    fn add(&mut self, other: &Sums) {
        self.received += other.received;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.ahead += other.ahead;
        for (rule, rows) in &other.rules {
            *self.rules.entry(rule.clone()).or_default() += rows;
        }
        for (key, profile) in &other.units {
            self.units.entry(key.clone()).or_default().merge(profile);
        }
    }
}

/// A rejected batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RejectedBatch {
    /// When it came.
    pub arrival: Instant,
    /// The source that delivered it.
    pub source: String,
}

/// What came into one dataset.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct DatasetWatch {
    hours: BTreeMap<i64, Sums>,
    days: BTreeMap<i64, Sums>,
    /// The newest arrival.
    pub last_arrival: Option<Instant>,
    /// The source of the newest rows.
    pub last_source: Option<String>,
    /// The newest rows.
    pub recent: Recent,
    /// The newest rejected batch.
    pub rejected: Option<RejectedBatch>,
    /// The first batch of the run of rejected ones.
    pub first_rejected: Option<RejectedBatch>,
    /// Slices that are watched apart.
    slices: BTreeSet<String>,
    #[serde(skip)]
    baseline: Option<(i64, usize, Sums)>,
}

fn hour_of(at: Instant) -> i64 {
    at.0.div_euclid(Span::HOUR.0)
}

fn day_of(at: Instant) -> i64 {
    at.0.div_euclid(Span::DAY.0)
}

impl DatasetWatch {
    /// Takes one frame in.
    pub(super) fn fold(
        &mut self,
        frame: &Frame,
        first: Offset,
        dataset: &Dataset,
        monitor: &Monitor,
        now: Instant,
    ) -> Result<()> {
        // Rows that leave quarantine were counted when they came.
        if frame.header.departure.is_some() {
            return Ok(());
        }
        let arrival = newest_arrival(frame)?.unwrap_or(now);
        self.note_source(frame, arrival);
        let counts = &frame.header.counts;
        let hour = self.hours.entry(hour_of(arrival)).or_default();
        hour.received += counts.received;
        hour.rejected += counts.rejected;
        for broken in &frame.header.rules {
            let rows = hour.rules.entry((broken.rule.clone(), broken.column.clone())).or_default();
            *rows += if broken.mode == "quarantine" { broken.rows } else { 0 };
        }
        if let Some(rows) = &frame.accepted {
            self.fold_accepted(rows, &frame.header.source, first, dataset, monitor)?;
        }
        if let Some(rows) = &frame.quarantined {
            let first = Offset(first.0 + frame.accepted.as_ref().map_or(0, RecordBatch::num_rows) as u64);
            self.fold_quarantined(rows, &frame.header.source, first, dataset, monitor)?;
        }
        self.roll_up(arrival);
        Ok(())
    }

    fn note_source(&mut self, frame: &Frame, arrival: Instant) {
        if frame.header.counts.received == 0 {
            return;
        }
        self.last_arrival = Some(self.last_arrival.map_or(arrival, |last| last.max(arrival)));
        self.last_source = Some(frame.header.source.clone());
        if frame.header.counts.rejected > 0 {
            let batch = RejectedBatch { arrival, source: frame.header.source.clone() };
            let in_a_run = self.rejected.as_ref().is_some_and(|last| arrival - last.arrival < Span::DAY);
            if !in_a_run {
                self.first_rejected = Some(batch.clone());
            }
            self.rejected = Some(batch);
        }
    }

    fn fold_accepted(
        &mut self,
        rows: &RecordBatch,
        source: &str,
        first: Offset,
        dataset: &Dataset,
        monitor: &Monitor,
    ) -> Result<()> {
        let arrivals = crate::revision::instants(rows, column::ARRIVAL)?;
        let event_times = match &dataset.event_time {
            Some(name) => crate::revision::instants(rows, name).ok().cloned(),
            None => None,
        };
        let is_ahead = |row: usize| {
            let arrival = Instant(arrivals.value(row));
            let times = event_times.as_ref().filter(|times| times.is_valid(row));
            times.is_some_and(|times| Instant(times.value(row)) - arrival > AHEAD_MIN)
        };
        let rows = RecentRows {
            first,
            source: source.to_owned(),
            arrivals: arrivals.values().iter().map(|at| Instant(*at)).collect(),
            slices: slices_of(monitor, rows),
            numbers: numbers_of(rows, dataset),
            ahead: (0..rows.num_rows()).map(is_ahead).collect(),
        };
        rows.slices.iter().flatten().flatten().for_each(|slice| self.watch_slice(slice));
        let mut from = 0;
        while let Some(arrival) = rows.arrivals.get(from) {
            let hour = hour_of(*arrival);
            let length = rows.arrivals[from..].iter().take_while(|arrival| hour_of(**arrival) == hour).count();
            let sums = self.hours.entry(hour).or_default();
            sums.add_rows(&rows, from..from + length, &self.slices);
            from += length;
        }
        self.recent.extend(rows);
        Ok(())
    }

    /// Quarantined rows count too: a change of unit shows in the rows that break a bound as well.
    fn fold_quarantined(
        &mut self,
        rows: &RecordBatch,
        source: &str,
        first: Offset,
        dataset: &Dataset,
        monitor: &Monitor,
    ) -> Result<()> {
        let arrivals = crate::revision::instants(rows, column::ARRIVAL)?;
        let texts = |name: &str| rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>().cloned());
        let (Some(raws), Some(reasons)) = (texts("_raw"), texts("_reasons")) else {
            return Err(crate::verify::missing_column("_raw"));
        };
        for row in 0..rows.num_rows() {
            // A line that could not be decoded has no values.
            let raw: serde_json::Value = serde_json::from_str(raws.value(row)).unwrap_or_default();
            let slices = monitor.by.iter().filter_map(|name| raw.get(name)?.as_str().map(|v| format!("{name}={v}")));
            let number = |field: &std::sync::Arc<arrow::datatypes::Field>| {
                let value = raw.get(field.name())?.as_f64()?;
                is_number(field.data_type()).then(|| (field.name().clone(), value))
            };
            let recent = RecentRow {
                id: RowId { partition: Partition::LIVE, offset: Offset(first.0 + row as u64) },
                arrival: Instant(arrivals.value(row)),
                source: source.to_owned(),
                slices: slices.collect(),
                numbers: dataset.schema.fields().iter().filter_map(number).collect(),
                ahead: false,
                broken: broken_rules(reasons.value(row))?,
            };
            self.take(recent);
        }
        Ok(())
    }

    /// Watches a slice apart from here on, while there is room.
    fn watch_slice(&mut self, slice: &str) {
        if self.slices.len() >= SLICES_MAX || self.slices.contains(slice) {
            return;
        }
        self.slices.insert(slice.to_owned());
        if self.slices.len() == SLICES_MAX {
            tracing::warn!(%slice, SLICES_MAX, "no more values are watched apart, only all rows together");
        }
    }

    /// Takes a quarantined row.
    fn take(&mut self, row: RecentRow) {
        row.slices.iter().for_each(|slice| self.watch_slice(slice));
        let hour = self.hours.entry(hour_of(row.arrival)).or_default();
        for (column, value) in &row.numbers {
            hour.units.entry((column.clone(), None)).or_default().add_value(*value);
            for slice in row.slices.iter().filter(|slice| self.slices.contains(*slice)) {
                hour.units.entry((column.clone(), Some(slice.clone()))).or_default().add_value(*value);
            }
        }
        self.recent.push(row);
    }

    fn roll_up(&mut self, arrival: Instant) {
        let oldest_kept = hour_of(arrival - HOURS_KEPT);
        while let Some((hour, _)) = self.hours.first_key_value().filter(|(hour, _)| **hour < oldest_kept) {
            let hour = *hour;
            let Some(sums) = self.hours.remove(&hour) else { break };
            self.days.entry(hour.div_euclid(24)).or_default().add(&sums);
        }
        let oldest_day = day_of(arrival) - 2 * BASELINE_DAYS;
        self.days.retain(|day, _| *day >= oldest_day);
    }

    /// Sums of the newest `window` before `now`.
    pub(super) fn current(&self, now: Instant, window: Span) -> Sums {
        let mut sums = Sums::default();
        for (_, hour) in self.hours.range(hour_of(now - window)..=hour_of(now - Span(1))) {
            sums.add(hour);
        }
        sums
    }

    /// Sums of the four weeks before yesterday, without the days that a fault fell on.
    pub(super) fn baseline(&mut self, now: Instant, faults: &[Period]) -> &Sums {
        let today = day_of(now);
        let is_current = self.baseline.as_ref().is_some_and(|(day, known, _)| *day == today && *known == faults.len());
        if !is_current {
            let sums = self.baseline_of(today, faults);
            self.baseline = Some((today, faults.len(), sums));
        }
        &self.baseline.as_ref().expect("it was just made").2
    }

    fn baseline_of(&self, today: i64, faults: &[Period]) -> Sums {
        let hit = |day: i64| {
            let (from, to) = (day * Span::DAY.0, (day + 1) * Span::DAY.0);
            faults.iter().any(|fault| fault.from.0 < to && from < fault.to.0)
        };
        let mut sums = Sums::default();
        for day in (today - 1 - BASELINE_DAYS)..(today - 1) {
            if hit(day) {
                continue;
            }
            if let Some(known) = self.days.get(&day) {
                sums.add(known);
            }
            for (_, hour) in self.hours.range(day * 24..(day + 1) * 24) {
                sums.add(hour);
            }
        }
        sums
    }

    /// Rows received per day over the days before yesterday, on average; none when fewer than three are known.
    pub(super) fn rows_per_day(&self, now: Instant) -> Option<f64> {
        let today = day_of(now);
        let mut days: BTreeMap<i64, u64> = BTreeMap::new();
        for (day, sums) in self.days.range(today - 8..today - 1) {
            *days.entry(*day).or_default() += sums.received;
        }
        for (hour, sums) in self.hours.range((today - 8) * 24..(today - 1) * 24) {
            *days.entry(hour.div_euclid(24)).or_default() += sums.received;
        }
        (days.len() >= 3).then(|| days.values().sum::<u64>() as f64 / days.len() as f64)
    }
}

/// The newest arrival among the rows of a frame.
pub(super) fn newest_arrival(frame: &Frame) -> Result<Option<Instant>> {
    let mut newest = None;
    for rows in [&frame.accepted, &frame.quarantined].into_iter().flatten() {
        let arrivals = crate::revision::instants(rows, column::ARRIVAL)?;
        newest = newest.max(arrivals.values().iter().copied().max());
    }
    Ok(newest.map(Instant))
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() && !matches!(data_type, DataType::Null)
}

/// Number columns of the contract as floats; keys are no numbers.
fn numbers_of(rows: &RecordBatch, dataset: &Dataset) -> Vec<(String, Vec<Option<f64>>)> {
    let mut columns = Vec::new();
    for field in dataset.schema.fields() {
        let is_key = dataset.primary_key.contains(field.name());
        if is_key || !is_number(field.data_type()) {
            continue;
        }
        let Some(values) = rows.column_by_name(field.name()) else { continue };
        if let Ok(floats) = arrow::compute::cast(values, &DataType::Float64) {
            columns.push((field.name().clone(), floats.as_primitive::<Float64Type>().iter().collect()));
        }
    }
    columns
}

/// The slices of each row, a column per dimension that the rows have.
fn slices_of(monitor: &Monitor, rows: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let column = |name: &String| {
        let values = rows.column_by_name(name)?;
        let slice = |row| text_value(values.as_ref(), row).map(|value| format!("{name}={value}"));
        Some((0..rows.num_rows()).map(slice).collect())
    };
    monitor.by.iter().filter_map(column).collect()
}

fn text_value(values: &dyn Array, row: usize) -> Option<String> {
    if values.is_null(row) {
        return None;
    }
    if let Some(texts) = values.as_string_opt::<i32>() {
        return Some(texts.value(row).to_owned());
    }
    if let Some(numbers) = values.as_any().downcast_ref::<Int64Array>() {
        return Some(numbers.value(row).to_string());
    }
    if let Some(numbers) = values.as_any().downcast_ref::<Int32Array>() {
        return Some(numbers.value(row).to_string());
    }
    values.as_boolean_opt().map(|flags| flags.value(row).to_string())
}

fn broken_rules(reasons: &str) -> Result<Vec<RuleKey>> {
    let reasons: Vec<serde_json::Value> = serde_json::from_str(reasons)
        .map_err(|e| Error::corrupt("SW0802", "quarantine reasons are damaged").because(e))?;
    let key = |reason: &serde_json::Value| {
        let rule = reason.get("rule")?.as_str()?.to_owned();
        Some((rule, reason.get("column").and_then(|column| column.as_str()).map(str::to_owned)))
    };
    Ok(reasons.iter().filter_map(key).collect())
}
