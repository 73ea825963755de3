//! Ten faults as people see them: rule, column, value, limit, row and remedy.

use std::fmt::Write as _;
use std::path::Path;

use super::*;

const LINES: &str = r#"{"id": "p1", "amount": 70000, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z", "lines": []}
{"id": "p2", "amount": null, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z"}
{"id": "p3", "amount": 5, "currency": "EURO", "email": "a@b.org", "at": "2024-05-01T10:00:00Z"}
{"id": "p4", "amount": 5, "currency": "EUR", "email": "nobody", "at": "2024-05-01T10:00:00Z"}
{"id": "p5", "amount": "5", "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z"}
{"id": "p6", "amount": 5, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00.123456789Z"}
{"id": "p7", "amount": 5, "currency": "EUR", "email": "a@b.org", "at": "2024-03-31T02:30:00"}
{"id": "p8", "amount": 5, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z", "lines": [{"price": 1}, {"price": -2}]}
{"id": "p1", "amount": 6, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z"}
{"id": "p9", "amount": 5, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z"}
{"id": "p9", "amount": 6, "currency": "EUR", "email": "a@b.org", "at": "2024-05-01T10:00:00Z"}
{"id": "p10", "amount": 5, "currency": "EUR", "email": "a@b.o
"#;

#[test]
fn ten_faults() {
    let gate = gate_with(
        json!([
            {"name": "id", "logicalType": "string", "primaryKey": true},
            {"name": "amount", "logicalType": "number", "required": true, "logicalTypeOptions": {"maximum": 50000}},
            {"name": "currency", "logicalType": "string", "logicalTypeOptions": {"pattern": "^[A-Z]{3}$"}},
            {"name": "email", "logicalType": "string", "classification": "personal", "logicalTypeOptions": {"format": "email"}},
            {"name": "at", "logicalType": "timestamp"},
            {"name": "lines", "logicalType": "array", "items": {"logicalType": "object", "properties": [
                {"name": "price", "logicalType": "number", "logicalTypeOptions": {"minimum": 0}}]}}]),
        json!({"customProperties": [{"property": "seawall.zone", "value": "Europe/Berlin"}]}),
    );
    let decoded = decode_ndjson(&gate, LINES.as_bytes(), Limits::default());
    let verdict = gate.check(&decoded.batch, Input::Typed, NOW);
    let of_rows = verdict.quarantined.iter().map(|q| (decoded.rows[q.row as usize], &q.reasons));
    let of_lines = decoded.failures.iter().map(|failure| (failure.line, &failure.reasons));
    let mut found: Vec<_> = of_lines.chain(of_rows).collect();
    found.sort_by_key(|(line, _)| *line);
    let mut shown = String::new();
    for (line, reasons) in found {
        for reason in reasons {
            let column = reason.column.as_deref().unwrap_or("the row");
            writeln!(shown, "row {}: {} of {column} ({})", line + 1, reason.rule, reason.mode.as_str()).unwrap();
            writeln!(shown, "    {}", reason.message).unwrap();
            writeln!(shown, "    {}", reason.remedy()).unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract/tests/ten_faults.txt");
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(&path, &shown).unwrap();
    }
    assert_eq!(shown, std::fs::read_to_string(&path).unwrap_or_default());
}
