//! The way of a feature service's answers into the log: a bounded queue and the task that empties it.
//!
//! An answer does not wait for its record. What is recorded is decided by a hash of the request's row, so that the same
//! row is recorded each time or never; a queue that is full sheds, and counts what it sheds. Whatever waits when the task
//! looks goes into the log together, one frame per service, and becomes durable with one sync.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use parking_lot::Mutex;
use seawall_base::error::Result;
use seawall_base::{Clock, Error, Instant, Log, MonotonicClock, Permit, Span, VersionedName};
use seawall_kernel::contract::content_hashes;
use seawall_storage::keys::KeyRing;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::gate::Order;
use crate::service::ServedService;
use crate::serving::{Answer, Record};

#[cfg(test)]
mod tests;

/// Answers that wait for their record.
const ANSWERS_WAITING_MAX: usize = 8_192;
/// Bytes of the vectors that wait, and so of a frame of them.
const BYTES_WAITING_MAX: u64 = 64 << 20;
/// Answers that are taken out of the queue at once.
const ANSWERS_AT_ONCE_MAX: usize = 1_024;

/// Upper bounds of the histogram of answer times, in microseconds.
pub const ANSWER_TIMES_US: [i64; 12] =
    [250, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

/// What a service answered since the start.
#[derive(Debug, Default)]
pub struct ServiceCounters {
    answers: AtomicU64,
    over_budget: AtomicU64,
    /// Answers by the first bound that they keep; the last place has those that keep none.
    times: [AtomicU64; ANSWER_TIMES_US.len() + 1],
    time_us: AtomicU64,
    recorded: AtomicU64,
    left_out: AtomicU64,
    shed: AtomicU64,
    failed: AtomicU64,
}

/// The same as plain numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ServiceCounts {
    /// Answers.
    pub answers: u64,
    /// Those that took longer than the budget.
    pub over_budget: u64,
    /// Answers per bound of [`ANSWER_TIMES_US`], and those beyond the last one; not cumulative.
    pub times: Vec<u64>,
    /// Microseconds of all answers together.
    pub time_us: u64,
    /// Vectors that were handed to the log.
    pub recorded: u64,
    /// Vectors that are not recorded, because the share leaves them out.
    pub left_out: u64,
    /// Vectors that should have been recorded, and were not because the queue was full.
    pub shed: u64,
    /// Vectors that should have been recorded, and were not because the log did not take them.
    pub failed: u64,
}

impl ServiceCounters {
    fn answered(&self, took: Span, budget: Option<Span>) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        if budget.is_some_and(|budget| took > budget) {
            self.over_budget.fetch_add(1, Ordering::Relaxed);
        }
        let place = ANSWER_TIMES_US.partition_point(|bound| *bound < took.0);
        self.times[place].fetch_add(1, Ordering::Relaxed);
        self.time_us.fetch_add(took.0.unsigned_abs(), Ordering::Relaxed);
    }

    fn counts(&self) -> ServiceCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServiceCounts {
            answers: read(&self.answers),
            over_budget: read(&self.over_budget),
            times: self.times.iter().map(read).collect(),
            time_us: read(&self.time_us),
            recorded: read(&self.recorded),
            left_out: read(&self.left_out),
            shed: read(&self.shed),
            failed: read(&self.failed),
        }
    }
}

/// What the task needs.
pub(crate) struct Ends {
    pub log: Arc<dyn Log>,
    pub keys: KeyRing,
    pub order: Arc<tokio::sync::Mutex<Order>>,
    pub permit: Permit,
}

/// The queue, with what is counted of services.
pub(crate) struct VectorLog {
    waiting: mpsc::Sender<Message>,
    bytes: Arc<AtomicU64>,
    counters: Mutex<BTreeMap<VersionedName, Arc<ServiceCounters>>>,
    clock: MonotonicClock,
}

enum Message {
    Vectors(Vectors),
    /// Answered when everything before it is durable.
    Flush(oneshot::Sender<()>),
}

struct Vectors {
    service: Arc<ServedService>,
    rows: RecordBatch,
    known_at: Instant,
    counters: Arc<ServiceCounters>,
}

impl Vectors {
    fn bytes(&self) -> u64 {
        self.rows.get_array_memory_size() as u64
    }
}

impl VectorLog {
    /// Starts the task; it ends when the queue is dropped, after everything in it is recorded.
    pub fn start(ends: Ends) -> (VectorLog, JoinHandle<Result<()>>) {
        let (waiting, queue) = mpsc::channel(ANSWERS_WAITING_MAX);
        let bytes = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(crate::reporting("vector log", run(ends, queue, bytes.clone())));
        let (counters, clock) = (Mutex::default(), MonotonicClock);
        (VectorLog { waiting, bytes, counters, clock }, task)
    }

    /// Takes what is to be recorded of an answer.
    pub fn offer(&self, service: &Arc<ServedService>, answer: &Answer) -> Result<()> {
        let counters = self.counters_of(&service.service.id());
        let rows = match sampled(service, &answer.rows)? {
            Some(rows) => rows,
            None => answer.rows.clone(),
        };
        let count = rows.num_rows() as u64;
        counters.left_out.fetch_add(answer.rows.num_rows() as u64 - count, Ordering::Relaxed);
        let Some(known_at) = answer.known_at.iter().max().copied().filter(|_| count > 0) else { return Ok(()) };
        let vectors = Vectors { service: service.clone(), rows, known_at, counters };
        let bytes = vectors.bytes();
        let (before, counters) = (self.bytes.fetch_add(bytes, Ordering::Relaxed), vectors.counters.clone());
        // One answer is taken whatever its size; more only as long as they fit.
        let fits = before == 0 || before + bytes <= BYTES_WAITING_MAX;
        if !fits || self.waiting.try_send(Message::Vectors(vectors)).is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            counters.shed.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Waits until everything that was offered is durable.
    pub async fn flush(&self) -> Result<()> {
        let ended = || Error::internal("SW0832", "the task that records vectors has ended");
        let (done, told) = oneshot::channel();
        self.waiting.send(Message::Flush(done)).await.map_err(|_| ended())?;
        told.await.map_err(|_| ended())
    }

    /// Time on a clock that never jumps: what [`VectorLog::answered`] counts from.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Counts an answer that was begun at `began`.
    pub fn answered(&self, service: &ServedService, began: Instant) {
        let took = self.clock.now() - began;
        self.counters_of(&service.service.id()).answered(took, service.service.budget);
    }

    /// What was counted of every service that was asked for.
    pub fn counts(&self) -> BTreeMap<VersionedName, ServiceCounts> {
        self.counters.lock().iter().map(|(id, counters)| (id.clone(), counters.counts())).collect()
    }

    fn counters_of(&self, service: &VersionedName) -> Arc<ServiceCounters> {
        let mut all = self.counters.lock();
        match all.get(service) {
            Some(counters) => counters.clone(),
            None => all.entry(service.clone()).or_default().clone(),
        }
    }
}

/// The rows that the service's share takes; none when it takes all of them. The hash is of what the request told, so that
/// a repeat is decided on alike, whatever the features have become.
fn sampled(service: &ServedService, rows: &RecordBatch) -> Result<Option<RecordBatch>> {
    let share = service.service.log;
    if share == seawall_base::declare::LogShare::ALL {
        return Ok(None);
    }
    if share.is_none() {
        return Ok(Some(rows.slice(0, 0)));
    }
    let told = rows.project(&(0..service.set.kept.len()).collect::<Vec<_>>())?;
    let taken: BooleanArray = content_hashes(&told).into_iter().map(|hash| Some(share.takes(hash))).collect();
    Ok(Some(filter_record_batch(rows, &taken)?))
}

async fn run(ends: Ends, mut queue: mpsc::Receiver<Message>, bytes: Arc<AtomicU64>) -> Result<()> {
    let mut messages = Vec::new();
    while queue.recv_many(&mut messages, ANSWERS_AT_ONCE_MAX).await > 0 {
        let (mut vectors, mut flushes) = (Vec::new(), Vec::new());
        for message in messages.drain(..) {
            match message {
                Message::Vectors(one) => vectors.push(one),
                Message::Flush(done) => flushes.push(done),
            }
        }
        let waited: u64 = vectors.iter().map(Vectors::bytes).sum();
        record(&ends, vectors).await;
        bytes.fetch_sub(waited, Ordering::Relaxed);
        for done in flushes {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
    }
    Ok(())
}

/// Hands vectors to the log, one frame per service, and waits once for all of them. What the log does not take is counted
/// and told: an answer was given, and nothing that can be asked of it later is there.
async fn record(ends: &Ends, mut vectors: Vec<Vectors>) {
    // Stable, so that the vectors of a service stay in the order of their answers.
    vectors.sort_by_key(|one| one.service.service.id());
    let mut pending = Vec::new();
    for group in vectors.chunk_by(|a, b| Arc::ptr_eq(&a.service, &b.service)) {
        let count: u64 = group.iter().map(|one| one.rows.num_rows() as u64).sum();
        let (counters, service) = (group[0].counters.clone(), group[0].service.service.id());
        match append(ends, group).await {
            Ok(append) => pending.push((append, counters, count, service)),
            Err(error) => failed(&counters, count, &service, &error),
        }
    }
    for (append, counters, count, service) in pending {
        match append.durable().await {
            Ok(_) => {
                counters.recorded.fetch_add(count, Ordering::Relaxed);
            }
            Err(error) => failed(&counters, count, &service, &error),
        }
    }
}

async fn append(ends: &Ends, group: &[Vectors]) -> Result<crate::gate::PendingAppend> {
    let set = &group[0].service.set;
    let batches: Vec<&RecordBatch> = group.iter().map(|one| &one.rows).collect();
    let rows = concat_batches(&set.served_schema, batches)?;
    let known_at = group.iter().map(|one| one.known_at).max().unwrap_or(Instant::MIN);
    let record = Record { set, rows: &rows, known_at, position: None };
    record.append(&ends.permit, &ends.log, &ends.keys, &ends.order).await
}

fn failed(counters: &ServiceCounters, count: u64, service: &VersionedName, error: &Error) {
    counters.failed.fetch_add(count, Ordering::Relaxed);
    warn!(%service, vectors = count, %error, "served vectors could not be recorded");
}
