//! A page about a contract for people: one file, no script, nothing fetched.

use serde_json::Value;

use super::super::compile_for_test;
use super::super::model::{Contract, Property, SchemaObject};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8884;vertical-align:top}\
code{font-family:ui-monospace,monospace}small{opacity:.7}";

/// The page.
pub fn to_html(contract: &Contract) -> String {
    let title = format!("{} {}", contract.name.as_deref().unwrap_or(&contract.id), contract.version);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n<style>{STYLE}</style>\n<h1>{0}</h1>\n",
        escaped(&title)
    );
    let status = contract.status.as_deref().unwrap_or("active");
    page.push_str(&format!("<p><code>{}</code>, {}</p>\n", escaped(&contract.id), escaped(status)));
    for key in ["purpose", "usage", "limitations"] {
        let text =
            contract.other.get("description").and_then(|description| description.get(key)).and_then(Value::as_str);
        if let Some(text) = text {
            page.push_str(&format!("<p><strong>{key}</strong>: {}</p>\n", escaped(text)));
        }
    }
    for object in &contract.schema {
        one(contract, object, &mut page);
    }
    levels(contract, &mut page);
    page
}

fn one(contract: &Contract, object: &SchemaObject, page: &mut String) {
    page.push_str(&format!("<h2 id=\"{0}\">{0}</h2>\n", escaped(&object.name)));
    page.push_str("<table>\n<thead><tr><th>column<th>type<th>about</tr></thead>\n<tbody>\n");
    for property in &object.properties {
        row("", property, page);
    }
    page.push_str("</tbody>\n</table>\n");
    let Ok(gate) = compile_for_test(contract, Some(&object.name)) else {
        page.push_str("<p>The rules do not compile; <code>seawall contract lint</code> says why.</p>\n");
        return;
    };
    page.push_str(
        "<h3>Rules</h3>\n<table>\n<thead><tr><th>rule<th>column<th>what must hold<th>a breach</tr></thead>\n<tbody>\n",
    );
    for rule in gate.rules() {
        page.push_str(&format!(
            "<tr><td><code>{}</code><td>{}<td>{}<td>{}</tr>\n",
            escaped(&rule.rule),
            escaped(rule.column.as_deref().unwrap_or_default()),
            escaped(&rule.description),
            rule.mode.as_str()
        ));
    }
    for rule in gate.table_rules() {
        page.push_str(&format!(
            "<tr><td><code>{}</code><td>{}<td>{}<td>incident</tr>\n",
            escaped(&rule.rule),
            escaped(rule.column.as_deref().unwrap_or_default()),
            escaped(&rule.description)
        ));
    }
    for rule in gate.not_executed() {
        let reason = format!("not executed: {}", rule.reason);
        page.push_str(&format!(
            "<tr><td><code>{}</code><td>{}<td>{}<td></tr>\n",
            escaped(&rule.rule),
            escaped(rule.column.as_deref().unwrap_or_default()),
            escaped(&reason)
        ));
    }
    page.push_str("</tbody>\n</table>\n");
}

fn row(prefix: &str, property: &Property, page: &mut String) {
    let path = format!("{prefix}{}", property.name.as_deref().unwrap_or("items"));
    let mut marks: Vec<&str> = Vec::new();
    let said = [
        ("key", property.primary_key == Some(true)),
        ("required", property.required == Some(true)),
        ("unique", property.unique == Some(true)),
    ];
    marks.extend(said.iter().filter(|(_, is_said)| *is_said).map(|(mark, _)| *mark));
    marks.extend(property.classification.as_deref());
    let about = property.other.get("description").and_then(Value::as_str).unwrap_or_default();
    page.push_str(&format!(
        "<tr><td><code>{}</code> <small>{}</small><td>{}<td>{}</tr>\n",
        escaped(&path),
        escaped(&marks.join(", ")),
        escaped(property.logical_type.as_deref().or(property.physical_type.as_deref()).unwrap_or("any")),
        escaped(about)
    ));
    for field in &property.properties {
        row(&format!("{path}."), field, page);
    }
    if let Some(items) = &property.items {
        for field in &items.properties {
            row(&format!("{path}[]."), field, page);
        }
    }
}

fn levels(contract: &Contract, page: &mut String) {
    if contract.sla_properties.is_empty() {
        return;
    }
    page.push_str("<h2>Service levels</h2>\n<table>\n<thead><tr><th>promise<th>value<th>about</tr></thead>\n<tbody>\n");
    for level in &contract.sla_properties {
        let value = level.value.as_ref().map(Value::to_string).unwrap_or_default();
        page.push_str(&format!(
            "<tr><td>{}<td>{} {}<td>{}</tr>\n",
            escaped(&level.property),
            escaped(&value),
            escaped(level.unit.as_deref().unwrap_or_default()),
            escaped(level.element.as_deref().unwrap_or_default())
        ));
    }
    page.push_str("</tbody>\n</table>\n");
}

/// Text without markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
