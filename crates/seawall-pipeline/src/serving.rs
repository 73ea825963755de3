//! Serving: answers requests for features and records every served vector through the log.
//!
//! A vector is recorded with its decision time T, what was known (K), the cut (C) and the hash of its definitions, so
//! that [`crate::verify`] can refold it from the lake and compare bits.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use seawall_base::error::Result;
use seawall_base::online::FeatureStatus;
use seawall_base::{
    Cut, Error, ErrorKind, FeatureRequest, Instant, Permit, ServedFeatures, VersionedName, ViewRequest, column,
};
use seawall_catalog::Counts;
use seawall_kernel::feature::key_hashes;

use crate::frame::{Frame, FrameSeal, Header, Position};
use crate::gate;
use crate::pipeline::Pipeline;
use crate::revision::{ServedSet, all_nullable, project, with_times};
use crate::sealing::{self, RowKeys};

/// How long a request waits for the cut that it names: far longer than features lag while nothing is away.
const CUT_PATIENCE: Duration = Duration::from_secs(5);

/// Decisions to serve for one training set.
#[derive(Debug, Clone)]
pub struct Decisions {
    /// Spine rows: at least the entity columns and what the context needs; with the primary key, a row that is already
    /// in the dataset does not see itself.
    pub rows: RecordBatch,
    /// Decision time of each row.
    pub at: Vec<Instant>,
    /// What the clock showed for each row; never decreasing.
    pub now: Vec<Instant>,
    /// How far the decisions of a replay have come with these.
    pub position: Option<Position>,
}

/// A served answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// One row per decision: key and entity columns, `_at`, `_known_at`, `_cut`, `_definition`, context, features.
    pub rows: RecordBatch,
    /// Status of the features of each row, in the order of the feature columns.
    pub status: Vec<Vec<FeatureStatus>>,
    /// K of each decision.
    pub known_at: Vec<Instant>,
    /// C of all of them.
    pub cut: Cut,
}

impl Pipeline {
    /// Serves and records the vectors of a training set.
    pub async fn serve(&self, permit: &Permit, training_set: &str, decisions: &Decisions) -> Result<Answer> {
        let revision = self.revision();
        let set = revision.training_set(training_set)?;
        let answer = self.answer(set, decisions).await?;
        self.record(permit, set, &answer, decisions.position.clone()).await?;
        Ok(answer)
    }

    /// The vectors of a training set, unrecorded: for decisions whose vectors are recorded already.
    pub(crate) async fn answer_again(&self, training_set: &str, decisions: &Decisions) -> Result<Answer> {
        let revision = self.revision();
        self.answer(revision.training_set(training_set)?, decisions).await
    }

    /// Waits until features hold every row within `cut`, which a producer was told when its rows were durable.
    pub async fn wait_for_features(&self, cut: &Cut) -> Result<()> {
        let online = self.parts.online.clone();
        let reached = self.feature_writer.wait_until(|| online.store_cut().covers(cut));
        match tokio::time::timeout(CUT_PATIENCE, reached).await {
            Ok(reached) => reached,
            Err(_) => {
                let message = format!("features hold rows up to cut {}, not up to {cut}", online.store_cut());
                Err(Error::new(ErrorKind::Unavailable, "SW0449", message)
                    .hint("name the cut of a receipt of this installation, and try again in a moment"))
            }
        }
    }

    /// Serves the features of single views, unrecorded, all at one K and one cut: for each view its entity columns, one
    /// row per decision.
    pub async fn serve_views(
        &self,
        views: &[VersionedName],
        entities: &[RecordBatch],
        at: Instant,
    ) -> Result<ServedFeatures> {
        self.feature_writer.check_running()?;
        let rows = entities.first().map_or(0, RecordBatch::num_rows);
        let asked = views.iter().zip(entities).map(|(view, entities)| ViewRequest {
            view: view.clone(),
            entities: entities.clone(),
            own: vec![None; rows],
        });
        let views = asked.collect();
        let now = self.parts.clock.now();
        let request = FeatureRequest { views, at: vec![at; rows], now: vec![now; rows] };
        self.parts.online.serve(&request).await
    }

    async fn answer(&self, set: &ServedSet, decisions: &Decisions) -> Result<Answer> {
        self.feature_writer.check_running()?;
        let rows = decisions.rows.num_rows();
        let keys = decision_keys(set, &decisions.rows)?;
        let mut requests = Vec::with_capacity(set.views.len());
        for (view, reference) in set.views.iter().zip(&set.training_set.features) {
            let own = if view.dataset() == set.spine.name { keys.clone() } else { vec![None; rows] };
            let entities = project(&decisions.rows, &reference.entity)?;
            requests.push(ViewRequest { view: reference.view.clone(), entities, own });
        }
        let request = FeatureRequest { views: requests, at: decisions.at.clone(), now: decisions.now.clone() };
        let served = self.parts.online.serve(&request).await?;
        let context = match &set.context {
            Some(map) => Some(map.apply(&conform_spine(&decisions.rows, &set.spine.schema)?).await?),
            None => None,
        };
        assemble(set, decisions, served, context.as_ref())
    }

    async fn record(
        &self,
        permit: &Permit,
        set: &ServedSet,
        answer: &Answer,
        position: Option<Position>,
    ) -> Result<()> {
        let table = set.served_table.as_str();
        let keys = sealing::derived_keys(&self.parts.keys, table, &set.spine, &answer.rows, &[]).await?;
        let mut order = self.order.lock().await;
        let arrivals =
            order.stamp(answer.rows.num_rows(), None, answer.known_at.last().copied().unwrap_or(Instant::MIN));
        let rows = answer.rows.num_rows() as u64;
        let counts = Counts { received: rows, accepted: rows, ..Counts::default() };
        let header = Header { position, ..Header::new(table, "serving", permit, counts) };
        let accepted = with_times(&answer.rows, arrivals.clone(), arrivals)?;
        let frame = Frame { header, accepted: Some(accepted), quarantined: None };
        order.note(&frame);
        let seal = FrameSeal { accepted: keys.as_ref().map(RowKeys::all), quarantined: None };
        gate::append_in_order(&self.parts.log, &frame, &seal, order).await?.durable().await?;
        Ok(())
    }
}

/// Key hash of each decision's own row; none where the request does not name it.
fn decision_keys(set: &ServedSet, rows: &RecordBatch) -> Result<Vec<Option<u128>>> {
    let key = &set.spine.primary_key;
    let named = !key.is_empty() && key.iter().all(|column| rows.column_by_name(column).is_some());
    if named { key_hashes(rows, key) } else { Ok(vec![None; rows.num_rows()]) }
}

/// Brings request rows to the spine's columns: what the request lacks is null.
fn conform_spine(rows: &RecordBatch, spine: &SchemaRef) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(spine.fields().len());
    for field in spine.fields() {
        columns.push(match rows.column_by_name(field.name()) {
            Some(column) => column.clone(),
            None => arrow::array::new_null_array(field.data_type(), rows.num_rows()),
        });
    }
    let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(all_nullable(spine), columns, &options)?)
}

fn assemble(
    set: &ServedSet,
    decisions: &Decisions,
    served: ServedFeatures,
    context: Option<&RecordBatch>,
) -> Result<Answer> {
    let rows = decisions.rows.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(set.served_schema.fields().len());
    let kept = set.kept_columns();
    for name in &kept {
        let data_type = set.spine.schema.field_with_name(name)?.data_type();
        columns.push(match decisions.rows.column_by_name(name) {
            Some(column) => column.clone(),
            None => arrow::array::new_null_array(data_type, rows),
        });
    }
    columns.push(instant_column(&decisions.at));
    columns.push(instant_column(&served.known_at));
    columns.push(Arc::new(StringArray::from(vec![served.cut.to_string(); rows])));
    columns.push(Arc::new(StringArray::from(vec![set.definition.to_string(); rows])));
    if let Some(context) = context {
        for (column, (name, _)) in context.columns().iter().zip(&set.training_set.context) {
            if !kept.contains(name) {
                columns.push(column.clone());
            }
        }
    }
    let mut status = vec![Vec::new(); rows];
    for view in &served.views {
        columns.extend(view.values.columns().iter().cloned());
        for (row, statuses) in status.iter_mut().zip(&view.status) {
            row.extend_from_slice(statuses);
        }
    }
    let rows = RecordBatch::try_new(set.served_schema.clone(), columns)?;
    Ok(Answer { rows, status, known_at: served.known_at, cut: served.cut })
}

fn instant_column(instants: &[Instant]) -> ArrayRef {
    let micros: Vec<i64> = instants.iter().map(|instant| instant.0).collect();
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}

/// Schema of the table that records served vectors.
pub(crate) fn served_table_schema(set: &ServedSet) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = set.served_schema.fields().iter().cloned().collect();
    for name in [column::ARRIVAL, column::AVAILABLE_AT] {
        fields.push(Arc::new(Field::new(name, crate::instant_type(), false)));
    }
    crate::pipeline::with_system_columns(&Arc::new(Schema::new(fields)))
}
