//! The states of the online store against the rows that they are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use seawall_base::declare::FeatureView;
use seawall_base::error::Result;
use seawall_base::{Checked, Cut, Dataset, Offset, OsRng, Partition, TableName, TableStore, TableVersion};
use seawall_catalog::integrity::Records;
use seawall_catalog::policy::{Action, Policy};
use seawall_lake::query::{DataFusionEngine, EngineOptions};
use seawall_lake::table::{DeltaStore, MemoryStore};
use seawall_pipeline::integrity::{Gather, Gathered, check_view, in_schema, plan_of};
use seawall_storage::keys::KeyRing;
use seawall_storage::online::KeptView;

use super::tables::Table;
use super::{Report, blocking};
use crate::assemble::datasets_of;

/// Views that can be folded anew.
#[derive(Default)]
pub struct Wanted {
    views: Vec<View>,
}

/// One view of the checkpoint with its declaration.
struct View {
    kept: KeptView,
    declared: FeatureView,
    dataset: Dataset,
    /// The version of the dataset's table whose rows are folded, and the end of its live rows.
    version: TableVersion,
    table_end: Offset,
}

/// Finds declaration and table of every view in the checkpoint; says what cannot be folded anew, and why.
pub fn wanted(
    records: Option<&Records>,
    tables: &BTreeMap<String, Table>,
    kept: &[KeptView],
    report: &mut Report,
) -> Wanted {
    let mut wanted = Wanted::default();
    let Some(active) = records.and_then(|records| records.active.as_ref()) else { return wanted };
    let datasets = datasets_of(&active.project.contracts);
    for view in kept {
        let mut skip =
            |why: &str| report.not_checked.push(format!("the state of {} by recomputation: {why}", view.view));
        let declared = active.views.iter().find(|declared| declared.id() == view.view);
        let Some(declared) = declared else {
            skip("it is not declared any more");
            continue;
        };
        let dataset = datasets.iter().find(|dataset| dataset.name == declared.from);
        let table = tables.get(&declared.from);
        let newest = table.and_then(|table| table.facts.versions.last_key_value());
        match (dataset, table, newest) {
            _ if view.backfilling => skip("it is still being filled"),
            _ if declared.definition_hash() != view.definition => skip("it has another definition"),
            (Some(dataset), Some(table), Some((version, newest))) if table.is_whole => {
                wanted.views.push(View {
                    kept: view.clone(),
                    declared: declared.clone(),
                    dataset: dataset.clone(),
                    version: TableVersion(*version),
                    table_end: newest.cut.end(Partition::LIVE),
                });
            }
            _ => skip("its dataset's table is damaged or missing"),
        }
    }
    wanted
}

impl Wanted {
    /// What the walk over the log is to gather: rows that the tables do not hold yet.
    pub fn gather(&self, keys: Option<KeyRing>) -> Gather {
        let mut tails: BTreeMap<&str, (Offset, Offset)> = BTreeMap::new();
        for view in &self.views {
            let end = view.kept.cut.end(Partition::LIVE);
            let tail = tails.entry(&view.declared.from).or_insert((view.table_end, view.table_end));
            tail.1 = tail.1.max(end);
        }
        let live = |end: Offset| Cut::of(Partition::LIVE, end);
        let wanted = tails.iter().map(|(dataset, tail)| Gathered::wanted(dataset, false, live(tail.0), live(tail.1)));
        Gather::of(wanted.collect(), keys)
    }

    /// Folds every view anew from its table and the gathered tails.
    pub async fn check(&mut self, store: Option<&DeltaStore>, tails: Vec<Gathered>, report: &mut Report) -> Result<()> {
        let Some(store) = store else { return Ok(()) };
        let permit = Policy::new(Arc::new(OsRng)).system_permit(Action::Administer, "integrity");
        // Expressions read no table.
        let engine = DataFusionEngine::over(Arc::new(MemoryStore::default()), EngineOptions::default())?;
        let mut checked = Checked::default();
        let tails: BTreeMap<String, Gathered> = tails.into_iter().map(|tail| (tail.dataset.clone(), tail)).collect();
        let count = self.views.len();
        for view in self.views.drain(..) {
            let name = view.kept.view.clone();
            let tail = tails.get(&view.declared.from).filter(|tail| tail.is_complete);
            let Some(tail) = tail else {
                report.not_checked.push(format!("the state of {name} by recomputation: the log lacks its newest rows"));
                continue;
            };
            let table = TableName::dataset(&view.declared.from)?;
            let (plan, computed) = plan_of(&view.declared, &view.dataset, &engine).await?;
            let columns = plan.input_columns();
            let mut rows = match store.scan(&permit, &table, view.version, Some(&columns)).await {
                Ok(rows) => rows,
                Err(error) => {
                    checked.findings.push(super::tables::unreadable(table.as_str(), error.to_string()));
                    continue;
                }
            };
            // Rows of the log may be of an older contract, without the columns that were added since.
            let schema = rows.first().map_or_else(|| of_columns(&view.dataset, &columns), RecordBatch::schema);
            rows.extend(in_schema(&tail.rows, &schema)?);
            let rows = computed.apply_all(rows).await?;
            let kept = view.kept;
            checked.findings.extend(blocking(move || check_view(&plan, &kept.cut, &kept.state, &rows)).await?);
        }
        report.take("features", format!("{count} states folded anew"), checked);
        Ok(())
    }
}

/// The schema of a scan of these columns.
fn of_columns(dataset: &Dataset, columns: &[String]) -> SchemaRef {
    let table = dataset.table_schema();
    let fields = table.fields().iter().filter(|field| columns.contains(field.name())).cloned();
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
