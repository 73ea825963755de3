//! One process in the world: starts, takes requests, commits, and ends by a crash, by poison or in order.
//!
//! The timer of dependencies is driven by hand, a little whenever nothing else can go on. The catalog answers from a
//! thread of its own, so how often the timer is advanced differs between runs; nothing that is traced depends on it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use seawall_base::error::ErrorKind;
use seawall_base::{Clock, Error, Instant, Rng, SeededRng, Span, TableName};
use seawall_catalog::policy::Action;
use seawall_kernel::contract::{self, Input};
use seawall_pipeline::dependency::{Dependencies, DrivenTimer, Timer};
use seawall_pipeline::gate::{Broken, Incoming};
use seawall_pipeline::pipeline::{Options, PendingReceipt};
use seawall_pipeline::{Parts, Pipeline, Receipt, table_writer};
use seawall_storage::online::MemoryStore;

use crate::faults::{Faults, Place};
use crate::ledger::Fate;
use crate::log::FailingLog;
use crate::missing::Missing;
use crate::world::World;

/// Longer than any history: tables are committed when a step says so.
const NEVER: Duration = Duration::from_secs(1_000_000);
/// What the timer advances by, when nothing else goes on.
const TICK: Span = Span(5_000);
/// Polls between two ticks.
const POLLS_PER_TICK: usize = 30;
/// How long the catalog's thread is left alone before a tick.
const REAL_PAUSE: Duration = Duration::from_micros(60);

/// A process.
struct Life<'a> {
    world: &'a mut World,
    pipeline: Pipeline,
    log: Arc<FailingLog>,
    timer: Arc<DrivenTimer>,
}

/// Why a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It died within a call, or where a step killed it.
    Crash,
    /// The log took no more.
    Poisoned,
    /// It was told to stop.
    Stopped,
}

/// Lives until the process ends; the steps that are left.
pub fn live(world: &mut World, steps: u64) -> Result<u64> {
    let mut left = steps;
    in_runtime(world, async |world| {
        let Some(mut life) = Life::start(world).await? else { return Ok(()) };
        if life.begin_calmly().await?.is_some() {
            return Ok(());
        }
        while left > 0 {
            left -= 1;
            if let Some(end) = life.step().await? {
                life.world.faults.trace("lives", &format!("{end:?}"));
                break;
            }
        }
        Ok(())
    })?;
    Ok(left)
}

/// The last life: without faults everything is committed, and the tables are audited.
pub fn last(world: &mut World) -> Result<()> {
    in_runtime(world, async |world| {
        let life = Life::start(world).await?.context("the last life does not start")?;
        let caught_up = life.drive(life.pipeline.catch_up()).await.context("a crash without faults")?;
        caught_up.map_err(|error| anyhow::anyhow!("the last life does not catch up: {error}"))?;
        let accounting = life.pipeline.accounting().await;
        let world = life.world;
        let rows = world.tables.newest(&TableName::dataset("events")?);
        let quarantined = world.tables.newest(&TableName::quarantine("events")?);
        let found = world.ledger.audit(&rows, &quarantined);
        world.findings.lost += found.lost;
        world.findings.duplicated += found.duplicated;
        world.findings.silent += found.silent;
        world.findings.examples.extend(found.examples);
        let count = |batches: &[arrow::array::RecordBatch]| batches.iter().map(|b| b.num_rows() as u64).sum::<u64>();
        let counts = accounting.counts.get("events").copied().unwrap_or_default();
        let shown = (count(&rows), count(&quarantined));
        if !counts.balanced() || (counts.accepted, counts.quarantined) != shown {
            world.findings.deceive(format!("{counts:?} are counted, the tables show {shown:?}"));
        }
        world.faults.trace("lives", &format!("{counts:?} {shown:?}"));
        Ok(())
    })
}

/// Runs a life in a runtime of its own: dropping that ends every task where it stands.
fn in_runtime(world: &mut World, life: impl AsyncFnOnce(&mut World) -> Result<()>) -> Result<()> {
    world.lives += 1;
    world.faults.calm();
    world.faults.take_death();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(life(world))
}

impl<'a> Life<'a> {
    /// Starts a process; none when it died while starting.
    async fn start(world: &'a mut World) -> Result<Option<Life<'a>>> {
        let faults = world.faults.clone();
        let log = Arc::new(FailingLog::open(world.entries.clone(), faults.clone()));
        let catalog = world.open_catalog().await.map_err(|error| anyhow::anyhow!("opening the catalog: {error}"))?;
        let clock: Arc<dyn Clock> = world.clock.clone();
        let parts = Parts {
            clock,
            log: log.clone(),
            tables: world.tables.clone(),
            upkeep: Arc::new(Missing),
            online: Arc::new(MemoryStore::new()),
            engine: Arc::new(Missing),
            models: Arc::new(Missing),
            catalog: Arc::new(catalog),
            states: Arc::new(world.open_states().map_err(|error| anyhow::anyhow!("opening the checkpoints: {error}"))?),
            keys: world.open_keys().map_err(|error| anyhow::anyhow!("opening the keys: {error}"))?,
            folder: std::path::PathBuf::new(),
        };
        let declared = World::declared()?;
        let tables = table_writer::Options { commit_interval: NEVER, ..table_writer::Options::default() };
        let options = Options { tables, checkpoint_interval: NEVER, upkeep_interval: NEVER, ..Options::default() };
        let timer = Arc::new(DrivenTimer::default());
        let rng: Arc<dyn Rng> = Arc::new(SeededRng::new(world.lives));
        let dependencies = Dependencies::new(timer.clone(), rng);
        let started = drive(&faults, &timer, Pipeline::start_with(parts, &declared, options, dependencies)).await;
        match started {
            None => Ok(None),
            Some(Ok(pipeline)) => Ok(Some(Life { world, pipeline, log, timer })),
            Some(Err(error)) => anyhow::bail!("a process does not start without faults: {error}"),
        }
    }

    async fn drive<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        drive(&self.world.faults, &self.timer, future).await
    }

    /// A request and a commit before any storm: what the writers look up once is looked up now, so that it cannot race
    /// with calls that fail.
    async fn begin_calmly(&mut self) -> Result<Option<End>> {
        match self.requests(1).await? {
            Some(end) => Ok(Some(end)),
            None => self.commit().await,
        }
    }

    /// One thing that happens; the end of the life when that was it.
    async fn step(&mut self) -> Result<Option<End>> {
        match self.world.below(100) {
            0..=54 => return self.requests(1).await,
            55..=69 => {
                let requests = 2 + self.world.below(4);
                return self.requests(requests).await;
            }
            70..=82 => return self.commit().await,
            83..=88 => {
                let ahead = self.world.below(7_200_000_000);
                self.world.clock.advance_to(Instant(self.world.clock.now().0 + ahead as i64));
            }
            89..=93 => {
                let (tables, log) = (20 + self.world.below(50), self.world.below(6));
                self.world.faults.storm(Place::TableAppend, tables);
                self.world.faults.storm(Place::TableSnapshot, tables / 2);
                self.world.faults.storm(Place::LogAppend, log);
            }
            94..=96 => self.world.faults.calm(),
            97 => return Ok(Some(End::Crash)),
            98 => return self.stop().await,
            _ => return self.cancelled().await,
        }
        Ok(None)
    }

    /// Sends requests, each before the one before it is durable, and then hears of them in a drawn order.
    async fn requests(&mut self, requests: u64) -> Result<Option<End>> {
        let mut pending = Vec::new();
        for _ in 0..requests {
            let request = Request::next(self.world);
            match self.begin(&request).await {
                None => return Ok(Some(End::Crash)),
                Some(Ok(receipt)) => pending.push((request, receipt)),
                Some(Err(error)) => self.refused(&error),
            }
        }
        while !pending.is_empty() {
            let at = self.world.below(pending.len() as u64) as usize;
            let (request, receipt) = pending.swap_remove(at);
            match self.drive(receipt.durable()).await {
                None => return Ok(Some(End::Crash)),
                Some(Ok(receipt)) => request.answered(self.world, &receipt),
                Some(Err(error)) => self.refused(&error),
            }
        }
        Ok(self.log.is_poisoned().then_some(End::Poisoned))
    }

    /// A client that goes away: nobody hears what became of its rows.
    async fn cancelled(&mut self) -> Result<Option<End>> {
        let request = Request::next(self.world);
        match self.begin(&request).await {
            None => Ok(Some(End::Crash)),
            Some(Ok(receipt)) => {
                drop(receipt);
                Ok(None)
            }
            Some(Err(error)) => {
                self.refused(&error);
                Ok(self.log.is_poisoned().then_some(End::Poisoned))
            }
        }
    }

    async fn begin(&self, request: &Request) -> Option<seawall_base::Result<PendingReceipt>> {
        let permit = self.pipeline.parts().catalog.system_permit(Action::Ingest, "events");
        let revision = self.pipeline.revision();
        let gate = match revision.dataset("events") {
            Ok(gate) => gate,
            Err(error) => return Some(Err(error)),
        };
        let incoming = decode(&gate.gate, request.body.as_bytes());
        self.drive(self.pipeline.begin_ingest(&permit, "events", incoming)).await
    }

    /// A refusal must say that one may come back; anything else is a mistake.
    fn refused(&mut self, error: &Error) {
        self.world.faults.trace("answers", error.code());
        if error.kind() != ErrorKind::Unavailable {
            self.world.findings.deceive(format!("a request is refused with {}: {error}", error.code()));
        }
    }

    /// Commits everything, however long the store is away.
    async fn commit(&mut self) -> Result<Option<End>> {
        loop {
            match self.drive(self.pipeline.catch_up()).await {
                None => return Ok(Some(End::Crash)),
                Some(Ok(())) => return Ok(None),
                Some(Err(_)) if self.log.is_poisoned() => return Ok(Some(End::Poisoned)),
                // Whoever waits is told that tables are away; the writer goes on by itself.
                Some(Err(error)) if error.kind() == ErrorKind::Unavailable => {
                    self.timer.advance_to(self.timer.now() + Span::SECOND);
                    tokio::task::yield_now().await;
                }
                Some(Err(error)) => {
                    self.world.findings.deceive(format!("the table writer gave up while the store was away: {error}"));
                    return Ok(Some(End::Crash));
                }
            }
        }
    }

    async fn stop(&mut self) -> Result<Option<End>> {
        // Stopping is committing; the tasks end with the runtime.
        Ok(Some(self.commit().await?.unwrap_or(End::Stopped)))
    }
}

/// Polls a future and advances the timer until it is ready; none when the process died meanwhile.
async fn drive<T>(faults: &Faults, timer: &DrivenTimer, future: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(future);
    loop {
        for _ in 0..POLLS_PER_TICK {
            tokio::select! {
                biased;
                output = &mut future => return (!faults.is_dead()).then_some(output),
                () = tokio::task::yield_now() => {}
            }
            if faults.is_dead() {
                return None;
            }
        }
        std::thread::sleep(REAL_PAUSE);
        timer.advance_to(timer.now() + TICK);
    }
}

/// A request, and what must become of its rows.
struct Request {
    body: String,
    events: Vec<u64>,
    /// Of these, sent before without an answer.
    retried: u64,
    repeats: u64,
    stopped: Vec<u64>,
}

impl Request {
    /// New events, unanswered ones, and what the gate must catch.
    fn next(world: &mut World) -> Request {
        let mut request = Request { body: String::new(), events: vec![], retried: 0, repeats: 0, stopped: vec![] };
        let unknown: Vec<u64> = numbers(&world.ledger.events, Fate::Unknown);
        let known: Vec<u64> = numbers(&world.ledger.events, Fate::Acknowledged);
        for number in unknown {
            if world.below(2) == 0 {
                request.events.push(number);
                request.retried += 1;
            }
        }
        for _ in 0..world.below(6) + u64::from(request.events.is_empty()) {
            request.events.push(world.ledger.event());
        }
        let mut lines: Vec<_> = request.events.iter().map(|number| world.ledger.line(*number)).collect();
        if world.below(3) == 0 {
            let again = request.events[world.below(request.events.len() as u64) as usize];
            lines.push(world.ledger.line(again));
            request.repeats += 1;
        }
        if world.below(4) == 0 {
            let number = world.ledger.stop();
            lines.insert(0, world.ledger.stopped_line(number, None));
            request.stopped.push(number);
        }
        if !known.is_empty() && world.below(3) == 0 {
            let of = known[world.below(known.len() as u64) as usize];
            lines.push(world.ledger.line(of));
            request.repeats += 1;
            if world.below(2) == 0 {
                let number = world.ledger.stop();
                lines.push(world.ledger.stopped_line(number, Some(of)));
                request.stopped.push(number);
            }
        }
        request.body = lines.iter().map(|line| format!("{line}\n")).collect();
        request
    }

    fn answered(self, world: &mut World, receipt: &Receipt) {
        let counts = receipt.counts;
        world.faults.trace("answers", &format!("{counts:?} {}", receipt.cut));
        let events = self.events.len() as u64;
        let fits = counts.balanced()
            && counts.received == events + self.repeats + self.stopped.len() as u64
            && counts.quarantined == self.stopped.len() as u64
            && counts.accepted + counts.deduplicated == events + self.repeats
            && (events - self.retried..=events).contains(&counts.accepted);
        if !fits {
            world.findings.deceive(format!("{} was answered with {counts:?}", self.body));
        }
        for number in self.events {
            world.ledger.events[number as usize] = Fate::Acknowledged;
        }
        for number in self.stopped {
            world.ledger.stopped[number as usize] = Fate::Acknowledged;
        }
    }
}

fn numbers(fates: &[Fate], wanted: Fate) -> Vec<u64> {
    (0u64..).zip(fates).filter(|(_, fate)| **fate == wanted).map(|(number, _)| number).collect()
}

/// Decodes a body as the server does.
fn decode(gate: &contract::Gate, body: &[u8]) -> Incoming {
    let decoded = contract::decode_ndjson(gate, body, contract::Limits::default());
    let broken = decoded.failures.into_iter();
    let broken = broken.map(|failure| Broken { line: Some(failure.line), raw: failure.raw, reasons: failure.reasons });
    Incoming {
        broken: broken.collect(),
        lines: Some(decoded.rows),
        unknown_columns: decoded.unknown_columns,
        ..Incoming::new(decoded.batch, Input::Typed)
    }
}
