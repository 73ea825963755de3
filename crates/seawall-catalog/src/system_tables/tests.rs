//! Every system table, empty and filled.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use seawall_base::{Cut, Hash, Offset, Partition, TableName, TableVersion};
use serde_json::json;

use crate::facts::{Counts, FrameFacts, TableCommit};
use crate::fixtures::{Fixture, START, project, training_set, view};
use crate::lineage::LineageEdge;
use crate::models::fixtures::{binds, hour, person, signal};
use crate::policy::{Action, Principal, Role};

const NAMES: [&str; 21] = [
    "revisions",
    "declarations",
    "table_versions",
    "ingest_counts",
    "quality_results",
    "quality_scores",
    "quarantine_departures",
    "lineage",
    "audit",
    "intents",
    "training_sets",
    "certificates",
    "tokens",
    "maintenance",
    "transform_runs",
    "models",
    "model_aliases",
    "decisions",
    "approvals",
    "signals",
    "incidents",
];

#[tokio::test]
async fn an_empty_catalog_has_every_table_with_its_columns() {
    let fixture = Fixture::in_memory().await;
    let tables = fixture.catalog.system_tables().await.unwrap();
    assert_eq!(tables.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), NAMES);
    for (name, rows) in tables {
        assert_eq!(rows.num_rows(), 0, "{name}");
        assert!(rows.num_columns() >= 5, "{name}");
    }
}

#[tokio::test]
async fn a_role_sees_the_tables_that_it_may_read() {
    let fixture = Fixture::in_memory().await;
    let check = async |role: Role, hidden: &[&str]| {
        let principal = Principal::new("ada", role);
        let seen = fixture.catalog.system_tables_for(&principal).await.unwrap();
        let expected: Vec<&str> = NAMES.into_iter().filter(|name| !hidden.contains(name)).collect();
        assert_eq!(seen.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), expected, "{role}");
    };
    check(Role::Owner, &[]).await;
    check(Role::Engineer, &[]).await;
    check(Role::Analyst, &["audit", "intents", "tokens"]).await;
    check(Role::Service, &["audit", "intents", "tokens"]).await;
}

/// The rows of one table, some columns of it, with one space between values.
fn lines(tables: &[(String, RecordBatch)], table: &str, columns: &[&str]) -> Vec<String> {
    let (_, rows) = tables.iter().find(|(name, _)| name == table).unwrap();
    let wanted: Vec<usize> = columns.iter().map(|column| rows.schema().index_of(column).unwrap()).collect();
    let text = pretty_format_batches(&[rows.project(&wanted).unwrap()]).unwrap().to_string();
    text.lines()
        .skip(3)
        .filter(|line| line.starts_with('|'))
        .map(|line| line.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" "))
        .collect()
}

#[tokio::test]
async fn tables_show_models_decisions_and_incidents() {
    let fixture = Fixture::in_memory().await;
    let catalog = &fixture.catalog;
    fixture.train(2).await;
    let proposal = fixture.propose(1, None, 10, &["owner"]).await;
    let ada = person("ada", Role::Owner);
    let permit = fixture.permit_of(&ada, Action::ApproveDecision);
    catalog.approve(&permit, &ada, &[], &proposal, binds(1), "fine").await.unwrap();
    catalog.promote(&fixture.permit(Action::PromoteModel), &proposal, hour(10)).await.unwrap();
    catalog.record_signals(&fixture.permit(Action::ManageIncidents), &[signal(11, 0.5)]).await.unwrap();
    let tables = catalog.system_tables().await.unwrap();
    let check = |table: &str, columns: &[&str], expected: &[&str]| {
        assert_eq!(lines(&tables, table, columns), expected, "{table}");
    };
    check("models", &["model", "version", "rows", "auc"], &["fraud 1 7000 0.9", "fraud 2 7000 0.9"]);
    check("model_aliases", &["model", "champion", "challenger", "former"], &["fraud 1"]);
    check(
        "decisions",
        &["id", "kind", "version", "champion", "carries_out", "decided_by"],
        &["DEC-1 propose 1 seawall", "DEC-2 promote 1 DEC-1 seawall"],
    );
    check("approvals", &["decision", "principal", "role", "fills", "reason"], &["DEC-1 ada owner owner fine"]);
    check(
        "signals",
        &["metric", "subject", "column_name", "value", "limit_value", "breached"],
        &["psi fraud card__n 0.5 0.2 true"],
    );
    check("incidents", &["id", "closed_at"], &[]);
}

#[tokio::test]
async fn tables_show_what_the_catalog_holds() {
    let fixture = Fixture::in_memory().await;
    let catalog = &fixture.catalog;
    let project = project(vec![view("card", 1)], vec![training_set("fraud", &["card@1"])]);
    let edge = LineageEdge {
        from_object: "payments".to_owned(),
        from_column: "*".to_owned(),
        to_object: "card@1".to_owned(),
        to_column: "n".to_owned(),
        via: "feature".to_owned(),
    };
    catalog.apply(&fixture.permit(Action::ApplyProject), &project, None, &[edge]).await.unwrap();
    let commit = TableCommit {
        table: TableName::dataset("payments").unwrap(),
        version: TableVersion(1),
        committed_at: START,
        rows: 5,
        cut: Cut::of(Partition::LIVE, Offset(5)),
        detail: json!(null),
    };
    catalog.record_table_version(&fixture.permit(Action::WriteTable), &commit).await.unwrap();
    let counts = Counts { received: 5, accepted: 5, ..Counts::default() };
    let frames = [FrameFacts { entry: 0, arrival: Some(START), counts, rules: Vec::new(), departure: None }];
    catalog.record_frames(&fixture.permit(Action::WriteTable), "payments", Partition::LIVE, &frames).await.unwrap();
    let permit = fixture.permit(Action::VerifySkew);
    catalog.record_certificate(&permit, "skew", "fraud", &json!({"equal": 5}), Hash::of(b"skew")).await.unwrap();
    catalog
        .create_token(&fixture.permit(Action::ManageTokens), "till", Role::Service, &["paris".to_owned()], None)
        .await
        .unwrap();

    let tables = catalog.system_tables().await.unwrap();
    let check = |table: &str, columns: &[&str], expected: &[&str]| {
        assert_eq!(lines(&tables, table, columns), expected, "{table}");
    };
    check("revisions", &["seq", "principal", "changed", "active"], &["1 seawall 4 true"]);
    check(
        "declarations",
        &["kind", "name", "version"],
        &["contract payments@1 1.0.0", "source payments", "feature_view card 1", "training_set fraud"],
    );
    check("table_versions", &["table_name", "version", "rows", "cut"], &["payments 1 5 0:5"]);
    check("ingest_counts", &["dataset", "received", "accepted", "rejected"], &["payments 5 5 0"]);
    check("lineage", &["from_object", "from_column", "to_object", "to_column"], &["payments * card@1 n"]);
    check(
        "audit",
        &["seq", "event", "action"],
        &[
            "1 applied apply_project",
            "2 table_version write_table",
            "3 certificate verify_skew",
            "4 token_created manage_tokens",
        ],
    );
    check("certificates", &["kind", "subject", "body"], &[r#"skew fraud {"equal":5}"#]);
    let (_, versions) = tables.iter().find(|(name, _)| name == "table_versions").unwrap();
    let committed_at = versions.column_by_name("committed_at").unwrap();
    assert_eq!(committed_at.data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    assert_eq!(committed_at.as_primitive::<TimestampMicrosecondType>().values(), &[START.0]);
    check("tokens", &["name", "role", "groups", "created_by"], &["till service paris seawall"]);
}
