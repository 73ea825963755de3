//! The chain: what it proves, what it cannot prove, and what checkpoints add.

use seawall_base::ErrorKind;
use serde_json::json;

use super::*;
use crate::fixtures::{Fixture, on_both};
use crate::policy::Action;

async fn filled(entries: u32) -> Fixture {
    let fixture = Fixture::in_memory().await;
    add(&fixture, entries).await;
    fixture
}

async fn add(fixture: &Fixture, entries: u32) {
    for n in 0..entries {
        let permit = fixture.permit(Action::ReadRows);
        fixture.catalog.audit_read(&permit, json!({"sql": format!("select {n}")})).await.unwrap();
    }
}

#[tokio::test]
async fn entries_are_numbered_chained_and_paged() {
    on_both(async |fixture: Fixture| {
        add(&fixture, 5).await;
        let all = fixture.catalog.audit(100, 0).await.unwrap();
        assert_eq!(all.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(all[0].previous, GENESIS);
        assert_eq!(all[1].previous, all[0].hash);
        assert_eq!(all[2].detail, r#"{"sql":"select 2"}"#);
        assert_eq!(fixture.catalog.audit(2, 1).await.unwrap(), all[1..3]);
        assert_eq!(fixture.catalog.audit_newest(2).await.unwrap(), all[3..]);
        assert_eq!(fixture.catalog.audit_newest(50).await.unwrap(), all);
        fixture.catalog.verify_audit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn every_way_to_tamper_is_found_where_it_happened() {
    let check = async |sql: &'static str, entry: u64| {
        let fixture = filled(5).await;
        fixture.catalog.verify_audit().await.unwrap();
        fixture.tamper(sql).await;
        let broken = fixture.catalog.verify_audit().await.unwrap_err();
        assert_eq!((broken.kind(), broken.code()), (ErrorKind::Corrupt, "SW0620"), "{sql}");
        assert_eq!(broken.message(), format!("the audit ledger is broken at entry {entry}"), "{sql}");
    };
    check("UPDATE audit SET at = at + 1 WHERE seq = 3", 3).await;
    check("UPDATE audit SET event = 'denied' WHERE seq = 3", 3).await;
    check("UPDATE audit SET principal = 'eve' WHERE seq = 3", 3).await;
    check("UPDATE audit SET action = 'ingest' WHERE seq = 3", 3).await;
    check("UPDATE audit SET resource = 'landings' WHERE seq = 3", 3).await;
    check("UPDATE audit SET permit = 'another' WHERE seq = 3", 3).await;
    check("UPDATE audit SET detail = '{}' WHERE seq = 5", 5).await;
    check("UPDATE audit SET previous = hash WHERE seq = 4", 4).await;
    check("DELETE FROM audit WHERE seq = 1", 1).await;
    check("DELETE FROM audit WHERE seq = 3", 3).await;
    check("UPDATE audit SET seq = seq + 10 WHERE seq = 5", 5).await;
    check(
        "INSERT INTO audit SELECT 6, at, event, principal, action, resource, permit, detail, previous, hash
         FROM audit WHERE seq = 5",
        6,
    )
    .await;
}

#[tokio::test]
async fn a_cut_off_tail_is_found_by_a_checkpoint_only() {
    let fixture = filled(5).await;
    let empty = Fixture::in_memory().await.catalog.audit_checkpoint().await.unwrap();
    assert_eq!(empty.entries, 0);
    let checkpoint = fixture.catalog.audit_checkpoint().await.unwrap();
    add(&fixture, 2).await;
    fixture.catalog.verify_audit_since(&checkpoint).await.unwrap();
    fixture.tamper("DELETE FROM audit WHERE seq > 4").await;
    fixture.catalog.verify_audit().await.unwrap();
    assert_eq!(fixture.catalog.verify_audit_since(&checkpoint).await.unwrap_err().code(), "SW0621");
    // A tail that is written anew is another one.
    add(&fixture, 3).await;
    fixture.catalog.verify_audit().await.unwrap();
    assert_eq!(fixture.catalog.verify_audit_since(&checkpoint).await.unwrap_err().code(), "SW0621");
}

#[tokio::test]
async fn a_checkpoint_counts_only_as_it_was_signed() {
    let fixture = filled(3).await;
    let checkpoint = fixture.catalog.audit_checkpoint().await.unwrap();
    let refused = async |bent: AuditCheckpoint| fixture.catalog.verify_audit_since(&bent).await.unwrap_err().code();
    assert_eq!(refused(AuditCheckpoint { entries: 2, ..checkpoint.clone() }).await, "SW0652");
    assert_eq!(refused(AuditCheckpoint { head: GENESIS, ..checkpoint.clone() }).await, "SW0652");
    assert_eq!(refused(AuditCheckpoint { signature: "00".to_owned(), ..checkpoint.clone() }).await, "SW0652");
    assert_eq!(refused(AuditCheckpoint { signature: "zz".to_owned(), ..checkpoint }).await, "SW0654");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn overlapping_read_grants_share_transactions_and_none_is_lost() {
    const READS: usize = 200;
    let fixture = Fixture::on_disk().await;
    // While the database is held, every grant waits; then one transaction writes them all.
    let held = fixture.catalog.begin().await.unwrap();
    let mut tasks = Vec::new();
    for n in 0..READS {
        let catalog = fixture.catalog.clone();
        tasks.push(tokio::spawn(async move {
            let permit = catalog.system_permit(Action::ReadRows, "payments");
            catalog.audit_read(&permit, json!(n)).await.unwrap();
            // The entry is there before the caller may read.
            let entries = catalog.audit(1000, 0).await.unwrap();
            assert!(entries.iter().any(|entry| entry.permit == permit.id()));
        }));
    }
    while fixture.catalog.inner.pending_reads.lock().unwrap().len() < READS {
        tokio::task::yield_now().await;
    }
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    let mut details: Vec<usize> =
        fixture.catalog.audit(1000, 0).await.unwrap().iter().map(|entry| entry.detail.parse().unwrap()).collect();
    details.sort_unstable();
    assert_eq!(details, (0..READS).collect::<Vec<_>>());
    fixture.catalog.verify_audit().await.unwrap();
}

#[tokio::test]
async fn a_reader_that_gives_up_leaves_no_entry_and_no_queue() {
    let fixture = Fixture::in_memory().await;
    let held = fixture.catalog.begin().await.unwrap();
    let permit = fixture.permit(Action::ReadRows);
    let mut reading = Box::pin(fixture.catalog.audit_read(&permit, json!("given up")));
    assert!(futures_poll_once(reading.as_mut()).await.is_none());
    drop(reading);
    drop(held);
    add(&fixture, 1).await;
    let entries = fixture.catalog.audit(10, 0).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.detail.as_str()).collect::<Vec<_>>(), [r#"{"sql":"select 0"}"#]);
    assert!(fixture.catalog.inner.pending_reads.lock().unwrap().is_empty());
}

/// Polls a future once.
async fn futures_poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(move |context| {
        let polled = std::pin::Pin::new(&mut future).poll(context);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
