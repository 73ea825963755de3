//! The two proofs of no skew.
//!
//! *Replay*: every recorded vector is refolded from the lake with its recorded T, K and C, and must be equal bit for
//! bit. *Parity*: every recorded vector is compared with the row that a training set built today holds for the same
//! decision; every difference is attributed. The counts and content hashes go into a certificate that is signed and
//! verifies offline.

mod certificate;
mod compare;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{FieldRef, Schema};
use seawall_base::engine::{PinnedInput, TrainingSetRows};
use seawall_base::error::Result;
use seawall_base::{Cut, Error, Hash, Instant, Permit, TableName, column};
use seawall_kernel::feature::{Decisions, ViewPlan, entity_keys, key_hashes, sweep};
use serde::{Deserialize, Serialize};

use crate::pipeline::Pipeline;
use crate::revision::{Revision, ServedSet, instants, project};
pub use certificate::{Certificate, Claims, verify_certificate};
use compare::{content_hash, differing_rows};

/// What the two proofs found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SkewReport {
    /// Recorded vectors that were refolded from the lake.
    pub replayed: u64,
    /// Those of which a bit differed.
    pub mismatched: u64,
    /// Vectors that cannot be refolded because rows behind them were erased.
    pub erased: u64,
    /// Training rows without a recorded vector.
    pub unrecorded: u64,
    /// Vectors recorded under definitions that are not active any more, not refolded here.
    pub other_definition: u64,
    /// Vectors compared with today's training rows.
    pub parity_compared: u64,
    /// Those with a difference.
    pub parity_differing: u64,
    /// Differences by cause: `fold_lag`, `visibility_lag`, `missing`, `unexplained`.
    pub parity_causes: BTreeMap<String, u64>,
    /// Per feature, vectors whose value differed in the replay.
    pub mismatched_features: BTreeMap<String, u64>,
}

impl SkewReport {
    /// Adds `other`.
    pub fn add(&mut self, other: &SkewReport) {
        self.replayed += other.replayed;
        self.mismatched += other.mismatched;
        self.erased += other.erased;
        self.unrecorded += other.unrecorded;
        self.other_definition += other.other_definition;
        self.parity_compared += other.parity_compared;
        self.parity_differing += other.parity_differing;
        for (cause, count) in &other.parity_causes {
            *self.parity_causes.entry(cause.clone()).or_default() += count;
        }
        for (feature, count) in &other.mismatched_features {
            *self.mismatched_features.entry(feature.clone()).or_default() += count;
        }
    }

    /// Whether served and recomputed values are the same.
    pub fn holds(&self) -> bool {
        self.mismatched == 0
    }
}

/// The proofs for one training set.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What was found.
    pub total: SkewReport,
    /// The signed certificate.
    pub certificate: Certificate,
}

/// What the proofs of a training set or a feature service rest on.
struct Proof<'a> {
    set: &'a ServedSet,
    inputs: Vec<PinnedInput>,
    /// Content hash of the training rows compared with.
    trained: Option<Hash>,
    features: Vec<RecordBatch>,
    refolded: Vec<RecordBatch>,
    report: SkewReport,
}

/// Recorded vectors of one training set, or of one feature service.
struct Recorded {
    rows: RecordBatch,
    at: Vec<Instant>,
    known: Vec<Instant>,
    cuts: Vec<Arc<Cut>>,
    keys: Vec<Option<u128>>,
}

impl Pipeline {
    /// Replays every recorded vector of a training set, compares it with `training`, and signs
    /// what was found.
    pub async fn verify_skew(
        &self,
        permit: &Permit,
        training_set: &str,
        training: &TrainingSetRows,
    ) -> Result<Verified> {
        self.catch_up().await?;
        let revision = self.revision();
        let set = revision.training_set(training_set)?.clone();
        let mut report = SkewReport::default();
        let (served, served_input) = self.recorded(permit, &set, &mut report).await?;
        let histories = self.histories(permit, &set, self.withdrawn.len()).await?;

        let mut inputs = vec![served_input];
        inputs.extend(histories.values().map(|history| history.input.clone()));
        let refolded = self.refold_in_phases(permit, &set, &histories, &served, &mut inputs).await?;
        let features = feature_columns(&set, &served.rows)?;
        report.replayed = served.rows.num_rows() as u64;
        report.mismatched = count_differences(&features, &refolded, &mut report.mismatched_features)?;

        parity(&set, &histories, &served, &features, training, &mut report).await?;
        let trained = Some(training.fingerprint.content);
        let proof = Proof { set: &set, inputs, trained, features, refolded, report };
        self.certify(permit, &revision, proof).await
    }

    /// Replays every recorded vector of a feature service, and signs what was found. No training rows are compared: a
    /// request is no row of a dataset.
    pub async fn verify_service(&self, permit: &Permit, service: &str) -> Result<Verified> {
        self.vectors.flush().await?;
        self.catch_up().await?;
        let revision = self.revision();
        let service = revision.service(service)?;
        if service.service.log.is_none() {
            let message =
                format!("feature service {} records nothing, so nothing can be replayed", service.service.id());
            return Err(
                Error::invalid("SW0856", message).hint("declare `log: all` or a share such as `log: 1%`, and apply")
            );
        }
        let set = service.set.clone();
        let mut report = SkewReport::default();
        let (served, served_input) = self.recorded(permit, &set, &mut report).await?;
        let histories = self.histories(permit, &set, self.withdrawn.len()).await?;
        let mut inputs = vec![served_input];
        inputs.extend(histories.values().map(|history| history.input.clone()));
        let refolded = self.refold_in_phases(permit, &set, &histories, &served, &mut inputs).await?;
        let features = feature_columns(&set, &served.rows)?;
        report.replayed = served.rows.num_rows() as u64;
        report.mismatched = count_differences(&features, &refolded, &mut report.mismatched_features)?;
        let proof = Proof { set: &set, inputs, trained: None, features, refolded, report };
        self.certify(permit, &revision, proof).await
    }

    /// Signs what was found, and puts it on record.
    async fn certify(&self, permit: &Permit, revision: &Revision, proof: Proof<'_>) -> Result<Verified> {
        let Proof { set, inputs, trained, features, refolded, report } = proof;
        let claims = Claims {
            kind: "skew".into(),
            version: 1,
            training_set: set.training_set.name.clone(),
            revision: revision.hash.to_string(),
            definition: set.definition,
            core_version: seawall_kernel::CORE_VERSION,
            made_at: self.parts.clock.now(),
            inputs,
            training_content: trained,
            served_content: content_hash(&features)?,
            refolded_content: content_hash(&refolded)?,
            report: report.clone(),
        };
        let certificate = Certificate::sign(claims, &self.parts.catalog)?;
        let hash = Hash::of_json(&certificate);
        let json = serde_json::to_value(&certificate)
            .map_err(|e| Error::internal("SW0801", "cannot encode a certificate").because(e))?;
        self.parts.catalog.record_certificate(permit, "skew", &set.training_set.name, &json, hash).await?;
        Ok(Verified { total: report, certificate })
    }

    /// Like [`Pipeline::verify_skew`], against training rows built as of `built_at`, or of the present.
    pub async fn verify_skew_as_of(
        &self,
        permit: &Permit,
        training_set: &str,
        built_at: Option<Instant>,
    ) -> Result<Verified> {
        self.catch_up().await?;
        let revision = self.revision();
        let set = revision.training_set(training_set)?;
        let mut plan = crate::training::plan(&revision, set, built_at.unwrap_or_else(|| self.parts.clock.now()));
        // What was served is compared whether or not a trainer may see it.
        plan.training_set.contract = None;
        let training = self.parts.engine.training_set(permit, &plan).await?;
        self.verify_skew(permit, training_set, &training).await
    }

    /// The recorded vectors under the active definitions.
    async fn recorded(
        &self,
        permit: &Permit,
        set: &ServedSet,
        report: &mut SkewReport,
    ) -> Result<(Recorded, PinnedInput)> {
        let snapshot = self.parts.tables.snapshot(&set.served_table, None).await?;
        let batches = self.parts.tables.scan(permit, &set.served_table, snapshot.version, None).await?;
        let rows = concat_batches(&snapshot.schema, &batches)?;
        let definitions = text(&rows, "_definition")?;
        let active = set.definition.to_string();
        let keep: arrow::array::BooleanArray =
            definitions.iter().map(|definition| Some(definition == Some(active.as_str()))).collect();
        report.other_definition = (rows.num_rows() - keep.true_count()) as u64;
        let rows = arrow::compute::filter_record_batch(&rows, &keep)?;

        let mut known_cuts: HashMap<String, Arc<Cut>> = HashMap::new();
        let mut cuts = Vec::with_capacity(rows.num_rows());
        for cut in text(&rows, "_cut")?.iter() {
            let cut = cut.ok_or_else(|| missing_column("_cut"))?;
            if !known_cuts.contains_key(cut) {
                known_cuts.insert(cut.to_owned(), Arc::new(cut.parse()?));
            }
            cuts.push(known_cuts[cut].clone());
        }
        let times = |name: &str| -> Result<Vec<Instant>> {
            Ok(instants(&rows, name)?.values().iter().copied().map(Instant).collect())
        };
        let recorded = Recorded {
            at: times("_at")?,
            known: times("_known_at")?,
            cuts,
            // A request is no row of a dataset that could see itself.
            keys: match set.spine.primary_key.as_slice() {
                [] => vec![None; rows.num_rows()],
                key => key_hashes(&rows, key)?,
            },
            rows,
        };
        let input = PinnedInput { table: set.served_table.to_string(), version: snapshot.version, cut: snapshot.cut };
        Ok((recorded, input))
    }

    /// The features refolded from what was visible when each vector was served: rows that a restore withdrew later were.
    async fn refold_in_phases(
        &self,
        permit: &Permit,
        set: &ServedSet,
        newest: &BTreeMap<String, History>,
        served: &Recorded,
        inputs: &mut Vec<PinnedInput>,
    ) -> Result<Vec<RecordBatch>> {
        let present = self.withdrawn.len();
        let phases: Vec<usize> = served.cuts.iter().map(|cut| self.withdrawn.phase(cut)).collect();
        let now = refold_views(set, newest, served, &served.known, Some(&served.cuts))?;
        let mut refolded = vec![now];
        let mut place = HashMap::from([(present, 0)]);
        for phase in &phases {
            if place.contains_key(phase) {
                continue;
            }
            let then = self.histories(permit, set, *phase).await?;
            inputs.extend(then.values().map(|history| history.input.clone()));
            place.insert(*phase, refolded.len());
            refolded.push(refold_views(set, &then, served, &served.known, Some(&served.cuts))?);
        }
        let wanted: Vec<(usize, usize)> = phases.iter().enumerate().map(|(row, phase)| (place[phase], row)).collect();
        let mut chosen = Vec::with_capacity(set.views.len());
        for view in 0..set.views.len() {
            let versions: Vec<&RecordBatch> = refolded.iter().map(|views| &views[view]).collect();
            chosen.push(arrow::compute::interleave_record_batch(&versions, &wanted)?);
        }
        with_derived(set, &served.rows, chosen).await
    }

    /// The rows that were visible in a phase, see [`crate::restore::Withdrawn::phase`].
    async fn histories(&self, permit: &Permit, set: &ServedSet, phase: usize) -> Result<BTreeMap<String, History>> {
        let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for view in &set.views {
            let wanted = columns.entry(view.dataset().to_owned()).or_default();
            for column in view.input_columns() {
                if !wanted.contains(&column) {
                    wanted.push(column);
                }
            }
        }
        let mut histories = BTreeMap::new();
        for (dataset, columns) in columns {
            let table = TableName::dataset(&dataset)?;
            let version = self.withdrawn.version_in(phase, &dataset);
            let snapshot = self.parts.tables.snapshot(&table, version).await?;
            let rows = self.parts.tables.scan(permit, &table, snapshot.version, Some(&columns)).await?;
            let rows = set.computed[&dataset].apply_all(rows).await?;
            let input = PinnedInput { table: dataset.clone(), version: snapshot.version, cut: snapshot.cut };
            histories.insert(dataset, History { rows, input });
        }
        Ok(histories)
    }
}

/// Rows of a dataset at a pinned version.
struct History {
    rows: Vec<RecordBatch>,
    input: PinnedInput,
}

/// One batch per view, and one of what is derived: refolded from the lake.
async fn refold(
    set: &ServedSet,
    histories: &BTreeMap<String, History>,
    served: &Recorded,
    known: &[Instant],
    cuts: Option<&[Arc<Cut>]>,
) -> Result<Vec<RecordBatch>> {
    with_derived(set, &served.rows, refold_views(set, histories, served, known, cuts)?).await
}

/// The features of views with what is derived from them and from the rest of the recorded vectors.
async fn with_derived(set: &ServedSet, rows: &RecordBatch, mut views: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    if set.derived.is_empty() {
        return Ok(views);
    }
    let features = set.feature_columns();
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if !features.contains(field.name()) {
            fields.push(field.clone());
            columns.push(column.clone());
        }
    }
    for (view, batch) in set.views.iter().zip(&views) {
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let name = format!("{}__{}", view.view().name, field.name());
            fields.push(Arc::new(field.as_ref().clone().with_name(name).with_nullable(true)));
            columns.push(column.clone());
        }
    }
    let vector = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let derived = set.derived.apply(&vector).await?;
    views.push(RecordBatch::try_new(Arc::new(Schema::new(set.derived.fields().to_vec())), derived.columns)?);
    Ok(views)
}

/// One batch per view: the features refolded from the lake.
fn refold_views(
    set: &ServedSet,
    histories: &BTreeMap<String, History>,
    served: &Recorded,
    known: &[Instant],
    cuts: Option<&[Arc<Cut>]>,
) -> Result<Vec<RecordBatch>> {
    let mut refolded = Vec::with_capacity(set.views.len());
    for (view, reference) in set.views.iter().zip(&set.training_set.features) {
        let entities = project(&served.rows, &reference.entity)?;
        let own = if view.dataset() == set.spine.name { served.keys.clone() } else { vec![None; served.at.len()] };
        let decisions = Decisions {
            keys: entity_keys(view, &entities)?,
            at: served.at.clone(),
            known: known.to_vec(),
            own,
            cuts: cuts.map(<[Arc<Cut>]>::to_vec),
        };
        let history = &histories[view.dataset()];
        refolded.push(sweep(view, &history.rows, &decisions)?);
    }
    Ok(refolded)
}

/// One batch per view, the features as recorded under the view's own names, and one of what is derived.
fn feature_columns(set: &ServedSet, rows: &RecordBatch) -> Result<Vec<RecordBatch>> {
    let mut columns: Vec<RecordBatch> = set.views.iter().map(|view| view_columns(view, rows)).collect::<Result<_>>()?;
    if !set.derived.is_empty() {
        let names: Vec<String> = set.derived.fields().iter().map(|field| field.name().clone()).collect();
        columns.push(project(rows, &names)?);
    }
    Ok(columns)
}

fn view_columns(view: &ViewPlan, rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = view.output_schema();
    let names: Vec<String> =
        schema.fields().iter().map(|field| format!("{}__{}", view.view().name, field.name())).collect();
    let columns = project(rows, &names)?.columns().to_vec();
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn count_differences(
    left: &[RecordBatch],
    right: &[RecordBatch],
    by_feature: &mut BTreeMap<String, u64>,
) -> Result<u64> {
    let mut any = vec![false; left.first().map_or(0, RecordBatch::num_rows)];
    for (left, right) in left.iter().zip(right) {
        for (i, field) in left.schema().fields().iter().enumerate() {
            let differing = differing_rows(left.column(i), right.column(i))?;
            let count = differing.iter().filter(|differs| **differs).count() as u64;
            if count > 0 {
                *by_feature.entry(field.name().clone()).or_default() += count;
            }
            any.iter_mut().zip(differing).for_each(|(any, differs)| *any |= differs);
        }
    }
    Ok(any.into_iter().filter(|differs| *differs).count() as u64)
}

/// Compares recorded vectors with today's training rows, and says why those differ that do.
async fn parity(
    set: &ServedSet,
    histories: &BTreeMap<String, History>,
    served: &Recorded,
    features: &[RecordBatch],
    training: &TrainingSetRows,
    report: &mut SkewReport,
) -> Result<()> {
    let mut newest: HashMap<(u128, i64), u32> = HashMap::new();
    for (row, key) in served.keys.iter().enumerate() {
        if let Some(key) = key {
            newest.insert((*key, served.at[row].0), row as u32);
        }
    }
    let keys = key_hashes(&training.rows, &set.spine.primary_key)?;
    let at = instants(&training.rows, "_at")?;
    let mut pairs: (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
    for (row, key) in keys.iter().enumerate() {
        match key.and_then(|key| newest.get(&(key, at.value(row)))) {
            Some(served) => {
                pairs.0.push(*served);
                pairs.1.push(row as u32);
            }
            None => report.unrecorded += 1,
        }
    }
    report.parity_compared = pairs.0.len() as u64;

    let trained = take_all(&feature_columns(set, &training.rows)?, &pairs.1)?;
    let recorded = take_all(features, &pairs.0)?;
    let differs = any_difference(&recorded, &trained)?;
    report.parity_differing = differs.iter().filter(|differs| **differs).count() as u64;
    if report.parity_differing > 0 {
        attribute(set, histories, served, &pairs.0, &trained, &differs, report).await?;
    }
    Ok(())
}

/// Refolds what was served under the rule of training, one condition at a time: the first change that makes the values
/// equal is the cause.
async fn attribute(
    set: &ServedSet,
    histories: &BTreeMap<String, History>,
    served: &Recorded,
    rows: &[u32],
    trained: &[RecordBatch],
    differs: &[bool],
    report: &mut SkewReport,
) -> Result<()> {
    let lag = set.training_set.visibility_lag;
    let as_trained: Vec<Instant> = served.at.iter().map(|at| *at - lag).collect();
    let without_cut = take_all(&refold(set, histories, served, &served.known, None).await?, rows)?;
    let with_lag = take_all(&refold(set, histories, served, &as_trained, Some(&served.cuts)).await?, rows)?;
    let neither = take_all(&refold(set, histories, served, &as_trained, None).await?, rows)?;
    let unlike = [
        ("fold_lag", any_difference(&without_cut, trained)?),
        ("visibility_lag", any_difference(&with_lag, trained)?),
        ("fold_and_visibility_lag", any_difference(&neither, trained)?),
    ];
    for row in 0..rows.len() {
        if !differs[row] {
            continue;
        }
        let cause = unlike.iter().find(|(_, unlike)| !unlike[row]).map_or("unexplained", |(cause, _)| cause);
        *report.parity_causes.entry(cause.to_owned()).or_default() += 1;
    }
    Ok(())
}

fn take_all(batches: &[RecordBatch], rows: &[u32]) -> Result<Vec<RecordBatch>> {
    let indices = arrow::array::UInt32Array::from(rows.to_vec());
    let mut taken = Vec::with_capacity(batches.len());
    for batch in batches {
        taken.push(arrow::compute::take_record_batch(batch, &indices)?);
    }
    Ok(taken)
}

fn any_difference(left: &[RecordBatch], right: &[RecordBatch]) -> Result<Vec<bool>> {
    let mut any = vec![false; left.first().map_or(0, RecordBatch::num_rows)];
    for (left, right) in left.iter().zip(right) {
        for (left, right) in left.columns().iter().zip(right.columns()) {
            let differing = differing_rows(left, right)?;
            any.iter_mut().zip(differing).for_each(|(any, differs)| *any |= differs);
        }
    }
    Ok(any)
}

fn text<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    let column = rows.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
    column.ok_or_else(|| missing_column(name))
}

pub(crate) fn missing_column(name: &str) -> Error {
    debug_assert!(name.starts_with('_') || column::SYSTEM.contains(&name));
    Error::corrupt("SW0860", format!("a table lacks its column {name:?}"))
        .hint("the table was written by another program; restore it from the log with `seawall repair`")
}

impl Revision {
    /// Training sets in order of name.
    pub fn training_set_names(&self) -> Vec<String> {
        self.training_sets.keys().cloned().collect()
    }
}
