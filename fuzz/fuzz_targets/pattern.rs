//! Any text as a pattern, over a few values: it compiles or not, and matching ends within its budget.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_base::Instant;
use seawall_kernel::contract::{Contract, Input, Limits, compile, decode_ndjson};

fuzz_target!(|pattern: &str| {
    let contract = serde_json::json!({
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": "f", "version": "1.0.0",
        "schema": [{"name": "t", "properties": [
            {"name": "a", "logicalType": "string", "logicalTypeOptions": {"pattern": pattern}}]}]
    });
    let contract: Contract = serde_json::from_value(contract).expect("it has the shape of a contract");
    let Ok(gate) = compile(&contract, None) else { return };
    let lines = [r#"{"a": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}"#, r#"{"a": ""}"#, r#"{"a": "é-1_ \n"}"#].join("\n");
    let decoded = decode_ndjson(&gate, lines.as_bytes(), Limits::default());
    let verdict = gate.check(&decoded.batch, Input::Typed, Instant(0));
    assert_eq!(verdict.accepted_rows.len() + verdict.quarantined.len(), 3);
});
