//! The online store with checkpoints: memory, written down as a whole from time to time.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use seawall_base::declare::FeatureView;
use seawall_base::error::Result;
use seawall_base::online::Filling;
use seawall_base::{Cut, Dataset, Error, FeatureRequest, Instant, OnlineStore, ServedFeatures, VersionedName};

use super::checkpoint::Folder;
use super::core::{Core, ViewStats};
use super::error;
use crate::folder_lock;

/// An online store whose state survives a restart.
///
/// After `open` it holds the states of the last checkpoint; each becomes a view when it is defined again with the same
/// definition. Rows received since the checkpoint must be received again: `store_cut` says from where.
pub struct DurableStore {
    core: Arc<Core>,
    folder: Arc<Folder>,
    _lock: File,
}

impl DurableStore {
    /// Opens the store in `folder`, creating it when it is missing. Blocks on the disk.
    ///
    /// Fails with `SW0400` when another process has it open, `SW0426` when the checkpoint is damaged (its remedy: delete
    /// the folder, the state is rebuilt from tables and log), `SW0427` when the disk refuses.
    pub fn open(folder: &Path) -> Result<DurableStore> {
        let lock = folder_lock::lock(folder)?;
        let (folder, loaded) = Folder::open(folder)?;
        let core = Core::new(loaded.cut, loaded.known, loaded.views);
        Ok(DurableStore { core: Arc::new(core), folder: Arc::new(folder), _lock: lock })
    }

    /// What each view takes; in time proportional to the states.
    pub fn stats(&self) -> Vec<ViewStats> {
        self.core.stats()
    }
}

#[async_trait]
impl OnlineStore for DurableStore {
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
        let (core, folder) = (self.core.clone(), self.folder.clone());
        let writing = tokio::task::spawn_blocking(move || folder.checkpoint(&core));
        let failed = |e| Error::internal("SW0429", "the checkpoint task failed").because(e);
        writing.await.map_err(failed)?
    }
}
