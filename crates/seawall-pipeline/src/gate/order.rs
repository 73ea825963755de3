//! What must happen in log order: stamping arrivals (never decreasing), deciding uniqueness, and remembering what frames say.
//!
//! All of it is decided under one lock, without waiting. A checkpoint writes the state down, and a start rebuilds it from
//! the frames behind.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::array::RecordBatch;
use seawall_base::error::Result;
use seawall_base::sabotage::{self, Bug};
use seawall_base::{Error, ErrorKind, Hash, Instant, Offset, Permit};
use seawall_catalog::Counts;
use seawall_kernel::contract::{Quarantined, Reason};
use serde::{Deserialize, Serialize};

use super::{
    Admitted, Checked, Identities, Incoming, accepted_rows, answer, count_quarantined, count_rule, header,
    key_conflict, quarantined_rows, tell_quarantined,
};
use crate::dedup::{DedupIndex, Keyed, Seen};
use crate::frame::{Draft, Frame, Halt, Header};
use crate::idempotency::Answers;
use crate::receipt::{Outcome, RowVerdict};
use crate::revision::{DatasetGate, SourceMap};
use crate::transform::progress::Progress;

/// What must happen in log order, owned by whoever holds its lock. A checkpoint writes it down as JSON, but for the
/// fields that are skipped, which it keeps in its own way.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The newest arrival that was stamped.
    pub last_arrival: Option<Instant>,
    /// Deduplication per dataset.
    #[serde(skip)]
    pub dedup: HashMap<String, DedupIndex>,
    /// Entries that were handed to the log since it began.
    #[serde(skip)]
    pub(crate) entries: u64,
    /// The offset after the last row of those entries.
    #[serde(skip)]
    pub(crate) end: Offset,
    /// Datasets whose keys nobody knows yet: they are in tables that are away.
    #[serde(skip)]
    pub(crate) keys_unknown: BTreeSet<String>,
    /// Why nothing more may be decided: something that was decided is not in the log.
    #[serde(skip)]
    pub(crate) diverged: Option<String>,
    /// Rows that entered, per driven stream.
    pub positions: HashMap<String, u64>,
    /// Streams of files that a replay began and has not finished, per source.
    pub unfinished: HashMap<String, String>,
    /// Files loaded, per source.
    pub loads: HashSet<(String, Hash)>,
    /// The partition of the next bulk load.
    pub next_load: u32,
    /// Datasets that a rule halted, with the rule's message.
    pub halted: BTreeMap<String, String>,
    /// What was taken in since the log began, per dataset.
    pub counts: BTreeMap<String, Counts>,
    /// Requests that were answered, by idempotency key.
    #[serde(default)]
    pub answers: Answers,
    /// How far derived datasets are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub derived: BTreeMap<String, Progress>,
}

/// What became of the keys of a batch.
#[derive(Debug, Default)]
pub(crate) struct Uniqueness {
    /// Rows that were there already.
    pub deduplicated: u64,
    /// The rows that are known from now on.
    pub fresh: Vec<Keyed>,
}

impl Order {
    /// Decides what depends on order: arrivals, uniqueness. The caller appends the frame before anybody else may
    /// admit.
    pub(crate) fn admit(
        &mut self,
        source: &SourceMap,
        dataset: &DatasetGate,
        permit: &Permit,
        mut checked: Checked,
        incoming: &Incoming,
        now: Instant,
    ) -> Result<Admitted> {
        self.check_in_step()?;
        self.check_open(&dataset.dataset.name)?;
        let arrivals = self.stamp(checked.raw.num_rows(), incoming.arrivals.as_deref(), now);
        let arrived = self.last_arrival.unwrap_or(now);
        let mut verdicts = Vec::new();
        let mut counts = Counts { received: checked.received(), ..Counts::default() };
        if let Some(reason) = checked.halt.take() {
            return self.halt(source, dataset, permit, &reason);
        }
        if let Some(reasons) = checked.rejected.take() {
            counts.rejected = counts.received;
            for reason in &reasons {
                count_rule(&mut checked.rules, &reason.rule, reason.column.as_deref(), "reject", counts.received);
            }
            verdicts.push(RowVerdict { row: None, verdict: Outcome::Rejected, reasons });
            let mut header = header(source, dataset, permit, counts, &mut checked, incoming);
            header.answer = answer(permit, &checked, incoming, &verdicts, arrived);
            self.note_header(&header);
            return Admitted::control(header, verdicts, None);
        }
        let Uniqueness { deduplicated, fresh } =
            self.decide_uniqueness(dataset, &mut checked, &arrivals, &mut verdicts)?;
        self.confirm(&dataset.dataset.name, fresh);
        counts.deduplicated = deduplicated;
        counts.accepted = checked.accepted.num_rows() as u64;
        counts.quarantined = (checked.quarantined.len() + checked.broken.len()) as u64;
        count_quarantined(&mut checked);
        let mut quarantined = quarantined_rows(source, dataset, &checked, &arrivals, arrived)?;
        if sabotage::on(Bug::LoseQuarantine) {
            quarantined = None;
        }
        let uniform = incoming.arrivals.is_none() && checked.declared.is_none();
        let draft = match checked.draft.take() {
            Some(draft) => draft,
            // Rows that were there already left the batch, so it is encoded again.
            None if uniform && counts.accepted > 0 => {
                Draft::of(Some(&checked.accepted), checked.sealed_accepted().as_ref())?
            }
            None => {
                let rows = accepted_rows(source, &checked, &arrivals)?;
                Draft::of(rows.as_ref(), checked.sealed_accepted().as_ref())?
            }
        };
        let keys = checked.keys.take();
        let (stopped, broken) = checked.stopped();
        tell_quarantined(&mut checked, &mut verdicts);
        let mut header = header(source, dataset, permit, counts, &mut checked, incoming);
        header.arrival = (uniform && counts.accepted > 0).then_some(arrived);
        header.answer = answer(permit, &checked, incoming, &verdicts, arrived);
        self.note_header(&header);
        let seal = keys.as_ref().map(|keys| keys.quarantined(&stopped, broken));
        let payload = draft.finish(&header, quarantined.as_ref(), seal.as_ref().filter(|_| quarantined.is_some()));
        let payload = payload.inspect_err(|error| self.diverged = Some(error.to_string()))?;
        let offsets = checked.accepted.num_rows() + quarantined.as_ref().map_or(0, RecordBatch::num_rows);
        let rows = u32::try_from(offsets).expect("a request has at most REQUEST_ROWS_MAX rows");
        Ok(Admitted { header, payload, rows, verdicts, refusal: None })
    }

    /// Halts the dataset: nothing of the request is kept, and the halt itself is logged so that a restart knows.
    fn halt(
        &mut self,
        source: &SourceMap,
        dataset: &DatasetGate,
        permit: &Permit,
        reason: &Reason,
    ) -> Result<Admitted> {
        let name = &dataset.dataset.name;
        let refusal = Error::new(ErrorKind::Unavailable, "SW0822", format!("dataset {name} halts: {}", reason.message))
            .hint("nothing of this request was kept; repair the producer, then `seawall quarantine resume DATASET`");
        let halt = Some(Halt::Halted(reason.message.clone()));
        let header = Header { halt, ..Header::new(name, &source.source.name, permit, Counts::default()) };
        self.note_header(&header);
        Admitted::control(header, Vec::new(), Some(refusal))
    }

    /// Refuses rows for a dataset that is halted, or of which it cannot be told whether a row was there before.
    pub(crate) fn check_open(&self, dataset: &str) -> Result<()> {
        if self.keys_unknown.contains(dataset) {
            let message = format!("the keys of dataset {dataset} have to be read from its table, which is away");
            return Err(Error::new(ErrorKind::Unavailable, "SW1309", message)
                .hint("send the rows again later: the server goes on by itself once the table store answers"));
        }
        match self.halted.get(dataset) {
            None => Ok(()),
            Some(message) => {
                let message = format!("dataset {dataset} is halted: {message}");
                Err(Error::new(ErrorKind::Unavailable, "SW0821", message)
                    .hint("repair the producer, then `seawall quarantine resume DATASET`"))
            }
        }
    }

    /// Refuses rows once something that was decided could not be handed to the log.
    pub(crate) fn check_in_step(&self) -> Result<()> {
        let Some(why) = &self.diverged else { return Ok(()) };
        let message = format!("nothing is taken in since an entry could not be handed to the log: {why}");
        Err(Error::new(ErrorKind::Unavailable, "SW0440", message)
            .hint("restart: what was acknowledged is in the log, and what was decided is read from there again"))
    }

    /// Arrivals, never decreasing within the partition.
    pub(crate) fn stamp(&mut self, rows: usize, given: Option<&[Instant]>, now: Instant) -> Vec<i64> {
        let floor = self.last_arrival.filter(|_| !sabotage::on(Bug::ArrivalsBackwards)).unwrap_or(Instant::MIN);
        let mut newest = floor.max(if given.is_some() { floor } else { now });
        let mut arrivals = Vec::with_capacity(rows);
        for row in 0..rows {
            newest = newest.max(given.map_or(newest, |given| given[row]));
            arrivals.push(newest.0);
        }
        self.last_arrival = Some(newest);
        arrivals
    }

    /// Stops rows whose key is known. The others are known from now on; they are to be confirmed once they are in a frame.
    pub(crate) fn decide_uniqueness(
        &mut self,
        dataset: &DatasetGate,
        checked: &mut Checked,
        arrivals: &[i64],
        verdicts: &mut Vec<RowVerdict>,
    ) -> Result<Uniqueness> {
        let mut uniqueness = Uniqueness::default();
        let key = &dataset.dataset.primary_key;
        if key.is_empty() || checked.accepted.num_rows() == 0 {
            return Ok(uniqueness);
        }
        let Identities { keys, contents } = match checked.identities.take() {
            Some(identities) => identities,
            None => Identities::of(&checked.accepted, key)?,
        };
        let index = self.index(dataset);
        index.set_horizon(dataset.gate.dedup_horizon());
        let mut keep = Vec::with_capacity(keys.len());
        for (i, (row_key, content)) in keys.iter().zip(&contents).enumerate() {
            let row = checked.accepted_rows[i];
            let Some(row_key) = row_key else {
                keep.push(i as u32);
                continue;
            };
            let keyed = Keyed { arrival: Instant(arrivals[row as usize]), key: *row_key, content: *content };
            match index.observe(keyed) {
                Seen::New => {
                    keep.push(i as u32);
                    uniqueness.fresh.push(keyed);
                }
                Seen::Same => {
                    uniqueness.deduplicated += 1;
                    let row = Some(checked.line(row));
                    verdicts.push(RowVerdict { row, verdict: Outcome::Deduplicated, reasons: Vec::new() });
                }
                Seen::Different if dataset.dataset.changelog.is_some() => {
                    index.supersede(keyed);
                    keep.push(i as u32);
                    uniqueness.fresh.push(keyed);
                }
                Seen::Different => checked.quarantined.push(Quarantined { row, reasons: vec![key_conflict(key)] }),
            }
        }
        checked.retain(&keep)?;
        Ok(uniqueness)
    }

    /// Rows that [`Order::decide_uniqueness`] let pass are in a frame.
    pub(crate) fn confirm(&mut self, dataset: &str, fresh: Vec<Keyed>) {
        if let Some(index) = self.dedup.get_mut(dataset) {
            index.confirm(fresh);
        }
    }

    pub(crate) fn index(&mut self, dataset: &DatasetGate) -> &mut DedupIndex {
        let new = || DedupIndex::new(&dataset.dataset.primary_key, dataset.gate.dedup_horizon());
        self.dedup.entry(dataset.dataset.name.clone()).or_insert_with(new)
    }

    /// Remembers what a frame says; also how a restart rebuilds this state from the log.
    pub(crate) fn note(&mut self, frame: &Frame) {
        self.note_header(&frame.header);
    }

    fn note_header(&mut self, header: &Header) {
        crate::add_counts(self.counts.entry(header.dataset.clone()).or_default(), &header.counts);
        if let Some(position) = &header.position {
            let known = self.positions.entry(position.stream.clone()).or_default();
            *known = (*known).max(position.rows);
        }
        self.note_stream(header);
        if let Some(load) = &header.load {
            self.loads.insert((header.source.clone(), load.file));
            self.next_load = self.next_load.max(load.partition.0 + 1);
        }
        match &header.halt {
            Some(Halt::Halted(message)) => {
                self.halted.insert(header.dataset.clone(), message.clone());
            }
            Some(Halt::Resumed) => {
                self.halted.remove(&header.dataset);
            }
            None => {}
        }
    }

    fn note_stream(&mut self, header: &Header) {
        for file in &header.files {
            self.loads.insert((header.source.clone(), *file));
        }
        let Some(position) = &header.position else { return };
        if !header.files.is_empty() {
            self.unfinished.remove(&header.source);
        } else if position.stream.starts_with(&format!("{} ", header.source)) {
            self.unfinished.insert(header.source.clone(), position.stream.clone());
        }
    }

    /// Refuses to read files of a source of which a replay has let some rows enter, unless it is that replay.
    pub(crate) fn check_finished(&self, source: &str, stream: Option<&str>) -> Result<()> {
        match self.unfinished.get(source) {
            Some(begun) if stream != Some(begun.as_str()) => {
                let message =
                    format!("a replay of source {source:?} was interrupted, and other files are to be read now");
                Err(Error::new(ErrorKind::Conflict, "SW0853", message)
                    .hint("finish it first: `seawall replay` with exactly the files that it began with"))
            }
            _ => Ok(()),
        }
    }

    /// Rebuilds the order from the next frame of the log, which ends at `end`. Its keys come apart.
    pub(crate) fn recover(&mut self, header: &Header, end: Offset, newest_arrival: Option<Instant>) {
        self.note_taken(header, end);
        self.note_header(header);
        self.last_arrival = self.last_arrival.max(newest_arrival);
    }

    /// Remembers that the log took a frame, which ends at `end`.
    pub(super) fn note_taken(&mut self, header: &Header, end: Offset) {
        if let Some(answer) = &header.answer {
            self.answers.note(&header.dataset, answer, header.counts, self.entries, end);
        }
        if let Some(restore) = &header.restore {
            // Rows that a restore withdrew may be sent again.
            restore.tables.iter().for_each(|(name, table)| self.answers.withdraw(name, table.kept_end));
            self.derived.iter_mut().for_each(|(name, progress)| progress.withdraw(name, restore));
        }
        if let Some(step) = &header.derived {
            self.derived.entry(header.dataset.clone()).or_default().note(step, end);
        }
        self.entries += 1;
        self.end = end;
    }

    /// Remembers the keys of rows that are in the log or staged by a load.
    pub(crate) fn recover_keys(&mut self, dataset: &DatasetGate, keyed: &[Keyed]) {
        if !dataset.dataset.primary_key.is_empty() && !sabotage::on(Bug::SkipDedupAtRecovery) {
            self.index(dataset).replay(keyed);
        }
    }
}
