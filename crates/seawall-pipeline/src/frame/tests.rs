use arrow::array::{StringArray, TimestampMicrosecondArray};
use proptest::prelude::*;

use super::*;

fn header(counts: Counts) -> Header {
    Header {
        dataset: "payments".into(),
        source: "payments".into(),
        permit: "p1".into(),
        counts,
        rules: vec![RuleFailures {
            rule: "required".into(),
            column: Some("a".into()),
            mode: "quarantine".into(),
            rows: 2,
        }],
        position: Some(Position { stream: "payments".into(), rows: 7 }),
        files: vec![Hash::of(b"file")],
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

fn rows(values: &[&str]) -> RecordBatch {
    let times = || TimestampMicrosecondArray::from(vec![5i64; values.len()]).with_timezone("UTC");
    let schema = Schema::new(vec![
        Field::new("a", DataType::Utf8, true),
        Field::new(column::ARRIVAL, crate::instant_type(), false),
        Field::new(column::AVAILABLE_AT, crate::instant_type(), false),
    ]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(values.to_vec())), Arc::new(times()), Arc::new(times())];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn sample() -> Frame {
    let counts = Counts { received: 3, accepted: 2, quarantined: 1, ..Counts::default() };
    Frame { header: header(counts), accepted: Some(rows(&["x", "y"])), quarantined: Some(rows(&["raw"])) }
}

#[test]
fn frames_round_trip() {
    let frame = sample();
    assert_eq!(Frame::decode(&frame.encode().unwrap()).unwrap(), frame);
    assert!(frame.header.counts.balanced());
}

/// The form of earlier releases: header first, and time columns in every batch.
fn in_the_first_form(frame: &Frame) -> Vec<u8> {
    let mut bytes = MAGIC_1.to_vec();
    let header = serde_json::to_vec(&frame.header).unwrap();
    put_part(&mut bytes, |bytes| {
        bytes.extend_from_slice(&header);
        Ok(())
    })
    .unwrap();
    put_batch(&mut bytes, frame.accepted.as_ref()).unwrap();
    put_batch(&mut bytes, frame.quarantined.as_ref()).unwrap();
    bytes
}

#[test]
fn frames_of_earlier_releases_stay_readable() {
    let frame = sample();
    let bytes = Bytes::from(in_the_first_form(&frame));
    assert_eq!(Frame::decode(&bytes).unwrap(), frame);
    assert_eq!(Frame::decode_header(&bytes).unwrap(), frame.header);
}

#[test]
fn an_arrival_in_the_header_stands_for_the_time_columns() {
    let mut frame = sample();
    let whole = frame.accepted.take().unwrap();
    frame.header.arrival = Some(Instant(5));
    let own = whole.project(&[0]).unwrap();
    let payload = Draft::of(Some(&own), None).unwrap().finish(&frame.header, frame.quarantined.as_ref(), None).unwrap();
    assert_eq!(Frame::decode(&payload).unwrap().accepted, Some(whole));
}

#[test]
fn quarantined_rows_are_numbered_after_the_accepted_ones() {
    let frame = sample();
    let entry = LogEntry { first: Offset(40), rows: frame.live_rows(), payload: Bytes::new() };
    let lsn = |batch: &RecordBatch| {
        let column = batch.column_by_name(column::LSN).unwrap();
        column.as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
    };
    assert_eq!(lsn(&frame.numbered_accepted(&entry).unwrap().unwrap()), [40, 41]);
    assert_eq!(lsn(&frame.numbered_quarantined(&entry).unwrap().unwrap()), [42]);
    assert_eq!(entry.end(), Offset(43));
}

proptest! {
    #[test]
    fn damaged_frames_are_errors_and_never_panic(cut in 0usize..2000, at in 0usize..2000, bit in 0u8..8) {
        let whole = sample().encode().unwrap();
        if cut < whole.len() {
            prop_assert!(Frame::decode(&whole.slice(..cut)).is_err());
        }
        let mut bytes = whole.to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let _ = Frame::decode(&bytes.into());
    }
}
