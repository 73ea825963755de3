//! The file of a model: one line of JSON that says what it takes and gives, then the payload.
//!
//! `docs/formats.md` has it to the byte. Equal models have equal bytes: the header's fields stand in a fixed order,
//! numbers are written so that they read back bit for bit, and nothing tells the time. Reading checks everything and
//! has limits; what it returns can be scored with.

use bytes::Bytes;
use seawall_base::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::calibrate::Calibrator;
use crate::encode::{Input, InputKind};

#[cfg(test)]
mod tests;

const FORMAT: &str = "seawall model";
const VERSION: u32 = 1;

/// Size of an artifact.
pub const ARTIFACT_BYTES_MAX: u64 = 256 << 20;
const HEADER_BYTES_MAX: usize = 16 << 20;
const INPUTS_MAX: usize = 10_000;

/// What the payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Trees of the built-in boosting.
    Boosting,
    /// An ONNX model.
    Onnx,
}

/// A model apart from how it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// What the payload is.
    pub kind: Kind,
    /// The columns that it takes, in order.
    pub inputs: Vec<Input>,
    /// From raw scores to probabilities.
    pub calibration: Calibrator,
    /// The model itself.
    pub payload: Bytes,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    kind: Kind,
    inputs: Vec<Input>,
    calibration: Calibrator,
    payload_bytes: u64,
}

/// Format and version, read before the rest, which may be of another version.
#[derive(Deserialize)]
struct Preamble {
    format: String,
    version: u32,
}

impl Artifact {
    /// The bytes of the file.
    pub fn encode(&self) -> Bytes {
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            kind: self.kind,
            inputs: self.inputs.clone(),
            calibration: self.calibration.clone(),
            payload_bytes: self.payload.len() as u64,
        };
        let mut bytes = serde_json::to_vec(&header).expect("a header has only texts and finite numbers");
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.payload);
        Bytes::from(bytes)
    }

    /// Reads the bytes of a file; the payload stays unread.
    ///
    /// # Errors
    /// `SW1012`, kind `Invalid`, for what is not a whole artifact of a known version.
    pub fn decode(bytes: &Bytes) -> Result<Artifact> {
        if bytes.len() as u64 > ARTIFACT_BYTES_MAX {
            return Err(unreadable(format!("it is larger than {ARTIFACT_BYTES_MAX} bytes")));
        }
        let head = &bytes[..bytes.len().min(HEADER_BYTES_MAX)];
        let end = head.iter().position(|byte| *byte == b'\n').ok_or_else(|| unreadable("it has no header line"))?;
        let line = &bytes[..end];
        let preamble: Preamble = serde_json::from_slice(line).map_err(unreadable)?;
        if preamble.format != FORMAT || preamble.version != VERSION {
            let Preamble { format, version } = preamble;
            return Err(unreadable(format!("it is of format {format:?} version {version}")));
        }
        let header: Header = serde_json::from_slice(line).map_err(unreadable)?;
        let payload = bytes.slice(end + 1..);
        if payload.len() as u64 != header.payload_bytes {
            let (found, wanted) = (payload.len(), header.payload_bytes);
            return Err(unreadable(format!("its payload has {found} bytes instead of {wanted}")));
        }
        check_inputs(&header.inputs)?;
        header.calibration.check().map_err(unreadable)?;
        Ok(Artifact { kind: header.kind, inputs: header.inputs, calibration: header.calibration, payload })
    }
}

fn check_inputs(inputs: &[Input]) -> Result<()> {
    if inputs.is_empty() || inputs.len() > INPUTS_MAX {
        return Err(unreadable(format!("it has {} inputs", inputs.len())));
    }
    let mut names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(unreadable("an input is listed twice"));
    }
    for input in inputs {
        if let InputKind::Categorical { categories } = &input.kind {
            let mut sorted: Vec<&str> = categories.iter().map(String::as_str).collect();
            sorted.sort_unstable();
            if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                return Err(unreadable(format!("a category of {} is listed twice", input.name)));
            }
        }
    }
    Ok(())
}

/// The error for bytes that are no artifact.
pub fn unreadable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::invalid("SW1012", "the bytes are not a model that this Seawall reads")
        .because(why)
        .hint("models are files that Seawall wrote; export the model again, or train it again")
}
