//! Computed columns: what feature views read of a row that is no column of its dataset.
//!
//! An expression is evaluated by a [`BatchMap`], once per batch, before the rows reach the kernel: the same way where
//! rows are folded for serving and where tables are swept for training. It sees one row alone, so neither batches nor order
//! can change its value. Where it fails for a row (a division by zero, a text that is no number) the value of that row is
//! null, for that expression and no other: one bad row must neither stop the features of all others nor change them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::declare::FeatureView;
use crate::engine::{BatchMap, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Dataset;

/// The columns that some feature views compute from the rows of one dataset.
#[derive(Clone, Default)]
pub struct Computed {
    /// One per expression, for rows that make all of them together fail.
    each: Vec<One>,
    /// All expressions at once; none when there are none.
    all: Option<Arc<dyn BatchMap>>,
    input: Option<SchemaRef>,
}

#[derive(Clone)]
struct One {
    field: FieldRef,
    map: Arc<dyn BatchMap>,
    input: SchemaRef,
}

/// A statement that [`Computed`] needs compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The select, over the table `input`.
    pub sql: String,
    /// The columns that it reads.
    pub input: SchemaRef,
}

/// An expression with the name of its column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'e> {
    pub name: &'e str,
    pub sql: &'e str,
    /// What it reads.
    pub columns: &'e [String],
}

/// The statements that `views` over `dataset` need compiled: each expression alone, then all at once. None when the views
/// read columns only.
pub fn statements<'v>(dataset: &Dataset, views: impl IntoIterator<Item = &'v FeatureView>) -> Result<Vec<Statement>> {
    let mut expressions: Vec<Named<'v>> = Vec::new();
    for expression in views.into_iter().filter(|view| view.from == dataset.name).flat_map(|view| &view.computed) {
        if !expressions.iter().any(|known| known.sql == expression.sql) {
            let (sql, columns) = (expression.sql.as_str(), expression.columns.as_slice());
            expressions.push(Named { name: sql, sql, columns });
        }
    }
    named_statements(&dataset.name, &dataset.schema, &expressions)
}

/// The same for expressions over the columns of `schema`, which `owner` has.
pub(crate) fn named_statements(owner: &str, schema: &Schema, expressions: &[Named<'_>]) -> Result<Vec<Statement>> {
    if expressions.is_empty() {
        return Ok(Vec::new());
    }
    let mut statements = Vec::with_capacity(expressions.len() + 1);
    for expression in expressions {
        statements.push(statement(owner, schema, std::slice::from_ref(expression))?);
    }
    statements.push(statement(owner, schema, expressions)?);
    Ok(statements)
}

fn statement(owner: &str, schema: &Schema, expressions: &[Named<'_>]) -> Result<Statement> {
    let reads: BTreeSet<&str> = expressions.iter().flat_map(|one| one.columns).map(String::as_str).collect();
    let mut fields: Vec<FieldRef> = Vec::with_capacity(reads.len());
    for name in reads {
        let field = schema.field_with_name(name).map_err(|_| {
            Error::invalid("SW0300", format!("an expression reads {name}, but {owner} has no such column"))
                .hint("run `seawall check`")
        })?;
        // A row of an older contract lacks the columns that were added since.
        fields.push(Arc::new(field.clone().with_nullable(true)));
    }
    let columns: Vec<String> =
        expressions.iter().map(|one| format!("({}\n) as \"{}\"", one.sql, one.name.replace('"', "\"\""))).collect();
    Ok(Statement { sql: format!("select {} from input", columns.join(", ")), input: Arc::new(Schema::new(fields)) })
}

impl Computed {
    /// Compiles what `views` compute from the rows of `dataset`.
    pub async fn compile(engine: &dyn Engine, dataset: &Dataset, views: &[&FeatureView]) -> Result<Computed> {
        let statements = statements(dataset, views.iter().copied())?;
        let mut maps = Vec::with_capacity(statements.len());
        for statement in &statements {
            let compiled = engine.compile_map(&statement.sql, statement.input.clone(), &[]).await;
            let map = compiled.map_err(|error| of_expressions(&error, dataset, views))?;
            check_row_wise(&map, &dataset.name)?;
            maps.push(map);
        }
        Computed::of(dataset, &statements, maps)
    }

    /// Of the [`statements`] over `dataset` and their maps, in the same order.
    pub fn of(dataset: &Dataset, statements: &[Statement], maps: Vec<Arc<dyn BatchMap>>) -> Result<Computed> {
        Computed::named(&dataset.name, statements, maps)
    }

    /// The same for expressions over the columns that `owner` has.
    pub(crate) fn named(owner: &str, statements: &[Statement], mut maps: Vec<Arc<dyn BatchMap>>) -> Result<Computed> {
        let (Some(last), Some(all)) = (statements.last(), maps.pop()) else { return Ok(Computed::default()) };
        let mut each = Vec::with_capacity(maps.len());
        for (map, statement) in maps.into_iter().zip(statements) {
            check_row_wise(&map, owner)?;
            let field = map.schema().fields().first().cloned();
            let field = field.ok_or_else(|| Error::internal("SW0308", "an expression gives no column"))?;
            each.push(One { field, map, input: statement.input.clone() });
        }
        Ok(Computed { each, all: Some(all), input: Some(last.input.clone()) })
    }

    /// `dataset` with the computed columns behind its own: what the kernel compiles views against.
    pub fn extended(&self, dataset: &Dataset) -> Dataset {
        let mut fields: Vec<FieldRef> = dataset.schema.fields().iter().cloned().collect();
        fields.extend(self.each.iter().map(|one| one.field.clone()));
        Dataset { schema: Arc::new(Schema::new(fields)), ..dataset.clone() }
    }

    /// The computed columns.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.each.iter().map(|one| &one.field)
    }

    /// `rows` with the computed columns behind their own. They must have the columns that the expressions read.
    pub async fn apply(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let (Some(all), Some(input)) = (&self.all, &self.input) else { return Ok(rows.clone()) };
        let columns = match run(all, &inputs(rows, input)?).await {
            Ok(computed) => computed.columns().to_vec(),
            Err(error) if is_of_rows(&error) => self.each_alone(rows).await?,
            Err(error) => return Err(error),
        };
        let mut fields: Vec<FieldRef> = rows.schema().fields().iter().cloned().collect();
        fields.extend(self.each.iter().map(|one| nullable(&one.field)));
        let mut all_columns = rows.columns().to_vec();
        all_columns.extend(columns);
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), all_columns, &options)?)
    }

    /// The same for each batch.
    pub async fn apply_all(&self, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        if self.all.is_none() {
            return Ok(batches);
        }
        let mut extended = Vec::with_capacity(batches.len());
        for batch in &batches {
            extended.push(self.apply(batch).await?);
        }
        Ok(extended)
    }

    async fn each_alone(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::with_capacity(self.each.len());
        for one in &self.each {
            columns.push(one.where_it_can(&inputs(rows, &one.input)?).await?);
        }
        Ok(columns)
    }
}

impl One {
    /// The value of each row, null where the expression fails: batches that fail are halved until one row is left.
    async fn where_it_can(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        let mut done: Vec<ArrayRef> = vec![new_null_array(self.field.data_type(), 0)];
        let mut waiting = vec![rows.clone()];
        while let Some(part) = waiting.pop() {
            match run(&self.map, &part).await {
                Ok(computed) => done.push(computed.column(0).clone()),
                Err(error) if !is_of_rows(&error) => return Err(error),
                Err(_) if part.num_rows() <= 1 => done.push(new_null_array(self.field.data_type(), part.num_rows())),
                Err(_) => {
                    let half = part.num_rows() / 2;
                    waiting.push(part.slice(half, part.num_rows() - half));
                    waiting.push(part.slice(0, half));
                }
            }
        }
        let parts: Vec<&dyn Array> = done.iter().map(AsRef::as_ref).collect();
        Ok(concat(&parts)?)
    }
}

/// Refuses an expression whose value depends on which rows come together.
fn check_row_wise(map: &Arc<dyn BatchMap>, owner: &str) -> Result<()> {
    if map.is_row_wise() {
        return Ok(());
    }
    let names: Vec<String> = map.schema().fields().iter().map(|field| format!("`{}`", field.name())).collect();
    let message = format!("{} over {owner} is not computed from one row alone", names.join(", "));
    Err(Error::invalid("SW0308", message)
        .hint("write an expression over the columns, without aggregates, windows and subqueries"))
}

/// The same error with whose expressions these are in front.
fn of_expressions(error: &Error, dataset: &Dataset, views: &[&FeatureView]) -> Error {
    let of: Vec<String> =
        views.iter().filter(|view| !view.computed.is_empty()).map(|view| view.id().to_string()).collect();
    let message = format!("an expression of {} over {}: {error}", of.join(", "), dataset.name);
    let named = Error::new(error.kind(), error.code(), message);
    match error.remedy() {
        Some(remedy) => named.hint(remedy),
        None => named,
    }
}

/// Runs a map that answers every row.
async fn run(map: &Arc<dyn BatchMap>, rows: &RecordBatch) -> Result<RecordBatch> {
    let computed = map.apply(rows).await?;
    if computed.num_rows() != rows.num_rows() {
        let message = format!("expressions over {} rows gave {}", rows.num_rows(), computed.num_rows());
        return Err(Error::internal("SW0308", message));
    }
    Ok(computed)
}

/// Whether a value of some row is to blame.
fn is_of_rows(error: &Error) -> bool {
    error.kind() == ErrorKind::Invalid
}

/// The columns that the expressions read.
fn inputs(rows: &RecordBatch, input: &SchemaRef) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(input.fields().len());
    for field in input.fields() {
        let column = rows.column_by_name(field.name()).ok_or_else(|| {
            Error::internal("SW0308", format!("the rows have no column {}, which an expression reads", field.name()))
        })?;
        columns.push(in_type(column, field.data_type())?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(input.clone(), columns, &options)?)
}

/// A column of a dataset may have become wider since the rows were written.
fn in_type(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if column.data_type() == data_type { Ok(column.clone()) } else { Ok(arrow::compute::cast(column, data_type)?) }
}

fn nullable(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), field.data_type().clone(), true))
}
