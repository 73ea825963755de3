//! Contracts as JSON Schema and back, as SQL, as a page.

use super::super::{from_json_schema, to_ddl, to_html, to_json_schema};
use super::generated::{Dice, object};
use super::*;

fn orders() -> Contract {
    contract_with(
        json!([
            {"name": "id", "logicalType": "integer", "primaryKey": true, "required": true},
            {"name": "mail", "logicalType": "string", "required": true, "description": "Where \"answers\" go.",
             "logicalTypeOptions": {"format": "email", "maxLength": 90}},
            {"name": "state", "logicalType": "string", "enum": ["open", "it's"]},
            {"name": "amount", "logicalType": "number", "physicalType": "decimal(12,2)",
             "logicalTypeOptions": {"minimum": 0, "exclusiveMaximum": 100}},
            {"name": "at", "logicalType": "timestamp", "logicalTypeOptions": {"minimum": "2020-01-01T00:00:00Z"}},
            {"name": "lines", "logicalType": "array", "logicalTypeOptions": {"minItems": 1},
             "items": {"logicalType": "object", "required": true, "properties": [{"name": "sku", "logicalType": "string"}]}}]),
        json!({"quality": [{"metric": "rowCount", "mustBeGreaterThan": 0}]}),
    )
}

#[test]
fn json_schema_says_what_it_can_and_the_rest_is_told() {
    let contract = orders();
    let (schema, lost) = to_json_schema(&contract, &contract.schema[0]);
    assert_eq!(schema["required"], json!(["id", "mail"]));
    assert_eq!(schema["properties"]["state"], json!({"type": ["string", "null"], "enum": ["open", "it's", null]}));
    assert_eq!(
        schema["properties"]["amount"],
        json!({"type": ["number", "null"], "minimum": 0, "exclusiveMaximum": 100})
    );
    assert_eq!(schema["properties"]["lines"]["items"]["properties"]["sku"], json!({"type": ["string", "null"]}));
    let told: Vec<String> = lost.iter().map(|lost| format!("{} {}", lost.place, lost.what)).collect();
    assert_eq!(told, ["t.id primaryKey", "t.amount physicalType", "t.at minimum, maximum", "t quality"]);
    let (back, lost) = from_json_schema("t", &schema).unwrap();
    assert_eq!(lost, []);
    assert_eq!(to_json_schema(&back, &back.schema[0]).0, schema);
}

/// What JSON Schema can express comes back as it was.
#[test]
fn a_contract_comes_back_from_json_schema() {
    for seed in 0..300 {
        let mut described = object(&mut Dice(seed + 9_000_000));
        described["quality"] = json!([]);
        for property in described["properties"].as_array_mut().unwrap() {
            property.as_object_mut().unwrap().remove("quality");
        }
        let contract: Contract = serde_json::from_value(json!({
            "apiVersion": "v3.2.0", "kind": "DataContract", "id": "t", "version": "1.0.0", "schema": [described]
        }))
        .unwrap();
        let (schema, _) = to_json_schema(&contract, &contract.schema[0]);
        let (back, lost) = from_json_schema("t", &schema).unwrap();
        assert_eq!(lost, [], "seed {seed}: {schema:#}");
        let (again, _) = to_json_schema(&back, &back.schema[0]);
        assert_eq!(again, schema, "seed {seed}");
        assert!(compile(&back, None).is_ok(), "seed {seed}: {schema:#}");
    }
}

#[test]
fn what_a_contract_cannot_say_is_told_when_it_is_read() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": ["string", "integer"]}, "b": {"oneOf": []}, "c": {"type": "string", "format": "idn-email"}}});
    let (contract, lost) = from_json_schema("x", &schema).unwrap();
    let told: Vec<String> = lost.iter().map(|lost| format!("{} {}", lost.place, lost.what)).collect();
    assert_eq!(told, ["/properties/a type", "/properties/b type", "/properties/b oneOf", "/properties/c format"]);
    assert_eq!(contract.schema[0].properties.len(), 3);
    for wrong in [json!({}), json!([]), json!({"type": "object", "properties": {}})] {
        from_json_schema("x", &wrong).unwrap_err();
    }
}

#[test]
fn sql_creates_the_table() {
    let contract = orders();
    let (sql, lost) = to_ddl(&contract, &contract.schema[0]);
    let expected = r#"
        CREATE TABLE "t" (
          "id" BIGINT NOT NULL,
          "mail" VARCHAR(90) NOT NULL,
          "state" TEXT CHECK ("state" IN ('open', 'it''s')),
          "amount" DECIMAL(12,2) CHECK ("amount" >= 0 AND "amount" < 100),
          "at" TIMESTAMP WITH TIME ZONE CHECK ("at" >= '2020-01-01T00:00:00Z'),
          "lines" JSON,
          PRIMARY KEY ("id")
        );"#;
    assert_eq!(unindent(&sql), unindent(expected));
    let told: Vec<String> = lost.iter().map(|lost| format!("{} {}", lost.place, lost.what)).collect();
    assert_eq!(told, ["t.mail format", "t.lines array", "t quality"]);
}

#[test]
fn a_page_shows_every_rule_and_no_markup_of_others() {
    let mut contract = orders();
    contract.name = Some("<script>alert(1)</script>".to_owned());
    let page = to_html(&contract);
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
    for part in ["must be at least 0", "lines[].sku", "Where &quot;answers&quot; go.", "<code>rowCount</code>"] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
}
