//! Random histories: a start from a checkpoint and the log behind it knows what a start that reads the whole log knows.

use std::collections::HashMap;
use std::path::PathBuf;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use parking_lot::Mutex;
use proptest::prelude::*;
use seawall_base::{
    Append, Cut, Hash, Instant, Offset, OsRng, Partition, Permit, Span, StagedFile, SystemClock, TableName,
    TableSnapshot, TableStore, TableVersion, column,
};
use seawall_catalog::policy::Action;
use seawall_catalog::project::{LoadOptions, parse_sources};
use seawall_catalog::{Catalog, Counts};
use seawall_kernel::contract;
use seawall_storage::log::MemoryLog;
use tempfile::TempDir;

use super::checkpoint::Taken;
use super::*;
use crate::dedup::{Keyed, Seen};
use crate::frame::{Frame, Halt, Header, Load, Position, Restore, Restored, number};
use crate::pipeline::WithoutTables;

const DATASETS: [&str; 2] = ["payments", "chargebacks"];
const KEYS: [&str; 2] = ["payment_id", "chargeback_id"];

/// The contracts of the demo; payments are remembered for `horizon`, chargebacks for ever.
fn datasets(horizon: &str) -> Datasets {
    use crate::source::simulator::{DEFAULT_START, Options, project};
    let options =
        Options { seed: 9, start: DEFAULT_START, length: Span::DAY, payments_per_day: 10, faults: Vec::new() };
    let declared = format!("{{property: seawall.dedupHorizon, value: {horizon}}}");
    let texts = project(&options).into_iter().map(|(path, text)| {
        (PathBuf::from(path), text.replace("{property: seawall.dedupHorizon, value: 7d}", &declared))
    });
    let loaded = parse_sources(&texts.collect::<Vec<_>>(), LoadOptions::default()).unwrap();
    let compile = |name: &str| {
        let declared = loaded.project.contracts.iter().find(|contract| contract.id() == name).unwrap();
        let gate = contract::compile(declared, Some(name)).unwrap();
        Arc::new(DatasetGate { dataset: gate.dataset().clone(), contract: format!("{name}@1"), gate })
    };
    DATASETS.into_iter().map(|name| (name.to_owned(), compile(name))).collect()
}

/// Tables that hold what the log was given, each at its newest version.
#[derive(Default)]
struct Tables {
    rows: Mutex<HashMap<String, Vec<RecordBatch>>>,
    staged: Mutex<HashMap<String, RecordBatch>>,
    cuts: Mutex<HashMap<String, Cut>>,
    are_away: std::sync::atomic::AtomicBool,
}

impl Tables {
    fn answer(&self) -> Result<()> {
        match self.are_away.load(std::sync::atomic::Ordering::Relaxed) {
            true => Err(Error::new(ErrorKind::Unavailable, "SW0512", "tables are away")),
            false => Ok(()),
        }
    }

    fn put(&self, table: &str, rows: RecordBatch, cut: &Cut) {
        self.rows.lock().entry(table.to_owned()).or_default().push(rows);
        self.cuts.lock().entry(table.to_owned()).or_default().join(cut);
    }

    fn withdraw(&self, table: &str, kept_end: u64) {
        let mut rows = self.rows.lock();
        for batch in rows.get_mut(table).into_iter().flatten() {
            let kept = |partition, offset| partition != Partition::LIVE || offset < kept_end;
            *batch = crate::restore::keep_where(batch, kept).unwrap();
        }
    }
}

#[async_trait]
impl TableStore for Tables {
    async fn expect(&self, _: &[TableName]) -> Result<()> {
        unreachable!("recovery expects nothing")
    }

    async fn ensure(&self, _: &Permit, _: &TableName, _: SchemaRef, _: &[String]) -> Result<TableVersion> {
        unreachable!("recovery makes no tables")
    }

    async fn append(&self, _: &Permit, _: &TableName, _: Append) -> Result<TableVersion> {
        unreachable!("recovery writes no tables")
    }

    async fn replace(&self, _: &Permit, _: &TableName, _: Append) -> Result<TableVersion> {
        unreachable!("recovery writes no tables")
    }

    async fn stage(&self, _: &Permit, _: &TableName, _: Vec<RecordBatch>) -> Result<StagedFile> {
        unreachable!("recovery stages nothing")
    }

    async fn read_staged(&self, _: &Permit, _: &TableName, file: &StagedFile) -> Result<Vec<RecordBatch>> {
        self.answer()?;
        Ok(vec![self.staged.lock()[&file.path].clone()])
    }

    async fn snapshot(&self, table: &TableName, _: Option<TableVersion>) -> Result<TableSnapshot> {
        self.answer()?;
        let cut = self.cuts.lock().get(table.as_str()).cloned();
        let cut = cut.ok_or_else(|| Error::not_found("SW0500", "there is no such table"))?;
        let schema = Arc::new(Schema::empty());
        Ok(TableSnapshot { version: TableVersion(1), schema, rows: 0, cut, added: Vec::new() })
    }

    async fn scan(
        &self,
        _: &Permit,
        table: &TableName,
        _: TableVersion,
        _: Option<&[String]>,
    ) -> Result<Vec<RecordBatch>> {
        Ok(self.rows.lock().get(table.as_str()).cloned().unwrap_or_default())
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        self.cuts.lock().keys().map(|name| TableName::new(name.as_str())).collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Rows arrive: keys and contents.
    Rows(usize, Vec<(u8, u8)>),
    /// The same, as a bulk load.
    Load(usize, Vec<(u8, u8)>),
    /// Days pass.
    Wait(i64),
    Position(u8, u64),
    File(u8),
    Halt(usize),
    Resume(usize),
    /// The dataset loses its rows from a share of the log's offsets on; only between two processes.
    Withdraw(usize, u8),
    Checkpoint,
    /// A byte of a file of the newest checkpoint changes.
    Damage(usize),
    /// Entries before the older checkpoint are retired.
    Retire,
    /// The process dies, and the next one begins while tables are away, writes a checkpoint, and dies too.
    RestartWithoutTables,
    /// The process dies, and the next one begins with this horizon of payments.
    Restart(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = || prop::collection::vec((0..20u8, 0..2u8), 0..6);
    let step = prop_oneof![
        6 => (0..2usize, rows()).prop_map(|(dataset, rows)| Step::Rows(dataset, rows)),
        2 => (0..2usize, rows()).prop_map(|(dataset, rows)| Step::Load(dataset, rows)),
        2 => (0..5i64).prop_map(Step::Wait),
        1 => (0..3u8, 0..100u64).prop_map(|(stream, rows)| Step::Position(stream, rows)),
        1 => (0..9u8).prop_map(Step::File),
        1 => (0..2usize).prop_map(Step::Halt),
        1 => (0..2usize).prop_map(Step::Resume),
        1 => (0..2usize, any::<u8>()).prop_map(|(dataset, share)| Step::Withdraw(dataset, share)),
        4 => Just(Step::Checkpoint),
        1 => any::<usize>().prop_map(Step::Damage),
        1 => Just(Step::Retire),
        1 => Just(Step::RestartWithoutTables),
        2 => prop_oneof![3 => Just("7d"), 1 => Just("2d"), 1 => Just("20d")].prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 1..50)
}

/// A pipeline's order over logs: one that is retired, and one that never is.
struct World {
    log: Arc<dyn Log>,
    whole: Arc<dyn Log>,
    tables: Arc<Tables>,
    permit: Permit,
    folder: TempDir,
    states: Option<Arc<States>>,
    datasets: Datasets,
    recovered: Recovered,
    now: Instant,
    loads: u32,
    /// Files that were damaged.
    damaged: BTreeSet<String>,
}

impl World {
    async fn new() -> World {
        let catalog = Catalog::in_memory(Arc::new(SystemClock), Arc::new(OsRng)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let states = Arc::new(States::open(folder.path()).unwrap());
        World {
            log: Arc::new(MemoryLog::new(Partition::LIVE)),
            whole: Arc::new(MemoryLog::new(Partition::LIVE)),
            tables: Arc::new(Tables::default()),
            permit: catalog.system_permit(Action::WriteTable, "*"),
            folder,
            states: Some(states),
            datasets: datasets("7d"),
            recovered: Recovered {
                order: Order { next_load: 1, ..Order::default() },
                withdrawn: Withdrawn::default(),
                tables: TablePosition::default(),
            },
            now: Instant(Span::DAY.0),
            loads: 0,
            damaged: BTreeSet::new(),
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Rows(dataset, rows) => {
                let (rows, fresh) = self.unique(dataset, &rows);
                let mut header = header(DATASETS[dataset]);
                header.counts.received = rows.num_rows() as u64;
                header.counts.accepted = rows.num_rows() as u64;
                let accepted = (rows.num_rows() > 0).then_some(rows);
                if accepted.is_some() {
                    self.recovered.order.last_arrival = self.recovered.order.last_arrival.max(Some(self.now));
                }
                self.append(Frame { header, accepted, quarantined: None }, fresh).await;
            }
            Step::Load(dataset, rows) => self.load(dataset, &rows).await,
            Step::Wait(days) => self.now = self.now + Span(days * Span::DAY.0),
            Step::Position(stream, rows) => {
                let mut header = header("payments");
                header.position = Some(Position { stream: format!("source {stream}"), rows });
                self.append(Frame { header, accepted: None, quarantined: None }, Vec::new()).await;
            }
            Step::File(file) => {
                let mut header = header("payments");
                header.files = vec![Hash::of(&[file])];
                self.append(Frame { header, accepted: None, quarantined: None }, Vec::new()).await;
            }
            Step::Halt(dataset) => self.halt(dataset, Halt::Halted("why".into())).await,
            Step::Resume(dataset) => self.halt(dataset, Halt::Resumed).await,
            Step::Withdraw(dataset, share) => self.withdraw(dataset, share).await,
            Step::Checkpoint => self.checkpoint().await,
            Step::Damage(at) => self.damage(at),
            Step::Retire => self.retire().await,
            Step::RestartWithoutTables => self.restart_without_tables().await,
            Step::Restart(horizon) => {
                self.datasets = datasets(horizon);
                self.restart().await;
            }
        }
    }

    /// The rows whose keys are new, as a frame's batch.
    fn unique(&mut self, dataset: usize, rows: &[(u8, u8)]) -> (RecordBatch, Vec<Keyed>) {
        let gate = self.datasets[DATASETS[dataset]].clone();
        let index = self.recovered.order.index(&gate);
        index.set_horizon(gate.gate.dedup_horizon());
        let (mut kept, mut fresh) = (Vec::new(), Vec::new());
        for row in rows {
            let keyed = keyed_rows(&gate, &batch(dataset, &[*row], self.now)).unwrap()[0];
            if index.observe(keyed) == Seen::New {
                kept.push(*row);
                fresh.push(keyed);
            }
        }
        (batch(dataset, &kept, self.now), fresh)
    }

    async fn append(&mut self, frame: Frame, fresh: Vec<Keyed>) {
        let name = frame.header.dataset.clone();
        let order = &mut self.recovered.order;
        order.confirm(&name, fresh);
        order.note(&frame);
        order.entries += 1;
        let payload = frame.encode().unwrap();
        let appended = self.log.append(frame.live_rows(), payload.clone()).await.unwrap();
        self.whole.append(frame.live_rows(), payload).await.unwrap();
        if let Some(rows) = &frame.accepted {
            let rows = number(rows, Partition::LIVE, appended.first).unwrap();
            self.tables.put(&name, rows, &Cut::of(Partition::LIVE, appended.end));
        }
    }

    async fn load(&mut self, dataset: usize, rows: &[(u8, u8)]) {
        let (rows, fresh) = self.unique(dataset, rows);
        let partition = Partition(self.recovered.order.next_load);
        self.loads += 1;
        let (path, end) = (format!("load-{}", self.loads), Offset(rows.num_rows() as u64));
        let rows = number(&rows, partition, Offset(0)).unwrap();
        self.tables.staged.lock().insert(path.clone(), rows.clone());
        self.tables.put(DATASETS[dataset], rows, &Cut::of(partition, end));
        let file = StagedFile { path, rows: end.0, bytes: 1, hash: Hash::of(b"") };
        let mut header = header(DATASETS[dataset]);
        let of = Hash::of(&self.loads.to_le_bytes());
        header.load = Some(Load { partition, file: of, staged: vec![file], end, staged_rows: end.0 });
        self.append(Frame { header, accepted: None, quarantined: None }, fresh).await;
    }

    async fn halt(&mut self, dataset: usize, halt: Halt) {
        let mut header = header(DATASETS[dataset]);
        header.halt = Some(halt);
        self.append(Frame { header, accepted: None, quarantined: None }, Vec::new()).await;
    }

    async fn withdraw(&mut self, dataset: usize, share: u8) {
        let kept_end = self.log.extent().end.0 * u64::from(share) / 255;
        let restored = Restored { kept_end, version_before: TableVersion(1) };
        let mut header = header(crate::restore::TABLE);
        let tables = [(DATASETS[dataset].to_owned(), restored)].into();
        header.restore = Some(Restore { at: self.now, reason: "why".into(), tables });
        self.append(Frame { header, accepted: None, quarantined: None }, Vec::new()).await;
        self.tables.withdraw(DATASETS[dataset], kept_end);
        self.restart().await;
    }

    async fn checkpoint(&mut self) {
        let unknown = self.recovered.order.keys_unknown.clone();
        let taken = Taken::of(&mut self.recovered.order).unwrap();
        let states = self.states.as_ref().unwrap();
        let tables =
            TablePosition { entries: taken.entries, cuts: self.tables.cuts.lock().clone().into_iter().collect() };
        let withdrawn = &self.recovered.withdrawn;
        let begun = writer::begin(self.log.as_ref(), states, taken, withdrawn, &tables, &unknown).await;
        let writing = begun.map_err(|failed| failed.0).unwrap();
        writing.done().await.map_err(|failed| failed.0).unwrap();
    }

    /// Damages the newest manifest, or any file of keys; the older manifest is what everything that is retired rests on.
    fn damage(&mut self, at: usize) {
        let folder = self.folder.path().join("order");
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let Some(newest) = names.iter().rfind(|name| name.starts_with("manifest-")).cloned() else { return };
        // Two damaged manifests are more than a start is to survive.
        let is_spared = names.iter().any(|name| name.starts_with("manifest-") && self.damaged.contains(name));
        let is_hit = |name: &&String| name.starts_with("state-") || (**name == newest && !is_spared);
        let may: Vec<&String> = names.iter().filter(is_hit).collect();
        let Some(hit) = may.get(at % may.len().max(1)) else { return };
        let path = folder.join(hit);
        self.damaged.insert((*hit).clone());
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(path, bytes).unwrap();
    }

    async fn retire(&mut self) {
        let checkpoints = self.states.as_ref().unwrap().order.lock().checkpoints();
        if let Some(older) = checkpoints.get(1) {
            let body: Body = serde_json::from_str(&older.body).unwrap();
            self.log.retire(body.entries).await.unwrap();
        }
    }

    async fn restart(&mut self) {
        drop(self.states.take());
        let states = Arc::new(States::open(self.folder.path()).unwrap());
        let sources = Sources {
            log: self.log.as_ref(),
            tables: self.tables.as_ref(),
            permit: &self.permit,
            without_tables: WithoutTables::Refuse,
        };
        self.recovered = recover_from(&sources, &states, &self.datasets).await.unwrap();
        self.states = Some(states);
        self.check().await;
    }

    /// What is known without tables is the truth, and of whatever is not known no row is taken; a checkpoint that is
    /// written then does not pass it for known.
    async fn restart_without_tables(&mut self) {
        drop(self.states.take());
        let states = Arc::new(States::open(self.folder.path()).unwrap());
        let sources = Sources {
            log: self.log.as_ref(),
            tables: self.tables.as_ref(),
            permit: &self.permit,
            without_tables: WithoutTables::Wait,
        };
        self.tables.are_away.store(true, std::sync::atomic::Ordering::Relaxed);
        self.recovered = recover_from(&sources, &states, &self.datasets).await.unwrap();
        self.tables.are_away.store(false, std::sync::atomic::Ordering::Relaxed);
        self.states = Some(states);
        let order = &self.recovered.order;
        for name in DATASETS {
            let is_refused = order.check_open(name).is_err_and(|refused| refused.code() == "SW1309");
            assert_eq!(is_refused, order.keys_unknown.contains(name), "{name}");
            assert!(!order.keys_unknown.contains(name) || !order.dedup.contains_key(name), "{name}");
        }
        self.checkpoint().await;
        self.restart().await;
    }

    /// Compares with a start that reads the whole log.
    async fn check(&self) {
        let empty = tempfile::tempdir().unwrap();
        let states = Arc::new(States::open(empty.path()).unwrap());
        let sources = Sources {
            log: self.whole.as_ref(),
            tables: self.tables.as_ref(),
            permit: &self.permit,
            without_tables: WithoutTables::Refuse,
        };
        let expected = recover_from(&sources, &states, &self.datasets).await.unwrap();
        let (found, oracle) = (&self.recovered, &expected);
        let small = |order: &Order| {
            let mut json = serde_json::to_value(order).unwrap();
            let loads = json["loads"].as_array_mut().unwrap();
            loads.sort_by_key(|load| load.to_string());
            json
        };
        assert_eq!(small(&found.order), small(&oracle.order));
        assert_eq!((found.order.entries, &found.withdrawn), (oracle.order.entries, &oracle.withdrawn));
        for name in DATASETS {
            let held = |order: &Order| order.dedup.get(name).map(|index| index.held(self.now)).unwrap_or_default();
            assert_eq!(held(&found.order), held(&oracle.order), "{name}");
        }
    }
}

fn header(dataset: &str) -> Header {
    Header {
        dataset: dataset.to_owned(),
        source: "source".into(),
        permit: "permit".into(),
        counts: Counts::default(),
        rules: Vec::new(),
        position: None,
        files: Vec::new(),
        load: None,
        halt: None,
        restore: None,
        departure: None,
        arrival: None,
        answer: None,
        derived: None,
        erased: None,
    }
}

fn batch(dataset: usize, rows: &[(u8, u8)], arrival: Instant) -> RecordBatch {
    let instants =
        || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![arrival.0; rows.len()]).with_timezone("UTC")) };
    let keys: Vec<String> = rows.iter().map(|(key, _)| key.to_string()).collect();
    let contents: Vec<f64> = rows.iter().map(|(_, content)| f64::from(*content)).collect();
    let content = if dataset == 0 { "amount_eur" } else { "ignored" };
    let fields = vec![
        Field::new(KEYS[dataset], DataType::Utf8, true),
        Field::new(content, DataType::Float64, true),
        Field::new(column::ARRIVAL, crate::instant_type(), false),
        Field::new(column::AVAILABLE_AT, crate::instant_type(), false),
    ];
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(keys)), Arc::new(Float64Array::from(contents)), instants(), instants()];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_checkpoint_and_the_log_behind_it_are_the_whole_log(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.step(step).await;
            }
            world.restart().await;
        });
    }
}

#[tokio::test]
async fn a_trimmed_log_without_a_checkpoint_is_refused() {
    let mut world = World::new().await;
    for key in 0..9 {
        world.step(Step::Rows(0, vec![(key, 0)])).await;
        world.step(Step::Checkpoint).await;
    }
    world.step(Step::Retire).await;
    assert!(world.log.extent().first_entry > 0);
    world.restart().await;
    drop(world.states.take());
    std::fs::remove_dir_all(world.folder.path().join("order")).unwrap();
    let states = Arc::new(States::open(world.folder.path()).unwrap());
    let sources = Sources {
        log: world.log.as_ref(),
        tables: world.tables.as_ref(),
        permit: &world.permit,
        without_tables: WithoutTables::Refuse,
    };
    let refused = recover_from(&sources, &states, &world.datasets).await.err().unwrap();
    assert_eq!((refused.code(), refused.kind()), ("SW0443", seawall_base::ErrorKind::Corrupt));
}

#[tokio::test]
async fn a_checkpoint_of_another_log_is_not_used() {
    let mut world = World::new().await;
    world.step(Step::Rows(0, vec![(1, 0)])).await;
    world.step(Step::Checkpoint).await;
    world.log = Arc::new(MemoryLog::new(Partition::LIVE));
    world.whole = Arc::new(MemoryLog::new(Partition::LIVE));
    world.restart().await;
    assert!(world.recovered.order.dedup.values().all(|index| index.is_empty()));
}

#[tokio::test]
async fn runs_grow_with_the_logarithm_of_the_keys() {
    let mut world = World::new().await;
    for key in 0..200u8 {
        world.step(Step::Rows(1, vec![(key, 0)])).await;
        world.step(Step::Checkpoint).await;
    }
    let (_, body) = world.states.as_ref().unwrap().newest_order().unwrap();
    let runs = &body.unwrap().keys["chargebacks"].runs;
    assert_eq!(runs.iter().map(|run| run.rows).sum::<u64>(), 200);
    assert!(runs.len() <= 8, "{runs:?}");
    world.restart().await;
}

/// A table that lost commits since the checkpoint begins where its own cut ends; one that the log cannot help is refused.
#[tokio::test]
async fn tables_begin_where_their_cuts_end() {
    let mut world = World::new().await;
    for key in 0..9 {
        world.step(Step::Rows(usize::from(key % 3 == 0), vec![(key, 0)])).await;
    }
    let cuts = |payments: u64, chargebacks: u64| {
        let cut = |end| Cut::of(Partition::LIVE, Offset(end));
        [("payments".to_owned(), cut(payments)), ("chargebacks".to_owned(), cut(chargebacks))]
    };
    let position = TablePosition { entries: 8, cuts: cuts(8, 7).into() };
    let from = async |world: &World, payments, chargebacks| {
        *world.tables.cuts.lock() = cuts(payments, chargebacks).into();
        let start = start::of_tables(world.log.as_ref(), world.tables.as_ref(), &position).await?;
        // Each of these entries has one row.
        assert_eq!(start.offset.0, start.entry);
        Ok::<_, Error>(start.entry)
    };
    assert_eq!(from(&world, 8, 7).await.unwrap(), 8);
    assert_eq!(from(&world, 9, 7).await.unwrap(), 8);
    assert_eq!(from(&world, 6, 7).await.unwrap(), 6);
    assert_eq!(from(&world, 6, 4).await.unwrap(), 4);
    world.log.retire(5).await.unwrap();
    assert_eq!(from(&world, 6, 7).await.unwrap(), 6);
    assert_eq!(from(&world, 6, 4).await.unwrap_err().code(), "SW0444");
    world.log.retire(u64::MAX).await.unwrap();
    assert_eq!(world.log.extent().first_entry, 8);
    assert_eq!(from(&world, 8, 7).await.unwrap(), 8);
    let behind = TablePosition { entries: 7, cuts: cuts(8, 7).into() };
    let refused = start::of_tables(world.log.as_ref(), world.tables.as_ref(), &behind).await;
    assert_eq!(refused.unwrap_err().code(), "SW0444");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Entries with rows, entries without, loads whose rows arrived earlier: no row that arrived at or after the time lies
    /// before the entry that is found, and at most entries that say nothing lie between it and the first such row.
    #[test]
    fn entries_are_found_by_arrival(
        entries in prop::collection::vec((0u8..4, 0i64..3), 0..40),
        at in 0i64..60,
        retired in 0u64..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            world.now = Instant(0);
            let mut arrivals = Vec::new();
            for (n, (kind, days)) in entries.into_iter().enumerate() {
                world.step(Step::Wait(days)).await;
                let rows = vec![(n as u8, 0)];
                match kind {
                    0 => world.step(Step::Position(0, 1)).await,
                    1 => world.step(Step::Load(1, rows)).await,
                    _ => world.step(Step::Rows(1, rows)).await,
                }
                arrivals.push((kind > 1).then_some(world.now));
            }
            world.log.retire(retired).await.unwrap();
            let first = world.log.extent().first_entry as usize;
            let at = Instant(at * Span::DAY.0);
            let found = arrival::first_entry_since(world.log.as_ref(), at).await.unwrap() as usize;
            let reached = |arrival: &Option<Instant>| arrival.is_some_and(|arrival| arrival >= at);
            let expected = arrivals.iter().skip(first).position(reached).map_or(arrivals.len(), |n| n + first);
            assert!((first..=expected).contains(&found), "found {found}, the first that reached it is {expected}");
            assert!(arrivals[found..expected].iter().all(Option::is_none), "found {found} of {expected}");
        });
    }
}

#[tokio::test]
async fn the_log_is_held_by_whoever_is_furthest_behind() {
    use retention::{Bounds, Holder, holds, needed_from};
    let mut world = World::new().await;
    let bounds = |features, kept_since| Bounds { features, kept_since };
    let found = async |world: &World, bounds: &Bounds| {
        let holds = holds(world.log.as_ref(), world.states.as_ref().unwrap(), bounds).await.unwrap();
        (needed_from(&holds), holds.into_iter().map(|hold| (hold.by, hold.from)).collect::<Vec<_>>())
    };
    for key in 0..4 {
        world.step(Step::Rows(0, vec![(key, 0)])).await;
        world.step(Step::Checkpoint).await;
        world.step(Step::Wait(1)).await;
    }
    // The older checkpoint of the order stands at 3; the monitor has none yet.
    let (needed, all) = found(&world, &bounds(4, world.now)).await;
    let expected =
        [(Holder::Order, 3), (Holder::Tables, 3), (Holder::Features, 4), (Holder::Monitor, 0), (Holder::Retention, 4)];
    assert_eq!((needed, all.as_slice()), (0, &expected[..]));
    let (_, all) = found(&world, &bounds(2, world.now - Span(2 * Span::DAY.0))).await;
    assert_eq!(all[2..], [(Holder::Features, 2), (Holder::Monitor, 0), (Holder::Retention, 2)]);
}
