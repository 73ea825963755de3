//! ONNX models of other libraries, run by tract.
//!
//! A model is loaded for exactly one row, and rows are run one by one: the bits of a score cannot depend on the batch
//! that the row came in. tract is third-party code that may panic on models it did not expect; a panic is an error
//! here. Everything that tract reads without checking is checked before (`graph`) or done by us (`operators`, `trees`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use seawall_base::{Error, Result};
use tract_onnx::Onnx;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::DimLike;

use crate::encode::{Input, Matrix};

mod graph;
mod operators;
#[cfg(test)]
mod tests;
mod trees;

use graph::{Feed, Number, broken};

/// How far above 1 or below 0 rounding may take a probability.
const ROUNDING: f64 = 1e-5;

/// A loaded model.
pub struct Model {
    plan: Arc<TypedRunnableModel>,
    feed: Feed,
    names: Vec<String>,
}

impl Model {
    /// Loads a model for rows of `inputs`.
    ///
    /// # Errors
    /// `SW1030` for bytes that are no ONNX model, `SW1031` to `SW1035` for a model that cannot be used.
    pub fn load(bytes: &[u8], inputs: &[Input]) -> Result<Model> {
        let names = inputs.iter().map(|input| input.name.clone()).collect();
        let (plan, feed) = guarded(|| load(bytes, inputs))?;
        Ok(Model { plan, feed, names })
    }

    /// Probabilities of the positive class, one per row.
    ///
    /// # Errors
    /// `SW1034` for a row whose score is no probability, `SW1036` when a row cannot be run.
    pub fn probabilities(&self, matrix: &Matrix) -> Result<Vec<f64>> {
        guarded(|| {
            let mut state = self.plan.spawn().map_err(|e| cannot_run(0, &e))?;
            let mut probabilities = Vec::with_capacity(matrix.rows);
            for row in 0..matrix.rows {
                let tensors = self.tensors(matrix, row)?;
                let outputs = state.run(tensors).map_err(|e| cannot_run(row, &e))?;
                probabilities.push(probability(&outputs, row)?);
            }
            Ok(probabilities)
        })
    }

    fn tensors(&self, matrix: &Matrix, row: usize) -> Result<TVec<TValue>> {
        match &self.feed {
            Feed::Matrix(number) => {
                let numbers: Vec<f32> = matrix.row(row).map(|value| value as f32).collect();
                let shape = [1, numbers.len()];
                let tensor = Tensor::from_shape(&shape, &numbers).map_err(|e| cannot_run(row, &e))?;
                let tensor = match number {
                    Number::F64 => tensor.cast_to::<f64>().map_err(|e| cannot_run(row, &e))?.into_owned(),
                    Number::F32 | Number::I64 | Number::I32 | Number::Bool => tensor,
                };
                Ok(tvec!(tensor.into_tvalue()))
            }
            Feed::Columns(columns) => {
                let mut tensors = tvec!();
                for (at, number) in columns {
                    tensors.push(single(matrix.columns[*at][row], *number, &self.names[*at])?.into_tvalue());
                }
                Ok(tensors)
            }
        }
    }
}

/// Runs third-party code; a panic of it is an error.
fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(broken("the ONNX runtime panicked")))
}

fn load(bytes: &[u8], inputs: &[Input]) -> Result<(Arc<TypedRunnableModel>, Feed)> {
    let onnx = operators::onnx();
    let mut proto = onnx.proto_model_for_read(&mut &*bytes).map_err(|e| {
        Error::invalid("SW1030", "the bytes are no ONNX model")
            .because(format!("{e:#}"))
            .hint("write the model with onnx.save, or the bytes of SerializeToString()")
    })?;
    let feed = graph::prepare(&mut proto, inputs, &|name| onnx.op_register.0.contains_key(name))?;
    let plan =
        plan(&onnx, &proto, &feed, inputs.len()).map_err(|e| broken("tract refuses it").because(format!("{e:#}")))?;
    let outputs = plan.model().output_fact(0).map_err(|e| broken("it has no output").because(format!("{e:#}")))?;
    let shape: Vec<Option<usize>> = outputs.shape.iter().map(|dimension| dimension.to_usize().ok()).collect();
    let fine = matches!(shape.as_slice(), [Some(1)] | [Some(1), Some(1 | 2)]);
    if !fine || !matches!(outputs.datum_type, DatumType::F32 | DatumType::F64) {
        let message = format!("the ONNX model's output is not a probability: it is {outputs:?} for one row");
        return Err(Error::invalid("SW1033", message)
            .hint("export a classifier of two classes, with one or two probabilities per row"));
    }
    Ok((plan, feed))
}

fn plan(
    onnx: &Onnx,
    proto: &tract_onnx::pb::ModelProto,
    feed: &Feed,
    width: usize,
) -> TractResult<Arc<TypedRunnableModel>> {
    let mut model = onnx.model_for_proto_model(proto)?;
    let facts = match feed {
        Feed::Matrix(number) => vec![(datum_type(*number), width)],
        Feed::Columns(columns) => columns.iter().map(|(_, number)| (datum_type(*number), 1)).collect(),
    };
    for (at, (datum_type, width)) in facts.into_iter().enumerate() {
        model.set_input_fact(at, InferenceFact::dt_shape(datum_type, tvec!(1, width)))?;
    }
    model.into_optimized()?.into_runnable()
}

fn datum_type(number: Number) -> DatumType {
    match number {
        Number::F32 => DatumType::F32,
        Number::F64 => DatumType::F64,
        Number::I64 => DatumType::I64,
        Number::I32 => DatumType::I32,
        Number::Bool => DatumType::Bool,
    }
}

/// A tensor of one value.
fn single(value: f64, number: Number, name: &str) -> Result<Tensor> {
    let whole = value.fract() == 0.0 && value.abs() < 9.0e15;
    let tensor = match number {
        Number::F32 => Tensor::from_shape(&[1, 1], &[value as f32]),
        Number::F64 => Tensor::from_shape(&[1, 1], &[f64::from(value as f32)]),
        Number::I64 if whole => Tensor::from_shape(&[1, 1], &[value as i64]),
        Number::I32 if whole && value.abs() < f64::from(i32::MAX) => Tensor::from_shape(&[1, 1], &[value as i32]),
        Number::Bool if value == 0.0 || value == 1.0 => Tensor::from_shape(&[1, 1], &[value == 1.0]),
        Number::I64 | Number::I32 | Number::Bool => {
            let what = if value.is_nan() { "missing".to_owned() } else { value.to_string() };
            let message = format!("{name} is {what}, and the ONNX model takes whole numbers for it");
            return Err(Error::invalid("SW1036", message)
                .hint("export the column as a float, or declare `on_missing: {NAME: halt}` for it"));
        }
    };
    tensor.map_err(|e| cannot_run(0, &e))
}

fn probability(outputs: &[TValue], row: usize) -> Result<f64> {
    let output = outputs.first().ok_or_else(|| broken("it gave no output"))?;
    let numbers = output.cast_to::<f64>().map_err(|e| cannot_run(row, &e))?;
    let numbers = numbers.try_as_plain_ram().map_err(|e| cannot_run(row, &e))?;
    let numbers = numbers.as_slice::<f64>().map_err(|e| cannot_run(row, &e))?;
    let probability = numbers.last().copied().unwrap_or(f64::NAN);
    if !(-ROUNDING..=1.0 + ROUNDING).contains(&probability) {
        let message = format!("the ONNX model's score of row {row} is {probability}, which is no probability");
        return Err(Error::invalid("SW1034", message)
            .hint("export probabilities of two classes, and a model that takes missing values"));
    }
    Ok(probability.clamp(0.0, 1.0))
}

fn cannot_run(row: usize, cause: &TractError) -> Error {
    Error::invalid("SW1036", format!("the ONNX model cannot be run on row {row}")).because(format!("{cause:#}"))
}
