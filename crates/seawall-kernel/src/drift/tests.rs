//! Tests of drift: the pathologies of other tools, calibration, and the numbers behind.

pub(crate) mod draws;
mod profile;
mod rates;
mod stats;
mod unit;
