//! The first files of a project: a small commented one, or one made from a sample of the caller's own data.
//!
//! What is written passes [`load`](super::load) without a diagnostic; that is checked here before it is handed out. What
//! a sample cannot tell is assumed and marked so in the contract.

use std::path::PathBuf;

use seawall_base::declare::FileFormat;
use seawall_base::error::{Error, Result};

use arrow::record_batch::RecordBatch;

use super::words::{identifier, name_problem};
use super::{LoadOptions, kinds, parse_sources, schema};

mod columns;
mod first;
mod nulls;
mod sample;
mod yaml_text;

pub use first::{ColumnProfile, FirstContract, contract_yaml, infer_contract};

/// What the new project is about.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Name of the project and, with a sample, of its dataset, source and feature view.
    pub name: String,
    /// Data to start from; without it the project is about card payments.
    pub from: Option<Sample>,
    /// Columns of the sample that identify the entity. When no two rows of the sample share them, they are the primary
    /// key as well. Names as in the sample.
    pub key: Vec<String>,
    /// Column of the sample with the event time. Empty without a sample.
    pub time: String,
}

/// Some rows of the caller's data.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Path of the data as the source shall name it, relative to the project or absolute.
    pub path: String,
    /// Format of the data.
    pub format: FileFormat,
    /// Texts that mean null, besides the empty field of a CSV file. When none are given, they are detected.
    pub null_values: Vec<String>,
    /// The rows; all batches have one schema. At least one batch, which may be empty.
    pub batches: Vec<RecordBatch>,
}

/// The files of a new project: paths relative to its folder, and contents. Nothing is written.
///
/// # Errors
/// A name that cannot name a project, and key or time columns that the sample does not have or that do not fit.
pub fn init(options: InitOptions) -> Result<Vec<(PathBuf, String)>> {
    if let Some(problem) = name_problem(&options.name) {
        let message = format!("a project cannot be called {:?}: {problem}", options.name);
        let hint = format!("for example {}", identifier(&options.name));
        return Err(Error::invalid("SW0147", message).hint(hint));
    }
    let mut files = match &options.from {
        None => example(&options.name),
        Some(sample) => sample::files(&options, sample)?,
    };
    check(&files)?;
    for kind in kinds() {
        let schema = schema(kind).expect("every kind has a schema");
        files.push((PathBuf::from(format!(".seawall/schema/{kind}.json")), format!("{schema:#}\n")));
    }
    Ok(files)
}

/// Holds the promise that a new project has no problems; a breach is shown whole, as it tells what does not fit.
fn check(files: &[(PathBuf, String)]) -> Result<()> {
    let problems = match parse_sources(files, LoadOptions::default()) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::invalid("SW0148", format!("the sample does not make a sound project:\n{problems}"))
        .hint("choose other key or time columns, or write the declarations by hand"))
}

/// The comment that lets editors check a declaration of `kind` in a file that lies `depth` folders deep.
fn modeline(kind: &str, depth: usize) -> String {
    format!("# yaml-language-server: $schema={}.seawall/schema/{kind}.json\n", "../".repeat(depth))
}

/// The commented project about card payments.
fn example(name: &str) -> Vec<(PathBuf, String)> {
    let file = |path: &str, kind: &str, text: &str| {
        let depth = path.matches('/').count();
        (PathBuf::from(path), format!("{}{}", modeline(kind, depth), text.replace("PROJECT", name)))
    };
    vec![
        file("seawall.yaml", "project", include_str!("init/example/seawall.yaml")),
        file("contracts/payments.odcs.yaml", "contract", include_str!("init/example/payments.odcs.yaml")),
        file("contracts/chargebacks.odcs.yaml", "contract", include_str!("init/example/chargebacks.odcs.yaml")),
        file("sources/payments.yaml", "source", include_str!("init/example/payments.source.yaml")),
        file("sources/chargebacks.yaml", "source", include_str!("init/example/chargebacks.source.yaml")),
        file("features/card.yaml", "feature_view", include_str!("init/example/card.yaml")),
        file("training_sets/fraud.yaml", "training_set", include_str!("init/example/fraud.yaml")),
        file("tests/payments.yaml", "test", include_str!("init/example/payments.test.yaml")),
    ]
}

#[cfg(test)]
mod tests;
