use seawall_base::{Rng, SeededRng};

use super::*;
use crate::calibrate::sigmoid;
use crate::encode::InputKind;

/// Rows of four columns and a label that three of them decide; a tenth of the values is missing. The third column has
/// no value at all, the fourth is noise.
fn rows(count: usize, seed: u64) -> (Vec<Input>, Matrix, Vec<bool>) {
    let random = SeededRng::new(seed);
    let uniform = || {
        let mut bytes = [0u8; 8];
        random.fill(&mut bytes);
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut columns = vec![Vec::new(); 4];
    let mut positive = Vec::new();
    for _ in 0..count {
        let (a, b, noise) = (uniform() * 4.0 - 2.0, (uniform() * 5.0).floor(), uniform());
        positive.push(uniform() < sigmoid(2.0 * a + if b == 2.0 { 1.5 } else { 0.0 } - 2.0));
        let hide = uniform() < 0.1;
        columns[0].push(if hide { f64::NAN } else { a });
        columns[1].push(b);
        columns[2].push(f64::NAN);
        columns[3].push(noise);
    }
    let inputs =
        ["a", "b", "none", "noise"].map(|name| Input { name: name.to_owned(), kind: InputKind::Numeric }).to_vec();
    (inputs, Matrix { rows: count, columns }, positive)
}

fn settings() -> Boosting {
    Boosting { trees: 40, ..Boosting::default() }
}

#[test]
fn equal_rows_give_equal_bytes() {
    let (inputs, matrix, positive) = rows(3_000, 1);
    let once = train(&settings(), &inputs, &matrix, &positive).unwrap();
    let again = train(&settings(), &inputs, &matrix, &positive).unwrap();
    assert_eq!(once.forest.encode(), again.forest.encode());
    assert_eq!(once.report, again.report);
    let elsewhere =
        std::thread::spawn(move || train(&settings(), &inputs, &matrix, &positive).unwrap().forest.encode());
    assert_eq!(once.forest.encode(), elsewhere.join().unwrap());
}

#[test]
fn scores_are_what_the_library_predicts() {
    let (_, matrix, positive) = rows(2_000, 2);
    let used = [0, 1, 3];
    let booster = grow(&settings(), &matrix, &used, &positive).unwrap();
    let (inputs, ..) = rows(1, 2);
    let forest = train(&settings(), &inputs, &matrix, &positive).unwrap().forest;
    let flat: Vec<f64> = used.iter().flat_map(|at| matrix.columns[*at].clone()).collect();
    let predicted = booster.predict(&Columns::new(&flat, matrix.rows, 3), false);
    for (ours, theirs) in forest.score(&matrix).iter().zip(predicted) {
        assert!((ours - theirs).abs() < 1e-9, "{ours} {theirs}");
    }
}

#[test]
fn learns_without_distorting_probabilities() {
    let (inputs, matrix, positive) = rows(6_000, 3);
    let trained = train(&settings(), &inputs, &matrix, &positive).unwrap();
    let (_, fresh, outcome) = rows(4_000, 4);
    let scores = trained.forest.score(&fresh);
    let mean = |of: &dyn Fn(usize) -> f64| (0..fresh.rows).map(of).sum::<f64>() / fresh.rows as f64;
    let (claimed, found) = (mean(&|row| sigmoid(scores[row])), mean(&|row| f64::from(u8::from(outcome[row]))));
    assert!((claimed - found).abs() < 0.02, "{claimed} claimed, {found} found");
    let pairs = (0..fresh.rows - 1).filter(|row| outcome[*row] != outcome[row + 1]);
    let (right, all) = pairs.fold((0, 0), |(right, all), row| {
        (right + usize::from((scores[row] > scores[row + 1]) == outcome[row]), all + 1)
    });
    assert!(right * 100 > all * 80, "{right} of {all} pairs in order");
    let importance = &trained.report["importance"];
    assert_eq!((&importance[0]["input"], &importance[1]["input"]), (&json!("a"), &json!("b")));
    let unused = importance.as_array().unwrap().iter().find(|entry| entry["input"] == "none").unwrap();
    assert_eq!(unused["share"], 0.0);
}

#[test]
fn contributions_add_up_to_the_score() {
    let (inputs, matrix, positive) = rows(2_000, 5);
    let trained = train(&settings(), &inputs, &matrix, &positive).unwrap();
    let scores = trained.forest.score(&matrix);
    for (row, score) in scores.iter().enumerate() {
        let added = trained.forest.contributions(&matrix, row);
        assert_eq!(added[2], 0.0, "a column without values adds nothing");
        let sum = trained.forest.bias() + added.iter().sum::<f64>();
        assert!((sum - score).abs() < 1e-9, "{sum} {score}");
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    assert!((trained.forest.bias() - mean).abs() < 1e-9);
    assert_eq!(trained.report["mean_raw"], json!(trained.forest.bias()));
}

#[test]
fn odd_rows_teach_what_they_can() {
    let input = |name: &str| Input { name: name.to_owned(), kind: InputKind::Numeric };
    let check = |column: Vec<f64>| {
        let positive: Vec<bool> = (0..column.len()).map(|i| i % 3 == 0).collect();
        let matrix = Matrix { rows: column.len(), columns: vec![column] };
        let forest = train(&settings(), &[input("x")], &matrix, &positive).unwrap().forest;
        assert!(forest.score(&matrix).iter().all(|score| score.is_finite()));
        Forest::decode(&forest.encode(), 1).unwrap();
    };
    check(vec![1.0; 50]);
    check(vec![1e300, -1e300, 0.0, f64::NAN]);
    check((0..50).map(|i| if i == 7 { 3.0 } else { f64::NAN }).collect());
    check(vec![5e-324, -5e-324, 0.0, -0.0, f64::NAN, 1.0]);
    let missing = Matrix { rows: 2, columns: vec![vec![f64::NAN; 2]] };
    let Err(error) = train(&settings(), &[input("x")], &missing, &[true, false]) else { panic!("taught by nothing") };
    assert_eq!(error.code(), "SW1004");
}

#[test]
fn refuses_settings_out_of_bounds() {
    let (inputs, matrix, positive) = rows(50, 6);
    let good = Boosting::default();
    for settings in [
        Boosting { trees: 0, ..good.clone() },
        Boosting { trees: 1_000_000, ..good.clone() },
        Boosting { leaves: 1, ..good.clone() },
        Boosting { learning_rate: 0.0, ..good.clone() },
        Boosting { learning_rate: f64::NAN, ..good.clone() },
        Boosting { leaf_weight_min: -1.0, ..good.clone() },
    ] {
        let Err(error) = train(&settings, &inputs, &matrix, &positive) else { panic!("{settings:?} was taken") };
        assert_eq!(error.code(), "SW1007");
    }
}
