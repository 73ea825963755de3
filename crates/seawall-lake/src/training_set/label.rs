//! Labels: what came of a decision, as far as it was known when the training set was built.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use seawall_base::declare::{Label, LabelValue};
use seawall_base::error::{Error, Result};
use seawall_base::{Instant, column};
use seawall_kernel::feature::key_hashes;

use crate::codes;

/// Which outcome comes first: `(available_at, partition, lsn)`.
type Order = (i64, i32, i64);

/// The columns of the outcomes that [`join`] reads.
pub(super) fn columns(label: &Label) -> Vec<String> {
    let mut columns = label.join.clone();
    if let LabelValue::Column(value) = &label.value
        && !columns.contains(value)
    {
        columns.push(value.clone());
    }
    for own in [column::PARTITION, column::LSN, column::AVAILABLE_AT] {
        if !columns.iter().any(|name| name == own) {
            columns.push(own.to_owned());
        }
    }
    columns
}

/// The label of each spine row, in order: of the first outcome with equal join columns that was available before
/// `built_at`. Null where nothing is final.
pub(super) fn join(
    label: &Label,
    spine: &RecordBatch,
    at: &[Instant],
    outcomes: &RecordBatch,
    built_at: Instant,
) -> Result<ArrayRef> {
    check_joins(label, spine, outcomes)?;
    let first = first_outcomes(label, outcomes, built_at)?;
    let keys = key_hashes(spine, &label.join)?;
    let found: Vec<Option<u64>> =
        keys.iter().map(|key| key.and_then(|key| first.get(&key)).map(|(_, row)| *row)).collect();
    match &label.value {
        LabelValue::Column(value) => {
            let values = outcome_column(label, outcomes, value)?;
            Ok(take(values, &UInt64Array::from(found), None)?)
        }
        LabelValue::Present { final_after } => {
            // A young row with an outcome has no label either: with only its positives, a young period would look far
            // worse than it is.
            let presence =
                found.iter().zip(at).map(|(found, at)| (*at + *final_after <= built_at).then_some(found.is_some()));
            Ok(Arc::new(presence.collect::<BooleanArray>()))
        }
    }
}

fn first_outcomes(label: &Label, outcomes: &RecordBatch, built_at: Instant) -> Result<HashMap<u128, (Order, u64)>> {
    let available = outcome_column(label, outcomes, column::AVAILABLE_AT)?.as_primitive::<TimestampMicrosecondType>();
    let partitions = outcome_column(label, outcomes, column::PARTITION)?.as_primitive::<Int32Type>();
    let offsets = outcome_column(label, outcomes, column::LSN)?.as_primitive::<Int64Type>();
    let mut first: HashMap<u128, (Order, u64)> = HashMap::new();
    for (row, key) in key_hashes(outcomes, &label.join)?.into_iter().enumerate() {
        let Some(key) = key else { continue };
        if available.is_null(row) || available.value(row) >= built_at.0 {
            continue;
        }
        let order = (available.value(row), partitions.value(row), offsets.value(row));
        let entry = first.entry(key).or_insert((order, row as u64));
        if order < entry.0 {
            *entry = (order, row as u64);
        }
    }
    Ok(first)
}

/// Keys of different types never match, which would look like outcomes that never came.
fn check_joins(label: &Label, spine: &RecordBatch, outcomes: &RecordBatch) -> Result<()> {
    for name in &label.join {
        let of_outcome = outcome_column(label, outcomes, name)?.data_type();
        let Some(of_spine) = spine.column_by_name(name).map(|column| column.data_type()) else {
            return Err(Error::invalid(
                codes::LABEL,
                format!("the decisions have no column {name:?} to join the label by"),
            )
            .hint("join by columns that both datasets have under the same name"));
        };
        let comparable = of_spine == of_outcome || (of_spine.is_integer() && of_outcome.is_integer());
        if !comparable {
            let message = format!(
                "the label joins by {name}, which is {of_spine} in the decisions and {of_outcome} in {}",
                label.from
            );
            return Err(Error::invalid(codes::LABEL, message).hint("give the column one type in both contracts"));
        }
    }
    Ok(())
}

fn outcome_column<'r>(label: &Label, outcomes: &'r RecordBatch, name: &str) -> Result<&'r ArrayRef> {
    outcomes.column_by_name(name).ok_or_else(|| {
        Error::invalid(codes::LABEL, format!("dataset {} has no column {name:?} for the label", label.from))
            .hint("check the label's join and column against the dataset's contract")
    })
}
