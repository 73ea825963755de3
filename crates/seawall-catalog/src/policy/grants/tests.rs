//! What is shown of tables, and of those that took rows and values over from them.

use arrow::datatypes::{DataType, TimeUnit};
use seawall_base::grant::Literal;

use super::*;
use crate::policy::shape::Shape;
use crate::policy::{PolicySet, Principal, Role};

fn column(name: &str, from: &[(&str, &str)]) -> ColumnShape {
    let classification = if name.contains("card") { Some("restricted".to_owned()) } else { None };
    let derived_from = from.iter().map(|(dataset, name)| ((*dataset).to_owned(), (*name).to_owned())).collect();
    ColumnShape { name: name.to_owned(), data_type: DataType::Utf8, classification, tags: Vec::new(), derived_from }
}

fn table(name: &str, dataset: &str, kind: TableKind, columns: Vec<ColumnShape>) -> TableShape {
    TableShape { name: name.to_owned(), dataset: dataset.to_owned(), kind, owner: None, classification: None, columns }
}

fn shape() -> Shape {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let paid_at = ColumnShape { data_type: instant, ..column("paid_at", &[]) };
    let payments = vec![column("card", &[]), column("country", &[]), column("amount", &[]), paid_at];
    let number = ("payments", "card");
    let country = ("payments", "country");
    Shape {
        tables: vec![
            table("payments", "payments", TableKind::Dataset, payments),
            table("weather", "weather", TableKind::Dataset, vec![column("station", &[])]),
            table("payments__quarantine", "payments", TableKind::Quarantine, vec![column("raw", &[])]),
            table("clean", "clean", TableKind::Dataset, vec![column("number", &[number]), column("land", &[country])]),
            table(
                "fraud__training_set",
                "payments",
                TableKind::TrainingSet,
                vec![column("number", &[number]), column("sum", &[])],
            ),
            table(
                "fraud__served",
                "payments",
                TableKind::Served,
                vec![column("number", &[number]), column("land", &[country]), column("last", &[country])],
            ),
            table(
                "mixed__served",
                "payments",
                TableKind::Served,
                vec![column("number", &[("clean", "number")]), column("land", &[country])],
            ),
            table("audit", "audit", TableKind::System, vec![column("card", &[])]),
        ],
    }
}

fn compile(policies: &str) -> PolicySet {
    let files = [("policies/ours.cedar".to_owned(), policies.to_owned())];
    PolicySet::compile(&files, &shape()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn shown(set: &PolicySet, principal: &Principal, action: Action) -> Grants {
    let compiled = set.inner.as_ref();
    let subject = Subject::of(principal);
    if compiled.is_unrestricted(&subject, action) {
        return Grants::Everything;
    }
    grants(compiled, &subject, action, &sights(compiled, &subject))
}

fn analyst() -> Principal {
    Principal::new("ada", Role::Analyst).in_groups(["de"])
}

const MASKED: &str = r#"
@mask("show-last-4")
forbid (principal in Role::"analyst", action == Action::"read_raw", resource)
when { resource.classification == "restricted" };
"#;

const OWN_COUNTRY: &str = r#"
forbid (principal in Role::"analyst", action == Action::"read_row", resource is Row_payments)
unless { resource has country && principal.groups.contains(resource.country) };
"#;

fn masks(grant: &TableGrant) -> Vec<(&str, &Mask)> {
    grant.masks.iter().map(|(column, mask)| (column.as_str(), mask)).collect()
}

/// The filter of [`OWN_COUNTRY`] over a column.
fn own_country(column: &str) -> Predicate {
    let literals = vec![Literal::Text("de".to_owned())];
    let mine = Predicate::OneOf { column: column.to_owned(), literals };
    let both = Predicate::All(vec![Predicate::Present(column.to_owned()), mine]);
    Predicate::Not(Box::new(Predicate::OrElse(Box::new(Predicate::Not(Box::new(both))), true)))
}

#[test]
fn without_restrictions_everything_is_shown() {
    for role in Role::ALL {
        assert_eq!(
            shown(&PolicySet::defaults(), &Principal::new("x", role), Action::ReadRows).is_everything(),
            role != Role::Service
        );
    }
    let set = compile(MASKED);
    assert!(shown(&set, &Principal::new("eve", Role::Engineer), Action::ReadRows).is_everything());
    assert!(!shown(&set, &analyst(), Action::ReadRows).is_everything());
}

#[test]
fn who_is_restricted_sees_the_tables_of_the_project_and_no_others() {
    let grants = shown(&compile(MASKED), &analyst(), Action::ReadRows);
    assert!(grants.table("weather").unwrap().is_everything());
    assert!(grants.table("audit").unwrap().is_everything(), "system tables are not masked");
    assert_eq!(grants.table("removed_last_year"), None);
}

#[test]
fn a_mask_follows_the_values() {
    let grants = shown(&compile(MASKED), &analyst(), Action::ReadRows);
    let check = |table: &str, expected: &[(&str, &Mask)]| {
        assert_eq!(masks(&grants.table(table).unwrap()), expected, "{table}");
    };
    check("payments", &[("card", &Mask::ShowLast4)]);
    check("payments__quarantine", &[("card", &Mask::ShowLast4)]);
    check("clean", &[("number", &Mask::ShowLast4)]);
    check("fraud__training_set", &[("number", &Mask::ShowLast4)]);
    check("fraud__served", &[("number", &Mask::ShowLast4)]);
    check("mixed__served", &[("number", &Mask::ShowLast4)]);
}

#[test]
fn the_strictest_mask_is_used_and_null_where_it_does_not_fit() {
    let check = |policies: &str, expected: &[(&str, &Mask)]| {
        let grants = shown(&compile(policies), &analyst(), Action::ReadRows);
        assert_eq!(masks(&grants.table("payments").unwrap()), expected, "{policies}");
    };
    let on = |mask: &str, column: &str| {
        format!(r#"{mask} forbid (principal, action == Action::"read_raw", resource == Column::"payments.{column}");"#)
    };
    let first = on("@mask(\"show-first-4\")", "card");
    let hash = on("@mask(\"sha-256-global\")", "card");
    check(&format!("{first}{hash}"), &[("card", &Mask::Sha256Global)]);
    check(&format!("{first}{hash}{}", on("", "card")), &[("card", &Mask::ReplaceWithNull)]);
    check(&on("@mask(\"truncate-to-year\")", "paid_at"), &[("paid_at", &Mask::TruncateToYear)]);
    check(&on("@mask(\"truncate-to-year\")", "card"), &[("card", &Mask::ReplaceWithNull)]);
    check(&on("@mask(\"show-last-4\")", "paid_at"), &[("paid_at", &Mask::ReplaceWithNull)]);
    let ordered: Vec<usize> = mask::STRICTEST_FIRST.iter().map(|(mask, _)| mask::rank(mask)).collect();
    assert_eq!(ordered, (0..9).collect::<Vec<usize>>());
    for (mask, name) in mask::STRICTEST_FIRST {
        assert_eq!(serde_json::to_value(&mask).unwrap(), name, "policies and grants use one name");
    }
}

#[test]
fn a_row_filter_follows_the_rows() {
    let grants = shown(&compile(OWN_COUNTRY), &analyst(), Action::ReadRows);
    let rows = |table: &str| grants.table(table).unwrap().rows;
    assert_eq!(rows("payments"), Some(own_country("country")));
    assert_eq!(rows("payments__quarantine"), Some(own_country("country")));
    assert_eq!(rows("clean"), Some(own_country("land")));
    assert_eq!(rows("fraud__training_set"), Some(Predicate::Constant(false)), "the country was not taken over");
    let both = Predicate::All(vec![own_country("land"), own_country("last")]);
    assert_eq!(rows("fraud__served"), Some(both), "the values may come from different rows");
    assert_eq!(rows("mixed__served"), Some(Predicate::Constant(false)), "the country of clean was not taken over");
}

#[test]
fn every_action_that_shows_rows_has_the_same_sight() {
    let set = compile(OWN_COUNTRY);
    let all: Vec<Grants> = [Action::ReadRows, Action::BuildTrainingSet, Action::VerifySkew]
        .into_iter()
        .map(|action| shown(&set, &analyst(), action))
        .collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_table_that_is_forbidden_takes_its_copies_along() {
    let policy =
        r#"forbid (principal in Role::"analyst", action == Action::"read_rows", resource == Table::"payments");"#;
    let Grants::Tables(tables) = shown(&compile(policy), &analyst(), Action::ReadRows) else { panic!("restricted") };
    assert_eq!(tables.keys().collect::<Vec<_>>(), ["audit", "weather"]);
}

#[test]
fn nothing_is_shown_of_what_has_an_unknown_origin() {
    let mut shape = shape();
    shape.tables.push(table("odd", "gone", TableKind::Predictions, vec![column("score", &[])]));
    let knot = |name: &str, from: &str| table(name, name, TableKind::Dataset, vec![column("x", &[(from, "x")])]);
    shape.tables.extend([knot("left", "right"), knot("right", "left")]);
    let files = [("a.cedar".to_owned(), OWN_COUNTRY.to_owned())];
    let set = PolicySet::compile(&files, &shape).unwrap();
    let grants = shown(&set, &analyst(), Action::ReadRows);
    for table in ["odd", "left", "right"] {
        assert_eq!(grants.table(table).unwrap().rows, Some(Predicate::Constant(false)), "{table}");
    }
}
