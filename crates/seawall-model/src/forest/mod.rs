//! Boosted trees: their bytes, their scores, and what each input added to a score.
//!
//! A raw score is the base and one leaf value per tree, summed in tree order, so a row's score does not depend on the
//! rows around it. Every node knows the mean of what the training rows below it got; what an input adds to a score is
//! the sum of the steps of that mean where the row's path asks for the input. The steps and the mean prediction add up
//! to the raw score.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use seawall_base::Result;

use crate::artifact::unreadable;
use crate::encode::Matrix;

#[cfg(test)]
mod tests;

const MAGIC: &[u8; 8] = b"SWFOREST";
const NODE_BYTES: usize = 32;

/// Trees whose leaf values add up.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    /// Score before any tree, in log-odds.
    pub base: f64,
    /// Inputs that the trees may ask for.
    pub inputs: u32,
    /// The trees; the first node of each is its root.
    pub trees: Vec<Vec<Node>>,
}

/// A node of a tree. A leaf has `left == 0`: no root is a child.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// The input that is asked for; 0 in a leaf.
    pub input: u32,
    /// Child for values below the threshold, further back in the tree; 0 in a leaf.
    pub left: u32,
    /// Child for the other values, further back in the tree; 0 in a leaf.
    pub right: u32,
    /// Where missing values go: one of the children; 0 in a leaf.
    pub missing: u32,
    /// What values are compared with; 0 in a leaf.
    pub threshold: f64,
    /// Mean of what the training rows below got of this tree; in a leaf, its value.
    pub mean: f64,
}

impl Node {
    /// A leaf of this value.
    pub fn leaf(value: f64) -> Self {
        Node { input: 0, left: 0, right: 0, missing: 0, threshold: 0.0, mean: value }
    }

    fn is_leaf(&self) -> bool {
        self.left == 0
    }

    /// The child for `value`.
    fn child(&self, value: f64) -> usize {
        let child = if value.is_nan() {
            self.missing
        } else if value < self.threshold {
            self.left
        } else {
            self.right
        };
        child as usize
    }
}

impl Forest {
    /// Raw scores, in log-odds.
    pub fn score(&self, matrix: &Matrix) -> Vec<f64> {
        (0..matrix.rows).map(|row| self.score_row(matrix, row)).collect()
    }

    /// The mean prediction, to which contributions are relative.
    pub fn bias(&self) -> f64 {
        self.trees.iter().fold(self.base, |sum, tree| sum + tree[0].mean)
    }

    /// What each input added to the raw score of `row`, in the order of the inputs. With the bias they add up to it.
    pub fn contributions(&self, matrix: &Matrix, row: usize) -> Vec<f64> {
        let mut added = vec![0.0; self.inputs as usize];
        for tree in &self.trees {
            let mut node = &tree[0];
            while !node.is_leaf() {
                let input = node.input as usize;
                let child = &tree[node.child(matrix.columns[input][row])];
                added[input] += child.mean - node.mean;
                node = child;
            }
        }
        added
    }

    /// Sets the mean of every node that is no leaf, from the rows of `matrix`.
    pub fn learn_means(&mut self, matrix: &Matrix) {
        for tree in &mut self.trees {
            let mut counts = vec![0u64; tree.len()];
            for row in 0..matrix.rows {
                counts[leaf_of(tree, matrix, row)] += 1;
            }
            // Children stand behind their parents, so they are done when their parent's turn comes.
            for at in (0..tree.len()).rev().filter(|at| !tree[*at].is_leaf()).collect::<Vec<_>>() {
                let (left, right) = (tree[at].left as usize, tree[at].right as usize);
                let rows = counts[left] + counts[right];
                let share = if rows == 0 { 0.5 } else { counts[right] as f64 / rows as f64 };
                tree[at].mean = tree[left].mean * (1.0 - share) + tree[right].mean * share;
                counts[at] = rows;
            }
        }
    }

    /// The bytes of a payload.
    pub fn encode(&self) -> Bytes {
        let nodes: usize = self.trees.iter().map(Vec::len).sum();
        let mut bytes = BytesMut::with_capacity(24 + 4 * self.trees.len() + NODE_BYTES * nodes);
        bytes.put_slice(MAGIC);
        bytes.put_f64_le(self.base);
        bytes.put_u32_le(self.inputs);
        bytes.put_u32_le(u32::try_from(self.trees.len()).expect("the number of trees is limited"));
        for tree in &self.trees {
            bytes.put_u32_le(u32::try_from(tree.len()).expect("the number of leaves is limited"));
            for node in tree {
                for number in [node.input, node.left, node.right, node.missing] {
                    bytes.put_u32_le(number);
                }
                bytes.put_f64_le(node.threshold);
                bytes.put_f64_le(node.mean);
            }
        }
        bytes.freeze()
    }

    /// Reads a payload for a model of `inputs` inputs.
    ///
    /// # Errors
    /// `SW1012` for bytes that are not a whole forest: whatever is read here ends in a leaf for every row.
    pub fn decode(bytes: &Bytes, inputs: usize) -> Result<Forest> {
        let mut rest = bytes.clone();
        if rest.remaining() < 24 || rest.copy_to_bytes(8) != MAGIC.as_slice() {
            return Err(unreadable("its payload has no trees"));
        }
        let forest_base = rest.get_f64_le();
        let forest_inputs = rest.get_u32_le();
        let count = rest.get_u32_le() as usize;
        if !forest_base.is_finite() || forest_inputs as usize != inputs || count > rest.remaining() / 4 {
            return Err(unreadable("the head of its trees is damaged"));
        }
        let mut trees = Vec::with_capacity(count);
        for _ in 0..count {
            trees.push(decode_tree(&mut rest, forest_inputs)?);
        }
        if rest.has_remaining() {
            return Err(unreadable("something follows its trees"));
        }
        Ok(Forest { base: forest_base, inputs: forest_inputs, trees })
    }

    fn score_row(&self, matrix: &Matrix, row: usize) -> f64 {
        self.trees.iter().fold(self.base, |sum, tree| sum + tree[leaf_of(tree, matrix, row)].mean)
    }
}

fn leaf_of(tree: &[Node], matrix: &Matrix, row: usize) -> usize {
    let mut at = 0;
    while !tree[at].is_leaf() {
        at = tree[at].child(matrix.columns[tree[at].input as usize][row]);
    }
    at
}

fn decode_tree(rest: &mut Bytes, inputs: u32) -> Result<Vec<Node>> {
    let damaged = || unreadable("one of its trees is damaged");
    let count = rest.try_get_u32_le().map_err(|_| damaged())?;
    if count == 0 || count as usize > rest.remaining() / NODE_BYTES {
        return Err(damaged());
    }
    let mut tree = Vec::with_capacity(count as usize);
    for at in 0..count {
        let node = Node {
            input: rest.get_u32_le(),
            left: rest.get_u32_le(),
            right: rest.get_u32_le(),
            missing: rest.get_u32_le(),
            threshold: rest.get_f64_le(),
            mean: rest.get_f64_le(),
        };
        let ahead = |child: u32| child > at && child < count;
        let branch = node.input < inputs
            && ahead(node.left)
            && ahead(node.right)
            && (node.missing == node.left || node.missing == node.right);
        let leaf = node.left == 0 && node.right == 0 && node.missing == 0 && node.input == 0;
        if !(branch || leaf) || !node.threshold.is_finite() || !node.mean.is_finite() {
            return Err(damaged());
        }
        tree.push(node);
    }
    Ok(tree)
}
