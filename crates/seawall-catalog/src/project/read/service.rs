//! `kind: feature_service` as a typed value.

use seawall_base::declare::{FeatureService, LogShare, RequestValue, ValueType};

use super::super::words::share;
use super::super::yaml::Node;
use super::{given, span, text};

/// `kind: feature_service`, with version 1. Its features are known when the views are, and what is derived with them.
pub(crate) fn feature_service(node: &Node) -> Option<FeatureService> {
    let request = node.get("request").map(Node::entries).unwrap_or_default();
    Some(FeatureService {
        name: text(node.get("name")?)?,
        version: 1,
        features: Vec::new(),
        request: request
            .iter()
            .map(|entry| Some(RequestValue { name: entry.key.clone(), of: value_type(&entry.node)? }))
            .collect::<Option<_>>()?,
        derived: Vec::new(),
        budget: given(node.get("budget"), span)?,
        log: given(node.get("log"), |log| share(log.text()?).map(LogShare))?.unwrap_or_default(),
    })
}

fn value_type(node: &Node) -> Option<ValueType> {
    Some(match node.text()? {
        "string" => ValueType::String,
        "integer" => ValueType::Integer,
        "double" => ValueType::Double,
        "boolean" => ValueType::Boolean,
        "timestamp" => ValueType::Timestamp,
        "date" => ValueType::Date,
        _ => return None,
    })
}
