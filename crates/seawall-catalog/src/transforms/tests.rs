use std::sync::Arc;

use seawall_base::{DrivenClock, Instant, SeededRng};
use serde_json::json;

use super::*;
use crate::Catalog;

fn run(transform: &str, at: i64, outcome: TransformOutcome) -> TransformRun {
    TransformRun {
        transform: transform.into(),
        dataset: "totals".into(),
        revision: "r".into(),
        started_at: Instant(at),
        ended_at: Instant(at + 5),
        outcome,
        attempts: 1,
        detail: json!({"rows_read": at}),
    }
}

fn failed(code: &str) -> TransformOutcome {
    TransformOutcome::Failed { code: code.into(), message: "no".into(), hint: None }
}

async fn catalog() -> (Catalog, Permit) {
    let clock = Arc::new(DrivenClock::starting_at(Instant(0)));
    let catalog = Catalog::in_memory(clock, Arc::new(SeededRng::new(1))).await.unwrap();
    let permit = catalog.system_permit(Action::WriteTable, "totals");
    (catalog, permit)
}

#[tokio::test]
async fn a_run_is_recorded_once_and_a_failure_is_counted() {
    let (catalog, permit) = catalog().await;
    let done = run("daily", 10, TransformOutcome::Done);
    catalog.record_transform_run(&permit, &done).await.unwrap();
    catalog.record_transform_run(&permit, &done).await.unwrap();
    for attempts in 1..=3 {
        let again =
            TransformRun { attempts, ended_at: Instant(100 + attempts as i64), ..run("daily", 50, failed("SW0524")) };
        catalog.record_transform_run(&permit, &again).await.unwrap();
    }
    let newest = catalog.newest_transform_runs().await.unwrap();
    assert_eq!(newest.len(), 2, "{newest:?}");
    assert_eq!(newest[0], done);
    assert_eq!((newest[1].attempts, newest[1].ended_at), (3, Instant(103)));
    let other = catalog.system_permit(Action::ReadMetadata, "totals");
    assert_eq!(catalog.record_transform_run(&other, &done).await.unwrap_err().code(), "SW0611");
}

#[tokio::test]
async fn only_the_newest_runs_are_kept() {
    let (catalog, permit) = catalog().await;
    catalog.record_transform_run(&permit, &run("other", 1, TransformOutcome::Done)).await.unwrap();
    for at in 0..RUNS_KEPT as i64 + 3 {
        catalog.record_transform_run(&permit, &run("daily", at, TransformOutcome::Done)).await.unwrap();
    }
    let mut reader = catalog.read().await.unwrap();
    let kept = newest(&mut reader, u64::MAX >> 1).await.unwrap();
    assert_eq!(kept.len() as u64, RUNS_KEPT + 1);
    assert_eq!(kept.iter().filter(|run| run.transform == "daily").map(|run| run.started_at).min(), Some(Instant(3)));
}
