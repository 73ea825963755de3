//! Attaching tables: what a start needs of the table store, at once or as soon as it is there.
//!
//! A start first makes sure that tables are where they were and fit the revision; only then may anything read or write
//! them. While the store is away, a server starts all the same: events are acknowledged, features are served from the
//! online store and the log, and whatever needs tables is refused. The table writer then attaches the tables before its
//! first commit, and [`Late`] does what else had to wait: keys that only tables have, and feature views that lack rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parking_lot::RwLock;
use seawall_base::error::Result;
use seawall_base::{Instant, Partition, Permit, TableName};
use tokio::sync::{Mutex, oneshot};
use tracing::{info, warn};

use crate::backfill;
use crate::dependency::is_away;
use crate::dependency::persist::{self, Patience};
use crate::gate::Order;
use crate::pipeline::{Parts, WithoutTables, ensure_with_known_columns, with_system_columns};
use crate::recovery::checkpoint::TablePosition;
use crate::recovery::{self, Sources, start};
use crate::restore::Withdrawn;
use crate::revision::Revision;
use crate::table_writer::Start;
use crate::{feature_writer, table_writer};

/// What tables are attached for.
#[derive(Clone)]
pub(crate) struct Attachment {
    /// What the pipeline runs on.
    pub parts: Parts,
    /// The revision of the start.
    pub revision: Arc<Revision>,
    /// To make tables.
    pub permit: Permit,
}

impl Attachment {
    /// Makes sure that tables are where they were, and that those of the revision are there.
    pub async fn prepare(&self) -> Result<()> {
        let Attachment { parts, revision, permit } = self;
        let mut known = Vec::new();
        for name in revision.datasets.keys() {
            let table = TableName::dataset(name)?;
            if parts.catalog.version_at(&table, Instant::MAX).await?.is_some() {
                known.push(table);
            }
        }
        parts.tables.expect(&known).await?;
        ensure_tables(parts, revision, permit).await
    }

    /// Where the table writer begins, once tables are prepared and what was cut off is settled.
    pub async fn beginning(&self, position: &TablePosition) -> Result<Start> {
        crate::training::resolve_intents(&self.parts).await?;
        start::of_tables(self.parts.log.as_ref(), self.parts.tables.as_ref(), position).await
    }

    /// Schema of every dataset's table.
    pub async fn schemas(&self) -> Result<HashMap<String, SchemaRef>> {
        let mut schemas = HashMap::with_capacity(self.revision.datasets.len());
        for name in self.revision.datasets.keys() {
            let snapshot = self.parts.tables.snapshot(&TableName::dataset(name)?, None).await?;
            schemas.insert(name.clone(), snapshot.schema);
        }
        Ok(schemas)
    }

    /// Schemas that the revision wants of tables. They may have further columns, and wider ones.
    pub fn wanted_schemas(&self) -> HashMap<String, SchemaRef> {
        let Revision { datasets, training_sets, services, models, .. } = self.revision.as_ref();
        let mut schemas = HashMap::new();
        schemas.extend(datasets.values().map(|gate| (gate.dataset.name.clone(), gate.dataset.table_schema())));
        let sets = training_sets.values().chain(services.values().map(|service| &service.set));
        schemas.extend(sets.map(|set| (set.served_table.to_string(), crate::serving::served_table_schema(set))));
        let predictions = models.values();
        schemas.extend(predictions.map(|m| (m.table.to_string(), crate::scoring::predictions_table_schema(m))));
        schemas
    }
}

/// What came of a step that needs tables; none when they are away and the start need not have them.
pub(crate) fn unless_away<T>(outcome: Result<T>, without_tables: WithoutTables) -> Result<Option<T>> {
    match outcome {
        Err(error) if without_tables == WithoutTables::Wait && is_away(&error) => {
            warn!(code = error.code(), %error, "tables are away at the start; events are taken into the log meanwhile");
            Ok(None)
        }
        outcome => outcome.map(Some),
    }
}

/// What a start without tables leaves to do once they are attached.
pub(crate) struct Late {
    pub parts: Parts,
    pub permit: Permit,
    /// The revision that runs.
    pub revision: Arc<RwLock<Arc<Revision>>>,
    pub order: Arc<Mutex<Order>>,
    pub withdrawn: Arc<Withdrawn>,
    /// Held while views are defined and filled.
    pub filling: Arc<Mutex<()>>,
    pub table_writer: table_writer::Handle,
    pub feature_writer: feature_writer::Handle,
    /// Tells the feature writer where to begin, when the log does not reach back to where the online store ends.
    pub features_begin: Option<oneshot::Sender<u64>>,
    pub patience: Patience,
}

impl Late {
    /// Does it, however often tables go away meanwhile.
    pub async fn run(mut self) -> Result<()> {
        self.table_writer.attached().await?;
        if let Some(begin) = self.features_begin.take() {
            let from = self.begin_features().await?;
            // Nobody waits when the pipeline ends.
            let _ = begin.send(from);
        }
        self.feature_writer.schemas_changed();
        self.learn_keys().await?;
        let _filling = self.filling.clone().lock_owned().await;
        let (parts, revision, permit) = (&self.parts, self.revision.read().clone(), &self.permit);
        persist::through(&mut self.patience, || backfill::keep_views(parts, &revision, &self.table_writer, permit))
            .await?;
        info!("everything that waited for tables is done");
        Ok(())
    }

    async fn begin_features(&mut self) -> Result<u64> {
        let (log, online) = (self.parts.log.as_ref(), self.parts.online.as_ref());
        let (tables, revision) = (self.parts.tables.as_ref(), self.revision.read().clone());
        let skip = || start::skip_retired(log, tables, online, revision.datasets.keys().map(String::as_str));
        persist::through(&mut self.patience, skip).await?;
        backfill::define(&self.parts, &revision).await?;
        start::of_features(log, online).await
    }

    /// Reads the keys that only tables have. Their datasets take no rows meanwhile, so nothing is missed.
    async fn learn_keys(&mut self) -> Result<()> {
        let unknown = self.order.lock().await.keys_unknown.clone();
        if unknown.is_empty() {
            return Ok(());
        }
        let sources = Sources {
            log: self.parts.log.as_ref(),
            tables: self.parts.tables.as_ref(),
            permit: &self.permit,
            without_tables: WithoutTables::Refuse,
        };
        let revision = self.revision.read().clone();
        let read = || recovery::rebuild_keys(&sources, &revision.datasets, &unknown, &self.withdrawn);
        let rebuilt = persist::through(&mut self.patience, read).await?;
        let mut order = self.order.lock().await;
        for (dataset, index) in rebuilt {
            // A revision that became active meanwhile has read them itself.
            if order.keys_unknown.remove(&dataset) {
                order.dedup.insert(dataset, index);
            }
        }
        // A dataset that the revision does not have takes no rows.
        order.keys_unknown.retain(|dataset| !unknown.contains(dataset));
        Ok(())
    }
}

/// Whether the log has everything that the online store lacks.
pub(crate) fn log_reaches_features(parts: &Parts) -> bool {
    parts.online.store_cut().end(Partition::LIVE) >= parts.log.extent().first
}

/// The feature writer's beginning, as [`Late`] tells it; none when it ended before.
pub(crate) async fn told(begin: oneshot::Receiver<u64>) -> Option<u64> {
    begin.await.ok()
}

pub(crate) async fn ensure_tables(parts: &Parts, revision: &Revision, permit: &Permit) -> Result<()> {
    let restores = with_system_columns(&crate::restore::schema());
    parts.tables.ensure(permit, &TableName::new(crate::restore::TABLE)?, restores, &[]).await?;
    for dataset in revision.datasets.values() {
        let dataset = &dataset.dataset;
        let table = TableName::dataset(&dataset.name)?;
        let tables = parts.tables.as_ref();
        ensure_with_known_columns(tables, permit, &table, &dataset.table_schema(), &dataset.personal).await?;
        let quarantine = TableName::quarantine(&dataset.name)?;
        let personal = ["_raw".to_owned(), "_reasons".to_owned()];
        parts
            .tables
            .ensure(permit, &quarantine, with_system_columns(&crate::frame::quarantine_schema()), &personal)
            .await?;
    }
    for set in revision.training_sets.values() {
        let schema = crate::serving::served_table_schema(set);
        ensure_with_known_columns(parts.tables.as_ref(), permit, &set.served_table, &schema, &set.spine.personal)
            .await?;
    }
    for service in revision.services.values().filter(|service| !service.service.log.is_none()) {
        let set = &service.set;
        let schema = crate::serving::served_table_schema(set);
        ensure_with_known_columns(parts.tables.as_ref(), permit, &set.served_table, &schema, &set.spine.personal)
            .await?;
    }
    for model in revision.models.values() {
        let schema = crate::scoring::predictions_table_schema(model);
        let personal = &model.set.spine.personal;
        ensure_with_known_columns(parts.tables.as_ref(), permit, &model.table, &schema, personal).await?;
    }
    Ok(())
}
