//! `contract export` and `contract import`: JSON Schema, SQL, a page.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use seawall_base::Error;
use seawall_base::error::Result;
use seawall_catalog::project;
use seawall_kernel::contract::{self, Lost};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::cli::check::print_diagnostics;
use crate::output::{Exit, print_json};

/// A form that a contract is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// JSON Schema of one row
    Jsonschema,
    /// CREATE TABLE
    Sql,
    /// A page for people
    Html,
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
    form: Form,
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
    form: Form,
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
        let mut linted = match super::read(&self.contract, global)? {
            Ok(linted) => linted,
            Err(diagnostics) => {
                print_diagnostics(global, &diagnostics)?;
                return Ok(Exit::Breach);
            }
        };
        let (text, lost) = match self.form {
            Form::Html => (contract::to_html(&linted.contract), Vec::new()),
            Form::Jsonschema | Form::Sql => {
                let name = super::choose(&mut linted, self.object.as_deref())?.name;
                let object = linted.contract.objects().iter().find(|object| object.name == name);
                let object = object.ok_or_else(|| Error::internal("SW0252", "the object is gone"))?;
                match self.form {
                    Form::Jsonschema => {
                        let (schema, lost) = contract::to_json_schema(&linted.contract, object);
                        (format!("{schema:#}\n"), lost)
                    }
                    Form::Sql | Form::Html => contract::to_ddl(&linted.contract, object),
                }
            }
        };
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
        let (contract, lost) = match self.form {
            Form::Jsonschema => {
                let schema: Value = serde_json::from_str(&text).map_err(|error| {
                    Error::invalid("SW1730", format!("{} is no JSON", self.file.display())).because(error)
                })?;
                contract::from_json_schema(&name, &schema).map_err(|what| {
                    Error::invalid("SW1730", what).hint("give the schema of one row: an object with `properties`")
                })?
            }
            Form::Sql => seawall_lake::query::contract_of_ddl(&name, &text)?,
            Form::Html => {
                return Err(Error::invalid("SW1730", "a page is not read").hint("use --form jsonschema or sql"));
            }
        };
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
