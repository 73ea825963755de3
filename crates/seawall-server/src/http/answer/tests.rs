//! Negotiation and what a stream carries.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::ipc::reader::StreamReader;
use axum::http::HeaderValue;

use super::*;

fn check(accept: &[&str], arrow: bool) {
    let mut headers = HeaderMap::new();
    for value in accept {
        headers.append(header::ACCEPT, HeaderValue::from_str(value).unwrap());
    }
    assert_eq!(prefers_arrow(&headers), arrow, "{accept:?}");
}

#[test]
fn who_asks_for_arrow_gets_it_and_everybody_else_json() {
    check(&[], false);
    check(&["*/*"], false);
    check(&["application/json"], false);
    check(&["application/vnd.apache.arrow.stream"], true);
    check(&["Application/Vnd.Apache.Arrow.Stream"], true);
    check(&["application/vnd.apache.arrow.stream, */*"], true);
    check(&["application/vnd.apache.arrow.stream, application/json"], false);
    check(&["application/vnd.apache.arrow.stream, application/json;q=0.5"], true);
    check(&["application/vnd.apache.arrow.stream;q=0.2, application/json;q=0.5"], false);
    check(&["application/vnd.apache.arrow.stream; q=0"], false);
    check(&["application/json;q=0.9", "application/vnd.apache.arrow.stream"], true);
}

#[tokio::test]
async fn a_stream_says_what_it_was_made_from() {
    let values = Int64Array::from(vec![Some(1), None]);
    let schema = Arc::new(Schema::new(vec![Field::new("n", values.data_type().clone(), true)]));
    let rows = RecordBatch::try_new(schema, vec![Arc::new(values)]).unwrap();
    let status = vec![vec![FeatureStatus::Present], vec![FeatureStatus::NotFound]];
    let rows = with_status(&rows, &status).unwrap();
    let provenance = Provenance {
        truncated: Some(false),
        cut: Some("0:2".into()),
        features: Some(vec!["n".into()]),
        ..Provenance::default()
    };
    let response = arrow_stream(&rows.schema(), std::slice::from_ref(&rows), provenance).unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], ARROW_STREAM);
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let mut reader = StreamReader::try_new(bytes.as_ref(), None).unwrap();
    let metadata = reader.schema().metadata().clone();
    let told = |key: &str| metadata.get(key).map(String::as_str);
    assert_eq!((told("seawall.truncated"), told("seawall.cut")), (Some("false"), Some("0:2")));
    assert_eq!((told("seawall.features"), told("seawall.known_at")), (Some("[\"n\"]"), None));
    let read = reader.next().unwrap().unwrap();
    let first = read.column_by_name(STATUS).unwrap().as_list::<i32>().value(1);
    assert_eq!(first.as_string::<i32>().value(0), "not_found");
    assert!(read.column(0).is_null(1));
}
