use arrow::ipc::reader::StreamReader;
use serde_json::Value;

use super::*;

fn body(request: &[u8]) -> (String, Vec<u8>) {
    let end = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8(request[..end].to_vec()).unwrap(), request[end + 4..].to_vec())
}

#[test]
fn lines_have_a_hundred_bytes_and_the_numbers_of_their_block() {
    let mut request = Request::new("h", "events", Some("sw_t"), Form::Ndjson, 3, Instant(1)).unwrap();
    request.of_block(9);
    let (head, body) = body(request.of_block(7));
    assert!(head.contains("content-length: 300") && head.contains("idempotency-key: 1000000000000007"), "{head}");
    let numbers: Vec<u64> = body
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| {
            assert_eq!(line.len(), EVENT_BYTES);
            serde_json::from_slice::<Value>(line).unwrap()["event_id"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(numbers, [FIRST_EVENT + 21, FIRST_EVENT + 22, FIRST_EVENT + 23]);
}

#[test]
fn batches_have_the_numbers_of_their_block() {
    let mut request = Request::new("h", "events", None, Form::Arrow, 3, Instant(1)).unwrap();
    let (_, body) = body(request.of_block(5));
    let batch = StreamReader::try_new(body.as_slice(), None).unwrap().next().unwrap().unwrap();
    let numbers = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
    let first = (FIRST_EVENT + 15) as i64;
    assert_eq!(numbers.values().to_vec(), [first, first + 1, first + 2]);
}
