//! System of record: projects, revisions, lineage, policy, audit.
//!
//! One SQL database holds what was decided and by whom: which revision of the project is active, which versions its
//! feature views have, who may do what, what every table version contains, which effects outside SQL are still open, and
//! an audit ledger whose entries are chained by hash. Every change, its lineage and its audit entry share one SQL
//! transaction. This is the only crate that knows SQL databases; what a declaration means is decided elsewhere.

pub mod audit;
mod catalog;
pub mod certificate;
mod database;
pub mod decisions;
pub mod facts;
#[cfg(test)]
mod fixtures;
pub mod incidents;
pub mod integrity;
pub mod intent;
pub mod lineage;
pub mod maintenance;
pub mod models;
pub mod policy;
pub mod project;
pub mod revision;
pub mod signing;
mod system_tables;
pub mod token;
pub mod training;
pub mod transforms;

pub use audit::{AuditCheckpoint, AuditEntry};
pub use catalog::Catalog;
pub use certificate::{verify_decision_certificate, verify_decision_certificate_of};
pub use decisions::{Approval, ApprovalState, Proposal};
pub use facts::{
    Counts, DatasetCounts, FrameFacts, PeriodQuality, RuleFailures, RuleResult, TABLE_MODE, TableCommit,
    TableVersionRecord,
};
pub use facts::{Departed, DepartedRow, Departure, DepartureFacts, DepartureRecord};
pub use intent::{Effect, Intent, IntentId};
pub use lineage::{Direction, LineageEdge};
pub use maintenance::{Maintenance, MaintenanceKind};
pub use models::{Aliases, ModelVersion, NewModelVersion, Reign};
pub use policy::{Action, Policy, PolicySet, Principal, Role};
pub use revision::{AccessLine, ActiveProject, Affected, Applied, Change, ChangeKind, Revision};
pub use signing::{SigningKey, verify_signature};
pub use token::{NewToken, Token, TokenId};
pub use training::{CertificateRecord, TrainingSetBuild};
pub use transforms::{TransformOutcome, TransformRun};
