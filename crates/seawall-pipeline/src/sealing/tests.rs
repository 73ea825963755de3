use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Int32Type, SchemaRef};
use bytes::Bytes;
use proptest::prelude::*;
use seawall_base::permit::PermitRecord;
use seawall_base::{Instant, LogEntry, Offset, Partition, Permit, SeededRng, column};
use seawall_storage::log::DurableLog;

use super::*;
use crate::frame::{Frame, FrameSeal, Header, quarantine_schema};

const EMAIL: &str = "ada.lovelace@example.org";

fn ring(folder: &Path) -> KeyRing {
    KeyRing::open(folder, Arc::new(SeededRng::new(3))).unwrap()
}

fn dataset(schema: &SchemaRef, personal: &[&str], subject: Option<&str>) -> Dataset {
    Dataset {
        name: "visits".into(),
        schema: schema.clone(),
        primary_key: Vec::new(),
        event_time: Some("at".into()),
        personal: personal.iter().map(|name| (*name).to_owned()).collect(),
        subject: subject.map(str::to_owned),
        changelog: None,
    }
}

fn header() -> Header {
    let record =
        PermitRecord { id: "p".into(), principal: "t".into(), action: "ingest".into(), resource: "visits".into() };
    Header::new("visits", "visits", &Permit::issued_by_policy(record), crate::Counts::default())
}

/// Rows with an id, an e-mail address, and what is not personal; with time columns, as frames have them.
fn visits(rows: &[(Option<&str>, &str)]) -> RecordBatch {
    let count = rows.len() as i64;
    let instants = || TimestampMicrosecondArray::from_iter_values(0..count).with_timezone("UTC");
    let schema = Schema::new(vec![
        Field::new("visit", DataType::Int64, false),
        Field::new("person", DataType::Utf8, true),
        Field::new("email", DataType::Utf8, false),
        Field::new(column::ARRIVAL, crate::instant_type(), false),
        Field::new(column::AVAILABLE_AT, crate::instant_type(), false),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..count)),
        Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(instants()),
        Arc::new(instants()),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn stopped(rows: usize) -> RecordBatch {
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
    let instants = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![9; rows]).with_timezone("UTC")) };
    let raw = format!("{{\"email\":\"{EMAIL}\"}}");
    let columns = vec![text(&raw), text("[]"), text("visits@1"), text("visits"), instants(), instants()];
    RecordBatch::try_new(quarantine_schema(), columns).unwrap()
}

async fn sealed(ring: &KeyRing, accepted: &RecordBatch, quarantined: usize) -> Bytes {
    let dataset = dataset(&accepted.schema(), &["email"], Some("person"));
    let keys = Seal::of(ring, &dataset).unwrap().keys_of(accepted).await.unwrap();
    let rows: Vec<u32> = (0..quarantined as u32).collect();
    let seal = FrameSeal { accepted: Some(keys.all()), quarantined: Some(keys.quarantined(&rows, 0)) };
    let quarantined = (quarantined > 0).then(|| stopped(quarantined));
    let seal = FrameSeal { quarantined: seal.quarantined.filter(|_| quarantined.is_some()), ..seal };
    Frame { header: header(), accepted: Some(accepted.clone()), quarantined }.encode_sealed(&seal).unwrap()
}

fn opened(payload: &Bytes, ring: &KeyRing) -> Frame {
    Frame::decode(&open(payload, ring).unwrap()).unwrap()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn what_is_sealed_is_not_in_the_frame_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(folder.path());
    let rows = visits(&[(Some("ada"), EMAIL), (Some("bob"), "bob@x"), (None, "nobody@x"), (Some("ada"), EMAIL)]);
    let payload = sealed(&ring, &rows, 2).await;
    for text in [EMAIL, "bob@x", "nobody@x", "ada"] {
        assert!(!holds(&payload, text), "{text}");
    }
    assert!(Frame::decode(&payload).is_err(), "a sealed frame never passes for an open one");
    let public = Frame::decode_public(&payload).unwrap();
    assert_eq!(public.accepted.unwrap().column(2).null_count(), 4);
    let frame = opened(&payload, &ring);
    assert_eq!((frame.accepted, frame.quarantined), (Some(rows), Some(stopped(2))));
    assert_eq!(frame.header, header());
    assert_eq!(ring.count().kept, 3, "ada, bob, and the dataset as a whole");
}

#[tokio::test]
async fn a_destroyed_key_takes_its_rows_fields_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(folder.path());
    let payload =
        sealed(&ring, &visits(&[(Some("ada"), EMAIL), (Some("bob"), "bob@x"), (Some("ada"), EMAIL)]), 2).await;
    let at = Instant(1_000_000);
    assert_eq!(ring.destroy(&[ring.subject("person", "ada")], at).unwrap().len(), 1);
    let frame = opened(&payload, &ring);
    let erased = Erased { accepted: 2, quarantined: 1, at: Some(at) };
    assert_eq!(frame.header, Header { erased: Some(erased), ..header() });
    let rows = frame.accepted.unwrap();
    let emails: Vec<Option<&str>> = rows.column_by_name("email").unwrap().as_string::<i32>().iter().collect();
    assert_eq!(emails, [None, Some("bob@x"), None]);
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[0, 1, 2]);
    let quarantined = frame.quarantined.unwrap();
    let raw = quarantined.column(0).as_string::<i32>();
    assert!(raw.value(0).contains("was destroyed at 1970-01-01T00:00:01"), "{}", raw.value(0));
    assert!(raw.value(1).contains(EMAIL));
    let reasons: Vec<seawall_kernel::contract::Reason> =
        serde_json::from_str(quarantined.column(1).as_string::<i32>().value(0)).unwrap();
    assert_eq!(reasons[0].rule, ERASED_RULE);
}

#[tokio::test]
async fn a_log_is_opened_as_it_is_read_and_holds_nothing_personal() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(&folder.path().join("keys"));
    let path = folder.path().join("log");
    let log: Arc<dyn seawall_base::Log> =
        Arc::new(DurableLog::open(&path, Partition::LIVE, seawall_storage::log::Options::default()).unwrap());
    let log = OpenLog::of(log, ring.clone());
    let rows = visits(&[(Some("ada"), EMAIL)]);
    let plain = Frame { header: header(), accepted: None, quarantined: None }.encode().unwrap();
    seawall_base::Log::append(&log, 0, plain.clone()).await.unwrap();
    seawall_base::Log::append(&log, 1, sealed(&ring, &rows, 0).await).await.unwrap();
    let read = seawall_base::Log::read(&log, 0, 10).await.unwrap();
    assert_eq!(read[0].payload, plain);
    assert_eq!(Frame::decode(&read[1].payload).unwrap().accepted, Some(rows));
    for entry in std::fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        assert!(!holds(&std::fs::read(&file).unwrap(), "lovelace"), "{}", file.display());
    }
}

#[tokio::test]
async fn another_ring_is_damage_and_no_erasure() {
    let folder = tempfile::tempdir().unwrap();
    let ours = ring(&folder.path().join("ours"));
    let payload = sealed(&ours, &visits(&[(Some("ada"), EMAIL), (Some("bob"), "x")]), 0).await;
    let other = KeyRing::open(&folder.path().join("other"), Arc::new(SeededRng::new(4))).unwrap();
    assert_eq!(open(&payload, &other).unwrap_err().code(), "SW1604");
    other.ensure(&[1, 2, 3].map(|n| other.subject("n", &n.to_string()))).await.unwrap();
    assert_eq!(open(&payload, &other).unwrap_err().code(), "SW1605");
}

#[test]
fn subjects_have_one_text_for_every_type() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("42"), Some(" 42 "), Some(" "), None]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(42), None]));
    let text = |column: &ArrayRef, row| subject_text(column, row).unwrap();
    assert_eq!(
        (0..4).map(|row| text(&texts, row)).collect::<Vec<_>>(),
        [Some("42".into()), Some("42".into()), None, None]
    );
    assert_eq!((0..2).map(|row| text(&numbers, row)).collect::<Vec<_>>(), [Some("42".into()), None]);
}

#[test]
fn the_event_time_is_not_sealed_and_the_subject_is() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(folder.path());
    let schema = visits(&[]).schema();
    let columns = |personal: &[&str]| {
        let dataset = dataset(&schema, personal, Some("person"));
        Seal::of(&ring, &dataset).map(|seal| seal.columns)
    };
    assert_eq!(columns(&["at", "email"]), Some(vec!["email".to_owned(), "person".to_owned()]));
    assert_eq!(columns(&["at"]), None);
    assert_eq!(columns(&[]), None);
}

/// Columns of every type that a contract can declare, with nulls.
fn arbitrary(rows: usize) -> impl Strategy<Value = RecordBatch> {
    let cells = || prop::collection::vec(prop::option::of(any::<i64>()), rows);
    let texts = prop::collection::vec(prop::option::of(".{0,12}"), rows);
    let lists =
        prop::collection::vec(prop::option::of(prop::collection::vec(prop::option::of(any::<i32>()), 0..4)), rows);
    (cells(), cells(), texts, lists, 0..rows).prop_map(move |(numbers, others, texts, lists, from)| {
        let floats: Float64Array = others.iter().map(|cell| cell.map(|n| f64::from_bits(n as u64 >> 2))).collect();
        let booleans: BooleanArray = others.iter().map(|cell| cell.map(|n| n % 2 == 0)).collect();
        let decimals: Decimal128Array = numbers.iter().map(|cell| cell.map(i128::from)).collect();
        let dates: Date32Array = numbers.iter().map(|cell| cell.map(|n| (n >> 40) as i32)).collect();
        let instants: TimestampMicrosecondArray = numbers.iter().copied().collect();
        let bytes: BinaryArray = texts.iter().map(|cell| cell.as_ref().map(|text| text.as_bytes())).collect();
        let inner: ArrayRef = Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>());
        let nulls = numbers.iter().map(Option::is_some).collect::<Vec<bool>>().into();
        let fields = vec![Field::new("inner", DataType::Utf8, true)].into();
        let structs = StructArray::try_new(fields, vec![inner.clone()], Some(nulls)).unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("integer", Arc::new(numbers.iter().copied().collect::<Int64Array>())),
            ("double", Arc::new(floats)),
            ("boolean", Arc::new(booleans)),
            ("decimal", Arc::new(decimals)),
            ("date", Arc::new(dates)),
            ("instant", Arc::new(instants.with_timezone("UTC"))),
            ("text", inner),
            ("bytes", Arc::new(bytes)),
            ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
            ("struct", Arc::new(structs)),
            ("person", Arc::new(others.iter().map(|cell| cell.map(|n| n % 3)).collect::<Int64Array>())),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .unwrap()
            .slice(from, rows - from)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_type_comes_back(rows in (1usize..20).prop_flat_map(arbitrary), erased in 0i64..3) {
        let folder = tempfile::tempdir().unwrap();
        let ring = ring(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let names: Vec<&str> = rows.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        let dataset = dataset(&rows.schema(), &names, Some("person"));
        let keys = runtime.block_on(Seal::of(&ring, &dataset).unwrap().keys_of(&rows)).unwrap();
        let seal = FrameSeal { accepted: Some(keys.all()), quarantined: None };
        let frame = Frame { header: header(), accepted: Some(rows.clone()), quarantined: None };
        let payload = frame.encode_sealed(&seal).unwrap();
        prop_assert_eq!(&opened(&payload, &ring), &frame);
        ring.destroy(&[ring.subject("person", &erased.to_string())], Instant(1)).unwrap();
        let after = opened(&payload, &ring).accepted.unwrap();
        let people = rows.column_by_name("person").unwrap().as_primitive::<Int64Type>();
        for row in 0..rows.num_rows() {
            let is_erased = people.is_valid(row) && people.value(row) == erased;
            let expected = if is_erased { emptied(&rows, &(0..rows.num_columns()).collect::<Vec<_>>()).unwrap() } else { rows.clone() };
            for (before, after) in expected.columns().iter().zip(after.columns()) {
                prop_assert_eq!(&before.slice(row, 1), &after.slice(row, 1));
            }
        }
    }

    #[test]
    fn damaged_frames_are_errors_and_never_panic(cut in 0usize..3000, at in 0usize..3000, bit in 0u8..8) {
        let folder = tempfile::tempdir().unwrap();
        let ring = ring(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let whole = runtime.block_on(sealed(&ring, &visits(&[(Some("ada"), EMAIL), (None, "x")]), 2));
        if cut < whole.len() {
            let entry = LogEntry { first: Offset(0), rows: 4, payload: whole.slice(..cut) };
            let read = open_entry(&entry, &ring).and_then(|entry| Frame::decode(&entry.payload));
            prop_assert!(read.is_err());
        }
        let mut bytes = whole.to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let _ = open(&bytes.into(), &ring);
    }
}
