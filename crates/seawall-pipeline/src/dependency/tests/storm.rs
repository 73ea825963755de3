//! Metastability: an overload that ends must be over. A store serves so many calls a second; producers come with several
//! times as many and retry. When the storm is over, the ordinary load must be answered as before, by itself.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Instant, Span};

use super::{driven, settle};
use crate::dependency::breaker::State;
use crate::dependency::{Dependency, DrivenTimer, Idempotent, Operation, Timer};

const CALL: Operation = Operation { name: "call", deadline: Span(2 * Span::SECOND.0), slow_after: Span::SECOND };
/// A step of the simulation.
const STEP: Span = Span(20_000);
/// Calls that the store answers in a step: 100 a second.
const CAPACITY: usize = 2;

/// A store with one queue and no limit: it works on calls whose callers gave up long ago, as real ones do.
#[derive(Default)]
struct Store {
    queue: Mutex<VecDeque<tokio::sync::oneshot::Sender<()>>>,
}

impl Store {
    async fn call(&self) -> Result<()> {
        let (done, answer) = tokio::sync::oneshot::channel();
        self.queue.lock().push_back(done);
        answer.await.map_err(|_| Error::new(ErrorKind::Unavailable, "SW0512", "the store is gone"))
    }

    fn work(&self) {
        let mut queue = self.queue.lock();
        let served = CAPACITY.min(queue.len());
        for done in queue.drain(..served) {
            let _ = done.send(());
        }
    }
}

#[derive(Default)]
struct Seen {
    asked: u64,
    answered: u64,
    store_calls: u64,
    queue_max: usize,
}

/// How callers call.
#[derive(Clone)]
enum Caller {
    /// Through a dependency.
    Bounded(Arc<Dependency>),
    /// With a deadline per attempt and three attempts, as is often thought to be enough.
    Naive(Arc<DrivenTimer>),
}

impl Caller {
    async fn call<W: Future<Output = Result<()>>>(&self, mut call: impl FnMut() -> W) -> bool {
        match self {
            Caller::Bounded(dependency) => dependency.repeat(CALL, Idempotent::because("it reads", call)).await.is_ok(),
            Caller::Naive(timer) => {
                for _ in 0..3 {
                    tokio::select! {
                        biased;
                        outcome = call() => if outcome.is_ok() { return true },
                        () = timer.wait_until(timer.now() + CALL.deadline) => {}
                    }
                }
                false
            }
        }
    }
}

/// Comes with `load` callers per step for some time.
async fn period(timer: &DrivenTimer, store: &Arc<Store>, caller: &Caller, load: usize, span: Span) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let end = timer.now() + span;
    while timer.now() < end {
        for _ in 0..load {
            let (store, caller, counted) = (store.clone(), caller.clone(), seen.clone());
            tokio::spawn(async move {
                counted.lock().asked += 1;
                let call = || {
                    counted.lock().store_calls += 1;
                    store.call()
                };
                if caller.call(call).await {
                    counted.lock().answered += 1;
                }
            });
        }
        settle().await;
        store.work();
        let waiting = store.queue.lock().len();
        {
            let mut seen = seen.lock();
            seen.queue_max = seen.queue_max.max(waiting);
        }
        timer.advance_to(timer.now() + STEP);
        settle().await;
    }
    std::mem::take(&mut *seen.lock())
}

#[tokio::test]
async fn after_a_storm_of_five_times_the_load_everything_is_as_before() {
    let (timer, dependencies) = driven(11);
    let (store, reads) = (Arc::new(Store::default()), dependencies.table_reads.clone());
    let caller = Caller::Bounded(reads.clone());
    let minute = Span(60 * Span::SECOND.0);

    let before = period(&timer, &store, &caller, 1, minute).await;
    assert!(before.answered * 100 >= before.asked * 99, "{} of {}", before.answered, before.asked);

    let storm = period(&timer, &store, &caller, 5 * CAPACITY, minute).await;
    let amplified = storm.store_calls as f64 / storm.asked as f64;
    assert!(amplified <= 1.1, "the storm was amplified {amplified} times");
    assert!(storm.queue_max <= 2 * reads.health().calls_inflight_max, "{} calls queue up", storm.queue_max);
    assert!(storm.answered > 0, "shedding keeps answering some");

    // The promise is thirty seconds.
    let _settling = period(&timer, &store, &caller, 1, Span(30 * Span::SECOND.0)).await;
    let after = period(&timer, &store, &caller, 1, minute).await;
    assert!(after.answered * 100 >= after.asked * 99, "{} of {}", after.answered, after.asked);
    assert_eq!(store.queue.lock().len(), 0, "the backlog drains");
    assert_eq!(reads.health().state, State::Closed);
}

#[tokio::test]
async fn an_outage_of_ten_minutes_is_over_within_fifteen_seconds() {
    let (timer, dependencies) = driven(12);
    let (store, reads) = (Arc::new(Store::default()), dependencies.table_reads.clone());
    let caller = Caller::Bounded(reads.clone());
    let fault = crate::dependency::fault::Plan {
        operation: None,
        fault: crate::dependency::fault::Fault::Error,
        until: Instant(10 * Span::MINUTE.0),
    };
    reads.faults().arm(fault);
    let outage = period(&timer, &store, &caller, 1, Span(10 * Span::MINUTE.0)).await;
    assert_eq!(outage.answered, 0);
    let calls = reads.health().calls;
    assert!(calls.failed * 20 < outage.asked, "{} of {} calls went to a dead store", calls.failed, outage.asked);
    let _settling = period(&timer, &store, &caller, 1, Span(15 * Span::SECOND.0)).await;
    let after = period(&timer, &store, &caller, 1, Span::MINUTE).await;
    assert!(after.answered * 100 >= after.asked * 99, "{} of {}", after.answered, after.asked);
    assert_eq!(reads.health().state, State::Closed);
}

/// The simulation can fail: callers that only have deadlines and retries stay down after a third of the storm, for ever.
#[tokio::test]
async fn callers_without_bounds_do_not_recover_even_from_a_shorter_storm() {
    let (timer, _dependencies) = driven(13);
    let (store, caller) = (Arc::new(Store::default()), Caller::Naive(timer.clone()));
    let before = period(&timer, &store, &caller, 1, Span::MINUTE).await;
    assert!(before.answered * 100 >= before.asked * 99, "{} of {}", before.answered, before.asked);
    let storm = period(&timer, &store, &caller, 5 * CAPACITY, Span(20 * Span::SECOND.0)).await;
    assert!(storm.store_calls > 2 * storm.asked, "retries multiply the load");
    let _settling = period(&timer, &store, &caller, 1, Span(30 * Span::SECOND.0)).await;
    let after = period(&timer, &store, &caller, 1, Span::MINUTE).await;
    assert!(after.answered * 10 < after.asked, "{} of {}", after.answered, after.asked);
}
