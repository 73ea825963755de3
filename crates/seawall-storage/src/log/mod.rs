//! The log of one partition: durable ([`DurableLog`]), and its twin in memory ([`MemoryLog`]).
//!
//! A log is a folder of numbered segments. Each entry is a frame; frames form a chain of checksums through all
//! segments. One thread writes: it takes every waiting append as one *group*, writes the group, syncs once and only
//! then answers. Each frame says where its group began, so that recovery can tell a torn write (a group that was never
//! acknowledged) from damage to something that was: a header of a *later* group proves that the sync before it
//! succeeded. When the writer falls idle it writes an end mark for the same purpose behind the last frame.
//!
//! Files: [`frame`], [`segment`] and [`footer`] are the formats, [`recover`] reads a folder back, [`writer`] is the thread,
//! [`index`] finds entries, [`ownership`] keeps a second process out, [`check`] reads a folder that somebody else may own,
//! [`adopt`] makes copied segments a log.

mod adopt;
mod check;
pub mod conformance;
mod durable;
mod error;
mod footer;
mod frame;
mod index;
mod look;
mod memory;
mod ownership;
mod read;
mod recover;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use adopt::adopt;
pub use check::{Owned, SegmentChecked, Survey, own};
pub use durable::{DurableLog, Options, Stats};
pub use look::{Kept, look};
pub use memory::MemoryLog;

/// Appends that may wait for the writer; further ones wait for a place.
pub const QUEUE_ENTRIES_MAX: usize = 4_096;

/// Payload bytes that may wait for the writer; a single larger payload waits until it is alone.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// The largest payload of one entry.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// Payload bytes that one group takes at most, but for its first entry.
pub const GROUP_BYTES_MAX: usize = 16 << 20;

/// Payload bytes that one `read` from the disk returns at most, but for its first entry.
pub const READ_BYTES_MAX: usize = 16 << 20;
