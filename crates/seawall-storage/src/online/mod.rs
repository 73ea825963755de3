//! The online store: feature states of the present, in memory ([`MemoryStore`]) and with checkpoints
//! ([`DurableStore`]).
//!
//! All views of a store share one K (what is known) and one cut (what was received). K never goes back; it is beyond
//! the availability of every row folded so far. A view is advanced to K only when a waiting row becomes visible or an
//! hour has passed, because nothing else can change a value.
//!
//! Locks, in this order: `receiving` serialises everything that takes live rows in, and checkpoints; then the state's
//! read-write lock. A request that makes no row visible reads under the shared lock, so requests run side by side, also
//! while a checkpoint encodes. Neither lock is ever held across an await. `receive`, `backfill` and `serve` compute on
//! the calling task: microseconds for a live request, but a long batch belongs on the blocking pool. `checkpoint` and
//! `open` use the disk; `checkpoint` moves to the blocking pool by itself.
//!
//! A view that is defined while the store already has a cut begins with a *gap*: rows received from then on are folded,
//! rows of the past come by `backfill`, and each row is taken once, by its identity, in whichever way it comes first.
//! The view is served as soon as its backfill has reached the cut that the store had when the view was defined.
//!
//! Files: [`core`](self) holds the state and its rules, [`serve`](self) answers requests, [`fill`](self) takes rows of the
//! past in, [`checkpoint`](self) writes and reads files.

mod check;
mod checkpoint;
pub mod conformance;
mod core;
mod durable;
mod error;
mod fill;
mod memory;
mod serve;
#[cfg(test)]
mod tests;

pub use self::core::ViewStats;
pub use check::{KeptView, check, checkpoint_files};
pub use durable::DurableStore;
pub use memory::MemoryStore;

use seawall_base::Span;

/// How far a decision time may lie behind K.
pub const DECISION_LAG_MAX: Span = Span::HOUR;
