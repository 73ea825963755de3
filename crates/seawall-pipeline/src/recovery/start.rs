//! Where the writers of tables and features begin to read: where their own durable state ends.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use seawall_base::error::Result;
use seawall_base::log::entry_at;
use seawall_base::{Cut, Error, ErrorKind, Extent, Log, OnlineStore, Partition, TableName, TableStore};
use tracing::{info, warn};

use super::checkpoint::TablePosition;
use crate::table_writer::Start;

/// The first entry of which a table may lack a row.
///
/// A table that has lost commits since its position was written down, because it came from an older backup, begins where
/// its own cut ends.
pub(crate) async fn of_tables(log: &dyn Log, tables: &dyn TableStore, position: &TablePosition) -> Result<Start> {
    let extent = log.extent();
    let Start { entry: mut from, .. } = of_position(log, position).await?;
    for (name, cut) in &position.cuts {
        let table = TableName::new(name.as_str())?;
        let found = match tables.snapshot(&table, None).await {
            Ok(snapshot) => snapshot.cut,
            Err(error) if error.kind() == ErrorKind::NotFound => Cut::empty(),
            Err(error) => return Err(error),
        };
        if found.covers(cut) {
            continue;
        }
        let needed = needed_from(log, &extent, &table, cut, &found).await?;
        warn!(%table, from = needed, "a table lacks rows that it had, reading the log again from there");
        from = from.min(needed);
    }
    let entry = log.read(from, 1).await?;
    Ok(Start { entry: from, offset: entry.first().map_or(extent.end, |entry| entry.first) })
}

/// The first entry of which a table may lack a row, if tables have not lost commits since their position was written down.
pub(crate) async fn of_position(log: &dyn Log, position: &TablePosition) -> Result<Start> {
    let extent = log.extent();
    if position.entries < extent.first_entry {
        let (entries, first) = (position.entries, extent.first_entry);
        let message =
            format!("the tables are known to hold {entries} entries of the log, which begins with entry {first}");
        return Err(Error::corrupt("SW0444", message)
            .hint("restore the folder `state` from a backup that is not older than the log's first entry"));
    }
    let from = position.entries.min(extent.entries);
    let entry = log.read(from, 1).await?;
    Ok(Start { entry: from, offset: entry.first().map_or(extent.end, |entry| entry.first) })
}

async fn needed_from(log: &dyn Log, extent: &Extent, table: &TableName, cut: &Cut, found: &Cut) -> Result<u64> {
    let lacks_a_load = cut.iter().any(|(partition, end)| partition != Partition::LIVE && found.end(partition) < end);
    let end = found.end(Partition::LIVE);
    let is_gone = extent.first_entry > 0 && (lacks_a_load || end < extent.first);
    if is_gone {
        let message = format!(
            "table {table} had its rows up to cut {cut} and now ends at cut {found}; the log begins with offset {}",
            extent.first.0
        );
        return Err(Error::corrupt("SW0444", message).hint(
            "restore the table from a backup that is not older than the log's first entry; nothing was changed",
        ));
    }
    if lacks_a_load { Ok(extent.first_entry) } else { entry_at(log, end).await }
}

/// The first entry that the online store has not received wholly.
pub(crate) async fn of_features(log: &dyn Log, online: &dyn OnlineStore) -> Result<u64> {
    entry_at(log, online.store_cut().end(Partition::LIVE)).await
}

/// Lets the online store go on where the log begins, when that is later than where the store ends: it was lost, or comes
/// from an older backup. Its views then have a gap, which their tables fill. To be called before they are defined.
pub(crate) async fn skip_retired(
    log: &dyn Log,
    tables: &dyn TableStore,
    online: &dyn OnlineStore,
    datasets: impl Iterator<Item = &str>,
) -> Result<()> {
    let extent = log.extent();
    let store = online.store_cut();
    if store.end(Partition::LIVE) >= extent.first {
        return Ok(());
    }
    let mut until = Cut::of(Partition::LIVE, extent.first);
    for dataset in datasets {
        let cut = tables.snapshot(&TableName::dataset(dataset)?, None).await?.cut;
        for (partition, end) in cut.iter().filter(|(partition, _)| *partition != Partition::LIVE) {
            until.advance(partition, end);
        }
    }
    info!(%store, %until, "the online store ends before the log begins, its views are filled from tables");
    let nothing = RecordBatch::new_empty(std::sync::Arc::new(Schema::empty()));
    online.receive("", &nothing, &until).await
}
