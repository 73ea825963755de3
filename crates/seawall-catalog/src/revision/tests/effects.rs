//! Whom changes reach: a shop with two features, two training sets and two models.

use seawall_base::declare::{Aggregation, Correction, Feature, WindowEdge};
use seawall_kernel::contract::Contract;

use super::*;
use crate::revision::{AccessLine, plan_text};

fn edge(text: &str) -> LineageEdge {
    let (ends, via) = text.split_once(" via ").unwrap();
    let (from, to) = ends.split_once(' ').unwrap();
    let end = |text: &str| {
        let (object, column) = text.split_once('.').unwrap();
        (object.to_owned(), column.to_owned())
    };
    let ((from_object, from_column), (to_object, to_column)) = (end(from), end(to));
    LineageEdge { from_object, from_column, to_object, to_column, via: via.to_owned() }
}

/// The edges of [`shop`], for a version of the view.
fn edges(version: u32) -> Vec<LineageEdge> {
    let card = format!("card@{version}");
    let mut list: Vec<String> = [
        "shop.cents payments.amount via map",
        "shop.card payments.card_id via map",
        "payments.paid_at fraud._at via decision time",
        "payments.amount fraud.is_large via context",
        "fraud.card__n fraud.score via model",
        "fraud.card__sum fraud.score via model",
        "fraud.is_large fraud.score via model",
        "fraud.is_large lean.score via model",
    ]
    .map(str::to_owned)
    .to_vec();
    list.push(format!("payments.* {card}.n via feature"));
    list.push(format!("payments.amount {card}.sum via feature"));
    for feature in ["n", "sum"] {
        list.push(format!("payments.card_id {card}.{feature} via feature"));
        list.push(format!("card@1.{feature} fraud.card__{feature} via training set"));
    }
    list.iter().map(|text| edge(text)).collect()
}

fn contract(maximum: i64, description: &str) -> Contract {
    serde_json::from_value(json!({
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": "payments", "version": "1.0.0",
        "team": {"name": "checkout"},
        "schema": [{"name": "payments", "description": description, "properties": [
            {"name": "card_id", "logicalType": "string"},
            {"name": "paid_at", "logicalType": "timestamp"},
            {"name": "amount", "logicalType": "number", "logicalTypeOptions": {"maximum": maximum}},
        ]}],
    }))
    .unwrap()
}

fn shop() -> Project {
    let mut card = view("card", 1);
    let aggregation = Aggregation::Sum { column: "amount".to_owned() };
    let window = Some(Span::HOUR);
    card.features.push(Feature {
        name: "sum".to_owned(),
        aggregation,
        window,
        edge: WindowEdge::Sawtooth,
        filter: None,
    });
    let mut fraud = training_set("fraud", &["card@1"]);
    fraud.context.push(("is_large".to_owned(), "amount > 1000".to_owned()));
    let mut project = project(vec![card], vec![fraud]);
    project.contracts = vec![contract(100, "what was paid")];
    project.models = vec![model("fraud", "fraud"), model("lean", "fraud")];
    project.models[0].owner = Some("risk".to_owned());
    project
}

/// What the plan for `changed` says of its changes, after [`shop`] was applied.
async fn reached(changed: &Project, version: u32) -> Vec<String> {
    let fixture = Fixture::in_memory().await;
    let permit = fixture.permit(Action::ApplyProject);
    let first = fixture.catalog.apply(&permit, &shop(), None, &edges(1)).await.unwrap();
    assert!(first.changes.iter().all(|change| change.effect.is_empty()), "nothing was there to be reached");
    let changes = fixture.catalog.plan(changed, &edges(version)).await.unwrap();
    plan_text(&changes, &[]).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_changed_column_reaches_what_is_made_of_it() {
    let mut changed = shop();
    changed.contracts = vec![contract(200, "what was paid")];
    let text = reached(&changed, 1).await;
    assert_eq!(
        text,
        [
            "~ contract payments@1 (1.0.0): schema.payments.properties.amount.logicalTypeOptions.maximum: 100 -> 200",
            "    reaches feature card@1.sum (owner checkout); training set fraud (owner checkout); models fraud (owner risk), lean",
            "  5 unchanged"
        ]
    );
}

#[tokio::test]
async fn words_about_a_dataset_reach_nothing() {
    let mut changed = shop();
    changed.contracts = vec![contract(100, "what customers paid")];
    let text = reached(&changed, 1).await;
    assert_eq!(
        text,
        [
            "~ contract payments@1 (1.0.0): schema.payments.description: what was paid -> what customers paid",
            "  5 unchanged"
        ]
    );
}

#[tokio::test]
async fn a_source_reaches_every_column_and_a_correction_one() {
    let mut changed = shop();
    changed.sources[0].history = true;
    let text = reached(&changed, 1).await;
    assert_eq!(text[0], "~ source payments: history: false -> true");
    assert!(
        text[1].starts_with("    reaches features card@1.n, card@1.sum (owner checkout); training set fraud"),
        "{text:?}"
    );
    let mut changed = shop();
    changed.corrections.push(Correction {
        name: "cents".to_owned(),
        source: "payments".to_owned(),
        column: "amount".to_owned(),
        divide_by: 100.0,
        only: None,
        from: None,
        reason: "INC-1".to_owned(),
    });
    let text = reached(&changed, 1).await;
    assert_eq!(text[0], "+ correction cents: declared for the first time in this revision");
    assert!(text[1].starts_with("    reaches feature card@1.sum (owner checkout); training set fraud"), "{text:?}");
}

#[tokio::test]
async fn a_new_version_of_a_view_reaches_nobody_who_is_bound_to_the_old_one() {
    let mut changed = shop();
    changed.feature_views[0].features[1].window = Some(Span(2 * Span::HOUR.0));
    let text = reached(&changed, 2).await;
    assert_eq!(
        text,
        [
            "~ feature_view card@2: features.sum.window: 1h -> 2h",
            "    reaches feature card@2.sum (owner checkout)",
            "  5 unchanged"
        ]
    );
}

#[tokio::test]
async fn a_training_set_reaches_the_models_that_take_what_differs() {
    let mut changed = shop();
    changed.training_sets[0].context[0].1 = "amount > 5000".to_owned();
    let text = reached(&changed, 1).await;
    assert_eq!(text[0], "~ training_set fraud: context.is_large: amount > 1000 -> amount > 5000");
    assert_eq!(text[1], "    reaches models fraud (owner risk), lean");
    let mut rebound = shop();
    rebound.feature_views[0].features[1].window = Some(Span(2 * Span::HOUR.0));
    rebound.training_sets[0].features[0].view.version = 2;
    let text = reached(&rebound, 2).await;
    assert!(text.contains(&"~ training_set fraud: features.card.view: card@1 -> card@2".to_owned()), "{text:?}");
    assert_eq!(text.iter().filter(|line| *line == "    reaches model fraud (owner risk)").count(), 1, "{text:?}");
}

#[tokio::test]
async fn what_goes_with_the_same_revision_is_not_reached() {
    let mut changed = shop();
    changed.contracts = vec![contract(200, "what was paid")];
    changed.models.remove(0);
    let text = reached(&changed, 1).await;
    assert!(text[1].ends_with("; training set fraud (owner checkout); model lean"), "{text:?}");
    assert!(text.contains(&"- model fraud: no longer declared".to_owned()), "{text:?}");
}

#[tokio::test]
async fn new_kinds_are_planned_like_the_others() {
    let mut changed = shop();
    changed.models[1].rows_min = 100;
    changed.policies.push(PolicyFile { path: "policies/a.cedar".to_owned(), text: String::new() });
    let text = reached(&changed, 1).await;
    assert_eq!(
        text,
        [
            "~ model lean: rows_min: 500 -> 100",
            "+ policy policies/a.cedar: declared for the first time in this revision",
            "  5 unchanged"
        ]
    );
}

#[test]
fn access_is_shown_by_principal() {
    let line = AccessLine {
        principal: "ada".to_owned(),
        gains: vec!["payments.country".to_owned()],
        loses: vec!["payments.card_id".to_owned()],
    };
    assert_eq!(plan_text(&[], &[line]), "access of ada:\n    + payments.country\n    - payments.card_id\n");
    assert_eq!(plan_text(&[], &[]), "");
}

#[test]
fn long_lists_of_features_are_counted() {
    let affected = |n: i64| Affected { name: format!("card@1.f{n}"), owner: None };
    let effect = Effect { features: (0..10).map(affected).collect(), ..Effect::default() };
    let change = Change {
        kind: "source".to_owned(),
        name: "s".to_owned(),
        what: ChangeKind::Changed,
        version: None,
        reason: "map changed".to_owned(),
        differences: Vec::new(),
        effect,
        evolution: Vec::new(),
    };
    let text = plan_text(std::slice::from_ref(&change), &[]);
    assert!(text.ends_with("card@1.f6, card@1.f7 and 2 more\n"), "{text}");
    let json = serde_json::to_value(&change).unwrap();
    assert_eq!(json["effect"]["features"][0], json!({"name": "card@1.f0", "owner": null}));
    assert_eq!(serde_json::from_value::<Change>(json).unwrap(), change);
}
