//! What a principal sees of every table: the policies on the table itself, and those that its values bring along.
//!
//! A policy follows the data. A column that holds values of another column unchanged is masked at least as strictly; a
//! table whose rows come from a dataset shows a row only when the dataset would, judged by the very values that the row
//! took over. Where a row did not take over what the filter asks for, it is not shown: a copy must not show what its
//! origin hides.

use std::collections::{BTreeMap, BTreeSet};

use seawall_base::grant::{Grants, Mask, Predicate, TableGrant};

use super::Action;
use super::decide::Subject;
use super::filter::{all, each_column, renamed};
use super::mask;
use super::set::Compiled;
use super::shape::{ColumnShape, TableKind, TableShape};

#[cfg(test)]
mod tests;

/// Most ways in which the columns of a filter are looked for in a table that took them over more than once.
const WAYS_MAX: usize = 16;

/// What one principal sees of every table that it may read at all, whatever the action.
pub(super) type Sights = BTreeMap<String, TableGrant>;

/// The sights of a principal on all tables but the catalog's own.
pub(super) fn sights(compiled: &Compiled, subject: &Subject) -> Sights {
    let tables = || compiled.shape.tables.iter().filter(|table| table.kind != TableKind::System);
    let own = tables().map(|table| (table.name.as_str(), own_grant(compiled, subject, table))).collect();
    let mut view = View { compiled, own, settled: BTreeMap::new(), open: BTreeSet::new() };
    tables().map(|table| (table.name.clone(), view.grant(table))).collect()
}

/// What a permit of `subject` for `action` shows, when anything restricts it.
pub(super) fn grants(compiled: &Compiled, subject: &Subject, action: Action, sights: &Sights) -> Grants {
    let mut shown = BTreeMap::new();
    for table in &compiled.shape.tables {
        if !is_visible(compiled, subject, action, table) {
            continue;
        }
        let grant = sights.get(&table.name).cloned().unwrap_or_default();
        shown.insert(table.name.clone(), grant);
    }
    Grants::Tables(shown)
}

/// Whether a table may be read at all: it, and every dataset that its values come from, directly or not.
pub(super) fn is_visible(compiled: &Compiled, subject: &Subject, action: Action, table: &TableShape) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![table];
    while let Some(table) = waiting.pop() {
        if !seen.insert(&table.name) {
            continue;
        }
        if !compiled.allows(subject, action, &table.name) {
            return false;
        }
        waiting.extend(origins(table).into_iter().filter_map(|dataset| compiled.shape.dataset(dataset)));
    }
    true
}

fn own_grant(compiled: &Compiled, subject: &Subject, table: &TableShape) -> TableGrant {
    let rows = match compiled.rows_of(subject, table) {
        Predicate::Constant(true) => None,
        rows => Some(rows),
    };
    let masked = |column: &ColumnShape| Some((column.name.clone(), compiled.mask_of(subject, table, column)?));
    let masks = table.columns.iter().filter_map(masked).collect();
    TableGrant { rows, masks, hidden: Vec::new() }
}

/// The datasets that a table's values come from, itself not counted.
fn origins(table: &TableShape) -> BTreeSet<&str> {
    let mut datasets: BTreeSet<&str> =
        table.columns.iter().flat_map(|column| &column.derived_from).map(|(dataset, _)| dataset.as_str()).collect();
    match table.kind {
        TableKind::Dataset => {
            datasets.remove(table.dataset.as_str());
        }
        TableKind::Quarantine | TableKind::Served | TableKind::TrainingSet | TableKind::Predictions => {
            datasets.insert(&table.dataset);
        }
        TableKind::System => datasets.clear(),
    }
    datasets
}

/// Grants while they are being put together.
struct View<'a> {
    compiled: &'a Compiled,
    own: BTreeMap<&'a str, TableGrant>,
    settled: BTreeMap<&'a str, TableGrant>,
    /// Tables that are being worked out: one that is met again derives from itself.
    open: BTreeSet<&'a str>,
}

impl<'a> View<'a> {
    fn grant(&mut self, table: &'a TableShape) -> TableGrant {
        if let Some(settled) = self.settled.get(table.name.as_str()) {
            return settled.clone();
        }
        if !self.open.insert(&table.name) {
            return nothing(table);
        }
        let grant = match table.kind {
            TableKind::Quarantine => self.quarantine(table),
            TableKind::Dataset | TableKind::Served | TableKind::TrainingSet | TableKind::Predictions => {
                self.derived(table)
            }
            TableKind::System => TableGrant::default(),
        };
        self.open.remove(table.name.as_str());
        self.settled.insert(&table.name, grant.clone());
        grant
    }

    fn own(&self, table: &TableShape) -> TableGrant {
        self.own.get(table.name.as_str()).cloned().unwrap_or_else(|| nothing(table))
    }

    /// A row in quarantine is what the producer sent: it is judged and masked under the dataset's names.
    fn quarantine(&mut self, table: &'a TableShape) -> TableGrant {
        let own = self.own(table);
        let origin = match self.compiled.shape.dataset(&table.dataset) {
            Some(dataset) => self.grant(dataset),
            None if self.is_restricted() => nothing(table),
            None => TableGrant::default(),
        };
        let mut masks = origin.masks;
        for (column, mask) in own.masks {
            let both = masks.get(&column).cloned().into_iter().chain([mask]);
            if let Some(mask) = mask::strictest(both) {
                masks.insert(column, mask);
            }
        }
        TableGrant { rows: both(own.rows, origin.rows), masks, hidden: Vec::new() }
    }

    fn derived(&mut self, table: &'a TableShape) -> TableGrant {
        let own = self.own(table);
        let mut rows = own.rows;
        let mut masks = own.masks;
        let mut from: BTreeMap<&str, TableGrant> = BTreeMap::new();
        for dataset in origins(table) {
            let origin = match self.compiled.shape.dataset(dataset) {
                Some(origin) => self.grant(origin),
                None if self.is_restricted() => no_rows(),
                None => TableGrant::default(),
            };
            let inherited = origin.rows.as_ref().map(|filter| taken_over(filter, dataset, table));
            rows = both(rows, inherited);
            from.insert(dataset, origin);
        }
        for column in &table.columns {
            let inherited = column.derived_from.iter().filter_map(|(dataset, name)| {
                let origin = from.get(dataset.as_str())?;
                origin.masks.get(name).cloned()
            });
            let every = inherited.chain(masks.get(&column.name).cloned());
            if let Some(mask) = mask::strictest(every) {
                masks.insert(column.name.clone(), mask::fitting(mask, &column.data_type));
            }
        }
        TableGrant { rows, masks, hidden: Vec::new() }
    }

    /// Whether the principal does not see all of some table: then what is of unknown origin is not shown.
    fn is_restricted(&self) -> bool {
        self.own.values().any(|grant| !grant.is_everything())
    }
}

fn no_rows() -> TableGrant {
    TableGrant { rows: Some(Predicate::Constant(false)), masks: BTreeMap::new(), hidden: Vec::new() }
}

/// No row, and no value either.
fn nothing(table: &TableShape) -> TableGrant {
    let masks = table.columns.iter().map(|column| (column.name.clone(), Mask::ReplaceWithNull)).collect();
    TableGrant { masks, ..no_rows() }
}

fn both(left: Option<Predicate>, right: Option<Predicate>) -> Option<Predicate> {
    match (left, right) {
        (Some(left), Some(right)) => Some(all(vec![left, right])),
        (one, other) => one.or(other),
    }
}

/// The filter of a dataset on a table that took its columns over, under whatever names: every way in which the columns
/// can be found must pass, because each may come from another row. Nothing passes when a column is not there.
fn taken_over(filter: &Predicate, dataset: &str, table: &TableShape) -> Predicate {
    let mut asked = BTreeSet::new();
    each_column(filter, &mut |column| {
        asked.insert(column.to_owned());
    });
    let mut ways: Vec<BTreeMap<&str, &str>> = vec![BTreeMap::new()];
    for name in &asked {
        let names: Vec<&str> = places(dataset, name, table).collect();
        let extended = ways.iter().flat_map(|way| {
            names.iter().map(|place| {
                let mut longer = way.clone();
                longer.insert(name.as_str(), *place);
                longer
            })
        });
        ways = extended.collect();
        if ways.is_empty() || ways.len() > WAYS_MAX {
            return Predicate::Constant(false);
        }
    }
    let named = |way: &BTreeMap<&str, &str>| {
        renamed(filter, &|column: &str| way.get(column).copied().unwrap_or(column).to_owned())
    };
    all(ways.iter().map(named).collect())
}

/// The columns of `table` that hold a column of a dataset unchanged.
fn places<'a>(dataset: &'a str, column: &'a str, table: &'a TableShape) -> impl Iterator<Item = &'a str> {
    let holds = move |one: &&ColumnShape| one.derived_from.iter().any(|(from, name)| from == dataset && name == column);
    table.columns.iter().filter(holds).map(|one| one.name.as_str())
}
