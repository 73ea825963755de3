//! The feature writer: reads the log and hands rows to the online store, which keeps their cut.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use seawall_base::error::Result;
use seawall_base::{Cut, Error, ErrorKind, Log, LogEntry, Offset, OnlineStore, Permit, TableName, TableStore};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::frame::Frame;
use crate::restore::Withdrawn;
use crate::table_writer::conform;

/// Entries read from the log at once.
const ENTRIES_PER_READ: usize = 256;

/// Talks to the writer's task.
#[derive(Clone)]
pub struct Handle {
    progress: watch::Receiver<u64>,
    /// Entries that were durable at the start: nobody is answered from a state that lags behind them.
    ready_at: u64,
    checkpointed: watch::Receiver<u64>,
    _alive: mpsc::Sender<()>,
}

impl Handle {
    /// Waits until every row of the first `entries` log entries was received by the online store.
    pub async fn wait_for(&self, entries: u64) -> Result<()> {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|done| *done >= entries).await;
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
                let message = format!(
                    "the features are being brought up to date after a start: {} of {} log entries",
                    self.entries(),
                    self.ready_at
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
        *self.progress.borrow()
    }

    /// Log entries whose rows the online store's checkpoint has.
    pub fn checkpointed_entries(&self) -> u64 {
        *self.checkpointed.borrow()
    }
}

/// What the writer works on.
pub struct FeatureWriter {
    log: Arc<dyn Log>,
    tables: Arc<dyn TableStore>,
    online: Arc<dyn OnlineStore>,
    permit: Permit,
    withdrawn: Arc<Withdrawn>,
    next_entry: u64,
    cut: Cut,
    /// Schemas of tables, by dataset.
    schemas: HashMap<String, SchemaRef>,
    progress: watch::Sender<u64>,
    checkpointed: watch::Sender<u64>,
    checkpoint_interval: Duration,
}

impl FeatureWriter {
    /// Starts the writer's task. It begins with entry `from`, before which the store has everything, and skips what the
    /// store has already.
    pub fn start(
        log: Arc<dyn Log>,
        tables: Arc<dyn TableStore>,
        online: Arc<dyn OnlineStore>,
        permit: Permit,
        withdrawn: Arc<Withdrawn>,
        checkpoint_interval: Duration,
        from: u64,
    ) -> (Handle, tokio::task::JoinHandle<Result<()>>) {
        let (alive, closed) = mpsc::channel(1);
        let (progress, watched) = watch::channel(from);
        let (checkpointed, checkpointed_entries) = watch::channel(from);
        let cut = online.store_cut();
        let ready_at = log.durable_end().0;
        let writer = FeatureWriter {
            log,
            tables,
            online,
            permit,
            withdrawn,
            next_entry: from,
            cut,
            schemas: HashMap::new(),
            progress,
            checkpointed,
            checkpoint_interval,
        };
        let task = tokio::spawn(crate::reporting("feature writer", writer.run(closed)));
        (Handle { progress: watched, ready_at, checkpointed: checkpointed_entries, _alive: alive }, task)
    }

    async fn run(mut self, mut closed: mpsc::Receiver<()>) -> Result<()> {
        let mut tick = tokio::time::interval(self.checkpoint_interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            tokio::select! {
                _ = closed.recv() => return self.checkpoint().await,
                _ = tick.tick() => {
                    // The state is in memory and the log; the next checkpoint tries again.
                    if let Err(error) = self.checkpoint().await {
                        warn!(%error, "cannot checkpoint the online store");
                    }
                }
                more = self.log.wait_beyond(self.next_entry) => {
                    more?;
                    let entries = self.log.read(self.next_entry, ENTRIES_PER_READ).await?;
                    for entry in entries {
                        self.take(&entry).await?;
                        self.next_entry += 1;
                    }
                    self.progress.send_replace(self.next_entry);
                }
            }
        }
    }

    /// Writes the store down, with how far it has come: entries without rows for it move its cut too.
    async fn checkpoint(&mut self) -> Result<()> {
        if !self.online.store_cut().covers(&self.cut) {
            let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
            self.online.receive("", &nothing, &self.cut).await?;
        }
        self.online.checkpoint().await?;
        self.checkpointed.send_replace(self.next_entry);
        Ok(())
    }

    async fn take(&mut self, entry: &LogEntry) -> Result<()> {
        let end = Cut::of(self.log.partition(), entry.end());
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
        self.advance(&end);
        if let Some(rows) = frame.numbered_accepted(entry)? {
            let rows = self.withdrawn.keep(&frame.header.dataset, rows)?;
            if rows.num_rows() == 0 {
                return Ok(());
            }
            let rows = self.in_table_schema(&frame.header.dataset, rows).await?;
            self.online.receive(&frame.header.dataset, &rows, &self.cut).await?;
        }
        Ok(())
    }

    /// Rows that were logged under an older contract lack the columns added since.
    async fn in_table_schema(&mut self, dataset: &str, rows: RecordBatch) -> Result<RecordBatch> {
        let fits = |schema: &SchemaRef| schema.fields().len() == rows.num_columns();
        if !self.schemas.get(dataset).is_some_and(fits) {
            let snapshot = self.tables.snapshot(&TableName::new(dataset)?, None).await?;
            self.schemas.insert(dataset.to_owned(), snapshot.schema);
        }
        conform(&rows, &self.schemas[dataset])
    }

    async fn take_load(&mut self, frame: &Frame, partition: seawall_base::Partition) -> Result<()> {
        let load = frame.header.load.as_ref().expect("the caller found a load");
        let table = TableName::new(frame.header.dataset.as_str())?;
        let mut until = self.cut.clone();
        let mut rows_so_far = 0;
        for file in &load.staged {
            for rows in self.tables.read_staged(&self.permit, &table, file).await? {
                rows_so_far += rows.num_rows() as u64;
                until.advance(partition, Offset(rows_so_far));
                self.online.receive(&frame.header.dataset, &rows, &until).await?;
            }
        }
        Ok(())
    }

    fn advance(&mut self, end: &Cut) {
        self.cut.join(end);
    }
}
