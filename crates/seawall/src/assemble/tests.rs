//! The whole pipeline on driven time while its table store is away.

use std::sync::Arc;
use std::time::Duration;

use seawall_base::{DrivenClock, Instant, Rng, SeededRng, Span};
use seawall_catalog::policy::Action;
use seawall_pipeline::Pipeline;
use seawall_pipeline::dependency::breaker::State;
use seawall_pipeline::dependency::fault::{Fault, Plan};
use seawall_pipeline::dependency::{Dependencies, DrivenTimer, Timer};
use seawall_pipeline::pipeline::Options;
use seawall_pipeline::table_writer;
use seawall_server::App;
use seawall_server::auth::Access;
use serde_json::{Value, json};

use super::{Installation, Settings, declared, load, local_principal};

mod derived;

const CONTRACT: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: events
version: 1.0.0
name: Events
status: active
schema:
  - name: events
    properties:
      - {name: event_id, logicalType: string, primaryKey: true, required: true}
      - {name: happened_at, logicalType: timestamp, required: true}
      - {name: user_id, logicalType: string, required: true}
      - {name: amount, logicalType: number, required: true}
    customProperties:
      - {property: seawall.eventTime, value: happened_at}
";
const DECLARATIONS: &str = "\
{kind: source, name: events, http: {}, contract: events@1}
---
{kind: source, name: old, files: {path: old.ndjson, format: ndjson}, contract: events@1}
---
kind: feature_view
name: users
entity: user_id
from: events
time: happened_at
features:
  n_24h: {count: \"*\", window: 24h}
---
kind: training_set
name: next_amount
rows: {from: events, at: happened_at, own_row: exclude}
label: {from: events, join: event_id, column: amount}
features: [users@1]
";
const OLD_EVENTS: &str = "\
{\"event_id\": \"o0\", \"happened_at\": \"2026-02-28T23:00:00Z\", \"user_id\": \"u0\", \"amount\": 0}
{\"event_id\": \"o1\", \"happened_at\": \"2026-02-28T23:00:00Z\", \"user_id\": \"u1\", \"amount\": 0}
{\"event_id\": \"o2\", \"happened_at\": \"2026-02-28T23:00:00Z\", \"user_id\": \"u2\", \"amount\": 0}
";
/// Rows that the writer holds: far fewer than an outage brings.
const COMMIT_ROWS: usize = 64;
const STEP: Span = Span(2 * Span::SECOND.0);
const EVENTS_PER_STEP: u64 = 4;

/// A server without a socket, on driven time.
struct World {
    _folder: tempfile::TempDir,
    clock: Arc<DrivenClock>,
    timer: Arc<DrivenTimer>,
    installation: Installation,
    app: App,
    sent: u64,
}

impl World {
    async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("seawall.yaml"), "kind: project\nname: events\n").unwrap();
        std::fs::create_dir(folder.path().join("contracts")).unwrap();
        std::fs::write(folder.path().join("contracts/events.odcs.yaml"), CONTRACT).unwrap();
        std::fs::write(folder.path().join("declarations.yaml"), DECLARATIONS).unwrap();
        std::fs::write(folder.path().join("old.ndjson"), OLD_EVENTS).unwrap();
        let project = folder.path().to_owned();
        let settings = Settings { data: project.join("data"), project, tables: None, set: Default::default() };
        let clock = Arc::new(DrivenClock::starting_at("2026-03-01T00:00:00Z".parse().unwrap()));
        let installation = Installation::open(&settings, clock.clone()).await.unwrap();
        let loaded = load(&settings).unwrap_or_else(|diagnostics| panic!("{diagnostics:?}"));
        installation.apply(&loaded).await.unwrap();
        let timer = Arc::new(DrivenTimer::default());
        let dependencies = Dependencies::new(timer.clone(), Arc::new(SeededRng::new(5)));
        let tables = table_writer::Options { commit_rows: COMMIT_ROWS, ..Default::default() };
        let upkeep_interval = Duration::from_secs(86_400);
        let options = Options { tables, upkeep_interval, ..Options::default() };
        let declared = declared(&installation.active().await.unwrap(), &settings.project).unwrap();
        let parts = installation.parts(clock.clone(), Default::default()).unwrap();
        let pipeline = Pipeline::start_with(parts, &declared, options, dependencies).await.unwrap();
        let app = App::new(Arc::new(pipeline), Access::Open(local_principal()));
        World { _folder: folder, clock, timer, installation, app, sent: 0 }
    }

    fn dependencies(&self) -> &Dependencies {
        self.app.pipeline.dependencies()
    }

    /// Lets time pass, and the tasks do what is due.
    async fn pass(&self, span: Span) {
        self.timer.advance_to(self.timer.now() + span);
        self.clock.advance_to(seawall_base::Clock::now(self.clock.as_ref()) + span);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    async fn post(&self, path: &str, body: Value) -> seawall_base::error::Result<Value> {
        seawall_server::http::answer(&self.app, path, &body).await
    }

    /// Sends events; each must be acknowledged.
    async fn send(&mut self) {
        let now = seawall_base::Clock::now(self.clock.as_ref());
        let event = |n: u64| json!({"event_id": format!("e{n}"), "happened_at": now.to_string(), "user_id": format!("u{}", n % 3), "amount": n});
        let events: Vec<Value> = (self.sent..self.sent + EVENTS_PER_STEP).map(event).collect();
        let receipt = self.post("/v1/datasets/events/events", events.into()).await.unwrap();
        assert_eq!(receipt["counts"]["accepted"], EVENTS_PER_STEP, "{receipt}");
        self.sent += EVENTS_PER_STEP;
    }

    /// Steps until tables hold everything; how long it took.
    async fn drain(&self, most: Span) -> Span {
        let start = self.timer.now();
        loop {
            let progress = self.app.pipeline.progress();
            if progress.committed_entries == progress.durable_entries {
                return self.timer.now() - start;
            }
            assert!(self.timer.now() - start < most, "the backlog does not drain: {progress:?}");
            // Little at a time: the machine may be slow, and its time is not what is measured.
            self.pass(Span(100_000)).await;
        }
    }

    async fn count(&self, what: &str) -> seawall_base::error::Result<(u64, Value)> {
        let answer = self.post("/v1/query", json!({"sql": format!("select {what} as n from events")})).await?;
        Ok((answer["rows"][0]["n"].as_u64().unwrap(), answer))
    }

    /// How many events features hold, and what is said of them.
    async fn served(&self) -> (u64, Value) {
        let rows: Vec<Value> = (0..3).map(|user| json!({"user_id": format!("u{user}")})).collect();
        let served = self.post("/v1/features", json!({"views": ["users@1"], "rows": rows})).await.unwrap();
        let view = served["views"][0].clone();
        let values = view["rows"].as_array().unwrap().iter();
        (values.map(|row| row["n_24h"].as_u64().unwrap_or_else(|| panic!("{served}"))).sum(), view)
    }

    /// Features must hold every event that was acknowledged, tables or not.
    async fn check_features(&self) {
        self.app.pipeline.catch_up_features().await.unwrap();
        let (events, view) = self.served().await;
        assert_eq!((events, &view["degraded"], &view["staleness_ms"]), (self.sent, &json!(false), &json!(0)), "{view}");
    }
}

/// A bulk load lies in the table store only. While that does not give it, features stand still and say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_that_wait_for_a_load_say_so_and_take_it_later() {
    let mut world = World::start().await;
    world.send().await;
    world.pass(STEP).await;
    world.check_features().await;
    let reads = world.dependencies().table_reads.clone();
    reads.faults().arm(Plan { operation: Some("read_staged"), fault: Fault::Error, until: Instant::MAX });
    let permit = world.installation.permit(Action::Ingest, "old").await.unwrap();
    let loaded = world.app.pipeline.load_files(&permit, "old", &|_, _| {}).await.unwrap();
    assert_eq!(loaded.counts.accepted, 3);
    let before = world.sent;
    for _ in 0..30 {
        world.send().await;
        world.pass(STEP).await;
    }
    let (events, view) = world.served().await;
    assert_eq!((events, &view["degraded"]), (before, &json!(true)), "{view}");
    assert!(view["staleness_ms"].as_i64() >= Some(25 * STEP.0 / 1_000), "{view}");
    assert!(world.app.metrics.render(&world.app.pipeline).await.contains("seawall_degraded{stage=\"features\"} 1"));

    reads.faults().disarm();
    for _ in 0..20 {
        world.pass(STEP).await;
    }
    world.sent += 3;
    world.check_features().await;
}

/// What a store that is away does: mostly nothing, but sometimes it has done what it does not answer.
fn some_fault(rng: &SeededRng) -> Fault {
    let mut byte = [0];
    rng.fill(&mut byte);
    match byte[0] % 8 {
        0..=2 => Fault::Error,
        3 | 4 => Fault::ErrorAfter,
        5 => Fault::Latency(Span(200 * Span::SECOND.0)),
        6 => Fault::Hang,
        _ => Fault::HangAfter,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_minutes_without_tables_lose_nothing_and_double_nothing() {
    let mut world = World::start().await;
    for _ in 0..5 {
        world.send().await;
        world.pass(STEP).await;
    }
    world.drain(Span::MINUTE).await;
    let (rows, answer) = world.count("count(*)").await.unwrap();
    assert_eq!((rows, &answer["degraded"], &answer["staleness_ms"]), (world.sent, &json!(false), &json!(0)));

    let (rng, start) = (SeededRng::new(23), world.timer.now());
    let outage = Span(30 * Span::MINUTE.0);
    let mut steps = 0;
    while world.timer.now() - start < outage {
        if steps % 5 == 0 {
            for dependency in [&world.dependencies().table_writes, &world.dependencies().table_reads] {
                dependency.faults().arm(Plan { operation: None, fault: some_fault(&rng), until: start + outage });
            }
        }
        world.send().await;
        world.pass(STEP).await;
        let waiting = world.app.pipeline.progress().waiting_rows;
        assert!(waiting < COMMIT_ROWS as u64 + EVENTS_PER_STEP, "{waiting} rows are in memory");
        steps += 1;
        if steps % 60 == 0 {
            world.check_features().await;
            check_stale(&world, world.timer.now() - start).await;
        }
    }
    let refused = world.post("/v1/training-sets/next_amount/build", json!({})).await.unwrap_err();
    assert!(refused.to_string().contains("SW1304"), "{refused}");

    let took = world.drain(Span(outage.0 / 2)).await;
    for what in ["count(*)", "count(distinct event_id)", "cast(max(amount) as bigint) + 1"] {
        assert_eq!(world.count(what).await.unwrap().0, world.sent, "{what}");
    }
    let (_, answer) = world.count("count(*)").await.unwrap();
    assert_eq!((&answer["degraded"], &answer["staleness_ms"]), (&json!(false), &json!(0)));
    world.check_features().await;
    eprintln!("{} events in {steps} steps; drained in {took} of driven time", world.sent);
    check_told(world).await;
}

/// A query sees what tables hold, and says how old that is.
async fn check_stale(world: &World, away_for: Span) {
    let (rows, answer) = world.count("count(*)").await.unwrap();
    assert!(rows < world.sent, "the outage is none");
    assert_eq!(answer["degraded"], true, "{answer}");
    // Some commits landed without an answer: the writer knows of less than there is, so it never says less than it is.
    let staleness = Span(answer["staleness_ms"].as_i64().unwrap() * 1_000);
    let cut: u64 = answer["cut"].as_str().unwrap().split(':').next_back().unwrap().parse().unwrap();
    assert!(cut <= rows, "{answer} claims more than the {rows} rows that are there");
    let oldest_missing = Instant(rows as i64 / EVENTS_PER_STEP as i64 * STEP.0);
    let behind = Instant(world.sent as i64 / EVENTS_PER_STEP as i64 * STEP.0) - oldest_missing;
    assert!(staleness.0 + 2 * STEP.0 >= behind.0, "{staleness} is said, {behind} it is, away for {away_for}");
}

/// Breakers are closed again, and the ledger says what happened.
async fn check_told(world: World) {
    for health in world.dependencies().health() {
        assert_eq!(health.state, State::Closed, "{health:?}");
        assert_eq!(health.calls_inflight, 0, "{health:?}");
    }
    let metrics = world.app.metrics.render(&world.app.pipeline).await;
    assert!(metrics.contains("seawall_dependency_state{dependency=\"table_writes\"} 0"), "{metrics}");
    let World { app, installation, _folder, .. } = world;
    let App { pipeline, .. } = app;
    Arc::try_unwrap(pipeline).unwrap_or_else(|_| panic!("somebody holds the pipeline")).stop().await.unwrap();
    let ledger = installation.catalog.audit(10_000, 0).await.unwrap();
    let told: Vec<&str> =
        ledger.iter().filter(|entry| entry.resource == "table_writes").map(|entry| entry.event.as_str()).collect();
    assert_eq!(told.first(), Some(&"dependency_away"), "{told:?}");
    assert_eq!(told.last(), Some(&"dependency_back"), "{told:?}");
    assert!(told.len() <= 60, "each outage is told once: {told:?}");
}

#[test]
fn what_a_killed_process_spilled_is_removed_and_what_a_living_one_spilled_is_not() {
    use super::spill::{SPILL, SpillFolder};
    let data = tempfile::tempdir().unwrap();
    let killed = data.path().join(SPILL).join("7");
    std::fs::create_dir_all(killed.join("seawall-history-x")).unwrap();
    std::fs::write(killed.join("seawall-history-x").join("0.arrow"), "rows of a person").unwrap();
    let living = SpillFolder::open(data.path()).unwrap();
    std::fs::write(living.path().join("rows"), "x").unwrap();
    assert!(!killed.exists());
    let other = SpillFolder::open(data.path()).unwrap();
    assert!(living.path().join("rows").exists());
    assert_ne!(living.path(), other.path());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(other.path()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    let path = living.path().to_owned();
    drop(living);
    assert!(!path.exists() && other.path().exists());
}
