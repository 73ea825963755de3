use std::sync::Arc;

use seawall_base::error::ErrorKind;
use seawall_base::{Offset, Partition, SystemClock, TableName, TableStore};

use crate::store::Home;
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

/// Whoever starts while the disk is not mounted finds the tables once it is, through the link that led nowhere.
#[tokio::test]
async fn tables_that_come_later_are_found_and_not_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (root, disk) = (folder.path().join("tables"), folder.path().join("disk"));
    std::os::unix::fs::symlink("disk/tables", &root).unwrap();
    let table = TableName::new("t").unwrap();
    let store = DeltaStore::at(Home::expected_folder(&root).unwrap(), Arc::new(SystemClock));
    for in_its_place in ["nothing", "an empty folder"] {
        if in_its_place == "an empty folder" {
            std::fs::create_dir_all(disk.join("tables")).unwrap();
        }
        let missing = store.expect(std::slice::from_ref(&table)).await.unwrap_err();
        assert_eq!((missing.kind(), missing.code()), (ErrorKind::Unavailable, "SW1308"), "{in_its_place}: {missing}");
        let away = store.ensure(&permit(), &table, schema(), &[]).await.unwrap_err();
        assert_eq!((away.kind(), away.code()), (ErrorKind::Unavailable, "SW1307"), "{in_its_place}: {away}");
    }
    // Fails when something was written into it.
    std::fs::remove_dir(disk.join("tables")).unwrap();

    let before = DeltaStore::open(&disk.join("tables")).unwrap();
    before.ensure(&permit(), &table, schema(), &[]).await.unwrap();
    store.expect(std::slice::from_ref(&table)).await.unwrap();
    store.append(&permit(), &table, append(vec![rows(0, 0, 1)], 0, 0, 1)).await.unwrap();
    assert_eq!(before.snapshot(&table, None).await.unwrap().rows, 1);
}

/// Nothing is known to have been there: any place will do, and it is made.
#[tokio::test]
async fn a_first_start_makes_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tables");
    let store = DeltaStore::at(Home::expected_folder(&root).unwrap(), Arc::new(SystemClock));
    assert_eq!(store.tables().await.unwrap_err().code(), "SW1307");
    store.expect(&[]).await.unwrap();
    assert!(store.tables().await.unwrap().is_empty());
}
