//! A view's state against its rows, folded anew.
//!
//! A state is a function of its rows and of what is known, and equal states encode to equal bytes. So the state in a
//! checkpoint is right exactly when a state that begins empty and takes the same rows encodes to the same bytes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use seawall_base::declare::FeatureView;
use seawall_base::error::Result;
use seawall_base::{Computed, Cut, Damage, Dataset, Engine, Finding, Hash, Severity};
use seawall_kernel::feature::{Retention, ViewPlan, ViewState};

use crate::table_writer::conform;

/// What every finding is about.
const OBJECT: &str = "online store";

/// The plan of a view over its dataset, and what it computes from each row first.
pub async fn plan_of(view: &FeatureView, dataset: &Dataset, engine: &dyn Engine) -> Result<(Arc<ViewPlan>, Computed)> {
    let computed = Computed::compile(engine, dataset, &[view]).await?;
    Ok((Arc::new(ViewPlan::compile(view, &computed.extended(dataset))?), computed))
}

/// Folds `rows`, those of the view's dataset within `cut`, and compares with the state that a checkpoint holds.
pub fn check_view(plan: &Arc<ViewPlan>, cut: &Cut, state: &[u8], rows: &[RecordBatch]) -> Option<Finding> {
    let name = plan.view().id();
    let finding = |damage, what: String| {
        let means = "features of the present are wrong until the state is rebuilt from the rows";
        Some(Finding::new(OBJECT, damage, Severity::High, what, means))
    };
    let kept = match ViewState::decode(plan.clone(), Retention::Live, state) {
        Ok(kept) => kept,
        Err(error) => return finding(Damage::Altered, format!("the state of {name} cannot be decoded: {error}")),
    };
    match fold(plan, &kept, cut, rows) {
        Ok(folded) if folded == Hash::of(state) => None,
        Ok(_) => finding(Damage::Disagrees, format!("the state of {name} at cut {cut} is not what its rows fold to")),
        Err(error) => finding(Damage::Unreadable, format!("the rows of {name} cannot be folded anew: {error}")),
    }
}

fn fold(plan: &Arc<ViewPlan>, kept: &ViewState, cut: &Cut, rows: &[RecordBatch]) -> Result<Hash> {
    let mut state = ViewState::new(plan.clone(), Retention::Live);
    for batch in rows {
        let within = crate::backfill::rows_within(batch, cut)?;
        if within.num_rows() > 0 {
            state.receive(&within)?;
        }
    }
    state.advance(kept.known())?;
    Ok(Hash::of(&state.encode()))
}

/// Rows of older frames in the table's schema: columns that were added since are null.
pub fn in_schema(rows: &[RecordBatch], schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    rows.iter().map(|batch| conform(batch, schema)).collect()
}
