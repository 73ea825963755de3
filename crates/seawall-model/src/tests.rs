//! The engine as a whole: train, keep, load, score, explain.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use seawall_base::declare::{
    Boosting, Calibration, CommandTrainer, MissingAction, Model, OnMissing, ReadyWhen, Trainer,
};
use seawall_base::engine::Fingerprint;
use seawall_base::permit::PermitRecord;
use seawall_base::{ErrorKind, Hash, Instant, ModelEngine, Permit, Rng, SeededRng, Span, TrainingJob};
use serde_json::json;
use tempfile::TempDir;

use crate::Models;
use crate::calibrate::sigmoid;

fn permit() -> Permit {
    let text = str::to_owned;
    Permit::issued_by_policy(PermitRecord {
        id: text("p1"),
        principal: text("tester"),
        action: text("train"),
        resource: text("m"),
    })
}

fn fingerprint() -> Fingerprint {
    Fingerprint {
        training_set: "late".to_owned(),
        inputs: vec![],
        definitions: vec![],
        revision: "r1".to_owned(),
        core_version: 1,
        built_at: Instant(0),
        rows: 0,
        labelled: 0,
        content: Hash::of(b"rows"),
        stopped: 0,
    }
}

fn model(trainer: Trainer, calibration: Calibration) -> Model {
    Model {
        name: "late".to_owned(),
        training_set: "late".to_owned(),
        owner: None,
        positive: None,
        inputs: vec![],
        trainer,
        calibration,
        holdout: Span::DAY,
        rows_min: 0,
        on_missing: OnMissing { default: MissingAction::Accept, columns: vec![] },
        ready_when: ReadyWhen::default(),
        retrain: None,
    }
}

/// A job of `count` rows: amount, a count, a text, and when; a tenth of the amounts is missing.
fn job(trainer: Trainer, calibration: Calibration, count: usize) -> TrainingJob {
    let random = SeededRng::new(11);
    let uniform = || {
        let mut bytes = [0u8; 8];
        random.fill(&mut bytes);
        (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
    };
    let (mut amounts, mut counts, mut texts, mut positive) = (vec![], vec![], vec![], vec![]);
    for _ in 0..count {
        let (amount, number, text) = (uniform(), (uniform() * 6.0) as i64, ["x", "y", "z"][(uniform() * 3.0) as usize]);
        let odds = 4.0 * amount - 2.0 + if text == "z" { 2.0 } else { -1.0 };
        positive.push(uniform() < sigmoid(odds));
        amounts.push(Some(amount).filter(|_| uniform() > 0.1));
        counts.push(number);
        texts.push(text);
    }
    let at: Vec<i64> = (0..count as i64).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("_at", Arc::new(TimestampMicrosecondArray::from(at).with_timezone("UTC"))),
        ("amount", Arc::new(Float64Array::from(amounts))),
        ("count", Arc::new(Int64Array::from(counts))),
        ("text", Arc::new(StringArray::from(texts))),
    ];
    TrainingJob {
        model: model(trainer, calibration),
        rows: RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap(),
        inputs: ["amount", "count", "text"].map(str::to_owned).to_vec(),
        positive,
        fingerprint: fingerprint(),
    }
}

fn boosting() -> Trainer {
    Trainer::Boosting(Boosting { trees: 20, ..Boosting::default() })
}

fn open(root: &Path) -> Models {
    std::fs::create_dir_all(root.join("project")).unwrap();
    Models::open(&root.join("models"), &root.join("work"), &root.join("project")).unwrap()
}

fn file_of(root: &TempDir, digest: Hash) -> PathBuf {
    root.path().join("models").join(format!("{digest}.model"))
}

#[tokio::test]
async fn the_same_job_gives_the_same_digest() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for calibration in [Calibration::None, Calibration::Platt, Calibration::Isotonic] {
        let job = job(boosting(), calibration, 2_000);
        let first = open(one.path()).train(&permit(), &job).await.unwrap();
        let second = open(two.path()).train(&permit(), &job).await.unwrap();
        assert_eq!(first.digest, second.digest);
        assert_eq!(first.report, second.report);
        let bytes = std::fs::read(file_of(&one, first.digest)).unwrap();
        assert_eq!((Hash::of(&bytes), bytes.len() as u64), (first.digest, first.bytes));
        let unseen = if calibration == Calibration::None { 0 } else { 400 };
        assert_eq!(
            (&first.report["rows"], &first.report["calibration_rows"]),
            (&json!(2_000 - unseen), &json!(unseen))
        );
    }
}

#[tokio::test]
async fn scores_do_not_depend_on_the_batch() {
    let root = tempfile::tempdir().unwrap();
    let models = open(root.path());
    let job = job(boosting(), Calibration::Platt, 1_000);
    let trained = models.train(&permit(), &job).await.unwrap();
    let scorer = models.load(trained.digest).unwrap();
    assert_eq!(scorer.inputs(), job.inputs);
    let whole = scorer.score(&job.rows).unwrap();
    let mut parts = (vec![], vec![]);
    for from in (0..1_000).step_by(50) {
        let scores = scorer.score(&job.rows.slice(from, 50)).unwrap();
        parts.0.extend(scores.probability);
        parts.1.extend(scores.raw);
    }
    assert_eq!((whole.probability.clone(), whole.raw.clone()), parts);
    assert!(whole.probability.iter().all(|p| (0.0..=1.0).contains(p)));
    let other = open(root.path()).load(trained.digest).unwrap().score(&job.rows).unwrap();
    assert_eq!(other, whole, "another process gives the same");
}

#[tokio::test]
async fn reasons_are_ordered_and_add_up() {
    let root = tempfile::tempdir().unwrap();
    let models = open(root.path());
    let job = job(boosting(), Calibration::None, 1_500);
    let trained = models.train(&permit(), &job).await.unwrap();
    let scorer = models.load(trained.digest).unwrap();
    let scores = scorer.score(&job.rows).unwrap();
    let mean = trained.report["mean_raw"].as_f64().unwrap();
    for (reasons, raw) in scorer.explain(&job.rows, 10).unwrap().iter().zip(&scores.raw) {
        assert_eq!(reasons.len(), 3);
        assert!(reasons.windows(2).all(|pair| pair[0].contribution.abs() >= pair[1].contribution.abs()));
        let sum: f64 = reasons.iter().map(|reason| reason.contribution).sum();
        assert!((mean + sum - raw).abs() < 1e-9);
        let amount = reasons.iter().find(|reason| reason.input == "amount").unwrap();
        assert!(amount.value.as_deref() != Some("NaN"));
    }
    assert!(scorer.explain(&job.rows, 1).unwrap().iter().all(|reasons| reasons.len() == 1));
}

#[tokio::test]
async fn unseen_texts_and_missing_values_are_scored_alike() {
    let root = tempfile::tempdir().unwrap();
    let models = open(root.path());
    let trained = models.train(&permit(), &job(boosting(), Calibration::None, 1_000)).await.unwrap();
    let scorer = models.load(trained.digest).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(StringArray::from(vec![Some("new"), None, Some("z"), Some("x")]))),
        ("amount", Arc::new(Float64Array::from(vec![0.5; 4]))),
        ("count", Arc::new(Int64Array::from(vec![1; 4]))),
    ];
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let scores = scorer.score(&rows).unwrap();
    assert_eq!(scores.raw[0], scores.raw[1]);
    assert!(scores.raw[2] > scores.raw[3], "z was mostly positive, x was not");
    let reasons = scorer.explain(&rows, 3).unwrap();
    let value = |row: usize| reasons[row].iter().find(|r| r.input == "text").unwrap().value.clone();
    assert_eq!((value(0), value(1)), (Some("new".to_owned()), None));
    let without = rows.project(&[0, 1]).unwrap();
    assert_eq!(scorer.score(&without).unwrap_err().code(), "SW1001");
}

#[tokio::test]
async fn a_changed_file_is_corrupt_even_when_it_was_loaded_before() {
    let root = tempfile::tempdir().unwrap();
    let models = open(root.path());
    let digest = models.train(&permit(), &job(boosting(), Calibration::None, 500)).await.unwrap().digest;
    models.load(digest).unwrap();
    let path = file_of(&root, digest);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    for error in [models.load(digest).err().unwrap(), models.artifact(digest).unwrap_err()] {
        assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "SW1011"));
    }
    assert_eq!(models.load(Hash::of(b"none")).err().unwrap().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn exported_models_are_kept_elsewhere_and_nothing_else_is() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (here, there) = (open(one.path()), open(two.path()));
    let job = job(boosting(), Calibration::Isotonic, 800);
    let digest = here.train(&permit(), &job).await.unwrap().digest;
    let bytes = here.artifact(digest).unwrap();
    assert_eq!(there.keep(&permit(), bytes.clone()).unwrap(), digest);
    let (a, b) = (here.load(digest).unwrap(), there.load(digest).unwrap());
    assert_eq!(a.score(&job.rows).unwrap(), b.score(&job.rows).unwrap());
    for wrong in [Bytes::from_static(b"{}"), Bytes::from_static(b"{}\n"), bytes.slice(..bytes.len() - 1)] {
        let error = there.keep(&permit(), wrong).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "SW1012"));
    }
}

#[tokio::test]
async fn rows_that_teach_nothing_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let models = open(root.path());
    let good = job(boosting(), Calibration::Platt, 100);
    let one_class = TrainingJob { positive: vec![true; 100], ..good.clone() };
    let empty = TrainingJob { rows: good.rows.slice(0, 0), positive: vec![], ..good.clone() };
    let no_inputs = TrainingJob { inputs: vec![], ..good.clone() };
    let instant = TrainingJob { inputs: vec!["_at".to_owned()], ..good.clone() };
    let newest = TrainingJob { positive: (0..100).map(|i| i % 2 == 0 && i < 80).collect(), ..good };
    for (job, code) in
        [(one_class, "SW1004"), (empty, "SW1004"), (no_inputs, "SW1004"), (instant, "SW1002"), (newest, "SW1005")]
    {
        assert_eq!(models.train(&permit(), &job).await.unwrap_err().code(), code);
    }
    assert_eq!(std::fs::read_dir(root.path().join("models")).unwrap().count(), 0);
}

/// A trainer that copies a fixture of five inputs.
fn copying(root: &Path, onnx: &str, more: &str) -> Trainer {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(onnx);
    let script = format!(
        "#!/bin/sh\necho training\n{more}\ncp {} \"$SEAWALL_OUT/model.onnx\"\necho '{{\"auc\": 0.75}}' > \"$SEAWALL_OUT/metrics.json\"\n",
        fixture.display()
    );
    std::fs::create_dir_all(root.join("project")).unwrap();
    let path = root.join("project/train.sh");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let command = vec!["./train.sh".to_owned()];
    Trainer::Command(CommandTrainer { command, timeout: Span::MINUTE, memory_bytes_max: 1 << 30 })
}

/// A job of the fixtures' five columns, of which `kind` is text.
fn fixture_job(trainer: Trainer, calibration: Calibration) -> TrainingJob {
    let base = job(trainer, calibration, 500);
    let numbers = |factor: f64| Arc::new(Float64Array::from_iter_values((0..500).map(|i| factor * f64::from(i % 37))));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("_at", base.rows.column(0).clone()),
        ("amount", numbers(1.5)),
        ("count", numbers(0.1)),
        ("age", numbers(2.0)),
        ("ratio", base.rows.column(1).clone()),
        ("kind", base.rows.column(3).clone()),
    ];
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let inputs = ["amount", "count", "age", "ratio", "kind"].map(str::to_owned).to_vec();
    TrainingJob { rows, inputs, ..base }
}

#[tokio::test]
async fn a_command_trains_and_its_model_scores() {
    let root = tempfile::tempdir().unwrap();
    let trainer =
        copying(root.path(), "lightgbm.onnx", "cp \"$SEAWALL_JOB\" \"$(dirname \"$SEAWALL_JOB\")/training.parquet\" .");
    let models = open(root.path());
    let job = fixture_job(trainer, Calibration::Platt);
    let trained = models.train(&permit(), &job).await.unwrap();
    assert_eq!((&trained.report["metrics"], trained.log.as_str()), (&json!({"auc": 0.75}), "training\n"));
    let scorer = models.load(trained.digest).unwrap();
    let scores = scorer.score(&job.rows).unwrap();
    assert!(scores.probability.iter().all(|p| (0.0..=1.0).contains(p)));
    assert_eq!(scorer.explain(&job.rows.slice(0, 2), 3).unwrap(), [vec![], vec![]]);
    assert_eq!(std::fs::read_dir(root.path().join("work")).unwrap().count(), 0);
    assert_eq!(models.train(&permit(), &job).await.unwrap().digest, trained.digest);

    let project = root.path().join("project");
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(project.join("job.json")).unwrap()).unwrap();
    let parquet = std::fs::read(project.join("training.parquet")).unwrap();
    assert_eq!(told["training"], json!({"file": "training.parquet", "rows": 400, "blake3": Hash::of(&parquet)}));
    assert_eq!(told["inputs"][4]["type"], "categorical");
    assert_eq!((&told["model"]["name"], &told["fingerprint"]["training_set"]), (&json!("late"), &json!("late")));
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(parquet)).unwrap();
    let names: Vec<&str> = reader.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["amount", "count", "age", "ratio", "kind", "label", "_at"]);
    let rows: usize = reader.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 400, "the newest fifth is kept back for the calibration");
}

#[tokio::test]
async fn models_that_cannot_be_used_are_refused_with_the_log() {
    for (onnx, code) in [
        ("broken/three_features.onnx", "SW1032"),
        ("broken/other_names.onnx", "SW1032"),
        ("broken/three_classes.onnx", "SW1033"),
        ("broken/nan.onnx", "SW1034"),
        ("broken/svm.onnx", "SW1031"),
        ("broken/dangling.onnx", "SW1035"),
        ("export.py", "SW1030"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let trainer = copying(root.path(), onnx, "");
        let error = open(root.path()).train(&permit(), &fixture_job(trainer, Calibration::None)).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), (code, ErrorKind::Invalid), "{onnx}: {error}");
        assert!(error.to_string().contains("log ends with\ntraining"), "{error}");
        for folder in ["work", "models"] {
            assert_eq!(std::fs::read_dir(root.path().join(folder)).unwrap().count(), 0, "{onnx}");
        }
    }
}

/// The example of the documentation: `SEAWALL_TEST_PYTHON=python cargo test -p seawall-model -- --ignored`.
#[tokio::test]
#[ignore = "needs Python with lightgbm, onnxmltools, pandas, pyarrow and scikit-learn"]
async fn the_lightgbm_example_trains() {
    let root = tempfile::tempdir().unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/trainers/lightgbm_train.py");
    let python = std::env::var("SEAWALL_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let command = vec![python, script.canonicalize().unwrap().display().to_string()];
    let trainer = Trainer::Command(CommandTrainer { command, timeout: Span::MINUTE, memory_bytes_max: 8 << 30 });
    let job = job(trainer, Calibration::Isotonic, 4_000);
    let models = open(root.path());
    let trained = models.train(&permit(), &job).await.unwrap();
    assert!(trained.report["metrics"]["auc"].as_f64().unwrap() > 0.75, "{}", trained.report);
    let digest = models.train(&permit(), &job).await.unwrap().digest;
    assert_eq!(digest, trained.digest, "LightGBM is told to be deterministic");
    let scores = models.load(digest).unwrap().score(&job.rows).unwrap();
    let mean = scores.probability.iter().sum::<f64>() / 4_000.0;
    let rate = job.positive.iter().filter(|p| **p).count() as f64 / 4_000.0;
    assert!((mean - rate).abs() < 0.03, "{mean} {rate}");
}
