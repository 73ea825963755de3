//! Contracts in other forms, and back: JSON Schema, SQL, a page, and the contract itself as people write it.
//!
//! What a form has no words for is told as [`Lost`], never left out in silence.

use std::str::FromStr;

use seawall_base::error::{Error, Result};
use seawall_kernel::contract::{self, Contract, Lost};
use serde_json::Value;

use super::init::contract_yaml;

mod ddl;

/// A form that a contract is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The contract itself, as YAML.
    Odcs,
    /// JSON Schema of one row.
    JsonSchema,
    /// `CREATE TABLE`.
    Sql,
    /// A page for people.
    Html,
}

impl Form {
    /// Every form.
    pub const ALL: [Form; 4] = [Form::Odcs, Form::JsonSchema, Form::Sql, Form::Html];

    /// Its name: `odcs`, `jsonschema`, `sql`, `html`.
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Odcs => "odcs",
            Form::JsonSchema => "jsonschema",
            Form::Sql => "sql",
            Form::Html => "html",
        }
    }

    /// The media type of what is written in it.
    pub fn media_type(self) -> &'static str {
        match self {
            Form::Odcs => "application/yaml",
            Form::JsonSchema => "application/schema+json",
            Form::Sql => "application/sql",
            Form::Html => "text/html",
        }
    }

    /// Whether it describes one object of the contract, rather than the whole of it.
    pub fn is_of_one_object(self) -> bool {
        match self {
            Form::JsonSchema | Form::Sql => true,
            Form::Odcs | Form::Html => false,
        }
    }
}

impl FromStr for Form {
    type Err = Error;

    fn from_str(text: &str) -> Result<Form> {
        Form::ALL.into_iter().find(|form| form.as_str() == text).ok_or_else(|| {
            Error::invalid("SW1732", format!("contracts have no form {text:?}"))
                .hint("use odcs, jsonschema, sql or html; jsonschema and sql can be imported")
        })
    }
}

/// `contract` in another form, and what that form cannot express. `object` is meant where the form describes one; it may
/// be left out when the contract has only one.
///
/// # Errors
/// SW0252 when it is not clear which object is meant.
pub fn export_contract(contract: &Contract, form: Form, object: Option<&str>) -> Result<(String, Vec<Lost>)> {
    match form {
        Form::Odcs => Ok((contract_yaml(contract)?, Vec::new())),
        Form::Html => Ok((contract::to_html(contract), Vec::new())),
        Form::JsonSchema | Form::Sql => {
            let names = contract.object_names();
            let name = meant(&names, object)?;
            let object = contract.objects().iter().find(|object| object.name == *name);
            let object = object.ok_or_else(|| Error::internal("SW0252", "the object is gone"))?;
            if form == Form::Sql {
                return Ok(contract::to_ddl(contract, object));
            }
            let (schema, lost) = contract::to_json_schema(contract, object);
            Ok((format!("{schema:#}\n"), lost))
        }
    }
}

/// A contract called `name`, made of a text in another form, and what a contract cannot express.
///
/// # Errors
/// SW1730 and SW1731 for a text that is not in that form, SW1730 for a form that is not read.
pub fn import_contract(name: &str, form: Form, text: &str) -> Result<(Contract, Vec<Lost>)> {
    match form {
        Form::JsonSchema => {
            let schema: Value = serde_json::from_str(text)
                .map_err(|error| Error::invalid("SW1730", "what is imported is no JSON").because(error))?;
            contract::from_json_schema(name, &schema).map_err(|what| {
                Error::invalid("SW1730", what).hint("give the schema of one row: an object with `properties`")
            })
        }
        Form::Sql => ddl::contract_of_ddl(name, text),
        Form::Odcs | Form::Html => Err(Error::invalid("SW1730", format!("{} is not imported", form.as_str()))
            .hint("use jsonschema or sql; a contract needs no import")),
    }
}

/// The name that is meant among `names`: the given one, or the only one.
///
/// # Errors
/// SW0252 when that is not clear.
pub(super) fn meant<'n>(names: &'n [String], object: Option<&str>) -> Result<&'n String> {
    let found = match object {
        Some(wanted) => names.iter().find(|name| *name == wanted),
        None if names.len() == 1 => names.first(),
        None => None,
    };
    found.ok_or_else(|| {
        Error::invalid("SW0252", "which object of the contract is meant?")
            .hint(format!("name one as `object`; the contract has {}", names.join(", ")))
    })
}
