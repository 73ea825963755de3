//! `kind: monitor` and `kind: correction` as typed values.

use std::str::FromStr;

use seawall_base::Instant;
use seawall_base::declare::{Correction, Monitor};

use super::super::yaml::Node;
use super::{given, literal, number, span, text, texts};

/// `kind: monitor`.
pub(crate) fn monitor(node: &Node) -> Option<Monitor> {
    let dataset = text(node.get("dataset")?)?;
    let default = Monitor::of(&dataset);
    Some(Monitor {
        name: text(node.get("name")?)?,
        freshness: given(node.get("freshness"), span)?,
        quarantine_share: given(node.get("quarantine_share"), number)?.unwrap_or(default.quarantine_share),
        window: given(node.get("window"), span)?.unwrap_or(default.window),
        by: given(node.get("by"), texts)?.unwrap_or_default(),
        owner: given(node.get("owner"), text)?,
        dataset,
    })
}

/// `kind: correction`; its instant was found right.
pub(crate) fn correction(node: &Node) -> Option<Correction> {
    Some(Correction {
        name: text(node.get("name")?)?,
        source: text(node.get("source")?)?,
        column: text(node.get("column")?)?,
        divide_by: number(node.get("divide_by")?)?,
        only: given(node.get("only"), only)?,
        from: given(node.get("from"), instant)?,
        reason: text(node.get("reason")?)?,
    })
}

fn only(node: &Node) -> Option<(String, String)> {
    let entry = node.entries().first()?;
    Some((entry.key.clone(), literal(&entry.node)?))
}

/// An instant in RFC 3339.
pub(crate) fn instant(node: &Node) -> Option<Instant> {
    Instant::from_str(node.text()?).ok()
}
