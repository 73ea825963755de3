//! Training and scoring of models: the implementation of [`seawall_base::ModelEngine`].
//!
//! [`Models`] trains with the built-in boosting (`boosting`) or with a command of the project (`command`), fits a
//! calibration on rows that the trainer did not see (`calibrate`), and keeps the result as an artifact (`artifact`)
//! under its digest (`store`). Whatever an artifact holds, its rows are encoded in one place (`encode`) and scored in
//! one (`scorer`). Artifacts hold trees of our own format or ONNX (`onnx`), so nothing that a library serialized is
//! ever read back by it.

mod artifact;
mod boosting;
mod calibrate;
pub mod check;
mod command;
mod encode;
mod engine;
mod forest;
mod group;
mod onnx;
pub mod retire;
mod scorer;
mod store;
#[cfg(test)]
mod tests;
mod workplace;

pub use engine::Models;
