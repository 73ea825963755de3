//! Tokens through their life, on the clock.

use super::*;
use crate::fixtures::{Fixture, START, on_both};

#[tokio::test]
async fn a_token_stands_for_its_principal_until_it_expires() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ManageTokens);
        let token = fixture.catalog.create_token(&permit, "till", Role::Service, &[], Some(Span::HOUR)).await.unwrap();
        assert!(token.secret.starts_with("sw_"));
        assert_eq!(token.expires_at, Some(START + Span::HOUR));
        fixture.pass(Span(Span::HOUR.0 - 1));
        let principal = fixture.catalog.authenticate(&token.secret).await.unwrap();
        assert_eq!(principal, Principal::new("till", Role::Service));
        fixture.pass(Span(1));
        let expired = fixture.catalog.authenticate(&token.secret).await.unwrap_err();
        assert_eq!((expired.kind(), expired.code()), (ErrorKind::Denied, "SW0631"));
    })
    .await;
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_its_twin_still_works() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ManageTokens);
        let old = fixture.catalog.create_token(&permit, "ada", Role::Owner, &[], None).await.unwrap();
        let new = fixture.catalog.create_token(&permit, "ada", Role::Owner, &[], None).await.unwrap();
        fixture.pass(Span::MINUTE);
        fixture.catalog.revoke_token(&permit, &old.id).await.unwrap();
        fixture.pass(Span::MINUTE);
        fixture.catalog.revoke_token(&permit, &old.id).await.unwrap();
        assert_eq!(fixture.catalog.authenticate(&old.secret).await.unwrap_err().code(), "SW0632");
        fixture.catalog.authenticate(&new.secret).await.unwrap();
        let listed = fixture.catalog.tokens().await.unwrap();
        let revoked: Vec<Option<Instant>> = listed.iter().map(|token| token.revoked_at).collect();
        assert!(revoked.contains(&Some(START + Span::MINUTE)) && revoked.contains(&None));
        let missing = fixture.catalog.revoke_token(&permit, &TokenId("none".to_owned())).await.unwrap_err();
        assert_eq!(missing.code(), "SW0634");
        assert_eq!(fixture.events().await, ["token_created", "token_created", "token_revoked", "token_revoked"]);
    })
    .await;
}

#[tokio::test]
async fn anything_but_the_very_secret_is_unknown() {
    let fixture = Fixture::in_memory().await;
    let permit = fixture.permit(Action::ManageTokens);
    let token = fixture.catalog.create_token(&permit, "ada", Role::Owner, &[], None).await.unwrap();
    let other = fixture.catalog.create_token(&permit, "bob", Role::Analyst, &[], None).await.unwrap();
    let (_, other_secret) = split(&other.secret).unwrap();
    let tampered = [
        String::new(),
        "sw_".to_owned(),
        "sw__".to_owned(),
        token.secret[3..].to_owned(),
        token.secret[..token.secret.len() - 1].to_owned(),
        format!("{}0", token.secret),
        token.secret.to_uppercase(),
        format!(" {}", token.secret),
        format!("sw_{}_", token.id),
        format!("sw_{}_{other_secret}", token.id),
        format!("sw_{}_{}", token.id, "x".repeat(1_000_000)),
        "sw_' OR 1=1 --_x".to_owned(),
    ];
    for text in tampered {
        let refused = fixture.catalog.authenticate(&text).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Denied, "SW0630"), "{:.60}", text);
    }
    fixture.catalog.authenticate(&token.secret).await.unwrap();
}

#[tokio::test]
async fn the_secret_is_nowhere_but_in_the_answer() {
    let fixture = Fixture::on_disk().await;
    let permit = fixture.permit(Action::ManageTokens);
    let token = fixture.catalog.create_token(&permit, "ada", Role::Owner, &[], None).await.unwrap();
    let (_, secret) = split(&token.secret).unwrap();
    assert!(!format!("{token:?}").contains(secret));
    let folder = fixture.folder.as_ref().unwrap().path();
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    let tables = fixture.catalog.system_tables().await.unwrap();
    assert!(!format!("{tables:?}").contains(secret));
}

#[tokio::test]
async fn only_fitting_names_expiries_and_permits_make_a_token() {
    let fixture = Fixture::in_memory().await;
    let permit = fixture.permit(Action::ManageTokens);
    for name in ["", "  ", "seawall", "a\nb", &"x".repeat(121)] {
        let refused = fixture.catalog.create_token(&permit, name, Role::Owner, &[], None).await.unwrap_err();
        assert_eq!(refused.code(), "SW0633", "{name:?}");
    }
    let past = fixture.catalog.create_token(&permit, "ada", Role::Owner, &[], Some(Span::ZERO)).await.unwrap_err();
    assert_eq!(past.code(), "SW0633");
    let other = fixture.permit(Action::Ingest);
    let denied = fixture.catalog.create_token(&other, "ada", Role::Owner, &[], None).await.unwrap_err();
    assert_eq!(denied.code(), "SW0611");
    assert!(fixture.catalog.tokens().await.unwrap().is_empty());
    assert!(fixture.events().await.is_empty());
}

#[tokio::test]
async fn a_token_puts_its_principal_into_groups() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ManageTokens);
        let groups = ["fr", "de", "fr"].map(str::to_owned);
        let token = fixture.catalog.create_token(&permit, "ada", Role::Analyst, &groups, None).await.unwrap();
        let principal = fixture.catalog.authenticate(&token.secret).await.unwrap();
        assert_eq!(principal, Principal::new("ada", Role::Analyst).in_groups(["de", "fr"]));
        assert_eq!(fixture.catalog.tokens().await.unwrap()[0].groups, ["de", "fr"]);
        let many: Vec<String> = (0..=GROUPS_MAX).map(|n| format!("g{n}")).collect();
        for refused in [&["a\nb".to_owned()][..], &[String::new()], &many] {
            let error = fixture.catalog.create_token(&permit, "ada", Role::Analyst, refused, None).await.unwrap_err();
            assert_eq!(error.code(), "SW0633");
        }
    })
    .await;
}
