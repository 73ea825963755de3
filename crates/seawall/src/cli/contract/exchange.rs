//! `contract export` and `contract import`: JSON Schema, SQL, a page.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use seawall_base::Error;
use seawall_base::error::Result;
use seawall_catalog::project::{self, Form};
use seawall_kernel::contract::Lost;
use serde_json::json;

use crate::cli::Global;
use crate::cli::check::print_diagnostics;
use crate::output::{Exit, print_json};

/// A form that a contract is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Written {
    /// The contract itself, as YAML
    Odcs,
    /// JSON Schema of one row
    Jsonschema,
    /// CREATE TABLE
    Sql,
    /// A page for people
    Html,
}

/// A form that a contract is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Read {
    /// JSON Schema of one row
    Jsonschema,
    /// CREATE TABLE
    Sql,
}

impl From<Written> for Form {
    fn from(form: Written) -> Form {
        match form {
            Written::Odcs => Form::Odcs,
            Written::Jsonschema => Form::JsonSchema,
            Written::Sql => Form::Sql,
            Written::Html => Form::Html,
        }
    }
}

impl From<Read> for Form {
    fn from(form: Read) -> Form {
        match form {
            Read::Jsonschema => Form::JsonSchema,
            Read::Sql => Form::Sql,
        }
    }
}

/// Write a contract in another form.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall contract export payments.odcs.yaml --form jsonschema > payments.schema.json
  seawall contract export payments.odcs.yaml --form html --to payments.html

What the other form cannot express is listed on standard error; with --strict it exits with 1.")]
pub struct Export {
    /// The contract
    contract: PathBuf,
    /// The form
    #[arg(long, value_enum)]
    form: Written,
    /// Which object of the contract, when it has several
    #[arg(long)]
    object: Option<String>,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Exit with 1 when something cannot be expressed
    #[arg(long)]
    strict: bool,
}

/// Make a contract out of another form.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall contract import payments.schema.json --form jsonschema > payments.odcs.yaml
  seawall contract import schema.sql --form sql --name shop --to contracts/shop.odcs.yaml

What a contract cannot express is listed on standard error; with --strict it exits with 1.")]
pub struct Import {
    /// The file
    file: PathBuf,
    /// Its form
    #[arg(long, value_enum)]
    form: Read,
    /// Name of the contract; made of the file's name when absent
    #[arg(long)]
    name: Option<String>,
    /// Write the contract to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Exit with 1 when something cannot be expressed
    #[arg(long)]
    strict: bool,
}

impl Export {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let linted = match super::read(&self.contract, global)? {
            Ok(linted) => linted,
            Err(diagnostics) => {
                print_diagnostics(global, &diagnostics)?;
                return Ok(Exit::Breach);
            }
        };
        let (text, lost) = project::export_contract(&linted.contract, self.form.into(), self.object.as_deref())?;
        tell(global, &text, &lost, self.to.as_ref(), "text")?;
        Ok(if self.strict && !lost.is_empty() { Exit::Breach } else { Exit::Ok })
    }
}

impl Import {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let text = std::fs::read_to_string(&self.file).map_err(|error| {
            Error::not_found("SW0251", format!("{} cannot be read", self.file.display())).because(error)
        })?;
        let stem = self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = self.name.clone().unwrap_or_else(|| project::identifier(stem.split('.').next().unwrap_or(&stem)));
        let (contract, lost) = project::import_contract(&name, self.form.into(), &text)?;
        let yaml = project::contract_yaml(&contract)?;
        tell(global, &yaml, &lost, self.to.as_ref(), "contract")?;
        Ok(if self.strict && !lost.is_empty() { Exit::Breach } else { Exit::Ok })
    }
}

/// Writes what was made, and lists what was lost.
fn tell(global: &Global, text: &str, lost: &[Lost], to: Option<&PathBuf>, key: &str) -> Result<()> {
    if let Some(path) = to {
        std::fs::write(path, text)?;
    }
    if global.json() {
        return print_json(&json!({key: text, "written": to, "lost": lost}));
    }
    match to {
        None => print!("{text}"),
        Some(path) => println!("wrote {}", path.display()),
    }
    for one in lost {
        eprintln!("not expressed: {} of {}: {}", one.what, one.place, one.why);
    }
    Ok(())
}
