//! Keys that no checkpoint can give: of the rows that a dataset's table shows, as far as the log does not reach back, and
//! of the log.

use std::collections::{BTreeSet, HashMap};

use seawall_base::error::Result;
use seawall_base::{ErrorKind, Extent, Partition, TableName};
use tracing::info;

use super::{Datasets, ENTRIES_PER_READ, Sources};
use crate::dedup::{DedupIndex, Keyed};
use crate::frame::Frame;
use crate::gate::{keyed_rows, keyed_rows_numbered};
use crate::restore::{Withdrawn, keep_where};
use crate::revision::DatasetGate;

/// The indexes of `names` as the whole history makes them. Rows that were withdrawn have no keys.
pub(crate) async fn rebuild_keys(
    sources: &Sources<'_>,
    datasets: &Datasets,
    names: &BTreeSet<String>,
    withdrawn: &Withdrawn,
) -> Result<HashMap<String, DedupIndex>> {
    let mut indexes = HashMap::new();
    let extent = sources.log.extent();
    for (name, dataset) in datasets.iter().filter(|(name, _)| names.contains(*name)) {
        let mut index = DedupIndex::new(&dataset.dataset.primary_key, dataset.gate.dedup_horizon());
        if extent.first_entry > 0 {
            read_table(sources, dataset, &extent, &mut index).await?;
        }
        indexes.insert(name.clone(), index);
    }
    let mut next = extent.first_entry;
    while !indexes.is_empty() {
        let entries = sources.log.read(next, ENTRIES_PER_READ).await?;
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            let header = Frame::decode_header(&entry.payload)?;
            let (Some(index), Some(dataset)) = (indexes.get_mut(&header.dataset), datasets.get(&header.dataset)) else {
                continue;
            };
            let frame = Frame::decode(&entry.payload)?;
            if let Some(rows) = withdrawn.keep_accepted(&frame, entry)? {
                index.replay(&keyed_rows(dataset, &rows)?);
            }
            for file in header.load.iter().flat_map(|load| &load.staged) {
                let table = TableName::dataset(&header.dataset)?;
                for rows in sources.tables.read_staged(sources.permit, &table, file).await? {
                    index.replay(&keyed_rows(dataset, &rows)?);
                }
            }
        }
        next += entries.len() as u64;
    }
    Ok(indexes)
}

/// The rows of the table that lie before the log's first entry, in the order of their arrival. Entries are retired only
/// once their rows are in tables.
async fn read_table(
    sources: &Sources<'_>,
    dataset: &DatasetGate,
    extent: &Extent,
    index: &mut DedupIndex,
) -> Result<()> {
    let table = TableName::dataset(&dataset.dataset.name)?;
    let snapshot = match sources.tables.snapshot(&table, None).await {
        Ok(snapshot) => snapshot,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut numbered = Vec::new();
    for rows in sources.tables.scan(sources.permit, &table, snapshot.version, None).await? {
        let before = |partition, offset| partition != Partition::LIVE || offset < extent.first.0;
        let rows = keep_where(&rows, before)?;
        numbered.extend(keyed_rows_numbered(dataset, &rows)?);
    }
    // Rows of a changelog that arrived at once stand in the order of the log.
    numbered.sort_unstable_by_key(|(keyed, id)| (keyed.arrival, *id));
    let keyed: Vec<Keyed> = numbered.into_iter().map(|(keyed, _)| keyed).collect();
    info!(%table, keys = keyed.len(), "keys read from the table: the log does not reach back that far");
    index.replay(&keyed);
    Ok(())
}
