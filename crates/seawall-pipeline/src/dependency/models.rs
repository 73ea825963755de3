//! Trainers and kept models with every call guarded.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use seawall_base::error::Result;
use seawall_base::{Hash, ModelEngine, Permit, Scorer, Span, TrainedModel, TrainingJob};

use super::call::{Dependency, Operation};

const TRAIN: Operation = Operation { name: "train", deadline: Span::DAY, slow_after: Span::DAY };
const LOAD: Operation = kept("load");
const ARTIFACT: Operation = kept("artifact");
const KEEP: Operation = kept("keep");

const fn kept(name: &'static str) -> Operation {
    Operation { name, deadline: Span::MINUTE, slow_after: Span(10 * Span::SECOND.0) }
}

/// Guards a model engine.
pub(crate) struct GuardedModels {
    pub(crate) inner: Arc<dyn ModelEngine>,
    pub(crate) trainers: Arc<Dependency>,
    pub(crate) models: Arc<Dependency>,
}

#[async_trait]
impl ModelEngine for GuardedModels {
    /// Not repeated: a command of the project may have effects of its own.
    async fn train(&self, permit: &Permit, job: &TrainingJob) -> Result<TrainedModel> {
        self.trainers.once(TRAIN, self.inner.train(permit, job)).await
    }

    fn load(&self, digest: Hash) -> Result<Arc<dyn Scorer>> {
        self.models.once_blocking(LOAD, || self.inner.load(digest))
    }

    fn artifact(&self, digest: Hash) -> Result<Bytes> {
        self.models.once_blocking(ARTIFACT, || self.inner.artifact(digest))
    }

    fn keep(&self, permit: &Permit, artifact: Bytes) -> Result<Hash> {
        self.models.once_blocking(KEEP, || self.inner.keep(permit, artifact))
    }
}
