//! Tables and queries: Delta, DataFusion, training sets.
//!
//! This is the only crate that knows Delta, DataFusion and object stores. Everybody else reaches them through the
//! ports of `seawall-base`:
//! - [`table::DeltaStore`] and [`table::MemoryStore`] are the two [`seawall_base::TableStore`]s;
//! - [`query::DataFusionEngine`] is the [`seawall_base::Engine`]: maps, queries and training sets;
//! - [`store::DurableLocal`] is the file system with the syncs that a power cut calls for;
//! - [`training_set::content_hash`] is the hash in every fingerprint.

mod codes;
mod policy;
pub mod query;
pub mod store;
pub mod table;
pub mod training_set;
mod transform;
pub mod types;

#[cfg(test)]
mod tests;
