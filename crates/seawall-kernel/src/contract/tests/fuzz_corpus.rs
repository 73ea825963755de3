//! The corpora of the fuzz targets `pattern` and `json`, and mutations of them, as an ordinary test. The number of
//! mutations is that of a quick look; `SEAWALL_LONG=1` makes it a hundred times as many.

use std::path::{Path, PathBuf};

use super::super::{Mode, raw_json};
use super::generated::Dice;
use super::*;

const MUTATIONS: u64 = 60;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Each input of the corpus, then inputs made of them by cutting, repeating, joining and overwriting.
fn each_input(name: &str, mut run: impl FnMut(&[u8])) {
    let corpus = corpus(name);
    corpus.iter().for_each(|input| run(input));
    let rounds = if std::env::var("SEAWALL_LONG").is_ok() { MUTATIONS * 100 } else { MUTATIONS };
    let mut dice = Dice(1);
    for _ in 0..rounds {
        for input in &corpus {
            let mut bytes = input.clone();
            for _ in 0..1 + dice.roll(4) {
                mutate(&mut dice, &mut bytes, &corpus);
            }
            run(&bytes);
        }
    }
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = dice.roll(bytes.len() as u64 + 1) as usize;
    match dice.roll(5) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] = dice.roll(256) as u8,
        2 => bytes.insert(at, dice.pick(b"(){}[]*+?|\\^$.-,:\"'0e9\n \xff")),
        3 => {
            let other = dice.pick(corpus);
            let from = dice.roll(other.len() as u64 + 1) as usize;
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
        _ => {
            let part: Vec<u8> = bytes[at..].iter().take(20).copied().collect();
            (0..dice.roll(8)).for_each(|_| bytes.extend(&part));
        }
    }
}

#[test]
fn patterns() {
    each_input("pattern", |bytes| {
        let Ok(pattern) = std::str::from_utf8(bytes) else { return };
        let contract = contract(json!([
            {"name": "a", "logicalType": "string", "logicalTypeOptions": {"pattern": pattern}}]));
        let Ok(gate) = compile(&contract, None) else { return };
        let rows = ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "", "é-1_ \n"].map(|text| json!({"a": text}));
        account(&gate.check(&json_batch(&gate, &rows), Input::Typed, NOW), 3);
    });
}

#[test]
fn lines_of_json() {
    let gate = gate_with(
        json!([
            {"name": "s", "logicalType": "string", "primaryKey": true, "logicalTypeOptions": {"maxLength": 9}},
            {"name": "i", "logicalType": "integer", "unique": true, "logicalTypeOptions": {"multipleOf": 3}},
            {"name": "n", "logicalType": "number"},
            {"name": "d", "logicalType": "number", "physicalType": "decimal(20, 4)"},
            {"name": "b", "logicalType": "boolean"},
            {"name": "t", "logicalType": "timestamp"},
            {"name": "c", "logicalType": "time"},
            {"name": "l", "logicalType": "array", "items": {"logicalType": "integer"}},
            {"name": "m", "logicalType": "map", "map": {
                "key": {"logicalType": "string"}, "value": {"logicalType": "number"}}},
            {"name": "o", "logicalType": "object", "properties": [{"name": "x", "logicalType": "string"}]}]),
        json!({"customProperties": [{"property": "seawall.zone", "value": "Europe/Berlin"}]}),
    );
    each_input("json", |bytes| {
        let decoded = decode_ndjson(&gate, bytes, Limits::default());
        let mut lines: Vec<u32> = decoded.rows.clone();
        lines.extend(decoded.failures.iter().map(|failure| failure.line));
        lines.sort_unstable();
        assert!(lines.iter().copied().eq(0..lines.len() as u32), "each line is a row or a failure, once");
        let reasons = decoded.failures.iter().flat_map(|failure| &failure.reasons);
        assert!(reasons.into_iter().all(|reason| reason.mode >= Mode::Quarantine));
        let verdict = gate.check(&decoded.batch, Input::Typed, NOW);
        account(&verdict, decoded.rows.len());
        let rows: Vec<String> = (0..verdict.accepted.num_rows()).map(|row| raw_json(&verdict.accepted, row)).collect();
        let again = decode_ndjson(&gate, rows.join("\n").as_bytes(), Limits { line_bytes_max: usize::MAX });
        assert_eq!(again.failures, vec![], "accepted rows are accepted again");
        assert_eq!(again.batch.num_rows(), rows.len());
    });
}
