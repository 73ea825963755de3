//! Column names that every part of Seawall accepts, and the map that gives them to a sample's columns.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use seawall_base::error::{Error, Result};

use super::super::words::{identifier, listed, name_problem, suggest};

/// The columns of a sample: names there, and names in the contract.
pub(super) struct Columns {
    pairs: Vec<(String, String)>,
    /// The column that the map turns into instants, by its name in the contract.
    instant: Option<String>,
}

impl Columns {
    /// Gives every column of `schema` a name. Names that will do are kept, and no two are the same.
    pub fn of(schema: &Schema) -> Columns {
        let kept: BTreeSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).filter(is_good).collect();
        let mut taken: BTreeSet<String> = kept.iter().map(|name| (*name).to_owned()).collect();
        let mut pairs = Vec::new();
        for field in schema.fields() {
            let original = field.name();
            let name = if kept.contains(original.as_str()) { original.clone() } else { free(original, &taken) };
            taken.insert(name.clone());
            pairs.push((original.clone(), name));
        }
        Columns { pairs, instant: None }
    }

    /// Has the map turn the dates of a column into instants.
    pub fn cast_to_instant(&mut self, name: &str) {
        self.instant = Some(name.to_owned());
    }

    /// Whether a map is needed: a column is called otherwise than in the sample, or holds dates instead of instants.
    pub fn need_map(&self) -> bool {
        self.instant.is_some() || self.pairs.iter().any(|(original, name)| original != name)
    }

    /// The contract's name of a column that the caller names as in the sample, or as in the contract.
    pub fn name_of(&self, wanted: &str) -> Result<&str> {
        let by_original = self.pairs.iter().find(|(original, _)| original == wanted);
        let found = by_original.or_else(|| self.pairs.iter().find(|(_, name)| name == wanted));
        found.map(|(_, name)| name.as_str()).ok_or_else(|| {
            let originals = || self.pairs.iter().map(|(original, _)| original.as_str());
            let hint = match suggest(wanted, originals()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its columns are {}", listed(originals(), "and")),
            };
            Error::invalid("SW0147", format!("the sample has no column {wanted:?}")).hint(hint)
        })
    }

    /// The sample with the contract's names.
    pub fn rename(&self, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
        let mut renamed = Vec::new();
        for batch in batches {
            let fields = batch.schema().fields().iter().zip(&self.pairs).map(with_name).collect::<Vec<Field>>();
            let schema: SchemaRef = Arc::new(Schema::new(fields));
            renamed.push(RecordBatch::try_new(schema, batch.columns().to_vec())?);
        }
        Ok(renamed)
    }

    /// The source's map: one line per column.
    pub fn sql(&self) -> String {
        let mut sql = String::from("-- Gives every column the name and the type that the contract has.\nselect\n");
        for (i, (original, name)) in self.pairs.iter().enumerate() {
            let comma = if i + 1 == self.pairs.len() { "" } else { "," };
            let column = format!("\"{}\"", original.replace('"', "\"\""));
            let value =
                if self.instant.as_ref() == Some(name) { format!("cast({column} as timestamp)") } else { column };
            let _ = writeln!(sql, "  {value} as \"{name}\"{comma}");
        }
        sql.push_str("from input\n");
        sql
    }
}

fn is_good(name: &&str) -> bool {
    name_problem(name).is_none()
}

fn with_name((field, (_, name)): (&Arc<Field>, &(String, String))) -> Field {
    field.as_ref().clone().with_name(name)
}

/// A name like `original` that is not taken.
fn free(original: &str, taken: &BTreeSet<String>) -> String {
    let base = identifier(original);
    if !taken.contains(&base) {
        return base;
    }
    let is_free = |name: &String| !taken.contains(name);
    (2..).map(|n| format!("{base}_{n}")).find(is_free).expect("finitely many names are taken")
}
