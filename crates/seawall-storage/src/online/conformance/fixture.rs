//! Payments with their views, for the suite and for tests: rows, requests, and what the kernel says they must yield.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use seawall_base::declare::{Aggregation, Feature, FeatureView, WindowEdge};
use seawall_base::{
    Cut, Dataset, FeatureRequest, Instant, Offset, OnlineStore, Partition, Rng, SeededRng, ServedFeatures, Span,
    VersionedName, ViewRequest,
};
use seawall_kernel::feature::{Retention, ViewPlan, ViewState, entity_keys, key_hashes};

const CARDS: [&str; 5] = ["a", "b", "c", "d", "e"];
const COUNTRIES: [&str; 3] = ["US", "DE", "FR"];
/// Payments begin around this instant.
pub const FIXTURE_START: Instant = Instant(1_700_000_000_000_000);
/// Rows alternate between two partitions, in runs of this length.
const RUN: usize = 3;

/// A dataset of payments with two views over it.
pub struct Fixture {
    dataset: Dataset,
    views: [FeatureView; 2],
}

/// One payment.
#[derive(Debug, Clone)]
pub struct Row {
    /// Partition of its identity.
    pub partition: Partition,
    /// Offset of its identity.
    pub offset: Offset,
    /// Its primary key.
    pub payment_id: String,
    /// The card that paid.
    pub card: Option<String>,
    /// When.
    pub paid_at: Instant,
    /// How much.
    pub amount: Option<f64>,
    /// Where.
    pub country: String,
    /// When it could first be known.
    pub available_at: Instant,
}

impl Fixture {
    /// The dataset and its views.
    pub fn new() -> Self {
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Schema::new(vec![
            Field::new("payment_id", DataType::Utf8, false),
            Field::new("card", DataType::Utf8, true),
            Field::new("paid_at", instant, true),
            Field::new("amount", DataType::Float64, true),
            Field::new("country", DataType::Utf8, true),
        ]);
        let dataset = Dataset {
            name: "payments".to_owned(),
            schema: Arc::new(schema),
            primary_key: vec!["payment_id".to_owned()],
            event_time: Some("paid_at".to_owned()),
            personal: Vec::new(),
            subject: None,
            changelog: None,
        };
        let amount = || "amount".to_owned();
        let country = || "country".to_owned();
        let card = view(
            "card",
            vec![
                feature("n_1h", Aggregation::Count { column: None }, Some(Span::HOUR)),
                feature("sum_24h", Aggregation::Sum { column: amount() }, Some(Span::DAY)),
                feature("sd_2h", Aggregation::Variance { column: amount() }, Some(Span(2 * Span::HOUR.0))),
                feature("country", Aggregation::Latest { column: country() }, Some(Span::DAY)),
                feature("since", Aggregation::TimeSince, None),
            ],
        );
        let place = view(
            "country",
            vec![
                feature("mean_1h", Aggregation::Mean { column: amount() }, Some(Span::HOUR)),
                feature("cards_1d", Aggregation::Distinct { column: "card".to_owned(), exact: false }, Some(Span::DAY)),
                feature("p90_6h", Aggregation::Quantile { column: amount(), q: 0.9 }, Some(Span(6 * Span::HOUR.0))),
            ],
        );
        Fixture { dataset, views: [card, place] }
    }

    /// The dataset.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The views, by card and by country.
    pub fn views(&self) -> [FeatureView; 2] {
        self.views.clone()
    }

    /// Names and versions of the views, ordered.
    pub fn view_ids(&self) -> Vec<VersionedName> {
        self.views.iter().map(FeatureView::id).collect()
    }

    /// Defines both views.
    pub async fn define(&self, store: &dyn OnlineStore) {
        for view in &self.views {
            store.define(view, &self.dataset).await.expect("a view is defined");
        }
    }

    /// `count` reproducible payments from around [`FIXTURE_START`] on, in the order in which they are received: event times out of
    /// order, some cards and amounts missing, some rows available only minutes after they are received.
    pub fn rows(&self, count: usize) -> Vec<Row> {
        let start = FIXTURE_START;
        let random = SeededRng::new(7);
        let mut rows = Vec::with_capacity(count);
        for i in 0..count {
            let mut bytes = [0; 8];
            random.fill(&mut bytes);
            let pick = |byte: usize, among: i64| i64::from(bytes[byte]) % among;
            let (partition, offset) = identity(i);
            let paid_at = start + Span((i as i64 * 20 - 40 * 60 + pick(0, 256) * 11) * Span::SECOND.0);
            let delay = if pick(1, 3) == 0 { pick(2, 90) * Span::MINUTE.0 } else { pick(3, 5) };
            rows.push(Row {
                partition,
                offset,
                payment_id: format!("p{i}"),
                card: (pick(4, 11) != 0).then(|| CARDS[pick(5, 5) as usize].to_owned()),
                paid_at,
                amount: (pick(6, 7) != 0).then(|| f64::from(bytes[7]) * 0.1 - 3.0),
                country: COUNTRIES[pick(7, 3) as usize].to_owned(),
                available_at: start + Span(i as i64 * 18 * Span::SECOND.0 + delay),
            });
        }
        rows
    }

    /// The cut of the first `count` rows.
    pub fn cut(&self, count: usize) -> Cut {
        let mut cut = Cut::empty();
        for i in 0..count {
            let (partition, offset) = identity(i);
            cut.advance(partition, Offset(offset.0 + 1));
        }
        cut
    }

    /// Rows as a batch in the table's schema.
    pub fn batch(&self, rows: &[Row]) -> RecordBatch {
        let instants = |of: fn(&Row) -> Instant| -> ArrayRef {
            let values = rows.iter().map(|row| of(row).0);
            Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
        };
        let ids = rows.iter().map(|row| Some(row.payment_id.as_str()));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter(ids)),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.card.as_deref()))),
            instants(|row| row.paid_at),
            Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.amount))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.country.as_str()))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.partition.0 as i32))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.offset.0 as i64))),
            instants(|row| row.available_at),
            instants(|row| row.available_at),
        ];
        RecordBatch::try_new(self.dataset.table_schema(), columns).expect("the columns are those of the schema")
    }

    /// Gives rows to the store, with the cut of the first `until` rows.
    pub async fn receive(&self, store: &dyn OnlineStore, rows: &[Row], until: usize) {
        store.receive("payments", &self.batch(rows), &self.cut(until)).await.expect("rows are taken");
    }

    /// A request over both views for decisions `(at, now)`: cards and countries in turn, an unknown one and null among
    /// them, and some decisions asked by a row of the dataset.
    pub fn request(&self, decisions: &[(Instant, Instant)]) -> FeatureRequest {
        let cards = ["a", "b", "nobody", "c", "d", "e"];
        let card = (0..decisions.len()).map(|i| (i % 13 != 12).then(|| cards[i % cards.len()]));
        let place = (0..decisions.len()).map(|i| Some(COUNTRIES[i % COUNTRIES.len()]));
        let own = self.own(decisions);
        let views = [entities(card.collect()), entities(place.collect())];
        FeatureRequest {
            views: (self.views.iter().zip(views))
                .map(|(view, entities)| ViewRequest { view: view.id(), entities, own: own.clone() })
                .collect(),
            at: decisions.iter().map(|decision| decision.0).collect(),
            now: decisions.iter().map(|decision| decision.1).collect(),
        }
    }

    /// Panics unless `served` is what the kernel computes from `rows`, all received, for `decisions` whose clock
    /// readings are their K.
    pub fn check(&self, rows: &[Row], decisions: &[(Instant, Instant)], served: &ServedFeatures) {
        let request = self.request(decisions);
        assert_eq!(served.known_at, request.now, "K is what the clock showed");
        assert_eq!(served.cut, self.cut(rows.len()), "C is what was received");
        assert_eq!(served.views.len(), request.views.len(), "every view is answered");
        for ((view, asked), answer) in self.views.iter().zip(&request.views).zip(&served.views) {
            let plan = Arc::new(ViewPlan::compile(view, &self.dataset).expect("the view fits the dataset"));
            let keys = entity_keys(&plan, &asked.entities).expect("the entities fit the view");
            let mut state = ViewState::new(plan, Retention::All);
            state.receive(&self.batch(rows)).expect("the rows fit the view");
            for (i, decision) in decisions.iter().enumerate() {
                state.advance(request.now[i]).expect("rows become known");
                let one = i..i + 1;
                let (values, status) = state
                    .values(&keys[one.clone()], &request.at[one.clone()], &asked.own[one])
                    .expect("everything is kept");
                assert_eq!(answer.values.slice(i, 1), values, "{} of decision {i} at {decision:?}", view.id());
                assert_eq!(answer.status[i], status[0], "status of {} of decision {i}", view.id());
            }
        }
    }

    /// Every fourth decision is asked by a row of its time.
    fn own(&self, decisions: &[(Instant, Instant)]) -> Vec<Option<u128>> {
        let near = |at: Instant| (at - FIXTURE_START).0 / (20 * Span::SECOND.0) + 60;
        let ids = StringArray::from_iter_values(decisions.iter().map(|(at, _)| format!("p{}", near(*at))));
        let columns: Vec<(&str, ArrayRef)> = vec![("payment_id", Arc::new(ids))];
        let batch = RecordBatch::try_from_iter(columns).expect("one column is a batch");
        let mut own = key_hashes(&batch, &self.dataset.primary_key).expect("text identifies rows");
        own.iter_mut().enumerate().filter(|(i, _)| i % 4 != 3).for_each(|(_, own)| *own = None);
        own
    }
}

impl Default for Fixture {
    fn default() -> Self {
        Fixture::new()
    }
}

fn identity(row: usize) -> (Partition, Offset) {
    let (run, within) = (row / RUN, row % RUN);
    (Partition((run % 2) as u32 * 4), Offset((run / 2 * RUN + within) as u64))
}

fn entities(values: Vec<Option<&str>>) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef, bool)> = vec![("asked", Arc::new(StringArray::from(values)), true)];
    RecordBatch::try_from_iter_with_nullable(columns).expect("one column is a batch")
}

fn view(entity: &str, features: Vec<Feature>) -> FeatureView {
    FeatureView {
        name: entity.to_owned(),
        version: 1,
        entity: vec![entity.to_owned()],
        from: "payments".to_owned(),
        time: "paid_at".to_owned(),
        features,
        computed: Vec::new(),
    }
}

fn feature(name: &str, aggregation: Aggregation, window: Option<Span>) -> Feature {
    Feature { name: name.to_owned(), aggregation, window, edge: WindowEdge::Sawtooth, filter: None }
}
