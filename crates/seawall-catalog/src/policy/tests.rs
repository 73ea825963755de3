//! The policy's table, and what permits and denials say.

use super::known::{PRINCIPALS_MAX, RIGHTS_MAX};
use super::*;
use seawall_base::SeededRng;

fn policy() -> Policy {
    Policy::new(Arc::new(SeededRng::new(1)))
}

fn principal(role: Role) -> Principal {
    Principal::new("ada", role)
}

#[test]
fn the_table_of_rights_is_this_one() {
    let check = |role: Role, expected: &str| {
        let may = |action: &Action| policy().may(&principal(role), *action, "payments");
        let held: Vec<&str> = Action::ALL.into_iter().filter(may).map(Action::as_str).collect();
        assert_eq!(held.join(" "), expected, "rights of {role}");
    };
    check(
        Role::Owner,
        "apply_project ingest read_rows read_metadata read_audit serve_features build_training_set write_table \
         manage_tokens release_quarantine verify_skew administer train_model promote_model approve_decision \
         roll_back manage_incidents predict",
    );
    check(
        Role::Engineer,
        "apply_project ingest read_rows read_metadata read_audit serve_features build_training_set \
         release_quarantine verify_skew train_model promote_model approve_decision roll_back manage_incidents \
         predict",
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

fn shape() -> Shape {
    let column = |name: &str, classification: Option<&str>| ColumnShape {
        name: name.to_owned(),
        data_type: arrow::datatypes::DataType::Utf8,
        classification: classification.map(str::to_owned),
        tags: Vec::new(),
        derived_from: Vec::new(),
    };
    let table = |name: &str| TableShape {
        name: name.to_owned(),
        dataset: name.to_owned(),
        kind: TableKind::Dataset,
        owner: None,
        classification: None,
        columns: vec![column("card", Some("restricted")), column("country", None)],
    };
    Shape { tables: vec![table("payments"), table("payroll")] }
}

fn installed(text: &str) -> Policy {
    let policy = policy();
    let files = [("policies/ours.cedar".to_owned(), text.to_owned())];
    policy.install(PolicySet::compile(&files, &shape()).unwrap_or_else(|problems| panic!("{problems:#?}")));
    policy
}

const EXAMPLE: &str = r#"
@mask("show-last-4")
forbid (principal in Role::"analyst", action == Action::"read_raw", resource)
when { resource.classification == "restricted" };

forbid (principal in Role::"analyst", action == Action::"read_row", resource is Row_payments)
unless { resource has country && principal.groups.contains(resource.country) };

forbid (principal, action == Action::"read_rows", resource == Table::"payroll")
unless { principal in Group::"hr" };
"#;

#[test]
fn permits_carry_what_they_show_once_policies_are_installed() {
    let policy = installed(EXAMPLE);
    let analyst = principal(Role::Analyst).in_groups(["de"]);
    let permit = policy.authorize(&analyst, Action::ReadRows, "query").unwrap();
    let payments = permit.grants().table("payments").unwrap();
    assert_eq!(payments.masks["card"], seawall_base::grant::Mask::ShowLast4);
    assert!(payments.rows.is_some());
    assert_eq!(permit.grants().table("payroll"), None);
    let counts = policy.authorize(&analyst, Action::ReadMetadata, "payments").unwrap();
    assert!(counts.grants().is_everything(), "metadata shows no rows");
    assert!(policy.system_permit(Action::ReadRows, "payroll").grants().is_everything());
    let hr = analyst.clone().in_groups(["hr"]);
    let permit = policy.authorize(&hr, Action::ReadRows, "payroll").unwrap();
    assert!(permit.grants().table("payroll").is_some());
    policy.install(PolicySet::defaults());
    assert!(policy.authorize(&analyst, Action::ReadRows, "query").unwrap().grants().is_everything());
}

#[test]
fn a_denial_tells_nothing_of_other_tables() {
    let policy = installed(EXAMPLE);
    let denied = policy.authorize(&principal(Role::Analyst), Action::ReadRows, "payroll").unwrap_err();
    assert_eq!(denied.message(), "ada (analyst) lacks the right read_rows on payroll");
    assert_eq!(denied.remedy().unwrap(), "no role holds read_rows here; an owner can change the project's policies");
    let denied = policy.authorize(&principal(Role::Service), Action::ReadRows, "query").unwrap_err();
    assert!(denied.remedy().unwrap().starts_with("read_rows is held by owner, engineer, analyst;"));
    assert!(!denied.to_string().contains("payments"));
}

#[test]
fn who_may_read_one_table_may_ask() {
    let one = r#"permit (principal in Group::"till", action == Action::"read_rows", resource == Table::"payments");"#;
    let policy = installed(one);
    let till = principal(Role::Service).in_groups(["till"]);
    let permit = policy.authorize(&till, Action::ReadRows, "query").unwrap();
    assert!(permit.grants().table("payments").unwrap().is_everything());
    assert_eq!(permit.grants().table("payroll"), None);
    assert!(policy.authorize(&till, Action::ReadRows, "payroll").is_err());
    assert!(policy.authorize(&principal(Role::Service), Action::ReadRows, "query").is_err());
    let closed = format!("{one} forbid (principal, action == Action::\"read_rows\", resource == Resource::\"query\");");
    assert!(installed(&closed).authorize(&till, Action::ReadRows, "query").is_err());
}

#[test]
fn what_is_remembered_is_bounded_and_right() {
    let policy = installed(EXAMPLE);
    for n in 0..PRINCIPALS_MAX + 3 {
        let one = Principal::new(format!("p{n}"), Role::Analyst).in_groups([format!("g{n}")]);
        let permit = policy.authorize(&one, Action::ReadRows, "query").unwrap();
        let rows = permit.grants().table("payments").unwrap().rows;
        assert!(format!("{rows:?}").contains(&format!("\"g{n}\"")));
    }
    assert!(policy.active().principals.len() <= PRINCIPALS_MAX);
}

#[test]
fn rights_that_are_remembered_are_what_is_decided_anew() {
    let policy = installed(EXAMPLE);
    let people = Role::ALL.map(principal).into_iter().chain([principal(Role::Analyst).in_groups(["hr"])]);
    let people: Vec<Principal> = people.collect();
    for resource in ["payments", "payroll", "query"].map(str::to_owned).into_iter().cycle().take(6) {
        for (person, action) in people.iter().flat_map(|person| Action::ALL.map(|action| (person, action))) {
            let fresh = policy.active().decide(&Subject::of(person), action, &resource);
            assert_eq!(policy.may(person, action, &resource), fresh, "{person:?} {action} {resource}");
        }
    }
}

#[test]
fn resources_that_nobody_declared_do_not_fill_the_memory() {
    let policy = installed(EXAMPLE);
    for n in 0..2 * RIGHTS_MAX + 3 {
        assert!(!policy.may(&principal(Role::Analyst), Action::Ingest, &format!("made_up_{n}")));
    }
    let active = policy.active();
    assert!(active.principals.of(&principal(Role::Analyst)).rights() <= RIGHTS_MAX);
    assert!(!policy.may(&principal(Role::Analyst), Action::Ingest, "made_up_0"));
}

#[test]
fn other_policies_forget_what_was_decided() {
    let policy = policy();
    let analyst = principal(Role::Analyst);
    assert!(policy.authorize(&analyst, Action::ReadRows, "payroll").is_ok());
    policy.install(installed(EXAMPLE).installed());
    assert!(policy.authorize(&analyst, Action::ReadRows, "payroll").is_err());
    policy.install(PolicySet::defaults());
    assert!(policy.authorize(&analyst, Action::ReadRows, "payroll").is_ok());
}

#[test]
fn principals_of_older_catalogs_have_no_groups() {
    let read: Principal = serde_json::from_str(r#"{"name": "ada", "role": "owner"}"#).unwrap();
    assert_eq!(read, principal(Role::Owner));
}
