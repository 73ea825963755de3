//! Transforms: datasets that SQL makes of others, kept up with their inputs.
//!
//! 1. [`compiled`] checks a transform against the contracts before anything runs, and puts all of them in order.
//! 2. [`look`] runs what is due, one transform at a time, those first that others read; what fails is tried again later.
//! 3. [`by_row`] makes rows of the new rows of a row-wise transform's input, [`whole`] makes the result of any other over
//!    pinned versions and hands on what differs from what the table holds.
//! 4. [`hand_over`] takes rows through the derived dataset's own gate into the log, like those of any source.
//!
//! A frame of rows says how far its transform has come with it ([`progress`]), and the last frame of a run says what the
//! run read and made. So the order knows both from the log alone: a run that was cut off goes on, or is made again, and
//! loses and doubles nothing. See ADR 0015.

mod by_row;
mod compiled;
mod hand_over;
mod look;
pub mod progress;
mod status;
#[cfg(test)]
mod tests;
mod whole;

pub(crate) use compiled::compile;
pub use compiled::{Compiled, plan};
pub(crate) use look::Attempts;
pub use look::Looked;
pub use status::{Failure, State, Status};
