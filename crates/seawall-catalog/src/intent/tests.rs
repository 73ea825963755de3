//! Intents through their life.

use super::*;
use crate::fixtures::{Fixture, START, on_both};
use crate::policy::Action;
use seawall_base::Span;

fn effect(target: &str) -> Effect {
    Effect { kind: "table_commit".to_owned(), target: target.to_owned(), expected: json!({"version": 3}) }
}

#[tokio::test]
async fn an_intent_is_open_until_its_outcome_is_known() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::WriteTable);
        let first = fixture.catalog.open_intent(&permit, &effect("payments")).await.unwrap();
        fixture.pass(Span::SECOND);
        let second = fixture.catalog.open_intent(&permit, &effect("landings")).await.unwrap();
        let open = fixture.catalog.open_intents().await.unwrap();
        assert_eq!(open.iter().map(|intent| intent.id.clone()).collect::<Vec<_>>(), [first.clone(), second.clone()]);
        assert_eq!((&open[0].effect, open[0].opened_at), (&effect("payments"), START));
        assert_eq!((open[0].permit.as_str(), open[0].outcome.as_ref()), (permit.id(), None));

        let recovery = fixture.permit(Action::WriteTable);
        fixture.catalog.resolve_intent(&recovery, &first, &json!({"committed": 4})).await.unwrap();
        let open = fixture.catalog.open_intents().await.unwrap();
        assert_eq!(open.iter().map(|intent| intent.id.clone()).collect::<Vec<_>>(), [second]);
        assert_eq!(fixture.events().await, ["intent_opened", "intent_opened", "intent_resolved"]);
    })
    .await;
}

#[tokio::test]
async fn an_outcome_is_recorded_once() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::WriteTable);
        let id = fixture.catalog.open_intent(&permit, &effect("payments")).await.unwrap();
        fixture.catalog.resolve_intent(&permit, &id, &json!({"committed": 4})).await.unwrap();
        fixture.catalog.resolve_intent(&permit, &id, &json!({"committed": 4})).await.unwrap();
        assert_eq!(fixture.events().await.len(), 2);
        let refused = fixture.catalog.resolve_intent(&permit, &id, &json!("absent")).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "SW0641"));
        let unknown = IntentId("none".to_owned());
        let missing = fixture.catalog.resolve_intent(&permit, &unknown, &json!("absent")).await.unwrap_err();
        assert_eq!((missing.kind(), missing.code()), (ErrorKind::NotFound, "SW0640"));
    })
    .await;
}
