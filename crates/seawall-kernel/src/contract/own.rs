//! Contracts of rows that Seawall makes itself: rules over the columns of a training set, with nothing around them.
//!
//! Such a contract is the inside of a schema object of the standard: `properties` and `quality`. Columns that are not
//! named are not judged. Rules are held to all rows together, as to one batch.

use serde_json::{Value, json};

use super::compile::{Problem, compile};
use super::gate::Gate;
use super::model::Contract;

/// Where the object stands in the contract that is made around it; problems tell their places within the object.
const AROUND: &str = "schema/0/";

/// Compiles the rules in `object` over rows called `name`.
///
/// # Errors
/// Every problem, each with its place within `object`.
pub fn compile_own(name: &str, object: &Value) -> Result<Gate, Vec<Problem>> {
    let problem = |path: String, code: &'static str, message: String, hint: &str| Problem {
        path,
        code,
        message,
        hint: Some(hint.to_owned()),
    };
    let Value::Object(members) = object else {
        return Err(vec![problem(
            String::new(),
            "SW0201",
            "the rules are no mapping".into(),
            "write `properties` under it",
        )]);
    };
    let mut inside = members.clone();
    inside.insert("name".into(), json!(name));
    let around = json!({
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": name, "version": "1.0.0", "status": "active",
        "schema": [inside],
    });
    let contract: Contract = serde_json::from_value(around).map_err(|error| {
        let hint = "compare them with `properties` and `quality` of the Open Data Contract Standard";
        vec![problem(String::new(), "SW0201", format!("the rules cannot be read: {error}"), hint)]
    })?;
    let gate = compile(&contract, Some(name)).map_err(|problems| {
        let inside = |problem: Problem| Problem {
            path: problem.path.strip_prefix(AROUND).unwrap_or(&problem.path).to_owned(),
            ..problem
        };
        problems.into_iter().map(inside).collect::<Vec<_>>()
    })?;
    if let Some(asked) = gate.table_rules().first() {
        let hint = "use a metric of the library: nullValues, missingValues, invalidValues, duplicateValues, rowCount";
        let message = format!("the rule {} is a question in SQL, which is not asked of rows in the making", asked.rule);
        let path = asked.path.strip_prefix(AROUND).unwrap_or(&asked.path).to_owned();
        return Err(vec![problem(path, "SW1512", message, hint)]);
    }
    Ok(gate)
}
