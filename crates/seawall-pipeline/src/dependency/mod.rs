//! Dependencies: what the pipeline calls and what can be away or slow.
//!
//! Every call to the table store, the query engine, trainers, kept models, and the catalog's bookkeeping of commits goes
//! through a [`Dependency`], which bounds it in five ways, from the outside in:
//!
//! 1. *retry*: only of calls that say why repeating them is harmless ([`Idempotent`]), with full jitter, within the
//!    deadline, within a [`budget`] of a tenth of the load, and only where no caller above retries already ([`scope`]);
//! 2. *circuit breaker*: while the dependency is away, calls fail at once instead of waiting ([`breaker`]);
//! 3. *bulkhead*: so many calls at a time; one more fails at once, it does not queue;
//! 4. *deadline*: the operation's own, or the caller's if that is earlier;
//! 5. *fault point*: where tests and drills let it fail ([`fault`]).
//!
//! The decisions are pure state machines on the instants of a [`timer`]. [`set`] has the dependencies of a pipeline with
//! their bounds, [`persist`] the loop of those who must get through however long it takes; [`tables`], [`upkeep`],
//! [`engine`] and [`models`] are the ports with every call guarded.

pub mod backoff;
pub mod breaker;
pub mod budget;
mod call;
mod engine;
pub mod fault;
mod models;
pub mod persist;
pub mod scope;
pub mod set;
mod tables;
pub mod timer;
mod upkeep;

#[cfg(test)]
mod tests;

pub use call::{Counts, Dependency, Health, Idempotent, LastError, Operation, Options};
pub use engine::guarded_engine;
pub use set::{Change, Dependencies};
pub use timer::{DrivenTimer, MachineTimer, Timer};

pub(crate) use call::is_away;
pub(crate) use engine::GuardedEngine;
pub(crate) use models::GuardedModels;
pub(crate) use tables::GuardedTables;
pub(crate) use upkeep::GuardedUpkeep;
