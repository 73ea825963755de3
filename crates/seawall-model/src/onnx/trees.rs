//! Tree ensembles of `ai.onnx.ml`, evaluated by us.
//!
//! tract's own evaluation reads nodes without checking where they lead, refuses a single base value for two classes
//! (what scikit-learn's boosting exports), and has no regressor. Here the nodes are checked when the model is loaded:
//! every tree ends in a leaf for every row, and asks only for inputs that there are. Leaf weights are summed in f64 and
//! rounded once.

use std::collections::HashMap;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{TractResult, anyhow, bail, ensure};

/// An ensemble that can be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble {
    nodes: Vec<Node>,
    roots: Vec<usize>,
    leaves: Vec<(usize, f32)>,
    base: Vec<f64>,
    aggregate: Aggregate,
    transform: Transform,
    layout: Layout,
    /// Inputs that the trees ask for: one more than the last.
    pub inputs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Node {
    Branch { test: Test, input: usize, value: f32, yes: usize, no: usize, missing_yes: bool },
    Leaf { from: usize, to: usize },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Test {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Transform {
    None,
    Logistic,
    Softmax,
}

/// What the sums are of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    /// One sum per output.
    Each(usize),
    /// Two classes and one sum: the score of the second. Whether it is a share, so that the first gets the rest.
    Second { share: bool },
}

impl Ensemble {
    /// Reads a `TreeEnsembleClassifier` or `TreeEnsembleRegressor`.
    pub fn parse(node: &NodeProto) -> TractResult<Ensemble> {
        let classifier = node.op_type == "TreeEnsembleClassifier";
        for name in ["nodes_values_as_tensor", "class_weights_as_tensor", "target_weights_as_tensor"] {
            ensure!(!node.attribute.iter().any(|a| a.name == name), "trees with double thresholds are not supported");
        }
        let (nodes, roots, leaves, outputs) = Parser::new(node, classifier)?.read()?;
        let base: Vec<f32> = node.get_attr_opt_vec("base_values")?.unwrap_or_default();
        let transform = match node.get_attr_opt::<&str>("post_transform")?.unwrap_or("NONE") {
            "NONE" => Transform::None,
            "LOGISTIC" => Transform::Logistic,
            "SOFTMAX" => Transform::Softmax,
            other => bail!("post_transform {other} is not supported"),
        };
        let aggregate = match node.get_attr_opt::<&str>("aggregate_function")?.unwrap_or("SUM") {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            other => bail!("aggregate_function {other} is not supported"),
        };
        let one_id = leaves.windows(2).all(|pair| pair[0].0 == pair[1].0);
        let layout = if classifier && outputs == 2 && one_id {
            Layout::Second { share: leaves.iter().all(|(_, weight)| *weight >= 0.0) }
        } else {
            Layout::Each(outputs)
        };
        let fits = match layout {
            Layout::Each(outputs) => base.is_empty() || base.len() == outputs,
            Layout::Second { .. } => base.len() <= 2,
        };
        ensure!(fits, "{} base values for {outputs} outputs", base.len());
        ensure!(layout == Layout::Each(outputs) || transform != Transform::Softmax, "SOFTMAX of one score");
        let asked = |node: &Node| if let Node::Branch { input, .. } = node { input + 1 } else { 0 };
        let inputs = nodes.iter().map(asked).max().unwrap_or(0);
        let base = base.into_iter().map(f64::from).collect();
        Ok(Ensemble { nodes, roots, leaves, base, aggregate, transform, layout, inputs })
    }

    /// Numbers of one row of output.
    pub fn outputs(&self) -> usize {
        match self.layout {
            Layout::Each(outputs) => outputs,
            Layout::Second { .. } => 2,
        }
    }

    /// Evaluates one row, which has at least `inputs` numbers.
    pub fn evaluate(&self, row: &[f32]) -> Vec<f32> {
        let mut scores = match self.layout {
            Layout::Each(outputs) => vec![Total::default(); outputs],
            Layout::Second { .. } => vec![Total::default(); 1],
        };
        for root in &self.roots {
            for (output, weight) in &self.leaves[self.leaf(*root, row)] {
                let at = if scores.len() == 1 { 0 } else { *output };
                scores[at].add(f64::from(*weight), self.aggregate);
            }
        }
        let trees = self.roots.len() as f64;
        let totals = scores.iter().map(|score| score.result(self.aggregate, trees));
        match self.layout {
            Layout::Each(_) => {
                let based = totals.enumerate().map(|(at, total)| total + self.base.get(at).copied().unwrap_or(0.0));
                transformed(based.collect(), self.transform)
            }
            Layout::Second { share } => {
                let score = totals.sum::<f64>() + self.base.last().copied().unwrap_or(0.0);
                two_classes(score, share, self.transform)
            }
        }
    }

    fn leaf(&self, root: usize, row: &[f32]) -> std::ops::Range<usize> {
        let mut at = root;
        loop {
            match self.nodes[at] {
                Node::Leaf { from, to } => return from..to,
                Node::Branch { test, input, value, yes, no, missing_yes } => {
                    let found = row[input];
                    at = if test.holds(found, value) || (missing_yes && found.is_nan()) { yes } else { no };
                }
            }
        }
    }
}

impl Test {
    fn holds(self, found: f32, value: f32) -> bool {
        match self {
            Test::AtMost => found <= value,
            Test::Below => found < value,
            Test::AtLeast => found >= value,
            Test::Above => found > value,
            Test::Equal => found == value,
            Test::Unequal => found != value,
        }
    }
}

/// What the trees give to one output.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    value: f64,
    seen: bool,
}

impl Total {
    fn add(&mut self, weight: f64, aggregate: Aggregate) {
        self.value = match aggregate {
            Aggregate::Sum | Aggregate::Average => self.value + weight,
            Aggregate::Min if self.seen => self.value.min(weight),
            Aggregate::Max if self.seen => self.value.max(weight),
            Aggregate::Min | Aggregate::Max => weight,
        };
        self.seen = true;
    }

    fn result(&self, aggregate: Aggregate, trees: f64) -> f64 {
        if aggregate == Aggregate::Average { self.value / trees } else { self.value }
    }
}

fn logistic(score: f64) -> f64 {
    crate::calibrate::sigmoid(score)
}

fn transformed(scores: Vec<f64>, transform: Transform) -> Vec<f32> {
    match transform {
        Transform::None => scores.into_iter().map(|score| score as f32).collect(),
        Transform::Logistic => scores.into_iter().map(|score| logistic(score) as f32).collect(),
        Transform::Softmax => {
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
            let sum: f64 = powers.iter().sum();
            powers.into_iter().map(|power| (power / sum) as f32).collect()
        }
    }
}

fn two_classes(score: f64, share: bool, transform: Transform) -> Vec<f32> {
    match transform {
        Transform::Logistic => vec![logistic(-score) as f32, logistic(score) as f32],
        Transform::None | Transform::Softmax if share => vec![(1.0 - score) as f32, score as f32],
        Transform::None | Transform::Softmax => vec![(-score) as f32, score as f32],
    }
}

/// The attributes of the operator.
struct Parser<'a> {
    tree_ids: &'a [i64],
    node_ids: &'a [i64],
    inputs: &'a [i64],
    yes_ids: &'a [i64],
    no_ids: &'a [i64],
    values: Vec<f32>,
    modes: Vec<&'a str>,
    missing: Vec<bool>,
    leaf_trees: &'a [i64],
    leaf_nodes: &'a [i64],
    leaf_outputs: &'a [i64],
    leaf_weights: Vec<f32>,
    outputs: usize,
}

type Read = (Vec<Node>, Vec<usize>, Vec<(usize, f32)>, usize);

impl<'a> Parser<'a> {
    fn new(node: &'a NodeProto, classifier: bool) -> TractResult<Self> {
        let kind = if classifier { "class" } else { "target" };
        let leaf_ids = |what: &str| node.get_attr_slice::<i64>(&format!("{kind}_{what}"));
        let outputs = if classifier {
            let numbers = node.get_attr_opt_slice::<i64>("classlabels_int64s")?.map_or(0, <[i64]>::len);
            let texts: Option<Vec<&str>> = node.get_attr_opt_vec("classlabels_strings")?;
            numbers + texts.map_or(0, |texts| texts.len())
        } else {
            usize::try_from(node.get_attr::<i64>("n_targets")?)?
        };
        let modes: Vec<&str> = node.get_attr_vec("nodes_modes")?;
        let missing: Option<&[i64]> = node.get_attr_opt_slice("nodes_missing_value_tracks_true")?;
        let missing = missing.filter(|flags| !flags.is_empty());
        let parser = Parser {
            tree_ids: node.get_attr_slice("nodes_treeids")?,
            node_ids: node.get_attr_slice("nodes_nodeids")?,
            inputs: node.get_attr_slice("nodes_featureids")?,
            yes_ids: node.get_attr_slice("nodes_truenodeids")?,
            no_ids: node.get_attr_slice("nodes_falsenodeids")?,
            values: node.get_attr_vec("nodes_values")?,
            missing: missing.map_or(vec![false; modes.len()], |flags| flags.iter().map(|flag| *flag != 0).collect()),
            modes,
            leaf_trees: leaf_ids("treeids")?,
            leaf_nodes: leaf_ids("nodeids")?,
            leaf_outputs: leaf_ids("ids")?,
            leaf_weights: node.get_attr_vec(&format!("{kind}_weights"))?,
            outputs,
        };
        let nodes = parser.modes.len();
        let ids = [parser.tree_ids, parser.node_ids, parser.inputs, parser.yes_ids, parser.no_ids];
        let even = ids.iter().all(|list| list.len() == nodes) && parser.values.len() == nodes;
        ensure!(nodes > 0 && even && parser.missing.len() == nodes, "the lists of nodes differ in length");
        let leaves = parser.leaf_weights.len();
        let ids = [parser.leaf_trees, parser.leaf_nodes, parser.leaf_outputs];
        ensure!(ids.iter().all(|list| list.len() == leaves), "the lists of leaf weights differ in length");
        ensure!((1..=1_000).contains(&outputs), "an ensemble of {outputs} outputs");
        Ok(parser)
    }

    fn read(&self) -> TractResult<Read> {
        let mut at_of = HashMap::with_capacity(self.modes.len());
        for at in 0..self.modes.len() {
            let twice = at_of.insert((self.tree_ids[at], self.node_ids[at]), at).is_some();
            ensure!(!twice, "node {} of tree {} is there twice", self.node_ids[at], self.tree_ids[at]);
        }
        let (leaves, ranges) = self.read_leaves(&at_of)?;
        let mut nodes = Vec::with_capacity(self.modes.len());
        let mut is_child = vec![false; self.modes.len()];
        for at in 0..self.modes.len() {
            let Some(test) = test_of(self.modes[at])? else {
                let (from, to) = ranges.get(&at).copied().unwrap_or((0, 0));
                nodes.push(Node::Leaf { from, to });
                continue;
            };
            let child = |id: i64| {
                let found = at_of.get(&(self.tree_ids[at], id)).copied();
                found.ok_or_else(|| anyhow!("tree {} leads to node {id}, which is not there", self.tree_ids[at]))
            };
            let (yes, no) = (child(self.yes_ids[at])?, child(self.no_ids[at])?);
            (is_child[yes], is_child[no]) = (true, true);
            let input = usize::try_from(self.inputs[at])?;
            nodes.push(Node::Branch { test, input, value: self.values[at], yes, no, missing_yes: self.missing[at] });
        }
        let roots = self.roots(&is_child)?;
        self.check_ends(&nodes, &roots)?;
        Ok((nodes, roots, leaves, self.outputs))
    }

    /// Whatever is reached from a root ends. A node may have several parents: tests for one of several categories share
    /// what follows them.
    fn check_ends(&self, nodes: &[Node], roots: &[usize]) -> TractResult<()> {
        const NEW: u8 = 0;
        const ON_THE_WAY: u8 = 1;
        const DONE: u8 = 2;
        let mut seen = vec![NEW; nodes.len()];
        for root in roots {
            let mut path = vec![(*root, false)];
            while let Some((at, is_left)) = path.pop() {
                if is_left {
                    seen[at] = DONE;
                    continue;
                }
                ensure!(seen[at] != ON_THE_WAY, "tree {} runs in circles", self.tree_ids[at]);
                if seen[at] == DONE {
                    continue;
                }
                seen[at] = ON_THE_WAY;
                path.push((at, true));
                if let Node::Branch { yes, no, .. } = &nodes[at] {
                    for child in [*yes, *no] {
                        ensure!(seen[child] != ON_THE_WAY, "tree {} runs in circles", self.tree_ids[at]);
                        path.push((child, false));
                    }
                }
            }
        }
        Ok(())
    }

    /// Weights, those of one leaf together, and the range of each leaf.
    #[allow(clippy::type_complexity, reason = "two tables that are taken apart at once")]
    fn read_leaves(
        &self,
        at_of: &HashMap<(i64, i64), usize>,
    ) -> TractResult<(Vec<(usize, f32)>, HashMap<usize, (usize, usize)>)> {
        let mut listed = Vec::with_capacity(self.leaf_weights.len());
        for (i, weight) in self.leaf_weights.iter().enumerate() {
            let at = at_of.get(&(self.leaf_trees[i], self.leaf_nodes[i]));
            let at = at.ok_or_else(|| anyhow!("a weight belongs to a leaf that is not there"))?;
            let output = usize::try_from(self.leaf_outputs[i])?;
            ensure!(output < self.outputs, "a weight belongs to output {output} of {}", self.outputs);
            listed.push((*at, output, *weight));
        }
        listed.sort_by_key(|(at, _, _)| *at);
        let mut ranges = HashMap::new();
        for (i, (at, _, _)) in listed.iter().enumerate() {
            ranges.entry(*at).or_insert((i, i)).1 = i + 1;
        }
        Ok((listed.into_iter().map(|(_, output, weight)| (output, weight)).collect(), ranges))
    }

    /// The one node of each tree that is nobody's child: the first that is listed.
    fn roots(&self, is_child: &[bool]) -> TractResult<Vec<usize>> {
        let mut trees: Vec<i64> = self.tree_ids.to_vec();
        trees.sort_unstable();
        trees.dedup();
        let mut roots: Vec<(i64, usize)> =
            (0..is_child.len()).filter(|at| !is_child[*at]).map(|at| (self.tree_ids[at], at)).collect();
        roots.sort_unstable();
        let is_first = |at: usize| self.tree_ids.iter().position(|tree| *tree == self.tree_ids[at]) == Some(at);
        let one_each = roots.len() == trees.len()
            && roots.iter().zip(&trees).all(|((tree, at), other)| tree == other && is_first(*at));
        ensure!(one_each, "a tree does not have exactly one root");
        Ok(roots.into_iter().map(|(_, at)| at).collect())
    }
}

fn test_of(mode: &str) -> TractResult<Option<Test>> {
    Ok(Some(match mode {
        "LEAF" => return Ok(None),
        "BRANCH_LEQ" => Test::AtMost,
        "BRANCH_LT" => Test::Below,
        "BRANCH_GTE" => Test::AtLeast,
        "BRANCH_GT" => Test::Above,
        "BRANCH_EQ" => Test::Equal,
        "BRANCH_NEQ" => Test::Unequal,
        other => bail!("node mode {other} is not supported"),
    }))
}
