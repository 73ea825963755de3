//! The table writer: reads the log and commits rows and quarantined rows to their tables, each exactly once.
//!
//! One task owns every table of the process. It groups frames and commits a table when enough rows wait or the commit
//! interval has passed. The cut is part of the commit (`txn`), so a frame that is read again after a crash is skipped.
//! While the table store is away the writer retries with backoff and stops reading the log; ingestion goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use seawall_base::error::Result;
use seawall_base::sabotage::{self, Bug};
use seawall_base::{
    Append, Clock, Cut, Error, ErrorKind, Instant, Log, LogEntry, Partition, Permit, StagedFile, TableName,
    TableSnapshot, TableStore,
};
use seawall_catalog::{Catalog, FrameFacts, TableCommit};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, warn};

use crate::frame::{Frame, Restore};

/// Entries read from the log at once.
const ENTRIES_PER_READ: usize = 256;
/// Messages that may wait for the writer.
const MAILBOX_MAX: usize = 64;
/// First and greatest pause between attempts while the table store is away.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// When to commit.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Commit when this many rows wait.
    pub commit_rows: usize,
    /// Commit what waits after this long.
    pub commit_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { commit_rows: 200_000, commit_interval: Duration::from_millis(1000) }
    }
}

/// How far the writer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Log entries whose effects are committed.
    pub committed_entries: u64,
    /// Whether the table store is away.
    pub away: bool,
}

enum Message {
    Flush { entries: u64, done: oneshot::Sender<Result<()>> },
    SchemasChanged { done: oneshot::Sender<Result<()>> },
}

/// Talks to the writer's task.
#[derive(Clone)]
pub struct Handle {
    mailbox: mpsc::Sender<Message>,
    progress: watch::Receiver<Progress>,
}

impl Handle {
    /// Commits everything up to `entries` log entries and waits for it.
    pub async fn flush(&self, entries: u64) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let stopped = || Error::new(ErrorKind::Unavailable, "SW0830", "the table writer has stopped");
        self.mailbox.send(Message::Flush { entries, done }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Commits what waits and forgets cached schemas, after tables evolved.
    pub async fn schemas_changed(&self) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let stopped = || Error::new(ErrorKind::Unavailable, "SW0830", "the table writer has stopped");
        self.mailbox.send(Message::SchemasChanged { done }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// How far the writer has come.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }
}

/// What the writer works on.
pub struct TableWriter {
    log: Arc<dyn Log>,
    tables: Arc<dyn TableStore>,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    permit: Permit,
    options: Options,
    next_entry: u64,
    buffers: BTreeMap<TableName, Buffer>,
    facts: BTreeMap<String, Vec<FrameFacts>>,
    buffered_rows: usize,
    progress: watch::Sender<Progress>,
}

/// Rows of one table that wait for a commit.
struct Buffer {
    schema: SchemaRef,
    committed: Cut,
    until: Cut,
    batches: Vec<RecordBatch>,
    staged: Vec<StagedFile>,
}

impl TableWriter {
    /// Starts the writer's task. It begins at the log's first entry and skips what tables hold already. Dropping every
    /// handle ends the task after a last commit.
    pub fn start(
        log: Arc<dyn Log>,
        tables: Arc<dyn TableStore>,
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
        permit: Permit,
        options: Options,
    ) -> (Handle, tokio::task::JoinHandle<Result<()>>) {
        let (mailbox, messages) = mpsc::channel(MAILBOX_MAX);
        let (progress, watched) = watch::channel(Progress::default());
        let writer = TableWriter {
            log,
            tables,
            catalog,
            clock,
            permit,
            options,
            next_entry: 0,
            buffers: BTreeMap::new(),
            facts: BTreeMap::new(),
            buffered_rows: 0,
            progress,
        };
        let task = tokio::spawn(crate::reporting("table writer", writer.run(messages)));
        (Handle { mailbox, progress: watched }, task)
    }

    async fn run(mut self, mut messages: mpsc::Receiver<Message>) -> Result<()> {
        let mut tick = tokio::time::interval(self.options.commit_interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Message::Flush { entries, done }) => {
                        let outcome = self.flush(entries).await;
                        // A caller that gave up waiting needs no answer.
                        let _ = done.send(outcome);
                    }
                    Some(Message::SchemasChanged { done }) => {
                        let outcome = self.forget_schemas().await;
                        let _ = done.send(outcome);
                    }
                    None => {
                        let (entries, _) = self.log.durable_end();
                        return self.flush(entries).await;
                    }
                },
                _ = tick.tick() => self.commit_until_done().await?,
                more = self.log.wait_beyond(self.next_entry) => {
                    more?;
                    self.read_some().await?;
                }
            }
        }
    }

    async fn flush(&mut self, entries: u64) -> Result<()> {
        while self.next_entry < entries {
            self.read_some().await?;
        }
        self.commit_until_done().await
    }

    async fn read_some(&mut self) -> Result<()> {
        let entries = self.log.read(self.next_entry, ENTRIES_PER_READ).await?;
        for entry in entries {
            self.take(&entry).await?;
            self.next_entry += 1;
        }
        if self.buffered_rows >= self.options.commit_rows {
            self.commit_until_done().await?;
        }
        Ok(())
    }

    async fn take(&mut self, entry: &LogEntry) -> Result<()> {
        let frame = Frame::decode(&entry.payload)?;
        let header = &frame.header;
        if header.counts != crate::Counts::default() {
            let facts = FrameFacts { entry: self.next_entry, counts: header.counts, rules: header.rules.clone() };
            self.facts.entry(header.dataset.clone()).or_default().push(facts);
        }
        let live_end = Cut::of(self.log.partition(), entry.end());
        if let Some(rows) = frame.numbered_accepted(entry)? {
            self.put_rows(&TableName::new(header.dataset.as_str())?, rows, &live_end).await?;
        }
        if let Some(restore) = &header.restore {
            self.withdraw(restore, &live_end).await?;
        }
        if let Some(load) = &header.load {
            let table = TableName::new(header.dataset.as_str())?;
            self.put_staged(&table, &load.staged, &Cut::of(load.partition, load.end)).await?;
        }
        if let Some(rows) = frame.numbered_quarantined(entry)? {
            let table = TableName::quarantine(&header.dataset)?;
            match &header.load {
                Some(load) => {
                    let until = Cut::of(load.partition, load.end);
                    self.put_rows(&table, rows, &until).await?;
                }
                None => self.put_rows(&table, rows, &live_end).await?,
            }
        }
        Ok(())
    }

    /// Makes versions that do not show what a restore withdraws. The frame is the intent: a crash is made good when it is
    /// read again, and a table that covers it already stays as it is.
    async fn withdraw(&mut self, restore: &Restore, live_end: &Cut) -> Result<()> {
        self.commit_until_done().await?;
        for (dataset, kept_end) in crate::restore::kept_ends(restore) {
            let table = TableName::new(dataset)?;
            let newest = self.tables.snapshot(&table, None).await?;
            if newest.cut.covers(live_end) {
                continue;
            }
            let mut batches = Vec::new();
            for rows in self.tables.scan(&self.permit, &table, newest.version, None).await? {
                let keep = |partition, offset| partition != Partition::LIVE || offset < kept_end;
                batches.push(crate::restore::keep_where(&rows, keep)?);
            }
            let mut until = newest.cut.clone();
            until.join(live_end);
            let append = Append { batches, staged: Vec::new(), from: newest.cut, until };
            let version = self.tables.replace(&self.permit, &table, append).await?;
            let snapshot = self.tables.snapshot(&table, Some(version)).await?;
            record_version(&self.catalog, &self.permit, &table, &snapshot, self.clock.now()).await?;
            self.buffers.remove(&table);
        }
        Ok(())
    }

    async fn put_rows(&mut self, table: &TableName, rows: RecordBatch, until: &Cut) -> Result<()> {
        let buffer = self.buffer(table).await?;
        if buffer.until.covers(until) && !sabotage::on(Bug::SkipTxnCheck) {
            return Ok(());
        }
        let count = rows.num_rows();
        buffer.batches.push(conform(&rows, &buffer.schema)?);
        buffer.until.join(until);
        self.buffered_rows += count;
        Ok(())
    }

    async fn put_staged(&mut self, table: &TableName, staged: &[StagedFile], until: &Cut) -> Result<()> {
        let buffer = self.buffer(table).await?;
        if !buffer.until.covers(until) {
            buffer.staged.extend_from_slice(staged);
            buffer.until.join(until);
        }
        Ok(())
    }

    async fn buffer(&mut self, table: &TableName) -> Result<&mut Buffer> {
        if !self.buffers.contains_key(table) {
            let snapshot = self.tables.snapshot(table, None).await?;
            // A crash may have come between a commit and its record.
            record_version(&self.catalog, &self.permit, table, &snapshot, self.clock.now()).await?;
            let buffer = Buffer {
                schema: snapshot.schema,
                committed: snapshot.cut.clone(),
                until: snapshot.cut,
                batches: Vec::new(),
                staged: Vec::new(),
            };
            self.buffers.insert(table.clone(), buffer);
        }
        Ok(self.buffers.get_mut(table).expect("it was inserted above"))
    }

    /// Commits everything that waits, however long the table store is away.
    async fn commit_until_done(&mut self) -> Result<()> {
        let mut pause = BACKOFF.0;
        loop {
            match self.commit().await {
                Ok(()) => {
                    let progress = Progress { committed_entries: self.next_entry, away: false };
                    self.progress.send_replace(progress);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    warn!(%error, "table store is away, retrying");
                    self.progress.send_modify(|progress| progress.away = true);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BACKOFF.1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn commit(&mut self) -> Result<()> {
        for (table, buffer) in &mut self.buffers {
            if buffer.batches.is_empty() && buffer.staged.is_empty() {
                continue;
            }
            let append = Append {
                batches: buffer.batches.clone(),
                staged: buffer.staged.clone(),
                from: buffer.committed.clone(),
                until: buffer.until.clone(),
            };
            let version = self.tables.append(&self.permit, table, append).await?;
            let snapshot = self.tables.snapshot(table, Some(version)).await?;
            debug!(%table, version = version.0, rows = snapshot.rows, "table committed");
            record_version(&self.catalog, &self.permit, table, &snapshot, self.clock.now()).await?;
            buffer.batches.clear();
            buffer.staged.clear();
            buffer.committed = buffer.until.clone();
        }
        while let Some(dataset) = self.facts.first_entry() {
            self.catalog.record_frames(&self.permit, dataset.key(), Partition::LIVE, dataset.get()).await?;
            dataset.remove();
        }
        self.buffered_rows = 0;
        Ok(())
    }

    async fn forget_schemas(&mut self) -> Result<()> {
        self.commit_until_done().await?;
        self.buffers.clear();
        Ok(())
    }
}

/// Keeps when a version was made; a version that is recorded already stays as it is.
async fn record_version(
    catalog: &Catalog,
    permit: &Permit,
    table: &TableName,
    snapshot: &TableSnapshot,
    now: Instant,
) -> Result<()> {
    let commit = TableCommit {
        table: table.clone(),
        version: snapshot.version,
        committed_at: now,
        rows: snapshot.rows,
        cut: snapshot.cut.clone(),
        detail: serde_json::Value::Null,
    };
    catalog.record_table_version(permit, &commit).await
}

/// Brings rows of an older contract to the table's schema: columns added since are null.
pub(crate) fn conform(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if rows.schema().fields() == schema.fields() {
        return Ok(rows.clone());
    }
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        match rows.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => columns.push(column.clone()),
            Some(column) => columns.push(arrow::compute::cast(column, field.data_type())?),
            None => columns.push(new_null_array(field.data_type(), rows.num_rows())),
        }
    }
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}
