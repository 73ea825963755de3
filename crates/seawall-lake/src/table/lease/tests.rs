use object_store::memory::InMemory;
use seawall_base::{DrivenClock, SeededRng};

use super::*;

fn leases(store: &Arc<InMemory>, clock: &Arc<DrivenClock>, seed: u64) -> Leases {
    Leases {
        store: Arc::<InMemory>::clone(store),
        clock: Arc::<DrivenClock>::clone(clock),
        rng: Arc::new(SeededRng::new(seed)),
        table: "t".into(),
        folder: Path::from("t/_seawall/lease"),
        owner: seed.to_string(),
    }
}

fn two() -> (Arc<DrivenClock>, Leases, Leases) {
    let (store, clock) = (Arc::new(InMemory::new()), Arc::new(DrivenClock::starting_at(Instant(0))));
    let (one, two) = (leases(&store, &clock, 1), leases(&store, &clock, 2));
    (clock, one, two)
}

fn later(clock: &DrivenClock, span: Span) {
    clock.advance_to(Instant(clock.now().0 + span.0));
}

#[tokio::test]
async fn one_holder_at_a_time_and_the_next_after_the_release() {
    let (_clock, one, two) = two();
    let held = one.take("compact").await.unwrap();
    let refused = two.take("vacuum").await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, codes::LEASE_HELD), "{refused}");
    assert_eq!(two.held_for().await.unwrap().as_deref(), Some("compact"));
    held.release().await;
    assert_eq!(two.held_for().await.unwrap(), None);
    assert_eq!(two.take("vacuum").await.unwrap().epoch(), 2);
}

#[tokio::test]
async fn a_lease_of_the_dead_ends_by_itself_and_its_holder_is_fenced() {
    let (clock, one, two) = two();
    let dead = one.take("compact").await.unwrap();
    later(&clock, Span(59 * Span::SECOND.0));
    assert!(two.take("compact").await.is_err());
    later(&clock, Span(2 * Span::SECOND.0));
    let next = two.take("compact").await.unwrap();
    assert_eq!(dead.check().await.unwrap_err().code(), codes::LEASE_LOST);
    next.check().await.unwrap();
}

#[tokio::test]
async fn a_lease_that_is_checked_goes_on_and_one_that_is_over_does_not_come_back() {
    let (clock, one, two) = two();
    let held = one.take("compact").await.unwrap();
    for _ in 0..10 {
        later(&clock, Span(30 * Span::SECOND.0));
        held.check().await.unwrap();
    }
    assert!(two.take("compact").await.is_err());
    later(&clock, Span(61 * Span::SECOND.0));
    assert_eq!(held.check().await.unwrap_err().code(), codes::LEASE_LOST);
}

#[tokio::test]
async fn a_lease_left_behind_by_a_stopped_operation_is_taken_over_by_its_owner() {
    let (_clock, one, two) = two();
    let stopped = one.take("compact").await.unwrap();
    let next = one.take("compact").await.unwrap();
    assert_eq!(stopped.check().await.unwrap_err().code(), codes::LEASE_LOST);
    next.check().await.unwrap();
    assert!(two.take("compact").await.is_err());
}

#[tokio::test]
async fn whoever_waits_gets_it_and_old_files_do_not_pile_up() {
    let (_clock, one, two) = two();
    for epoch in 1..=20 {
        let held = one.take("compact").await.unwrap();
        assert_eq!(held.epoch(), epoch);
        held.release().await;
    }
    assert_eq!(one.epochs().await.unwrap(), [20]);
    let held = one.take("compact").await.unwrap();
    let waiting =
        tokio::spawn(async move { two.wait("replace", Duration::from_secs(20)).await.map(|lease| lease.epoch()) });
    tokio::time::sleep(Duration::from_millis(60)).await;
    held.release().await;
    assert_eq!(waiting.await.unwrap().unwrap(), 22);
}

/// Many claimants at once, again and again: never two holders.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_claimants_at_most_one_holds_the_table() {
    let (store, clock) = (Arc::new(InMemory::new()), Arc::new(DrivenClock::starting_at(Instant(0))));
    let holders = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let claimants = (0..8).map(|seed| {
        let (leases, holders) = (leases(&store, &clock, seed), Arc::clone(&holders));
        tokio::spawn(async move {
            let mut held_times = 0;
            for _ in 0..200 {
                let Ok(lease) = leases.take("race").await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let others = holders.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                assert_eq!(others, 0, "two hold the table");
                lease.check().await.unwrap();
                tokio::task::yield_now().await;
                holders.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                lease.release().await;
                held_times += 1;
            }
            held_times
        })
    });
    let mut held_times = 0;
    for claimant in claimants.collect::<Vec<_>>() {
        held_times += claimant.await.unwrap();
    }
    assert!(held_times > 0);
}
