//! Any text as a pattern, over a few values: it compiles or not, and matching ends within its budget.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use seawall_base::Instant;
use seawall_kernel::contract::{Contract, Input, Limits, compile, decode_ndjson};

/// The contract without its pattern, read once.
static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let contract = serde_json::json!({
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": "f", "version": "1.0.0",
        "schema": [{"name": "t", "properties": [
            {"name": "a", "logicalType": "string", "logicalTypeOptions": {"pattern": ""}}]}]
    });
    serde_json::from_value(contract).expect("it has the shape of a contract")
});

fuzz_target!(|pattern: &str| {
    let mut contract = CONTRACT.clone();
    let options = contract.schema[0].properties[0].logical_type_options.as_mut().expect("it has options");
    options.pattern = Some(pattern.to_owned());
    let Ok(gate) = compile(&contract, None) else { return };
    let lines = [r#"{"a": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}"#, r#"{"a": ""}"#, r#"{"a": "é-1_ \n"}"#].join("\n");
    let decoded = decode_ndjson(&gate, lines.as_bytes(), Limits::default());
    let verdict = gate.check(&decoded.batch, Input::Typed, Instant(0));
    assert_eq!(verdict.accepted_rows.len() + verdict.quarantined.len(), 3);
});
