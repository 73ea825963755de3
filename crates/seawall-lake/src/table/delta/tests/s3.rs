//! The same tables on an S3-style store, and what such a store can do to a commit.

use std::time::Duration;

use seawall_base::upkeep::CompactionTargets;
use seawall_base::{Engine, Query};

use super::*;
use crate::query::{DataFusionEngine, EngineOptions};
use crate::store::Patience;
use crate::store::s3_server::{Fault, S3Server};

fn patience() -> Patience {
    Patience { request_timeout: Duration::from_millis(700), retries_max: 2, retry_timeout: Duration::from_secs(10) }
}

fn store(server: &S3Server) -> DeltaStore {
    let home = Home::s3("s3://lake/some/prefix", &server.environment(), patience()).unwrap();
    DeltaStore::at(home, Arc::new(SystemClock))
}

#[tokio::test]
async fn the_suite_passes_on_an_s3_store() {
    let server = S3Server::start().await;
    let store = store(&server);
    check_all(&store, &permit()).await.unwrap();
    check_upkeep(&store, &store, &permit()).await.unwrap();
    assert!(server.keys().iter().all(|key| key.starts_with("some/prefix/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_read_an_s3_store() {
    let server = S3Server::start().await;
    let store = Arc::new(store(&server));
    store.ensure(&permit(), &name("t"), schema(), &[]).await.unwrap();
    for end in 1..=30u64 {
        store.append(&permit(), &name("t"), append(vec![rows(0, end - 1, end)], 0, end - 1, end)).await.unwrap();
    }
    let options = EngineOptions { memory_bytes: 1 << 27, threads: 2, spill_folder: None };
    let engine = DataFusionEngine::new(store, options).unwrap();
    let sql = "select count(*) as n, sum(id) as total from t where id >= 3";
    let result = engine.query(&permit(), Query { sql: sql.into(), ..Query::default() }).await.unwrap();
    let value = |column: usize| result.batches[0].column(column).as_primitive::<Int64Type>().value(0);
    assert_eq!((value(0), value(1)), (27, (3..30).sum::<i64>()));
}

/// Each fault at each kind of write, again and again: what is told is true, and every row is there once.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_store_answers_each_row_is_committed_once() {
    let faults = [
        Fault::Refuse(409),
        Fault::Refuse(412),
        Fault::Refuse(429),
        Fault::Refuse(503),
        Fault::ApplyThenAnswer(500),
        Fault::ApplyThenAnswer(409),
        Fault::ApplyThenClose,
        Fault::ApplyThenHang,
    ];
    for fault in faults {
        for (key_ends, times) in [(".json", 1), (".json", 4), (".parquet", 1)] {
            let server = S3Server::start().await;
            let store = store(&server);
            let table = name("t");
            store.ensure(&permit(), &table, schema(), &[]).await.unwrap();
            let mut attempts = 0;
            for end in 1..=4u64 {
                server.arm("PUT", key_ends, fault, if end == 2 { times } else { 0 });
                let rows = append(vec![rows(0, end - 1, end)], 0, end - 1, end);
                while let Err(error) = store.append(&permit(), &table, rows.clone()).await {
                    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Conflict), "{fault:?}: {error}");
                    attempts += 1;
                    assert!(attempts < 10, "{fault:?} on {key_ends}: {error}");
                }
            }
            assert!(server.injected() > 0, "{fault:?} was injected");
            let newest = store.snapshot(&table, None).await.unwrap();
            assert_eq!((newest.version, newest.rows), (TableVersion(4), 4), "{fault:?} on {key_ends}");
            let fresh = super::s3::store(&server);
            let shown = row_ids(&fresh, &permit(), &table, newest.version).await.unwrap();
            assert_eq!(shown, (0..4).map(|id| (0, id)).collect::<Vec<_>>(), "{fault:?} on {key_ends}");
        }
    }
}

/// A commit whose answer was lost is found by the process that retries it, also after others went on.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_sees_its_own_commit() {
    let server = S3Server::start().await;
    let (one, two) = (store(&server), store(&server));
    let table = name("t");
    one.ensure(&permit(), &table, schema(), &[]).await.unwrap();
    let first = append(vec![rows(0, 0, 1)], 0, 0, 1);
    server.arm("PUT", "1.json", Fault::ApplyThenClose, 1);
    one.append(&permit(), &table, first.clone()).await.unwrap();
    two.append(&permit(), &table, append(vec![rows(0, 1, 2)], 0, 1, 2)).await.unwrap();
    assert_eq!(one.append(&permit(), &table, first).await.unwrap(), TableVersion(2));
    assert_eq!(one.row_count(&table).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_processes_on_an_s3_store_append_each_row_once() {
    let server = S3Server::start().await;
    let table = name("t");
    store(&server).ensure(&permit(), &table, schema(), &[]).await.unwrap();
    let tasks = (0..6).map(|partition: u32| {
        let (store, table) = (store(&server), table.clone());
        tokio::spawn(async move {
            for end in 1..=5u64 {
                let rows = append(vec![rows(partition, end - 1, end)], partition, end - 1, end);
                store.append(&permit(), &table, rows).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let newest = store(&server).snapshot(&table, None).await.unwrap();
    assert_eq!((newest.version, newest.rows), (TableVersion(30), 30));
    let targets = CompactionTargets { similar_files: 4, ..CompactionTargets::default() };
    let merged = store(&server).compact(&permit(), &table, &targets).await.unwrap();
    assert_eq!(merged.merged_files, 30);
    let shown = row_ids(&store(&server), &permit(), &table, merged.version).await.unwrap();
    assert_eq!(shown, (0..6).flat_map(|p| (0..5).map(move |id| (p, id))).collect::<Vec<_>>());
}

#[test]
fn a_home_without_bucket_or_credentials_is_refused() {
    let environment = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let keys = environment(&[("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")]);
    for address in ["", "lake", "s3://", "gs://lake", "s3://key:secret@lake", "s3://lake?region=x", "/var/lake"] {
        let error = Home::s3(address, &keys, patience()).expect_err(address);
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, codes::HOME), "{address}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert_eq!(Home::s3("s3://lake", &environment(&[]), patience()).expect_err("no keys").code(), codes::HOME);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    std::fs::write(&file, "[default]\naws_access_key_id = a\n[lake]\naws_access_key_id = a\naws_secret_access_key=b\n")
        .unwrap();
    let shared = |profile: &str| {
        environment(&[("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()), ("AWS_PROFILE", profile)])
    };
    Home::s3("s3://lake/a/b", &shared("lake"), patience()).unwrap();
    assert_eq!(Home::s3("s3://lake", &shared("default"), patience()).expect_err("no secret").code(), codes::HOME);
}
