//! Retraining: how good a model is, whether another is better, and what to do about it.
//!
//! - [`evaluate`]: metrics with confidence intervals on rows with final labels, and champion against challenger on the
//!   same rows. Results do not depend on the order of the rows, not in one bit.
//! - [`decide`]: the policy. From a [`decide::Situation`] follows what is next, with everything that was considered and
//!   not done. It decides and leaves doing to others.

pub mod decide;
mod delong;
pub mod evaluate;
mod ready;

#[cfg(test)]
mod tests;
