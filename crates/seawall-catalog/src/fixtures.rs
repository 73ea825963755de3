//! What the tests of this crate share: catalogs of both kinds on a driven clock, and small projects.

use std::sync::Arc;

use seawall_base::declare::{
    Aggregation, Boosting, Calibration, Connector, Feature, FeatureRef, FeatureView, MissingAction, Model, OnMissing,
    OwnRow, ReadyWhen, Source, Spine, Trainer, TrainingSet, WindowEdge,
};
use seawall_base::{Clock, DrivenClock, Instant, Permit, SeededRng, Span};
use seawall_kernel::contract::Contract;

use crate::catalog::Catalog;
use crate::policy::Action;
use crate::project::model::Project;

/// When every fixture begins.
pub(crate) const START: Instant = Instant(1_700_000_000_000_000);

/// A catalog and its clock.
pub(crate) struct Fixture {
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<DrivenClock>,
    pub(crate) folder: Option<tempfile::TempDir>,
}

impl Fixture {
    pub(crate) async fn in_memory() -> Fixture {
        let clock = Arc::new(DrivenClock::starting_at(START));
        let catalog = Catalog::in_memory(clock.clone(), Arc::new(SeededRng::new(1))).await.unwrap();
        Fixture { catalog, clock, folder: None }
    }

    pub(crate) async fn on_disk() -> Fixture {
        let clock = Arc::new(DrivenClock::starting_at(START));
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(folder.path(), clock.clone(), Arc::new(SeededRng::new(1))).await.unwrap();
        Fixture { catalog, clock, folder: Some(folder) }
    }

    /// The same catalog as another process sees it.
    pub(crate) async fn second(&self) -> Catalog {
        let folder = self.folder.as_ref().expect("only a catalog on disk can be opened twice");
        Catalog::open(folder.path(), self.clock.clone(), Arc::new(SeededRng::new(2))).await.unwrap()
    }

    pub(crate) fn permit(&self, action: Action) -> Permit {
        self.catalog.system_permit(action, "tests")
    }

    pub(crate) fn pass(&self, span: Span) {
        self.clock.advance_to(self.clock.now() + span);
    }

    /// Changes the database behind the catalog's back.
    pub(crate) async fn tamper(&self, sql: &'static str) {
        let mut write = self.catalog.begin().await.unwrap();
        sqlx::query(sql).execute(write.connection()).await.unwrap();
        write.commit().await.unwrap();
    }

    /// The events of the audit ledger, in order.
    pub(crate) async fn events(&self) -> Vec<String> {
        self.catalog.audit(1000, 0).await.unwrap().into_iter().map(|entry| entry.event).collect()
    }
}

/// Runs a test on a catalog in memory and on one on disk.
pub(crate) async fn on_both(test: impl AsyncFn(Fixture)) {
    test(Fixture::in_memory().await).await;
    test(Fixture::on_disk().await).await;
}

/// A feature view over `payments` that counts rows in a window of `hours`.
pub(crate) fn view(name: &str, hours: i64) -> FeatureView {
    let window = Some(Span(hours * Span::HOUR.0));
    let aggregation = Aggregation::Count { column: None };
    FeatureView {
        name: name.to_owned(),
        version: 1,
        entity: vec!["card_id".to_owned()],
        from: "payments".to_owned(),
        time: "paid_at".to_owned(),
        features: vec![Feature { name: "n".to_owned(), aggregation, window, edge: WindowEdge::Sawtooth, filter: None }],
        computed: Vec::new(),
    }
}

/// A training set over `payments` that is bound to `views`.
pub(crate) fn training_set(name: &str, views: &[&str]) -> TrainingSet {
    let reference =
        |id: &&str| FeatureRef { view: id.parse().unwrap(), entity: vec!["card_id".to_owned()], only: Vec::new() };
    TrainingSet {
        name: name.to_owned(),
        rows: Spine { from: "payments".to_owned(), at: "paid_at".to_owned(), own_row: OwnRow::Exclude },
        label: None,
        service: None,
        features: views.iter().map(reference).collect(),
        context: Vec::new(),
        request: Vec::new(),
        derived: Vec::new(),
        visibility_lag: Span::ZERO,
        known: seawall_base::declare::Known::InTime,
        contract: None,
    }
}

/// A model of a training set, without anything special about it.
pub(crate) fn model(name: &str, training_set: &str) -> Model {
    Model {
        name: name.to_owned(),
        training_set: training_set.to_owned(),
        owner: None,
        positive: None,
        inputs: Vec::new(),
        trainer: Trainer::Boosting(Boosting::default()),
        calibration: Calibration::Platt,
        holdout: Span(14 * Span::DAY.0),
        rows_min: 500,
        on_missing: OnMissing { default: MissingAction::Degrade, columns: Vec::new() },
        ready_when: ReadyWhen::default(),
        retrain: None,
    }
}

/// A project with contract and source of `payments`, the given views and training sets.
pub(crate) fn project(feature_views: Vec<FeatureView>, training_sets: Vec<TrainingSet>) -> Project {
    let contract: Contract = serde_json::from_value(serde_json::json!({
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": "payments", "version": "1.0.0",
        "schema": [{"name": "payments", "properties": [{"name": "card_id", "logicalType": "string"}]}],
    }))
    .unwrap();
    let source = Source {
        name: "payments".to_owned(),
        connector: Connector::Http,
        contract: "payments@1".to_owned(),
        dataset: "payments".to_owned(),
        map: None,
        references: Vec::new(),
        available_at: seawall_base::declare::Available::Arrival,
        history: false,
    };
    Project {
        name: "shop".to_owned(),
        contracts: vec![contract],
        sources: vec![source],
        feature_views,
        feature_services: Vec::new(),
        training_sets,
        models: Vec::new(),
        monitors: Vec::new(),
        corrections: Vec::new(),
        views: Vec::new(),
        policies: Vec::new(),
        log_retention: None,
        tables: None,
        other: Vec::new(),
    }
}
