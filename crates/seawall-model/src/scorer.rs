//! A loaded model: encodes rows, scores them, calibrates, and tells reasons.

use seawall_base::{Contribution, Error, Hash, Result, Scorer, Scores};

use crate::artifact::{Artifact, Kind};
use crate::calibrate::Calibrator;
use crate::encode::{self, Input, Matrix};
use crate::forest::Forest;
use crate::onnx;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;

/// Probabilities nearer to 0 or 1 are taken as this near, so that their log-odds are finite.
const CERTAINTY: f64 = 1e-15;

/// What gives raw scores.
pub enum Body {
    /// Trees of the built-in boosting.
    Forest(Forest),
    /// A model of another library.
    Onnx(onnx::Model),
}

impl Body {
    /// Loads a payload.
    pub fn load(kind: Kind, payload: &Bytes, inputs: &[Input]) -> Result<Body> {
        Ok(match kind {
            Kind::Boosting => Body::Forest(Forest::decode(payload, inputs.len())?),
            Kind::Onnx => Body::Onnx(onnx::Model::load(payload, inputs)?),
        })
    }

    /// Raw scores in log-odds.
    pub fn raw(&self, matrix: &Matrix) -> Result<Vec<f64>> {
        match self {
            Body::Forest(forest) => Ok(forest.score(matrix)),
            Body::Onnx(model) => Ok(model.probabilities(matrix)?.into_iter().map(log_odds).collect()),
        }
    }
}

fn log_odds(probability: f64) -> f64 {
    let p = probability.clamp(CERTAINTY, 1.0 - CERTAINTY);
    (p / (1.0 - p)).ln()
}

/// A model that scores.
pub struct Loaded {
    names: Vec<String>,
    inputs: Vec<Input>,
    calibration: Calibrator,
    body: Body,
}

impl Loaded {
    /// Loads an artifact.
    pub fn new(artifact: Artifact) -> Result<Self> {
        let body = Body::load(artifact.kind, &artifact.payload, &artifact.inputs)?;
        let names = artifact.inputs.iter().map(|input| input.name.clone()).collect();
        Ok(Loaded { names, inputs: artifact.inputs, calibration: artifact.calibration, body })
    }

    /// Loads a kept artifact, whose bytes have their digest: what does not load then is damage.
    pub fn from_kept(digest: Hash, bytes: &Bytes) -> Result<Self> {
        Artifact::decode(bytes).and_then(Loaded::new).map_err(|e| {
            Error::corrupt("SW1015", format!("the kept model {} does not load", digest.short()))
                .because(e)
                .hint("it may be of a newer Seawall; train again to replace it")
        })
    }
}

impl Scorer for Loaded {
    fn inputs(&self) -> &[String] {
        &self.names
    }

    fn score(&self, rows: &RecordBatch) -> Result<Scores> {
        let raw = self.body.raw(&encode::encode(rows, &self.inputs)?)?;
        let probability = raw.iter().map(|raw| self.calibration.probability(*raw)).collect();
        Ok(Scores { probability, raw })
    }

    fn explain(&self, rows: &RecordBatch, inputs_max: usize) -> Result<Vec<Vec<Contribution>>> {
        let Body::Forest(forest) = &self.body else { return Ok(vec![Vec::new(); rows.num_rows()]) };
        let matrix = encode::encode(rows, &self.inputs)?;
        let mut reasons = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let added = forest.contributions(&matrix, row);
            let mut order: Vec<usize> = (0..added.len()).collect();
            // A stable sort: inputs that added the same stay in the model's order.
            order.sort_by(|a, b| added[*b].abs().total_cmp(&added[*a].abs()));
            order.truncate(inputs_max);
            let mut listed = Vec::with_capacity(order.len());
            for at in order {
                let input = &self.inputs[at];
                let value = encode::text(rows, input, row)?;
                listed.push(Contribution { input: input.name.clone(), value, contribution: added[at] });
            }
            reasons.push(listed);
        }
        Ok(reasons)
    }
}
