//! [`Models`]: trains, keeps and loads.
//!
//! The rows come oldest decision first. With a calibration the trainer gets the older four fifths, and the calibration
//! is fitted on its scores of the newest fifth; without one it gets all rows. Categories are learned from what the
//! trainer gets, so that to the calibration new ones are as new as they will be in service.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, BooleanArray, Float32Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use seawall_base::declare::{Boosting, Calibration, CommandTrainer, Model, Trainer};
use seawall_base::{Error, ErrorKind, Hash, ModelEngine, Permit, Result, Scorer, TrainedModel, TrainingJob};
use serde_json::{Value, json};

use crate::artifact::{Artifact, Kind};
use crate::boosting;
use crate::calibrate::Calibrator;
use crate::command::{self, with_log};
use crate::encode::{self, Input, Matrix};
use crate::scorer::{Body, Loaded};
use crate::store::Store;
use crate::workplace::{self, Folder, Workplace};

/// Loaded models that are kept in memory.
const LOADED_MAX: usize = 8;

/// Rows on which a trained ONNX model is tried before it is kept.
const TRIED_ROWS_MAX: usize = 10_000;

/// The models of a data folder.
pub struct Models {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    workplace: Workplace,
    project: PathBuf,
    loaded: Mutex<VecDeque<(Hash, Arc<Loaded>)>>,
}

impl Models {
    /// Opens the models kept in `folder`. Trainings work in folders of their own in `work`, which may be shared with
    /// other processes, and commands run in the folder `project`. What killed trainings left in `work` is stopped and
    /// removed.
    ///
    /// # Errors
    /// Kind `Unavailable` when a folder cannot be made or read.
    pub fn open(folder: &Path, work: &Path, project: &Path) -> Result<Models> {
        let inner = Inner {
            store: Store::open(folder)?,
            workplace: Workplace::open(work)?,
            project: project.to_owned(),
            loaded: Mutex::new(VecDeque::new()),
        };
        Ok(Models { inner: Arc::new(inner) })
    }

    async fn train_by_command(&self, trainer: &CommandTrainer, job: &TrainingJob) -> Result<TrainedModel> {
        if trainer.memory_bytes_max < 1 << 20 {
            let message = format!("the trainer may take {} bytes of memory", trainer.memory_bytes_max);
            return Err(Error::invalid("SW1007", message).hint("nothing starts in less than a megabyte"));
        }
        let inner = self.inner.clone();
        let given = job.clone();
        let (folder, prepared) = blocking(move || {
            let prepared = Prepared::of(&given)?;
            let folder = inner.workplace.folder()?;
            write_job(&folder, &given, &prepared)?;
            Ok((folder, prepared))
        })
        .await?;
        let output = command::run(trainer, &self.inner.project, &folder).await?;
        let inner = self.inner.clone();
        let calibration = job.model.calibration;
        blocking(move || {
            drop(folder);
            let command::Output { model, metrics, log } = output;
            let report = json!({"trainer": "command", "metrics": metrics});
            let trained = inner.finish(prepared, calibration, Kind::Onnx, model, report);
            match trained {
                Ok(trained) => Ok(TrainedModel { log, ..trained }),
                Err(e) if e.kind() == ErrorKind::Invalid => Err(with_log(e, &log)),
                Err(e) => Err(e),
            }
        })
        .await
    }
}

#[async_trait]
impl ModelEngine for Models {
    async fn train(&self, permit: &Permit, job: &TrainingJob) -> Result<TrainedModel> {
        let trained = match &job.model.trainer {
            Trainer::Command(trainer) => self.train_by_command(trainer, job).await?,
            Trainer::Boosting(settings) => {
                let (inner, settings, job) = (self.inner.clone(), settings.clone(), job.clone());
                blocking(move || inner.train_boosting(&settings, &job)).await?
            }
        };
        tracing::info!(model = %job.model.name, digest = %trained.digest, permit = permit.id(), "a model was trained");
        Ok(trained)
    }

    fn load(&self, digest: Hash) -> Result<Arc<dyn Scorer>> {
        let bytes = self.inner.store.read(digest)?;
        if let Some(loaded) = self.inner.cached(digest) {
            return Ok(loaded);
        }
        let loaded = Arc::new(Loaded::from_kept(digest, &bytes)?);
        self.inner.cache(digest, loaded.clone());
        Ok(loaded)
    }

    fn artifact(&self, digest: Hash) -> Result<Bytes> {
        self.inner.store.read(digest)
    }

    fn keep(&self, permit: &Permit, artifact: Bytes) -> Result<Hash> {
        Loaded::new(Artifact::decode(&artifact)?)?;
        let digest = self.inner.store.write(&artifact)?;
        tracing::info!(%digest, permit = permit.id(), "a model was kept");
        Ok(digest)
    }
}

impl Inner {
    fn train_boosting(&self, settings: &Boosting, job: &TrainingJob) -> Result<TrainedModel> {
        let prepared = Prepared::of(job)?;
        let trained = boosting::train(settings, &prepared.inputs, &prepared.seen, &prepared.seen_positive)?;
        self.finish(prepared, job.model.calibration, Kind::Boosting, trained.forest.encode(), trained.report)
    }

    /// Loads what was trained, calibrates it, and keeps it.
    fn finish(
        &self,
        prepared: Prepared,
        calibration: Calibration,
        kind: Kind,
        payload: Bytes,
        mut report: Value,
    ) -> Result<TrainedModel> {
        let body = Body::load(kind, &payload, &prepared.inputs)?;
        body.raw(&prepared.seen.head(TRIED_ROWS_MAX))?;
        let calibration = Calibrator::fit(calibration, &body.raw(&prepared.unseen)?, &prepared.unseen_positive)?;
        report["rows"] = json!(prepared.seen.rows);
        report["positive"] = json!(prepared.seen_positive.iter().filter(|positive| **positive).count());
        report["calibration_rows"] = json!(prepared.unseen.rows);
        report["calibration"] = json!(calibration);
        let bytes = Artifact { kind, inputs: prepared.inputs, calibration, payload }.encode();
        let digest = self.store.write(&bytes)?;
        Ok(TrainedModel { digest, bytes: bytes.len() as u64, report, log: String::new() })
    }

    fn cached(&self, digest: Hash) -> Option<Arc<Loaded>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let at = loaded.iter().position(|(kept, _)| *kept == digest)?;
        let found = loaded.remove(at)?;
        loaded.push_back(found.clone());
        Some(found.1)
    }

    fn cache(&self, digest: Hash, model: Arc<Loaded>) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|(kept, _)| *kept != digest);
        if loaded.len() == LOADED_MAX {
            loaded.pop_front();
        }
        loaded.push_back((digest, model));
    }
}

/// Training rows as numbers: those that the trainer sees, and the newest, which it does not.
struct Prepared {
    inputs: Vec<Input>,
    seen: Matrix,
    seen_positive: Vec<bool>,
    unseen: Matrix,
    unseen_positive: Vec<bool>,
    /// Rows that the trainer sees.
    rows: RecordBatch,
}

impl Prepared {
    fn of(job: &TrainingJob) -> Result<Prepared> {
        let all = job.rows.num_rows();
        if job.positive.len() != all {
            let message = format!("{all} training rows have {} labels", job.positive.len());
            return Err(Error::internal("SW1028", message));
        }
        if job.inputs.is_empty() {
            return Err(Error::invalid("SW1004", "the model takes no inputs")
                .hint("add features or context columns to its training set"));
        }
        let unseen = if job.model.calibration == Calibration::None { 0 } else { all / 5 };
        let seen = all - unseen;
        let (seen_positive, unseen_positive) = job.positive.split_at(seen);
        let positives = seen_positive.iter().filter(|positive| **positive).count();
        if positives == 0 || positives == seen {
            let message = format!("{positives} of {seen} training rows are positive; both classes are needed");
            return Err(Error::invalid("SW1004", message).hint("train on a longer period, or check `positive`"));
        }
        let rows = job.rows.slice(0, seen);
        let inputs = encode::learn(&rows, &job.inputs)?;
        Ok(Prepared {
            seen: encode::encode(&rows, &inputs)?,
            unseen: encode::encode(&job.rows.slice(seen, unseen), &inputs)?,
            seen_positive: seen_positive.to_vec(),
            unseen_positive: unseen_positive.to_vec(),
            inputs,
            rows,
        })
    }
}

/// Writes `training.parquet` and `job.json`: what `docs/models.md` promises to trainers.
fn write_job(folder: &Folder, job: &TrainingJob, prepared: &Prepared) -> Result<()> {
    let path = folder.path().join("training.parquet");
    let rows = training_rows(prepared)?;
    let unwritable = |e: parquet::errors::ParquetError| {
        Error::new(ErrorKind::Unavailable, "SW1027", "the training rows cannot be written").because(e)
    };
    let mut writer = ArrowWriter::try_new(File::create(&path)?, rows.schema(), None).map_err(unwritable)?;
    writer.write(&rows).map_err(unwritable)?;
    writer.close().map_err(unwritable)?;
    let digest = Hash::of(&std::fs::read(&path)?);
    let text = json!({
        "version": 1,
        "model": job.model,
        "inputs": prepared.inputs,
        "seed": seed(&job.model, job),
        "training": {"file": "training.parquet", "rows": prepared.seen.rows, "blake3": digest},
        "fingerprint": job.fingerprint,
    });
    std::fs::write(workplace::job(folder.path()), text.to_string())?;
    Ok(())
}

/// A number that equal jobs share and others do not.
fn seed(model: &Model, job: &TrainingJob) -> u32 {
    let hash = Hash::of_parts([model.definition_hash().0.as_slice(), job.fingerprint.content.0.as_slice()]);
    u32::from_le_bytes([hash.0[0], hash.0[1], hash.0[2], hash.0[3]])
}

/// The inputs as an ONNX model will get them, then `label`, then `_at` when the rows have it.
fn training_rows(prepared: &Prepared) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (input, column) in prepared.inputs.iter().zip(&prepared.seen.columns) {
        fields.push(Field::new(&input.name, DataType::Float32, true));
        let numbers = column.iter().map(|value| Some(*value as f32).filter(|value| !value.is_nan()));
        columns.push(Arc::new(Float32Array::from_iter(numbers)));
    }
    fields.push(Field::new("label", DataType::Boolean, false));
    columns.push(Arc::new(BooleanArray::from(prepared.seen_positive.clone())));
    let listed = |name: &str| prepared.inputs.iter().any(|input| input.name == name);
    if let Some(at) = prepared.rows.column_by_name("_at").filter(|_| !listed("_at")) {
        fields.push(Field::new("_at", at.data_type().clone(), true));
        columns.push(at.clone());
    }
    if listed("label") {
        return Err(Error::invalid("SW1004", "the model takes its own label as an input")
            .hint("list the model's inputs without it"));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Runs `work` where it blocks nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Error::internal("SW1028", "the work on a model was interrupted").because(e)))
}
