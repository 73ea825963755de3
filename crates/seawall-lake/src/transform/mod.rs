//! Transforms: SQL that makes one dataset of others, planned before there are rows and run over pinned versions.
//!
//! [`plan`] tells what the SQL reads and makes, and whether it is row-wise: one input, projection and filter, nothing else.
//! [`Rows`] runs it. Of row-wise SQL it can read the rows beyond a cut only, and then hands on which row each row was made
//! of ([`new_rows`]). Batches leave through a short channel, so that the whole result is never in memory; sorts,
//! aggregations and joins spill.

mod new_rows;
mod plan;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use plan::plan;
pub(crate) use rows::Rows;
