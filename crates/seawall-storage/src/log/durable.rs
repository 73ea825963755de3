//! The durable log: a folder of segments with one writer thread.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use seawall_base::error::Result;
use seawall_base::sabotage::{self, Bug};
use seawall_base::{Appended, Error, Extent, Log, LogEntry, Offset, Partition, durable};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::frame::{LogId, Tip};
use super::index::Index;
use super::ownership::{self, Epoch};
use super::read::read_from_disk;
use super::recover::{self, Recovered};
use super::writer::{Job, Progress, Shared, Sync, Writer};
use super::{PAYLOAD_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_ENTRIES_MAX, error, footer, segment};
use crate::folder_lock;

/// Bytes of one permit of the queue's room.
const ROOM_UNIT_BYTES: usize = 1 << 10;
const ROOM_UNITS: usize = QUEUE_BYTES_MAX / ROOM_UNIT_BYTES;
const SEGMENT_BYTES_MIN: u64 = 4 << 10;
const SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// Settings of a log. They may differ from opening to opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Length of a segment, preallocated: 4 KiB to 4 GiB, 64 MiB unless told. A larger entry gets a segment of its own
    /// size.
    pub segment_bytes: u64,
    /// How many of the most recent entries are kept in memory for readers.
    pub recent_entries_max: usize,
    /// How many payload bytes of the most recent entries are kept in memory for readers.
    pub recent_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment_bytes: 64 << 20, recent_entries_max: 16_384, recent_bytes_max: 64 << 20 }
    }
}

/// Counts of a log since it was opened, but for `entries` and `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// The writer's epoch: how often the log was opened.
    pub epoch: u64,
    /// The oldest entry that can be read.
    pub first_entry: u64,
    /// Durable entries since the log began.
    pub entries: u64,
    /// Offset after the last durable row.
    pub end: Offset,
    /// Segments in the folder.
    pub segments: usize,
    /// Data syncs since the log was opened; fewer than appends when appends share them.
    pub syncs: u64,
}

/// A durable log of one partition in a folder of its own.
///
/// Dropping it answers what still waits, marks the end, and waits for the writer thread; the folder can then be opened
/// again. An `append` whose future is dropped before it answers may or may not be in the log.
#[derive(Debug)]
pub struct DurableLog {
    partition: Partition,
    epoch: u64,
    id: LogId,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    /// Held from an append's first poll until it is in the queue: the order of first polls is the order of the log.
    turn: tokio::sync::Mutex<()>,
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    /// Held until the writer has ended: fields are dropped after `Drop::drop` has run.
    _lock: File,
}

impl DurableLog {
    /// Opens the log of `partition` in `folder`, creating it when it is missing, and recovers it after whatever
    /// happened to the process before.
    ///
    /// Fails with `SW0400` when another process has it open, `SW0403` or `SW0404` when something that was acknowledged
    /// may be damaged or missing (nothing is changed then), `SW0405` when the folder is another partition's, `SW0401`
    /// when the disk refuses.
    pub fn open(folder: &Path, partition: Partition, options: Options) -> Result<DurableLog> {
        Self::open_with(folder, partition, options, Box::new(durable::sync_data))
    }

    /// `open` with another way to sync data, for tests of failing disks.
    pub(super) fn open_with(folder: &Path, partition: Partition, options: Options, sync: Sync) -> Result<DurableLog> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&options.segment_bytes) {
            let what = format!("segment_bytes is {}, outside 4 KiB to 4 GiB", options.segment_bytes);
            return Err(error::bad_options(what));
        }
        let lock = folder_lock::lock(folder)?;
        let epoch = open_epoch(folder, partition, &options)?;
        let index = Index::new(epoch.first_entry, options.recent_entries_max, options.recent_bytes_max);
        let numbers = recover::list(folder)?;
        let recovered = recover::recover(folder, &epoch, &numbers, index)?;
        let owner = take_ownership(folder, epoch, &recovered)?;
        for footer in &recovered.footers {
            footer.write_or_warn(folder);
        }
        start(folder, owner, recovered, options, sync, lock)
    }

    /// The writer's epoch: how often the log was opened.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Counts.
    pub fn stats(&self) -> Stats {
        let (entries, end) = self.durable_end();
        let index = self.shared.index.read();
        Stats {
            epoch: self.epoch,
            first_entry: index.first_entry(),
            entries,
            end,
            segments: index.segments(),
            syncs: self.shared.syncs.load(Ordering::Relaxed),
        }
    }

    /// How many appends wait for the writer.
    #[cfg(test)]
    pub(super) fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    fn check_taking(&self) -> Result<()> {
        match &self.shared.progress.borrow().failure {
            None => Ok(()),
            Some(reason) => Err(error::poisoned(&self.shared.folder, reason)),
        }
    }

    /// The failure, when the writer has said why it is gone.
    fn gone(&self) -> Error {
        self.check_taking().err().unwrap_or_else(|| error::closed(&self.shared.folder))
    }
}

#[async_trait]
impl Log for DurableLog {
    fn partition(&self) -> Partition {
        self.partition
    }

    async fn append(&self, rows: u32, payload: Bytes) -> Result<Appended> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(error::too_large(payload.len()));
        }
        self.check_taking()?;
        let units = payload.len().div_ceil(ROOM_UNIT_BYTES).clamp(1, ROOM_UNITS);
        let units = u32::try_from(units).expect("ROOM_UNITS is a small number");
        // Whoever asked first is numbered first, also while everybody waits for room.
        let turn = self.turn.lock().await;
        let room = self.room.clone().acquire_many_owned(units).await.map_err(|_| self.gone())?;
        let queue = self.queue.as_ref().ok_or_else(|| self.gone())?;
        if sabotage::on(Bug::DropOnFull) && queue.capacity() < queue.max_capacity() {
            let (entry, end) = self.durable_end();
            return Ok(Appended { entry, first: end, end });
        }
        let (answer, answered) = oneshot::channel();
        queue.send(Job { rows, payload, answer, room }).await.map_err(|_| self.gone())?;
        drop(turn);
        answered.await.map_err(|_| self.gone())?
    }

    fn durable_end(&self) -> (u64, Offset) {
        let progress = self.shared.progress.borrow();
        (progress.entries, progress.end)
    }

    fn extent(&self) -> Extent {
        let (entries, end) = self.durable_end();
        let index = self.shared.index.read();
        Extent {
            log: self.id.0,
            first_entry: index.first_entry(),
            first: index.first_offset(),
            entries,
            end,
            bytes: index.bytes(),
        }
    }

    async fn retire(&self, before: u64) -> Result<()> {
        let shared = self.shared.clone();
        let removing = tokio::task::spawn_blocking(move || retire(&shared, before));
        removing.await.map_err(|e| error::closed(&self.shared.folder).because(e))?
    }

    async fn read(&self, from: u64, entries_max: usize) -> Result<Vec<Arc<LogEntry>>> {
        let (end, _) = self.durable_end();
        if from >= end || entries_max == 0 {
            return Ok(Vec::new());
        }
        if let Some(entries) = self.shared.index.read().recent(from, entries_max) {
            return Ok(entries);
        }
        let (shared, id) = (self.shared.clone(), self.id);
        let reading = tokio::task::spawn_blocking(move || read_from_disk(&shared, id, from, entries_max));
        reading.await.map_err(|e| error::closed(&self.shared.folder).because(e))?
    }

    async fn wait_beyond(&self, entries: u64) -> Result<()> {
        let mut progress = self.shared.progress.subscribe();
        let reached = progress.wait_for(|now| now.entries > entries || now.failure.is_some()).await;
        match reached {
            Ok(now) if now.entries > entries => Ok(()),
            _ => Err(self.gone()),
        }
    }
}

impl Drop for DurableLog {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has told its callers; there is nothing left to wait for.
            let _ = writer.join();
        }
    }
}

/// Reads the folder's epoch file; makes a log with its first segment when there is none.
fn open_epoch(folder: &Path, partition: Partition, options: &Options) -> Result<Epoch> {
    let path = ownership::epoch_path(folder);
    let failed = |e| error::io("create the log in", folder, e);
    let spare = segment::spare_path(folder);
    durable::remove_file(&spare).map_err(|e| error::io("remove", &spare, e))?;
    let numbers = recover::list(folder)?;
    let epoch = match Epoch::read(folder)? {
        Some(epoch) if epoch.partition != partition => {
            return Err(error::other_partition(&path, epoch.partition, partition));
        }
        Some(epoch) => epoch,
        None if !numbers.is_empty() => return Err(error::missing(&path, "segments exist")),
        None => {
            let epoch = Epoch::first(partition);
            epoch.write(folder).map_err(failed)?;
            epoch
        }
    };
    if epoch.epoch == 0 && numbers.is_empty() {
        let length = segment::length_for(options.segment_bytes, 0);
        let header = segment::Header { partition, id: epoch.id, number: 0, length, start: Tip::START };
        let file = durable::create_zeroed(&spare, length).map_err(failed)?;
        segment::install(&file, folder, &header).map_err(failed)?;
    }
    // Segments from before the first were retired, and their removal was interrupted.
    let mut retired = recover::list_footers(folder)?;
    retired.extend(numbers);
    retired.retain(|number| *number < epoch.first_segment);
    remove_segments(folder, &retired)?;
    Ok(epoch)
}

/// Numbers this opening, so that every frame says under which one it was written.
fn take_ownership(folder: &Path, mut epoch: Epoch, recovered: &Recovered) -> Result<Epoch> {
    epoch.epoch += u64::from(!sabotage::on(Bug::ReuseEpoch));
    epoch.last_segment = recovered.last.number;
    epoch.write(folder).map_err(|e| error::io("write", &ownership::epoch_path(folder), e))?;
    Ok(epoch)
}

/// Starts the writer thread on a recovered log.
fn start(
    folder: &Path,
    owner: Epoch,
    recovered: Recovered,
    options: Options,
    sync: Sync,
    lock: File,
) -> Result<DurableLog> {
    let Recovered { index, tip, last, .. } = recovered;
    let progress = Progress { entries: tip.entry, end: Offset(tip.first), failure: None };
    let shared = Arc::new(Shared {
        folder: folder.to_owned(),
        index: RwLock::new(index),
        progress: watch::Sender::new(progress),
        epoch: Mutex::new(owner),
        syncs: AtomicU64::new(0),
    });
    let writer = Writer {
        shared: shared.clone(),
        owner,
        segment: last,
        tip,
        marked: false,
        segment_bytes: segment::length_for(options.segment_bytes, 0),
        sync,
        spare: None,
        sealing: None,
        buffer: Vec::new(),
    };
    let (queue, jobs) = mpsc::channel(QUEUE_ENTRIES_MAX);
    let thread = std::thread::Builder::new().name(format!("log-{}", owner.partition.0));
    let writer = thread.spawn(move || writer.run(jobs)).map_err(|e| error::io("start the writer of", folder, e))?;
    Ok(DurableLog {
        partition: owner.partition,
        epoch: owner.epoch,
        id: owner.id,
        shared,
        room: Arc::new(Semaphore::new(ROOM_UNITS)),
        turn: tokio::sync::Mutex::new(()),
        queue: Some(queue),
        writer: Some(writer),
        _lock: lock,
    })
}

/// Removes the segments that hold only entries before `entry`, but never the newest. The epoch file says first that they
/// are no part of the log any more; a crash in between leaves files that the next opening removes.
fn retire(shared: &Shared, entry: u64) -> Result<()> {
    let folder = &shared.folder;
    let numbers = {
        let mut epoch = shared.epoch.lock();
        let (numbers, first_kept) = shared.index.read().retirable(entry);
        let Some((number, first_entry)) = first_kept.filter(|_| !numbers.is_empty()) else { return Ok(()) };
        (epoch.first_segment, epoch.first_entry) = (number, first_entry);
        epoch.write(folder).map_err(|e| error::io("write", &ownership::epoch_path(folder), e))?;
        shared.index.write().retire_before(number);
        numbers
    };
    remove_segments(folder, &numbers)
}

fn remove_segments(folder: &Path, numbers: &[u64]) -> Result<()> {
    for number in numbers {
        for path in [segment::path(folder, *number), footer::path(folder, *number)] {
            durable::remove_file(&path).map_err(|e| error::io("remove", &path, e))?;
        }
    }
    Ok(())
}
