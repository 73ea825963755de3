use object_store::memory::InMemory;

use super::*;

async fn load(commits: &[&str]) -> Result<Option<TableState>> {
    let store = Arc::new(InMemory::new());
    let log = Log::new(Home::of(Arc::<InMemory>::clone(&store)), "t");
    for (version, commit) in commits.iter().enumerate() {
        store.put(&log.commit_path(version as u64), commit.as_bytes().to_vec().into()).await.unwrap();
    }
    log.load().await
}

const CREATE: &str = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}
{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[{\"name\":\"a\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]}","partitionColumns":[],"configuration":{}}}
"#;

#[tokio::test]
async fn a_folder_without_a_log_is_no_table() {
    assert!(load(&[]).await.unwrap().is_none());
}

#[tokio::test]
async fn files_come_and_go_and_the_newest_txn_counts() {
    let add = r#"{"add":{"path":"a%20b.parquet","partitionValues":{},"size":9,"modificationTime":1,"dataChange":true,"stats":"{\"numRecords\":3}"}}
{"txn":{"appId":"seawall/4","version":7}}
{"txn":{"appId":"spark","version":1}}
{"unheardOf":{"x":1}}
"#;
    let state = load(&[CREATE, add]).await.unwrap().unwrap();
    assert_eq!(state.version, 1);
    assert_eq!(state.cut(), Cut::of(seawall_base::Partition(4), Offset(7)));
    assert_eq!(state.files["a b.parquet"].rows, Some(3));
    let remove = r#"{"remove":{"path":"a%20b.parquet","deletionTimestamp":1,"dataChange":true}}
{"txn":{"appId":"seawall/4","version":9}}
"#;
    let state = load(&[CREATE, add, remove]).await.unwrap().unwrap();
    assert!(state.files.is_empty());
    assert_eq!(state.cut(), Cut::of(seawall_base::Partition(4), Offset(9)));
}

async fn check_refused(commit: &str, code: &str) {
    let error = load(&[CREATE, commit]).await.expect_err(commit);
    assert_eq!((error.kind(), error.code()), (ErrorKind::Corrupt, code), "{error}");
}

#[tokio::test]
async fn what_seawall_would_read_wrongly_is_refused() {
    let features = codes::TABLE_FEATURES;
    let deletion =
        r#"{"add":{"path":"a","size":1,"modificationTime":1,"dataChange":true,"deletionVector":{"storageType":"u"}}}"#;
    check_refused(deletion, features).await;
    let protocol = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}}"#;
    check_refused(protocol, features).await;
    check_refused(r#"{"protocol":{"minReaderVersion":2,"minWriterVersion":5}}"#, features).await;
    let partitioned = CREATE.lines().nth(1).unwrap().replace("\"partitionColumns\":[]", "\"partitionColumns\":[\"a\"]");
    check_refused(&partitioned, features).await;
    check_refused("not json", codes::LOG_BROKEN).await;
    check_refused("\n \n", codes::LOG_BROKEN).await;
    let size = r#"{"add":{"path":"a","size":-1,"modificationTime":1,"dataChange":true}}"#;
    check_refused(size, codes::LOG_BROKEN).await;
    let escape = r#"{"remove":{"path":"../a","dataChange":true}}"#;
    check_refused(escape, codes::PATH_ESCAPES).await;
}

#[tokio::test]
async fn a_log_that_begins_in_the_middle_is_refused() {
    let error = load(&[r#"{"txn":{"appId":"seawall/0","version":1}}"#]).await.unwrap_err();
    assert_eq!(error.code(), codes::LOG_BROKEN);
}

proptest::proptest! {
    /// A log is data: whatever stands in it, reading it ends with a state or an error.
    #[test]
    fn no_log_panics(noise in ".{0,200}", cut in 0usize..400) {
        let cut = (0..=cut.min(CREATE.len())).rev().find(|at| CREATE.is_char_boundary(*at)).unwrap_or(0);
        let torn = format!("{}{noise}", &CREATE[..cut]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(load(&[CREATE, &torn]));
    }
}
