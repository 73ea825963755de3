use seawall_base::error::ErrorKind;
use seawall_base::{Offset, Partition, TableName, TableStore};

use crate::table::DeltaStore;
use crate::table::conformance::{append, rows, schema};
use crate::tests::permit;

/// Whatever is in its place, nothing is read from it and nothing is written to it.
#[tokio::test]
async fn tables_that_were_moved_are_away_and_not_empty() {
    let folder = tempfile::tempdir().unwrap();
    let (root, moved) = (folder.path().join("tables"), folder.path().join("moved"));
    let table = TableName::new("t").unwrap();
    let store = DeltaStore::open(&root).unwrap();
    store.ensure(&permit(), &table, schema(), &[]).await.unwrap();
    store.append(&permit(), &table, append(vec![rows(0, 0, 1)], 0, 0, 1)).await.unwrap();
    std::fs::rename(&root, &moved).unwrap();

    for in_its_place in ["nothing", "a file", "an empty folder"] {
        match in_its_place {
            "a file" => std::fs::write(&root, "").unwrap(),
            "an empty folder" => std::fs::create_dir(&root).unwrap(),
            _ => {}
        }
        let away = [
            store.snapshot(&table, None).await.unwrap_err(),
            store.tables().await.unwrap_err(),
            store.ensure(&permit(), &table, schema(), &[]).await.unwrap_err(),
            store.append(&permit(), &table, append(vec![rows(0, 1, 2)], 0, 1, 2)).await.unwrap_err(),
        ];
        for error in away {
            assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "SW1307"), "{in_its_place}: {error}");
        }
        match in_its_place {
            "a file" => std::fs::remove_file(&root).unwrap(),
            // Fails when something was written into it.
            "an empty folder" => std::fs::remove_dir(&root).unwrap(),
            _ => assert!(!root.exists()),
        }
    }

    std::fs::rename(&moved, &root).unwrap();
    store.append(&permit(), &table, append(vec![rows(0, 1, 2)], 0, 1, 2)).await.unwrap();
    let snapshot = store.snapshot(&table, None).await.unwrap();
    assert_eq!((snapshot.rows, snapshot.cut.end(Partition(0))), (2, Offset(2)));
}
