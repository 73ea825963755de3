//! Restricted tables in SQL: a provider and an execution plan that let nothing past them but what a grant shows.
//!
//! [`PolicyExec`] is a leaf to the planner: the scan inside of it is no child, so that no rule of the optimiser, today's
//! or tomorrow's, can move a filter, a limit, a sort or a projection below the row filter, tie it to a dynamic filter or
//! read its statistics. It knows nothing of its rows until it is run. Batches are cut anew after the filter, so that
//! their sizes tell nothing of what was left out.

use std::fmt;
use std::sync::Arc;

use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr, PlanProperties,
    SendableRecordBatchStream,
};
use futures::{StreamExt, stream};
use seawall_base::error::Error;

use crate::policy::{RowPolicy, TablePolicy};

/// A table of which a grant shows a part.
#[derive(Debug)]
pub(super) struct PolicyTable {
    inner: Arc<dyn TableProvider>,
    policy: TablePolicy,
}

impl PolicyTable {
    /// What `policy` shows of `inner`, whose columns are those that the policy was made for.
    pub(super) fn new(inner: Arc<dyn TableProvider>, policy: TablePolicy) -> Self {
        PolicyTable { inner, policy }
    }
}

#[async_trait]
impl TableProvider for PolicyTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.policy.visible())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// No predicate of the caller may be evaluated on rows or values that the grant does not show.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.policy.visible().fields().len()).collect();
        let rows = self.policy.rows(projection.unwrap_or(&all)).map_err(external)?;
        let input = self.inner.scan(state, Some(&rows.reads().to_vec()), &[], None).await?;
        Ok(Arc::new(PolicyExec::new(input, Arc::new(rows))))
    }
}

/// Filters, then masks, what a scan reads.
pub(super) struct PolicyExec {
    input: Arc<dyn ExecutionPlan>,
    rows: Arc<RowPolicy>,
    properties: Arc<PlanProperties>,
}

impl PolicyExec {
    fn new(input: Arc<dyn ExecutionPlan>, rows: Arc<RowPolicy>) -> Self {
        let partitioning = Partitioning::UnknownPartitioning(input.output_partitioning().partition_count());
        let equivalence = EquivalenceProperties::new(Arc::clone(rows.schema()));
        let properties =
            PlanProperties::new(equivalence, partitioning, EmissionType::Incremental, Boundedness::Bounded);
        PolicyExec { input, rows, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for PolicyExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PolicyExec")
    }
}

impl DisplayAs for PolicyExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PolicyExec")
    }
}

// Statistics, limits, sorts, filters and projections: the trait's defaults support none of them, and must stay so.
impl ExecutionPlan for PolicyExec {
    fn name(&self) -> &str {
        "PolicyExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() {
            return Ok(self);
        }
        Err(DataFusionError::Internal("a PolicyExec has no children".into()))
    }

    fn with_new_children_and_same_properties(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        #[expect(deprecated)]
        self.with_new_children(children)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = reset_plan_states(Arc::clone(&self.input))?;
        Ok(Arc::new(PolicyExec { input, rows: Arc::clone(&self.rows), properties: Arc::clone(&self.properties) }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batch_rows = context.session_config().batch_size();
        let input = self.input.execute(partition, context)?;
        let carried = self.rows.carried_schema().map_err(external)?;
        let coalescer = BatchCoalescer::new(carried, batch_rows);
        let governed = Governed { input, rows: Arc::clone(&self.rows), coalescer, is_read: false };
        let batches = stream::try_unfold(governed, |mut governed| async move {
            let next = governed.next().await?;
            Ok(next.map(|batch| (batch, governed)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.rows.schema()), batches)))
    }
}

/// One partition on its way through the policy.
struct Governed {
    input: SendableRecordBatchStream,
    rows: Arc<RowPolicy>,
    coalescer: BatchCoalescer,
    is_read: bool,
}

impl Governed {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(carried) = self.coalescer.next_completed_batch() {
                return self.rows.show(&carried).map(Some).map_err(external);
            }
            if self.is_read {
                return Ok(None);
            }
            match self.input.next().await {
                Some(read) => self.take(&read?)?,
                None => {
                    self.coalescer.finish_buffered_batch()?;
                    self.is_read = true;
                }
            }
        }
    }

    fn take(&mut self, read: &RecordBatch) -> Result<()> {
        let carried = self.rows.carry(read).map_err(external)?;
        match self.rows.keep(read).map_err(external)? {
            None => self.coalescer.push_batch(carried)?,
            Some(keep) => self.coalescer.push_batch_with_filter(carried, &keep)?,
        }
        Ok(())
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[cfg(test)]
mod tests;
