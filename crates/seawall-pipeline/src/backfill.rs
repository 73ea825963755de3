//! Backfill: views that the online store does not keep yet are filled from their tables, several at a time, while events
//! keep coming in.
//!
//! A view is defined first, and receives live rows from then on; rows up to the store's cut of that moment come from the
//! newest version of its table. Each row is taken once, whichever way it comes first. A view is refused until it has all
//! of them. A crash loses nothing: a view that had not caught up is filled again by the next start.

use std::sync::Arc;

use arrow::array::RecordBatch;
use seawall_base::error::Result;
use seawall_base::{Computed, Cut, Error, Permit, TableName};
use seawall_kernel::feature::ViewPlan;
use tokio::runtime::Handle as Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::info;

use crate::dependency::scope;
use crate::pipeline::Parts;
use crate::revision::Revision;
use crate::table_writer;

/// Views that are filled at the same time: while one waits for its table, another folds.
const FILLED_AT_ONCE_MAX: usize = 3;

/// A view that lacks rows within a cut.
pub(crate) struct Unfilled {
    plan: ViewPlan,
    until: Cut,
}

/// Defines every view in the online store, and fills those that lack rows of the past.
pub(crate) async fn keep_views(
    parts: &Parts,
    revision: &Revision,
    tables: &table_writer::Handle,
    permit: &Permit,
) -> Result<()> {
    let unfilled = define(parts, revision).await?;
    if unfilled.is_empty() {
        return Ok(());
    }
    tables.flush(parts.log.durable_end().0).await?;
    // So that rows are folded as they are read, instead of waiting in memory for whoever asks first.
    parts.online.advance(parts.clock.now()).await?;
    let room = Arc::new(Semaphore::new(FILLED_AT_ONCE_MAX));
    let (runtime, deadline) = (Runtime::current(), scope::deadline());
    let mut filling = JoinSet::new();
    for view in unfilled {
        let (parts, permit, room, runtime) = (parts.clone(), permit.clone(), room.clone(), runtime.clone());
        filling.spawn(async move {
            let died = |e| Error::internal("SW0832", "filling a feature view died").because(e);
            let _room = room.acquire_owned().await.map_err(|e| Error::internal("SW0832", "nobody fills").because(e))?;
            // Folding a table takes seconds of a processor, which belong on the blocking pool.
            let fill = move || runtime.block_on(scope::until(deadline, fill(&parts, &permit, &view)));
            tokio::task::spawn_blocking(fill).await.map_err(died)?
        });
    }
    while let Some(filled) = filling.join_next().await {
        filled.map_err(|e| Error::internal("SW0832", "filling a feature view died").because(e))??;
    }
    Ok(())
}

/// Defines every view in the online store, which then takes live rows; those that lack rows of the past.
pub(crate) async fn define(parts: &Parts, revision: &Revision) -> Result<Vec<Unfilled>> {
    let mut unfilled = Vec::new();
    for view in &revision.views {
        let dataset = &revision.dataset(&view.from)?.dataset;
        parts.online.define(view, dataset).await?;
        // After the definition, so that it covers the beginning of the view's gap.
        let until = parts.online.store_cut();
        if !parts.online.cut(&view.id())?.covers(&until) {
            let computed = Computed::compile(parts.engine.as_ref(), dataset, &[view]).await?;
            unfilled.push(Unfilled { plan: ViewPlan::compile(view, &computed.extended(dataset))?, until });
        }
    }
    Ok(unfilled)
}

async fn fill(parts: &Parts, permit: &Permit, unfilled: &Unfilled) -> Result<()> {
    let view = unfilled.plan.view();
    let table = TableName::dataset(&view.from)?;
    let snapshot = parts.tables.snapshot(&table, None).await?;
    let columns = unfilled.plan.input_columns();
    let mut rows = parts.tables.scan(permit, &table, snapshot.version, Some(&columns)).await?;
    for batch in &mut rows {
        *batch = rows_within(batch, &unfilled.until)?;
    }
    parts.online.backfill(&view.id(), &rows, &unfilled.until).await?;
    let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
    info!(view = %view.id(), rows = count, "feature view filled from its table");
    Ok(())
}

/// The rows of `batch` that lie within `cut`.
pub(crate) fn rows_within(batch: &RecordBatch, cut: &Cut) -> Result<RecordBatch> {
    crate::restore::keep_where(batch, |partition, offset| offset < cut.end(partition).0)
}
