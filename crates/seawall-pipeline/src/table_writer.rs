//! The table writer: reads the log and commits rows and quarantined rows to their tables, each exactly once.
//!
//! One task owns every table of the process. It groups frames and commits a table when enough waits or the commit
//! interval has passed. The cut is part of the commit (`txn`), so a frame that is read again after a crash is skipped.
//!
//! While the table store is away the writer stops reading the log once its [`backlog`] is full, and tries again with
//! growing pauses; ingestion goes on. Every step can be repeated: an attempt whose outcome is unknown is made again with
//! the same rows and the same cut, never with more, and what has landed is recognised by its cut.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use seawall_base::error::Result;
use seawall_base::{
    Append, Clock, Cut, Instant, Log, LogEntry, Offset, Partition, Permit, Span, TableName, TableSnapshot, TableStore,
};
use seawall_catalog::{Catalog, TableCommit};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use self::backlog::{Backlog, Buffer, tables_of};
use crate::attach::Attachment;
use crate::dependency::persist::Patience;
use crate::dependency::{Dependencies, Idempotent, Operation, is_away, persist};
use crate::frame::{Frame, Restore};
use crate::portion::Portion;
use crate::recovery::checkpoint::TablePosition;

mod backlog;
mod handle;

pub use handle::{Handle, Progress};
use handle::{Message, Waiting};

/// Entries read from the log at once, at most,
const ENTRIES_PER_READ_MAX: usize = 256;
/// and so few that they have about this many bytes together.
const READ_BYTES: usize = 8 << 20;
/// Bytes of log entries that are read and not committed, above which no more are read.
const BACKLOG_BYTES_MAX: usize = 64 << 20;
/// Messages that may wait for the writer.
const MAILBOX_MAX: usize = 64;

const RECORD_VERSION: Operation = record("record_version");
const RECORD_FRAMES: Operation = record("record_frames");

const fn record(name: &'static str) -> Operation {
    Operation { name, deadline: Span::MINUTE, slow_after: Span(10 * Span::SECOND.0) }
}

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
        Options { commit_rows: 500_000, commit_interval: Duration::from_millis(1000) }
    }
}

/// What the writer reads, writes and records.
pub struct Ends {
    /// Where rows come from.
    pub log: Arc<dyn Log>,
    /// Where they go.
    pub tables: Arc<dyn TableStore>,
    /// Where versions and counts are recorded.
    pub catalog: Arc<Catalog>,
    /// The pipeline's clock.
    pub clock: Arc<dyn Clock>,
    /// To write tables.
    pub permit: Permit,
    /// What bounds the calls.
    pub dependencies: Arc<Dependencies>,
}

/// Where a writer begins to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Ordinal of the entry.
    pub entry: u64,
    /// Offset of its first row.
    pub offset: Offset,
}

/// What is to be done before the first row is read, once the table store is there.
pub(crate) struct Later {
    /// Attaches the tables.
    pub attachment: Attachment,
    /// How far they were.
    pub position: TablePosition,
}

/// What the writer works on.
pub struct TableWriter {
    ends: Ends,
    /// Tables were away at the start and are not attached yet.
    later: Option<Later>,
    options: Options,
    next_entry: u64,
    /// The offset after its last row.
    next_offset: Offset,
    /// Entries that were durable when the writer started.
    durable_at_start: u64,
    portion: Portion,
    backlog: Backlog,
    /// When the oldest uncommitted entry was read, on the dependencies' timer.
    waits_since: Option<Instant>,
    /// A commit was begun and is not known to have landed: until it is, no rows may join it.
    is_committing: bool,
    waiting: Vec<Waiting>,
    patience: Patience,
    progress: watch::Sender<Progress>,
}

impl TableWriter {
    /// Starts the writer's task. It begins where every row before is in its table, and skips what tables hold already.
    /// Dropping every handle ends the task after a last commit, unless the table store is away: then the rest stays in
    /// the log.
    pub fn start(ends: Ends, options: Options, from: Start) -> (Handle, tokio::task::JoinHandle<Result<()>>) {
        TableWriter::spawn(ends, options, from, None)
    }

    /// Starts the writer's task while the table store is away. Tables hold everything before `at_least`, as far as anybody
    /// knows; where the writer begins is seen once they are attached.
    pub(crate) fn start_later(
        ends: Ends,
        options: Options,
        at_least: Start,
        later: Later,
    ) -> (Handle, tokio::task::JoinHandle<Result<()>>) {
        TableWriter::spawn(ends, options, at_least, Some(later))
    }

    fn spawn(
        ends: Ends,
        options: Options,
        from: Start,
        later: Option<Later>,
    ) -> (Handle, tokio::task::JoinHandle<Result<()>>) {
        let (mailbox, messages) = mpsc::channel(MAILBOX_MAX);
        let durable_at_start = ends.log.durable_end().0;
        let timer = ends.dependencies.timer().clone();
        let is_attached = later.is_none();
        let is_behind = from.entry < durable_at_start;
        let (progress, watched) = watch::channel(Progress {
            committed_entries: from.entry,
            committed_end: from.offset,
            is_resumed: is_attached && !is_behind,
            is_attached,
            away_since: (!is_attached).then(|| timer.now()),
            behind_since: (!is_attached && is_behind).then(|| ends.clock.now()),
            ..Progress::default()
        });
        let mut patience = Patience::new(ends.dependencies.clone());
        if !is_attached {
            // The start has tried already.
            patience.failed();
        }
        let writer = TableWriter {
            later,
            options,
            next_entry: from.entry,
            next_offset: from.offset,
            durable_at_start,
            portion: Portion::of(READ_BYTES, ENTRIES_PER_READ_MAX),
            backlog: Backlog::default(),
            waits_since: None,
            is_committing: false,
            waiting: Vec::new(),
            patience,
            progress,
            ends,
        };
        let task = tokio::spawn(crate::reporting("table writer", writer.run(messages)));
        (Handle::new(mailbox, watched, timer), task)
    }

    async fn run(mut self, mut messages: mpsc::Receiver<Message>) -> Result<()> {
        loop {
            self.answer();
            let has_room = self.waiting.len() < MAILBOX_MAX;
            tokio::select! {
                message = messages.recv(), if has_room => match message {
                    Some(message) => self.waiting.push(message.into()),
                    None => return self.end().await,
                },
                due = self.until_due() => {
                    due?;
                    self.step().await?;
                }
            }
        }
    }

    /// Commits what is durable, if the table store is there.
    async fn end(mut self) -> Result<()> {
        let (entries, _) = self.ends.log.durable_end();
        if self.later.is_some() {
            let left = entries - self.committed().min(entries);
            warn!(left, "tables were away from the start to the end; entries stay in the log");
            return Ok(());
        }
        self.waiting.push(Waiting::end(entries));
        while self.committed() < entries {
            self.step().await?;
            if self.patience.failures() > 0 {
                let left = entries - self.committed();
                warn!(
                    left,
                    "tables are away at the end; entries stay in the log and are committed after the next start"
                );
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns when there is something to do.
    async fn until_due(&self) -> Result<()> {
        self.patience.due().await;
        if self.later.is_some() || self.is_commit_due() || (self.may_read() && self.is_behind()) {
            return Ok(());
        }
        let commit_at = self.commit_at().unwrap_or(Instant::MAX);
        tokio::select! {
            more = self.ends.log.wait_beyond(self.next_entry), if self.may_read() => more,
            () = self.ends.dependencies.timer().wait_until(commit_at) => Ok(()),
        }
    }

    /// Reads or commits. What fails because something is away is done again later.
    async fn step(&mut self) -> Result<()> {
        match persist::attempt(self.try_step()).await {
            Ok(()) => {
                if self.patience.failures() > 0 {
                    info!(attempts = self.patience.failures(), "tables take rows again");
                }
                self.patience.succeeded();
                self.progress.send_if_modified(|progress| progress.away_since.take().is_some());
                Ok(())
            }
            Err(error) if is_away(&error) => {
                if self.patience.failures() == 0 {
                    warn!(code = error.code(), %error, "tables are away, rows wait in the log");
                }
                self.patience.failed();
                let now = self.ends.dependencies.timer().now();
                self.progress.send_modify(|progress| {
                    progress.away_since.get_or_insert(now);
                });
                self.notice_lag();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn try_step(&mut self) -> Result<()> {
        if let Some(Later { attachment, position }) = &self.later {
            attachment.prepare().await?;
            let from = attachment.beginning(position).await?;
            self.attached_at(from);
        }
        if self.may_read() && self.is_behind() {
            self.read_some().await?;
        }
        if self.is_commit_due() {
            self.commit().await?;
        }
        Ok(())
    }

    /// Tables are attached, and lack nothing before `from`.
    fn attached_at(&mut self, from: Start) {
        self.later = None;
        (self.next_entry, self.next_offset) = (from.entry, from.offset);
        let is_resumed = from.entry >= self.durable_at_start;
        self.progress.send_modify(|progress| {
            progress.committed_entries = from.entry;
            progress.committed_end = from.offset;
            progress.is_resumed = is_resumed;
            progress.is_attached = true;
        });
        info!(from = from.entry, "tables are attached");
    }

    async fn read_some(&mut self) -> Result<()> {
        let entries = self.ends.log.read(self.next_entry, self.portion.entries()).await?;
        self.portion.note(&entries);
        for entry in entries {
            if self.is_full() {
                break;
            }
            self.take(&entry).await?;
            self.next_entry += 1;
            self.next_offset = entry.end();
            self.waits_since.get_or_insert(self.ends.dependencies.timer().now());
        }
        self.notice_lag();
        // Nothing here waits while the log is in memory: requests get their turn in between.
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn take(&mut self, entry: &LogEntry) -> Result<()> {
        let frame = Frame::decode(&entry.payload)?;
        for table in tables_of(&frame)? {
            self.make_buffer(&table).await?;
        }
        self.backlog.take(self.next_entry, entry, &frame)?;
        match &frame.header.restore {
            Some(restore) => self.withdraw(restore, &Cut::of(self.ends.log.partition(), entry.end())).await,
            None => Ok(()),
        }
    }

    /// Makes versions that do not show what a restore withdraws. The frame is the intent: a crash is made good when it is
    /// read again, and a table that covers it already stays as it is.
    async fn withdraw(&mut self, restore: &Restore, live_end: &Cut) -> Result<()> {
        self.commit_backlog().await?;
        let tables = self.ends.tables.clone();
        for (dataset, kept_end) in crate::restore::kept_ends(restore) {
            let end = live_end.end(Partition::LIVE);
            // Before the table, whose cut tells that all of this was done.
            self.ends.catalog.take_back_released(&self.ends.permit, dataset, Offset(kept_end), end).await?;
            let table = TableName::new(dataset)?;
            let newest = tables.snapshot(&table, None).await?;
            if newest.cut.covers(live_end) {
                continue;
            }
            let mut batches = Vec::new();
            for rows in tables.scan(&self.ends.permit, &table, newest.version, None).await? {
                let keep = |partition, offset| partition != Partition::LIVE || offset < kept_end;
                batches.push(crate::restore::keep_where(&rows, keep)?);
            }
            let mut until = newest.cut.clone();
            until.join(live_end);
            let append = Append { batches, staged: Vec::new(), from: newest.cut, until };
            let version = tables.replace(&self.ends.permit, &table, append).await?;
            let snapshot = tables.snapshot(&table, Some(version)).await?;
            self.ends.record_version(&table, &snapshot).await?;
            self.backlog.buffers.remove(&table);
        }
        Ok(())
    }

    async fn make_buffer(&mut self, table: &TableName) -> Result<()> {
        if self.backlog.buffers.contains_key(table) {
            return Ok(());
        }
        let snapshot = self.ends.tables.snapshot(table, None).await?;
        // A crash may have come between a commit and its record.
        self.ends.record_version(table, &snapshot).await?;
        self.backlog.buffers.insert(table.clone(), Buffer::after(snapshot));
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        self.commit_backlog().await?;
        if self.waiting.iter().any(Waiting::is_for_schemas) {
            self.backlog.buffers.clear();
        }
        self.waits_since = None;
        let is_caught_up = !self.is_behind();
        let is_resumed = self.next_entry >= self.durable_at_start;
        let (committed_entries, committed_end) = (self.next_entry, self.next_offset);
        self.progress.send_modify(|progress| {
            progress.committed_entries = committed_entries;
            progress.committed_end = committed_end;
            progress.waiting_rows = 0;
            progress.is_resumed |= is_resumed;
            if is_caught_up {
                progress.behind_since = None;
            }
        });
        Ok(())
    }

    async fn commit_backlog(&mut self) -> Result<()> {
        self.is_committing = true;
        let Backlog { buffers, facts, .. } = &mut self.backlog;
        for (table, buffer) in buffers {
            let Some(append) = buffer.append() else { continue };
            let version = self.ends.tables.append(&self.ends.permit, table, append).await?;
            let snapshot = self.ends.tables.snapshot(table, Some(version)).await?;
            debug!(%table, version = version.0, rows = snapshot.rows, "table committed");
            self.ends.record_version(table, &snapshot).await?;
            buffer.is_committed();
        }
        while let Some(dataset) = facts.first_entry() {
            let (catalog, permit) = (&self.ends.catalog, &self.ends.permit);
            let call = || catalog.record_frames(permit, dataset.key(), Partition::LIVE, dataset.get());
            let call = Idempotent::because("an entry that is recorded already is skipped", call);
            self.ends.dependencies.catalog.repeat(RECORD_FRAMES, call).await?;
            dataset.remove();
        }
        self.backlog.is_committed();
        self.is_committing = false;
        Ok(())
    }

    /// Says since when tables lag behind the log.
    fn notice_lag(&self) {
        if self.committed() >= self.ends.log.durable_end().0 {
            return;
        }
        let now = self.ends.clock.now();
        let (oldest, rows) = (self.backlog.oldest(), self.backlog.rows());
        self.progress.send_modify(|progress| {
            progress.waiting_rows = rows as u64;
            progress.behind_since = oldest.or(progress.behind_since).or(Some(now));
        });
    }

    fn committed(&self) -> u64 {
        self.progress.borrow().committed_entries
    }

    fn is_behind(&self) -> bool {
        self.ends.log.durable_end().0 > self.next_entry
    }

    fn is_full(&self) -> bool {
        self.backlog.rows() >= self.options.commit_rows || self.backlog.bytes() >= BACKLOG_BYTES_MAX
    }

    fn may_read(&self) -> bool {
        !self.is_committing && !self.is_full()
    }

    /// When what was read must be committed, full or not.
    fn commit_at(&self) -> Option<Instant> {
        let interval = Span(i64::try_from(self.options.commit_interval.as_micros()).unwrap_or(i64::MAX));
        self.waits_since.map(|since| since + interval)
    }

    fn is_commit_due(&self) -> bool {
        let is_wanted = self.waiting.iter().any(|waiting| waiting.wants_commit(self.next_entry));
        let is_time = self.commit_at().is_some_and(|at| at <= self.ends.dependencies.timer().now());
        self.is_committing || self.is_full() || is_wanted || is_time
    }

    /// Answers whoever waits for what is done, and forgets who waits no more.
    fn answer(&mut self) {
        let committed = self.committed();
        let has_buffers = !self.backlog.buffers.is_empty();
        self.waiting.retain_mut(|waiting| !waiting.answer(committed, has_buffers));
    }
}

/// What is kept of a version: when it was made, and the hashes of the files that it brought.
pub(crate) fn table_commit(table: &TableName, snapshot: &TableSnapshot, now: Instant) -> TableCommit {
    TableCommit {
        table: table.clone(),
        version: snapshot.version,
        committed_at: now,
        rows: snapshot.rows,
        cut: snapshot.cut.clone(),
        detail: if snapshot.added.is_empty() { Value::Null } else { json!({"files": snapshot.added}) },
    }
}

impl Ends {
    /// Keeps when a version was made; a version that is recorded already stays as it is.
    async fn record_version(&self, table: &TableName, snapshot: &TableSnapshot) -> Result<()> {
        let commit = table_commit(table, snapshot, self.clock.now());
        let call = || self.catalog.record_table_version(&self.permit, &commit);
        let call = Idempotent::because("a version that is recorded already stays as it is", call);
        self.dependencies.catalog.repeat(RECORD_VERSION, call).await
    }
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
