//! Looking into a quarantine: the rows that are in it, which rules they break, what to do about each.
//!
//! A quarantine's table holds every row that was ever stopped, as it came; the catalog knows which of them left. What is in
//! quarantine is the difference. Rows are read with the caller's permit, so filters and masks hold here as anywhere.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use seawall_base::error::Result;
use seawall_base::{Engine, Error, Instant, Offset, Partition, Permit, Query, QueryResult, RowId, TableName, column};
use seawall_catalog::{Catalog, DepartureRecord};
use seawall_kernel::contract::Reason;
use serde::Serialize;
use serde_json::Value;

/// Where a quarantine is read, and by whom.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    /// Reads tables.
    pub engine: &'a dyn Engine,
    /// Knows what left.
    pub catalog: &'a Catalog,
    /// What the caller may see.
    pub permit: &'a Permit,
}

/// A row of a quarantine, as its reader may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedRow {
    /// Its identity.
    pub row: RowId,
    /// When it arrived.
    pub arrived_at: Instant,
    /// The contract that stopped it.
    pub contract: String,
    /// The source that delivered it.
    pub source: String,
    /// Every rule that it breaks.
    pub reasons: Vec<Reason>,
    /// The row as JSON, or the line as it came.
    pub raw: String,
}

/// A reason with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The rule.
    pub rule: String,
    /// The column, when it is about one.
    pub column: Option<String>,
    /// What the rule does.
    pub mode: String,
    /// Value and limit, as far as the reader may see them.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Told {
    /// What is said of `reason`.
    pub fn of(reason: &Reason) -> Told {
        Told {
            rule: reason.rule.clone(),
            column: reason.column.clone(),
            mode: reason.mode.as_str().to_owned(),
            message: reason.message.clone(),
            remedy: reason.remedy().to_owned(),
        }
    }
}

/// A row of a quarantine with everything that is known about it.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The dataset.
    pub dataset: String,
    /// Its identity, `partition:offset`.
    pub row: String,
    /// When it arrived.
    pub arrived_at: Instant,
    /// The source that delivered it.
    pub source: String,
    /// The contract that stopped it.
    pub contract: String,
    /// Whether it is in quarantine, or has left.
    pub open: bool,
    /// Every rule that it breaks.
    pub reasons: Vec<Told>,
    /// The row; text when it is a line that could not be read.
    pub raw: Value,
    /// Its departures, those included that a rollback took back.
    pub departures: Vec<DepartureRecord>,
}

impl Window<'_> {
    /// The rows in the quarantine of `dataset`, newest first; of those only that break `rule` when there is one.
    pub async fn open_rows(&self, dataset: &str, rule: Option<&str>, rows_max: Option<usize>) -> Result<QueryResult> {
        self.open(dataset, "q.*", rule, rows_max).await
    }

    /// The ids of the rows in the quarantine of `dataset`; of those only that break `rule` when there is one.
    pub async fn open_ids(&self, dataset: &str, rule: Option<&str>) -> Result<Vec<RowId>> {
        let result = self.open(dataset, "q._partition, q._lsn", rule, None).await?;
        let mut ids = Vec::new();
        for batch in &result.batches {
            ids.extend(ids_of(batch)?);
        }
        Ok(ids)
    }

    async fn open(
        &self,
        dataset: &str,
        columns: &str,
        rule: Option<&str>,
        rows_max: Option<usize>,
    ) -> Result<QueryResult> {
        let table = TableName::quarantine(dataset)?;
        let breaks = match rule {
            Some(rule) => format!("where strpos(q._reasons, {}) > 0", text(&member("rule", rule)?)),
            None => String::new(),
        };
        let sql = format!(
            "select {columns} from {table} q left anti join system.departed d
                 on q._partition = d._partition and q._lsn = d._lsn
             {breaks} order by q._partition desc, q._lsn desc"
        );
        let departed = departed(&self.catalog.departures(dataset).await?)?;
        let system = vec![("departed".to_owned(), departed)];
        self.engine.query(self.permit, Query { sql, system, rows_max, ..Query::default() }).await
    }

    /// Rows of a quarantine by identity, those that left included. Rows that are not there are left out.
    pub async fn rows(&self, dataset: &str, rows: &[RowId]) -> Result<Vec<StoppedRow>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let table = TableName::quarantine(dataset)?;
        let mut partitions: Vec<Partition> = rows.iter().map(|row| row.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let mut conditions = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let offsets = rows.iter().filter(|row| row.partition == partition).map(|row| row.offset.0.to_string());
            let offsets: Vec<String> = offsets.collect();
            conditions.push(format!("(_partition = {} and _lsn in ({}))", partition.0, offsets.join(", ")));
        }
        let sql = format!(
            "select _partition, _lsn, _arrival, _contract, _source, _reasons, _raw from {table}
             where {} order by _partition, _lsn",
            conditions.join(" or ")
        );
        let result = self.engine.query(self.permit, Query { sql, ..Query::default() }).await?;
        let mut found = Vec::with_capacity(rows.len());
        for batch in &result.batches {
            found.extend(stopped_rows(batch)?);
        }
        Ok(found)
    }

    /// Everything about one row.
    pub async fn show(&self, dataset: &str, row: RowId) -> Result<Shown> {
        let stopped = self.rows(dataset, &[row]).await?.into_iter().next().ok_or_else(|| unknown_row(dataset, row))?;
        let mut departures = self.catalog.departure_history(dataset).await?;
        departures.retain(|departure| departure.row == row);
        let open = departures.iter().all(|departure| departure.withdrawn_at.is_some());
        Ok(Shown {
            dataset: dataset.to_owned(),
            row: row.to_string(),
            arrived_at: stopped.arrived_at,
            source: stopped.source,
            contract: stopped.contract,
            open,
            reasons: stopped.reasons.iter().map(Told::of).collect(),
            raw: serde_json::from_str(&stopped.raw).unwrap_or(Value::String(stopped.raw)),
            departures,
        })
    }
}

/// What is said of a row that is not in a quarantine, or not shown to whoever asks.
pub(super) fn unknown_row(dataset: &str, row: RowId) -> Error {
    Error::not_found("SW1502", format!("the quarantine of {dataset} has no row {row}"))
        .hint(format!("`seawall quarantine list {dataset}` names the rows that are in it"))
}

/// The rows that left, as a table for SQL.
fn departed(departures: &[DepartureRecord]) -> Result<RecordBatch> {
    let partitions: Int32Array = departures.iter().map(|one| i32::try_from(one.row.partition.0).ok()).collect();
    let offsets: Int64Array = departures.iter().map(|one| i64::try_from(one.row.offset.0).ok()).collect();
    let columns: [(&str, ArrayRef); 2] = [(column::PARTITION, Arc::new(partitions)), (column::LSN, Arc::new(offsets))];
    Ok(RecordBatch::try_from_iter_with_nullable(columns.map(|(name, values)| (name, values, true)))?)
}

/// A member of a JSON object as the gate writes it.
fn member(name: &str, value: &str) -> Result<String> {
    let quoted = |text: &str| {
        serde_json::to_string(text).map_err(|e| Error::internal("SW0801", "cannot encode a name").because(e))
    };
    Ok(format!("{}:{}", quoted(name)?, quoted(value)?))
}

/// `text` as a literal of SQL.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn ids_of(batch: &RecordBatch) -> Result<Vec<RowId>> {
    let partitions = typed(batch, column::PARTITION, &DataType::Int32)?;
    let offsets = typed(batch, column::LSN, &DataType::Int64)?;
    let (partitions, offsets) = (partitions.as_primitive::<Int32Type>(), offsets.as_primitive::<Int64Type>());
    let id = |row: usize| RowId {
        partition: Partition(partitions.value(row) as u32),
        offset: Offset(offsets.value(row) as u64),
    };
    Ok((0..batch.num_rows()).map(id).collect())
}

fn stopped_rows(batch: &RecordBatch) -> Result<Vec<StoppedRow>> {
    let ids = ids_of(batch)?;
    let arrivals = typed(batch, column::ARRIVAL, &crate::instant_type())?;
    let arrivals = arrivals.as_primitive::<TimestampMicrosecondType>();
    let (contracts, sources) = (texts(batch, "_contract")?, texts(batch, "_source")?);
    let (reasons, raws) = (texts(batch, "_reasons")?, texts(batch, "_raw")?);
    let mut rows = Vec::with_capacity(ids.len());
    for (at, row) in ids.into_iter().enumerate() {
        rows.push(StoppedRow {
            row,
            arrived_at: Instant(arrivals.value(at)),
            contract: contracts.value(at).to_owned(),
            source: sources.value(at).to_owned(),
            // Reasons that a policy cannot show are null.
            reasons: if reasons.is_null(at) { Vec::new() } else { read_reasons(reasons.value(at))? },
            raw: raws.value(at).to_owned(),
        });
    }
    Ok(rows)
}

fn read_reasons(text: &str) -> Result<Vec<Reason>> {
    serde_json::from_str(text).map_err(|e| Error::corrupt("SW0802", "quarantine reasons are damaged").because(e))
}

fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray> {
    Ok(typed(batch, name, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn typed(batch: &RecordBatch, name: &str, data_type: &DataType) -> Result<ArrayRef> {
    let column = batch.column_by_name(name).ok_or_else(|| crate::verify::missing_column(name))?;
    Ok(cast(column, data_type)?)
}
