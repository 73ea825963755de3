//! A project: the folder of declarations, read strictly and checked as a whole before anything runs.
//!
//! [`load`] reads the folder, [`parse_sources`] does the same with texts in memory. Everything wrong is found in one go:
//! each [`Diagnostic`] has a code, a place and, where there is one, a remedy. What passes is a [`Project`] whose
//! references all lead somewhere, with the [`Dataset`]s that its contracts describe.
//!
//! The life of a file: `yaml` makes trees that know their places; `shape` checks them against `tables`, from which the
//! JSON Schemas of [`schema`] are made too; `read` turns what is right into the types of `seawall_base::declare`;
//! `contract` and `resolve` check what refers to what, with the kernel's compilers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seawall_base::Dataset;

mod contract;
mod diagnostic;
mod exchange;
mod explain;
mod folder;
mod init;
pub mod keep;
mod lint;
pub mod model;
mod owner;
mod parse;
mod policies;
mod read;
mod resolve;
mod shape;
mod source;
mod sql;
mod tables;
mod variables;
mod words;
mod yaml;

#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity};
pub use exchange::{Form, export_contract, import_contract};
pub use explain::{codes, explain};
pub use init::{ColumnProfile, FirstContract, InitOptions, Sample, contract_yaml, infer_contract, init};
pub use lint::{Linted, LintedObject, lint};
pub use model::{OtherDeclaration, PolicyFile, Project};
pub use owner::{ColumnLabels, column_labels, owner_of};
pub use source::SourceFile;
pub use words::identifier;

/// What a caller can change about a project while it is read.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Values of variables, over the defaults in `seawall.yaml`.
    pub set: BTreeMap<String, String>,
}

/// A project without errors.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The declarations.
    pub project: Project,
    /// The datasets that its contracts describe, ordered by name.
    pub datasets: Vec<Dataset>,
    /// What is probably not meant.
    pub warnings: Diagnostics,
    /// The files that were read, ordered by path.
    pub files: Vec<SourceFile>,
}

/// Reads and checks the project in `folder`: `seawall.yaml` and every other `*.yaml`, `*.yml`, `*.sql` and `*.cedar`
/// below it, but for hidden folders, `data`, `target` and `node_modules`.
///
/// # Errors
/// Everything that is wrong, files that cannot be read and a missing `seawall.yaml` included.
pub fn load(folder: &Path, options: LoadOptions) -> Result<Loaded, Diagnostics> {
    let (files, report) = folder::read(folder);
    parse::parse(files, &options, report)
}

/// [`load`] without a folder: paths relative to the project, and texts. Files that are neither YAML nor SQL nor
/// Cedar are ignored.
///
/// # Errors
/// Everything that is wrong.
pub fn parse_sources(files: &[(PathBuf, String)], options: LoadOptions) -> Result<Loaded, Diagnostics> {
    let (files, report) = folder::from_memory(files);
    parse::parse(files, &options, report)
}

/// The kinds of declarations, contracts included, for which there is a [`schema`].
pub fn kinds() -> Vec<&'static str> {
    let mut kinds: Vec<&'static str> = tables::KINDS.iter().map(|(kind, _)| *kind).collect();
    kinds.push(tables::CONTRACT_KIND);
    kinds
}

/// JSON Schema (draft-07) of a kind of declaration, made of the tables that the parser uses; `None` for unknown kinds.
pub fn schema(kind: &str) -> Option<serde_json::Value> {
    let record = match kind {
        tables::CONTRACT_KIND => Some(&tables::CONTRACT),
        _ => tables::KINDS.iter().find(|(known, _)| *known == kind).map(|(_, record)| *record),
    };
    record.map(shape::json_schema)
}
