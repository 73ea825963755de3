//! The writer: one thread that owns the last segment and turns waiting appends into groups.
//!
//! Order of effects for a group: write the frames, sync, show the entries to readers, answer the callers. A failed
//! write or sync poisons the log: the state of the file is unknown, so nothing is retried and every later append is
//! refused until the log is opened again. The next segment is prepared by a helper thread while this one fills. A full
//! disk is no failed write: segments are filled with zeros before they hold anything, so that room is missing for the
//! next segment only. The writer waits for it, and whoever appends waits along.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use seawall_base::error::Result;
use seawall_base::sabotage::{self, Bug};
use seawall_base::{Appended, LogEntry, Offset, durable};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tracing::{error as error_event, warn};

use super::footer::Footer;
use super::frame::{self, Tip};
use super::index::Index;
use super::ownership::Epoch;
use super::recover::OpenSegment;
use super::{GROUP_BYTES_MAX, error, segment};

/// Between two looks at a disk that is full.
const ROOM_PAUSE: Duration = Duration::from_millis(200);

/// Syncs the data of a file: `durable::sync_data`, but for tests that make it fail.
pub(super) type Sync = Box<dyn FnMut(&File) -> io::Result<()> + Send>;

/// One append on its way to the writer.
pub(super) struct Job {
    pub rows: u32,
    pub payload: Bytes,
    pub answer: oneshot::Sender<Result<Appended>>,
    /// The job's share of the queue's bytes, given back with the answer.
    pub room: OwnedSemaphorePermit,
}

/// How far the log is durable, and whether it still takes entries.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub entries: u64,
    pub end: Offset,
    pub failure: Option<Arc<str>>,
}

/// What the writer shares with readers.
#[derive(Debug)]
pub(super) struct Shared {
    pub folder: PathBuf,
    pub index: RwLock<Index>,
    pub progress: watch::Sender<Progress>,
    pub epoch: Mutex<Epoch>,
    pub syncs: AtomicU64,
}

/// The writer's state.
pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub owner: Epoch,
    pub segment: OpenSegment,
    pub tip: Tip,
    pub marked: bool,
    pub segment_bytes: u64,
    pub sync: Sync,
    pub spare: Option<JoinHandle<io::Result<File>>>,
    /// Writes the footer of the segment before this one.
    pub sealing: Option<JoinHandle<()>>,
    pub buffer: Vec<u8>,
}

/// A frame in the buffer, waiting for its sync.
struct Written {
    job: Job,
    position: u64,
    appended: Appended,
}

impl Writer {
    /// Serves the queue until it is closed and empty.
    pub fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let shared = self.shared.clone();
        let _stopped = OnExit(shared.clone());
        while let Some(group) = self.next_group(&mut queue) {
            if let Err((cause, refused)) = self.commit(group, &queue) {
                return refuse(&shared, &cause, refused, &mut queue);
            }
        }
        if let Err(cause) = self.write_mark().and_then(|()| self.sync()) {
            warn!(folder = %shared.folder.display(), %cause, "end mark not written");
        }
    }

    /// The waiting appends, or the next one; marks the end while nothing waits. None when the queue is closed.
    fn next_group(&mut self, queue: &mut mpsc::Receiver<Job>) -> Option<VecDeque<Job>> {
        let first = match queue.try_recv() {
            Ok(job) => job,
            Err(mpsc::error::TryRecvError::Disconnected) => return None,
            Err(mpsc::error::TryRecvError::Empty) => {
                if let Err(cause) = self.write_mark() {
                    refuse(&self.shared, &cause.to_string(), VecDeque::new(), queue);
                    return None;
                }
                queue.blocking_recv()?
            }
        };
        let mut bytes = first.payload.len();
        let mut group = VecDeque::from([first]);
        while bytes < GROUP_BYTES_MAX {
            let Ok(job) = queue.try_recv() else { break };
            bytes += job.payload.len();
            group.push_back(job);
        }
        Some(group)
    }

    /// Makes a group durable and answers it; on failure gives back the cause and the jobs not answered.
    fn commit(
        &mut self,
        mut waiting: VecDeque<Job>,
        queue: &mpsc::Receiver<Job>,
    ) -> std::result::Result<(), (String, VecDeque<Job>)> {
        while let Some(next) = waiting.front() {
            let next_bytes = next.payload.len();
            let written = self.encode(&mut waiting);
            if written.is_empty() {
                if let Err(cause) = self.roll(next_bytes, queue) {
                    return Err((format!("adding a segment: {cause}"), waiting));
                }
                continue;
            }
            if let Err(cause) = self.write_buffer() {
                let refused = written.into_iter().map(|written| written.job).chain(waiting).collect();
                return Err((format!("writing entries: {cause}"), refused));
            }
            self.publish(written);
        }
        Ok(())
    }

    /// Moves the jobs that fit into this segment into the buffer, as one group.
    fn encode(&mut self, waiting: &mut VecDeque<Job>) -> Vec<Written> {
        self.buffer.clear();
        let mut written: Vec<Written> = Vec::with_capacity(waiting.len());
        while let Some(job) = waiting.front() {
            let position = self.segment.at + self.buffer.len() as u64;
            if !segment::fits(self.segment.length, position, frame::frame_bytes(job.payload.len())) {
                break;
            }
            let Some(job) = waiting.pop_front() else { break };
            let tip = self.tip;
            let back = u32::try_from(written.len()).expect("a group has at most as many entries as the queue");
            let (id, epoch) = (self.owner.id, self.owner.epoch);
            self.tip = frame::put_entry(&mut self.buffer, id, epoch, &tip, back, job.rows, &job.payload);
            let appended = Appended { entry: tip.entry, first: Offset(tip.first), end: Offset(self.tip.first) };
            written.push(Written { job, position, appended });
        }
        written
    }

    /// Writes the buffer over the end mark, and syncs.
    fn write_buffer(&mut self) -> io::Result<()> {
        self.marked = false;
        self.segment.file.write_all_at(&self.buffer, self.segment.at)?;
        self.sync()?;
        self.segment.at += self.buffer.len() as u64;
        self.buffer.shrink_to(2 * GROUP_BYTES_MAX);
        self.prepare_spare();
        Ok(())
    }

    /// Shows durable entries to readers, then answers their appends.
    fn publish(&mut self, written: Vec<Written>) {
        let mut answers = Vec::with_capacity(written.len());
        {
            let mut index = self.shared.index.write();
            for Written { job: Job { rows, payload, answer, room }, position, appended } in written {
                index.push(position, Arc::new(LogEntry { first: appended.first, rows, payload }));
                answers.push((answer, appended, room));
            }
        }
        self.shared.progress.send_modify(|progress| {
            progress.entries = self.tip.entry;
            progress.end = Offset(self.tip.first);
        });
        for (answer, appended, _room) in answers {
            // A caller that no longer waits has its entry in the log all the same.
            let _ = answer.send(Ok(appended));
        }
    }

    /// Writes the end mark behind the last frame and its copy, without a sync of their own: they prove that the last
    /// sync succeeded.
    fn write_mark(&mut self) -> io::Result<()> {
        if !self.marked {
            let mark = frame::mark(self.owner.id, self.owner.epoch, &self.tip);
            self.segment.file.write_all_at(&mark, self.segment.at)?;
            if let Some(copy) = segment::mark_copy_at(self.segment.length, self.segment.at) {
                self.segment.file.write_all_at(&mark, copy)?;
            }
            self.marked = true;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        if sabotage::on(Bug::AckBeforeFsync) {
            return Ok(());
        }
        let synced = (self.sync)(&self.segment.file);
        if sabotage::on(Bug::SwallowPoison) { Ok(()) } else { synced }
    }

    /// Continues in a new segment that has room for a payload of `payload` bytes.
    fn roll(&mut self, payload: usize, queue: &mpsc::Receiver<Job>) -> io::Result<()> {
        let number = self.segment.number + 1;
        let length = segment::length_for(self.segment_bytes, payload);
        let shared = self.shared.clone();
        let folder = &shared.folder;
        let prepared = self.spare.take().map(|thread| thread.join());
        let file = match prepared {
            Some(Ok(Ok(file))) if length == self.segment_bytes => file,
            // No spare, or of the wrong length, or it failed: begun anew, it holds nothing yet that could be lost.
            _ => when_room(folder, queue, || create_spare(&segment::spare_path(folder), length))?,
        };
        let header =
            segment::Header { partition: self.owner.partition, id: self.owner.id, number, length, start: self.tip };
        segment::install(&file, folder, &header)?;
        // Locked anew each time, because giving segments up makes room and needs the epoch, too.
        when_room(folder, queue, || {
            let mut epoch = shared.epoch.lock();
            epoch.last_segment = number;
            epoch.write(folder)
        })?;
        self.seal();
        self.shared.index.write().begin_segment(number, length, self.tip);
        self.segment = OpenSegment { file, number, length, at: segment::HEADER_BYTES as u64 };
        self.marked = false;
        Ok(())
    }

    /// Has the footer of this segment, which takes no more frames, written beside it.
    fn seal(&mut self) {
        if let Some(before) = self.sealing.take() {
            // It has said what failed.
            let _ = before.join();
        }
        let Some((start, positions)) = self.shared.index.read().newest() else { return };
        let footer = Footer {
            partition: self.owner.partition,
            id: self.owner.id,
            number: self.segment.number,
            start,
            end: self.tip,
            at: self.segment.at,
            epoch: self.owner.epoch,
            positions,
        };
        let folder = self.shared.folder.clone();
        let thread = std::thread::Builder::new().name("log-footer".to_owned());
        // Without a thread there is no footer, and the next opening reads the segment.
        self.sealing = thread.spawn(move || footer.write_or_warn(&folder)).ok();
    }

    /// Begins to prepare the next segment once this one is half full.
    fn prepare_spare(&mut self) {
        if self.spare.is_some() || self.segment.at < self.segment.length / 2 {
            return;
        }
        let (path, bytes) = (segment::spare_path(&self.shared.folder), self.segment_bytes);
        let thread = std::thread::Builder::new().name("log-spare".to_owned());
        // Without a thread the segment is created when it is needed.
        self.spare = thread.spawn(move || create_spare(&path, bytes)).ok();
    }
}

impl Drop for Writer {
    /// Waits for the helpers: they must not touch the folder once it may have another owner.
    fn drop(&mut self) {
        if let Some(sealing) = self.sealing.take() {
            let _ = sealing.join();
        }
        if let Some(spare) = self.spare.take() {
            // What it made, or failed to make, is of no use any more.
            let _ = spare.join();
        }
    }
}

/// A file of zeros for a segment; when it does not come to that, the room that a part of it took is given back.
fn create_spare(path: &Path, bytes: u64) -> io::Result<File> {
    durable::create_zeroed(path, bytes).inspect_err(|_| {
        // What failed first is what the caller must hear of.
        let _ = std::fs::remove_file(path);
    })
}

/// Does what may be done again, until the disk has room for it. Gives up once nobody can append any more.
pub(super) fn when_room<T>(
    folder: &Path,
    queue: &mpsc::Receiver<Job>,
    mut act: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut waits = false;
    loop {
        match act() {
            Err(cause) if is_full(&cause) && !queue.is_closed() => {
                if !waits {
                    error_event!(folder = %folder.display(), %cause, "no room for the log, appends wait for it");
                    waits = true;
                }
                std::thread::sleep(ROOM_PAUSE);
            }
            done => {
                if waits && done.is_ok() {
                    warn!(folder = %folder.display(), "there is room for the log again");
                }
                return done;
            }
        }
    }
}

fn is_full(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Poisons the log, then refuses everything that waits until the queue is closed.
fn refuse(shared: &Shared, cause: &str, waiting: VecDeque<Job>, queue: &mut mpsc::Receiver<Job>) {
    error_event!(folder = %shared.folder.display(), cause, "log poisoned, appends are refused until it is reopened");
    shared.progress.send_modify(|progress| progress.failure = Some(Arc::from(cause)));
    for job in waiting {
        let _ = job.answer.send(Err(error::poisoned(&shared.folder, cause)));
    }
    while let Some(job) = queue.blocking_recv() {
        let _ = job.answer.send(Err(error::poisoned(&shared.folder, cause)));
    }
}

/// Tells waiters that no writer is left, however the thread ended.
struct OnExit(Arc<Shared>);

impl Drop for OnExit {
    fn drop(&mut self) {
        self.0.progress.send_modify(|progress| {
            progress.failure.get_or_insert_with(|| Arc::from("the writer has stopped"));
        });
    }
}
