//! Tests of retraining: metrics against slow and obvious computations, decisions against golden files.

mod decide;
mod evaluate;
