//! The online store port: feature values of the present, at memory speed.

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;

use crate::declare::FeatureView;
use crate::error::Result;
use crate::ids::{Cut, Dataset, VersionedName};
use crate::time::Instant;

/// A request for the features of several decisions, over one or more views.
#[derive(Debug, Clone)]
pub struct FeatureRequest {
    /// The views, each with one row per decision.
    pub views: Vec<ViewRequest>,
    /// The decision time T of each decision.
    pub at: Vec<Instant>,
    /// What the clock showed for each decision; never decreasing. The same for all in a live request; in driven time
    /// each decision has its own.
    pub now: Vec<Instant>,
}

/// One view of a request.
#[derive(Debug, Clone)]
pub struct ViewRequest {
    /// Which view.
    pub view: VersionedName,
    /// One row per decision with exactly the view's entity columns, in key order, whatever their names.
    pub entities: RecordBatch,
    /// The 128-bit key hash (`seawall_kernel::feature::key_hashes`) of the dataset row that asks, where it is itself a
    /// row of the view's dataset; that row is not seen.
    pub own: Vec<Option<u128>>,
}

/// Served values with everything that a replay needs.
#[derive(Debug, Clone)]
pub struct ServedFeatures {
    /// Per requested view.
    pub views: Vec<ViewValues>,
    /// K of each decision: rows with `available_at < known_at` were visible.
    pub known_at: Vec<Instant>,
    /// C: rows within this cut were visible.
    pub cut: Cut,
}

/// Served values of one view.
#[derive(Debug, Clone)]
pub struct ViewValues {
    /// One row per decision, in order: the view's features.
    pub values: RecordBatch,
    /// Status of each value: outer index the decision, inner the feature.
    pub status: Vec<Vec<FeatureStatus>>,
}

/// What a served value is, so that a missing value is never mistaken for a real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureStatus {
    /// A value.
    Present,
    /// Rows of the entity exist, but the feature has no value for them (all inputs null, or too few rows).
    Null,
    /// No visible row of the entity.
    NotFound,
    /// The newest value is older than the declared time to live, or no row lies in the window.
    OutsideTtl,
    /// A derived feature without a value, of which an input has none.
    MissingInput,
}

/// How far a view that is being filled from its table has come.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Filling {
    /// The view.
    pub view: VersionedName,
    /// Rows that were taken in.
    pub rows: u64,
    /// Rows that there are to take in.
    pub rows_total: u64,
}

/// Feature states of the present.
///
/// Contract, checked by `seawall_storage::online::conformance` on every implementation:
/// - a value equals `seawall_kernel::feature` applied to exactly the visible rows, whatever the order and batching of
///   `receive`, and whether or not the store was checkpointed and reopened in between.
/// - `receive` is idempotent by cut: rows already within the store's cut change nothing.
/// - for each decision, `serve` first makes its `now` known in every view: K = max(now, the greatest availability of a
///   row folded so far + 1 us).
#[async_trait]
pub trait OnlineStore: Send + Sync {
    /// Begins to keep `view` over `dataset`; a view already kept keeps its state. The state begins empty: the caller
    /// feeds the rows of the past through `backfill`.
    async fn define(&self, view: &FeatureView, dataset: &Dataset) -> Result<()>;

    /// Stops keeping `view`, and leaves it out of the next checkpoint; `NotFound` when it is not kept.
    fn forget(&self, view: &VersionedName) -> Result<()>;

    /// The views kept, ordered.
    fn views(&self) -> Vec<VersionedName>;

    /// The cut of `view`: rows within it were received.
    fn cut(&self, view: &VersionedName) -> Result<Cut>;

    /// The store's cut: what `receive` was last told.
    fn store_cut(&self) -> Cut;

    /// Takes rows of `dataset` (table schema, system columns included) for every view over it, and moves the cut of
    /// every view, of whatever dataset, to `until`. Rows not yet available wait.
    async fn receive(&self, dataset: &str, rows: &RecordBatch, until: &Cut) -> Result<()>;

    /// Takes rows of the past for one view, and moves only its cut, when it has taken all of them. Other rows may be
    /// received and other views served meanwhile, and a checkpoint leaves the view out. `Conflict` while the view is
    /// being filled already.
    async fn backfill(&self, view: &VersionedName, rows: &[RecordBatch], until: &Cut) -> Result<()>;

    /// The views that are being filled right now.
    fn filling(&self) -> Vec<Filling>;

    /// Makes everything known that is available before `known`, which must not be ahead of the clock; no later decision has
    /// an earlier K. Rows that are available already are folded as they are received, instead of waiting for whoever asks
    /// next.
    async fn advance(&self, known: Instant) -> Result<()>;

    /// Serves values. Refuses a decision time too far behind what is known already, and a view whose backfill has not
    /// reached the store's cut.
    async fn serve(&self, request: &FeatureRequest) -> Result<ServedFeatures>;

    /// Writes the state durably, with its cut, so that a restart need not replay from the beginning.
    async fn checkpoint(&self) -> Result<()>;
}
