//! A row-wise transform: each row is made of one row of its input, and knows what that row knew.
//!
//! Only the rows are read that are new since what is done, in the order of their identity. Each batch is a frame that says
//! what is done with it, so a run that is cut off goes on behind its last frame. Availability is handed on.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use seawall_base::engine::{NewRows, TransformRead};
use seawall_base::error::Result;
use seawall_base::{Cut, Error, Instant, Offset, Partition};
use seawall_catalog::policy::Action;

use super::compiled::Compiled;
use super::hand_over::typed;
use super::progress::{Done, Input, Made, Progress, Step, done_with};
use crate::gate::Incoming;
use crate::pipeline::Pipeline;

impl Pipeline {
    /// Makes rows of the input's new rows. Nothing when another revision became active meanwhile.
    pub(super) async fn derive_by_row(
        &self,
        transform: &Compiled,
        progress: &Progress,
        input: &Input,
    ) -> Result<Option<Made>> {
        // Made again, rows are recognised by a key that is never forgotten, unless each of them takes the place of another.
        let dataset = &transform.dataset;
        let recognises = !dataset.dataset.primary_key.is_empty() && dataset.gate.dedup_horizon().is_none();
        if progress.is_lost && (!recognises || dataset.dataset.changelog.is_some()) {
            return Err(lost(transform));
        }
        let after = progress.done.get(&input.table).cloned().unwrap_or_default();
        let until = input.cut.clone();
        let new = NewRows { table: input.table.clone(), after: after.clone(), until: until.clone() };
        let versions = vec![(input.table.clone(), input.version)];
        let read = TransformRead { sql: transform.transform.sql.clone(), versions, new: Some(new) };
        let permit = self.control_permit(Action::ReadRows, &input.table);
        let mut rows = self.parts.engine.transform(&permit, &read).await?;
        let mut made = Made::default();
        while let Some(batch) = rows.next().await? {
            if batch.num_rows() == 0 {
                continue;
            }
            if self.has_moved_on(transform) {
                return Ok(None);
            }
            made.rows_made += batch.num_rows() as u64;
            let batch = Carried::of(&batch)?;
            let (partition, offset) = batch.last;
            let step = transform.step(Some(done(input, done_with(&after, &until, partition, offset))));
            let rows = transform.as_upserts(batch.rows)?;
            let incoming = Incoming { available: Some(batch.available), derived: Some(step), ..typed(rows) };
            let counts = self.hand_over(transform, incoming).await?;
            crate::add_counts(&mut made.counts, &counts);
        }
        made.rows_read = rows.rows_read();
        Ok(Some(made))
    }
}

/// Everything of `input` before `cut` is done.
pub(super) fn done(input: &Input, cut: Cut) -> Done {
    Done { table: input.table.clone(), cut }
}

/// A batch apart from what it carries of the input's rows.
struct Carried {
    rows: RecordBatch,
    available: Vec<Instant>,
    /// The identity of the last row.
    last: (Partition, Offset),
}

impl Carried {
    fn of(batch: &RecordBatch) -> Result<Carried> {
        let missing = || Error::internal("SW1910", "a row-wise transform does not tell which rows it was made of");
        let own = batch.num_columns().checked_sub(3).ok_or_else(missing)?;
        let at = batch.num_rows() - 1;
        let partition = batch.column(own).as_primitive_opt::<Int32Type>().ok_or_else(missing)?.value(at);
        let offset = batch.column(own + 1).as_primitive_opt::<Int64Type>().ok_or_else(missing)?.value(at);
        let available = batch.column(own + 2).as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(missing)?;
        Ok(Carried {
            rows: batch.project(&(0..own).collect::<Vec<_>>())?,
            available: available.values().iter().map(|at| Instant(*at)).collect(),
            last: (Partition(partition.unsigned_abs()), Offset(offset.unsigned_abs())),
        })
    }
}

impl Compiled {
    /// A step of a run that is under way.
    pub(super) fn step(&self, done: Option<Done>) -> Step {
        Step { transform: self.transform.name.clone(), definition: self.definition, done, run: None }
    }
}

fn lost(transform: &Compiled) -> Error {
    let name = &transform.dataset.dataset.name;
    let message = format!("a rollback took {name} back further than is known of what it was made of");
    Error::invalid("SW1914", message).hint(
        "its rows have no key by which they would be recognised for ever: give the contract one, without seawall.dedupHorizon and seawall.changelog, or make a new dataset of another name",
    )
}
