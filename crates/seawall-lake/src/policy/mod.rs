//! What a read grant means for one version of one table: which columns it has, which rows it shows, what is masked.
//!
//! This is the one place that enforces grants; the SQL provider and the scans of the stores both come through it. The
//! order is that of Apache Iceberg's read restrictions: the row filter sees unmasked values, masks apply to what it
//! keeps, and everything else sees the result only. What cannot be decided is not shown; what cannot be enforced fails.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use seawall_base::Permit;
use seawall_base::error::{Error, ErrorKind, Result};
use seawall_base::grant::{Mask, TableGrant};
use seawall_base::table::{TableName, TableStore};

use self::predicate::Filter;
use self::quarantine::RawPolicy;
use crate::codes;
use crate::table::{unknown_column, unknown_table};

mod mask;
mod predicate;
mod quarantine;
#[cfg(test)]
mod tests;

pub(crate) use mask::Salt;

/// End of the names of quarantine tables.
const QUARANTINE: &str = "__quarantine";

/// A grant that restricts, for one version of its table.
#[derive(Debug)]
pub(crate) struct TablePolicy {
    table: TableName,
    grant: TableGrant,
    salt: Salt,
    /// All columns of the version.
    stored: SchemaRef,
    /// All columns of the newest version, by which columns that were dropped since are told.
    today: SchemaRef,
    /// What the rows of a quarantine are, for a quarantine.
    raw: Option<Arc<RawPolicy>>,
    visible: SchemaRef,
}

/// A policy bound to the columns that a reader wants.
#[derive(Debug)]
pub(crate) struct RowPolicy {
    /// What to read of the table: first the columns that are carried, then those that only the filter looks at.
    reads: Vec<usize>,
    read_schema: SchemaRef,
    carried: usize,
    filter: Option<RowFilter>,
    shown: Vec<(usize, Showing)>,
    schema: SchemaRef,
    salt: Salt,
}

#[derive(Debug)]
enum RowFilter {
    /// Over the columns that are read.
    Columns(Filter),
    /// Over the members of the raw rows in this column.
    Raw(usize, Arc<RawPolicy>),
}

/// How a carried column is shown.
#[derive(Debug)]
enum Showing {
    AsItIs,
    Masked(Mask),
    /// The raw rows of a quarantine.
    Raw(Arc<RawPolicy>),
    /// The reasons of a quarantine, next to the raw rows in this column.
    Reasons(Arc<RawPolicy>, usize),
}

/// The policy of `permit` for the version of `table` with the columns `stored`; none when it shows everything. A table
/// that the permit does not show is unknown. `salt` is that of the query.
pub(crate) async fn of(
    store: &dyn TableStore,
    permit: &Permit,
    table: &TableName,
    stored: &SchemaRef,
    salt: Salt,
) -> Result<Option<TablePolicy>> {
    let grant = permit.grants().table(table.as_str()).ok_or_else(|| unknown_table(table))?;
    if grant.is_everything() {
        return Ok(None);
    }
    let today = store.snapshot(table, None).await?.schema;
    let raw = match table.as_str().strip_suffix(QUARANTINE) {
        None => None,
        Some(dataset) => {
            let known = known_columns(store, dataset).await?;
            Some(Arc::new(RawPolicy::new(&grant, known, salt)))
        }
    };
    Ok(Some(TablePolicy::new(table.clone(), grant, salt, Arc::clone(stored), today, raw)))
}

/// The columns of a dataset today; none while it has no table.
async fn known_columns(store: &dyn TableStore, dataset: &str) -> Result<SchemaRef> {
    match store.snapshot(&TableName::new(dataset)?, None).await {
        Ok(snapshot) => Ok(snapshot.schema),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Arc::new(Schema::empty())),
        Err(e) => Err(e),
    }
}

/// Refuses a permit that does not show all of `tables`, for work that needs full rows.
pub(crate) fn check_full<'t>(permit: &Permit, tables: impl Iterator<Item = &'t str>, what: &str) -> Result<()> {
    for table in tables {
        if !permit.grants().table(table).is_some_and(|grant| grant.is_everything()) {
            let message = format!("{what} needs rows that this permit does not show in full");
            return Err(Error::new(ErrorKind::Denied, codes::ROWS_RESTRICTED, message)
                .hint("ask for the right to read all that it is built of, without row filter and masks"));
        }
    }
    Ok(())
}

impl TablePolicy {
    fn new(
        table: TableName,
        grant: TableGrant,
        salt: Salt,
        stored: SchemaRef,
        today: SchemaRef,
        raw: Option<Arc<RawPolicy>>,
    ) -> Self {
        let mut policy = TablePolicy { table, grant, salt, stored, today, raw, visible: Arc::new(Schema::empty()) };
        let fields: Vec<Field> =
            policy.stored.fields().iter().filter_map(|field| policy.visible_field(field)).collect();
        policy.visible = Arc::new(Schema::new(fields));
        policy
    }

    /// The columns that there are for the holder of the permit.
    pub(crate) fn visible(&self) -> &SchemaRef {
        &self.visible
    }

    fn visible_field(&self, stored: &Field) -> Option<Field> {
        let name = stored.name();
        let mask = self.grant.masks.get(name);
        let was_dropped = mask.is_none() && self.today.column_with_name(name).is_none();
        if was_dropped || self.grant.hidden.contains(name) {
            return None;
        }
        let is_reasons = self.raw.is_some() && name == quarantine::REASONS;
        let may_become_null = is_reasons || mask.is_some_and(|mask| *mask != Mask::MaskToFixedValue);
        Some(Field::new(name, stored.data_type().clone(), stored.is_nullable() || may_become_null))
    }

    /// Binds the policy to columns of [`TablePolicy::visible`]. Fails when a mask does not fit its column, or when the
    /// row filter cannot be computed.
    pub(crate) fn rows(&self, columns: &[usize]) -> Result<RowPolicy> {
        let mut reads = Reads { stored: &self.stored, at: Vec::new() };
        let mut shown = Vec::with_capacity(columns.len());
        for column in columns {
            shown.push(self.showing(self.visible.field(*column).name(), &mut reads)?);
        }
        let carried = reads.at.len();
        let filter = self.filter(&mut reads)?;
        let reads = reads.at;
        let read_schema = Arc::new(self.stored.project(&reads)?);
        let schema = Arc::new(self.visible.project(columns)?);
        Ok(RowPolicy { reads, read_schema, carried, filter, shown, schema, salt: self.salt })
    }

    /// Like [`TablePolicy::rows`], by name; every visible column when absent.
    pub(crate) fn rows_named(&self, columns: Option<&[String]>) -> Result<RowPolicy> {
        let Some(columns) = columns else {
            let all: Vec<usize> = (0..self.visible.fields().len()).collect();
            return self.rows(&all);
        };
        let mut at = Vec::with_capacity(columns.len());
        for name in columns {
            at.push(self.visible.index_of(name).map_err(|_| unknown_column(&self.table, &self.visible, name))?);
        }
        self.rows(&at)
    }

    fn showing(&self, name: &str, reads: &mut Reads<'_>) -> Result<(usize, Showing)> {
        let at = reads.position(name).ok_or_else(|| unknown_column(&self.table, &self.visible, name))?;
        let data_type = self.stored.field(reads.at[at]).data_type();
        if let Some(mask) = self.grant.masks.get(name) {
            if !mask::admits(mask, data_type) {
                return Err(self.unfit(name, mask, data_type));
            }
            return Ok((at, Showing::Masked(mask.clone())));
        }
        let showing = match (&self.raw, name) {
            (Some(raw), quarantine::RAW) => Showing::Raw(Arc::clone(raw)),
            (Some(raw), quarantine::REASONS) => {
                let rows = reads.position(quarantine::RAW).ok_or_else(|| self.incomputable("there are no raw rows"))?;
                Showing::Reasons(Arc::clone(raw), rows)
            }
            _ => Showing::AsItIs,
        };
        Ok((at, showing))
    }

    fn filter(&self, reads: &mut Reads<'_>) -> Result<Option<RowFilter>> {
        if let Some(raw) = &self.raw {
            let rows = reads.position(quarantine::RAW).ok_or_else(|| self.incomputable("there are no raw rows"))?;
            return Ok(Some(RowFilter::Raw(rows, Arc::clone(raw))));
        }
        let Some(rows) = &self.grant.rows else { return Ok(None) };
        let mut column = |name: &str| match reads.position(name) {
            Some(at) => Ok(Some((at, self.stored.field(reads.at[at]).data_type().clone()))),
            // A column that came later is null in the rows from before.
            None if self.today.column_with_name(name).is_some() => Ok(None),
            None => Err("it names a column that the table does not have"),
        };
        let bound = Filter::bind(rows, &mut column).map_err(|why| self.incomputable(why))?;
        Ok(Some(RowFilter::Columns(bound)))
    }

    fn unfit(&self, column: &str, mask: &Mask, data_type: &arrow::datatypes::DataType) -> Error {
        let message = format!("column {column} of table {} is {data_type}, which {mask:?} cannot mask", self.table);
        Error::new(ErrorKind::Denied, codes::MASK_UNFIT, message)
            .hint("leave the column out, or ask who keeps the policies for a mask that fits its type")
    }

    fn incomputable(&self, why: &str) -> Error {
        let message = format!("the row filter of table {} cannot be computed: {why}", self.table);
        Error::new(ErrorKind::Denied, codes::FILTER_INCOMPUTABLE, message)
            .hint("ask who keeps the policies: row filters compare text, whole numbers, decimals and booleans")
    }
}

/// The columns to read, in the making.
struct Reads<'p> {
    stored: &'p Schema,
    at: Vec<usize>,
}

impl Reads<'_> {
    /// Where a column is among those that are read; none when the table has no such column.
    fn position(&mut self, name: &str) -> Option<usize> {
        let (stored, _) = self.stored.column_with_name(name)?;
        if let Some(at) = self.at.iter().position(|known| *known == stored) {
            return Some(at);
        }
        self.at.push(stored);
        Some(self.at.len() - 1)
    }
}

impl RowPolicy {
    /// The columns of the table to read, by position.
    pub(crate) fn reads(&self) -> &[usize] {
        &self.reads
    }

    /// The columns to read.
    pub(crate) fn read_schema(&self) -> &SchemaRef {
        &self.read_schema
    }

    /// The columns that [`RowPolicy::carry`] keeps.
    pub(crate) fn carried_schema(&self) -> Result<SchemaRef> {
        let carried: Vec<usize> = (0..self.carried).collect();
        Ok(Arc::new(self.read_schema.project(&carried)?))
    }

    /// The columns that [`RowPolicy::show`] answers.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Which of the read rows are shown, without nulls; none when all are.
    pub(crate) fn keep(&self, read: &RecordBatch) -> Result<Option<BooleanArray>> {
        match &self.filter {
            None => Ok(None),
            Some(RowFilter::Columns(filter)) => filter.keep(read).map(Some),
            Some(RowFilter::Raw(at, raw)) => raw.keep(read.column(*at)).map(Some),
        }
    }

    /// The read rows without the columns that only the filter looks at.
    pub(crate) fn carry(&self, read: &RecordBatch) -> Result<RecordBatch> {
        let carried: Vec<usize> = (0..self.carried).collect();
        Ok(read.project(&carried)?)
    }

    /// Carried rows as the holder of the permit sees them.
    pub(crate) fn show(&self, carried: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.shown.len());
        for (at, showing) in &self.shown {
            let column = carried.column(*at);
            columns.push(match showing {
                Showing::AsItIs => Arc::clone(column),
                Showing::Masked(mask) => mask::apply(mask, column, self.salt)?,
                Showing::Raw(raw) => raw.show(column)?,
                Showing::Reasons(raw, rows) => raw.show_reasons(column, carried.column(*rows))?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(carried.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Read rows as the holder of the permit sees them: filtered, then masked.
    pub(crate) fn apply(&self, read: &RecordBatch) -> Result<RecordBatch> {
        let carried = self.carry(read)?;
        match self.keep(read)? {
            None => self.show(&carried),
            Some(keep) => self.show(&filter_record_batch(&carried, &keep)?),
        }
    }
}
