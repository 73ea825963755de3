//! Hands an online store the rows that its views are compiled for: with the columns that they compute.
//!
//! Whoever reads the log or a table knows the columns of datasets only. Here each batch gets the computed columns of all
//! views over its dataset, once, before the store folds it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use parking_lot::Mutex;
use seawall_base::declare::FeatureView;
use seawall_base::error::Result;
use seawall_base::online::Filling;
use seawall_base::{
    Computed, Cut, Dataset, Engine, FeatureRequest, Instant, OnlineStore, ServedFeatures, VersionedName,
};
use tokio::sync::RwLock;

/// An online store whose views may read expressions.
pub(crate) struct ComputingStore {
    inner: Arc<dyn OnlineStore>,
    engine: Arc<dyn Engine>,
    /// The views that are kept, with what each computes.
    views: Mutex<BTreeMap<VersionedName, (FeatureView, Computed)>>,
    /// What all views over a dataset compute. Held for reading while rows are handed over: a view that is defined meanwhile
    /// would miss its columns.
    datasets: RwLock<HashMap<String, Computed>>,
}

impl ComputingStore {
    pub(crate) fn over(inner: Arc<dyn OnlineStore>, engine: Arc<dyn Engine>) -> ComputingStore {
        ComputingStore { inner, engine, views: Mutex::default(), datasets: RwLock::default() }
    }
}

#[async_trait]
impl OnlineStore for ComputingStore {
    async fn define(&self, view: &FeatureView, dataset: &Dataset) -> Result<()> {
        let computed = Computed::compile(self.engine.as_ref(), dataset, &[view]).await?;
        let extended = computed.extended(dataset);
        let mut datasets = self.datasets.write().await;
        let mut over: Vec<FeatureView> = {
            let views = self.views.lock();
            let others = views.values().map(|(kept, _)| kept).filter(|kept| kept.id() != view.id());
            others.filter(|kept| kept.from == dataset.name).cloned().collect()
        };
        over.push(view.clone());
        let all = Computed::compile(self.engine.as_ref(), dataset, &over.iter().collect::<Vec<_>>()).await?;
        // A definition that the store refuses leaves everything as it was.
        self.inner.define(view, &extended).await?;
        self.views.lock().insert(view.id(), (view.clone(), computed));
        datasets.insert(dataset.name.clone(), all);
        Ok(())
    }

    fn forget(&self, view: &VersionedName) -> Result<()> {
        self.views.lock().remove(view);
        self.inner.forget(view)
    }

    fn views(&self) -> Vec<VersionedName> {
        self.inner.views()
    }

    fn cut(&self, view: &VersionedName) -> Result<Cut> {
        self.inner.cut(view)
    }

    fn store_cut(&self) -> Cut {
        self.inner.store_cut()
    }

    async fn receive(&self, dataset: &str, rows: &RecordBatch, until: &Cut) -> Result<()> {
        let datasets = self.datasets.read().await;
        match datasets.get(dataset) {
            Some(computed) if rows.num_rows() > 0 => {
                self.inner.receive(dataset, &computed.apply(rows).await?, until).await
            }
            _ => self.inner.receive(dataset, rows, until).await,
        }
    }

    /// The rows may have no more columns than the view needs.
    async fn backfill(&self, view: &VersionedName, rows: &[RecordBatch], until: &Cut) -> Result<()> {
        let computed = self.views.lock().get(view).map(|(_, computed)| computed.clone()).unwrap_or_default();
        let mut extended = Vec::with_capacity(rows.len());
        for batch in rows {
            extended.push(computed.apply(batch).await?);
        }
        self.inner.backfill(view, &extended, until).await
    }

    fn filling(&self) -> Vec<Filling> {
        self.inner.filling()
    }

    async fn advance(&self, known: Instant) -> Result<()> {
        self.inner.advance(known).await
    }

    async fn serve(&self, request: &FeatureRequest) -> Result<ServedFeatures> {
        self.inner.serve(request).await
    }

    async fn checkpoint(&self) -> Result<()> {
        self.inner.checkpoint().await
    }
}
