//! Declarations whose shape was found right, as typed values.
//!
//! Every reader answers `None` where the node is not what the tables of shapes promise; as they are called for checked
//! nodes only, that is a mistake of ours, which the caller reports as such instead of trusting it never happens.

use std::str::FromStr;

use seawall_base::declare::{
    Aggregation, Available, Connector, Feature, FeatureView, FileFormat, Files, Known, Label, LabelValue, Measure,
    OwnRow, Part, ReferenceFile, Simulator, Source, Spine, TableSettings, TrainingSet, WindowEdge,
};
use seawall_base::{Span, VersionedName};

use super::shape::LIFETIME;
use super::yaml::{Node, ScalarKind};

pub(crate) mod model;
pub(crate) mod service;
pub(crate) mod watch;

/// Stands for rows where a column may stand.
const ROWS: &str = "*";
/// Seed of the simulator when none is given.
const SEED: u64 = 7;
/// Length of the simulated period when none is given.
const LENGTH: Span = Span(90 * Span::DAY.0);
/// Mean payments per day when none are given.
const PAYMENTS_PER_DAY: u32 = 2_000;

/// `log_retention` of `kind: project`.
pub(crate) fn log_retention(node: &Node) -> Option<Span> {
    span(node.get("log_retention")?)
}

/// `tables` of `kind: project`.
pub(crate) fn table_settings(node: &Node) -> Option<TableSettings> {
    let default = TableSettings::default();
    Some(TableSettings {
        file_bytes: given(node.get("file_size"), |size| super::words::bytes(size.text()?))?
            .unwrap_or(default.file_bytes),
        similar_files: match given(node.get("similar_files"), whole)? {
            Some(files) => usize::try_from(files).ok()?,
            None => default.similar_files,
        },
        keep_versions: given(node.get("keep_versions"), span)?.unwrap_or(default.keep_versions),
    })
}

/// `kind: source`. The dataset stays empty when it is not given; the map stays as written.
pub(crate) fn source(node: &Node) -> Option<Source> {
    let references = match node.get("references") {
        None => Vec::new(),
        Some(references) => references.entries().iter().map(|e| reference(&e.key, &e.node)).collect::<Option<_>>()?,
    };
    let available_at = match given(node.get("available_at"), text)? {
        None => Available::Arrival,
        Some(word) if word == "arrival" => Available::Arrival,
        Some(expression) => Available::At(expression),
    };
    Some(Source {
        name: text(node.get("name")?)?,
        connector: connector(node)?,
        contract: text(node.get("contract")?)?,
        dataset: given(node.get("dataset"), text)?.unwrap_or_default(),
        map: given(node.get("map"), text)?,
        references,
        available_at,
        history: given(node.get("history"), boolean)?.unwrap_or(false),
    })
}

fn connector(node: &Node) -> Option<Connector> {
    if node.get("http").is_some() {
        return Some(Connector::Http);
    }
    if let Some(node) = node.get("files") {
        return files(node).map(Connector::Files);
    }
    let node = node.get("simulator")?;
    Some(Connector::Simulator(Simulator {
        stream: text(node.get("stream")?)?,
        seed: given(node.get("seed"), whole)?.unwrap_or(SEED),
        length: given(node.get("length"), span)?.unwrap_or(LENGTH),
        payments_per_day: match node.get("payments_per_day") {
            None => PAYMENTS_PER_DAY,
            Some(node) => u32::try_from(whole(node)?).ok()?,
        },
        faults: given(node.get("faults"), texts)?.unwrap_or_default(),
    }))
}

fn files(node: &Node) -> Option<Files> {
    let format = match node.get("format")?.text()? {
        "csv" => FileFormat::Csv,
        "ndjson" => FileFormat::Ndjson,
        "parquet" => FileFormat::Parquet,
        _ => return None,
    };
    let null_values = match node.get("null_values") {
        None => Vec::new(),
        Some(list) => list.items().iter().map(literal).collect::<Option<_>>()?,
    };
    Some(Files { path: text(node.get("path")?)?, format, null_values })
}

fn reference(name: &str, node: &Node) -> Option<ReferenceFile> {
    Some(ReferenceFile { name: name.to_owned(), files: files(node)? })
}

/// `kind: feature_view`, with version 1. Which of the names are expressions is known when the dataset is.
pub(crate) fn feature_view(node: &Node) -> Option<FeatureView> {
    let features = node.get("features")?.entries();
    Some(FeatureView {
        name: text(node.get("name")?)?,
        version: 1,
        entity: texts(node.get("entity")?)?,
        from: text(node.get("from")?)?,
        time: text(node.get("time")?)?,
        features: features.iter().map(|entry| feature(&entry.key, &entry.node)).collect::<Option<_>>()?,
        computed: Vec::new(),
    })
}

fn feature(name: &str, node: &Node) -> Option<Feature> {
    let aggregation = aggregation(node)?;
    let window = node.get("window");
    let is_lifetime = window.and_then(Node::text) == Some(LIFETIME);
    let (reach, default_edge) = match aggregation.is_of_one_row() {
        true => (node.get("ttl"), WindowEdge::Exact),
        false if is_lifetime => (None, WindowEdge::Lifetime),
        false => (window, WindowEdge::Sawtooth),
    };
    let edge = match node.get("edge").map(|edge| edge.text()) {
        None => default_edge,
        Some(Some("sawtooth")) => WindowEdge::Sawtooth,
        Some(Some("exact")) => WindowEdge::Exact,
        Some(_) => return None,
    };
    let filter = given(node.get("where"), expression)?;
    Some(Feature { name: name.to_owned(), aggregation, window: given(reach, span)?, edge, filter })
}

fn aggregation(node: &Node) -> Option<Aggregation> {
    const TAGS: [&str; 17] = [
        "count",
        "sum",
        "mean",
        "min",
        "max",
        "variance",
        "stddev",
        "rate",
        "ratio",
        "first",
        "last",
        "distinct",
        "most_frequent",
        "quantile",
        "latest",
        "time_since",
        "time_since_first",
    ];
    let entry = TAGS.iter().find_map(|tag| node.entry(tag))?;
    if entry.key == "ratio" {
        return Some(Aggregation::Ratio { of: side(&entry.node)?, to: side(node.get("to")?)? });
    }
    let column = expression(&entry.node)?;
    Some(match entry.key.as_str() {
        "count" => Aggregation::Count { column: (column != ROWS).then_some(column) },
        "sum" => Aggregation::Sum { column },
        "mean" => Aggregation::Mean { column },
        "min" => Aggregation::Min { column },
        "max" => Aggregation::Max { column },
        "variance" => Aggregation::Variance { column },
        "stddev" => Aggregation::StdDev { column },
        "rate" => {
            let per = span(node.get("per")?)?;
            Aggregation::Rate { column: (column != ROWS).then_some(column), per }
        }
        "first" => Aggregation::First { column },
        "last" => Aggregation::Last { column },
        "distinct" => Aggregation::Distinct { column, exact: given(node.get("exact"), boolean)?.unwrap_or(false) },
        "most_frequent" => Aggregation::MostFrequent { column },
        "quantile" => Aggregation::Quantile { column, q: number(node.get("q")?)? },
        "latest" => Aggregation::Latest { column },
        "time_since" => Aggregation::TimeSince,
        "time_since_first" => Aggregation::TimeSinceFirst,
        _ => return None,
    })
}

/// One side of a ratio.
fn side(node: &Node) -> Option<Part> {
    let measure = match (node.get("count"), node.get("sum")) {
        (Some(column), _) => {
            let column = expression(column)?;
            Measure::Count { column: (column != ROWS).then_some(column) }
        }
        (None, Some(column)) => Measure::Sum { column: expression(column)? },
        (None, None) => return None,
    };
    Some(Part { measure, filter: given(node.get("where"), expression)? })
}

/// A column or an expression: blanks around it and a last line break mean nothing.
fn expression(node: &Node) -> Option<String> {
    node.text().map(|text| text.trim().to_owned())
}

/// `kind: training_set`. Its features are known when the views are, and what is derived with them.
pub(crate) fn training_set(node: &Node) -> Option<TrainingSet> {
    let rows = node.get("rows")?;
    let context = match node.get("context") {
        None => Vec::new(),
        Some(context) => {
            context.entries().iter().map(|e| Some((e.key.clone(), text(&e.node)?))).collect::<Option<_>>()?
        }
    };
    Some(TrainingSet {
        name: text(node.get("name")?)?,
        rows: Spine { from: text(rows.get("from")?)?, at: text(rows.get("at")?)?, own_row: OwnRow::Exclude },
        label: given(node.get("label"), label)?,
        service: given(node.get("service"), |id| VersionedName::from_str(id.text()?).ok())?,
        features: Vec::new(),
        context,
        request: Vec::new(),
        derived: Vec::new(),
        visibility_lag: given(node.get("visibility_lag"), span)?.unwrap_or(Span::ZERO),
        known: given(node.get("known"), known)?.unwrap_or_default(),
        contract: node.get("contract").map(Node::to_json),
    })
}

fn known(node: &Node) -> Option<Known> {
    Some(match node.text()? {
        "in_time" => Known::InTime,
        "ignore" => Known::Ignore,
        _ => return None,
    })
}

fn label(node: &Node) -> Option<Label> {
    let value = match node.get("column") {
        Some(column) => LabelValue::Column(text(column)?),
        None => LabelValue::Present { final_after: span(node.get("final_after")?)? },
    };
    Some(Label { from: text(node.get("from")?)?, join: texts(node.get("join")?)?, value })
}

/// The node that names the view in a reference to it, plain or mapped.
pub(crate) fn view_of(node: &Node) -> Option<&Node> {
    if node.entries().is_empty() { Some(node) } else { node.get("view") }
}

/// Reads a value that may be left out: the outer `None` means that it is there and wrong.
fn given<T>(node: Option<&Node>, read: impl Fn(&Node) -> Option<T>) -> Option<Option<T>> {
    match node {
        None => Some(None),
        Some(node) => read(node).map(Some),
    }
}

fn text(node: &Node) -> Option<String> {
    node.text().map(str::to_owned)
}

fn texts(node: &Node) -> Option<Vec<String>> {
    node.one_or_many().iter().map(text).collect()
}

/// A scalar of any type, as written.
pub(crate) fn literal(node: &Node) -> Option<String> {
    node.scalar().map(|scalar| scalar.text.clone())
}

fn span(node: &Node) -> Option<Span> {
    Span::from_str(&node.scalar()?.text).ok()
}

fn boolean(node: &Node) -> Option<bool> {
    match node.scalar()?.kind {
        ScalarKind::Bool(value) => Some(value),
        _ => None,
    }
}

fn whole(node: &Node) -> Option<u64> {
    match node.scalar()?.kind {
        ScalarKind::Integer(value) => u64::try_from(value).ok(),
        _ => None,
    }
}

/// A number of either kind.
fn number(node: &Node) -> Option<f64> {
    match node.scalar()?.kind {
        ScalarKind::Integer(value) => Some(value as f64),
        ScalarKind::Float(value) => Some(value),
        _ => None,
    }
}
