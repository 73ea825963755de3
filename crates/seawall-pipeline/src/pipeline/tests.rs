//! Requests with idempotency keys through the door, with restarts between them, against a simple oracle.

use std::collections::HashMap;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use async_trait::async_trait;
use proptest::prelude::*;
use seawall_base::declare::{Available, Connector, Source};
use seawall_base::engine::{BatchRows, TrainingSetPlan, TrainingSetRows, TransformPlan, TransformRead};
use seawall_base::permit::PermitRecord;
use seawall_base::{BatchMap, Hash, Instant, LogEntry, Query, QueryResult, Reference};
use seawall_storage::log::MemoryLog;

use super::*;
use crate::idempotency::RequestKey;

const CONTRACT: &str = r#"{
    "apiVersion": "v3.2.0", "kind": "DataContract", "id": "events", "version": "1.0.0", "status": "active",
    "schema": [{"name": "events", "properties": [
        {"name": "number", "logicalType": "integer", "required": true},
        {"name": "amount", "logicalType": "number", "logicalTypeOptions": {"minimum": 0}}]}]
}"#;

/// A source without a map asks the engine nothing.
struct NoEngine;

#[async_trait]
impl Engine for NoEngine {
    async fn compile_map(
        &self,
        sql: &str,
        _: arrow::datatypes::SchemaRef,
        _: &[Reference],
    ) -> Result<Arc<dyn BatchMap>> {
        panic!("no map is declared: {sql}")
    }

    async fn query(&self, _: &Permit, _: Query) -> Result<QueryResult> {
        panic!("nothing is queried")
    }

    async fn plan_transform(&self, sql: &str, _: &[(String, arrow::datatypes::SchemaRef)]) -> Result<TransformPlan> {
        panic!("no transform is declared: {sql}")
    }

    async fn transform(&self, _: &Permit, _: &TransformRead) -> Result<Box<dyn BatchRows>> {
        panic!("nothing is transformed")
    }

    async fn training_set(&self, _: &Permit, _: &TrainingSetPlan) -> Result<TrainingSetRows> {
        panic!("nothing is trained")
    }
}

struct Installation {
    revision: Arc<Revision>,
    log: Arc<MemoryLog>,
    order: Arc<tokio::sync::Mutex<Order>>,
    keys: KeyRing,
    _folder: tempfile::TempDir,
}

impl Installation {
    async fn new() -> Installation {
        let declared = Declared {
            revision: Hash::of(b"test"),
            contracts: vec![serde_json::from_str(CONTRACT).expect("the contract reads")],
            sources: vec![Source {
                name: "events".into(),
                dataset: "events".into(),
                connector: Connector::Http,
                contract: "events@1".into(),
                map: None,
                references: Vec::new(),
                available_at: Available::Arrival,
                history: false,
            }],
            views: Vec::new(),
            services: Vec::new(),
            training_sets: Vec::new(),
            models: Vec::new(),
            monitors: Vec::new(),
            corrections: Vec::new(),
            queries: Vec::new(),
            transforms: Vec::new(),
            owners: Default::default(),
            log_retention: None,
            tables: Default::default(),
            folder: PathBuf::new(),
        };
        let engine: Arc<dyn Engine> = Arc::new(NoEngine);
        let revision = Arc::new(Revision::compile(&declared, &engine).await.expect("it compiles"));
        let log = Arc::new(MemoryLog::new(seawall_base::Partition::LIVE));
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyRing::open(folder.path(), Arc::new(seawall_base::SeededRng::new(1))).unwrap();
        Installation { revision, log, order: Arc::default(), keys, _folder: folder }
    }

    /// Forgets everything but the log.
    async fn restart(&mut self) {
        let mut order = Order::default();
        for entry in self.entries().await {
            let frame = Frame::decode(&entry.payload).unwrap();
            order.recover(&frame.header, entry.end(), None);
        }
        // A checkpoint keeps the same.
        let kept: Order = serde_json::from_value(serde_json::to_value(&order).unwrap()).unwrap();
        assert_eq!(kept.answers, order.answers);
        self.order = Arc::new(tokio::sync::Mutex::new(order));
    }

    async fn entries(&self) -> Vec<Arc<LogEntry>> {
        self.log.read(0, usize::MAX).await.unwrap()
    }

    async fn send(&self, producer: &str, key: Option<&str>, numbers: &[i64], now: i64) -> Result<Receipt> {
        let permit = Permit::issued_by_policy(PermitRecord {
            id: "p".into(),
            principal: producer.into(),
            action: "ingest".into(),
            resource: "events".into(),
        });
        let amounts: Vec<f64> = numbers.iter().map(|number| *number as f64).collect();
        let rows = RecordBatch::try_from_iter([
            ("number", Arc::new(Int64Array::from(numbers.to_vec())) as ArrayRef),
            ("amount", Arc::new(Float64Array::from(amounts))),
        ]);
        let mut incoming = Incoming::new(rows.unwrap(), seawall_kernel::contract::Input::Typed);
        let body = Hash::of_json(&numbers);
        incoming.key = key.map(|key| RequestKey::new(key, body).unwrap());
        let door = Door {
            revision: self.revision.clone(),
            order: self.order.clone(),
            log: self.log.clone(),
            keys: self.keys.clone(),
            permit,
            now: Instant(now),
        };
        door.admit("events", incoming).await?.durable().await
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send { producer: usize, key: u8, numbers: Vec<i64>, pause: i64 },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Negative numbers break the contract's minimum.
    let numbers = proptest::collection::vec(-1i64..3, 1..4);
    let send = (0usize..2, 0u8..4, numbers, 0i64..crate::idempotency::HORIZON.0 / 4)
        .prop_map(|(producer, key, numbers, pause)| Step::Send { producer, key, numbers, pause });
    proptest::collection::vec(prop_oneof![5 => send, 1 => Just(Step::Restart)], 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_repeat_is_answered_as_before_and_taken_in_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut installation = Installation::new().await;
            let mut known: HashMap<(usize, u8), (Vec<i64>, i64, Receipt)> = HashMap::new();
            let (mut now, mut rows) = (0, 0);
            for step in steps {
                let Step::Send { producer, key, numbers, pause } = step else {
                    installation.restart().await;
                    continue;
                };
                now += pause;
                let told = installation.send(&format!("p{producer}"), Some(&format!("k{key}")), &numbers, now).await;
                let before = known.get(&(producer, key)).filter(|known| now - known.1 <= crate::idempotency::HORIZON.0);
                match before {
                    Some((sent, _, receipt)) if *sent == numbers => {
                        assert_eq!(told.unwrap(), Receipt { repeated: true, ..receipt.clone() });
                    }
                    Some(_) => assert_eq!(told.unwrap_err().code(), "SW1204"),
                    None => {
                        rows += numbers.len() as u64;
                        let receipt = told.unwrap();
                        assert!(!receipt.repeated);
                        assert_eq!(receipt.cut, gate::live_cut(seawall_base::Offset(rows)));
                        assert_eq!(receipt.rows.len(), numbers.iter().filter(|number| **number < 0).count());
                        known.insert((producer, key), (numbers, now, receipt));
                    }
                }
            }
            assert_eq!(installation.log.durable_end().1, seawall_base::Offset(rows), "nothing else is in the log");
        });
    }
}

#[tokio::test]
async fn a_repeat_that_overtakes_its_first_is_answered_after_it_is_durable() {
    let installation = Installation::new().await;
    let first = installation.send("p", Some("k"), &[1, 2], 0);
    let second = installation.send("p", Some("k"), &[1, 2], 0);
    let (first, second) = tokio::join!(first, second);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.repeated, second.repeated), (false, true));
    assert_eq!(first.cut, second.cut);
    assert_eq!(installation.entries().await.len(), 1);
}

#[tokio::test]
async fn frames_of_a_request_hold_its_rows_and_their_arrival_once() {
    let installation = Installation::new().await;
    installation.send("p", None, &[1, -1, 2], 77).await.unwrap();
    let entries = installation.entries().await;
    let frame = Frame::decode(&entries[0].payload).unwrap();
    assert_eq!(frame.header.arrival, Some(Instant(77)));
    let rows = frame.accepted.as_ref().unwrap();
    for name in [column::ARRIVAL, column::AVAILABLE_AT] {
        assert_eq!(crate::revision::instants(rows, name).unwrap().values().to_vec(), [77, 77]);
    }
    assert_eq!((entries[0].rows, frame.live_rows()), (3, 3));
}
