//! What a contract says beyond single rows: rules about the whole table, service levels, and the circuit breaker.
//!
//! Looked at in every control tick, after the datasets. Rules about the table run when its version has moved, as often as
//! its size allows ([`look_every`]): counting rules by the kernel's tally over the rows, SQL rules by the engine with the
//! rights of the system. Their outcomes become signals, rows of `system.quality_results` with the mode `table`, and
//! incidents when broken. Service levels are judged on what the log, the table and the incidents show. A breaker that
//! trips halts the dataset; rows before the last resumption do not count.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use seawall_base::error::Result;
use seawall_base::watch::{CauseKind, Incident, Period, Signal};
use seawall_base::{Instant, Permit, Query, Span, TableName, TableVersion};
use seawall_catalog::policy::Action;
use seawall_catalog::{RuleFailures, TABLE_MODE};
use seawall_kernel::contract::{About, Input, Measurement, Observed, ServiceFault, Tally};
use serde::{Deserialize, Serialize};

use crate::frame::{Frame, Halt};
use crate::monitor::{Found, Monitor, found, key};
use crate::pipeline::Pipeline;
use crate::revision::{DatasetGate, Revision};

/// The longest time between two looks at a table whose version moves; see [`look_every`].
const TABLE_LOOK_EVERY_MAX: Span = Span(Span::HOUR.0);
/// Rows of a table for which a look may be repeated after a minute.
const ROWS_PER_MINUTE: u64 = 100_000;
/// Rows up to which a table is tallied; SQL rules have no such bound.
const TALLY_ROWS_MAX: u64 = 5_000_000;
/// Frames that a breaker remembers: with more of them in its window, the oldest are forgotten.
const BREAKER_FRAMES_MAX: usize = 100_000;
/// How far back faults count for times to detect and repair.
const FAULTS_KEPT: Span = Span(90 * Span::DAY.0);

/// What is remembered between looks.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QualityWatch {
    /// Looked at again after a start.
    #[serde(skip)]
    tables: BTreeMap<String, TableLook>,
    intakes: BTreeMap<String, Intake>,
}

/// The last look at a table.
#[derive(Debug)]
struct TableLook {
    at: Instant,
    version: TableVersion,
    rows: u64,
    /// Oldest and newest value by timestamp column.
    times: BTreeMap<String, (Instant, Instant)>,
}

/// What came in lately.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intake {
    /// Arrival, rows received, rows refused; ascending by arrival.
    frames: VecDeque<(Instant, u64, u64)>,
    /// The same since the dataset was last resumed: where the breaker's window may begin.
    resumed_at: Option<Instant>,
    last_arrival: Option<Instant>,
    since: Option<Instant>,
    looks: u64,
    looks_up: u64,
}

impl Intake {
    /// Rows received and refused from `from` on.
    fn rows_since(&self, from: Instant) -> (u64, u64) {
        let newer = self.frames.iter().rev().take_while(|(at, ..)| *at >= from);
        newer.fold((0, 0), |sum, (_, received, refused)| (sum.0 + received, sum.1 + refused))
    }

    fn fold(&mut self, frame: &Frame, arrival: Instant) {
        if matches!(frame.header.halt, Some(Halt::Resumed)) {
            self.resumed_at = Some(arrival);
        }
        let counts = &frame.header.counts;
        if counts.received == 0 {
            return;
        }
        self.since.get_or_insert(arrival);
        self.last_arrival = self.last_arrival.max(Some(arrival));
        if self.frames.len() == BREAKER_FRAMES_MAX {
            self.frames.pop_front();
        }
        self.frames.push_back((arrival, counts.received, counts.quarantined + counts.rejected));
    }
}

/// One outcome of a rule or a promise.
struct Outcome {
    cause: CauseKind,
    metric: &'static str,
    rule: String,
    column: Option<String>,
    /// Offending rows, where rows offend.
    offending: u64,
    measurement: Measurement,
}

impl QualityWatch {
    /// Takes one frame of the log in.
    pub(crate) fn fold(&mut self, frame: &Frame, arrival: Instant) {
        self.intakes.entry(frame.header.dataset.clone()).or_default().fold(frame, arrival);
    }

    /// How the service levels of a dataset stand.
    fn judge_services(&self, dataset: &DatasetGate, incidents: &[&Incident], now: Instant) -> Vec<Outcome> {
        let name = &dataset.dataset.name;
        let mut outcomes = Vec::new();
        for level in dataset.gate.service_levels() {
            let Some(intake) = self.intakes.get(name) else { continue };
            let column = level.column.as_ref().or(dataset.dataset.event_time.as_ref());
            let times = self.tables.get(name).and_then(|look| look.times.get(column?));
            let (received, refused) = intake.rows_since(now - level.period());
            let observed = Observed {
                oldest: times.map(|(oldest, _)| *oldest),
                newest: times.map(|(_, newest)| *newest),
                last_arrival: intake.last_arrival,
                since: intake.since,
                received,
                refused,
                looks: intake.looks,
                looks_up: intake.looks_up,
                faults: faults(incidents, now),
            };
            let Some(measurement) = level.judge(&observed, now) else { continue };
            outcomes.push(Outcome {
                cause: CauseKind::ServiceLevel,
                metric: "service_level",
                rule: level.rule.clone(),
                column: level.column.clone(),
                offending: 0,
                measurement,
            });
        }
        outcomes
    }
}

impl Pipeline {
    /// Looks at tables, promises and breakers of every dataset.
    pub(crate) async fn look_at_quality(&self, monitor: &mut Monitor, revision: &Revision, now: Instant) -> Result<()> {
        let watched: Vec<(&String, &Arc<DatasetGate>)> =
            revision.datasets.iter().filter(|(_, dataset)| is_watched(dataset)).collect();
        if watched.is_empty() {
            return Ok(());
        }
        let incidents = self.parts.catalog.incidents(false).await?;
        for (name, dataset) in watched {
            let of_dataset: Vec<&Incident> = incidents.iter().filter(|i| i.subject == *name).collect();
            self.look_at_breaker(&mut monitor.quality, revision, dataset, now).await?;
            let mut outcomes = self.look_at_table(&mut monitor.quality, dataset, now).await?;
            outcomes.extend(monitor.quality.judge_services(dataset, &of_dataset, now));
            for outcome in outcomes {
                self.tell_outcome(revision, name, outcome, &of_dataset, now).await?;
            }
        }
        Ok(())
    }

    async fn look_at_breaker(
        &self,
        watch: &mut QualityWatch,
        revision: &Revision,
        dataset: &DatasetGate,
        now: Instant,
    ) -> Result<()> {
        let name = &dataset.dataset.name;
        let is_halted = self.order.lock().await.halted.contains_key(name);
        let intake = watch.intakes.entry(name.clone()).or_default();
        intake.looks += 1;
        intake.looks_up += u64::from(!is_halted);
        let Some(breaker) = dataset.gate.breaker().filter(|_| !is_halted) else { return Ok(()) };
        let from = (now - breaker.window).max(intake.resumed_at.unwrap_or(Instant::MIN));
        let (received, refused) = intake.rows_since(from);
        let Some(message) = breaker.trips(received, refused) else { return Ok(()) };
        self.halt(name, &message).await?;
        let mut found = found(revision, name, CauseKind::Breaker, now, "refused_percent");
        found.signal.value = refused as f64 * 100.0 / received as f64;
        found.signal.limit = breaker.percent;
        found.signal.rows = received;
        found.signal.window = Period { from, to: now };
        found.first_bad_at = from.max(intake.since.unwrap_or(from));
        found.told = Some(format!("{name} halts: {message}"));
        self.tell(found, now).await
    }

    /// Runs the rules about the table when its version has moved.
    async fn look_at_table(
        &self,
        watch: &mut QualityWatch,
        dataset: &DatasetGate,
        now: Instant,
    ) -> Result<Vec<Outcome>> {
        let name = &dataset.dataset.name;
        let gate = &dataset.gate;
        if !asks_table(dataset) {
            return Ok(Vec::new());
        }
        let table = TableName::dataset(name)?;
        let snapshot = self.parts.tables.snapshot(&table, None).await?;
        let is_fresh = |look: &TableLook| look.version == snapshot.version || now - look.at < look_every(look.rows);
        if watch.tables.get(name).is_some_and(is_fresh) {
            return Ok(Vec::new());
        }
        let permit = self.control_permit(Action::ReadRows, name);
        let mut outcomes = Vec::new();
        if gate.tallies_table() {
            if snapshot.rows <= TALLY_ROWS_MAX {
                let batches = self.parts.tables.scan(&permit, &table, snapshot.version, None).await?;
                outcomes.extend(tally(dataset, &batches, now));
            } else {
                tracing::warn!(dataset = %name, rows = snapshot.rows, TALLY_ROWS_MAX, "the table is too large to be tallied");
            }
        }
        for rule in gate.table_rules() {
            match self.ask(&permit, &rule.sql).await.and_then(|answer| rule.judge(&answer)) {
                Ok(measurement) => outcomes.push(Outcome {
                    cause: CauseKind::Quality,
                    metric: "table_rule",
                    rule: rule.rule.clone(),
                    column: rule.column.clone(),
                    offending: u64::from(!measurement.holds),
                    measurement,
                }),
                Err(reason) => {
                    tracing::warn!(dataset = %name, rule = %rule.rule, reason, "a table rule was not executed")
                }
            }
        }
        let results: Vec<RuleFailures> = outcomes.iter().map(result_of).collect();
        let permit_results = self.control_permit(Action::WriteTable, name);
        self.parts.catalog.record_table_quality(&permit_results, name, &results).await?;
        let times = self.times(&permit, dataset).await;
        watch.tables.insert(name.clone(), TableLook { at: now, version: snapshot.version, rows: snapshot.rows, times });
        Ok(outcomes)
    }

    async fn ask(&self, permit: &Permit, sql: &str) -> std::result::Result<Vec<RecordBatch>, String> {
        let query = Query { sql: sql.to_owned(), rows_max: Some(2), ..Query::default() };
        self.parts.engine.query(permit, query).await.map(|answer| answer.batches).map_err(|e| e.to_string())
    }

    /// Oldest and newest values of the columns that service levels are about.
    async fn times(&self, permit: &Permit, dataset: &DatasetGate) -> BTreeMap<String, (Instant, Instant)> {
        let mut times = BTreeMap::new();
        let columns = dataset.gate.service_levels().iter().filter_map(|level| level.column.as_deref());
        for column in columns.chain(dataset.dataset.event_time.as_deref()) {
            let quoted = column.replace('"', "\"\"");
            let sql = format!(
                "SELECT cast(min(\"{quoted}\") AS timestamp), cast(max(\"{quoted}\") AS timestamp) FROM \"{}\"",
                dataset.dataset.name
            );
            let Ok(answer) = self.ask(permit, &sql).await else { continue };
            let at = |index: usize| answer.iter().find(|b| b.num_rows() == 1).and_then(|b| instant(b, index));
            if let (Some(oldest), Some(newest)) = (at(0), at(1)) {
                times.insert(column.to_owned(), (oldest, newest));
            }
        }
        times
    }

    /// Records an outcome; opens an incident for a broken one and closes it when it holds again.
    async fn tell_outcome(
        &self,
        revision: &Revision,
        dataset: &str,
        outcome: Outcome,
        incidents: &[&Incident],
        now: Instant,
    ) -> Result<()> {
        let mut found = found(revision, dataset, outcome.cause, now, outcome.metric);
        found.column = outcome.column;
        found.slice = Some(format!("rule={}", outcome.rule));
        found.signal.column = found.column.clone();
        found.signal.slice = found.slice.clone();
        found.signal.value = if outcome.measurement.holds { 0.0 } else { outcome.offending.max(1) as f64 };
        found.signal.breached = !outcome.measurement.holds;
        found.told = Some(format!("{dataset}: {}", outcome.measurement.message));
        if !outcome.measurement.holds {
            return self.tell(found, now).await;
        }
        let key = key(outcome.cause, dataset, found.column.as_deref(), found.slice.as_deref());
        let open: Vec<Incident> =
            incidents.iter().filter(|i| i.closed.is_none() && i.key == key).map(|i| (*i).clone()).collect();
        if open.is_empty() {
            return Ok(());
        }
        self.record_signal_of(found, now).await?;
        self.close_by_key(&open, &key, &outcome.measurement.message, now).await
    }

    async fn record_signal_of(&self, found: Found, now: Instant) -> Result<()> {
        let permit = self.control_permit(Action::ManageIncidents, &found.subject);
        let signal = Signal { at: now, ..found.signal };
        self.parts.catalog.record_signals(&permit, std::slice::from_ref(&signal)).await
    }
}

/// How long after a look at a table of so many rows the next one may come: a minute per 100,000 rows, an hour at most.
fn look_every(rows: u64) -> Span {
    let minutes = i64::try_from(rows / ROWS_PER_MINUTE).unwrap_or(i64::MAX);
    Span(Span::MINUTE.0.saturating_mul(minutes)).min(TABLE_LOOK_EVERY_MAX)
}

fn is_watched(dataset: &DatasetGate) -> bool {
    asks_table(dataset) || dataset.gate.breaker().is_some()
}

/// Whether the contract says something that only the table can answer.
fn asks_table(dataset: &DatasetGate) -> bool {
    let gate = &dataset.gate;
    !gate.table_rules().is_empty() || gate.tallies_table() || !gate.service_levels().is_empty()
}

/// The counting rules over the rows of a table.
fn tally(dataset: &DatasetGate, batches: &[RecordBatch], now: Instant) -> Vec<Outcome> {
    let mut tally = Tally::of(&dataset.gate);
    for batch in batches {
        let own = own_columns(dataset, batch);
        if let Err(reasons) = tally.add(&own, Input::Typed) {
            let reason = reasons.first().map(|reason| reason.message.clone()).unwrap_or_default();
            tracing::warn!(dataset = %dataset.dataset.name, reason, "the table does not fit its contract");
            return Vec::new();
        }
    }
    let counted = tally.finish(now).into_iter().filter(|measured| measured.about == About::Table);
    counted
        .map(|measured| Outcome {
            cause: CauseKind::Quality,
            metric: "table_rule",
            rule: measured.rule,
            column: measured.column,
            offending: measured.offending,
            measurement: Measurement {
                holds: measured.holds,
                value: measured.value.map_or_else(|| measured.offending.to_string(), |value| value.to_string()),
                message: measured.message.unwrap_or(measured.description),
            },
        })
        .collect()
}

fn own_columns(dataset: &DatasetGate, batch: &RecordBatch) -> RecordBatch {
    let known: Vec<usize> = (0..batch.num_columns())
        .filter(|i| dataset.dataset.schema.column_with_name(batch.schema_ref().field(*i).name()).is_some())
        .collect();
    batch.project(&known).unwrap_or_else(|_| batch.clone())
}

fn result_of(outcome: &Outcome) -> RuleFailures {
    RuleFailures {
        rule: outcome.rule.clone(),
        column: outcome.column.clone(),
        mode: TABLE_MODE.to_owned(),
        rows: if outcome.measurement.holds { 0 } else { outcome.offending.max(1) },
    }
}

fn instant(batch: &RecordBatch, index: usize) -> Option<Instant> {
    let column = batch.columns().get(index)?;
    let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))).ok()?;
    let values = micros.as_primitive_opt::<TimestampMicrosecondType>()?;
    values.is_valid(0).then(|| Instant(values.value(0)))
}

/// Faults of the data, lately; broken promises are no faults of their own.
fn faults(incidents: &[&Incident], now: Instant) -> Vec<ServiceFault> {
    let own = [CauseKind::ServiceLevel, CauseKind::Quality];
    let is_fault =
        |i: &&&Incident| i.cause.is_data_fault() && !own.contains(&i.cause) && now - i.opened_at < FAULTS_KEPT;
    let fault = |i: &&Incident| ServiceFault {
        began: i.first_bad_at,
        noticed: i.opened_at,
        over: i.closed.as_ref().map(|closed| closed.at),
    };
    incidents.iter().filter(is_fault).map(fault).collect()
}
