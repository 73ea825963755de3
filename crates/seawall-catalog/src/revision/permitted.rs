//! Which transformations a contract permits for its columns, checked against what the project does with them.
//!
//! `seawall.permits` on a property, an object or a contract lists the uses that are permitted; the innermost list counts,
//! and a column without one may be used in any way. How a column is used is told by the declarations; what its values
//! reach is told by lineage.

use std::collections::BTreeSet;

use seawall_base::declare::{Aggregation, FeatureView, LabelValue, TrainingSet};
use seawall_base::{Error, Result};
use seawall_kernel::contract::CustomProperty;
use serde_json::Value;

use crate::lineage::{Direction, LineageEdge, via, walk};
use crate::project::model::Project;

const PERMITS: &str = "seawall.permits";
/// Uses, with what each is.
const USES: [(&str, &str); 6] = [
    ("copy", "its values are handed on as they are"),
    ("aggregate", "only counts, sums and the like of its values are handed on"),
    ("expression", "something is computed of its values"),
    ("key", "rows are looked up by it"),
    ("label", "it is what a model learns to tell"),
    ("model", "what is made of it reaches a model"),
];

/// One use of a column.
struct Use {
    what: &'static str,
    /// By whom: `feature card@1.sum_24h`.
    by: String,
    /// What holds values made of it afterwards.
    made: Option<(String, String)>,
}

/// Refuses a project that uses a column in a way that its contract does not permit: SW1702; SW1703 for a list that names
/// an unknown use.
pub fn expect_permitted(project: &Project, views: &[FeatureView], edges: &[LineageEdge]) -> Result<()> {
    for contract in &project.contracts {
        for object in contract.objects() {
            let outer = permits(&object.custom_properties)?.or(permits(&contract.custom_properties)?);
            for property in &object.properties {
                let Some(name) = property.name.as_deref() else { continue };
                let Some(permitted) = permits(&property.custom_properties)?.or_else(|| outer.clone()) else { continue };
                expect_uses(&object.name, name, &permitted, &uses(project, views, edges, &object.name, name), edges)?;
            }
        }
    }
    Ok(())
}

fn permits(properties: &[CustomProperty]) -> Result<Option<BTreeSet<String>>> {
    let Some(given) = properties.iter().find(|one| one.property == PERMITS) else { return Ok(None) };
    let known = || USES.iter().map(|(name, what)| format!("{name} ({what})")).collect::<Vec<_>>().join(", ");
    let wrong = |what: String| Error::invalid("SW1703", what).hint(format!("it is a list of uses: {}", known()));
    let Value::Array(words) = &given.value else {
        return Err(wrong(format!("{PERMITS} is {}, which is no list", given.value)));
    };
    let mut permitted = BTreeSet::new();
    for word in words {
        let name = word.as_str().filter(|word| USES.iter().any(|(known, _)| known == word));
        permitted.insert(name.ok_or_else(|| wrong(format!("{PERMITS} names {word}, which is no use")))?.to_owned());
    }
    Ok(Some(permitted))
}

fn expect_uses(
    dataset: &str,
    column: &str,
    permitted: &BTreeSet<String>,
    uses: &[Use],
    edges: &[LineageEdge],
) -> Result<()> {
    let refused = |what: &str, by: &str| {
        let list: Vec<&str> = permitted.iter().map(String::as_str).collect();
        let message = format!("{dataset}.{column} permits [{}], and {by} uses it as {what}", list.join(", "));
        Err(Error::invalid("SW1702", message)
            .hint(format!("leave the use away, or add {what} to {PERMITS} when its owner agrees")))
    };
    for one in uses {
        if !permitted.contains(one.what) {
            return refused(one.what, &one.by);
        }
        let Some((object, made)) = one.made.as_ref().filter(|_| !permitted.contains("model")) else { continue };
        let reached = walk(edges, object, Some(made), Direction::Down, u32::MAX);
        if let Some(edge) = reached.iter().find(|edge| edge.via == via::MODEL) {
            return refused("model", &format!("model {} by way of {}", edge.to_object, one.by));
        }
    }
    Ok(())
}

/// Every use of a column of a dataset.
fn uses(project: &Project, views: &[FeatureView], edges: &[LineageEdge], dataset: &str, column: &str) -> Vec<Use> {
    let mut uses = Vec::new();
    for view in views.iter().filter(|view| view.from == dataset) {
        of_view(view, column, &mut uses);
    }
    for set in &project.training_sets {
        of_training_set(set, edges, dataset, column, &mut uses);
    }
    uses.extend(edges.iter().filter_map(|edge| of_transform(edge, dataset, column)));
    uses
}

/// What a transform takes over as it is is copied; anything else that it makes is computed.
fn of_transform(edge: &LineageEdge, dataset: &str, column: &str) -> Option<Use> {
    let what = match edge.via.as_str() {
        via::COPY => "copy",
        via::TRANSFORM => "expression",
        _ => return None,
    };
    let made = (edge.to_object.clone(), edge.to_column.clone());
    let by = format!("the transform that makes {}.{}", edge.to_object, edge.to_column);
    (edge.from_object == dataset && edge.from_column == column).then_some(Use { what, by, made: Some(made) })
}

fn of_view(view: &FeatureView, column: &str, uses: &mut Vec<Use>) {
    let id = view.id().to_string();
    if view.entity.iter().any(|key| key == column) {
        uses.push(Use { what: "key", by: format!("feature view {id}"), made: None });
    }
    for feature in view.features.iter().filter(|feature| view.reads(feature).contains(&column)) {
        let copied = feature.aggregation.columns();
        let is_copied = copied.contains(&column);
        let is_of_copied = copied.iter().any(|name| {
            view.expression(name).is_some_and(|expression| expression.columns.iter().any(|read| read == column))
        });
        let what = match &feature.aggregation {
            Aggregation::Latest { .. }
            | Aggregation::First { .. }
            | Aggregation::Last { .. }
            | Aggregation::MostFrequent { .. }
            | Aggregation::Min { .. }
            | Aggregation::Max { .. } => match (is_copied, is_of_copied) {
                (true, _) => "copy",
                (false, true) => "expression",
                (false, false) => "aggregate",
            },
            Aggregation::Count { .. }
            | Aggregation::Sum { .. }
            | Aggregation::Mean { .. }
            | Aggregation::Variance { .. }
            | Aggregation::StdDev { .. }
            | Aggregation::Rate { .. }
            | Aggregation::Ratio { .. }
            | Aggregation::Distinct { .. }
            | Aggregation::Quantile { .. }
            | Aggregation::TimeSince
            | Aggregation::TimeSinceFirst => "aggregate",
        };
        let by = format!("feature {id}.{}", feature.name);
        uses.push(Use { what, by, made: Some((id.clone(), feature.name.clone())) });
    }
}

fn of_training_set(set: &TrainingSet, edges: &[LineageEdge], dataset: &str, column: &str, uses: &mut Vec<Use>) {
    let by = |part: &str| format!("training set {} in its {part}", set.name);
    // A context column of the name that a service asks for takes the place of the row's own.
    let is_hidden = set.service.is_some() && set.context.iter().any(|(name, _)| name == column);
    let is_row_key =
        !is_hidden && set.features.iter().any(|reference| reference.entity.iter().any(|key| key == column));
    if set.rows.from == dataset && is_row_key {
        uses.push(Use { what: "key", by: by("features"), made: None });
    }
    if let Some(label) = set.label.as_ref().filter(|label| label.from == dataset) {
        if label.join.iter().any(|key| key == column) {
            uses.push(Use { what: "key", by: by("label"), made: None });
        }
        if matches!(&label.value, LabelValue::Column(value) if value == column) {
            uses.push(Use { what: "label", by: by("label"), made: Some((set.name.clone(), "label".to_owned())) });
        }
    }
    let of_context = |edge: &&LineageEdge| {
        edge.via == via::CONTEXT
            && edge.to_object == set.name
            && edge.from_object == dataset
            && edge.from_column == column
    };
    for edge in edges.iter().filter(of_context) {
        let sql = set.context.iter().find(|(name, _)| *name == edge.to_column).map(|(_, sql)| sql.trim());
        let what = if sql == Some(column) { "copy" } else { "expression" };
        let made = Some((set.name.clone(), edge.to_column.clone()));
        uses.push(Use { what, by: by(&format!("context {}", edge.to_column)), made });
    }
}
