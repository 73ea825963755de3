//! The built-in trainer: gradient boosting of trees with `forust-ml` (`docs/adr/0004-boosting.md` says why that one).
//!
//! The library only grows trees; they are taken over node by node into a [`Forest`], which is what is kept and scored.
//! It runs on one thread and draws nothing, so equal rows give equal trees. It is third-party code that may panic on
//! rows it did not expect; a panic is an error here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use forust_ml::gradientbooster::GrowPolicy;
use forust_ml::tree::Tree;
use forust_ml::{GradientBooster, Matrix as Columns};
use seawall_base::declare::Boosting;
use seawall_base::{Error, Result};
use serde_json::{Value, json};

use crate::encode::{Input, Matrix};
use crate::forest::{Forest, Node};

#[cfg(test)]
mod tests;

/// Bounds of the settings.
const TREES_MAX: u32 = 5_000;
const LEAVES_MAX: u32 = 1_024;

/// What training gives.
pub struct Trained {
    /// The trees.
    pub forest: Forest,
    /// Settings and the importance of inputs, as JSON.
    pub report: Value,
}

/// Grows trees on `matrix`.
///
/// # Errors
/// `SW1007` for settings out of bounds, `SW1004` when the rows teach nothing, `SW1006` when the library fails.
pub fn train(settings: &Boosting, inputs: &[Input], matrix: &Matrix, positive: &[bool]) -> Result<Trained> {
    check(settings)?;
    // A column without any value has no place for a split, and the library cannot bin it.
    let used: Vec<usize> =
        (0..matrix.columns.len()).filter(|at| matrix.columns[*at].iter().any(|value| !value.is_nan())).collect();
    if used.is_empty() {
        return Err(Error::invalid("SW1004", "every input of every training row is missing")
            .hint("check that the feature views have rows before the decisions"));
    }
    let trees = catch_unwind(AssertUnwindSafe(|| grow(settings, matrix, &used, positive)))
        .map_err(|_| failed("it panicked"))?
        .map_err(failed)?;
    let mut forest = Forest {
        base: trees.base_score,
        inputs: u32::try_from(matrix.columns.len()).expect("the number of inputs is limited"),
        trees: trees.trees.iter().map(|tree| adopt(tree, &used)).collect::<Result<_>>()?,
    };
    forest.learn_means(matrix);
    let mut report = report(settings, inputs, &used, &trees);
    report["mean_raw"] = json!(forest.bias());
    Ok(Trained { forest, report })
}

fn check(settings: &Boosting) -> Result<()> {
    let wrong = |what: &str| Err(Error::invalid("SW1007", format!("the trainer's setting {what}")));
    if settings.trees == 0 || settings.trees > TREES_MAX {
        return wrong(&format!("trees is {}, and may be 1 to {TREES_MAX}", settings.trees));
    }
    if settings.leaves < 2 || settings.leaves > LEAVES_MAX {
        return wrong(&format!("leaves is {}, and may be 2 to {LEAVES_MAX}", settings.leaves));
    }
    if !(settings.learning_rate > 0.0 && settings.learning_rate <= 1.0) {
        return wrong(&format!("learning_rate is {}, and must be above 0 and at most 1", settings.learning_rate));
    }
    if !(settings.leaf_weight_min >= 0.0 && settings.leaf_weight_min.is_finite()) {
        return wrong(&format!("leaf_weight_min is {}, and must be a number from 0", settings.leaf_weight_min));
    }
    Ok(())
}

fn grow(settings: &Boosting, matrix: &Matrix, used: &[usize], positive: &[bool]) -> Result<GradientBooster, String> {
    let mut booster = GradientBooster::default();
    booster.iterations = settings.trees as usize;
    booster.learning_rate = settings.learning_rate as f32;
    booster.max_leaves = settings.leaves as usize;
    booster.max_depth = usize::MAX;
    booster.min_leaf_weight = settings.leaf_weight_min as f32;
    booster.seed = settings.seed;
    booster.grow_policy = GrowPolicy::LossGuide;
    // Begin at the log-odds of the positive class: no class weights, so that scores stay probabilities.
    booster.initialize_base_score = true;
    booster.parallel = false;
    let flat: Vec<f64> = used.iter().flat_map(|at| matrix.columns[*at].iter().copied()).collect();
    let columns = Columns::new(&flat, matrix.rows, used.len());
    let label: Vec<f64> = positive.iter().map(|positive| f64::from(u8::from(*positive))).collect();
    let weights = vec![1.0; matrix.rows];
    booster.fit(&columns, &label, &weights, None).map_err(|e| e.to_string())?;
    Ok(booster)
}

/// Takes a tree of the library over. Its children stand behind their parents already.
fn adopt(tree: &Tree, used: &[usize]) -> Result<Vec<Node>> {
    let number = |at: usize| u32::try_from(at).map_err(|_| failed("a tree has too many nodes"));
    let mut nodes = Vec::with_capacity(tree.nodes.len());
    for (at, node) in tree.nodes.iter().enumerate() {
        if node.is_leaf {
            nodes.push(Node::leaf(f64::from(node.weight_value)));
            continue;
        }
        let orderly = node.left_child > at && node.right_child > at && !node.has_missing_branch();
        let input = used.get(node.split_feature).filter(|_| orderly && node.split_value.is_finite());
        let Some(input) = input else { return Err(failed("it made a tree that cannot be followed")) };
        nodes.push(Node {
            input: number(*input)?,
            left: number(node.left_child)?,
            right: number(node.right_child)?,
            missing: number(node.missing_node)?,
            threshold: node.split_value,
            mean: 0.0,
        });
    }
    let whole = nodes.iter().all(|node| (node.left.max(node.right) as usize) < nodes.len() && node.mean.is_finite());
    if nodes.is_empty() || !whole {
        return Err(failed("it made a tree that is not whole"));
    }
    Ok(nodes)
}

fn report(settings: &Boosting, inputs: &[Input], used: &[usize], booster: &GradientBooster) -> Value {
    let mut gains = vec![0.0; inputs.len()];
    for node in booster.trees.iter().flat_map(|tree| &tree.nodes).filter(|node| !node.is_leaf) {
        if let Some(at) = used.get(node.split_feature) {
            gains[*at] += f64::from(node.split_gain);
        }
    }
    let total: f64 = gains.iter().sum();
    let mut importance: Vec<(&str, f64)> = inputs.iter().map(|input| input.name.as_str()).zip(gains).collect();
    importance.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let share = |gain: f64| if total > 0.0 { gain / total } else { 0.0 };
    let importance: Vec<Value> =
        importance.iter().map(|(input, gain)| json!({"input": input, "share": share(*gain)})).collect();
    json!({"trainer": "boosting", "settings": settings, "importance": importance})
}

fn failed(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::invalid("SW1006", "gradient boosting failed on these rows")
        .because(why)
        .hint("check the training set for columns without sense; report it when they look right")
}
