//! Generated rows against the gate: what obeys is accepted, every violation is found, and nothing else is.

use std::collections::BTreeMap;

use super::super::{GenerateOptions, Generator, Tally};
use super::generated::{Dice, object};
use super::*;

const UNTIL: Instant = Instant(1_700_000_000_000_000);

fn options(rows: u64, violations: f64, seed: u64) -> GenerateOptions {
    GenerateOptions { rows, violations, seed, until: UNTIL }
}

type Counts = BTreeMap<(String, Option<String>), u64>;

/// All rows, and how often each rule is broken on purpose.
fn all(contract: &Contract, options: GenerateOptions) -> Result<(Vec<Value>, Counts), String> {
    let mut generator = Generator::new(contract, None, options).map_err(|stuck| stuck.message)?;
    let (mut rows, mut counts) = (Vec::new(), Counts::new());
    loop {
        let chunk = generator.chunk().map_err(|stuck| stuck.message)?;
        if chunk.rows.is_empty() {
            return Ok((rows, counts));
        }
        for violation in &chunk.violations {
            assert!(violation.row < options.rows);
            *counts.entry((violation.rule.clone(), violation.column.clone())).or_default() += 1;
        }
        rows.extend(chunk.rows);
    }
}

/// Rows that break each rule, by the gate over the whole.
fn judged(contract: &Contract, rows: &[Value]) -> (Counts, u64) {
    let gate = super::super::compile_for_test(contract, None).unwrap();
    let mut tally = Tally::of(&gate);
    // Other batches than the generator's.
    for part in rows.chunks(1_000) {
        tally.add(&json_batch(&gate, part), Input::Typed).unwrap();
    }
    let stopped = tally.stopped();
    let broken = tally.finish(NOW).into_iter().filter(|measured| !measured.holds && measured.offending > 0);
    let counts = broken.map(|measured| ((measured.rule, measured.column), measured.offending));
    (counts.collect(), stopped)
}

fn payments() -> Contract {
    contract_with(
        json!([
            {"name": "id", "logicalType": "string", "primaryKey": true, "required": true,
             "logicalTypeOptions": {"pattern": "^PAY-[0-9]{8}$"}},
            {"name": "paid_at", "logicalType": "timestamp", "required": true},
            {"name": "amount", "logicalType": "number", "physicalType": "decimal(12,2)", "required": true,
             "logicalTypeOptions": {"minimum": 0, "maximum": 50000}},
            {"name": "currency", "logicalType": "string", "enum": ["EUR", "SEK", "USD"]},
            {"name": "email", "logicalType": "string", "logicalTypeOptions": {"format": "email", "maxLength": 60}},
            {"name": "country", "logicalType": "string", "logicalTypeOptions": {"pattern": "^[A-Z]{2}$"}},
            {"name": "reference", "logicalType": "integer", "unique": true, "logicalTypeOptions": {"minimum": 1000}},
            {"name": "booked", "logicalType": "date", "logicalTypeOptions": {"format": "dd/MM/yyyy"}},
            {"name": "even", "logicalType": "integer", "logicalTypeOptions": {"multipleOf": 2, "minimum": -10, "maximum": 10}},
            {"name": "status", "logicalType": "string",
             "quality": [{"id": "known", "metric": "invalidValues", "mustBe": 0,
                          "arguments": {"validValues": ["open", "done"]}}]},
            {"name": "lines", "logicalType": "array", "logicalTypeOptions": {"minItems": 1, "maxItems": 3},
             "items": {"logicalType": "object", "properties": [
                {"name": "sku", "logicalType": "string", "required": true, "logicalTypeOptions": {"minLength": 3}},
                {"name": "n", "logicalType": "integer", "logicalTypeOptions": {"minimum": 1}}]}}]),
        json!({"customProperties": [{"property": "seawall.eventTime", "value": "paid_at"}]}),
    )
}

#[test]
fn every_violation_is_found_and_nothing_else() {
    let (rows, counts) = all(&payments(), options(20_000, 0.01, 7)).unwrap();
    assert_eq!((rows.len(), counts.values().sum::<u64>()), (20_000, 200));
    let (found, stopped) = judged(&payments(), &rows);
    assert_eq!((found, stopped), (counts.clone(), 200));
    let rules: Vec<String> =
        counts.keys().map(|(rule, column)| format!("{rule} {}", column.as_deref().unwrap_or("-"))).collect();
    for expected in [
        "enum currency",
        "format email",
        "key_conflict id",
        "known status",
        "maximum amount",
        "maxItems lines",
        "minItems lines",
        "minLength lines[].sku",
        "minimum amount",
        "minimum lines[].n",
        "minimum reference",
        "multipleOf even",
        "pattern country",
        "pattern id",
        "required amount",
        "required lines[].sku",
    ] {
        assert!(rules.iter().any(|rule| rule == expected), "{expected} is missing: {rules:?}");
    }
}

#[test]
fn without_violations_every_row_is_accepted() {
    let (rows, counts) = all(&payments(), options(5_000, 0.0, 1)).unwrap();
    assert!(counts.is_empty());
    assert_eq!(judged(&payments(), &rows), (Counts::new(), 0));
    assert!(rows.iter().any(|row| row["currency"].is_null()), "optional columns are null now and then");
}

#[test]
fn the_same_seed_gives_the_same_rows() {
    let first = all(&payments(), options(500, 0.1, 42)).unwrap();
    assert_eq!(all(&payments(), options(500, 0.1, 42)).unwrap(), first);
    assert_ne!(all(&payments(), options(500, 0.1, 43)).unwrap().0, first.0);
}

#[test]
fn what_cannot_be_made_is_told() {
    let check = |properties: Value, options: GenerateOptions, part: &str| {
        let said = all(&contract(properties), options).unwrap_err();
        assert!(said.contains(part), "{said}");
    };
    let column = |options: Value| json!([{"name": "v", "logicalType": "string", "required": true, "logicalTypeOptions": options}]);
    check(column(json!({"pattern": "^a{5}$", "maxLength": 3})), options(9, 0.0, 0), "column v");
    check(json!([{"name": "v", "logicalType": "boolean", "unique": true}]), options(9, 0.0, 0), "no new value of v");
    check(
        json!([{"name": "v", "logicalType": "string", "logicalTypeOptions": {"pattern": "("}}]),
        options(9, 0.0, 0),
        "compile",
    );
    let mut examples = column(json!({"pattern": "^(?!abc)[a-z]+(?<=x)$"}));
    check(examples.clone(), options(9, 0.0, 0), "column v");
    examples[0]["examples"] = json!(["yx", "zzx"]);
    all(&contract(examples), options(9, 0.0, 0)).unwrap();
}

/// Contracts as the oracle's test makes them: most can be generated, and then the counts agree.
#[test]
fn generated_contracts_get_rows_that_obey() {
    let pairs = if std::env::var("SEAWALL_LONG").is_ok() { 2_000 } else { 150 };
    let mut made = 0;
    for seed in 0..pairs {
        let mut object = object(&mut Dice(seed + 5_000_000));
        // What counts the rows of a table is not aimed at.
        object["quality"] = json!([]);
        for property in object["properties"].as_array_mut().unwrap() {
            property.as_object_mut().unwrap().remove("quality");
        }
        let contract: Contract = serde_json::from_value(json!({
            "apiVersion": "v3.2.0", "kind": "DataContract", "id": "c", "version": "1.0.0", "schema": [object]
        }))
        .unwrap();
        let Ok((rows, counts)) = all(&contract, options(200, 0.2, seed)) else { continue };
        made += 1;
        let (found, stopped) = judged(&contract, &rows);
        assert_eq!((&found, stopped), (&counts, 40), "seed {seed}\n{object:#}");
    }
    // Others ask for what no value has: a pattern and a length that exclude each other.
    assert!(made * 2 > pairs, "only {made} of {pairs} contracts could be generated");
}
