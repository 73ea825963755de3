//! The model port: train, keep and score.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::declare::Model;
use crate::engine::Fingerprint;
use crate::error::Result;
use crate::hash::Hash;
use crate::permit::Permit;

/// What a training needs.
#[derive(Debug, Clone)]
pub struct TrainingJob {
    /// The declaration.
    pub model: Model,
    /// Rows to learn from, oldest decision first: at least the columns `inputs`.
    pub rows: RecordBatch,
    /// The columns that the model takes, in order.
    pub inputs: Vec<String>,
    /// Whether each row is of the positive class.
    pub positive: Vec<bool>,
    /// Fingerprint of the training set that the rows come from.
    pub fingerprint: Fingerprint,
}

/// A trained model, kept under its digest.
#[derive(Debug, Clone)]
pub struct TrainedModel {
    /// Hash of the artifact.
    pub digest: Hash,
    /// Size of the artifact in bytes.
    pub bytes: u64,
    /// What the trainer reports of itself, as JSON: settings, importance, metrics of an external trainer.
    pub report: serde_json::Value,
    /// What an external trainer wrote, the newest 64 KiB; empty for the built-in one.
    pub log: String,
}

/// Scores of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Probability of the positive class, calibrated, 0 to 1.
    pub probability: Vec<f64>,
    /// Score before calibration; log-odds for boosting.
    pub raw: Vec<f64>,
}

/// What one input added to a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// The input.
    pub input: String,
    /// Its value as text; none when it was missing.
    pub value: Option<String>,
    /// What it added to the raw score, relative to the mean prediction.
    pub contribution: f64,
}

/// A model that is loaded and scores.
pub trait Scorer: Send + Sync {
    /// The columns that it takes, in order.
    fn inputs(&self) -> &[String];

    /// Scores rows that have at least the inputs, by name. The same rows give the same bits, in whatever batches.
    fn score(&self, rows: &RecordBatch) -> Result<Scores>;

    /// Reason codes: for each row the inputs by falling absolute contribution, `inputs_max` of them. Empty rows when the
    /// model's format tells none.
    fn explain(&self, rows: &RecordBatch, inputs_max: usize) -> Result<Vec<Vec<Contribution>>>;
}

/// Trains models and keeps them, addressed by their content.
#[async_trait]
pub trait ModelEngine: Send + Sync {
    /// Trains a model and keeps its artifact durably. The same job gives the same digest. A failed training is an error
    /// of kind `Invalid` that tells why, with the end of the trainer's log; it leaves nothing behind.
    async fn train(&self, permit: &Permit, job: &TrainingJob) -> Result<TrainedModel>;

    /// Loads a kept model; `Corrupt` when its bytes do not have this digest.
    fn load(&self, digest: Hash) -> Result<Arc<dyn Scorer>>;

    /// The bytes of a kept model, checked against the digest.
    fn artifact(&self, digest: Hash) -> Result<Bytes>;

    /// Keeps bytes that were exported elsewhere; refuses what does not load. Returns the digest.
    fn keep(&self, permit: &Permit, artifact: Bytes) -> Result<Hash>;
}
