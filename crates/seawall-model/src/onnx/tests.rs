use std::path::PathBuf;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::encode::InputKind;

const COLUMNS: [&str; 5] = ["amount", "count", "age", "ratio", "kind"];

#[derive(Deserialize)]
struct Expected {
    columns: Vec<String>,
    rows: Vec<Vec<Option<f64>>>,
    probability: Vec<f64>,
}

impl Expected {
    fn inputs(&self) -> Vec<Input> {
        self.columns.iter().map(|name| Input { name: name.clone(), kind: InputKind::Numeric }).collect()
    }

    fn matrix(&self) -> Matrix {
        let value = |row: &Vec<Option<f64>>, at: usize| row[at].unwrap_or(f64::NAN);
        let column = |at: usize| self.rows.iter().map(|row| value(row, at)).collect();
        Matrix { rows: self.rows.len(), columns: (0..self.columns.len()).map(column).collect() }
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models")
}

fn fixture(name: &str) -> (Vec<u8>, Expected) {
    let bytes = std::fs::read(folder().join(format!("{name}.onnx"))).unwrap();
    let expected = std::fs::read(folder().join(format!("{name}.json"))).unwrap();
    (bytes, serde_json::from_slice(&expected).unwrap())
}

/// The model must give what the library that trained it gives.
fn check(name: &str) {
    let (bytes, expected) = fixture(name);
    let model = Model::load(&bytes, &expected.inputs()).unwrap();
    let probabilities = model.probabilities(&expected.matrix()).unwrap();
    assert_eq!(probabilities.len(), 200);
    for (row, (ours, theirs)) in probabilities.iter().zip(&expected.probability).enumerate() {
        assert!((ours - theirs).abs() < 1e-5, "{name}, row {row}: {ours} instead of {theirs}");
    }
}

#[test]
fn scikit_learn_models_give_what_scikit_learn_gives() {
    for name in ["logistic", "logistic_zipmap", "logistic_columns", "gradient_boosting", "random_forest"] {
        check(name);
    }
}

#[test]
fn lightgbm_models_give_what_lightgbm_gives() {
    for name in ["lightgbm", "lightgbm_zipmap", "lightgbm_categories"] {
        check(name);
    }
}

#[test]
fn fixtures_have_missing_values() {
    for name in ["lightgbm", "logistic_columns"] {
        assert!(fixture(name).1.rows.iter().flatten().any(Option::is_none), "{name}");
    }
}

#[test]
fn a_row_has_the_same_bits_in_every_batch() {
    for name in ["logistic", "logistic_columns", "lightgbm", "random_forest"] {
        let (bytes, expected) = fixture(name);
        let whole = Model::load(&bytes, &expected.inputs()).unwrap().probabilities(&expected.matrix()).unwrap();
        let again = Model::load(&bytes, &expected.inputs()).unwrap();
        for (row, probability) in whole.iter().enumerate().step_by(7) {
            let columns = expected.matrix().columns.iter().map(|column| column[row..row + 1].to_vec()).collect();
            let alone = again.probabilities(&Matrix { rows: 1, columns }).unwrap();
            assert_eq!(alone[0].to_bits(), probability.to_bits(), "{name}, row {row}");
        }
    }
}

/// What loading or scoring a model of `broken` says.
fn refusal(name: &str) -> Error {
    let bytes = std::fs::read(folder().join(format!("broken/{name}.onnx"))).unwrap();
    let (_, expected) = fixture("logistic");
    assert_eq!(expected.columns, COLUMNS);
    let model = Model::load(&bytes, &expected.inputs());
    model.and_then(|model| model.probabilities(&expected.matrix())).err().unwrap_or_else(|| panic!("{name} was taken"))
}

#[test]
fn refuses_models_for_one_reason_each() {
    for (name, code, word) in [
        ("three_features", "SW1032", "3 columns instead of 5"),
        ("other_names", "SW1032", "colour"),
        ("text_input", "SW1032", "string"),
        ("three_classes", "SW1033", "not a probability"),
        ("not_probability", "SW1034", "no probability"),
        ("nan", "SW1034", "NaN"),
        ("dangling", "SW1035", "nowhere"),
        ("tree_leads_nowhere", "SW1035", "node 9"),
        ("tree_in_circles", "SW1035", "root"),
        ("svm", "SW1031", "SVMClassifier (ai.onnx.ml)"),
    ] {
        let error = refusal(name);
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(error.to_string().contains(word), "{name}: {error}");
    }
}

#[test]
fn refuses_what_is_no_model() {
    let (_, expected) = fixture("logistic");
    for bytes in [&b"not a model at all"[..], b"", &[0xff; 64]] {
        let Err(error) = Model::load(bytes, &expected.inputs()) else { panic!("{bytes:?} was taken") };
        assert!(["SW1030", "SW1035"].contains(&error.code()), "{error}");
    }
}

#[test]
fn whole_numbers_are_not_made_of_missing_values() {
    let (bytes, expected) = fixture("logistic_columns");
    let model = Model::load(&bytes, &expected.inputs()).unwrap();
    for value in [f64::NAN, 1.5] {
        let mut matrix = expected.matrix();
        matrix.columns[4][0] = value;
        assert_eq!(model.probabilities(&matrix).unwrap_err().code(), "SW1036");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn damaged_models_are_errors(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let (mut bytes, expected) = fixture("logistic_columns");
        for (at, with) in changes {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        if let Ok(model) = Model::load(&bytes, &expected.inputs()) {
            let _ = model.probabilities(&expected.matrix().head(3));
        }
    }
}
