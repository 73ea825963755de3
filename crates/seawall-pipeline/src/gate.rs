//! The gate: adapts incoming rows, decides on each, gives them one order, and makes them durable.
//!
//! Checking runs outside of any lock. What must happen in log order does so under one, in [`order`], up to handing the
//! frame to the log. The producer is answered after the frame is
//! durable; a repeat of a row whose first delivery is still on its way to the disk waits for the same sync, because
//! its own frame stands behind it in the log.

use std::ops::DerefMut;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use bytes::Bytes;
use seawall_base::error::Result;
use seawall_base::sabotage::{self, Bug};
use seawall_base::{Appended, Cut, Error, Hash, Instant, Log, Offset, Partition, Permit, column};
use seawall_catalog::{Counts, RuleFailures};
use seawall_kernel::contract::{self, Input, Quarantined, Reason};
use seawall_kernel::feature::key_hashes;
use seawall_storage::keys::KeyRing;

use crate::dedup::Keyed;
use crate::frame::{Answer, Draft, Frame, FrameSeal, Header, Position, quarantine_schema};
use crate::idempotency::RequestKey;
use crate::receipt::{Outcome, RowVerdict, VERDICTS_MAX, Verdicts};
use crate::revision::{DatasetGate, SourceMap, with_times};
use crate::sealing::{RowKeys, Seal, SealedRows};
use crate::transform::progress::Step;

mod order;

pub use order::Order;

/// Rows on their way in.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The rows, in the source's shape.
    pub rows: RecordBatch,
    /// Whether cells are text still, or have the types of the file they came from.
    pub input: Input,
    /// Whether the source's map was applied already.
    pub mapped: bool,
    /// Lines that could not be decoded at all; they go to the quarantine as they came.
    pub broken: Vec<Broken>,
    /// Index of each row in the request, when lines that could not be decoded stood between them.
    pub lines: Option<Vec<u32>>,
    /// Columns that decoding left out, because the contract does not know them.
    pub unknown_columns: Vec<String>,
    /// In driven time, when each row arrives; never decreasing. Otherwise the clock's present.
    pub arrivals: Option<Vec<Instant>>,
    /// How far a driven stream has come with these.
    pub position: Option<Position>,
    /// Files of the source that have entered wholly with these.
    pub files: Vec<Hash>,
    /// The key that tells a repeat of this request.
    pub key: Option<RequestKey>,
    /// Which verdicts the producer wants to be told.
    pub verdicts: Verdicts,
    /// When each row was known, for rows that a transform made of others.
    pub available: Option<Vec<Instant>>,
    /// How far a transform has come with these.
    pub derived: Option<Step>,
}

impl Incoming {
    /// Rows that arrive now, still to be mapped.
    pub fn new(rows: RecordBatch, input: Input) -> Incoming {
        Incoming {
            rows,
            input,
            mapped: false,
            broken: Vec::new(),
            lines: None,
            unknown_columns: Vec::new(),
            arrivals: None,
            position: None,
            files: Vec::new(),
            key: None,
            verdicts: Verdicts::Stopped,
            available: None,
            derived: None,
        }
    }
}

/// A line that could not be decoded.
#[derive(Debug, Clone)]
pub struct Broken {
    /// Its index in the request; absent when a map makes the rows, which counts them anew.
    pub line: Option<u32>,
    /// The line as it came.
    pub raw: String,
    /// What is wrong with it.
    pub reasons: Vec<Reason>,
}

/// Rows that passed the contract, before order is decided.
pub(crate) struct Checked {
    pub accepted: RecordBatch,
    pub accepted_rows: Vec<u32>,
    pub declared: Option<Vec<Option<i64>>>,
    pub raw: RecordBatch,
    pub quarantined: Vec<Quarantined>,
    pub broken: Vec<Broken>,
    pub rules: Vec<RuleFailures>,
    pub rejected: Option<Vec<Reason>>,
    pub halt: Option<Reason>,
    pub warnings: Vec<String>,
    pub unknown_columns: Vec<String>,
    /// Index of each row of `raw` in the request, when it differs.
    pub lines: Option<Vec<u32>>,
    /// Hashes of key and content of the accepted rows, when the dataset has a key.
    pub identities: Option<Identities>,
    /// The accepted rows as the frame will hold them, when all of them arrive and are available at once.
    pub draft: Option<Draft>,
    /// The keys of all rows of `raw`, when the dataset has personal fields.
    pub keys: Option<RowKeys>,
}

/// What uniqueness is decided by, one per row.
pub(crate) struct Identities {
    pub keys: Vec<Option<u128>>,
    pub contents: Vec<u128>,
}

impl Identities {
    pub fn of(rows: &RecordBatch, key: &[String]) -> Result<Identities> {
        Ok(Identities { keys: key_hashes(rows, key)?, contents: contract::content_hashes(rows) })
    }
}

/// Rows of one request, before and after its map: a row of no bytes still costs a reason.
pub const REQUEST_ROWS_MAX: usize = 262_144;

/// Maps and checks the rows of a request within [`REQUEST_ROWS_MAX`].
pub(crate) async fn check_request(
    source: &SourceMap,
    dataset: &DatasetGate,
    ring: &KeyRing,
    incoming: &Incoming,
    now: Instant,
) -> Result<Checked> {
    let too_many = |rows: usize| {
        Error::invalid("SW0825", format!("one request may carry {REQUEST_ROWS_MAX} rows, this one has {rows}"))
            .hint("send several requests, or declare a source with `files:` for bulk data")
    };
    let rows = incoming.rows.num_rows().saturating_add(incoming.broken.len());
    if rows > REQUEST_ROWS_MAX {
        return Err(too_many(rows));
    }
    let mut checked = check(source, dataset, incoming, now).await?;
    if checked.raw.num_rows() > REQUEST_ROWS_MAX {
        return Err(too_many(checked.raw.num_rows()));
    }
    checked.find_keys(dataset, ring).await?;
    checked.prepare(dataset, incoming)?;
    Ok(checked)
}

/// Maps and checks rows; decides nothing that depends on order.
pub(crate) async fn check(
    source: &SourceMap,
    dataset: &DatasetGate,
    incoming: &Incoming,
    now: Instant,
) -> Result<Checked> {
    let mapped = if incoming.mapped { incoming.rows.clone() } else { source.apply(&incoming.rows).await? };
    if incoming.arrivals.as_ref().is_some_and(|arrivals| arrivals.len() != mapped.num_rows()) {
        return Err(Error::internal("SW0820", "each row that enters in driven time needs its arrival"));
    }
    if incoming.available.as_ref().is_some_and(|available| available.len() != mapped.num_rows()) {
        return Err(Error::internal("SW0820", "each row of a row-wise transform needs its availability"));
    }
    let verdict = dataset.gate.check(&mapped, incoming.input, now);
    let declared = match &incoming.available {
        Some(known) => Some(verdict.accepted_rows.iter().map(|row| Some(known[*row as usize].0)).collect()),
        None => source.declared_availability(&verdict.accepted).await?.map(|instants| instants.iter().collect()),
    };
    let mut checked = Checked {
        accepted: verdict.accepted,
        accepted_rows: verdict.accepted_rows,
        declared,
        raw: mapped,
        quarantined: verdict.quarantined,
        broken: incoming.broken.clone(),
        rules: Vec::new(),
        rejected: verdict.rejected,
        halt: verdict.halt,
        warnings: verdict.warnings.iter().map(|w| format!("{}: {}", w.rule, w.message)).collect(),
        unknown_columns: verdict.unknown_columns,
        lines: incoming.lines.clone().filter(|_| source.source.map.is_none()),
        identities: None,
        draft: None,
        keys: None,
    };
    for column in incoming.unknown_columns.iter().filter(|column| !checked.unknown_columns.contains(column)) {
        checked.warnings.push(format!("unknown_column: the contract has no column {column}; its values were not kept"));
    }
    checked.unknown_columns.extend(incoming.unknown_columns.iter().cloned());
    checked.unknown_columns.sort();
    checked.unknown_columns.dedup();
    stop_unknown_availability(&mut checked)?;
    refuse_for_broken_lines(&mut checked);
    for warning in &verdict.warnings {
        count_rule(&mut checked.rules, &warning.rule, warning.column.as_deref(), "warn", warning.rows);
    }
    Ok(checked)
}

/// A line that could not be decoded breaks the rule of its column, which may refuse the whole request.
fn refuse_for_broken_lines(checked: &mut Checked) {
    let reasons = || checked.broken.iter().flat_map(|broken| &broken.reasons);
    let halting = reasons().find(|reason| reason.mode == contract::Mode::Halt).cloned();
    let rejecting: Vec<Reason> = reasons().filter(|reason| reason.mode == contract::Mode::Reject).cloned().collect();
    if halting.is_some() {
        checked.halt = checked.halt.take().or(halting);
    }
    if !rejecting.is_empty() {
        checked.rejected.get_or_insert_default().extend(rejecting);
    }
}

/// A row whose declared availability has no value cannot be placed in time: it goes to the quarantine.
fn stop_unknown_availability(checked: &mut Checked) -> Result<()> {
    let Some(declared) = &checked.declared else { return Ok(()) };
    if declared.iter().all(Option::is_some) {
        return Ok(());
    }
    let mut keep = Vec::new();
    for (i, available) in declared.iter().enumerate() {
        if available.is_some() {
            keep.push(i as u32);
            continue;
        }
        let message = "`available_at` has no value for this row".to_owned();
        let reason = Reason { rule: "availability".into(), column: None, message, mode: contract::Mode::Quarantine };
        checked.quarantined.push(Quarantined { row: checked.accepted_rows[i], reasons: vec![reason] });
    }
    checked.retain(&keep)
}

impl Checked {
    /// Keeps only the accepted rows at `keep`, indices into the accepted batch.
    fn retain(&mut self, keep: &[u32]) -> Result<()> {
        if keep.len() == self.accepted.num_rows() {
            return Ok(());
        }
        self.identities = None;
        self.draft = None;
        self.accepted = take_record_batch(&self.accepted, &UInt32Array::from(keep.to_vec()))?;
        self.accepted_rows = keep.iter().map(|i| self.accepted_rows[*i as usize]).collect();
        if let Some(declared) = &mut self.declared {
            *declared = keep.iter().map(|i| declared[*i as usize]).collect();
        }
        Ok(())
    }

    /// Does what needs no order while no lock is held: hashes rows and encodes them for the frame.
    fn prepare(&mut self, dataset: &DatasetGate, incoming: &Incoming) -> Result<()> {
        if self.accepted.num_rows() == 0 || self.rejected.is_some() || self.halt.is_some() {
            return Ok(());
        }
        let key = &dataset.dataset.primary_key;
        if !key.is_empty() {
            self.identities = Some(Identities::of(&self.accepted, key)?);
        }
        if incoming.arrivals.is_none() && self.declared.is_none() {
            self.draft = Some(Draft::of(Some(&self.accepted), self.sealed_accepted().as_ref())?);
        }
        Ok(())
    }

    /// Finds the keys of all rows, which are durable from here on: no frame may be sealed with one that a crash takes away.
    pub(crate) async fn find_keys(&mut self, dataset: &DatasetGate, ring: &KeyRing) -> Result<()> {
        if self.rejected.is_some() || self.halt.is_some() {
            return Ok(());
        }
        if let Some(seal) = Seal::of(ring, &dataset.dataset) {
            self.keys = Some(seal.keys(&self.accepted, &self.accepted_rows, &self.raw).await?);
        }
        Ok(())
    }

    fn sealed_accepted(&self) -> Option<SealedRows<'_>> {
        self.keys.as_ref().map(|keys| keys.accepted(&self.accepted_rows))
    }

    /// The rows and lines of [`quarantined_rows`]: rows of the request, then how many lines.
    fn stopped(&self) -> (Vec<u32>, usize) {
        (self.quarantined.iter().map(|quarantined| quarantined.row).collect(), self.broken.len())
    }

    /// The keys of the rows and lines of [`quarantined_rows`] alone, made durably where they are missing; none when the
    /// dataset has no personal fields.
    pub(crate) async fn stopped_keys(&self, dataset: &DatasetGate, ring: &KeyRing) -> Result<Option<RowKeys>> {
        let Some(seal) = Seal::of(ring, &dataset.dataset) else { return Ok(None) };
        let (rows, broken) = self.stopped();
        let keys = seal.keys_of(&take_record_batch(&self.raw, &UInt32Array::from(rows))?).await?;
        Ok(Some(keys.of_stopped(broken)))
    }

    fn received(&self) -> u64 {
        (self.raw.num_rows() + self.broken.len()) as u64
    }

    /// Index in the request of a row of `raw`.
    fn line(&self, row: u32) -> u32 {
        self.lines.as_ref().map_or(row, |lines| lines[row as usize])
    }
}

/// What the gate decided, as the log will hold it.
pub(crate) struct Admitted {
    pub header: Header,
    pub payload: Bytes,
    /// Offsets that it takes.
    pub rows: u32,
    pub verdicts: Vec<RowVerdict>,
    /// Told to the producer once the frame is durable, instead of a receipt.
    pub refusal: Option<Error>,
}

impl Admitted {
    fn control(header: Header, verdicts: Vec<RowVerdict>, refusal: Option<Error>) -> Result<Admitted> {
        let payload = Draft::of(None, None)?.finish(&header, None, None)?;
        Ok(Admitted { header, payload, rows: 0, verdicts, refusal })
    }
}

/// The keys of rows with their arrival; nothing for a dataset without a primary key.
pub(crate) fn keyed_rows(dataset: &DatasetGate, rows: &RecordBatch) -> Result<Vec<Keyed>> {
    Ok(keyed_at(dataset, rows)?.into_iter().map(|(keyed, _)| keyed).collect())
}

/// The same of rows of a table, with their identity.
pub(crate) fn keyed_rows_numbered(dataset: &DatasetGate, rows: &RecordBatch) -> Result<Vec<(Keyed, (i32, i64))>> {
    let missing = || Error::internal("SW0820", "rows of a table have their identity");
    let partitions = rows.column_by_name(column::PARTITION).and_then(|c| c.as_primitive_opt::<Int32Type>());
    let offsets = rows.column_by_name(column::LSN).and_then(|c| c.as_primitive_opt::<Int64Type>());
    let (partitions, offsets) = (partitions.ok_or_else(missing)?, offsets.ok_or_else(missing)?);
    let id = |at: usize| (partitions.value(at), offsets.value(at));
    Ok(keyed_at(dataset, rows)?.into_iter().map(|(keyed, at)| (keyed, id(at))).collect())
}

/// The rows that have a key, each with its place.
pub(crate) fn keyed_at(dataset: &DatasetGate, rows: &RecordBatch) -> Result<Vec<(Keyed, usize)>> {
    let key = &dataset.dataset.primary_key;
    if key.is_empty() {
        return Ok(Vec::new());
    }
    let own: Vec<String> = dataset.dataset.schema.fields().iter().map(|f| f.name().clone()).collect();
    let present: Vec<String> = own.into_iter().filter(|name| rows.column_by_name(name).is_some()).collect();
    let own_rows = crate::revision::project(rows, &present)?;
    let arrivals = crate::revision::instants(rows, column::ARRIVAL)?;
    let contents = contract::content_hashes(&own_rows);
    let mut keyed = Vec::with_capacity(rows.num_rows());
    for (i, row_key) in key_hashes(&own_rows, key)?.into_iter().enumerate() {
        let of = |key| (Keyed { arrival: Instant(arrivals.value(i)), key, content: contents[i] }, i);
        keyed.extend(row_key.map(of));
    }
    Ok(keyed)
}

pub(crate) fn key_conflict(key: &[String]) -> Reason {
    let message = format!("another row with the same {} and different content was accepted before", key.join(", "));
    Reason { rule: "key_conflict".into(), column: key.first().cloned(), message, mode: contract::Mode::Quarantine }
}

/// An append on its way to the disk.
pub(crate) enum PendingAppend {
    Done(Appended),
    /// A task of its own: a request that is cancelled must not take back rows that deduplication knows already.
    Waiting(tokio::task::JoinHandle<Result<Appended>>),
}

impl PendingAppend {
    /// Waits until the frame is durable; the offset after it.
    pub(crate) async fn durable(self) -> Result<Offset> {
        match self {
            PendingAppend::Done(appended) => Ok(appended.end),
            PendingAppend::Waiting(task) => {
                let appended = task.await.map_err(|e| Error::internal("SW0832", "an append died").because(e))??;
                Ok(appended.end)
            }
        }
    }
}

/// Hands a frame that the order has taken note of to the log.
pub(crate) async fn append_in_order(
    log: &Arc<dyn Log>,
    frame: &Frame,
    seal: &FrameSeal<'_>,
    mut order: impl DerefMut<Target = Order>,
) -> Result<PendingAppend> {
    let payload = frame.encode_sealed(seal).inspect_err(|error| order.diverged = Some(error.to_string()))?;
    hand_over(log, &frame.header, payload, frame.live_rows(), order).await
}

/// Hands an encoded frame that the order has taken note of to the log. Appends are numbered when they are first polled,
/// so the order lock is held for the first poll, and only for it. When the log does not take the frame, the order knows
/// more than the log, and decides nothing any more.
pub(crate) async fn hand_over(
    log: &Arc<dyn Log>,
    header: &Header,
    payload: Bytes,
    rows: u32,
    mut order: impl DerefMut<Target = Order>,
) -> Result<PendingAppend> {
    let handed = begin_append(log.clone(), payload, rows).await;
    match &handed {
        Ok(_) => {
            let end = Offset(order.end.0 + u64::from(rows));
            order.note_taken(header, end);
        }
        Err(error) => order.diverged = Some(error.to_string()),
    }
    handed
}

async fn begin_append(log: Arc<dyn Log>, payload: Bytes, rows: u32) -> Result<PendingAppend> {
    let mut append: Pin<Box<dyn Future<Output = Result<Appended>> + Send>> = Box::pin(async move {
        if sabotage::on(Bug::RetryAppend) {
            log.append(rows, payload.clone()).await?;
        }
        log.append(rows, payload).await
    });
    Ok(match futures::poll!(append.as_mut()) {
        std::task::Poll::Ready(appended) => PendingAppend::Done(appended?),
        std::task::Poll::Pending => PendingAppend::Waiting(tokio::spawn(append)),
    })
}

/// The cut that a producer may wait for.
pub(crate) fn live_cut(end: Offset) -> Cut {
    Cut::of(Partition::LIVE, end)
}

pub(crate) fn accepted_rows(source: &SourceMap, checked: &Checked, arrivals: &[i64]) -> Result<Option<RecordBatch>> {
    if checked.accepted.num_rows() == 0 {
        return Ok(None);
    }
    let arrival: Vec<i64> = checked.accepted_rows.iter().map(|row| arrivals[*row as usize]).collect();
    let available = available(source, &arrival, checked.declared.as_deref());
    Ok(Some(with_times(&checked.accepted, arrival, available)?))
}

/// `max(arrival, declared)`; a source with `history: true` may declare the past.
pub(crate) fn available(source: &SourceMap, arrival: &[i64], declared: Option<&[Option<i64>]>) -> Vec<i64> {
    let Some(declared) = declared else { return arrival.to_vec() };
    let mut available = Vec::with_capacity(arrival.len());
    for (arrival, declared) in arrival.iter().zip(declared) {
        let declared = declared.unwrap_or(*arrival);
        available.push(if source.source.history { declared } else { declared.max(*arrival) });
    }
    available
}

pub(crate) fn quarantined_rows(
    source: &SourceMap,
    dataset: &DatasetGate,
    checked: &Checked,
    arrivals: &[i64],
    now: Instant,
) -> Result<Option<RecordBatch>> {
    let rows = checked.quarantined.len() + checked.broken.len();
    if rows == 0 {
        return Ok(None);
    }
    let mut raw = Vec::with_capacity(rows);
    let mut reasons = Vec::with_capacity(rows);
    let mut arrival = Vec::with_capacity(rows);
    for quarantined in &checked.quarantined {
        raw.push(contract::raw_json(&checked.raw, quarantined.row as usize));
        reasons.push(reasons_json(&quarantined.reasons)?);
        arrival.push(arrivals[quarantined.row as usize]);
    }
    for broken in &checked.broken {
        raw.push(broken.raw.clone());
        reasons.push(reasons_json(&broken.reasons)?);
        arrival.push(now.0);
    }
    quarantine_batch(raw, reasons, &dataset.contract, &source.source.name, arrival).map(Some)
}

/// A batch in [`quarantine_schema`].
pub(crate) fn quarantine_batch(
    raw: Vec<String>,
    reasons: Vec<String>,
    contract: &str,
    source: &str,
    arrival: Vec<i64>,
) -> Result<RecordBatch> {
    let rows = raw.len();
    let instants = TimestampMicrosecondArray::from(arrival).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(raw)),
        Arc::new(StringArray::from(reasons)),
        Arc::new(StringArray::from(vec![contract; rows])),
        Arc::new(StringArray::from(vec![source; rows])),
        Arc::new(instants.clone()),
        Arc::new(instants),
    ];
    Ok(RecordBatch::try_new(quarantine_schema(), columns)?)
}

pub(crate) fn reasons_json(reasons: &[Reason]) -> Result<String> {
    serde_json::to_string(reasons).map_err(|e| Error::internal("SW0801", "cannot encode reasons").because(e))
}

pub(crate) fn count_rule(rules: &mut Vec<RuleFailures>, rule: &str, column: Option<&str>, mode: &str, rows: u64) {
    let same =
        |known: &&mut RuleFailures| known.rule == rule && known.column.as_deref() == column && known.mode == mode;
    match rules.iter_mut().find(same) {
        Some(known) => known.rows += rows,
        None => rules.push(RuleFailures {
            rule: rule.to_owned(),
            column: column.map(str::to_owned),
            mode: mode.to_owned(),
            rows,
        }),
    }
}

fn count_quarantined(checked: &mut Checked) {
    let stopped = checked.quarantined.iter().map(|q| &q.reasons).chain(checked.broken.iter().map(|b| &b.reasons));
    for reason in stopped.flatten() {
        count_rule(&mut checked.rules, &reason.rule, reason.column.as_deref(), "quarantine", 1);
    }
}

/// Moves the reasons of stopped rows and lines into their verdicts.
fn tell_quarantined(checked: &mut Checked, verdicts: &mut Vec<RowVerdict>) {
    for Quarantined { row, reasons } in std::mem::take(&mut checked.quarantined) {
        verdicts.push(RowVerdict { row: Some(checked.line(row)), verdict: Outcome::Quarantined, reasons });
    }
    for Broken { line, reasons, .. } in std::mem::take(&mut checked.broken) {
        verdicts.push(RowVerdict { row: line, verdict: Outcome::Quarantined, reasons });
    }
}

fn header(
    source: &SourceMap,
    dataset: &DatasetGate,
    permit: &Permit,
    counts: Counts,
    checked: &mut Checked,
    incoming: &Incoming,
) -> Header {
    debug_assert!(counts.balanced(), "received rows are accounted for: {counts:?}");
    Header {
        rules: std::mem::take(&mut checked.rules),
        position: incoming.position.clone(),
        files: incoming.files.clone(),
        derived: incoming.derived.clone(),
        ..Header::new(&dataset.dataset.name, &source.source.name, permit, counts)
    }
}

/// What a repeat of this request will be told, when it has a key.
fn answer(
    permit: &Permit,
    checked: &Checked,
    incoming: &Incoming,
    verdicts: &[RowVerdict],
    arrived: Instant,
) -> Option<Answer> {
    let key = incoming.key.as_ref()?;
    Some(Answer {
        rows: verdicts.iter().take(VERDICTS_MAX).cloned().collect(),
        warnings: checked.warnings.clone(),
        unknown_columns: checked.unknown_columns.clone(),
        ..key.answered(permit.principal(), arrived)
    })
}
