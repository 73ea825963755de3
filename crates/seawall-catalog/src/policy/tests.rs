//! The policy's table, and what permits and denials say.

use super::*;
use seawall_base::SeededRng;

fn policy() -> Policy {
    Policy::new(Arc::new(SeededRng::new(1)))
}

fn principal(role: Role) -> Principal {
    Principal { name: "ada".to_owned(), role }
}

#[test]
fn the_table_of_rights_is_this_one() {
    let check = |role: Role, expected: &str| {
        let held: Vec<&str> = Action::ALL.into_iter().filter(|a| role.may(*a)).map(Action::as_str).collect();
        assert_eq!(held.join(" "), expected, "rights of {role}");
    };
    check(
        Role::Owner,
        "apply_project ingest read_rows read_metadata read_audit serve_features build_training_set write_table \
         manage_tokens release_quarantine verify_skew administer train_model promote_model approve_decision roll_back \
         manage_incidents predict",
    );
    check(
        Role::Engineer,
        "apply_project ingest read_rows read_metadata read_audit serve_features build_training_set \
         release_quarantine verify_skew train_model promote_model approve_decision roll_back manage_incidents predict",
    );
    check(Role::Analyst, "read_rows read_metadata build_training_set verify_skew approve_decision");
    check(Role::Service, "ingest read_metadata serve_features predict");
}

#[test]
fn names_read_back_and_match_their_json() {
    for role in Role::ALL {
        assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
    }
    for action in Action::ALL {
        assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
    }
    assert_eq!("root".parse::<Role>().unwrap_err().code(), "SW0612");
}

#[test]
fn a_permit_names_its_holder_and_has_an_id_of_its_own() {
    let policy = policy();
    let first = policy.authorize(&principal(Role::Engineer), Action::Ingest, "payments").unwrap();
    let second = policy.authorize(&principal(Role::Engineer), Action::Ingest, "payments").unwrap();
    assert_eq!((first.principal(), first.action(), first.resource()), ("ada", "ingest", "payments"));
    assert_ne!(first.id(), second.id());
    assert_eq!(policy.system_permit(Action::WriteTable, "payments").principal(), SYSTEM_PRINCIPAL);
}

#[test]
fn a_denial_says_what_is_missing_and_who_holds_it() {
    let denied = policy().authorize(&principal(Role::Service), Action::ReadRows, "payments").unwrap_err();
    assert_eq!((denied.kind(), denied.code()), (ErrorKind::Denied, "SW0610"));
    assert_eq!(denied.message(), "ada (service) lacks the right read_rows on payments");
    assert!(denied.remedy().unwrap().starts_with("read_rows is held by owner, engineer, analyst;"));
}

#[test]
fn a_permit_for_one_action_is_none_for_another() {
    let permit = policy().system_permit(Action::ReadRows, "payments");
    assert!(expect_action(&permit, &[Action::Ingest, Action::ReadRows]).is_ok());
    assert_eq!(expect_action(&permit, &[Action::WriteTable]).unwrap_err().code(), "SW0611");
}
