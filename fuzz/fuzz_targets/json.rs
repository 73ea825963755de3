//! Any bytes as NDJSON of a contract with every type: each line is a row or has a reason, and what is accepted is
//! accepted again.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use seawall_base::Instant;
use seawall_kernel::contract::{Contract, Gate, Input, Limits, compile, decode_json_array, decode_ndjson, raw_json};

/// Compiled once: what is fuzzed is the decoding.
static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let contract = serde_json::json!({
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": "f", "version": "1.0.0",
        "schema": [{"name": "t", "properties": [
            {"name": "s", "logicalType": "string", "primaryKey": true, "logicalTypeOptions": {"maxLength": 9}},
            {"name": "i", "logicalType": "integer", "unique": true, "logicalTypeOptions": {"multipleOf": 3}},
            {"name": "n", "logicalType": "number"},
            {"name": "d", "logicalType": "number", "physicalType": "decimal(20, 4)"},
            {"name": "b", "logicalType": "boolean"},
            {"name": "y", "logicalType": "date", "logicalTypeOptions": {"format": "d.M.yyyy"}},
            {"name": "t", "logicalType": "timestamp"},
            {"name": "c", "logicalType": "time"},
            {"name": "l", "logicalType": "array", "items": {"logicalType": "integer"}},
            {"name": "m", "logicalType": "map", "map": {
                "key": {"logicalType": "string"}, "value": {"logicalType": "number"}}},
            {"name": "j", "logicalType": "object"},
            {"name": "o", "logicalType": "object", "properties": [{"name": "x", "logicalType": "string"}]}],
            "customProperties": [{"property": "seawall.zone", "value": "Europe/Berlin"}]}]
    });
    let contract: Contract = serde_json::from_value(contract).expect("it has the shape of a contract");
    compile(&contract, None).expect("it is sound")
});

fuzz_target!(|bytes: &[u8]| {
    let gate = &*GATE;
    let decoded = decode_ndjson(gate, bytes, Limits::default());
    assert_eq!(decoded.rows.len() + decoded.failures.len(), decoded.raw.len());
    let verdict = gate.check(&decoded.batch, Input::Typed, Instant(0));
    assert_eq!(verdict.accepted_rows.len() + verdict.quarantined.len(), decoded.rows.len());
    // The contract gives dates a form of their own, in which they are not written again.
    let rows: Vec<String> = (0..verdict.accepted.num_rows())
        .map(|row| raw_json(&verdict.accepted, row))
        .filter(|row| row.contains("\"y\":null"))
        .collect();
    let again = decode_ndjson(gate, rows.join("\n").as_bytes(), Limits { line_bytes_max: usize::MAX });
    assert!(again.failures.is_empty(), "{:?}", again.failures);
    let _ = decode_json_array(gate, bytes, Limits::default());
});
