//! Features: one state machine for online serving, training sets and replay.
//!
//! The rule: the value for an entity at time T, known at K, at cut C, uses exactly the entity's rows in the window with
//! `event_time <= T`, `available_at < K` and an offset within C, but never the row that asks. [`ViewState`] keeps the
//! rows of the present in tiles and answers for its own K; [`sweep`] goes through a history in columns, entity by entity
//! and decision by decision; [`explain`] tells which rows made a value. None of them knows how an aggregate works: that is
//! [`crate::aggregate`]'s, and there is no second implementation.
//!
//! A life of a row: [`row`](self) reads it from a batch in the table's schema; [`ViewState::receive`] folds it into its
//! entity, or lets it wait until it is available; folding updates one tile per level and keeps the row itself where a
//! decision may still cut between rows; [`ViewState::values`] merges the tiles of a window and the rows at its ends.

mod columns;
mod encode;
mod entities;
mod entity;
mod explain;
mod key;
mod old_keys;
mod plan;
mod row;
mod rows;
mod single;
mod state;
mod sweep;
#[cfg(test)]
mod tests;

pub use explain::{ExplainedRow, Explanation, explain};
pub use key::{EntityKey, entity_keys, entity_shares, key_hashes};
pub use plan::{FeatureDescription, ViewPlan};
pub use state::{ReadRows, Retention, ViewState};
pub use sweep::{Decisions, SweepOptions, sweep, sweep_with};
