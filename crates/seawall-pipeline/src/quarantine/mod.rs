//! The quarantine as a workflow: stopped rows are looked at, mended, released into their table, or discarded.
//!
//! 1. [`look`] reads what is in a quarantine, with the caller's rights.
//! 2. [`regate`] brings rows before the gate again, as they came or with mended values, under today's contract.
//! 3. What passes leaves with a frame of the log that names the rows it lets go: the frame is the intent, and the table
//!    writer carries it out. A released row is a new row of the table: it is available from its release on, because
//!    nobody could know it before; when it had arrived is kept beside it.
//!
//! A row leaves once. Departures are decided one after another, each after those before are on record, so that asking
//! again after a crash, a lost answer or a rollback finds what happened.

pub mod look;
mod order;
mod regate;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use seawall_base::error::Result;
use seawall_base::grant::TableGrant;
use seawall_base::{Cut, Error, Instant, Offset, Partition, Permit, RowId, TableName};
use seawall_catalog::{Departed, DepartedRow, Departure};
use seawall_kernel::contract::{Mode, Reason};
use serde::Serialize;

pub use self::look::{Told, Window};
use self::order::{Released, WouldRelease};
pub use self::regate::Edit;
use self::regate::{Candidate, Judged};
use crate::frame::{Frame, FrameSeal, Header};
use crate::gate;
use crate::pipeline::Pipeline;
use crate::revision::{DatasetGate, Revision, SourceMap};
use crate::sealing::{RowKeys, Seal};

/// Rows that one frame lets go, that one request may name, and that one answer tells of.
pub const ROWS_MAX: usize = 10_000;
/// Bytes of the reason that is kept with a departure.
const REASON_BYTES_MAX: usize = 4_096;
/// What is said instead of a message that the caller may not see.
const NOT_SHOWN: &str = "not shown";
/// Source of a frame that lets rows go without any.
const SOURCE: &str = "quarantine";

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The rows.
    pub rows: Chosen,
    /// What is to become of them.
    pub want: Want,
    /// Why; kept with the departure.
    pub reason: String,
    /// Whether to tell only what would happen.
    pub dry_run: bool,
}

/// Which rows are meant.
#[derive(Debug, Clone, PartialEq)]
pub enum Chosen {
    /// These.
    Rows(Vec<RowId>),
    /// All that are in quarantine, or of these all that break a rule.
    Every {
        /// The rule.
        rule: Option<String>,
    },
}

/// What is to become of rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Want {
    /// Into the table, if the gate lets them.
    Release,
    /// The same with mended values.
    Fix(Edit),
    /// Out of the quarantine, for ever.
    Discard,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is in the table.
    Released,
    /// It has left, and is in no table.
    Discarded,
    /// It would be released or discarded: this was a dry run.
    Would,
    /// It stays, for the reasons that are told.
    Stays,
    /// It had left before; what became of it then is told.
    LeftBefore,
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowFate {
    /// The row, `partition:offset` in the quarantine.
    pub row: String,
    /// What became of it.
    pub fate: Fate,
    /// Its identity in the table, once it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released_as: Option<String>,
    /// Why it stays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Told>,
    /// How it left before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The dataset.
    pub dataset: String,
    /// The contract whose gate rows passed.
    pub contract: String,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Rows that were released with this, or would be.
    pub released: u64,
    /// Rows that were discarded with this, or would be.
    pub discarded: u64,
    /// Rows that stay.
    pub stays: u64,
    /// Rows that had left before.
    pub left_before: u64,
    /// What readers may wait for.
    pub cut: Cut,
    /// Whether tables show it already. While they are away it is in the log only.
    pub in_tables: bool,
    /// What became of each row, in the order of their identities.
    pub rows: Vec<RowFate>,
    /// Rows beyond [`ROWS_MAX`], which are counted and not listed.
    pub rows_omitted: u64,
}

impl Ask {
    /// Refuses what cannot be asked.
    fn check(&self) -> Result<()> {
        let named = match &self.rows {
            Chosen::Rows(rows) => rows.len(),
            Chosen::Every { .. } => 1,
        };
        if named == 0 {
            return Err(Error::invalid("SW1503", "no row is named")
                .hint("name rows as partition:offset, or ask for all that are in quarantine"));
        }
        if named > ROWS_MAX {
            let message = format!("one request may name {ROWS_MAX} rows, this one names {named}");
            return Err(Error::invalid("SW1503", message).hint("send several requests, or ask for all"));
        }
        if self.reason.trim().is_empty() && !self.dry_run {
            return Err(Error::invalid("SW1504", "nobody says why the rows should leave quarantine")
                .hint("say it: `--reason TEXT`, or `\"reason\": TEXT` over HTTP; it is kept with the record"));
        }
        if self.reason.len() > REASON_BYTES_MAX {
            let message = format!("the reason takes {} bytes", self.reason.len());
            return Err(Error::invalid("SW1504", message).hint(format!("say it in {REASON_BYTES_MAX} bytes at most")));
        }
        Ok(())
    }
}

impl Pipeline {
    /// Lets rows leave the quarantine of `dataset`, as far as they may. `permit` allows it, `sight` is what the caller
    /// may read: rows that it does not show are unknown.
    pub async fn leave_quarantine(&self, permit: &Permit, sight: &Permit, dataset: &str, ask: &Ask) -> Result<Left> {
        ask.check()?;
        let revision = self.revision();
        let gate = revision.dataset(dataset)?.clone();
        let grant = sight.grants().table(TableName::quarantine(dataset)?.as_str());
        let grant = grant.ok_or_else(|| not_shown(dataset))?;

        let _one_at_a_time = self.leaving.lock().await;
        // What was decided before is on record after this, whether or not somebody waited for it.
        let decided = self.order.lock().await.entries;
        self.table_writer.flush(decided).await?;
        let wanted: BTreeSet<RowId> = match &ask.rows {
            Chosen::Rows(rows) => rows.iter().copied().collect(),
            Chosen::Every { rule } => {
                let parts = &self.parts;
                let window = Window { engine: parts.engine.as_ref(), catalog: &parts.catalog, permit: sight };
                window.open_ids(dataset, rule.as_deref()).await?.into_iter().collect()
            }
        };
        let contract = gate.contract.clone();
        let mut left = Left::nothing(dataset, contract, ask.dry_run);
        let mut course = Course { pipeline: self, revision, gate, permit, sight, grant, dataset, ask, end: None };
        let wanted: Vec<RowId> = wanted.into_iter().collect();
        for some in wanted.chunks(ROWS_MAX) {
            left.add(&ask.want, course.take(some).await?);
        }
        let end = course.end;
        left.cut = end.map(gate::live_cut).unwrap_or_default();
        left.in_tables = self.shown_in_tables(end).await?;
        Ok(left)
    }

    /// Waits until tables show a departure; whether they do. It is durable without them.
    async fn shown_in_tables(&self, end: Option<Offset>) -> Result<bool> {
        if end.is_none() {
            return Ok(true);
        }
        let decided = self.order.lock().await.entries;
        match self.table_writer.flush(decided).await {
            Ok(()) => Ok(true),
            Err(error) if error.code() == "SW1304" => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Left {
    fn nothing(dataset: &str, contract: String, dry_run: bool) -> Left {
        Left {
            dataset: dataset.to_owned(),
            contract,
            dry_run,
            released: 0,
            discarded: 0,
            stays: 0,
            left_before: 0,
            cut: Cut::empty(),
            in_tables: true,
            rows: Vec::new(),
            rows_omitted: 0,
        }
    }

    /// Takes the fates of some rows in.
    fn add(&mut self, want: &Want, fates: BTreeMap<RowId, RowFate>) {
        for row in fates.into_values() {
            let count = match (row.fate, want) {
                (Fate::Released, _) | (Fate::Would, Want::Release | Want::Fix(_)) => &mut self.released,
                (Fate::Discarded, _) | (Fate::Would, Want::Discard) => &mut self.discarded,
                (Fate::Stays, _) => &mut self.stays,
                (Fate::LeftBefore, _) => &mut self.left_before,
            };
            *count += 1;
            match self.rows.len() < ROWS_MAX {
                true => self.rows.push(row),
                false => self.rows_omitted += 1,
            }
        }
    }
}

fn not_shown(dataset: &str) -> Error {
    Error::not_found("SW1502", format!("there is no quarantine of {dataset:?} that you may read"))
        .hint("ask for the right to read the dataset's rows")
}

/// One request on its way.
struct Course<'a> {
    pipeline: &'a Pipeline,
    revision: std::sync::Arc<Revision>,
    gate: std::sync::Arc<DatasetGate>,
    permit: &'a Permit,
    sight: &'a Permit,
    /// What the caller may see of the quarantine.
    grant: TableGrant,
    dataset: &'a str,
    ask: &'a Ask,
    /// The end of the log after what this request has decided.
    end: Option<Offset>,
}

impl Course<'_> {
    /// What becomes of some rows.
    async fn take(&mut self, rows: &[RowId]) -> Result<BTreeMap<RowId, RowFate>> {
        let mut fates = self.left_before(rows).await?;
        let open: Vec<RowId> = rows.iter().filter(|row| !fates.contains_key(*row)).copied().collect();
        let candidates = self.candidates(&open).await?;
        match self.ask.want {
            Want::Discard => self.discard(&candidates, &mut fates).await?,
            Want::Release | Want::Fix(_) => self.release(&candidates, &mut fates).await?,
        }
        Ok(fates)
    }

    /// The wanted rows that have left already.
    async fn left_before(&self, rows: &[RowId]) -> Result<BTreeMap<RowId, RowFate>> {
        let wanted: BTreeSet<RowId> = rows.iter().copied().collect();
        let first = wanted.iter().map(|row| row.offset).min().unwrap_or_default();
        let last = wanted.iter().map(|row| row.offset).max().unwrap_or_default();
        let catalog = &self.pipeline.parts.catalog;
        let mut fates = BTreeMap::new();
        for departure in catalog.departures_between(self.dataset, first, last).await? {
            if !wanted.contains(&departure.row) {
                continue;
            }
            let (outcome, at, by) = (departure.outcome.as_str(), departure.left_at, &departure.by);
            let left = format!("{outcome} at {at} by {by}: {}", departure.reason);
            let released_as = departure.released_as.map(|row| row.to_string());
            let fate = RowFate { released_as, left: Some(left), ..fate(departure.row, Fate::LeftBefore) };
            fates.insert(departure.row, fate);
        }
        Ok(fates)
    }

    /// The open rows in full. One that the caller may not see is as unknown as one that is not there.
    async fn candidates(&self, open: &[RowId]) -> Result<Vec<Candidate>> {
        let parts = &self.pipeline.parts;
        let window = |permit| Window { engine: parts.engine.as_ref(), catalog: &parts.catalog, permit };
        let visible: BTreeSet<RowId> =
            window(self.sight).rows(self.dataset, open).await?.into_iter().map(|row| row.row).collect();
        if let Some(unknown) = open.iter().find(|row| !visible.contains(*row)) {
            return Err(look::unknown_row(self.dataset, *unknown));
        }
        let mut candidates = Vec::with_capacity(open.len());
        for stopped in window(&self.pipeline.permit).rows(self.dataset, open).await? {
            candidates.push(match &self.ask.want {
                Want::Fix(edit) => Candidate::edited(stopped, edit, &self.gate.dataset)?,
                Want::Release | Want::Discard => Candidate::as_it_came(stopped),
            });
        }
        Ok(candidates)
    }

    async fn discard(&mut self, candidates: &[Candidate], fates: &mut BTreeMap<RowId, RowFate>) -> Result<()> {
        let fate_of = |candidate: &Candidate| match self.ask.dry_run {
            true => fate(candidate.stopped.row, Fate::Would),
            false => fate(candidate.stopped.row, Fate::Discarded),
        };
        fates.extend(candidates.iter().map(|candidate| (candidate.stopped.row, fate_of(candidate))));
        if self.ask.dry_run || candidates.is_empty() {
            return Ok(());
        }
        let mut order = self.pipeline.order.clone().lock_owned().await;
        order.check_in_step()?;
        let now = self.pipeline.parts.clock.now();
        let at = order.last_arrival.map_or(now, |last| last.max(now));
        let rows: Vec<&Candidate> = candidates.iter().collect();
        let departure = self.departure(Departed::Discarded, at, &rows);
        let counts = crate::Counts { discarded: rows.len() as u64, ..crate::Counts::default() };
        let header = Header { departure: Some(departure), ..Header::new(self.dataset, SOURCE, self.permit, counts) };
        let frame = Frame { header, accepted: None, quarantined: None };
        order.note(&frame);
        let append = gate::append_in_order(&self.pipeline.parts.log, &frame, &FrameSeal::default(), order).await?;
        self.end = Some(append.durable().await?);
        Ok(())
    }

    async fn release(&mut self, candidates: &[Candidate], fates: &mut BTreeMap<RowId, RowFate>) -> Result<()> {
        self.pipeline.order.lock().await.check_open(self.dataset)?;
        let mut by_source: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
        for candidate in candidates {
            by_source.entry(&candidate.stopped.source).or_default().push(candidate);
        }
        for (name, rows) in by_source {
            let revision = self.revision.clone();
            let source = revision.deliverer(name).filter(|source| source.source.dataset == self.dataset);
            match source {
                Some(source) => self.release_of(source, &rows, fates).await?,
                None => {
                    let message = format!("the source {name:?} that delivered it is not declared any more");
                    let reason = Reason { rule: "source".into(), column: None, message, mode: Mode::Quarantine };
                    for row in rows {
                        fates.insert(row.stopped.row, self.stays(row, std::slice::from_ref(&reason)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Releases rows of one source with one frame.
    async fn release_of(
        &mut self,
        source: &SourceMap,
        rows: &[&Candidate],
        fates: &mut BTreeMap<RowId, RowFate>,
    ) -> Result<()> {
        let now = self.pipeline.parts.clock.now();
        let Judged { checked, candidates, stays } = regate::judge(source, &self.gate, rows, now).await?;
        for (at, reasons) in stays {
            fates.insert(rows[at].stopped.row, self.stays(rows[at], &reasons));
        }
        let Some(checked) = checked else { return Ok(()) };
        let seal = Seal::of(&self.pipeline.parts.keys, &self.gate.dataset);
        if let Some(seal) = seal.as_ref().filter(|_| !self.ask.dry_run) {
            // Keys are durable before the order is decided on; below they are only looked up.
            seal.keys_of(&checked.accepted).await?;
        }
        let of_row = |row: u32| rows[candidates[row as usize]];
        let mut order = self.pipeline.order.clone().lock_owned().await;
        if self.ask.dry_run {
            let WouldRelease { passes, stays } = order.would_release(&self.gate, &checked, now)?;
            drop(order);
            fates.extend(
                passes.into_iter().map(|row| (of_row(row).stopped.row, fate(of_row(row).stopped.row, Fate::Would))),
            );
            fates
                .extend(stays.into_iter().map(|(row, why)| (of_row(row).stopped.row, self.stays(of_row(row), &[why]))));
            return Ok(());
        }
        order.check_in_step()?;
        order.check_open(self.dataset)?;
        let Released { accepted, at, rows: released, stays } = order.release(&self.gate, checked, now)?;
        fates.extend(stays.into_iter().map(|(row, why)| (of_row(row).stopped.row, self.stays(of_row(row), &[why]))));
        let Some(accepted) = accepted else { return Ok(()) };
        let leaving: Vec<&Candidate> = released.into_iter().map(of_row).collect();
        let departure = self.departure(Departed::Released, at, &leaving);
        let counts = crate::Counts { released: leaving.len() as u64, ..crate::Counts::default() };
        let header = Header {
            departure: Some(departure),
            ..Header::new(self.dataset, &source.source.name, self.permit, counts)
        };
        let keys = match &seal {
            Some(seal) => {
                Some(seal.keys_of(&accepted).await.inspect_err(|error| order.diverged = Some(error.to_string()))?)
            }
            None => None,
        };
        let frame = Frame { header, accepted: Some(accepted), quarantined: None };
        order.note(&frame);
        let seal = FrameSeal { accepted: keys.as_ref().map(RowKeys::all), quarantined: None };
        let append = gate::append_in_order(&self.pipeline.parts.log, &frame, &seal, order).await?;
        let end = append.durable().await?;
        self.end = Some(end);
        let first = end.0 - leaving.len() as u64;
        for (offset, candidate) in (first..).zip(leaving) {
            let row = RowId { partition: Partition::LIVE, offset: Offset(offset) };
            let released_as = Some(row.to_string());
            let fate = RowFate { released_as, ..fate(candidate.stopped.row, Fate::Released) };
            fates.insert(candidate.stopped.row, fate);
        }
        Ok(())
    }

    fn departure(&self, outcome: Departed, at: Instant, rows: &[&Candidate]) -> Departure {
        let row = |candidate: &&Candidate| DepartedRow {
            row: candidate.stopped.row,
            arrived_at: candidate.stopped.arrived_at,
            changed: candidate.changed.clone(),
        };
        Departure {
            outcome,
            at,
            by: self.permit.principal().to_owned(),
            reason: self.ask.reason.trim().to_owned(),
            contract: self.gate.contract.clone(),
            rows: rows.iter().map(row).collect(),
        }
    }

    /// A row that stays, with reasons that tell no value which the caller may not see.
    fn stays(&self, candidate: &Candidate, reasons: &[Reason]) -> RowFate {
        let told = reasons.iter().map(|reason| {
            let mut told = Told::of(reason);
            if !self.may_see(reason) {
                told.message = NOT_SHOWN.to_owned();
            }
            told
        });
        RowFate { reasons: told.collect(), ..fate(candidate.stopped.row, Fate::Stays) }
    }

    /// Whether a message may be shown: a reason without a column may tell any value of the row.
    fn may_see(&self, reason: &Reason) -> bool {
        if self.grant.is_everything() {
            return true;
        }
        let Some(path) = &reason.column else { return false };
        let column = path.split(['.', '[']).next().unwrap_or_default();
        !self.grant.masks.contains_key(column) && !self.grant.hidden.iter().any(|hidden| hidden == column)
    }
}

fn fate(row: RowId, fate: Fate) -> RowFate {
    RowFate { row: row.to_string(), fate, released_as: None, reasons: Vec::new(), left: None }
}
