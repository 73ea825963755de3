//! A bulkhead for work on contracts: few jobs at a time, on the blocking pool, with room and time of their own, so that
//! nothing that requests ask of contracts can delay an acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use seawall_base::error::Result;
use seawall_base::{Engine, Error, ErrorKind};
use seawall_pipeline::judge::Stop;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::ingest::{BODY_BYTES_MAX, Counters, Room};

/// Bytes of all bodies that wait for their job or are worked on, unpacked ones included. Apart from the room for events.
const BODIES_BYTES_MAX: usize = 5 * BODY_BYTES_MAX;
/// How long a job waits for its turn before it is refused.
const TURN_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long each step of a job may take: its rows, and then its rules about the whole table.
const JOB_TIME_MAX: Duration = Duration::from_secs(20);

/// Gives jobs their turn.
#[derive(Clone)]
pub struct ContractJobs {
    turns: Arc<Semaphore>,
    turn_wait_max: Duration,
    job_time_max: Duration,
    /// Room for their bodies.
    pub(super) room: Room,
    /// Their bodies are no events, and are not counted among them.
    pub(super) counters: Arc<Counters>,
    /// Asks rules about whole tables; it sees no table but the rows it is given.
    pub(super) engine: Option<Arc<dyn Engine>>,
}

impl Default for ContractJobs {
    fn default() -> Self {
        ContractJobs::new(None)
    }
}

impl ContractJobs {
    /// A quarter of the processors, at least one, for jobs. Without an `engine`, rules about whole tables are told as not
    /// executed.
    pub fn new(engine: Option<Arc<dyn Engine>>) -> ContractJobs {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        ContractJobs {
            turns: Arc::new(Semaphore::new((processors / 4).max(1))),
            turn_wait_max: TURN_WAIT_MAX,
            job_time_max: JOB_TIME_MAX,
            room: Room::new(BODIES_BYTES_MAX),
            counters: Arc::default(),
            engine,
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// SW0253 when others take too long.
    pub(super) async fn begin(&self) -> Result<Job> {
        let turn = timeout(self.turn_wait_max, self.turns.clone().acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "SW0253", "other work on contracts is being done at the moment")
                .hint("try again after the time that Retry-After tells")
        })?;
        Ok(Job { turn: Arc::new(turn), time_max: self.job_time_max, stop: Stop::default() })
    }

    /// One piece of work with a turn of its own.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Stop) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.begin().await?.blocking(work).await
    }
}

/// A job that has its turn. Dropping it tells its work to end; the turn is given back when that has happened.
pub(super) struct Job {
    turn: Arc<OwnedSemaphorePermit>,
    time_max: Duration,
    stop: Stop,
}

impl Job {
    /// Does `work` on the blocking pool, within the time of a step.
    ///
    /// # Errors
    /// Those of the work, and SW0255 when the time is over.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Stop) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (stop, turn) = (self.stop.clone(), self.turn.clone());
        let working = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&stop)
        });
        let worked = self.within(working).await?;
        worked.map_err(|e| Error::internal("SW0887", "working on the contract failed").because(e))?
    }

    /// Waits for something within the time of a step; it is dropped when that is over.
    ///
    /// # Errors
    /// SW0255 when the time is over.
    pub(super) async fn within<T>(&self, waited_for: impl Future<Output = T>) -> Result<T> {
        timeout(self.time_max, waited_for).await.map_err(|_| {
            let message = format!("the work on the contract took longer than {} s", self.time_max.as_secs());
            Error::invalid("SW0255", message).hint("give fewer rows, or a contract with cheaper rules")
        })
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.stop.now();
    }
}

#[cfg(test)]
mod tests;
