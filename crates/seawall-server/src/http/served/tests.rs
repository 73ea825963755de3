//! What is written straight from the columns is what the tree of the same values would be.

use arrow::array::{Date32Array, TimestampMicrosecondArray};
use serde_json::Value;

use super::*;
use crate::http::json_rows;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn check(rows: &RecordBatch) {
    let mut out = Vec::new();
    write_rows(rows, &mut out).unwrap();
    let written: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(written, Value::from(json_rows(rows).unwrap()), "{}", String::from_utf8_lossy(&out));
}

#[test]
fn rows_are_the_same_as_from_the_tree() {
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), Some(-1e300)]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"\\\n\u{1}ä"), None, Some("")]));
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]));
    let plain = batch(vec![("i", ints.clone()), ("f \"x\"", floats), ("t", texts), ("b", flags)]);
    check(&plain);
    check(&plain.slice(1, 1));
    check(&plain.slice(0, 0));
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), None, Some(20_000)]));
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None, Some(-1)]).with_timezone("UTC"));
    check(&batch(vec![("i", ints), ("d", dates), ("at", times)]));
}

fn served(status: FeatureStatus) -> Served {
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    Served {
        rows: batch(vec![("n", ints)]),
        status: vec![vec![status]],
        features: vec!["n".to_owned()],
        source: Some("online"),
        known_at: Some(Instant(0)),
        cut: Some(Cut::empty()),
        fresh: Freshness { degraded: false, staleness_ms: 0, cut: Cut::empty() },
    }
}

#[test]
fn an_object_tells_everything() {
    let mut out = Vec::new();
    served(FeatureStatus::OutsideTtl).write_json("view", "a@1", &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"view":"a@1","rows":[{"n":7}],"status":[["outside_ttl"]],"source":"online","#.to_owned()
            + r#""known_at":"1970-01-01T00:00:00Z","cut":"","degraded":false,"staleness_ms":0}"#
    );
}

async fn columns(views: &[&str]) -> (Vec<String>, RecordBatch) {
    let views: Vec<VersionedName> = views.iter().map(|view| view.parse().unwrap()).collect();
    let all = views.iter().map(|_| served(FeatureStatus::Present)).collect();
    let body = views_arrow(&views, all).unwrap().into_body();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let rows = arrow::ipc::reader::StreamReader::try_new(&bytes[..], None).unwrap().next().unwrap().unwrap();
    (rows.schema().fields().iter().map(|field| field.name().clone()).collect(), rows)
}

#[tokio::test]
async fn several_views_make_one_stream() {
    let (names, rows) = columns(&["a@1", "b@3"]).await;
    assert_eq!(names, ["a__n", "b__n", "_status"]);
    assert_eq!(rows.column(2).as_list::<i32>().value(0).len(), 2, "a status for each value");
    assert_eq!(columns(&["a@1", "a@2"]).await.0, ["a@1__n", "a@2__n", "_status"]);
}
