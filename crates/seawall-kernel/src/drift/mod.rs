//! Drift: whether what came in is what was expected, told apart from chance.
//!
//! Every verdict needs two things at once: the difference must be larger than chance makes it for so many rows, and
//! larger than what is tolerated. So small windows do not cry wolf, and large ones do not over trifles. What is compared
//! are integer counts, which merge in any order to the same bits, and no single value can change a verdict.
//!
//! - [`profile`]: the distribution of a column against the one that a model was trained on;
//! - [`unit`]: a column whose values are suddenly sent in another unit;
//! - [`share`], [`volume`]: more bad rows, or fewer rows, than before.

pub mod profile;
pub mod share;
pub(crate) mod stats;
pub mod unit;
pub mod volume;

#[cfg(test)]
pub(crate) mod tests;
