//! Training sets of the running revision: built by the engine, kept as a table version with its fingerprint.

mod diff;

use std::sync::Arc;

use arrow::array::RecordBatch;
use seawall_base::engine::{BrokenRule, BuildProgress, Fingerprint, Gated, TrainingSetPlan, TrainingSetRows};
use seawall_base::error::Result;
use seawall_base::watch::{Blast, CauseKind, Period, Signal};
use seawall_base::{Append, Cut, Error, ErrorKind, Instant, Offset, Partition, Permit, TableName, TableVersion};
use seawall_catalog::policy::Action;
use seawall_catalog::{Effect, RuleFailures};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::monitor::drafts::{Found, key};
use crate::pipeline::{Parts, Pipeline, ensure_with_known_columns};
use crate::revision::{Revision, ServedSet};
use crate::table_writer::conform;

pub use diff::{ColumnChange, ColumnState, Difference, Example, Ingredient, Rows};

/// Code of a build that the set's own contract refuses as a whole.
pub(crate) const REFUSED: &str = "SW1511";
/// What an incident of a training set's own contract is told apart by.
const OWN_CONTRACT: &str = "contract=own";
/// Kind of the intent to make a training set the next version of its table.
const REPLACE: &str = "replace_training_set";

/// What a build announces: enough to tell later whether it happened, and to record it.
#[derive(Debug, Serialize, Deserialize)]
struct Expected {
    training_set: String,
    build: u64,
    fingerprint: Fingerprint,
}

/// Finishes the records of builds that a crash cut off between the table's commit and its record: it looks at the table.
pub(crate) async fn resolve_intents(parts: &Parts) -> Result<()> {
    let permit = parts.catalog.system_permit(Action::BuildTrainingSet, "*");
    for intent in parts.catalog.open_intents().await? {
        if intent.effect.kind != REPLACE {
            continue;
        }
        let expected: Expected = serde_json::from_value(intent.effect.expected.clone())
            .map_err(|e| Error::corrupt("SW0871", format!("intent {} is damaged", intent.id)).because(e))?;
        let table = TableName::training_set(&expected.training_set)?;
        let newest = parts.tables.snapshot(&table, None).await?;
        let landed = newest.cut.end(Partition::LIVE).0 >= expected.build;
        if landed {
            let fingerprint = &expected.fingerprint;
            parts.catalog.record_training_set(&permit, &expected.training_set, newest.version, fingerprint).await?;
        }
        let outcome = json!({"recovered": true, "landed": landed, "version": landed.then_some(newest.version)});
        parts.catalog.resolve_intent(&permit, &intent.id, &outcome).await?;
    }
    Ok(())
}

fn as_json(expected: &Expected) -> Result<Value> {
    serde_json::to_value(expected).map_err(|e| Error::internal("SW0801", "cannot encode an intent").because(e))
}

/// A training set that was built and kept.
#[derive(Debug, Clone, Serialize)]
pub struct BuiltTrainingSet {
    /// Table that holds it.
    pub table: TableName,
    /// Version of that table.
    pub version: TableVersion,
    /// What it was made of.
    pub fingerprint: Fingerprint,
    /// Rules of its own contract that rows broke.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<BrokenRule>,
    /// Table with the rows that its own contract stopped, when it stopped any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<TableName>,
    /// Milliseconds on the pipeline's clock that the engine took to read the tables and to compute the rows.
    pub engine_ms: u64,
    /// Milliseconds on the pipeline's clock for everything: catching up with the log, the engine, the table's commit.
    pub elapsed_ms: u64,
}

/// Whole milliseconds between two instants; none when time stood still, as driven time does.
fn milliseconds(from: Instant, to: Instant) -> u64 {
    u64::try_from((to.0 - from.0) / 1_000).unwrap_or(0)
}

impl Pipeline {
    /// Builds a training set from everything that is durable now, with labels known before `built_at`, and keeps it as
    /// the next version of its table.
    pub async fn build_training_set(
        &self,
        permit: &Permit,
        name: &str,
        built_at: Instant,
    ) -> Result<(BuiltTrainingSet, TrainingSetRows)> {
        self.build_training_set_watched(permit, name, built_at, &Arc::default()).await
    }

    /// The same, telling `progress` how far it is.
    pub async fn build_training_set_watched(
        &self,
        permit: &Permit,
        name: &str,
        built_at: Instant,
        progress: &Arc<BuildProgress>,
    ) -> Result<(BuiltTrainingSet, TrainingSetRows)> {
        let clock = self.parts.clock.as_ref();
        let began = clock.now();
        self.catch_up().await?;
        let revision = self.revision();
        let set = revision.training_set(name)?;
        let engine_began = clock.now();
        let plan = TrainingSetPlan { progress: Arc::clone(progress), ..plan(&revision, set, built_at) };
        let rows = match self.parts.engine.training_set(permit, &plan).await {
            Err(refused) if refused.code() == REFUSED => {
                self.tell_refused(name, &refused, clock.now()).await?;
                return Err(refused);
            }
            built => built?,
        };
        let engine_ms = milliseconds(engine_began, clock.now());
        let gated = rows.gated.clone();
        let stopped = match &gated {
            Some(gated) => self.settle_gated(permit, set, gated, rows.rows.num_rows() as u64, clock.now()).await?,
            None => None,
        };
        let broken = gated.map(|gated| gated.broken).unwrap_or_default();
        let table = TableName::training_set(name)?;
        let tables = self.parts.tables.as_ref();
        ensure_with_known_columns(tables, permit, &table, &rows.rows.schema(), &set.spine.personal).await?;
        let before = tables.snapshot(&table, None).await?;
        // A table of training sets has no rows of the log: its cut counts builds.
        let build = before.cut.end(Partition::LIVE).0 + 1;
        let append = Append {
            batches: vec![conform(&rows.rows, &before.schema)?],
            staged: Vec::new(),
            from: before.cut,
            until: Cut::of(Partition::LIVE, Offset(build)),
        };
        // The table's commit cannot share a transaction with its record: it is announced first.
        let expected = Expected { training_set: name.to_owned(), build, fingerprint: rows.fingerprint.clone() };
        let effect = Effect { kind: REPLACE.into(), target: table.to_string(), expected: as_json(&expected)? };
        let intent = self.parts.catalog.open_intent(permit, &effect).await?;
        let version = tables.replace(permit, &table, append).await?;
        self.parts.catalog.record_training_set(permit, name, version, &rows.fingerprint).await?;
        self.parts.catalog.resolve_intent(permit, &intent, &json!({"version": version})).await?;
        let elapsed_ms = milliseconds(began, clock.now());
        let fingerprint = rows.fingerprint.clone();
        Ok((BuiltTrainingSet { table, version, fingerprint, broken, stopped, engine_ms, elapsed_ms }, rows))
    }

    /// Keeps what the own contract of a training set stopped and counts what it found; opens or closes its incident. The
    /// table of the stopped rows, when there are any.
    async fn settle_gated(
        &self,
        permit: &Permit,
        set: &ServedSet,
        gated: &Gated,
        passed: u64,
        now: Instant,
    ) -> Result<Option<TableName>> {
        let name = &set.training_set.name;
        let results: Vec<RuleFailures> = gated.broken.iter().map(failures).collect();
        let dataset = TableName::training_set(name)?.to_string();
        self.parts.catalog.record_table_quality(permit, &dataset, &results).await?;
        let stopped_rows = gated.stopped.num_rows() as u64;
        let table = TableName::stopped(name)?;
        let tables = self.parts.tables.as_ref();
        let is_known = match tables.snapshot(&table, None).await {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if stopped_rows > 0 || is_known {
            self.keep_stopped(permit, set, &table, &gated.stopped).await?;
        }
        if stopped_rows == 0 {
            let open = self.parts.catalog.incidents(true).await?;
            self.close_by_key(&open, &incident_key(name), "its rows keep the contract again", now).await?;
            return Ok(None);
        }
        let rules: Vec<&str> = gated.broken.iter().map(|broken| broken.rule.as_str()).collect();
        let told = format!(
            "{stopped_rows} rows of training set {name} break its contract ({}); no trainer sees them",
            rules.join(", ")
        );
        let share = stopped_rows as f64 / (stopped_rows + passed) as f64;
        self.tell_broken(name, told, share, stopped_rows + passed, now).await?;
        Ok(Some(table))
    }

    /// The stopped rows are the next version of a table of their own, which shows those of the newest build.
    async fn keep_stopped(
        &self,
        permit: &Permit,
        set: &ServedSet,
        table: &TableName,
        stopped: &RecordBatch,
    ) -> Result<()> {
        let tables = self.parts.tables.as_ref();
        let mut personal = set.spine.personal.clone();
        personal.push("_reasons".to_owned());
        ensure_with_known_columns(tables, permit, table, &stopped.schema(), &personal).await?;
        let before = tables.snapshot(table, None).await?;
        let build = before.cut.end(Partition::LIVE).0 + 1;
        let append = Append {
            batches: vec![conform(stopped, &before.schema)?],
            staged: Vec::new(),
            from: before.cut,
            until: Cut::of(Partition::LIVE, Offset(build)),
        };
        tables.replace(permit, table, append).await?;
        Ok(())
    }

    async fn tell_refused(&self, name: &str, refused: &Error, now: Instant) -> Result<()> {
        self.tell_broken(name, refused.to_string(), 1.0, 0, now).await
    }

    async fn tell_broken(&self, name: &str, told: String, share: f64, rows: u64, now: Instant) -> Result<()> {
        let signal = Signal {
            at: now,
            metric: "stopped_share".to_owned(),
            subject: name.to_owned(),
            column: None,
            slice: None,
            value: share,
            interval: None,
            limit: 0.0,
            breached: true,
            rows,
            window: Period { from: now, to: now },
        };
        let models = self
            .revision()
            .models
            .values()
            .filter(|model| model.model.training_set == name)
            .map(|model| model.model.name.clone())
            .collect();
        let found = Found {
            cause: CauseKind::Quality,
            subject: name.to_owned(),
            source: None,
            column: None,
            slice: Some(OWN_CONTRACT.to_owned()),
            factor: None,
            first_bad: None,
            first_bad_at: now,
            signal,
            excluded: Vec::new(),
            blast: Blast { training_sets: vec![name.to_owned()], models, ..Blast::default() },
            owner: None,
            told: Some(told),
        };
        self.tell(found, now).await
    }
}

/// The key under which the incident of a training set that breaks its own contract is open.
fn incident_key(training_set: &str) -> String {
    key(CauseKind::Quality, training_set, None, Some(OWN_CONTRACT))
}

fn failures(broken: &BrokenRule) -> RuleFailures {
    RuleFailures {
        rule: broken.rule.clone(),
        column: broken.column.clone(),
        mode: broken.mode.clone(),
        rows: broken.rows,
    }
}

/// The engine's plan of a training set over the newest versions.
pub(crate) fn plan(revision: &Arc<Revision>, set: &ServedSet, built_at: Instant) -> TrainingSetPlan {
    TrainingSetPlan {
        training_set: set.training_set.clone(),
        views: set.views.iter().map(|view| view.view().clone()).collect(),
        datasets: revision.datasets.values().map(|dataset| dataset.dataset.clone()).collect(),
        revision: revision.hash.to_string(),
        built_at,
        versions: Vec::new(),
        progress: Arc::default(),
    }
}
