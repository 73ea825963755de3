//! Files: what is decoded, what is handed out as broken, what is refused.

mod fuzz_corpus;

use std::fs;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::WriterProperties;
use arrow::array::{Array, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A row of text cells; `None` is null.
type Row = Vec<Option<String>>;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn files(path: &str, format: FileFormat, null_values: &[&str]) -> Files {
    Files { path: path.into(), format, null_values: null_values.iter().map(|n| (*n).to_owned()).collect() }
}

/// Columns, rows and broken lines of a file with `content`, read in batches of `batch_rows`.
fn decode(content: &[u8], format: FileFormat, batch_rows: usize) -> Result<(Vec<String>, Vec<Row>, Vec<BrokenLine>)> {
    let folder = folder();
    fs::write(folder.path().join("f"), content).unwrap();
    let files = files("f", format, &["NA"]);
    let listed = list(&files, folder.path())?;
    let reader = read(&listed[0], &files, batch_rows)?;
    let columns = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    for decoded in reader {
        let decoded = decoded?;
        assert!(decoded.batch.num_rows() + decoded.broken.len() <= batch_rows, "a batch keeps to its size");
        rows.extend(cells(&decoded.batch));
        broken.extend(decoded.broken);
    }
    Ok((columns, rows, broken))
}

fn cells(batch: &RecordBatch) -> Vec<Row> {
    let cell = |column: &StringArray, row| column.is_valid(row).then(|| column.value(row).to_owned());
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|c| cell(c.as_string(), row)).collect()).collect()
}

fn row(cells: &[&str]) -> Row {
    cells.iter().map(|cell| (*cell != "-").then(|| (*cell).to_owned())).collect()
}

/// Checks the rows (`-` is null) and the broken lines (number and part of the message) of a CSV or NDJSON text.
fn check(content: &[u8], format: FileFormat, rows: &[&[&str]], broken: &[(u64, &str)]) {
    for batch_rows in [1, 2, 1_000] {
        let (_, found, found_broken) = decode(content, format, batch_rows).unwrap();
        let expected: Vec<Row> = rows.iter().map(|cells| row(cells)).collect();
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(content));
        assert_eq!(found_broken.len(), broken.len(), "{found_broken:?}");
        for (line, (number, message)) in found_broken.iter().zip(broken) {
            assert_eq!(line.line, *number, "{line:?}");
            assert!(line.message.contains(message), "{line:?}");
        }
    }
}

fn csv(content: &[u8], rows: &[&[&str]], broken: &[(u64, &str)]) {
    check(content, FileFormat::Csv, rows, broken);
}

fn ndjson(content: &[u8], rows: &[&[&str]], broken: &[(u64, &str)]) {
    check(content, FileFormat::Ndjson, rows, broken);
}

fn code_of<T>(result: Result<T>) -> &'static str {
    result.map(|_| ()).unwrap_err().code()
}

#[test]
fn csv_fields_stay_text_and_nulls_are_null() {
    csv(b"a,b\n1,x\n,NA\n007,\"NA\"\n", &[&["1", "x"], &["-", "-"], &["007", "-"]], &[]);
    csv(b"a,b\n1, x \n", &[&["1", " x "]], &[]);
}

#[test]
fn csv_takes_byte_order_marks_and_any_line_end() {
    csv(b"\xEF\xBB\xBFa,b\r\n1,2\r\n\r\n3,4", &[&["1", "2"], &["3", "4"]], &[]);
    let (columns, _, _) = decode(b"\xEF\xBB\xBFa, b \r\n1,2\r\n", FileFormat::Csv, 10).unwrap();
    assert_eq!(columns, ["a", "b"]);
}

#[test]
fn csv_quotes_hold_commas_quotes_and_line_ends() {
    csv(b"a,b\n\"x,\"\"y\"\"\",\"1\r\n2\n\n3\"\nz,w\n", &[&["x,\"y\"", "1\r\n2\n\n3"], &["z", "w"]], &[]);
}

#[test]
fn a_broken_csv_line_costs_one_line() {
    csv(b"a,b\n1\n2,2\n3,3,3\n4,4\n", &[&["2", "2"], &["4", "4"]], &[(2, "1 fields"), (4, "3 fields")]);
    csv(b"a,b\n1,\xFF\n2,2\n", &[&["2", "2"]], &[(2, "UTF-8")]);
    csv(b"a,b\n\"1\"x,1\n2,2\n", &[&["2", "2"]], &[(2, "closing quote")]);
    csv(b"a,b\n1,\"open\n2,2\n3,3\n", &[&["2", "2"], &["3", "3"]], &[(2, "not closed")]);
}

#[test]
fn a_broken_line_keeps_its_text() {
    let (_, _, broken) = decode(b"a,b\n1,2,\"3\n4\"\r\n", FileFormat::Csv, 10).unwrap();
    assert_eq!(broken[0].raw, "1,2,\"3\n4\"");
    let long = format!("a,b\n{}\n1,2\n", "x".repeat(3 * RECORD_BYTES_MAX));
    let (_, rows, broken) = decode(long.as_bytes(), FileFormat::Csv, 10).unwrap();
    assert_eq!(rows, [row(&["1", "2"])]);
    assert_eq!(broken[0].raw.len(), RAW_BYTES_MAX);
    assert!(broken[0].message.contains("longer"), "{}", broken[0].message);
}

#[test]
fn an_open_quote_does_not_swallow_the_file() {
    let mut text = String::from("a,b\n1,\"open\n");
    let lines = RECORD_BYTES_MAX / 4;
    for _ in 0..2 * lines {
        text.push_str("1,2\n");
    }
    let (_, rows, broken) = decode(text.as_bytes(), FileFormat::Csv, 8_192).unwrap();
    assert_eq!(rows.len(), 2 * lines);
    assert_eq!(broken.iter().map(|line| line.line).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_csv_header_names_each_column_once() {
    assert_eq!(code_of(decode(b"", FileFormat::Csv, 10)), "SW0704");
    assert_eq!(code_of(decode(b"\n\n", FileFormat::Csv, 10)), "SW0704");
    for header in ["a,a\n", "a,\n", "a,\"b\n", "a,\"b\"c\n"] {
        assert_eq!(code_of(decode(header.as_bytes(), FileFormat::Csv, 10)), "SW0705", "{header}");
    }
    let wide = vec!["c"; COLUMNS_MAX + 1].join(",");
    assert_eq!(code_of(decode(wide.as_bytes(), FileFormat::Csv, 10)), "SW0713");
    let error = decode(b"a,a\n1,2\n", FileFormat::Csv, 10).unwrap_err();
    assert!(error.to_string().contains("line 1"), "{error}");
    csv(b"a,b\n", &[], &[]);
}

#[test]
fn ndjson_values_keep_their_text() {
    ndjson(
        br#"{"a": "x\ny", "b": 1.10, "c": 12345678901234567890123}
{"a": null, "b": true, "c": {"d": [1, "}"], "e": "\"" } }
"#,
        &[&["x\ny", "1.10", "12345678901234567890123"], &["-", "true", r#"{"d": [1, "}"], "e": "\"" }"#]],
        &[],
    );
}

#[test]
fn a_late_ndjson_column_is_not_lost() {
    ndjson(b"{\"a\":1}\n\n{\"b\":2,\"a\":3}\r\n{}\n", &[&["1", "-"], &["3", "2"], &["-", "-"]], &[]);
    let (columns, _, _) = decode(b"{\"a\":1}\n{\"b\":2,\"a\":3}\n", FileFormat::Ndjson, 1).unwrap();
    assert_eq!(columns, ["a", "b"]);
}

#[test]
fn a_broken_ndjson_line_costs_one_line() {
    ndjson(
        b"{\"a\":1}\n{\"a\":\n[1]\n{\"a\":\"\xFF\"}\n{\"a\":1,\"a\":2}\n{\"a\":\"\\ud800\"}\n{\"a\":2} x\n{\"a\":2}\n",
        &[&["1"], &["2"]],
        &[(2, "not JSON"), (3, "not a JSON object"), (4, "UTF-8"), (5, "twice"), (6, "not JSON"), (7, "not JSON")],
    );
    let deep = format!("{{\"a\":{}{}}}\n", "[".repeat(200_000), "]".repeat(200_000));
    let (_, rows, _) = decode(deep.as_bytes(), FileFormat::Ndjson, 10).unwrap();
    assert_eq!(rows[0][0].as_ref().unwrap().len(), 400_000);
}

#[test]
fn ndjson_columns_beyond_the_limit_break_their_line() {
    let mut text = String::new();
    for column in 0..=COLUMNS_MAX {
        text.push_str(&format!("{{\"c{column}\":1}}\n"));
    }
    let (columns, rows, broken) = decode(text.as_bytes(), FileFormat::Ndjson, 8_192).unwrap();
    assert_eq!((columns.len(), rows.len()), (COLUMNS_MAX, COLUMNS_MAX));
    assert_eq!(broken[0].line, COLUMNS_MAX as u64 + 1);
}

fn parquet_bytes(rows: i64, group_rows: usize) -> Vec<u8> {
    let times = TimestampMicrosecondArray::from_iter_values(0..rows).with_timezone("UTC");
    let columns = vec![
        ("n", Arc::new(Int64Array::from_iter_values(0..rows)) as Arc<dyn Array>),
        ("t", Arc::new(times)),
        ("s", Arc::new(StringArray::from_iter_values((0..rows).map(|i| i.to_string())))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn parquet_keeps_its_types() {
    let folder = folder();
    fs::write(folder.path().join("f.parquet"), parquet_bytes(2_500, 1_000)).unwrap();
    let files = files("f.parquet", FileFormat::Parquet, &[]);
    let reader = read(&list(&files, folder.path()).unwrap()[0], &files, 700).unwrap();
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let types: Vec<_> = reader.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types, [DataType::Int64, instant, DataType::Utf8]);
    let mut next = 0;
    for decoded in reader {
        let batch = decoded.unwrap().batch;
        for value in batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().values() {
            assert_eq!(*value, next);
            next += 1;
        }
    }
    assert_eq!(next, 2_500);
}

/// Whatever is done to a Parquet file, reading it ends, without a panic.
#[test]
fn damaged_parquet_is_an_error_at_worst() {
    let whole = parquet_bytes(300, 100);
    let folder = folder();
    let path = folder.path().join("f.parquet");
    let files = files("f.parquet", FileFormat::Parquet, &[]);
    let mut failed = 0;
    let mut seed = 1u64;
    for round in 0..400 {
        let mut bytes = whole.clone();
        if round % 4 == 0 {
            bytes.truncate(round * whole.len() / 400);
        } else {
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 33) as usize % bytes.len();
                bytes[at] = (seed >> 20) as u8;
            }
        }
        fs::write(&path, &bytes).unwrap();
        let listed = list(&files, folder.path()).unwrap();
        let read = read(&listed[0], &files, 64).and_then(|reader| reader.collect::<Result<Vec<_>>>());
        failed += usize::from(read.is_err());
    }
    assert!(failed > 100, "only {failed} of 400 damaged files were refused");
}

#[test]
fn what_is_not_parquet_is_refused() {
    for bytes in [&b""[..], b"PAR1", b"a,b\n1,2\n3,4\n", b"PAR1\xFF\xFF\xFF\x7FPAR1"] {
        let code = code_of(decode(bytes, FileFormat::Parquet, 10));
        assert!(["SW0707", "SW0708"].contains(&code), "{code} for {bytes:?}");
    }
}

#[test]
fn a_panic_in_the_parquet_reader_is_contained() {
    let result: Result<()> = parquet::contained(Path::new("f.parquet"), || panic!("at the disco"));
    let error = result.unwrap_err();
    assert_eq!(error.code(), "SW0709");
    assert!(error.to_string().contains("at the disco"), "{error}");
}

#[test]
fn a_pattern_lists_by_name_with_content_hashes() {
    let folder = folder();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::create_dir(folder.path().join("data/old.csv")).unwrap();
    for name in ["b.csv", "a.csv", ".hidden.csv", "c.txt"] {
        fs::write(folder.path().join("data").join(name), name).unwrap();
    }
    let listed = list(&files("data/*.csv", FileFormat::Csv, &[]), folder.path()).unwrap();
    let names: Vec<_> = listed.iter().map(|file| file.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.csv", "b.csv"]);
    assert_eq!(listed[0].hash, Hash::of(b"a.csv"));
    assert_eq!(listed[0].bytes, 5);
    let one = list(&files("data/b.csv", FileFormat::Csv, &[]), folder.path()).unwrap();
    assert_eq!(one, listed[1..]);
    assert!(list(&files("data/*.parquet", FileFormat::Parquet, &[]), folder.path()).unwrap().is_empty());
}

#[test]
fn a_missing_path_says_how_far_it_exists() {
    let folder = folder();
    fs::create_dir(folder.path().join("data")).unwrap();
    for path in ["data/x.csv", "dta/x.csv", "dta/*.csv"] {
        let error = list(&files(path, FileFormat::Csv, &[]), folder.path()).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "SW0701"));
        assert!(error.remedy().is_some_and(|hint| hint.contains("--set")), "{error:?}");
    }
    for path in ["data", "da*/x.csv", "data/**.csv"] {
        assert_eq!(code_of(list(&files(path, FileFormat::Csv, &[]), folder.path())), "SW0702", "{path}");
    }
}

#[test]
fn a_file_that_grew_since_it_was_listed_is_not_read() {
    let folder = folder();
    fs::write(folder.path().join("f.csv"), "a\n1\n").unwrap();
    let files = files("f.csv", FileFormat::Csv, &[]);
    let listed = list(&files, folder.path()).unwrap();
    fs::write(folder.path().join("f.csv"), "a\n1\n2\n").unwrap();
    let error = read(&listed[0], &files, 10).map(|_| ()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "SW0706"));
}

fn reference(path: &str, format: FileFormat) -> ReferenceFile {
    ReferenceFile { name: "airports".into(), files: files(path, format, &["NA"]) }
}

#[test]
fn a_reference_is_one_batch_with_its_hash() {
    let folder = folder();
    fs::write(folder.path().join("a.csv"), "faa,tz\nSEA,-8\nXXX,NA\n").unwrap();
    fs::write(folder.path().join("a.parquet"), parquet_bytes(10, 3)).unwrap();
    let read = read_reference(&reference("a.csv", FileFormat::Csv), folder.path()).unwrap();
    assert_eq!(read.name, "airports");
    assert_eq!(read.hash, Hash::of(b"faa,tz\nSEA,-8\nXXX,NA\n"));
    assert_eq!(cells(&read.rows), [row(&["SEA", "-8"]), row(&["XXX", "-"])]);
    let typed = read_reference(&reference("a.parquet", FileFormat::Parquet), folder.path()).unwrap();
    assert_eq!(typed.rows.num_rows(), 10);
}

#[test]
fn half_a_reference_is_none() {
    let folder = folder();
    fs::write(folder.path().join("a.csv"), "faa,tz\nSEA\nPDX,-8\n").unwrap();
    let error = read_reference(&reference("a.csv", FileFormat::Csv), folder.path()).unwrap_err();
    assert_eq!(error.code(), "SW0711");
    assert!(error.to_string().contains("line 2"), "{error}");
    assert_eq!(code_of(read_reference(&reference("*.csv", FileFormat::Csv), folder.path())), "SW0702");
    let huge = fs::File::create(folder.path().join("b.csv")).unwrap();
    huge.set_len(REFERENCE_BYTES_MAX + 1).unwrap();
    assert_eq!(code_of(read_reference(&reference("b.csv", FileFormat::Csv), folder.path())), "SW0710");
}

#[test]
fn a_sample_is_the_beginning() {
    let folder = folder();
    let path = folder.path().join("f");
    let sampled = |content: &str, format, rows| {
        fs::write(&path, content).unwrap();
        sample(&path, format, rows).map(|batches| batches.iter().map(RecordBatch::num_rows).sum::<usize>())
    };
    assert_eq!(sampled("a\n1\n2\n3\n", FileFormat::Csv, 2).unwrap(), 2);
    assert_eq!(sampled("a\n1\n2\n3\n", FileFormat::Csv, 9).unwrap(), 3);
    assert_eq!(sampled("a\n1\n", FileFormat::Csv, 0).unwrap(), 0);
    assert_eq!(sampled("x\n{\"a\":1}\n{\"a\":1,\"b\":2}\n{\"c\":3}\n", FileFormat::Ndjson, 2).unwrap(), 2);
    let error = sampled("[\n1\n]\n", FileFormat::Ndjson, 5).unwrap_err();
    assert_eq!(error.code(), "SW0714");
}

#[test]
fn an_extension_tells_the_format() {
    let formats = [("a.csv", FileFormat::Csv), ("b.JSONL", FileFormat::Ndjson), ("c.ndjson", FileFormat::Ndjson)];
    for (name, format) in formats {
        assert_eq!(format_of(Path::new(name)).unwrap(), format);
    }
    assert_eq!(format_of(Path::new("d.parquet")).unwrap(), FileFormat::Parquet);
    assert_eq!(code_of(format_of(Path::new("d.xlsx"))), "SW0703");
}

fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// What is written as CSV is read back, whatever the fields hold.
    #[test]
    fn csv_round_trips(
        rows in prop::collection::vec(prop::collection::vec("[a-c,\"\r\n é]{0,6}", 3), 0..12),
        batch_rows in 1usize..5,
        crlf: bool,
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = format!("a,b,c{end}");
        for row in &rows {
            text.push_str(&row.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(","));
            text.push_str(end);
        }
        let (_, found, broken) = decode(text.as_bytes(), FileFormat::Csv, batch_rows).unwrap();
        let null_if_empty = |field: &String| (!field.is_empty()).then(|| field.clone());
        let expected: Vec<Row> = rows.iter().map(|row| row.iter().map(null_if_empty).collect()).collect();
        prop_assert_eq!(found, expected);
        prop_assert!(broken.is_empty());
    }

    /// What is written as JSON is read back as serde_json sees it.
    #[test]
    fn ndjson_round_trips(
        rows in prop::collection::vec(prop::collection::btree_map("[a-d\"\\\\]{1,2}", json(), 0..4), 0..8),
        batch_rows in 1usize..5,
    ) {
        let mut text = String::new();
        for row in &rows {
            text.push_str(&serde_json::to_string(row).unwrap());
            text.push('\n');
        }
        let (columns, found, broken) = decode(text.as_bytes(), FileFormat::Ndjson, batch_rows).unwrap();
        prop_assert!(broken.is_empty());
        prop_assert_eq!(found.len(), rows.len());
        for (found, row) in found.iter().zip(&rows) {
            for (column, cell) in columns.iter().zip(found) {
                let expected = match row.get(column) {
                    None | Some(serde_json::Value::Null) => None,
                    Some(serde_json::Value::String(text)) => Some(text.clone()),
                    Some(other) => Some(other.to_string()),
                };
                prop_assert_eq!(cell, &expected);
            }
        }
    }

    /// No bytes make a text decoder panic or lose count: every line is blank, good, broken, or inside of a quote.
    #[test]
    fn any_bytes_are_decoded(bytes in prop::collection::vec(prop::sample::select(b"a1,\"\n\r{}:[\xFF\\ ".to_vec()), 0..80)) {
        for format in [FileFormat::Csv, FileFormat::Ndjson] {
            let whole = decode(&bytes, format, 1_000).ok();
            let in_pieces = decode(&bytes, format, 1).ok();
            prop_assert_eq!(&whole, &in_pieces);
        }
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[a{}\\[\\],:\"\\\\\n é]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-c\"]{0,2}", inner, 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}
