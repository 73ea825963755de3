//! `${name}` in declarations: defaults from `seawall.yaml`, overridden by `--set name=value`.
//!
//! `$${name}` stands for the text `${name}`. What a variable holds is never expanded again.

use std::collections::BTreeMap;

use super::diagnostic::Report;
use super::source::{Place, SourceFile};
use super::words::{listed, suggest};
use super::yaml::{Node, Value};

/// Names and values.
pub(crate) type Variables = BTreeMap<String, String>;

/// Replaces the variables in every text of `node`; those that are not set are reported and left as they are.
pub(crate) fn expand(node: &mut Node, variables: &Variables, files: &[SourceFile], report: &mut Report) {
    let place = node.place;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| expand(item, variables, files, report)),
        Value::Map(entries) => {
            entries.iter_mut().for_each(|entry| expand(&mut entry.node, variables, files, report));
        }
        Value::Scalar(scalar) if scalar.text.contains("${") => {
            let mut unset = |name: &str| report_unset(name, variables, place_of(name, place, files), report);
            scalar.text = expand_text(&scalar.text, variables, &mut unset);
            scalar.verbatim = false;
        }
        Value::Scalar(_) => {}
    }
}

/// Replaces `${NAME}` and `${NAME:-default}` in every text of a contract, as the standard has it. What is not among
/// `variables` keeps its default, or stays as it is: nothing else, such as the environment, is looked at.
pub(crate) fn resolve(node: &mut Node, variables: &Variables) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| resolve(item, variables)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| resolve(&mut entry.node, variables)),
        Value::Scalar(scalar) if scalar.text.contains("${") => {
            scalar.text = resolve_text(&scalar.text, variables);
            scalar.verbatim = false;
        }
        Value::Scalar(_) => {}
    }
}

fn resolve_text(text: &str, variables: &Variables) -> String {
    let mut resolved = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.find("${").map(|at| rest.split_at(at)) {
        let Some(length) = from.find('}') else { break };
        let (reference, after) = from.split_at(length + 1);
        let (name, default) = match reference[2..length].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&reference[2..length], None),
        };
        let value = variables.get(name).filter(|value| !value.is_empty()).map(String::as_str);
        resolved.push_str(before);
        resolved.push_str(value.or(default).unwrap_or(reference));
        rest = after;
    }
    resolved.push_str(rest);
    resolved
}

fn expand_text(text: &str, variables: &Variables, unset: &mut dyn FnMut(&str)) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let Some(length) = from.find('}') else { break };
        let (reference, after) = from.split_at(length + 1);
        let name = &reference[2..length];
        rest = after;
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str(reference);
            continue;
        }
        expanded.push_str(before);
        match variables.get(name) {
            Some(value) => expanded.push_str(value),
            None => {
                unset(name);
                expanded.push_str(reference);
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

fn report_unset(name: &str, variables: &Variables, place: Place, report: &mut Report) {
    let help = match suggest(name, variables.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `${{{near}}}`?"),
        None if variables.is_empty() => {
            format!("give it a default in seawall.yaml, under `variables`: {name}: VALUE")
        }
        None => format!(
            "give it a default under `variables` in seawall.yaml, where there are {}",
            listed(variables.keys().map(String::as_str), "and")
        ),
    };
    report.error("SW0126", format!("the variable `{name}` is not set"), place).help(help);
}

/// Where `${name}` stands within the value at `place`.
fn place_of(name: &str, place: Place, files: &[SourceFile]) -> Place {
    let reference = format!("${{{name}}}");
    let written = files.get(place.file).and_then(|file| file.text.get(place.range()));
    match written.and_then(|written| written.find(&reference)) {
        Some(offset) => place.part(offset, reference.len()),
        None => place,
    }
}
