use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use seawall_kernel::contract::{Contract, compile};

use super::*;

/// Column `id` is a key, `text` has at most 3 characters; one rule asks the whole table.
fn gate() -> Gate {
    let contract = json!({
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": "c", "version": "1.0.0",
        "schema": [{"name": "t", "properties": [
            {"name": "id", "logicalType": "integer", "primaryKey": true},
            {"name": "text", "logicalType": "string", "logicalTypeOptions": {"maxLength": 3}}],
            "quality": [{"type": "sql", "id": "sum", "query": "select sum(id) from {object}", "mustBeLessThan": 9}]}]
    });
    let contract: Contract = serde_json::from_value(contract).unwrap();
    compile(&contract, None).unwrap()
}

fn bytes(content: &[u8]) -> Content {
    Content::Bytes("the body".into(), Bytes::copy_from_slice(content))
}

fn judge<'a>(gate: &'a Gate, content: &'a Content, format: FileFormat, bounds: Bounds) -> Judge<'a> {
    Judge { gate, content, format, null_values: &[], wants_rows: true, bounds }
}

fn bounds(rows_max: u64, bytes_max: u64) -> Bounds {
    Bounds { rows_max, bytes_max, workers: 2, stop: Stop::default() }
}

fn parquet(rows: usize, text: &str) -> Content {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)));
    let batch = RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_page_size_limit(1 << 30)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    bytes(&writer.into_inner().unwrap())
}

#[test]
fn rows_in_memory_are_judged_in_every_format() {
    let gate = gate();
    let lines =
        b"{\"id\": 1, \"text\": \"ab\"}\n{\"id\": 2, \"text\": \"abcd\"}\n{\"id\": 1, \"text\": \"x\"}\n{\"id\":\n";
    let csv = b"id,text\n1,ab\n2,abcd\n1,x\n3\n";
    for (format, content) in [(FileFormat::Ndjson, bytes(lines)), (FileFormat::Csv, bytes(csv))] {
        let mut bad = Vec::new();
        let judge = judge(&gate, &content, format, bounds(4, 1 << 20));
        let judgement = judge
            .run(Instant(0), |row, reasons, raw| {
                bad.push((row, reasons.len(), raw()));
                Ok(())
            })
            .unwrap();
        assert_eq!((judgement.rows, judgement.stopped, judgement.broken_lines), (3, 2, 1), "{format:?}");
        assert_eq!(bad.len(), 3, "{bad:?}");
        assert!(!judgement.is_ok(false));
        assert_eq!(judge.accepted().unwrap().unwrap().num_rows(), 1, "what a rule stops is not accepted");
    }
    let content = parquet(3, "abc");
    let judgement = judge(&gate, &content, FileFormat::Parquet, bounds(3, 1 << 20)).run(Instant(0), |_, _, _| Ok(()));
    assert!(judgement.unwrap().is_ok(true));
}

#[test]
fn more_than_the_bounds_allow_is_refused() {
    let gate = gate();
    let lines = "{\"id\": 1}\n{\"id\": 2}\n{\"id\": \n".as_bytes();
    let over = |content: &Content, format, bounds: Bounds| {
        let judge = judge(&gate, content, format, bounds);
        let judged = judge.run(Instant(0), |_, _, _| Ok(())).and_then(|_| judge.accepted());
        judged.map(|_| "").unwrap_or_else(|error| error.code())
    };
    assert_eq!(over(&bytes(lines), FileFormat::Ndjson, bounds(3, 1 << 20)), "");
    assert_eq!(over(&bytes(lines), FileFormat::Ndjson, bounds(2, 1 << 20)), "SW0254", "a broken line counts");
    assert_eq!(over(&bytes(lines), FileFormat::Ndjson, bounds(3, 64)), "SW0254", "the accepted rows are too large");
    assert_eq!(over(&parquet(4, "abc"), FileFormat::Parquet, bounds(3, 1 << 20)), "SW0254");
    assert_eq!(over(&parquet(4, &"a".repeat(100_000)), FileFormat::Parquet, bounds(4, 10_000)), "SW0708");
    let stopped = bounds(3, 1 << 20);
    stopped.stop.now();
    assert_eq!(over(&bytes(lines), FileFormat::Ndjson, stopped), "SW0255");
}

#[test]
fn a_long_value_that_a_dictionary_repeats_is_never_unpacked_for_many_rows_at_once() {
    let (rows, value) = (2_000, "a".repeat(100_000));
    let content = parquet(rows, &value);
    let Content::Bytes(_, file) = &content else { panic!("it is in memory") };
    assert!(file.len() < 200_000, "the file is short: {}", file.len());
    let groups = crate::source::files::RowGroups::open_plain(&content, 16_384).unwrap().within(1 << 20).unwrap();
    let (mut seen, mut largest) = (0, 0);
    for group in 0..groups.count() {
        for decoded in groups.read(group).unwrap() {
            let batch = decoded.unwrap().batch;
            seen += batch.num_rows();
            largest = largest.max(batch.get_array_memory_size());
        }
    }
    assert_eq!(seen, rows);
    assert!(largest < 4 << 20, "{largest} bytes, where all rows at once would take 200 MB");
}
