//! Rules about the whole table: `sql`, and `custom` for Seawall's own engine.
//!
//! The engine `seawall` takes one of two forms under `implementation`: `rows: EXPRESSION`, an SQL expression that must
//! be true of every row, and `accuracy: {reference: DATASET, on: [KEY], columns: [COLUMN], tolerance: 0.01}`, which
//! compares columns with those of a reference dataset. `atMost` rows, or `atMostPercent`, may offend; none by default.

use serde_json::Value;

use super::super::model::{Quality, custom};
use super::super::rule::Threshold;
use super::super::table_rule::{Expected, TableRule, identifier, objection};
use super::super::verdict::Mode;
use super::Compiler;
use super::quality::{name, severity_mode};

/// Name of the engine of `custom` rules that is Seawall's own.
const OWN_ENGINE: &str = "seawall";
const OWN_HINT: &str = "write `rows: EXPRESSION` or `accuracy: {reference: DATASET, on: [KEY], columns: [COLUMN]}`";

impl Compiler {
    /// Compiles a rule that is a question in SQL; whether `quality` is one.
    pub(super) fn table_rule(&mut self, quality: &Quality, json: &str, column: Option<&str>) -> bool {
        match quality.kind.as_deref() {
            Some("sql") => self.sql_rule(quality, json, column),
            Some("custom") => self.custom_rule(quality, json, column),
            _ => return false,
        }
        true
    }

    fn sql_rule(&mut self, quality: &Quality, json: &str, column: Option<&str>) {
        let Some(query) = &quality.query else {
            self.problem(json, "SW0207", "the rule has no query", "add `query: SELECT ...`");
            return;
        };
        if let Some(objection) = objection(query) {
            let hint = "a rule is one statement that reads and answers one value";
            self.problem(&format!("{json}/query"), "SW0214", objection, hint);
            return;
        }
        if column.is_none() && ["{property}", "{column}"].iter().any(|placeholder| query.contains(placeholder)) {
            let hint = "name the column, or move the rule below its property";
            self.problem(&format!("{json}/query"), "SW0214", "{property} stands in a rule of no property", hint);
            return;
        }
        let Some(expected) = self.expected(quality, json) else { return };
        let sql = fill_placeholders(query, &self.object_name, column);
        let description = quality.other.get("description").and_then(Value::as_str).unwrap_or("the answer of the query");
        let description = format!("{description} ({})", expected.words());
        self.push_table_rule(quality, json, column, description, sql, expected, Vec::new());
    }

    fn expected(&mut self, quality: &Quality, json: &str) -> Option<Expected> {
        let is_other = |value: &Option<Value>| value.as_ref().is_some_and(|value| !value.is_number());
        let scalar = |value: &Value| value.is_boolean() || value.is_string();
        match (&quality.must_be, &quality.must_not_be) {
            (Some(value), None) if is_other(&quality.must_be) && scalar(value) => Some(Expected::Is(value.clone())),
            (None, Some(value)) if is_other(&quality.must_not_be) && scalar(value) => {
                Some(Expected::IsNot(value.clone()))
            }
            _ => self.threshold(quality, json).map(Expected::Number),
        }
    }

    fn custom_rule(&mut self, quality: &Quality, json: &str, column: Option<&str>) {
        let engine = quality.engine.as_deref().unwrap_or_default();
        if engine != OWN_ENGINE {
            let reason =
                format!("it is written for {engine:?}; Seawall runs `custom` rules for its engine {OWN_ENGINE:?}");
            self.skip(json, name(quality), column, reason);
            return;
        }
        let at = format!("{json}/implementation");
        let Some(Value::Object(parts)) = &quality.implementation else {
            self.problem(&at, "SW0214", "the rule is no mapping", OWN_HINT);
            return;
        };
        let known = ["rows", "accuracy", "atMost", "atMostPercent"];
        if let Some(key) = parts.keys().find(|key| !known.contains(&key.as_str())) {
            self.problem(&format!("{at}/{key}"), "SW0214", format!("the engine has no key {key:?}"), OWN_HINT);
            return;
        }
        let object = identifier(&self.object_name);
        let (offending, of, words, tables) = match (parts.get("rows"), parts.get("accuracy")) {
            (Some(Value::String(expression)), None) => {
                if let Some(objection) = objection(&format!("SELECT {expression}")) {
                    self.problem(&format!("{at}/rows"), "SW0214", objection, OWN_HINT);
                    return;
                }
                let expression = fill_placeholders(expression, &self.object_name, column);
                let offending = format!("FROM {object} WHERE ({expression}) IS NOT TRUE");
                (offending, format!("FROM {object}"), format!("every row has {expression}"), Vec::new())
            }
            (None, Some(accuracy)) => match Accuracy::read(accuracy, column) {
                Ok(accuracy) => {
                    let reference = vec![accuracy.reference.clone()];
                    let words = format!("the values agree with {}", accuracy.reference);
                    (accuracy.offending(&object), accuracy.compared(&object), words, reference)
                }
                Err(message) => {
                    self.problem(&format!("{at}/accuracy"), "SW0214", message, OWN_HINT);
                    return;
                }
            },
            _ => {
                self.problem(&at, "SW0214", "the rule has neither `rows` nor `accuracy`, or both", OWN_HINT);
                return;
            }
        };
        let limit = |key: &str| parts.get(key).and_then(Value::as_f64);
        let (sql, threshold) = match (limit("atMost"), limit("atMostPercent")) {
            (most, None) => (format!("SELECT count(*) {offending}"), Threshold::AtMost(most.unwrap_or(0.0))),
            (None, Some(percent)) => {
                let share = format!(
                    "SELECT coalesce(100.0 * (SELECT count(*) {offending}) / nullif((SELECT count(*) {of}), 0), 0.0)"
                );
                (share, Threshold::AtMost(percent))
            }
            (Some(_), Some(_)) => {
                self.problem(&at, "SW0214", "the rule has both atMost and atMostPercent", "keep one");
                return;
            }
        };
        let expected = Expected::Number(threshold);
        let description = format!("{words} (offending {})", expected.words());
        self.push_table_rule(quality, json, column, description, sql, expected, tables);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one rule")]
    fn push_table_rule(
        &mut self,
        quality: &Quality,
        json: &str,
        column: Option<&str>,
        description: String,
        sql: String,
        expected: Expected,
        tables: Vec<String>,
    ) {
        let own = custom(&quality.custom_properties, "seawall.mode").and_then(|value| self.read_mode(value, json));
        let by_severity = quality.severity.as_deref().map(severity_mode).filter(|mode| *mode == Mode::Warn);
        let mode = own.or(by_severity).unwrap_or(Mode::Warn);
        self.table_rules.push(TableRule {
            rule: name(quality).to_owned(),
            column: column.map(str::to_owned),
            path: json.to_owned(),
            mode,
            description,
            sql,
            tables,
            expected,
        });
    }
}

/// `{object}` and `{property}`, also as `{table}` and `{column}`, as quoted identifiers.
fn fill_placeholders(sql: &str, object: &str, column: Option<&str>) -> String {
    let mut filled = sql.to_owned();
    for placeholder in ["{object}", "{table}"] {
        filled = filled.replace(placeholder, &identifier(object));
    }
    for placeholder in ["{property}", "{column}"] {
        filled = filled.replace(placeholder, &identifier(column.unwrap_or_default()));
    }
    filled
}

/// A comparison with a reference dataset.
struct Accuracy {
    reference: String,
    on: Vec<String>,
    columns: Vec<String>,
    tolerance: Option<f64>,
}

impl Accuracy {
    fn read(value: &Value, column: Option<&str>) -> Result<Accuracy, String> {
        let names = |key: &str| -> Vec<String> {
            match value.get(key) {
                Some(Value::String(name)) => vec![name.clone()],
                Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                _ => Vec::new(),
            }
        };
        let reference = value.get("reference").and_then(Value::as_str).ok_or("it names no `reference`")?.to_owned();
        let on = names("on");
        if on.is_empty() {
            return Err("it does not say `on` which columns rows are matched".to_owned());
        }
        let mut columns = names("columns");
        if columns.is_empty() {
            columns.extend(column.map(str::to_owned));
        }
        if columns.is_empty() {
            return Err("it does not say which `columns` are compared".to_owned());
        }
        let tolerance = value.get("tolerance").map(|value| value.as_f64().filter(|value| *value >= 0.0));
        if tolerance == Some(None) {
            return Err("its `tolerance` is no number from 0".to_owned());
        }
        Ok(Accuracy { reference, on, columns, tolerance: tolerance.flatten() })
    }

    fn compared(&self, object: &str) -> String {
        let matches: Vec<String> = self.on.iter().map(|key| format!("t.{0} = r.{0}", identifier(key))).collect();
        format!("FROM {object} t JOIN {} r ON {}", identifier(&self.reference), matches.join(" AND "))
    }

    fn offending(&self, object: &str) -> String {
        let differ: Vec<String> = self.columns.iter().map(|column| self.differs(&identifier(column))).collect();
        format!("{} WHERE {}", self.compared(object), differ.join(" OR "))
    }

    fn differs(&self, column: &str) -> String {
        match self.tolerance {
            None => format!("(t.{column} IS DISTINCT FROM r.{column})"),
            Some(tolerance) => {
                format!("((t.{column} IS NULL) <> (r.{column} IS NULL) OR abs(t.{column} - r.{column}) > {tolerance})")
            }
        }
    }
}
