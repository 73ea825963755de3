//! Failures of the database, and who has to act on them.

use seawall_base::ErrorKind;
use sqlx::{Connection as _, Row as _};

use super::*;

#[tokio::test]
async fn a_database_that_another_process_holds_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.db");
    let database = Database::open(&file, Instant(0)).await.unwrap();
    let held = database.begin().await.unwrap();
    // Does not wait, so that the test need not either.
    let options = common_options().filename(&file).busy_timeout(Duration::ZERO);
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let failure = other.begin_with("BEGIN IMMEDIATE").await.err().unwrap();
    let error = classify("beginning a change of the catalog", failure);
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "SW0602"));
    drop(held);
}

#[tokio::test]
async fn a_reader_sees_one_state_and_does_not_block_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("catalog.db"), Instant(0)).await.unwrap();
    let count = async |reader: &mut Connection| -> i64 {
        sqlx::query("SELECT COUNT(*) AS n FROM schema_version").fetch_one(reader).await.unwrap().get("n")
    };
    let mut before = database.read().await.unwrap();
    let migrations = count(&mut before).await;
    let mut write = database.begin().await.unwrap();
    sqlx::query("INSERT INTO schema_version (version, applied_at) VALUES (99, 0)")
        .execute(write.connection())
        .await
        .unwrap();
    write.commit().await.unwrap();
    assert_eq!(count(&mut before).await, migrations);
    assert_eq!(count(&mut database.read().await.unwrap()).await, migrations + 1);
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_corrupt() {
    let database = Database::in_memory(Instant(0)).await.unwrap();
    let mut reader = database.read().await.unwrap();
    let row = sqlx::query("SELECT 'xyz' AS hash, -1 AS count, '{' AS json, NULL AS gone, 'a' AS number")
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    let codes = [
        row.hash("hash").unwrap_err(),
        row.count("count").unwrap_err(),
        row.json::<serde_json::Value>("json").unwrap_err(),
        row.text("gone").unwrap_err(),
        row.int("number").unwrap_err(),
    ];
    for error in codes {
        assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, "SW0603"), "{error}");
    }
}

#[tokio::test]
async fn settings_make_a_commit_survive_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("catalog.db"), Instant(0)).await.unwrap();
    let mut reader = database.read().await.unwrap();
    let journal: String = sqlx::query("PRAGMA journal_mode").fetch_one(&mut *reader).await.unwrap().get("journal_mode");
    let synchronous: i64 = sqlx::query("PRAGMA synchronous").fetch_one(&mut *reader).await.unwrap().get("synchronous");
    assert_eq!((journal.as_str(), synchronous), ("wal", 2));
}

#[tokio::test]
async fn a_transaction_that_the_database_ended_by_itself_does_not_stop_later_ones() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("catalog.db"), Instant(0)).await.unwrap();
    let mut write = database.begin().await.unwrap();
    // What SQLite does when the disk is full.
    execute_all(write.connection(), "ROLLBACK").await.unwrap();
    assert!(write.commit().await.is_err());
    database.begin().await.unwrap().commit().await.unwrap();
    let mut reader = database.read().await.unwrap();
    execute_all(&mut reader, "SELECT 1").await.unwrap();
}
