//! Opening, denying, writing at once.

use std::os::unix::fs::PermissionsExt;

use seawall_base::{ErrorKind, SeededRng, SystemClock};

use super::*;
use crate::fixtures::{Fixture, on_both};
use crate::intent::Effect;
use crate::policy::Role;

fn effect(target: &str) -> Effect {
    Effect { kind: "table_commit".to_owned(), target: target.to_owned(), expected: json!({"version": 3}) }
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let fixture = Fixture::on_disk().await;
    let id = fixture.catalog.open_intent(&fixture.permit(Action::WriteTable), &effect("payments")).await.unwrap();
    let again = fixture.second().await;
    assert_eq!(again.open_intents().await.unwrap()[0].id, id);
    again.verify_audit().await.unwrap();
}

#[tokio::test]
async fn the_files_are_readable_by_their_owner_only() {
    let fixture = Fixture::on_disk().await;
    fixture.catalog.open_intent(&fixture.permit(Action::WriteTable), &effect("payments")).await.unwrap();
    let folder = fixture.folder.as_ref().unwrap().path();
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.file_name());
        files += 1;
    }
    assert!(files >= 2, "the database and its write-ahead log");
}

#[tokio::test]
async fn a_catalog_of_a_newer_release_is_refused() {
    let fixture = Fixture::on_disk().await;
    fixture.tamper("INSERT INTO schema_version (version, applied_at) VALUES (99, 0)").await;
    let folder = fixture.folder.as_ref().unwrap().path();
    let refused = Catalog::open(folder, Arc::new(SystemClock), Arc::new(SeededRng::new(1))).await.err().unwrap();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Invalid, "SW0604"));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join(DATABASE_FILE),
        "not a database, though long enough to be read as one".repeat(40),
    )
    .unwrap();
    let refused = Catalog::open(folder.path(), Arc::new(SystemClock), Arc::new(SeededRng::new(1))).await.err().unwrap();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Corrupt, "SW0603"), "{refused}");
}

#[tokio::test]
async fn a_path_that_cannot_be_a_folder_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let refused = Catalog::open(&file, Arc::new(SystemClock), Arc::new(SeededRng::new(1))).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
}

#[tokio::test]
async fn a_denial_is_audited_and_a_grant_is_not_until_it_is_used() {
    on_both(async |fixture: Fixture| {
        let service = Principal::new("till", Role::Service);
        let refused = fixture.catalog.authorize(&service, Action::ReadRows, "payments").await.unwrap_err();
        assert_eq!(refused.code(), "SW0610");
        fixture.catalog.authorize(&service, Action::Ingest, "payments").await.unwrap();
        let entries = fixture.catalog.audit(10, 0).await.unwrap();
        assert_eq!(entries.len(), 1);
        let entry = &entries[0];
        assert_eq!((entry.event.as_str(), entry.principal.as_str()), ("denied", "till"));
        assert_eq!((entry.action.as_str(), entry.resource.as_str()), ("read_rows", "payments"));
    })
    .await;
}

#[tokio::test]
async fn a_change_that_is_dropped_leaves_nothing_and_blocks_nobody() {
    on_both(async |fixture: Fixture| {
        let mut write = fixture.catalog.begin().await.unwrap();
        let draft = audit::Draft::of("read", &fixture.permit(Action::ReadRows), json!({}));
        audit::append(&mut write, fixture.catalog.now(), draft).await.unwrap();
        drop(write);
        assert_eq!(fixture.events().await, Vec::<String>::new());
        fixture.catalog.open_intent(&fixture.permit(Action::WriteTable), &effect("payments")).await.unwrap();
        assert_eq!(fixture.events().await, ["intent_opened"]);
    })
    .await;
}

/// Two catalogs on one folder are two processes: each has its own connections, and SQLite's lock decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_two_processes_take_turns() {
    const WRITES: usize = 20;
    let fixture = Fixture::on_disk().await;
    let mut tasks = Vec::new();
    for catalog in [fixture.catalog.clone(), fixture.second().await] {
        for n in 0..WRITES {
            let catalog = catalog.clone();
            tasks.push(tokio::spawn(async move {
                let permit = catalog.system_permit(Action::WriteTable, "payments");
                catalog.open_intent(&permit, &effect(&format!("payments_{n}"))).await
            }));
        }
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(fixture.catalog.open_intents().await.unwrap().len(), 2 * WRITES);
    assert_eq!(fixture.events().await.len(), 2 * WRITES);
    fixture.catalog.verify_audit().await.unwrap();
}

/// Creating the database and its schema is a race that every process must survive.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_may_create_the_catalog_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut tasks = Vec::new();
    for n in 0..8 {
        let path = folder.path().to_owned();
        tasks.push(tokio::spawn(async move {
            let catalog = Catalog::open(&path, Arc::new(SystemClock), Arc::new(SeededRng::new(n))).await?;
            catalog.open_intent(&catalog.system_permit(Action::WriteTable, "payments"), &effect("payments")).await?;
            catalog.signing_key()
        }));
    }
    let mut keys = std::collections::BTreeSet::new();
    for task in tasks {
        keys.insert(task.await.unwrap().unwrap().public_key().to_vec());
    }
    assert_eq!(keys.len(), 1, "everybody signs with the same key");
    let catalog = Catalog::open(folder.path(), Arc::new(SystemClock), Arc::new(SeededRng::new(9))).await.unwrap();
    assert_eq!(catalog.open_intents().await.unwrap().len(), 8);
}
