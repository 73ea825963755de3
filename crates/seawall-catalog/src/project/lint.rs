//! One contract by itself: read strictly, checked against the standard, compiled as far as it can be executed. No
//! project is needed.

use std::collections::BTreeMap;
use std::path::Path;

use seawall_base::error::Result as BaseResult;
use seawall_kernel::contract::{self, Contract, Gate, NotExecuted};
use serde_json::{Value, json};

use super::contract::{check_shape, compile_problem, deserialize, places_at};
use super::diagnostic::{Diagnostics, Report};
use super::exchange::meant;
use super::folder::FILE_BYTES_MAX;
use super::shape::head;
use super::source::{Place, SourceFile};
use super::variables::resolve;
use super::words::name_problem;
use super::yaml::{Node, documents};

/// A sound contract.
#[derive(Debug)]
pub struct Linted {
    /// The contract.
    pub contract: Contract,
    /// Its objects, compiled to be tested.
    pub objects: Vec<LintedObject>,
    /// What is probably not meant.
    pub warnings: Diagnostics,
}

/// One object of a contract.
#[derive(Debug)]
pub struct LintedObject {
    /// Its name.
    pub name: String,
    /// Its rules, compiled.
    pub gate: Gate,
    /// The rules that are not executed, each with its line.
    pub not_executed: Vec<(NotExecuted, usize)>,
}

impl Linted {
    /// The object that is meant: the one called `name`, or the only one.
    ///
    /// # Errors
    /// SW0252 when that is not clear.
    pub fn take_object(&mut self, name: Option<&str>) -> BaseResult<LintedObject> {
        let names: Vec<String> = self.objects.iter().map(|object| object.name.clone()).collect();
        let name = meant(&names, name)?;
        let at = names.iter().position(|known| known == name).expect("the name is one of them");
        Ok(self.objects.swap_remove(at))
    }

    /// What was found, for programs: `{"ok": true, "contract", "objects": [...], "warnings": {...}}`. A contract with
    /// errors is told by [`Diagnostics::to_json`].
    pub fn to_json(&self) -> Value {
        json!({
            "ok": true,
            "contract": format!("{} {}", self.contract.id(), self.contract.version()),
            "objects": self.objects.iter().map(LintedObject::to_json).collect::<Vec<_>>(),
            "warnings": self.warnings,
        })
    }
}

impl LintedObject {
    fn to_json(&self) -> Value {
        let not_executed = self.not_executed.iter().map(|(rule, line)| {
            json!({"rule": rule.rule, "column": rule.column, "path": rule.path, "line": line, "reason": rule.reason})
        });
        json!({
            "object": self.name,
            "rules": self.gate.rules().len(),
            "table_rules": self.gate.table_rules().len(),
            "service_levels": self.gate.service_levels().len(),
            "not_executed": not_executed.collect::<Vec<_>>(),
        })
    }
}

/// Reads and checks the contract `text` of the file at `path`. `variables` are the only ones that it may name without a
/// default.
///
/// # Errors
/// Everything that is wrong, in one go.
pub fn lint(path: &Path, text: &str, variables: &BTreeMap<String, String>) -> Result<Linted, Diagnostics> {
    let mut report = Report::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_too_large = text.len() as u64 > FILE_BYTES_MAX;
    let files = [SourceFile { path: path.to_owned(), text: if is_too_large { "" } else { text }.into() }];
    let whole = Place { file: 0, start: 0, end: 0 };
    if is_too_large {
        let message = format!("this file is larger than {} MiB", FILE_BYTES_MAX >> 20);
        report.error("SW0131", message, whole).help("split it into several contracts");
        return Err(report.finish(&files));
    }
    let mut nodes = documents(0, &files[0], &mut report);
    if let Some(second) = nodes.get(1) {
        report.error("SW0143", "a file holds one contract, and here is another", head(second));
    }
    if nodes.is_empty() && report.error_count() == 0 {
        report.error("SW0143", "the file holds no contract", whole).help("begin it with `apiVersion: v3.2.0`");
    }
    if report.error_count() > 0 {
        return Err(report.finish(&files));
    }
    let mut node = nodes.swap_remove(0);
    resolve(&mut node, variables);
    let is_sound = check_shape(&node, &mut report);
    let contract = deserialize(&node, is_sound, &mut report);
    let objects =
        contract.as_ref().map(|contract| compile(&node, contract, &files[0], &mut report)).unwrap_or_default();
    match contract {
        Some(contract) if report.error_count() == 0 => {
            Ok(Linted { contract, objects, warnings: report.finish(&files) })
        }
        _ => Err(report.finish(&files)),
    }
}

fn compile(node: &Node, contract: &Contract, file: &SourceFile, report: &mut Report) -> Vec<LintedObject> {
    if contract.schema.is_empty() {
        report
            .warning("SW0201", "the contract describes no object, so no data can be held to it", head(node))
            .help("describe a table under `schema`");
    }
    if contract.major().is_none() {
        let message =
            format!("version {:?} has no major version from 1, by which a source could name it", contract.version);
        report
            .warning("SW0200", message, places_at(node, "version").1)
            .help("write MAJOR.MINOR.PATCH, for example 1.0.0; a file can be tested against it all the same");
    }
    let mut objects = Vec::new();
    let mut seen = Vec::new();
    for object in &contract.schema {
        let index = objects.len();
        if let Some(problem) = name_problem(&object.name) {
            let (_, place) = places_at(node, &format!("schema/{index}/name"));
            report
                .warning("SW0202", format!("{:?} cannot name a dataset of a project: {problem}", object.name), place)
                .help("a file can be tested against it all the same");
        }
        match contract::compile_for_test(contract, Some(&object.name)) {
            Ok(gate) => {
                let line = |rule: &NotExecuted| file.position(places_at(node, &rule.path).0.start).0;
                let not_executed = gate.not_executed().iter().map(|rule| (rule.clone(), line(rule))).collect();
                objects.push(LintedObject { name: object.name.clone(), gate, not_executed });
            }
            Err(problems) => problems.iter().for_each(|problem| compile_problem(node, problem, &mut seen, report)),
        }
    }
    objects
}
