//! Vocabulary and ports of Seawall.
//!
//! Every other crate speaks in the words defined here: partitions, offsets, cuts, instants, permits, declarations.
//! The ports ([`Clock`], [`Rng`], [`TableStore`], [`TableUpkeep`], [`Log`], [`OnlineStore`], [`Engine`], [`BatchMap`],
//! [`ModelEngine`], [`Vault`]) are the only way in which a decision reaches the outside world. This crate does no I/O itself, but for [`durable`], which holds the
//! only `fsync` calls of the workspace, and the vault in a folder.

pub mod clock;
pub mod computed;
pub mod declare;
pub mod derived;
pub mod durable;
pub mod engine;
pub mod error;
pub mod grant;
pub mod hash;
pub mod ids;
pub mod integrity;
pub mod log;
pub mod model;
pub mod online;
pub mod permit;
pub mod rng;
pub mod sabotage;
pub mod table;
pub mod time;
pub mod upkeep;
pub mod vault;
pub mod watch;

pub use clock::{Clock, DrivenClock, MonotonicClock, SystemClock};
pub use computed::Computed;
pub use derived::{Derived, DerivedValues};
pub use engine::{BatchMap, ColumnEdge, Engine, Query, QueryResult, Reference};
pub use error::{Error, ErrorKind, Result};
pub use grant::Grants;
pub use hash::Hash;
pub use ids::{Cut, Dataset, Offset, Partition, RowId, VersionedName};
pub use integrity::{Checked, Damage, Finding, Severity};
pub use log::{Appended, Extent, Log, LogEntry};
pub use model::{Contribution, ModelEngine, Scorer, Scores, TrainedModel, TrainingJob};
pub use online::{FeatureRequest, FeatureStatus, OnlineStore, ServedFeatures, ViewRequest, ViewValues};
pub use permit::Permit;
pub use rng::{OsRng, Rng, SeededRng};
pub use table::{Append, StagedFile, TableName, TableSnapshot, TableStore, TableVersion};
pub use time::{Instant, Span};
pub use upkeep::TableUpkeep;
pub use vault::Vault;

/// Columns that Seawall adds to every table. Their names begin with an underscore, which contracts may not use.
pub mod column {
    /// Partition of the row's identity: `Int32`, never null.
    pub const PARTITION: &str = "_partition";
    /// Offset of the row within its partition: `Int64`, never null.
    pub const LSN: &str = "_lsn";
    /// When Seawall took the row in: `Timestamp(us, UTC)`, never decreasing within a partition.
    pub const ARRIVAL: &str = "_arrival";
    /// When a model could first have known the row: `Timestamp(us, UTC)`.
    pub const AVAILABLE_AT: &str = "_available_at";

    /// All four, in table order.
    pub const SYSTEM: [&str; 4] = [PARTITION, LSN, ARRIVAL, AVAILABLE_AT];
}
