//! Serving: answers requests for features and records every served vector through the log.
//!
//! A vector is recorded with its decision time T, what was known (K), the cut (C) and the hash of its definitions, so
//! that [`crate::verify`] can refold it from the lake and compare bits.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use seawall_base::error::Result;
use seawall_base::online::{FeatureStatus, ViewValues};
use seawall_base::{
    Cut, Error, ErrorKind, FeatureRequest, Instant, Log, Permit, ServedFeatures, VersionedName, ViewRequest, column,
};
use seawall_catalog::Counts;
use seawall_kernel::feature::{ViewPlan, key_hashes};
use seawall_storage::keys::KeyRing;

use crate::frame::{Frame, FrameSeal, Header, Position};
use crate::gate::{self, Order, PendingAppend};
use crate::pipeline::Pipeline;
use crate::revision::{ServedSet, all_nullable, project, with_times};
use crate::sealing::{self, RowKeys};
use crate::service::ServedService;

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
    /// One row per decision: key and entity columns, `_at`, `_known_at`, `_cut`, `_definition`, context, features, what is
    /// derived.
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

    /// Serves the vectors of a feature service. What of it is recorded goes its own way, which the answer does not wait for.
    pub async fn serve_service(&self, service: &Arc<ServedService>, rows: RecordBatch, at: Instant) -> Result<Answer> {
        let count = rows.num_rows();
        let now = self.parts.clock.now();
        let decisions = Decisions { rows, at: vec![at; count], now: vec![now; count], position: None };
        let answer = self.answer(&service.set, &decisions).await?;
        self.vectors.offer(service, &answer)?;
        Ok(answer)
    }

    /// The vectors of a feature service as a training set would hold them: from the tables, known at K = T, unrecorded.
    pub async fn service_as_of(
        &self,
        permit: &Permit,
        service: &Arc<ServedService>,
        rows: RecordBatch,
        at: Instant,
    ) -> Result<Answer> {
        let set = &service.set;
        let count = rows.num_rows();
        let mut views = Vec::with_capacity(set.views.len());
        for (view, reference) in set.views.iter().zip(&set.training_set.features) {
            let entities = project(&rows, &reference.entity)?;
            let values = self.features_as_of(permit, &reference.view, &entities, at).await?;
            let values = taken(view, &values)?;
            views.push(ViewValues { status: present_or_null(&values), values });
        }
        let served = ServedFeatures { views, known_at: vec![at; count], cut: Cut::empty() };
        let decisions = Decisions { rows, at: vec![at; count], now: vec![at; count], position: None };
        assemble(set, &decisions, served, None).await
    }

    async fn answer(&self, set: &ServedSet, decisions: &Decisions) -> Result<Answer> {
        self.feature_writer.check_running()?;
        let rows = decisions.rows.num_rows();
        let keys = decision_keys(set, &decisions.rows)?;
        let context = match &set.context {
            Some(map) => Some(map.apply(&conform_spine(&decisions.rows, &set.spine.schema)?).await?),
            None => None,
        };
        let mut requests = Vec::with_capacity(set.views.len());
        for (view, reference) in set.views.iter().zip(&set.training_set.features) {
            let own = if view.dataset() == set.spine.name { keys.clone() } else { vec![None; rows] };
            let entities = set.entity(reference, &decisions.rows, context.as_ref())?;
            requests.push(ViewRequest { view: reference.view.clone(), entities, own });
        }
        let request = FeatureRequest { views: requests, at: decisions.at.clone(), now: decisions.now.clone() };
        let mut served = self.parts.online.serve(&request).await?;
        for (view, values) in set.views.iter().zip(&mut served.views) {
            narrow(view, values)?;
        }
        assemble(set, decisions, served, context.as_ref()).await
    }

    async fn record(
        &self,
        permit: &Permit,
        set: &ServedSet,
        answer: &Answer,
        position: Option<Position>,
    ) -> Result<()> {
        let last = answer.known_at.last().copied().unwrap_or(Instant::MIN);
        let record = Record { set, rows: &answer.rows, known_at: last, position };
        let (log, keys) = (&self.parts.log, &self.parts.keys);
        record.append(permit, log, keys, &self.order).await?.durable().await?;
        Ok(())
    }
}

/// Served vectors on their way into the log.
pub(crate) struct Record<'a> {
    pub set: &'a ServedSet,
    /// Rows as in [`Answer::rows`].
    pub rows: &'a RecordBatch,
    /// The greatest K among them.
    pub known_at: Instant,
    pub position: Option<Position>,
}

impl Record<'_> {
    /// Gives the vectors their place in the order; they are recorded once the append is durable.
    pub async fn append(
        self,
        permit: &Permit,
        log: &Arc<dyn Log>,
        ring: &KeyRing,
        order: &tokio::sync::Mutex<Order>,
    ) -> Result<PendingAppend> {
        let Record { set, rows, known_at, position } = self;
        let table = set.served_table.as_str();
        let keys = sealing::derived_keys(ring, table, &set.spine, rows, &[]).await?;
        let mut order = order.lock().await;
        let arrivals = order.stamp(rows.num_rows(), None, known_at);
        let count = rows.num_rows() as u64;
        let counts = Counts { received: count, accepted: count, ..Counts::default() };
        let header = Header { position, ..Header::new(table, "serving", permit, counts) };
        let accepted = with_times(rows, arrivals.clone(), arrivals)?;
        let frame = Frame { header, accepted: Some(accepted), quarantined: None };
        order.note(&frame);
        let seal = FrameSeal { accepted: keys.as_ref().map(RowKeys::all), quarantined: None };
        gate::append_in_order(log, &frame, &seal, order).await
    }
}

/// The features that a plan takes of a view, out of all that it has.
fn taken(view: &ViewPlan, values: &RecordBatch) -> Result<RecordBatch> {
    let names: Vec<String> = view.output_schema().fields().iter().map(|field| field.name().clone()).collect();
    project(values, &names)
}

/// Leaves of served values what a plan takes of the view.
fn narrow(view: &ViewPlan, served: &mut ViewValues) -> Result<()> {
    let wanted = view.output_schema();
    let schema = served.values.schema();
    let is_whole = schema.fields().len() == wanted.fields().len()
        && schema.fields().iter().zip(wanted.fields()).all(|(has, wants)| has.name() == wants.name());
    if is_whole {
        return Ok(());
    }
    let mut places = Vec::with_capacity(wanted.fields().len());
    for field in wanted.fields() {
        places.push(schema.index_of(field.name())?);
    }
    served.values = served.values.project(&places)?;
    for row in &mut served.status {
        *row = places.iter().map(|place| row[*place]).collect();
    }
    Ok(())
}

/// What values from tables are; why one is missing is known online only.
pub fn present_or_null(values: &RecordBatch) -> Vec<Vec<FeatureStatus>> {
    use arrow::array::Array;
    let status = |row: usize, column: &dyn Array| match column.is_null(row) {
        true => FeatureStatus::Null,
        false => FeatureStatus::Present,
    };
    let row = |row: usize| values.columns().iter().map(|column| status(row, column.as_ref())).collect();
    (0..values.num_rows()).map(row).collect()
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

async fn assemble(
    set: &ServedSet,
    decisions: &Decisions,
    served: ServedFeatures,
    context: Option<&RecordBatch>,
) -> Result<Answer> {
    let rows = decisions.rows.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(set.served_schema.fields().len());
    for name in &set.kept {
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
            if !set.kept.contains(name) {
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
    if !set.derived.is_empty() {
        let fields = &set.served_schema.fields()[..columns.len()];
        let vector = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns.clone())?;
        let derived = set.derived.apply(&vector).await?;
        columns.extend(derived.columns);
        for (row, statuses) in status.iter_mut().zip(derived.status) {
            row.extend(statuses);
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
