//! Rules that are questions in SQL.

use arrow::array::{BooleanArray, Float64Array};

use super::super::table_rule::objection;
use super::super::{Mode, TableRule, compile};
use super::*;

fn rules(properties: Value, object: Value) -> Vec<TableRule> {
    gate_with(properties, object).table_rules().to_vec()
}

fn answer(array: ArrayRef) -> Vec<RecordBatch> {
    vec![column_batch("x", array)]
}

#[test]
fn placeholders_become_identifiers() {
    let rules = rules(
        json!([{"name": "a b", "logicalType": "string", "quality": [
            {"type": "sql", "query": "SELECT count(*) FROM {object} WHERE {property} IS NULL", "mustBeLessThan": 3},
            {"type": "sql", "id": "t", "query": "SELECT true FROM {table} WHERE {column} = ''", "mustBe": true, "severity": "error"}]}]),
        json!({}),
    );
    assert_eq!(rules[0].sql, r#"SELECT count(*) FROM "t" WHERE "a b" IS NULL"#);
    assert!(rules[0].judge(&answer(Arc::new(Float64Array::from(vec![2.0])))).unwrap().holds);
    let broken = rules[0].judge(&answer(Arc::new(Float64Array::from(vec![3.0])))).unwrap();
    assert_eq!((broken.holds, broken.message.as_str()), (false, "sql is 3.0; it must be less than 3"));
    assert_eq!(rules[1].sql, r#"SELECT true FROM "t" WHERE "a b" = ''"#);
    assert!(rules[1].judge(&answer(Arc::new(BooleanArray::from(vec![true])))).unwrap().holds);
    assert!(!rules[1].judge(&answer(Arc::new(BooleanArray::from(vec![false])))).unwrap().holds);
    assert!(rules[0].judge(&answer(Arc::new(StringArray::from(vec!["x"])))).is_err());
    assert!(rules[0].judge(&answer(Arc::new(Float64Array::from(vec![None::<f64>])))).is_err());
    assert!(rules[0].judge(&answer(Arc::new(Float64Array::from(vec![1.0, 2.0])))).is_err());
    assert!(rules[0].judge(&[]).is_err());
}

#[test]
fn statements_that_write_are_refused() {
    for sql in [
        "DELETE FROM t",
        "insert into t values (1)",
        "SELECT 1; DROP TABLE t",
        "/* hi */ CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "COPY t TO '/tmp/x'",
        "",
        ";",
        "-- nothing",
    ] {
        assert!(objection(sql).is_some(), "{sql}");
    }
    for sql in ["SELECT ';' FROM t", "with x as (select 1) select * from x;", "-- why\nSELECT 1", "(SELECT 1)"] {
        assert_eq!(objection(sql), None, "{sql}");
    }
    let contract = contract(json!([{"name": "a", "logicalType": "string", "quality": [
        {"type": "sql", "query": "DROP TABLE {object}", "mustBe": 0}]}]));
    let problems = compile(&contract, None).unwrap_err();
    assert_eq!((problems[0].code, problems[0].path.as_str()), ("SW0214", "schema/0/properties/0/quality/0/query"));
}

#[test]
fn the_own_engine_looks_at_rows_and_at_a_reference() {
    let rules = rules(
        json!([{"name": "a", "logicalType": "number"}, {"name": "b", "logicalType": "number"}]),
        json!({"quality": [
            {"type": "custom", "engine": "seawall", "name": "order", "implementation": {"rows": "a <= b"}},
            {"type": "custom", "engine": "seawall", "implementation": {"rows": "a > 0", "atMostPercent": 5}},
            {"type": "custom", "engine": "seawall", "implementation":
                {"accuracy": {"reference": "truth", "on": "a", "columns": ["b"], "tolerance": 0.5}, "atMost": 2}}]}),
    );
    assert_eq!(rules[0].sql, r#"SELECT count(*) FROM "t" WHERE (a <= b) IS NOT TRUE"#);
    assert!(rules[1].sql.starts_with("SELECT coalesce(100.0 * (SELECT count(*) FROM"), "{}", rules[1].sql);
    assert_eq!(rules[2].tables, ["truth"]);
    assert_eq!(
        rules[2].sql,
        r#"SELECT count(*) FROM "t" t JOIN "truth" r ON t."a" = r."a" WHERE ((t."b" IS NULL) <> (r."b" IS NULL) OR abs(t."b" - r."b") > 0.5)"#
    );
    for (implementation, path) in [
        (json!("x"), "schema/0/quality/0/implementation"),
        (json!({"rows": "a > 0", "else": 1}), "schema/0/quality/0/implementation/else"),
        (json!({"rows": "1; DROP TABLE t"}), "schema/0/quality/0/implementation/rows"),
        (json!({"accuracy": {"reference": "truth"}}), "schema/0/quality/0/implementation/accuracy"),
        (json!({}), "schema/0/quality/0/implementation"),
    ] {
        let quality = json!({"type": "custom", "engine": "seawall", "implementation": implementation});
        let contract = contract_with(json!([{"name": "a", "logicalType": "number"}]), json!({"quality": [quality]}));
        let problems = compile(&contract, None).unwrap_err();
        assert_eq!((problems[0].code, problems[0].path.as_str()), ("SW0214", path));
    }
}

#[test]
fn relationships_ask_for_what_is_missing() {
    let contract: Contract = serde_json::from_value(json!({
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": "c", "version": "1.0.0", "schema": [
            {"name": "orders", "id": "o", "properties": [
                {"name": "id", "id": "oid", "logicalType": "string"},
                {"name": "customer", "logicalType": "string", "relationships": [
                    {"to": "customers.id"}, {"to": "nobody.id"}, {"to": "x.yaml#customers.id"}]}],
             "relationships": [
                {"from": ["orders.id", "orders.customer"], "to": ["customers.id", "customers.name"]},
                {"from": "schema/o/properties/oid", "to": "schema/c/properties/cid"},
                {"from": "customers.id", "to": "orders.id"}]},
            {"name": "customers", "id": "c", "properties": [
                {"name": "id", "id": "cid", "logicalType": "string"}, {"name": "name", "logicalType": "string"}]}]
    }))
    .unwrap();
    let gate = compile(&contract, Some("orders")).unwrap();
    let asked: Vec<&str> = gate.table_rules().iter().map(|rule| rule.description.as_str()).collect();
    assert_eq!(
        asked,
        [
            "id, customer must exist in customers.id, customers.name",
            "id must exist in customers.id",
            "customer must exist in customers.id"
        ]
    );
    assert_eq!(
        gate.table_rules()[2].sql,
        r#"SELECT count(*) FROM "orders" t WHERE t."customer" IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "customers" r WHERE r."id" = t."customer")"#
    );
    assert!(gate.table_rules().iter().all(|rule| rule.mode == Mode::Warn && rule.tables == ["customers"]));
    let paths: Vec<&str> = gate.not_executed().iter().map(|rule| rule.path.as_str()).collect();
    assert_eq!(
        paths,
        ["schema/0/relationships/2", "schema/0/properties/1/relationships/1", "schema/0/properties/1/relationships/2"]
    );
}
