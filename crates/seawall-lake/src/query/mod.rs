//! SQL: maps over batches, queries over tables, and where each column comes from.
//!
//! [`DataFusionEngine`] plans and runs on a runtime of its own with a bounded memory pool that spills to disk, so that a
//! large scan can neither delay an acknowledgement nor take the machine's memory. SQL is read-only, one statement at a
//! time, and only the tables that a statement names are opened.

mod catalog;
mod engine;
pub(crate) mod errors;
mod explain;
mod expressions;
mod functions;
mod governed;
pub(crate) mod lineage;
mod map;
mod provider;
mod runtime;
pub(crate) mod session;

pub use engine::{DataFusionEngine, EngineOptions};
pub(crate) use map::{SqlMap, normal_rows};
pub(crate) use runtime::{QueryRuntime, StopOnDrop};
pub(crate) use session::SessionFactory;
