//! The online store that lives as long as its process: for tests, and for replays whose state is not kept.

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use seawall_base::declare::FeatureView;
use seawall_base::error::Result;
use seawall_base::online::Filling;
use seawall_base::{Cut, Dataset, FeatureRequest, Instant, OnlineStore, ServedFeatures, VersionedName};

use super::core::{Core, ViewStats};
use super::error;

/// An online store in memory. `checkpoint` does nothing.
pub struct MemoryStore {
    core: Core,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore { core: Core::empty() }
    }

    /// What each view takes; in time proportional to the states.
    pub fn stats(&self) -> Vec<ViewStats> {
        self.core.stats()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

#[async_trait]
impl OnlineStore for MemoryStore {
    async fn define(&self, view: &FeatureView, dataset: &Dataset) -> Result<()> {
        self.core.define(view, dataset)
    }

    fn forget(&self, view: &VersionedName) -> Result<()> {
        self.core.forget(view)
    }

    fn views(&self) -> Vec<VersionedName> {
        self.core.state.read().views.keys().cloned().collect()
    }

    fn cut(&self, view: &VersionedName) -> Result<Cut> {
        let state = self.core.state.read();
        let view = state.views.get(view).ok_or_else(|| error::unknown_view(view))?;
        Ok(view.received.cut.clone())
    }

    fn store_cut(&self) -> Cut {
        self.core.state.read().cut.clone()
    }

    async fn receive(&self, dataset: &str, rows: &RecordBatch, until: &Cut) -> Result<()> {
        self.core.receive(dataset, rows, until)
    }

    async fn backfill(&self, view: &VersionedName, rows: &[RecordBatch], until: &Cut) -> Result<()> {
        self.core.backfill(view, rows, until)
    }

    fn filling(&self) -> Vec<Filling> {
        self.core.filling()
    }

    async fn advance(&self, known: Instant) -> Result<()> {
        self.core.advance(known)
    }

    async fn serve(&self, request: &FeatureRequest) -> Result<ServedFeatures> {
        self.core.serve(request)
    }

    async fn checkpoint(&self) -> Result<()> {
        Ok(())
    }
}
