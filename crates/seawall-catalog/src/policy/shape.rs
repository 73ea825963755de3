//! What policies speak about: the tables of the project, and the Cedar schema that follows from them.
//!
//! A policy is checked against this schema before it takes effect, so that a column or a table that does not exist is
//! found when the project is checked, and not when somebody sees too much.

use arrow::datatypes::DataType;
use cedar_policy::Schema;
use serde_json::{Map, Value, json};

use super::Action;

/// What a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableKind {
    /// Accepted rows.
    Dataset,
    /// Rows that were stopped at the gate.
    Quarantine,
    /// Vectors served for a training set.
    Served,
    /// Rows of a training set.
    TrainingSet,
    /// Predictions of a model.
    Predictions,
    /// The catalog's own tables.
    System,
}

impl TableKind {
    /// The kind as policies see it.
    pub fn as_str(self) -> &'static str {
        match self {
            TableKind::Dataset => "dataset",
            TableKind::Quarantine => "quarantine",
            TableKind::Served => "served",
            TableKind::TrainingSet => "training_set",
            TableKind::Predictions => "predictions",
            TableKind::System => "system",
        }
    }
}

/// A column, as policies see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnShape {
    /// Name.
    pub name: String,
    /// Type in the table.
    pub data_type: DataType,
    /// Classification in the contract, such as `restricted`.
    pub classification: Option<String>,
    /// Tags in the contract.
    pub tags: Vec<String>,
    /// Dataset and column whose values these are, unchanged. What was computed is not listed.
    pub derived_from: Vec<(String, String)>,
}

/// A table, as policies see it.
#[derive(Debug, Clone, PartialEq)]
pub struct TableShape {
    /// Name of the table.
    pub name: String,
    /// Dataset whose rows these are, or come from.
    pub dataset: String,
    /// What it is.
    pub kind: TableKind,
    /// Who is responsible for it.
    pub owner: Option<String>,
    /// Classification of the whole table.
    pub classification: Option<String>,
    /// Columns. Those of a quarantine table are not needed: its rows are seen as rows of the dataset.
    pub columns: Vec<ColumnShape>,
}

/// The tables that policies speak about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    /// Tables, each name once.
    pub tables: Vec<TableShape>,
}

impl Shape {
    /// The table with this name.
    pub fn table(&self, name: &str) -> Option<&TableShape> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The table with the accepted rows of a dataset.
    pub fn dataset(&self, dataset: &str) -> Option<&TableShape> {
        self.tables.iter().find(|table| table.kind == TableKind::Dataset && table.dataset == dataset)
    }

    /// The columns that row policies of `table` see: a row in quarantine is seen as a row of its dataset.
    pub(super) fn row_columns<'a>(&'a self, table: &'a TableShape) -> &'a [ColumnShape] {
        match table.kind {
            TableKind::Quarantine => self.dataset(&table.dataset).map_or(&[], |dataset| &dataset.columns),
            TableKind::Dataset
            | TableKind::Served
            | TableKind::TrainingSet
            | TableKind::Predictions
            | TableKind::System => &table.columns,
        }
    }

    /// The Cedar schema.
    pub(super) fn schema(&self) -> Result<Schema, String> {
        let mut entities = fixed_entities();
        let mut rows = vec![json!(ANY_ROW)];
        for table in self.tables.iter().filter(|table| table.kind != TableKind::System) {
            let name = row_type(&table.name);
            entities.insert(name.clone(), row_entity(self.row_columns(table)));
            rows.push(json!(name));
        }
        let applies = |resources: Value| json!({"appliesTo": {"principalTypes": ["User"], "resourceTypes": resources}});
        let mut actions = Map::new();
        for action in Action::ALL {
            actions.insert(action.as_str().to_owned(), applies(json!(["Resource", "Table"])));
        }
        actions.insert(READ_ROW.to_owned(), applies(Value::Array(rows)));
        actions.insert(READ_RAW.to_owned(), applies(json!(["Column"])));
        let schema = json!({"": {"entityTypes": entities, "actions": actions}});
        Schema::from_json_value(schema).map_err(|error| error.to_string())
    }
}

/// The action whose policies decide on rows.
pub(super) const READ_ROW: &str = "read_row";
/// The action whose policies decide on values of columns.
pub(super) const READ_RAW: &str = "read_raw";
/// Prefix of the types of rows.
pub(super) const ROW_PREFIX: &str = "Row_";
/// A row without columns, so that row policies have a type to apply to in a project without tables.
const ANY_ROW: &str = "Row";

/// The type of the rows of a table.
pub(super) fn row_type(table: &str) -> String {
    format!("{ROW_PREFIX}{table}")
}

/// How a type of a column appears in row policies; none for types that have no faithful counterpart there.
pub(super) fn row_attribute(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some("String"),
        DataType::Boolean => Some("Boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Some("Long"),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Some("Long"),
        DataType::Dictionary(_, values) => row_attribute(values),
        _ => None,
    }
}

fn fixed_entities() -> Map<String, Value> {
    let text = json!({"type": "String", "required": true});
    let texts = json!({"type": "Set", "element": {"type": "String"}, "required": true});
    let record = |attributes: Value| json!({"type": "Record", "attributes": attributes});
    let entities = json!({
        "Role": {},
        "Group": {},
        "User": {"memberOfTypes": ["Role", "Group"], "shape": record(json!({"name": text, "groups": texts}))},
        "Resource": {"shape": record(json!({"name": text}))},
        "Table": {"shape": record(json!({
            "name": text, "dataset": text, "kind": text, "owner": text, "classification": text,
        }))},
        "Column": {
            "memberOfTypes": ["Table"],
            "shape": record(json!({"name": text, "classification": text, "tags": texts})),
        },
        ANY_ROW: {"memberOfTypes": ["Table"]},
    });
    match entities {
        Value::Object(entities) => entities,
        _ => Map::new(),
    }
}

/// Every column is optional, because every column may be null.
fn row_entity(columns: &[ColumnShape]) -> Value {
    let mut attributes = Map::new();
    for column in columns {
        if let Some(attribute) = row_attribute(&column.data_type) {
            attributes.insert(column.name.clone(), json!({"type": attribute, "required": false}));
        }
    }
    json!({"memberOfTypes": ["Table"], "shape": {"type": "Record", "attributes": attributes}})
}
