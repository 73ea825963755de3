//! Versions, aliases, reigns and cards.

use super::fixtures::{binds, hour, person, trained, trigger};
use super::*;
use crate::fixtures::{Fixture, on_both};
use crate::policy::Role;
use seawall_base::ErrorKind;
use seawall_base::watch::DecisionKind;

#[tokio::test]
async fn versions_are_numbered_per_model_and_recorded_once() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::TrainModel);
        let catalog = &fixture.catalog;
        let first = catalog.record_model_version(&permit, &trained(1)).await.unwrap();
        let second = catalog.record_model_version(&permit, &trained(2)).await.unwrap();
        let other = NewModelVersion { model: "delay".to_owned(), ..trained(1) };
        let of_other = catalog.record_model_version(&permit, &other).await.unwrap();
        assert_eq!((first.version, second.version, of_other.version), (1, 2, 1));
        // The step runs again with another permit, after a crash.
        let again = catalog.record_model_version(&fixture.permit(Action::TrainModel), &trained(1)).await.unwrap();
        assert_eq!(again, first);
        // The same bytes, trained at another instant, are another version.
        let retrained = NewModelVersion { trained_at: hour(9), ..trained(1) };
        assert_eq!(catalog.record_model_version(&permit, &retrained).await.unwrap().version, 3);

        assert_eq!(catalog.model_version("fraud", 2).await.unwrap(), second);
        assert_eq!(*second, trained(2));
        let numbers = |versions: Vec<ModelVersion>| versions.iter().map(|one| one.version).collect::<Vec<_>>();
        assert_eq!(numbers(catalog.model_versions("fraud").await.unwrap()), [1, 2, 3]);
        assert_eq!(catalog.model_names().await.unwrap(), ["delay", "fraud"]);
        assert_eq!(fixture.events().await, ["model_version"; 4]);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_version_says_which_there_are() {
    let fixture = Fixture::in_memory().await;
    let check = async |model: &str, hint: &str| {
        let missing = fixture.catalog.model_version(model, 7).await.unwrap_err();
        assert_eq!((missing.kind(), missing.code()), (ErrorKind::NotFound, "SW1102"));
        assert_eq!(missing.remedy(), Some(hint));
    };
    check("fraud", "no model was trained yet").await;
    fixture.train(2).await;
    check("fraud", "versions of fraud: 1, 2").await;
    check("fruad", "models with versions: fraud").await;
}

#[tokio::test]
async fn what_json_cannot_hold_is_refused_at_the_door() {
    let fixture = Fixture::in_memory().await;
    let permit = fixture.permit(Action::TrainModel);
    let mut endless = trained(1);
    endless.evaluation.metrics[0].1.value = f64::INFINITY;
    let refused = fixture.catalog.record_model_version(&permit, &endless).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Invalid, "SW1101"));
    let timeless = NewModelVersion { trained_at: Instant::MAX, ..trained(1) };
    let refused = fixture.catalog.record_model_version(&permit, &timeless).await.unwrap_err();
    assert_eq!(refused.code(), "SW1101");
    let refused = fixture.catalog.record_model_version(&fixture.permit(Action::Ingest), &trained(1)).await.unwrap_err();
    assert_eq!(refused.code(), "SW0611");
    assert!(fixture.events().await.is_empty());
}

#[tokio::test]
async fn a_challenger_is_tried_beside_the_champion_until_it_is_promoted() {
    on_both(async |fixture: Fixture| {
        fixture.train(2).await;
        let permit = fixture.permit(Action::PromoteModel);
        let catalog = &fixture.catalog;
        assert_eq!(catalog.aliases("fraud").await.unwrap(), Aliases::default());
        fixture.reign(1, None, 10).await;
        let refused = catalog.set_challenger(&permit, "fraud", Some(1), hour(10)).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "SW1113"));
        let unknown = catalog.set_challenger(&permit, "fraud", Some(3), hour(10)).await.unwrap_err();
        assert_eq!(unknown.code(), "SW1102");
        let events = fixture.events().await.len();
        for _ in 0..2 {
            catalog.set_challenger(&permit, "fraud", Some(2), hour(11)).await.unwrap();
            let aliases = catalog.aliases("fraud").await.unwrap();
            assert_eq!((aliases.champion, aliases.challenger), (Some(1), Some(2)));
            assert_eq!(fixture.events().await.len(), events + 1);
        }
        fixture.reign(2, Some(1), 12).await;
        let expected = Aliases { champion: Some(2), challenger: None, former: Some(1), champion_since: Some(hour(12)) };
        assert_eq!(catalog.aliases("fraud").await.unwrap(), expected);
    })
    .await;
}

#[tokio::test]
async fn the_champion_at_every_instant_is_on_record_with_who_approved_it() {
    on_both(async |fixture: Fixture| {
        fixture.train(3).await;
        let catalog = &fixture.catalog;
        let proposal = fixture.propose(1, None, 10, &["owner"]).await;
        let ada = person("ada", Role::Owner);
        let yes = fixture.permit_of(&ada, Action::ApproveDecision);
        catalog.approve(&yes, &ada, &[], &proposal, binds(1), "looks right").await.unwrap();
        let first = catalog.promote(&fixture.permit(Action::PromoteModel), &proposal, hour(10)).await.unwrap();
        fixture.reign(2, Some(1), 20).await;
        // A version that is replaced at once never was in force.
        fixture.reign(3, Some(2), 30).await;
        let back = catalog
            .roll_back_model(&fixture.permit(Action::RollBack), "fraud", 2, trigger(), "worse", hour(30))
            .await
            .unwrap();

        let microsecond = seawall_base::Span(1);
        let check = async |at: Instant, version: Option<u32>, from: i64, until: Option<i64>| {
            let reign = catalog.champion_at("fraud", at).await.unwrap();
            assert_eq!(reign.as_ref().map(|reign| reign.version), version, "{at}");
            if let Some(reign) = reign {
                assert_eq!((reign.from, reign.until), (hour(from), until.map(hour)), "{at}");
            }
        };
        check(Instant::MIN, None, 0, None).await;
        check(hour(10) - microsecond, None, 0, None).await;
        check(hour(10), Some(1), 10, Some(20)).await;
        check(hour(20) - microsecond, Some(1), 10, Some(20)).await;
        check(hour(20), Some(2), 20, Some(30)).await;
        check(hour(30) - microsecond, Some(2), 20, Some(30)).await;
        check(hour(30), Some(2), 30, None).await;
        check(Instant::MAX, Some(2), 30, None).await;
        assert_eq!(catalog.champion_at("delay", hour(10)).await.unwrap(), None);

        let reign = catalog.champion_at("fraud", hour(15)).await.unwrap().unwrap();
        assert_eq!(reign.decision, first);
        assert_eq!(reign.proposal.unwrap().id, proposal);
        assert_eq!(reign.approvals.iter().map(|one| one.principal.as_str()).collect::<Vec<_>>(), ["ada"]);
        let reign = catalog.champion_at("fraud", hour(30)).await.unwrap().unwrap();
        assert_eq!((reign.decision, reign.proposal, reign.approvals), (back, None, Vec::new()));
        let reigns = catalog.reigns("fraud").await.unwrap();
        let spans: Vec<(u32, Instant, Option<Instant>)> =
            reigns.iter().map(|reign| (reign.version, reign.from, reign.until)).collect();
        let expected = [(1, 10, Some(20)), (2, 20, Some(30)), (3, 30, Some(30)), (2, 30, None)]
            .map(|(version, from, until)| (version, hour(from), until.map(hour)));
        assert_eq!(spans, expected);
    })
    .await;
}

#[tokio::test]
async fn a_card_tells_what_is_on_record_and_where_it_ends() {
    let fixture = Fixture::in_memory().await;
    fixture.train(2).await;
    let catalog = &fixture.catalog;
    let proposal = fixture.propose(1, None, 10, &["risk"]).await;
    let bob = person("bob", Role::Analyst);
    let yes = fixture.permit_of(&bob, Action::ApproveDecision);
    catalog.approve(&yes, &bob, &["risk".to_owned()], &proposal, binds(1), "fine\n# not a heading").await.unwrap();
    catalog.promote(&fixture.permit(Action::PromoteModel), &proposal, hour(10)).await.unwrap();
    fixture.reign(2, Some(1), 20).await;

    let card = catalog.model_card("fraud", 1).await.unwrap();
    assert_eq!(card["standing"], "former champion");
    assert_eq!(card["data"]["fingerprint"]["content"], Hash::of(b"content").to_string());
    assert_eq!(card["baseline"]["summary"], json!({"amount": {"bins": {"items": 50}, "nulls": 0.1}}));
    let kinds: Vec<&str> =
        card["decisions"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, [DecisionKind::Propose.as_str(), DecisionKind::Promote.as_str()]);
    assert_eq!(card["approvals"][0]["fills"], "risk");
    assert_eq!(card["reigns"][0]["until"], hour(20).to_string());
    let limits: Vec<&str> = card["limits"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    for expected in [
        "1000 of 10000 rows of its training set had no final label",
        "It learned nothing from 2023-11-01 to 2023-11-03: INC-1",
        "log loss could not be computed",
        "No value of channel had enough rows",
        "It is worse where country=DE: AUC 0.8000",
    ] {
        assert!(limits.iter().any(|limit| limit.contains(expected)), "{expected}: {limits:?}");
    }
    assert!(!limits.iter().any(|limit| limit.contains("No value of country")), "{limits:?}");

    let text = catalog.model_card_text("fraud", 1).await.unwrap();
    for expected in [
        "# fraud version 1\n",
        "- Standing: former champion\n",
        "| 2000 | country=DE | 150 | 0.8000 (0.7800 to 0.8200) | not computed |",
        "approved by bob as risk",
        ": fine # not a heading\n",
        &format!("- from {} to {}, by DEC-2\n", hour(10), hour(20)),
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert_eq!(catalog.model_card("fraud", 3).await.unwrap_err().code(), "SW1102");
}
