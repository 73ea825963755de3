//! What features read: columns of the dataset, or expressions over them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use seawall_base::Dataset;
use seawall_base::declare::{Expression, FeatureView};
use seawall_kernel::feature::ViewPlan;

use super::super::contract::DatasetEntry;
use super::super::source::Place;
use super::super::sql::expression;
use super::super::yaml::Node;
use super::Resolver;

/// Keys of a feature, or of a side of a ratio, under which no input stands.
const NO_INPUT: [&str; 6] = ["window", "ttl", "q", "edge", "per", "exact"];

impl<'a> Resolver<'a> {
    /// Checks what a feature reads, and gives the expressions among it.
    pub(super) fn feature_inputs(&mut self, feature: &Node, entry: &'a DatasetEntry) -> Vec<Expression> {
        let mut computed = Vec::new();
        for input in feature.entries().iter().filter(|input| !NO_INPUT.contains(&input.key.as_str())) {
            if input.node.entries().is_empty() {
                add_new(&mut computed, self.input(&input.node, &input.key, entry));
            } else {
                add_new(&mut computed, self.feature_inputs(&input.node, entry));
            }
        }
        if feature.get("window").and_then(Node::text) == Some("lifetime")
            && let Some(edge) = feature.entry("edge")
        {
            self.report
                .error("SW0125", "a window over every row so far has no edge", edge.key_place)
                .help("remove `edge`, or give the window a length");
        }
        computed
    }

    /// A column, or an expression.
    fn input(&mut self, node: &Node, key: &str, entry: &'a DatasetEntry) -> Option<Expression> {
        let dataset = entry.dataset.as_ref()?;
        let sql = node.text()?.trim();
        let is_rows = sql == "*" && key != "where";
        if is_rows || self.report.has_error_at(node.place) || dataset.schema.field_with_name(sql).is_ok() {
            return None;
        }
        let is_word = sql.chars().all(|c| c.is_alphanumeric() || c == '_') && !sql.starts_with(char::is_numeric);
        if is_word {
            self.column(node, entry);
            return None;
        }
        let columns = match expression::columns(sql) {
            Ok(columns) => columns,
            Err(refused) => {
                self.report.error("SW0185", refused.message, node.place).help(refused.help);
                return None;
            }
        };
        if columns.is_empty() {
            self.report
                .error("SW0185", "this expression reads no column, so it is the same for every row", node.place)
                .help("name a column; `\"*\"` stands for rows");
            return None;
        }
        let mut is_known = true;
        for column in &columns {
            is_known &= self.named_column(column, node.place, entry).is_some();
        }
        is_known.then(|| Expression { sql: sql.to_owned(), columns })
    }

    /// Has the kernel compile one feature alone, so that what it says is about this feature.
    pub(super) fn compile_feature(&mut self, view: &FeatureView, name: &str, place: Place, entry: &DatasetEntry) {
        let Some(dataset) = &entry.dataset else { return };
        let features = view.features.iter().filter(|feature| feature.name == name).cloned().collect();
        let alone = FeatureView { features, ..view.clone() };
        if let Err(error) = ViewPlan::compile(&alone, &assumed(dataset, &alone)) {
            self.report.adopt_error(&error, place);
        }
    }
}

/// The dataset with the columns that a view computes, each of the type that lets it pass: the engine knows the type of an
/// expression, when the revision is planned.
fn assumed(dataset: &Dataset, view: &FeatureView) -> Dataset {
    let mut filters: Vec<&str> = view.features.iter().filter_map(|feature| feature.filter.as_deref()).collect();
    for feature in &view.features {
        let inputs = feature.inputs();
        let values = feature.aggregation.columns();
        filters.extend(inputs.into_iter().filter(|input| !values.contains(input)));
    }
    let mut fields: Vec<Arc<Field>> = dataset.schema.fields().iter().cloned().collect();
    for expression in &view.computed {
        let is_filter = filters.contains(&expression.sql.as_str());
        let data_type = if is_filter { DataType::Boolean } else { DataType::Float64 };
        fields.push(Arc::new(Field::new(&expression.sql, data_type, true)));
    }
    Dataset { schema: Arc::new(Schema::new(fields)), ..dataset.clone() }
}

/// Adds the expressions that are not there yet.
pub(super) fn add_new(known: &mut Vec<Expression>, more: impl IntoIterator<Item = Expression>) {
    for expression in more {
        if !known.iter().any(|one| one.sql == expression.sql) {
            known.push(expression);
        }
    }
}
