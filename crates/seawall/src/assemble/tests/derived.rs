//! Derived datasets against an oracle: whatever happens on the way, in the end they hold what their SQL makes of the final
//! inputs, run once.
//!
//! The engine is the real one; between it and the pipeline batches are cut small, and runs are cut off anywhere.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use seawall_base::engine::{BatchRows, TrainingSetPlan, TrainingSetRows, TransformPlan, TransformRead};
use seawall_base::error::Result;
use seawall_base::{BatchMap, DrivenClock, Engine, Error, Permit, Query, QueryResult, Reference, Rng, SeededRng, Span};
use seawall_lake::query::DataFusionEngine;
use seawall_pipeline::pipeline::Options;
use seawall_pipeline::{Parts, Pipeline};
use seawall_server::App;
use seawall_server::auth::Access;
use serde_json::{Value, json};

use super::super::{Installation, Settings, declared, load, local_principal};

const CONTRACTS: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: shop
version: 1.0.0
name: Shop
status: active
schema:
  - name: payments
    properties:
      - {name: payment_id, logicalType: integer, primaryKey: true, required: true}
      - {name: card, logicalType: string, required: true}
      - {name: amount, logicalType: integer, required: true}
  - name: cards
    properties:
      - {name: card, logicalType: string, primaryKey: true, required: true}
      - {name: country, logicalType: string, required: true}
---
apiVersion: v3.2.0
kind: DataContract
id: derived
version: 1.0.0
name: Derived
status: active
schema:
  - name: large
    properties:
      - {name: payment_id, logicalType: integer, required: true}
      - {name: cents, logicalType: integer, required: true, logicalTypeOptions: {maximum: 9000}}
  - name: per_card
    properties:
      - {name: card, logicalType: string, primaryKey: true, required: true}
      - {name: n, logicalType: integer, required: true}
      - {name: total, logicalType: integer, required: true}
      - {name: op, logicalType: string, required: true}
    customProperties: [{property: seawall.changelog, value: op}]
  - name: placed
    properties:
      - {name: payment_id, logicalType: integer, primaryKey: true, required: true}
      - {name: country, logicalType: string, required: true}
      - {name: amount, logicalType: integer, required: true}
  - name: per_country
    properties:
      - {name: country, logicalType: string, primaryKey: true, required: true}
      - {name: total, logicalType: integer, required: true}
      - {name: op, logicalType: string, required: true}
    customProperties: [{property: seawall.changelog, value: op}]
";
const LARGE: &str = "select payment_id, amount * 100 as cents from payments where amount > 20";
const PER_CARD: &str =
    "select card, count(*) as n, sum(amount) as total from payments group by card having count(*) % 4 <> 0";
const PLACED: &str = "select p.payment_id, c.country, p.amount from payments p join cards c on c.card = p.card";
const PER_COUNTRY: &str = "select country, sum(amount) as total from placed group by country";
const STEPS: usize = 120;

fn declarations() -> String {
    let source =
        |name: &str| format!("{{kind: source, name: {name}, http: {{}}, contract: shop@1, dataset: {name}}}\n---\n");
    let transform =
        |name: &str, sql: &str| format!("kind: transform\nname: make_{name}\nto: {name}\nsql: \"{sql}\"\n---\n");
    [
        source("payments"),
        source("cards"),
        // Declared in another order than that in which they have to run.
        transform("per_country", PER_COUNTRY),
        transform("large", LARGE),
        transform("per_card", PER_CARD),
        transform("placed", PLACED),
    ]
    .concat()
}

fn roll(rng: &SeededRng, below: u64) -> u64 {
    let mut bytes = [0; 8];
    rng.fill(&mut bytes);
    u64::from_le_bytes(bytes) % below
}

/// The real engine, whose batches come in pieces, and whose runs fail when told to.
struct Chopped {
    inner: Arc<DataFusionEngine>,
    rng: Arc<SeededRng>,
}

struct ChoppedRows {
    inner: Box<dyn BatchRows>,
    waiting: Option<RecordBatch>,
    rng: Arc<SeededRng>,
    /// Pieces that are handed out before the run fails.
    left: Option<u64>,
}

#[async_trait]
impl BatchRows for ChoppedRows {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(left) = &mut self.left {
            if *left == 0 {
                return Err(Error::invalid("SW0524", "the test cuts this run off"));
            }
            *left -= 1;
        }
        if self.waiting.is_none() {
            self.waiting = self.inner.next().await?;
        }
        let Some(batch) = self.waiting.take() else { return Ok(None) };
        let rows = batch.num_rows().min(1 + roll(&self.rng, 5) as usize);
        if rows < batch.num_rows() {
            self.waiting = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        Ok(Some(batch.slice(0, rows)))
    }

    fn rows_read(&self) -> u64 {
        self.inner.rows_read()
    }
}

#[async_trait]
impl Engine for Chopped {
    async fn compile_map(&self, sql: &str, input: SchemaRef, references: &[Reference]) -> Result<Arc<dyn BatchMap>> {
        self.inner.compile_map(sql, input, references).await
    }

    async fn plan_transform(&self, sql: &str, tables: &[(String, SchemaRef)]) -> Result<TransformPlan> {
        self.inner.plan_transform(sql, tables).await
    }

    async fn transform(&self, permit: &Permit, read: &TransformRead) -> Result<Box<dyn BatchRows>> {
        let inner = self.inner.transform(permit, read).await?;
        let left = (roll(&self.rng, 4) == 0).then(|| roll(&self.rng, 6));
        Ok(Box::new(ChoppedRows { inner, waiting: None, rng: self.rng.clone(), left }))
    }

    async fn query(&self, permit: &Permit, query: Query) -> Result<QueryResult> {
        self.inner.query(permit, query).await
    }

    async fn training_set(&self, permit: &Permit, plan: &TrainingSetPlan) -> Result<TrainingSetRows> {
        self.inner.training_set(permit, plan).await
    }
}

struct Shop {
    _folder: tempfile::TempDir,
    clock: Arc<DrivenClock>,
    installation: Installation,
    rng: Arc<SeededRng>,
    app: Option<App>,
    payments: u64,
}

impl Shop {
    async fn open(seed: u64) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("seawall.yaml"), "kind: project\nname: shop\n").unwrap();
        std::fs::write(folder.path().join("shop.odcs.yaml"), CONTRACTS).unwrap();
        std::fs::write(folder.path().join("declarations.yaml"), declarations()).unwrap();
        let project = folder.path().to_owned();
        let settings = Settings { data: project.join("data"), project, tables: None, set: Default::default() };
        let clock = Arc::new(DrivenClock::starting_at("2026-03-01T00:00:00Z".parse().unwrap()));
        let installation = Installation::open(&settings, clock.clone()).await.unwrap();
        let loaded = load(&settings).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        installation.apply(&loaded).await.unwrap();
        let rng = Arc::new(SeededRng::new(seed));
        let mut shop = Shop { _folder: folder, clock, installation, rng, app: None, payments: 0 };
        shop.start().await;
        shop
    }

    async fn start(&mut self) {
        let Installation { settings, engine, .. } = &self.installation;
        let parts = self.installation.parts(self.clock.clone(), Default::default()).unwrap();
        let engine: Arc<dyn Engine> = Arc::new(Chopped { inner: engine.clone(), rng: self.rng.clone() });
        let declared = declared(&self.installation.active().await.unwrap(), &settings.project).unwrap();
        let pipeline = Pipeline::start(Parts { engine, ..parts }, &declared, Options::default()).await.unwrap();
        pipeline.features_ready().await.unwrap();
        self.app = Some(App::new(Arc::new(pipeline), Access::Open(local_principal())));
    }

    async fn restart(&mut self) {
        let App { pipeline, .. } = self.app.take().unwrap();
        Arc::try_unwrap(pipeline).unwrap_or_else(|_| panic!("somebody holds the pipeline")).stop().await.unwrap();
        self.start().await;
    }

    fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    async fn push(&self, dataset: &str, rows: Vec<Value>) -> Value {
        let path = format!("/v1/datasets/{dataset}/events");
        seawall_server::http::answer(self.app(), &path, &json!(rows)).await.unwrap()
    }

    /// Some payments, the newest of which may be repeats, or some cards.
    async fn something_comes(&mut self) {
        if roll(&self.rng, 4) == 0 {
            let card = roll(&self.rng, 12);
            self.push("cards", vec![json!({"card": format!("c{card}"), "country": format!("l{}", card % 3)})]).await;
            return;
        }
        let first = self.payments.saturating_sub(roll(&self.rng, 3));
        self.payments = first + 1 + roll(&self.rng, 9);
        let payment = |n: u64| json!({"payment_id": n, "card": format!("c{}", n * 7 % 12), "amount": n * 13 % 101});
        self.push("payments", (first..self.payments).map(payment).collect()).await;
    }

    async fn rows(&self, sql: &str) -> Vec<Value> {
        let body = json!({"sql": sql, "rows_max": null});
        let answer = seawall_server::http::answer(self.app(), "/v1/query", &body).await.unwrap();
        let mut rows = answer["rows"].as_array().unwrap().clone();
        rows.sort_by_key(ToString::to_string);
        rows
    }

    /// Derives until every attempt succeeded.
    async fn settle(&self) {
        for _ in 0..200 {
            // So that nothing waits for its next attempt.
            self.clock.advance_to(seawall_base::Clock::now(self.clock.as_ref()) + Span(10 * Span::MINUTE.0));
            if self.app().pipeline.derive_all().await.unwrap().failed.is_empty() {
                return;
            }
        }
        panic!("transforms do not settle");
    }

    async fn check(&self) {
        let current = |table: &str, columns: &str, key: &str| {
            let newest = format!("row_number() over (partition by {key} order by _lsn desc)");
            format!(
                "select {columns} from (select *, {newest} as newest from {table}) where newest = 1 and op = 'upsert'"
            )
        };
        for (made, of) in [
            ("select payment_id, cents from large".to_owned(), format!("select * from ({LARGE}) where cents <= 9000")),
            ("select payment_id, country, amount from placed".to_owned(), PLACED.to_owned()),
            (current("per_card", "card, n, total", "card"), PER_CARD.to_owned()),
            (current("per_country", "country, total", "country"), PER_COUNTRY.to_owned()),
        ] {
            assert_eq!(self.rows(&made).await, self.rows(&of).await, "{made}");
        }
        let stopped = "select distinct _raw from large__quarantine";
        let all = "select _raw from large__quarantine";
        assert_eq!(self.rows(stopped).await, self.rows(all).await, "a row is in quarantine twice");
        let expected = self.rows(&format!("select payment_id from ({LARGE}) where cents > 9000")).await.len();
        assert_eq!(self.rows(all).await.len(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn derived_datasets_hold_what_their_sql_makes_of_the_final_inputs() {
    for seed in 1..=4 {
        eprintln!("seed {seed}");
        let mut shop = Shop::open(seed).await;
        for _ in 0..STEPS {
            match roll(&shop.rng, 10) {
                0..=5 => shop.something_comes().await,
                6 => drop(shop.app().pipeline.derive().await.unwrap()),
                7 => drop(shop.app().pipeline.derive_all().await.unwrap()),
                8 => {
                    // Cut off at some moment, as a process is.
                    let some = std::time::Duration::from_micros(roll(&shop.rng, 30_000));
                    drop(tokio::time::timeout(some, shop.app().pipeline.derive_all()).await);
                }
                _ => shop.restart().await,
            }
            shop.clock.advance_to(seawall_base::Clock::now(shop.clock.as_ref()) + Span::SECOND);
        }
        shop.settle().await;
        shop.check().await;
        let accounting = shop.app().pipeline.accounting().await;
        assert!(accounting.counts.values().all(|counts| counts.balanced()), "{accounting:?}");

        // Equal inputs add nothing, also for a process that knows only what the log says.
        let before = shop.app().pipeline.progress().durable_entries;
        shop.restart().await;
        let again = shop.app().pipeline.derive_all().await.unwrap();
        assert_eq!((again.ran.len(), shop.app().pipeline.progress().durable_entries), (0, before));
    }
}
