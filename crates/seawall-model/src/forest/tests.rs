use proptest::prelude::*;

use super::*;

fn branch(input: u32, threshold: f64, left: u32, right: u32, missing: u32) -> Node {
    Node { input, left, right, missing, threshold, mean: 0.0 }
}

fn forest() -> Forest {
    let tree =
        vec![branch(0, 1.0, 1, 2, 2), Node::leaf(-0.5), branch(1, 3.0, 3, 4, 3), Node::leaf(0.25), Node::leaf(1.0)];
    Forest { base: 0.1, inputs: 2, trees: vec![tree, vec![Node::leaf(0.01)]] }
}

fn matrix(rows: &[[f64; 2]]) -> Matrix {
    let column = |at: usize| rows.iter().map(|row| row[at]).collect();
    Matrix { rows: rows.len(), columns: vec![column(0), column(1)] }
}

#[test]
fn follows_thresholds_and_missing_values() {
    let rows = matrix(&[[0.9, 9.0], [1.0, 2.9], [f64::NAN, 3.0], [2.0, f64::NAN]]);
    assert_eq!(forest().score(&rows), [0.1 - 0.5 + 0.01, 0.1 + 0.25 + 0.01, 0.1 + 1.0 + 0.01, 0.1 + 0.25 + 0.01]);
}

#[test]
fn the_bias_is_the_mean_score_of_the_rows_it_learned_from() {
    let rows = matrix(&[[0.9, 9.0], [1.0, 2.9], [f64::NAN, 3.0], [2.0, 7.0]]);
    let mut forest = forest();
    forest.learn_means(&rows);
    let scores = forest.score(&rows);
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    assert!((forest.bias() - mean).abs() < 1e-15);
    for (row, score) in scores.iter().enumerate() {
        let sum: f64 = forest.contributions(&rows, row).iter().sum();
        assert!((forest.bias() + sum - score).abs() < 1e-15);
    }
}

#[test]
fn nodes_without_rows_have_a_mean() {
    let mut forest = forest();
    forest.learn_means(&matrix(&[[0.0, 0.0]]));
    assert!(forest.trees[0].iter().all(|node| node.mean.is_finite()));
}

#[test]
fn reads_back_to_the_bit() {
    let forest = forest();
    let bytes = forest.encode();
    assert_eq!(bytes.len(), 24 + 2 * 4 + 6 * 32);
    assert_eq!(Forest::decode(&bytes, 2).unwrap(), forest);
}

#[test]
fn refuses_trees_that_lead_astray() {
    let check = |change: &dyn Fn(&mut Forest)| {
        let mut forest = forest();
        change(&mut forest);
        assert_eq!(Forest::decode(&forest.encode(), 2).unwrap_err().code(), "SW1012");
    };
    check(&|f| f.trees[0][2].left = 2);
    check(&|f| f.trees[0][2].right = 1);
    check(&|f| f.trees[0][2].right = 5);
    check(&|f| f.trees[0][2].missing = 1);
    check(&|f| f.trees[0][2].input = 2);
    check(&|f| f.trees[0][1].mean = f64::NAN);
    check(&|f| f.trees[0][0].threshold = f64::INFINITY);
    check(&|f| f.base = f64::NAN);
    check(&|f| f.inputs = 3);
    check(&|f| f.trees[1].clear());
    let bytes = forest().encode();
    assert!((0..bytes.len()).all(|end| Forest::decode(&bytes.slice(..end), 2).is_err()));
}

proptest! {
    #[test]
    fn whatever_is_read_can_be_scored(changes in prop::collection::vec((8usize..240, any::<u8>()), 1..4)) {
        let mut bytes = forest().encode().to_vec();
        for (at, with) in changes {
            let at = at % bytes.len();
            bytes[at] = with;
        }
        if let Ok(forest) = Forest::decode(&Bytes::from(bytes), 2) {
            let rows = matrix(&[[0.9, 9.0], [f64::NAN, f64::NAN]]);
            prop_assert_eq!(forest.score(&rows).len(), 2);
            forest.contributions(&rows, 1);
        }
    }
}
