//! Derived features: columns of a vector that SQL expressions compute from the others.
//!
//! They are evaluated like the computed columns of a view ([`Computed`]), by the same evaluator where vectors are served
//! and where training sets are built, so that equal inputs give equal bits. An expression that reads another derived
//! feature is evaluated after it, in a later layer. Where an expression fails for a row, or SQL gives null, there is no
//! value, and the status tells whether an input was missing.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};

use crate::computed::{Computed, Named, Statement, named_statements};
use crate::declare::DerivedFeature;
use crate::engine::{BatchMap, Engine};
use crate::error::{Error, Result};
use crate::online::FeatureStatus;

#[cfg(test)]
mod tests;

/// The derived features of a vector, compiled.
#[derive(Clone, Default)]
pub struct Derived {
    layers: Vec<Computed>,
    features: Vec<DerivedFeature>,
    fields: Vec<FieldRef>,
}

/// The values of derived features for the rows of a batch.
#[derive(Debug, Clone)]
pub struct DerivedValues {
    /// One column per feature, in declared order.
    pub columns: Vec<ArrayRef>,
    /// The status of each value: outer index the row, inner the feature.
    pub status: Vec<Vec<FeatureStatus>>,
}

/// Derived features while they are compiled, layer by layer: the types of one are what the next one reads.
pub struct Compiling<'f> {
    owner: &'f str,
    features: &'f [DerivedFeature],
    schema: SchemaRef,
    waiting: Vec<Vec<&'f DerivedFeature>>,
    layers: Vec<Computed>,
}

impl Derived {
    /// Compiles the derived features of `owner`, whose other columns are those of `schema`.
    pub async fn compile(
        engine: &dyn Engine,
        owner: &str,
        features: &[DerivedFeature],
        schema: SchemaRef,
    ) -> Result<Derived> {
        let mut compiling = Compiling::begin(owner, features, schema)?;
        while let Some(statements) = compiling.next()? {
            let mut maps = Vec::with_capacity(statements.len());
            for statement in &statements {
                let compiled = engine.compile_map(&statement.sql, statement.input.clone(), &[]).await;
                maps.push(compiled.map_err(|error| of_owner(&error, owner))?);
            }
            compiling.add(&statements, maps)?;
        }
        compiling.finish()
    }

    /// Their columns, in declared order.
    pub fn fields(&self) -> &[FieldRef] {
        &self.fields
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// The values for the rows of `vector`, which has the columns that the expressions read.
    pub async fn apply(&self, vector: &RecordBatch) -> Result<DerivedValues> {
        let mut rows = vector.clone();
        for layer in &self.layers {
            rows = layer.apply(&rows).await?;
        }
        let mut columns = Vec::with_capacity(self.features.len());
        let mut status = vec![Vec::with_capacity(self.features.len()); rows.num_rows()];
        for feature in &self.features {
            let values = column(&rows, &feature.name)?;
            let mut inputs = Vec::with_capacity(feature.reads.len());
            for name in &feature.reads {
                inputs.push(column(&rows, name)?);
            }
            for (row, told) in status.iter_mut().enumerate() {
                told.push(match (values.is_valid(row), inputs.iter().any(|input| input.is_null(row))) {
                    (true, _) => FeatureStatus::Present,
                    (false, true) => FeatureStatus::MissingInput,
                    (false, false) => FeatureStatus::Null,
                });
            }
            columns.push(values.clone());
        }
        Ok(DerivedValues { columns, status })
    }
}

impl<'f> Compiling<'f> {
    /// Orders the features of `owner` by what they read of each other. `Invalid` (SW0315) when some go round in a circle.
    pub fn begin(owner: &'f str, features: &'f [DerivedFeature], schema: SchemaRef) -> Result<Compiling<'f>> {
        let mut left: Vec<&DerivedFeature> = features.iter().collect();
        let mut waiting = Vec::new();
        while !left.is_empty() {
            let open: BTreeSet<&str> = left.iter().map(|feature| feature.name.as_str()).collect();
            let is_ready = |feature: &&&DerivedFeature| !feature.reads.iter().any(|name| open.contains(name.as_str()));
            let layer: Vec<&DerivedFeature> = left.iter().filter(is_ready).copied().collect();
            if layer.is_empty() {
                let names: Vec<&str> = open.into_iter().collect();
                let message = format!("derived features of {owner} read each other in a circle: {}", names.join(", "));
                return Err(Error::invalid("SW0315", message).hint("write one of them without the others"));
            }
            left.retain(|feature| !layer.iter().any(|ready| ready.name == feature.name));
            waiting.push(layer);
        }
        waiting.reverse();
        Ok(Compiling { owner, features, schema, waiting, layers: Vec::new() })
    }

    /// The statements of the next layer, to be compiled and given to [`Compiling::add`]; none after the last.
    pub fn next(&self) -> Result<Option<Vec<Statement>>> {
        let Some(layer) = self.waiting.last() else { return Ok(None) };
        let named = |feature: &&'f DerivedFeature| Named {
            name: feature.name.as_str(),
            sql: feature.sql.as_str(),
            columns: feature.reads.as_slice(),
        };
        let expressions: Vec<Named<'f>> = layer.iter().map(named).collect();
        named_statements(self.owner, &self.schema, &expressions).map(Some)
    }

    /// Takes the compiled statements of [`Compiling::next`].
    pub fn add(&mut self, statements: &[Statement], maps: Vec<Arc<dyn BatchMap>>) -> Result<()> {
        let computed = Computed::named(self.owner, statements, maps)?;
        let mut fields: Vec<FieldRef> = self.schema.fields().iter().cloned().collect();
        fields.extend(computed.fields().cloned());
        self.schema = Arc::new(Schema::new(fields));
        self.waiting.pop();
        self.layers.push(computed);
        Ok(())
    }

    /// What was compiled.
    pub fn finish(self) -> Result<Derived> {
        let mut fields = Vec::with_capacity(self.features.len());
        for feature in self.features {
            let data_type = self.schema.field_with_name(&feature.name)?.data_type().clone();
            fields.push(Arc::new(Field::new(&feature.name, data_type, true)));
        }
        Ok(Derived { layers: self.layers, features: self.features.to_vec(), fields })
    }
}

/// The same error with whose expression it is in front.
fn of_owner(error: &Error, owner: &str) -> Error {
    let named = Error::new(error.kind(), error.code(), format!("a derived feature of {owner}: {error}"));
    match error.remedy() {
        Some(remedy) => named.hint(remedy),
        None => named,
    }
}

fn column<'r>(rows: &'r RecordBatch, name: &str) -> Result<&'r ArrayRef> {
    rows.column_by_name(name)
        .ok_or_else(|| Error::internal("SW0308", format!("the vector has no column {name}, which a feature reads")))
}
