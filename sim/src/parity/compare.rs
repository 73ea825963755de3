//! What was served, computed again by the sweep over the table, and compared bit by bit.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use seawall_base::VersionedName;
use seawall_kernel::feature::{Decisions, ViewPlan, entity_keys, sweep};

use super::life::{Life, Served};
use super::rows::{batch, dataset};
use super::{EXAMPLES_MAX, Tally};

/// Sweeps the table, rewritten in another order and batching, once per view.
pub(super) fn against_sweep(mut life: Life) -> Result<Tally> {
    let mut rows = life.table();
    life.dice.shuffle(&mut rows);
    let size = life.dice.between(1, 200) as usize;
    let table: Vec<RecordBatch> = rows.chunks(size).map(batch).collect::<Result<_>>()?;
    let mut by_view: BTreeMap<VersionedName, Vec<Served>> = BTreeMap::new();
    for served in std::mem::take(&mut life.served) {
        by_view.entry(served.view.id()).or_default().push(served);
    }
    for served in by_view.values() {
        compare_view(life.seed, &table, served, &mut life.tally)?;
    }
    Ok(life.tally)
}

fn compare_view(seed: u64, table: &[RecordBatch], served: &[Served], tally: &mut Tally) -> Result<()> {
    let plan = Arc::new(ViewPlan::compile(&served[0].view, &dataset())?);
    let mut decisions = Decisions { cuts: Some(Vec::new()), ..Decisions::default() };
    for one in served {
        decisions.keys.extend(entity_keys(&plan, &one.entities)?);
        decisions.at.extend(&one.at);
        decisions.known.extend(&one.known_at);
        decisions.own.extend(&one.own);
        let cuts = std::iter::repeat_n(one.cut.clone(), one.at.len());
        decisions.cuts.get_or_insert_default().extend(cuts);
    }
    let swept = sweep(&plan, table, &decisions)?;
    let mut first = 0;
    for one in served {
        let expected = swept.slice(first, one.at.len());
        first += one.at.len();
        for (row, column) in differences(&one.values, &expected, tally)? {
            let told = |batch: &RecordBatch| array_value_to_string(batch.column(column), row);
            if tally.examples.len() < EXAMPLES_MAX {
                tally.examples.push(format!(
                    "seed {seed}, {} {}: served {:?}, swept {:?}, at {}, known {}, cut {}",
                    one.view.id(),
                    one.view.features[column].name,
                    told(&one.values)?,
                    told(&expected)?,
                    one.at[row],
                    one.known_at[row],
                    one.cut,
                ));
            }
        }
    }
    Ok(())
}

/// Counts the values, and tells row and column of those that are not the same to the bit.
pub(super) fn differences(
    served: &RecordBatch,
    expected: &RecordBatch,
    tally: &mut Tally,
) -> Result<Vec<(usize, usize)>> {
    ensure!(served.num_rows() == expected.num_rows(), "{} rows, {} served", expected.num_rows(), served.num_rows());
    ensure!(served.schema() == expected.schema(), "other columns than were served");
    tally.values += (served.num_rows() * served.num_columns()) as u64;
    let mut found = Vec::new();
    for (column, (a, b)) in served.columns().iter().zip(expected.columns()).enumerate() {
        if is_same(a, b) {
            continue;
        }
        found
            .extend((0..a.len()).filter(|row| !is_same(&a.slice(*row, 1), &b.slice(*row, 1))).map(|row| (row, column)));
    }
    tally.mismatched += found.len() as u64;
    Ok(found)
}

/// Arrow compares floats by their bits here.
fn is_same(a: &ArrayRef, b: &ArrayRef) -> bool {
    a.to_data() == b.to_data()
}
