//! A history on disk gives what it gives in memory, and leaves nothing behind.

use arrow::array::{Float64Array, Int32Array, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use seawall_base::declare::{Aggregation, Feature, FeatureView, WindowEdge};
use seawall_base::{Dataset, Span};

use super::*;
use crate::types;

const ROWS: i64 = 6_000;
const ENTITIES: i64 = 301;

fn plan() -> Arc<ViewPlan> {
    let fields = vec![
        Field::new("card", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("t", types::instant_type(), false),
    ];
    let dataset = Dataset {
        name: "payments".into(),
        schema: Arc::new(Schema::new(fields)),
        primary_key: Vec::new(),
        event_time: Some("t".into()),
        personal: Vec::new(),
        subject: None,
        changelog: None,
    };
    let x = || "x".to_owned();
    let feature = |name: &str, aggregation, window: Option<Span>| Feature {
        name: name.into(),
        aggregation,
        window,
        edge: WindowEdge::Exact,
        filter: None,
    };
    let view = FeatureView {
        name: "card".into(),
        version: 1,
        entity: vec!["card".into()],
        from: "payments".into(),
        time: "t".into(),
        features: vec![
            feature("n", Aggregation::Count { column: None }, Some(Span::HOUR)),
            feature("mean", Aggregation::Mean { column: x() }, Some(Span::DAY)),
            feature("last", Aggregation::Latest { column: x() }, None),
        ],
        computed: vec![],
    };
    Arc::new(ViewPlan::compile(&view, &dataset).unwrap())
}

fn card(row: i64) -> Option<i64> {
    (row % 17 != 0).then_some(row * 7_919 % ENTITIES)
}

fn instants(times: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(times.collect::<Vec<i64>>()).with_timezone("UTC"))
}

fn history(rows: std::ops::Range<i64>) -> RecordBatch {
    let time = |row: i64| row * Span::MINUTE.0;
    let count = rows.clone().count();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("card", Arc::new(rows.clone().map(card).collect::<Int64Array>())),
        ("x", Arc::new(rows.clone().map(|row| Some(row as f64 / 7.0)).collect::<Float64Array>())),
        ("t", instants(rows.clone().map(time))),
        ("_partition", Arc::new(Int32Array::from(vec![0; count]))),
        ("_lsn", Arc::new(rows.clone().map(Some).collect::<Int64Array>())),
        ("_arrived_at", instants(rows.clone().map(time))),
        ("_available_at", instants(rows.map(|row| time(row) + row % 5 * Span::HOUR.0))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn asked() -> Asked {
    let cards: ArrayRef = Arc::new((0..ROWS).map(|row| card(row * 3)).collect::<Int64Array>());
    let at: Vec<Instant> = (0..ROWS).map(|row| Instant(row * Span::MINUTE.0 * 11 / 10)).collect();
    let entity = RecordBatch::try_from_iter_with_nullable([("card", cards, true)]).unwrap();
    Asked { entity, known: at.clone(), at, own: Vec::new() }
}

#[test]
fn shares_on_disk_give_what_memory_gives() {
    let plan = plan();
    let batches: Vec<RecordBatch> = (0..ROWS / 500).map(|part| history(part * 500..(part + 1) * 500)).collect();
    let options = SweepOptions::on(2);
    let progress = BuildProgress::default();
    let expected = History::Memory(batches.clone()).sweep(&plan, asked(), options, &progress).unwrap();
    assert_eq!(expected.num_rows() as i64, ROWS);
    for (bytes, shares) in [(1 << 30, 2), (100_000, 15), (1, SHARES_MAX)] {
        let root = tempfile::tempdir().unwrap();
        let budget = Budget { bytes, folder: Some(root.path().to_owned()) };
        let mut spill = Spill::begin(Arc::clone(&plan), 480_000, &budget).unwrap();
        assert_eq!(spill.shares as usize, shares);
        for batch in &batches {
            spill = spill.append(std::slice::from_ref(batch)).unwrap();
        }
        let spill = spill.finish().unwrap();
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        assert_eq!(History::Spilled(spill).sweep(&plan, asked(), options, &progress).unwrap(), expected);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "nothing is left");
    }
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let budget = Budget { bytes: 1, folder: Some("/nowhere/at/all".into()) };
    let error = Spill::begin(plan(), 1, &budget).err().unwrap();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "SW0535"));
    assert!(error.to_string().contains("card@1"), "{error}");
}
