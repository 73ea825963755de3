//! Pure decisions on Arrow batches: contracts, aggregates, features.
//!
//! Nothing here does I/O, reads a clock or draws a random number; everything is a function of its arguments. The crate
//! holds the one implementation of every aggregate and of the rule of features, which online serving, training sets and
//! replay share.

pub mod aggregate;
pub mod contract;
pub mod drift;
pub mod feature;
pub mod retrain;
pub mod window;

/// Version of the aggregation core. It is part of every fingerprint: a change that may alter one bit of one feature
/// value raises it.
pub const CORE_VERSION: u32 = 1;
