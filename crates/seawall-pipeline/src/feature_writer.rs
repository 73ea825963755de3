//! The feature writer: reads the log and hands rows to the online store, which keeps their cut.
//!
//! It asks the table store only for bulk loads and for schemas it does not know yet. While that is away, it waits with the
//! entry that needs it and says since when; what was folded before goes on being served, flagged.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};

use seawall_base::error::Result;
use seawall_base::{
    Clock, Cut, Error, ErrorKind, Instant, Log, LogEntry, Offset, OnlineStore, Permit, TableName, TableStore,
};
use seawall_kernel::contract;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle};
use tracing::{info, warn};

use crate::dependency::is_away;
use crate::dependency::persist::{self, Patience};
use crate::frame::Frame;
use crate::portion::Portion;
use crate::restore::Withdrawn;
use crate::table_writer::conform;

/// Entries read from the log at once, at most,
const ENTRIES_PER_READ_MAX: usize = 256;
/// and so few that they have about this many bytes together.
const READ_BYTES: usize = 4 << 20;

/// A checkpoint that is being written; in the end, the entries that it covers.
type Checkpoint = JoinHandle<Result<u64>>;

/// How far the writer has come.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    entries: u64,
    /// Since when it waits for the table store.
    behind_since: Option<Instant>,
}

/// Talks to the writer's task.
#[derive(Clone)]
pub struct Handle {
    progress: watch::Receiver<Progress>,
    /// Entries that were durable at the start: nobody is answered from a state that lags behind them.
    ready_at: u64,
    checkpointed: watch::Receiver<u64>,
    schemas_changed: Arc<AtomicBool>,
    _alive: mpsc::Sender<()>,
}

impl Handle {
    /// Waits until every row of the first `entries` log entries was received by the online store.
    pub async fn wait_for(&self, entries: u64) -> Result<()> {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|progress| progress.entries >= entries).await;
        reached.map(|_| ()).map_err(|_| Error::new(ErrorKind::Unavailable, "SW0831", "the feature writer has stopped"))
    }

    /// Waits until `is_there`, asked again whenever rows were taken.
    pub async fn wait_until(&self, is_there: impl Fn() -> bool) -> Result<()> {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|_| is_there()).await;
        reached.map(|_| ()).map_err(|_| Error::new(ErrorKind::Unavailable, "SW0831", "the feature writer has stopped"))
    }

    /// Waits until the online store has everything that was durable at the start.
    pub async fn ready(&self) -> Result<()> {
        self.wait_for(self.ready_at).await
    }

    /// Fails when the writer has stopped: the online store is frozen then, and must not answer as if it were fresh. Also
    /// fails while the store lags behind what was acknowledged before the start.
    pub fn check_running(&self) -> Result<()> {
        match self.progress.has_changed() {
            Ok(_) if self.entries() < self.ready_at => {
                let (entries, ready_at) = (self.entries(), self.ready_at);
                let message = format!(
                    "the features are being brought up to date after a start: {entries} of {ready_at} log entries"
                );
                Err(Error::new(ErrorKind::Unavailable, "SW0445", message).hint("try again in a moment"))
            }
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "SW0831", "the feature writer has stopped")
                .hint("read the log of the process for the cause, and restart it")),
        }
    }

    /// Log entries whose rows the online store has.
    pub fn entries(&self) -> u64 {
        self.progress.borrow().entries
    }

    /// Log entries whose rows the online store's checkpoint has.
    pub fn checkpointed_entries(&self) -> u64 {
        *self.checkpointed.borrow()
    }

    /// Tables may have columns that the writer does not know: it asks for their schemas again before it takes further
    /// rows.
    pub fn schemas_changed(&self) {
        self.schemas_changed.store(true, Ordering::Release);
    }

    /// Waits until the writer cannot go on because the table store is away.
    pub async fn blocked(&self) {
        let mut progress = self.progress.clone();
        if progress.wait_for(|progress| progress.behind_since.is_some()).await.is_err() {
            // The writer has stopped, which its task tells.
            std::future::pending().await
        }
    }

    /// Since when the writer cannot go on because the table store is away; none while it can.
    pub fn behind_since(&self) -> Option<Instant> {
        self.progress.borrow().behind_since
    }
}

/// What the writer reads and writes.
pub struct Ends {
    /// Where rows come from.
    pub log: Arc<dyn Log>,
    /// Where bulk loads are staged.
    pub tables: Arc<dyn TableStore>,
    /// Where rows go.
    pub online: Arc<dyn OnlineStore>,
    /// The pipeline's clock.
    pub clock: Arc<dyn Clock>,
    /// To read staged files.
    pub permit: Permit,
    /// Rows that restores withdrew.
    pub withdrawn: Arc<Withdrawn>,
    /// Schemas of tables, by dataset, as far as they are known.
    pub schemas: HashMap<String, SchemaRef>,
}

/// What the writer works on.
pub struct FeatureWriter {
    ends: Ends,
    next_entry: u64,
    portion: Portion,
    cut: Cut,
    patience: Patience,
    progress: watch::Sender<Progress>,
    checkpointed: watch::Sender<u64>,
    checkpoint_interval: Duration,
    /// Schemas that were asked for may be those before a change.
    schemas_changed: Arc<AtomicBool>,
}

impl FeatureWriter {
    /// Starts the writer's task. It begins with entry `from`, before which the store has everything, and skips what the
    /// store has already.
    pub fn start(
        ends: Ends,
        patience: Patience,
        checkpoint_interval: Duration,
        from: u64,
    ) -> (Handle, JoinHandle<Result<()>>) {
        let (writer, handle, closed) = FeatureWriter::new(ends, patience, checkpoint_interval, from);
        (handle, tokio::spawn(crate::reporting("feature writer", writer.run(closed))))
    }

    /// Starts the writer's task, which waits until it is told where to begin. No features are served until then.
    pub(crate) fn start_later(
        ends: Ends,
        patience: Patience,
        checkpoint_interval: Duration,
        beginning: impl Future<Output = Option<u64>> + Send + 'static,
    ) -> (Handle, JoinHandle<Result<()>>) {
        let now = ends.clock.now();
        let (writer, handle, closed) = FeatureWriter::new(ends, patience, checkpoint_interval, 0);
        writer.progress.send_modify(|progress| progress.behind_since = Some(now));
        (handle, tokio::spawn(crate::reporting("feature writer", writer.run_later(beginning, closed))))
    }

    fn new(
        ends: Ends,
        patience: Patience,
        checkpoint_interval: Duration,
        from: u64,
    ) -> (FeatureWriter, Handle, mpsc::Receiver<()>) {
        let (alive, closed) = mpsc::channel(1);
        let (progress, watched) = watch::channel(Progress { entries: from, behind_since: None });
        let (checkpointed, checkpointed_entries) = watch::channel(from);
        let cut = ends.online.store_cut();
        let ready_at = ends.log.durable_end().0;
        let portion = Portion::of(READ_BYTES, ENTRIES_PER_READ_MAX);
        let schemas_changed = Arc::new(AtomicBool::new(false));
        let writer = FeatureWriter {
            ends,
            next_entry: from,
            portion,
            cut,
            patience,
            progress,
            checkpointed,
            checkpoint_interval,
            schemas_changed: schemas_changed.clone(),
        };
        let handle =
            Handle { progress: watched, ready_at, checkpointed: checkpointed_entries, schemas_changed, _alive: alive };
        (writer, handle, closed)
    }

    async fn run_later(
        mut self,
        beginning: impl Future<Output = Option<u64>>,
        mut closed: mpsc::Receiver<()>,
    ) -> Result<()> {
        let from = tokio::select! {
            from = beginning => from,
            _ = closed.recv() => None,
        };
        // Nothing was taken, so there is nothing to write down. Why there was no beginning is for whoever was to tell it.
        let Some(from) = from else { return Ok(()) };
        self.next_entry = from;
        self.cut = self.ends.online.store_cut();
        self.progress.send_replace(Progress { entries: from, behind_since: None });
        self.checkpointed.send_replace(from);
        self.run(closed).await
    }

    async fn run(mut self, mut closed: mpsc::Receiver<()>) -> Result<()> {
        let mut tick = tokio::time::interval(self.checkpoint_interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tick.tick().await;
        let mut checkpoint: Option<Checkpoint> = None;
        loop {
            tokio::select! {
                _ = closed.recv() => {
                    if let Some(running) = checkpoint {
                        self.finish(running.await);
                    }
                    let last = self.begin_checkpoint().await?;
                    let entries = last.await.map_err(died)??;
                    self.checkpointed.send_replace(entries);
                    return Ok(());
                }
                _ = tick.tick(), if checkpoint.is_none() => match self.begin_checkpoint().await {
                    Ok(begun) => checkpoint = Some(begun),
                    Err(error) => warn!(%error, "cannot checkpoint the online store"),
                },
                done = async { checkpoint.as_mut().expect("one is running").await }, if checkpoint.is_some() => {
                    checkpoint = None;
                    self.finish(done);
                }
                more = self.until_due() => {
                    more?;
                    self.step().await?;
                }
            }
        }
    }

    /// Begins to write the store down, with how far it has come. Rows are taken in meanwhile.
    async fn begin_checkpoint(&mut self) -> Result<Checkpoint> {
        self.tell_cut().await?;
        let online = self.ends.online.clone();
        let entries = self.next_entry;
        Ok(tokio::spawn(async move { online.checkpoint().await.map(|()| entries) }))
    }

    /// Tells the store how far it has come: entries without rows for it move its cut too.
    async fn tell_cut(&self) -> Result<()> {
        if self.ends.online.store_cut().covers(&self.cut) {
            return Ok(());
        }
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        self.ends.online.receive("", &nothing, &self.cut).await
    }

    fn finish(&self, checkpoint: std::result::Result<Result<u64>, JoinError>) {
        match checkpoint.map_err(died).flatten() {
            Ok(entries) => {
                self.checkpointed.send_replace(entries);
            }
            // The state is in memory and the log; the next checkpoint tries again.
            Err(error) => warn!(%error, "cannot checkpoint the online store"),
        }
    }

    /// Returns when there is something to take.
    async fn until_due(&self) -> Result<()> {
        self.patience.due().await;
        self.ends.log.wait_beyond(self.next_entry).await
    }

    /// Takes some entries. One that needs the table store while that is away is taken again later.
    async fn step(&mut self) -> Result<()> {
        match persist::attempt(self.take_some()).await {
            Ok(()) => {
                if self.patience.failures() > 0 {
                    info!(attempts = self.patience.failures(), "features take rows again");
                }
                self.patience.succeeded();
                self.progress.send_modify(|progress| progress.behind_since = None);
                Ok(())
            }
            Err(error) if is_away(&error) => {
                if self.patience.failures() == 0 {
                    warn!(code = error.code(), %error, "features wait for the table store");
                }
                self.patience.failed();
                let now = self.ends.clock.now();
                self.progress.send_modify(|progress| {
                    progress.behind_since.get_or_insert(now);
                });
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn take_some(&mut self) -> Result<()> {
        let entries = self.ends.log.read(self.next_entry, self.portion.entries()).await?;
        self.portion.note(&entries);
        // What arrived before now is folded as it comes, however long nobody asks for a feature.
        self.ends.online.advance(self.ends.clock.now()).await?;
        for entry in entries {
            self.take(&entry).await?;
            self.next_entry += 1;
        }
        self.tell_cut().await?;
        self.progress.send_modify(|progress| progress.entries = self.next_entry);
        // Nothing here waits while the log is in memory: requests get their turn in between.
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Takes one entry. The cut moves only when its rows are received, so that it can be taken again.
    async fn take(&mut self, entry: &LogEntry) -> Result<()> {
        let end = Cut::of(self.ends.log.partition(), entry.end());
        let frame = Frame::decode(&entry.payload)?;
        if let Some(load) = &frame.header.load {
            let until = Cut::of(load.partition, load.end);
            if self.cut.covers(&until) {
                return Ok(());
            }
            self.take_load(&frame, load.partition).await?;
            self.advance(&until);
        }
        if self.cut.covers(&end) {
            return Ok(());
        }
        if let Some(rows) = frame.numbered_accepted(entry)? {
            let rows = self.ends.withdrawn.keep(&frame.header.dataset, rows)?;
            if rows.num_rows() > 0 {
                let rows = self.in_table_schema(&frame.header.dataset, rows).await?;
                let mut until = self.cut.clone();
                until.join(&end);
                self.ends.online.receive(&frame.header.dataset, &rows, &until).await?;
            }
        }
        self.advance(&end);
        Ok(())
    }

    /// Rows that were logged under an older contract lack the columns added since.
    async fn in_table_schema(&mut self, dataset: &str, rows: RecordBatch) -> Result<RecordBatch> {
        if self.schemas_changed.swap(false, Ordering::AcqRel) {
            self.ends.schemas.clear();
        }
        // What tables were asked for, or what the revision wants of them while they are away.
        let fits = |schema: &SchemaRef| {
            let has = |field: &Arc<Field>| {
                let known = schema.field_with_name(field.name());
                known.is_ok_and(|known| !contract::widens(known.data_type(), field.data_type()))
            };
            rows.schema().fields().iter().all(has)
        };
        if !self.ends.schemas.get(dataset).is_some_and(fits) {
            let snapshot = self.ends.tables.snapshot(&TableName::new(dataset)?, None).await?;
            self.ends.schemas.insert(dataset.to_owned(), snapshot.schema);
        }
        conform(&rows, &self.ends.schemas[dataset])
    }

    async fn take_load(&mut self, frame: &Frame, partition: seawall_base::Partition) -> Result<()> {
        let load = frame.header.load.as_ref().expect("the caller found a load");
        let table = TableName::new(frame.header.dataset.as_str())?;
        let mut until = self.cut.clone();
        let mut rows_so_far = 0;
        for file in &load.staged {
            for rows in self.ends.tables.read_staged(&self.ends.permit, &table, file).await? {
                rows_so_far += rows.num_rows() as u64;
                until.advance(partition, Offset(rows_so_far));
                self.ends.online.receive(&frame.header.dataset, &rows, &until).await?;
            }
        }
        Ok(())
    }

    fn advance(&mut self, end: &Cut) {
        self.cut.join(end);
    }
}

fn died(error: JoinError) -> Error {
    Error::internal("SW0832", "writing the online store down died").because(error)
}
