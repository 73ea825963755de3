//! Versions, bindings, bases and history; a simple oracle numbers versions by hand.

use std::collections::BTreeMap;

use proptest::prelude::*;
use seawall_base::Span;
use seawall_base::declare::{DerivedFeature, FeatureRef, LogShare};
use serde_json::json;

use super::differences::{differences, sentence};
use super::*;
use crate::fixtures::{Fixture, START, model, on_both, project, training_set, view};
use crate::lineage::{Direction, LineageEdge};
use crate::policy::Action;
use crate::project::PolicyFile;

mod effects;

async fn apply(fixture: &Fixture, project: &Project) -> Applied {
    fixture.catalog.apply(&fixture.permit(Action::ApplyProject), project, None, &[]).await.unwrap()
}

fn shown(changes: &[Change]) -> Vec<String> {
    let one = |change: &Change| {
        let version = change.version.as_deref().unwrap_or("-");
        let what = serde_json::to_value(change.what).unwrap();
        format!("{} {} {} {version}: {}", what.as_str().unwrap(), change.kind, change.name, change.reason)
    };
    changes.iter().filter(|change| change.what != ChangeKind::Unchanged).map(one).collect()
}

#[tokio::test]
async fn a_first_apply_makes_everything_new() {
    on_both(async |fixture: Fixture| {
        let project = project(vec![view("card", 1)], vec![training_set("fraud", &["card@1"])]);
        assert_eq!(fixture.catalog.active().await.unwrap(), None);
        let planned = fixture.catalog.plan(&project, &[]).await.unwrap();
        assert_eq!(fixture.catalog.active().await.unwrap(), None, "a plan changes nothing");
        let applied = apply(&fixture, &project).await;
        assert_eq!((applied.previous, &applied.changes), (None, &planned));
        assert_eq!(applied.revision, project.revision_hash());
        let kinds: Vec<&str> = planned.iter().map(|change| change.kind.as_str()).collect();
        assert_eq!(kinds, ["contract", "source", "feature_view", "training_set"]);
        assert!(planned.iter().all(|change| change.what == ChangeKind::Added));
        let active = fixture.catalog.active().await.unwrap().unwrap();
        assert_eq!((active.revision, &active.project), (applied.revision, &project));
        assert_eq!(active.views, [view("card", 1)]);
    })
    .await;
}

#[tokio::test]
async fn a_changed_definition_gets_the_next_version_and_an_old_one_its_own_back() {
    on_both(async |fixture: Fixture| {
        let one = project(vec![view("card", 1)], vec![training_set("fraud", &["card@1"])]);
        let two = project(vec![view("card", 2)], vec![training_set("fraud", &["card@1"])]);
        apply(&fixture, &one).await;
        let applied = apply(&fixture, &two).await;
        assert_eq!(shown(&applied.changes), ["changed feature_view card 2: features.n.window: 1h -> 2h"]);
        let active = fixture.catalog.active().await.unwrap().unwrap();
        assert_eq!(active.project.feature_views[0].version, 2);
        let mut second = view("card", 2);
        second.version = 2;
        assert_eq!(active.views, [view("card", 1), second.clone()], "card@1 is bound, so it lives");
        assert_eq!(active.views_of(active.training_set("fraud").unwrap()).unwrap(), [view("card", 1)]);

        let applied = apply(&fixture, &one).await;
        let back = "changed feature_view card 1: back to an earlier version: features.n.window: 2h -> 1h";
        assert_eq!(shown(&applied.changes), [back]);
        assert_eq!(fixture.catalog.view_versions("card").await.unwrap(), [view("card", 1), second]);
        let active = fixture.catalog.active().await.unwrap().unwrap();
        assert_eq!(active.views, [view("card", 1)]);
    })
    .await;
}

#[tokio::test]
async fn a_binding_may_name_a_version_that_this_apply_makes() {
    let fixture = Fixture::in_memory().await;
    apply(&fixture, &project(vec![view("card", 1)], vec![training_set("fraud", &["card@1"])])).await;
    let both = project(vec![view("card", 2)], vec![training_set("fraud", &["card@1", "card@2"])]);
    apply(&fixture, &both).await;
    let active = fixture.catalog.active().await.unwrap().unwrap();
    assert_eq!(active.views.iter().map(|view| view.version).collect::<Vec<_>>(), [1, 2]);
}

/// A feature service of one view, derived from its only feature.
fn service(name: &str, view: &str, sql: &str) -> FeatureService {
    let entity = vec!["card_id".to_owned()];
    let reads = vec!["card__n".to_owned()];
    FeatureService {
        name: name.to_owned(),
        version: 1,
        features: vec![FeatureRef { view: view.parse().unwrap(), entity, only: Vec::new() }],
        request: Vec::new(),
        derived: vec![DerivedFeature { name: "more".to_owned(), sql: sql.to_owned(), reads }],
        budget: None,
        log: LogShare(0),
    }
}

fn with_services(mut project: Project, services: Vec<FeatureService>, bound: &[(&str, &str)]) -> Project {
    project.feature_services = services;
    for (set, id) in bound {
        let set = TrainingSet { service: Some(id.parse().unwrap()), ..training_set(set, &[]) };
        project.training_sets.push(set);
    }
    project
}

#[tokio::test]
async fn a_service_is_numbered_and_keeps_what_its_versions_are_bound_to() {
    on_both(async |fixture: Fixture| {
        let views = |hours| project(vec![view("card", hours)], Vec::new());
        let one = with_services(views(1), vec![service("risk", "card@1", "card__n + 1")], &[("fraud", "risk@1")]);
        apply(&fixture, &one).await;
        let active = fixture.catalog.active().await.unwrap().unwrap();
        let set = active.training_set("fraud").unwrap();
        assert_eq!((&set.features, &set.derived), (&active.services[0].features, &active.services[0].derived));
        assert_eq!(active.revision, one.revision_hash(), "the revision is the hash of what was declared");

        // Another window of the view, another expression, and the training set stays with the first of both.
        let two = with_services(views(2), vec![service("risk", "card@2", "card__n + 2")], &[("fraud", "risk@1")]);
        let applied = apply(&fixture, &two).await;
        assert_eq!(
            shown(&applied.changes),
            [
                "changed feature_view card 2: features.n.window: 1h -> 2h",
                "changed feature_service risk 2: derived.more.sql: card__n + 1 -> card__n + 2, features.card.view: card@1 -> card@2"
            ]
        );
        let active = fixture.catalog.active().await.unwrap().unwrap();
        let ids = |services: &[FeatureService]| services.iter().map(|one| one.id().to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&active.services), ["risk@1", "risk@2"]);
        assert_eq!(active.views.len(), 2, "the older service keeps the older view");
        assert_eq!(active.training_set("fraud").unwrap().features[0].view.version, 1);

        // How fast it must be and what is recorded of it belongs to every version, and makes none.
        let mut quick = service("risk", "card@2", "card__n + 2");
        (quick.budget, quick.log) = (Some(Span(10_000)), LogShare::ALL);
        apply(&fixture, &with_services(views(2), vec![quick], &[("fraud", "risk@1")])).await;
        let active = fixture.catalog.active().await.unwrap().unwrap();
        assert_eq!(ids(&active.services), ["risk@1", "risk@2"]);
        assert!(active.services.iter().all(|service| service.log == LogShare::ALL && service.budget.is_some()));

        // Without anybody bound to it, it goes.
        apply(&fixture, &with_services(views(2), vec![service("risk", "card@2", "card__n + 2")], &[])).await;
        let active = fixture.catalog.active().await.unwrap().unwrap();
        assert_eq!((ids(&active.services), active.views.len()), (vec!["risk@2".to_owned()], 1));
    })
    .await;
}

#[tokio::test]
async fn a_service_that_leads_nowhere_is_refused() {
    let fixture = Fixture::in_memory().await;
    let permit = fixture.permit(Action::ApplyProject);
    let check = async |project: Project, code: &str, part: &str| {
        let refused = fixture.catalog.apply(&permit, &project, None, &[]).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Invalid, code), "{refused}");
        assert!(format!("{refused} {:?}", refused.remedy()).contains(part), "{refused} {:?}", refused.remedy());
    };
    let views = || project(vec![view("card", 1)], Vec::new());
    check(with_services(views(), vec![service("risk", "card@2", "1")], &[]), "SW0680", "feature service risk").await;
    check(with_services(views(), Vec::new(), &[("fraud", "risk@1")]), "SW0686", "no feature service risk").await;
    let mut other = service("risk", "card@1", "1");
    other.features[0].only = vec!["m".to_owned()];
    check(with_services(views(), vec![other], &[]), "SW0687", "its features are n").await;
    let twice = vec![service("risk", "card@1", "1"), service("risk", "card@1", "2")];
    check(with_services(views(), twice, &[]), "SW0683", "feature service risk").await;
}

#[tokio::test]
async fn a_binding_that_leads_nowhere_is_refused_and_nothing_is_kept() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ApplyProject);
        apply(&fixture, &project(vec![view("card", 1)], Vec::new())).await;
        apply(&fixture, &project(vec![view("card", 2)], Vec::new())).await;
        let check = async |project: Project, code: &str, hint: &str| {
            let refused = fixture.catalog.apply(&permit, &project, None, &[]).await.unwrap_err();
            assert_eq!((refused.kind(), refused.code()), (ErrorKind::Invalid, code), "{refused}");
            assert!(refused.remedy().unwrap().contains(hint), "{:?}", refused.remedy());
            assert_eq!(fixture.catalog.plan(&project, &[]).await.unwrap_err().code(), code);
        };
        let bound = |id: &str| project(vec![view("card", 3)], vec![training_set("fraud", &[id])]);
        check(bound("card@4"), "SW0680", "card@1, card@2, card@3;").await;
        check(bound("weather@1"), "SW0680", "there is no feature view weather").await;
        let mut keys = training_set("fraud", &["card@1"]);
        keys.features[0].entity.push("shop_id".to_owned());
        check(project(vec![view("card", 2)], vec![keys]), "SW0681", "entity").await;
        let mut gone = project(Vec::new(), vec![training_set("fraud", &["card@1"])]);
        gone.contracts.clear();
        check(gone, "SW0682", "keep the contract").await;
        check(project(vec![view("card", 1), view("card", 2)], Vec::new()), "SW0683", "another name").await;
        let denied = fixture.catalog.apply(&fixture.permit(Action::Ingest), &bound("card@1"), None, &[]).await;
        assert_eq!(denied.unwrap_err().code(), "SW0611");
        assert_eq!(fixture.catalog.view_versions("card").await.unwrap().len(), 2);
        assert_eq!(fixture.catalog.revisions().await.unwrap().len(), 2);
        assert_eq!(fixture.events().await, ["applied", "applied"]);
    })
    .await;
}

#[tokio::test]
async fn a_removed_view_stays_while_it_is_bound() {
    let fixture = Fixture::in_memory().await;
    let fraud = vec![training_set("fraud", &["card@1"])];
    apply(&fixture, &project(vec![view("card", 1), view("shop", 1)], fraud.clone())).await;
    let applied = apply(&fixture, &project(Vec::new(), fraud)).await;
    assert_eq!(
        shown(&applied.changes),
        [
            "removed feature_view card 1: no longer declared; bound and kept: card@1",
            "removed feature_view shop 1: no longer declared"
        ]
    );
    assert_eq!(fixture.catalog.active().await.unwrap().unwrap().views, [view("card", 1)]);
    let applied = apply(&fixture, &project(vec![view("shop", 1)], Vec::new())).await;
    let added = "added feature_view shop 1: declared again as in an earlier version";
    assert!(shown(&applied.changes).contains(&added.to_owned()));
}

#[tokio::test]
async fn a_moved_base_is_a_conflict() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ApplyProject);
        let first = project(vec![view("card", 1)], Vec::new());
        let second = project(vec![view("card", 2)], Vec::new());
        let early = fixture.catalog.apply(&permit, &second, Some(first.revision_hash()), &[]).await.unwrap_err();
        assert_eq!((early.kind(), early.code()), (ErrorKind::Conflict, "SW0684"));
        let base = apply(&fixture, &first).await.revision;
        fixture.catalog.apply(&permit, &second, Some(base), &[]).await.unwrap();
        let third = project(vec![view("card", 3)], Vec::new());
        let late = fixture.catalog.apply(&permit, &third, Some(base), &[]).await.unwrap_err();
        assert_eq!((late.kind(), late.code()), (ErrorKind::Conflict, "SW0684"));
        assert!(late.message().starts_with("the base moved"), "{late}");
        assert_eq!(fixture.catalog.active_revision().await.unwrap(), Some(second.revision_hash()));
    })
    .await;
}

/// Of many who planned on the same base, one applies; the others learn that the base moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_applies_on_one_base_one_wins() {
    let fixture = Fixture::on_disk().await;
    let base = apply(&fixture, &project(vec![view("card", 1)], Vec::new())).await.revision;
    let mut tasks = Vec::new();
    for (n, catalog) in (2..10).zip([fixture.catalog.clone(), fixture.second().await].into_iter().cycle()) {
        tasks.push(tokio::spawn(async move {
            let permit = catalog.system_permit(Action::ApplyProject, "shop");
            catalog.apply(&permit, &project(vec![view("card", n)], Vec::new()), Some(base), &[]).await
        }));
    }
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(e) => assert_eq!(e.code(), "SW0684", "{e}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(fixture.catalog.view_versions("card").await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_same_project_again_changes_nothing_but_lineage() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ApplyProject);
        let project = project(vec![view("card", 1)], Vec::new());
        let edge = |column: &str| LineageEdge {
            from_object: "payments".to_owned(),
            from_column: column.to_owned(),
            to_object: "card@1".to_owned(),
            to_column: "n".to_owned(),
            via: "feature".to_owned(),
        };
        fixture.catalog.apply(&permit, &project, None, &[edge("paid_at"), edge("paid_at")]).await.unwrap();
        let again = fixture.catalog.apply(&permit, &project, None, &[edge("*")]).await.unwrap();
        assert_eq!(again.previous, Some(again.revision));
        assert_eq!(shown(&again.changes), Vec::<String>::new());
        assert_eq!(fixture.catalog.revisions().await.unwrap().len(), 1);
        let edges = fixture.catalog.lineage("card@1", Some("n"), Direction::Up, 9).await.unwrap();
        assert_eq!(edges, [edge("*")]);
        // A project that was read back, with real versions, is the same project.
        let active = fixture.catalog.active().await.unwrap().unwrap();
        assert_eq!(apply(&fixture, &active.project).await.revision, again.revision);
    })
    .await;
}

#[tokio::test]
async fn a_rollback_brings_versions_and_lineage_back() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ApplyProject);
        let edge = LineageEdge {
            from_object: "payments".to_owned(),
            from_column: "*".to_owned(),
            to_object: "card@1".to_owned(),
            to_column: "n".to_owned(),
            via: "feature".to_owned(),
        };
        let one = project(vec![view("card", 1)], Vec::new());
        let first = fixture.catalog.apply(&permit, &one, None, std::slice::from_ref(&edge)).await.unwrap().revision;
        fixture.pass(Span::HOUR);
        let second = apply(&fixture, &project(vec![view("card", 2)], Vec::new())).await.revision;
        assert!(fixture.catalog.lineage("payments", None, Direction::Down, 9).await.unwrap().is_empty());
        fixture.pass(Span::HOUR);
        let applied = fixture.catalog.roll_back_revision(&permit, first, "a test", None, None).await.unwrap();
        assert_eq!((applied.revision, applied.previous), (first, Some(second)));
        let active = fixture.catalog.active().await.unwrap().unwrap();
        assert_eq!((active.revision, active.views.as_slice()), (first, [view("card", 1)].as_slice()));
        assert_eq!(fixture.catalog.lineage("payments", None, Direction::Down, 9).await.unwrap(), [edge]);
        let history = fixture.catalog.revisions().await.unwrap();
        let steps: Vec<_> = history.iter().map(|step| (step.seq, step.revision, step.previous, step.at)).collect();
        let hour = |n: i64| START + Span(n * Span::HOUR.0);
        assert_eq!(
            steps,
            [(1, first, None, hour(0)), (2, second, Some(first), hour(1)), (3, first, Some(second), hour(2))]
        );
        assert_eq!(fixture.events().await, ["applied", "applied", "rolled_back"]);
        let missing =
            fixture.catalog.roll_back_revision(&permit, Hash::of(b"none"), "a test", None, None).await.unwrap_err();
        assert_eq!((missing.kind(), missing.code()), (ErrorKind::NotFound, "SW0685"));
    })
    .await;
}

#[tokio::test]
async fn a_rollback_is_a_step_with_a_reason_and_minds_its_base() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ApplyProject);
        let first = apply(&fixture, &project(vec![view("card", 1)], Vec::new())).await.revision;
        let second = apply(&fixture, &project(vec![view("card", 2)], Vec::new())).await.revision;
        let moved = fixture.catalog.roll_back_revision(&permit, first, "a test", Some(first), None).await.unwrap_err();
        assert_eq!((moved.kind(), moved.code()), (ErrorKind::Conflict, "SW0684"));
        let denied =
            fixture.catalog.roll_back_revision(&fixture.permit(Action::Ingest), first, "a test", None, None).await;
        assert_eq!(denied.unwrap_err().code(), "SW0611");
        let rolled = fixture.catalog.roll_back_revision(&permit, first, "a test", Some(second), None).await.unwrap();
        let back = "changed feature_view card 1: back to an earlier version: features.n.window: 2h -> 1h";
        assert_eq!(shown(&rolled.changes), [back]);
        let history = fixture.catalog.revisions().await.unwrap();
        let reasons: Vec<Option<&str>> = history.iter().map(|step| step.reason.as_deref()).collect();
        assert_eq!(reasons, [None, None, Some(format!("rolled back from {}: a test", second.short()).as_str())]);
        assert_eq!(shown(&history[2].changes), [back]);
        let entries = fixture.catalog.audit(9, 0).await.unwrap();
        assert!(entries[2].detail.contains(&format!("rolled back from {}", second.short())), "{}", entries[2].detail);
        // Forward again works the same way.
        fixture.catalog.roll_back_revision(&permit, second, "a test", Some(first), None).await.unwrap();
        assert_eq!(fixture.catalog.active_revision().await.unwrap(), Some(second));
        fixture.catalog.verify_audit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_rollback_brings_models_and_policies_back() {
    let fixture = Fixture::in_memory().await;
    let permit = fixture.permit(Action::ApplyProject);
    let mut one = project(vec![view("card", 1)], vec![training_set("fraud", &["card@1"])]);
    one.models.push(model("fraud", "fraud"));
    one.policies.push(PolicyFile { path: "policies/a.cedar".to_owned(), text: "// one".to_owned() });
    let first = apply(&fixture, &one).await.revision;
    let mut two = one.clone();
    two.models[0].rows_min = 9;
    two.policies.clear();
    apply(&fixture, &two).await;
    fixture.catalog.roll_back_revision(&permit, first, "a test", None, None).await.unwrap();
    let active = fixture.catalog.active().await.unwrap().unwrap();
    assert_eq!((active.revision, &active.project), (first, &one));
}

#[tokio::test]
async fn revisions_are_found_by_how_they_begin() {
    on_both(async |fixture: Fixture| {
        let first = apply(&fixture, &project(vec![view("card", 1)], Vec::new())).await.revision;
        let find = async |prefix: &str| fixture.catalog.find_revision(prefix).await;
        assert_eq!(find(&first.to_string()).await.unwrap(), first);
        assert_eq!(find(&first.short()).await.unwrap(), first);
        assert_eq!(find(&first.to_string()[..4].to_uppercase()).await.unwrap(), first);
        for (wrong, code) in
            [("", "SW0184"), (&first.to_string()[..3], "SW0184"), ("%%%%", "SW0184"), ("lots", "SW0184")]
        {
            assert_eq!(find(wrong).await.unwrap_err().code(), code, "{wrong}");
        }
        let other = if first.to_string().starts_with('0') { "1111" } else { "0000" };
        let missing = find(other).await.unwrap_err();
        assert_eq!((missing.kind(), missing.code()), (ErrorKind::NotFound, "SW0685"));
        // A second revision with the same beginning, as chance would make it.
        let twin = format!("{}{}", &first.to_string()[..8], "0".repeat(56));
        let mut write = fixture.catalog.begin().await.unwrap();
        sqlx::query("INSERT INTO revision (hash, project, created_at) VALUES ($1, '{}', 0)")
            .bind(twin)
            .execute(write.connection())
            .await
            .unwrap();
        write.commit().await.unwrap();
        assert_eq!(find(&first.to_string()[..8]).await.unwrap_err().code(), "SW0184");
        assert_eq!(find(&first.short()).await.unwrap(), first);
    })
    .await;
}

/// Steps that the first release wrote have neither reasons nor effects.
#[test]
fn changes_of_the_first_release_are_read() {
    let stored = json!({"kind": "source", "name": "s", "what": "changed", "version": null, "reason": "map changed"});
    let change: Change = serde_json::from_value(stored.clone()).unwrap();
    assert!(change.differences.is_empty() && change.effect.is_empty());
    assert_eq!(serde_json::to_value(&change).unwrap(), stored);
}

#[test]
fn differences_are_named_by_path() {
    let check = |old: serde_json::Value, new: serde_json::Value, expected: &str| {
        assert_eq!(sentence(&differences(&old, &new)), expected);
    };
    check(json!({"a": 1}), json!({"a": 2}), "a: 1 -> 2");
    check(
        json!({"a": 1, "b": null}),
        json!({"b": true, "c": "x"}),
        "a: 1 -> nothing, b: nothing -> true, c: nothing -> x",
    );
    check(
        json!({"features": [{"name": "n", "window": "1h"}, {"name": "old"}]}),
        json!({"features": [{"name": "n", "window": "2h"}, {"name": "new"}]}),
        "features.n.window: 1h -> 2h, features.new added, features.old removed",
    );
    check(json!({"list": [1, 2]}), json!({"list": [1, 3]}), "list: [1,2] -> [1,3]");
    check(json!({"list": [{"name": "a"}, {"name": "a"}]}), json!({"list": [{"name": "a"}]}), "list changed");
    check(
        json!({"list": [{"name": "a"}, {"name": "b"}]}),
        json!({"list": [{"name": "b"}, {"name": "a"}]}),
        "order changed",
    );
    check(
        json!({"features": [{"view": "card@1", "entity": ["card_id"]}]}),
        json!({"features": [{"view": "card@2", "entity": ["card_id"]}]}),
        "features.card.view: card@1 -> card@2",
    );
    check(
        json!({"bounds": [["auc", {"min": 0.8}]], "only": ["country", "SE"]}),
        json!({"bounds": [["auc", {"min": 0.9}], ["brier", {"max": 1}]], "only": ["country", "NO"]}),
        "bounds.auc.min: 0.8 -> 0.9, bounds.brier added, only: [\"country\",\"SE\"] -> [\"country\",\"NO\"]",
    );
    check(json!({"sql": "select\n  1"}), json!({"sql": "select\n  2"}), "sql: select 1 -> select 2");
    let long = |end: &str| json!({"sql": format!("select {}{end}", "a, ".repeat(99))});
    check(long("b"), long("c"), "sql changed");
    let many = |value: i64| (0..9).map(|n| (format!("k{n}"), json!(value))).collect::<serde_json::Map<_, _>>();
    let named: Vec<String> = (0..6).map(|n| format!("k{n}: 1 -> 2")).collect();
    check(json!(many(1)), json!(many(2)), &format!("{}, and 3 more", named.join(", ")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The oracle: a version is the place of a definition in the order of first appearance.
    #[test]
    fn versions_are_numbered_by_first_appearance(
        steps in prop::collection::vec(prop::collection::btree_map("[ab]", 1i64..4, 0..3), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::in_memory().await;
            let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            let mut before: BTreeMap<String, i64> = BTreeMap::new();
            for step in steps {
                let project = project(step.iter().map(|(name, hours)| view(name, *hours)).collect(), Vec::new());
                let planned = fixture.catalog.plan(&project, &[]).await.unwrap();
                let applied = apply(&fixture, &project).await;
                assert_eq!(planned, applied.changes);
                let mut expected = Vec::new();
                for (name, hours) in &step {
                    let order = seen.entry(name.clone()).or_default();
                    if !order.contains(hours) {
                        order.push(*hours);
                    }
                    let mut numbered = view(name, *hours);
                    numbered.version = order.iter().position(|one| one == hours).unwrap() as u32 + 1;
                    expected.push(numbered);
                }
                let active = fixture.catalog.active().await.unwrap().unwrap();
                assert_eq!(active.project.feature_views, expected);
                assert_eq!(active.views, expected, "nothing is bound, so only current views are served");
                for change in applied.changes.iter().filter(|change| change.kind == "feature_view") {
                    let kind = match (before.get(&change.name), step.get(&change.name)) {
                        (None, Some(_)) => ChangeKind::Added,
                        (Some(_), None) => ChangeKind::Removed,
                        (old, new) if old == new => ChangeKind::Unchanged,
                        _ => ChangeKind::Changed,
                    };
                    assert_eq!(change.what, kind, "{}", change.name);
                }
                before = step;
            }
            for (name, order) in seen {
                let versions = fixture.catalog.view_versions(&name).await.unwrap();
                let expected: Vec<u32> = (1..=order.len() as u32).collect();
                assert_eq!(versions.iter().map(|view| view.version).collect::<Vec<_>>(), expected);
            }
            fixture.catalog.verify_audit().await.unwrap();
        });
    }
}
