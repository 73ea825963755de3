//! `kind: model` as a typed value, with its defaults. Columns stay as they are written until the training set is known.

use seawall_base::Span;
use seawall_base::declare::{
    Boosting, Bounds, Calibration, CommandTrainer, MetricName, MissingAction, Model, OnMissing, ReadyWhen, Retrain,
    Trainer, Triggers,
};

use super::super::words::bytes;
use super::super::yaml::{Entry, Node};
use super::{given, number, span, text, texts, whole};

const HOLDOUT: Span = Span(14 * Span::DAY.0);
const ROWS_MIN: u64 = 500;
const TIMEOUT: Span = Span(10 * Span::MINUTE.0);
const MEMORY_BYTES_MAX: u64 = 2 << 30;
const MIN_INTERVAL: Span = Span(7 * Span::DAY.0);
const EVALUATE: Span = Span(14 * Span::DAY.0);
const PROBATION: Span = Span(7 * Span::DAY.0);
const SLICE_MARGIN: f64 = 0.05;

/// `kind: model`.
pub(crate) fn model(node: &Node) -> Option<Model> {
    Some(Model {
        name: text(node.get("name")?)?,
        training_set: text(node.get("training_set")?)?,
        owner: given(node.get("owner"), text)?,
        positive: given(node.get("positive"), text)?,
        inputs: given(node.get("inputs"), texts)?.unwrap_or_default(),
        trainer: given(node.get("trainer"), trainer)?.unwrap_or_else(|| Trainer::Boosting(Boosting::default())),
        calibration: given(node.get("calibration"), calibration)?.unwrap_or(Calibration::Platt),
        holdout: given(node.get("holdout"), span)?.unwrap_or(HOLDOUT),
        rows_min: given(node.get("rows_min"), whole)?.unwrap_or(ROWS_MIN),
        on_missing: on_missing(node.get("on_missing"))?,
        ready_when: given(node.get("ready_when"), ready_when)?.unwrap_or_default(),
        retrain: given(node.get("retrain"), retrain)?,
    })
}

fn trainer(node: &Node) -> Option<Trainer> {
    if let Some(settings) = node.get("boosting") {
        return boosting(settings).map(Trainer::Boosting);
    }
    Some(Trainer::Command(CommandTrainer {
        command: texts(node.get("command")?)?,
        timeout: given(node.get("timeout"), span)?.unwrap_or(TIMEOUT),
        memory_bytes_max: given(node.get("memory"), |node| bytes(node.text()?))?.unwrap_or(MEMORY_BYTES_MAX),
    }))
}

fn boosting(node: &Node) -> Option<Boosting> {
    let default = Boosting::default();
    let count = |key: &str, default: u32| match node.get(key) {
        None => Some(default),
        Some(node) => u32::try_from(whole(node)?).ok(),
    };
    Some(Boosting {
        trees: count("trees", default.trees)?,
        learning_rate: given(node.get("learning_rate"), number)?.unwrap_or(default.learning_rate),
        leaves: count("leaves", default.leaves)?,
        leaf_weight_min: given(node.get("leaf_weight_min"), number)?.unwrap_or(default.leaf_weight_min),
        seed: given(node.get("seed"), whole)?.unwrap_or(default.seed),
    })
}

fn calibration(node: &Node) -> Option<Calibration> {
    Some(match node.text()? {
        "none" => Calibration::None,
        "platt" => Calibration::Platt,
        "isotonic" => Calibration::Isotonic,
        _ => return None,
    })
}

/// What missing values do; the columns in alphabetical order, so that the order of keys means nothing.
fn on_missing(node: Option<&Node>) -> Option<OnMissing> {
    let mut found = OnMissing { default: MissingAction::Degrade, columns: Vec::new() };
    for entry in node.map(Node::entries).unwrap_or_default() {
        let action = missing_action(&entry.node)?;
        if entry.key == "default" {
            found.default = action;
        } else {
            found.columns.push((entry.key.clone(), action));
        }
    }
    found.columns.sort_by(|a, b| a.0.cmp(&b.0));
    Some(found)
}

/// One entry of `on_missing`.
pub(crate) fn missing_action(node: &Node) -> Option<MissingAction> {
    Some(match node.text()? {
        "halt" => MissingAction::Halt,
        "degrade" => MissingAction::Degrade,
        "accept" => MissingAction::Accept,
        _ => return None,
    })
}

fn ready_when(node: &Node) -> Option<ReadyWhen> {
    let mut found = ReadyWhen { by: given(node.get("by"), texts)?.unwrap_or_default(), ..ReadyWhen::default() };
    for (name, entry) in metrics(node) {
        found.bounds.push((name, bounds(&entry.node)?));
    }
    found.bounds.sort_by_key(|(name, _)| *name);
    Some(found)
}

/// The metrics that a `ready_when` section bounds.
pub(crate) fn metrics(ready_when: &Node) -> impl Iterator<Item = (MetricName, &Entry)> {
    ready_when.entries().iter().filter_map(|entry| Some((metric(&entry.key)?, entry)))
}

fn metric(key: &str) -> Option<MetricName> {
    Some(match key {
        "auc" => MetricName::Auc,
        "log_loss" => MetricName::LogLoss,
        "brier" => MetricName::Brier,
        "calibration_error" => MetricName::CalibrationError,
        _ => return None,
    })
}

/// The bounds of one metric.
pub(crate) fn bounds(node: &Node) -> Option<Bounds> {
    Some(Bounds { min: given(node.get("min"), number)?, max: given(node.get("max"), number)? })
}

fn retrain(node: &Node) -> Option<Retrain> {
    Some(Retrain {
        min_interval: given(node.get("min_interval"), span)?.unwrap_or(MIN_INTERVAL),
        max_interval: given(node.get("max_interval"), span)?,
        triggers: given(node.get("triggers"), triggers)?.unwrap_or_default(),
        evaluate: given(node.get("evaluate"), span)?.unwrap_or(EVALUATE),
        probation: given(node.get("probation"), span)?.unwrap_or(PROBATION),
        approve: given(node.get("approve"), texts)?.unwrap_or_default(),
        slice_margin: given(node.get("slice_margin"), number)?.unwrap_or(SLICE_MARGIN),
    })
}

fn triggers(node: &Node) -> Option<Triggers> {
    Some(Triggers { psi: given(node.get("psi"), number)?, auc_drop: given(node.get("auc_drop"), number)? })
}
