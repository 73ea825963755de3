//! A catalog that is whole gives its records; damage is found, never read over.

use seawall_base::{Cut, Offset, SeededRng, TableName, TableVersion};

use super::*;
use crate::facts::{FrameFacts, TableCommit};
use crate::fixtures::{Fixture, START};
use crate::policy::Action;

/// The bytes of one page of SQLite.
const PAGE: usize = 4096;

async fn look(fixture: &Fixture) -> (Checked, Option<Records>) {
    let folder = fixture.folder.as_ref().unwrap().path();
    check(folder, fixture.clock.clone(), Arc::new(SeededRng::new(3))).await
}

async fn with_records() -> Fixture {
    let fixture = Fixture::on_disk().await;
    let permit = fixture.permit(Action::WriteTable);
    for version in 0..40 {
        let commit = TableCommit {
            table: TableName::new("events").unwrap(),
            version: TableVersion(version),
            committed_at: START,
            rows: version * 10,
            cut: Cut::of(Partition::LIVE, Offset(version * 10)),
            detail: serde_json::Value::Null,
        };
        fixture.catalog.record_table_version(&permit, &commit).await.unwrap();
    }
    let counts = Counts { received: 3, accepted: 2, quarantined: 1, ..Counts::default() };
    let facts = [FrameFacts { entry: 4, arrival: Some(START), counts, rules: Vec::new(), departure: None }];
    fixture.catalog.record_frames(&permit, "events", Partition::LIVE, &facts).await.unwrap();
    fixture
}

#[tokio::test]
async fn a_whole_catalog_gives_its_records_also_while_it_is_open() {
    let fixture = with_records().await;
    let (checked, records) = look(&fixture).await;
    assert_eq!(checked.findings, Vec::new());
    let records = records.unwrap();
    assert_eq!(records.versions["events"].len(), 40);
    assert_eq!(records.positions[&("events".to_owned(), Partition::LIVE)], 5);
    assert_eq!(records.counts["events"].received, 3);
}

#[tokio::test]
async fn a_changed_audit_entry_and_a_lost_key_are_found() {
    let fixture = with_records().await;
    fixture.tamper("UPDATE audit SET principal = 'nobody' WHERE seq = 7").await;
    let (checked, records) = look(&fixture).await;
    assert!(records.is_some());
    assert!(checked.findings[0].what.contains("entry 7"), "{:?}", checked.findings);
}

#[tokio::test]
async fn a_catalog_that_is_gone_or_cut_off_or_overwritten_is_found() {
    let fixture = with_records().await;
    let folder = fixture.folder.as_ref().unwrap().path().to_owned();
    let Fixture { catalog, clock, folder: _kept } = fixture;
    catalog.close().await;
    let file = folder.join(DATABASE_FILE);
    assert!(!folder.join("catalog.db-wal").exists(), "all of the catalog is in its one file");
    let whole = std::fs::read(&file).unwrap();
    let look = || check(&folder, clock.clone(), Arc::new(SeededRng::new(3)));
    assert!(look().await.0.is_whole());

    // Bytes that no row uses may change unseen; every page as a whole is used.
    for page in 0..whole.len() / PAGE {
        let mut damaged = whole.clone();
        damaged[page * PAGE..(page + 1) * PAGE].fill(0x5a);
        std::fs::write(&file, &damaged).unwrap();
        assert!(!look().await.0.is_whole(), "page {page} was overwritten");
    }
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(!look().await.0.is_whole());
    std::fs::write(&file, b"").unwrap();
    assert!(!look().await.0.is_whole());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(look().await.0.findings[0].damage, Damage::Missing);
    std::fs::write(&file, &whole).unwrap();
    assert!(look().await.0.is_whole());
}
