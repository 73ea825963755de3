//! Dependencies on a driven timer: deadlines, bulkheads, budgets, breakers, faults, and the two together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Instant, SeededRng, Span};

use super::backoff::Backoff;
use super::breaker::State;
use super::budget::{Budget, FIRST_ATTEMPTS_PER_RETRY, RETRIES_KEPT_MAX};
use super::fault::{Fault, Plan};
use super::{Dependencies, Dependency, DrivenTimer, Idempotent, Operation, Timer, scope};

mod storm;

const READ: Operation = Operation { name: "read", deadline: Span(10 * Span::SECOND.0), slow_after: Span::SECOND };

/// Dependencies on a timer that stands still, and that timer.
fn driven(seed: u64) -> (Arc<DrivenTimer>, Dependencies) {
    let timer = Arc::new(DrivenTimer::default());
    (timer.clone(), Dependencies::new(timer, Arc::new(SeededRng::new(seed))))
}

/// Lets every task go as far as it can without time passing.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Advances the timer in steps until `work` is done, at most for an hour.
async fn drive<T: Send + 'static>(timer: &DrivenTimer, work: impl Future<Output = T> + Send + 'static) -> T {
    let task = tokio::spawn(work);
    let start = timer.now();
    while !task.is_finished() {
        settle().await;
        assert!(timer.now() - start < Span::HOUR, "this takes for ever");
        if !task.is_finished() {
            timer.advance_to(timer.now() + Span(10_000));
        }
    }
    task.await.unwrap()
}

fn away() -> Error {
    Error::new(ErrorKind::Unavailable, "SW0512", "the disk is away")
}

async fn fails() -> Result<u32> {
    Err(away())
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_and_not_a_moment_later() {
    let (timer, dependencies) = driven(1);
    let reads = dependencies.table_reads.clone();
    let (clock, call) = (timer.clone(), async move {
        let hangs = Idempotent::because("it reads", std::future::pending::<Result<u32>>);
        reads.repeat(READ, hangs).await
    });
    let error = drive(&timer, call).await.unwrap_err();
    assert_eq!((error.code(), clock.now()), ("SW1301", Instant(10 * Span::SECOND.0)));
    assert_eq!(dependencies.table_reads.health().calls_inflight, 0);
}

#[tokio::test]
async fn the_callers_deadline_is_passed_down_and_only_ever_shortened() {
    let (timer, dependencies) = driven(1);
    let reads = dependencies.table_reads.clone();
    let clock = timer.clone();
    let call = async move {
        let inner = async {
            // Whoever is below wants more time, and does not get it.
            scope::until(Instant(60 * Span::SECOND.0), async {
                let seen = scope::deadline();
                let hangs = Idempotent::because("it reads", std::future::pending::<Result<u32>>);
                (seen, reads.repeat(READ, hangs).await)
            })
            .await
        };
        scope::until(Instant(2 * Span::SECOND.0), inner).await
    };
    let (seen, outcome) = drive(&timer, call).await;
    assert_eq!(seen, Instant(2 * Span::SECOND.0));
    assert_eq!((outcome.unwrap_err().code(), clock.now()), ("SW1301", Instant(2 * Span::SECOND.0)));
}

#[tokio::test]
async fn an_idempotent_call_is_tried_again_and_another_is_not() {
    let (timer, dependencies) = driven(1);
    let (made, writes) = (Arc::new(AtomicUsize::new(0)), dependencies.table_writes.clone());
    let counted = made.clone();
    let answer = drive(&timer, async move {
        let call = || {
            let attempt = counted.fetch_add(1, Ordering::SeqCst);
            async move { if attempt < 2 { Err(away()) } else { Ok(attempt) } }
        };
        writes.repeat(READ, Idempotent::because("a test", call)).await
    });
    assert_eq!(answer.await.unwrap(), 2);
    let health = dependencies.table_writes.health();
    assert_eq!((health.calls.retried, health.calls.failed, health.calls.answered), (2, 2, 1));

    let training = dependencies.trainers.clone();
    drive(&timer, async move { training.once(READ, fails()).await }).await.unwrap_err();
    assert_eq!(dependencies.trainers.health().calls.retried, 0);
}

#[tokio::test]
async fn only_one_layer_retries() {
    let (timer, dependencies) = driven(3);
    let (outer, inner) = (dependencies.queries.clone(), dependencies.table_reads.clone());
    drive(&timer, async move {
        let call = || async { inner.repeat(READ, Idempotent::because("it reads", fails)).await };
        outer.repeat(READ, Idempotent::because("it reads", call)).await
    })
    .await
    .unwrap_err();
    let health = dependencies.table_reads.health();
    assert_eq!(health.calls.failed, 3, "three attempts above and one each below, not nine");
    assert_eq!(health.calls.retried, 0);
}

#[tokio::test]
async fn a_mistake_of_the_caller_neither_repeats_nor_opens() {
    let (timer, dependencies) = driven(1);
    let reads = dependencies.table_reads.clone();
    drive(&timer, async move {
        for _ in 0..50 {
            let call = || async { Err::<u32, _>(Error::not_found("SW0500", "no such table")) };
            assert_eq!(reads.repeat(READ, Idempotent::because("it reads", call)).await.unwrap_err().code(), "SW0500");
        }
    })
    .await;
    let health = dependencies.table_reads.health();
    assert_eq!((health.state, health.calls.answered, health.calls.retried), (State::Closed, 50, 0));
}

/// Credentials that ran out come back by renewal; the writers must wait for it and not end.
#[tokio::test]
async fn a_store_that_refuses_our_credentials_is_away() {
    let (_timer, dependencies) = driven(1);
    let refused = || async { Err::<u32, _>(Error::new(ErrorKind::Denied, "SW0512", "403")) };
    for _ in 0..3 {
        let error = dependencies.table_writes.once(READ, refused()).await.unwrap_err();
        assert!(super::is_away(&error));
    }
    assert_eq!(dependencies.table_writes.health().state, State::Open);
    // A policy that refuses a caller says nothing about the store.
    let denied = || async { Err::<u32, _>(Error::new(ErrorKind::Denied, "SW0610", "not yours")) };
    for _ in 0..20 {
        assert!(!super::is_away(&dependencies.table_reads.once(READ, denied()).await.unwrap_err()));
    }
    assert_eq!(dependencies.table_reads.health().state, State::Closed);
}

#[tokio::test]
async fn a_full_bulkhead_sheds_at_once_and_given_up_calls_leave_it() {
    let (_timer, dependencies) = driven(1);
    let queries = dependencies.queries.clone();
    let most = queries.health().calls_inflight_max;
    let mut hanging = Vec::new();
    for _ in 0..most {
        let queries = queries.clone();
        hanging.push(tokio::spawn(async move { queries.once(READ, std::future::pending::<Result<u32>>()).await }));
    }
    settle().await;
    assert_eq!(queries.health().calls_inflight, most);
    let refused = queries.once(READ, async { Ok(1) }).await.unwrap_err();
    assert_eq!((refused.code(), refused.kind()), ("SW1303", ErrorKind::Unavailable));
    // Another dependency does not notice.
    assert_eq!(dependencies.table_reads.once(READ, async { Ok(1) }).await.unwrap(), 1);
    for call in hanging {
        call.abort();
        let _ = call.await;
    }
    let health = queries.health();
    assert_eq!((health.calls_inflight, health.calls.abandoned, health.calls.shed), (0, most as u64, 1));
    assert_eq!(queries.once(READ, async { Ok(1) }).await.unwrap(), 1);
}

#[tokio::test]
async fn while_it_is_away_calls_are_refused_and_it_is_told_once() {
    let (timer, dependencies) = driven(1);
    let reads = dependencies.table_reads.clone();
    for _ in 0..3 {
        reads.once(READ, fails()).await.unwrap_err();
    }
    let made = AtomicUsize::new(0);
    for _ in 0..20 {
        let call = async { Ok(made.fetch_add(1, Ordering::SeqCst)) };
        let refused = reads.once(READ, call).await.unwrap_err();
        assert_eq!(refused.code(), "SW1302");
        assert!(refused.to_string().contains("[SW0512] the disk is away"), "{refused}");
    }
    assert_eq!(made.load(Ordering::SeqCst), 0, "a refused call is not made");
    // Probes that fail are not told: it is the same outage.
    for second in 1..10 {
        timer.advance_to(Instant(second * 40 * Span::SECOND.0));
        assert_eq!(reads.once(READ, fails()).await.unwrap_err().code(), "SW0512");
    }
    timer.advance_to(Instant(500 * Span::SECOND.0));
    for _ in 0..2 {
        reads.once(READ, async { Ok(1) }).await.unwrap();
    }
    assert_eq!(reads.health().state, State::Closed);
    let told: Vec<State> = std::iter::from_fn(|| dependencies.next_change()).map(|change| change.to).collect();
    assert_eq!(told, [State::Open, State::Closed]);
}

#[tokio::test]
async fn forced_open_refuses_until_it_is_released_or_its_time_is_over() {
    let (timer, dependencies) = driven(1);
    let models = &dependencies.models;
    models.force_open(Span::MINUTE);
    assert_eq!(models.once_blocking(READ, || Ok(1)).unwrap_err().code(), "SW1302");
    models.release();
    assert_eq!(models.once_blocking(READ, || Ok(1)).unwrap(), 1);
    models.force_open(Span::MINUTE);
    timer.advance_to(Instant(Span::MINUTE.0 - 1));
    assert_eq!(models.once_blocking(READ, || Ok(1)).unwrap_err().code(), "SW1302");
    timer.advance_to(Instant(Span::MINUTE.0));
    assert_eq!(models.once_blocking(READ, || Ok(1)).unwrap(), 1);
}

#[tokio::test]
async fn faults_strike_as_planned_and_end_by_themselves() {
    let (timer, dependencies) = driven(1);
    let writes = &dependencies.table_writes;
    let made = Arc::new(AtomicUsize::new(0));
    let call = || {
        let made = made.clone();
        async move { Ok(made.fetch_add(1, Ordering::SeqCst)) }
    };
    let plan = |fault, operation| Plan { operation, fault, until: Instant(Span::MINUTE.0) };
    writes.faults().arm(plan(Fault::Error, Some("read")));
    assert_eq!(writes.once(READ, call()).await.unwrap_err().code(), "SW1305");
    assert_eq!(made.load(Ordering::SeqCst), 0, "nothing was done");
    writes.faults().arm(plan(Fault::ErrorAfter, None));
    assert_eq!(writes.once(READ, call()).await.unwrap_err().code(), "SW1305");
    assert_eq!(made.load(Ordering::SeqCst), 1, "it was done, and the answer was lost");
    writes.faults().arm(plan(Fault::Error, Some("append")));
    writes.once(READ, call()).await.unwrap();
    writes.faults().arm(plan(Fault::Error, None));
    timer.advance_to(Instant(Span::MINUTE.0));
    writes.once(READ, call()).await.unwrap();
    writes.faults().arm(Plan { operation: None, fault: Fault::Error, until: Instant::MAX });
    writes.faults().disarm();
    writes.once(READ, call()).await.unwrap();

    let (slow, started) = (dependencies.queries.clone(), timer.now());
    slow.faults().arm(Plan { operation: None, fault: Fault::Latency(Span(3 * Span::SECOND.0)), until: Instant::MAX });
    drive(&timer, async move { slow.once(READ, async { Ok(1) }).await }).await.unwrap();
    assert_eq!(timer.now() - started, Span(3 * Span::SECOND.0));
    assert_eq!(dependencies.queries.health().calls.slow, 1);
    let hangs = dependencies.trainers.clone();
    hangs.faults().arm(Plan { operation: None, fault: Fault::Hang, until: Instant::MAX });
    let error = drive(&timer, async move { hangs.once(READ, async { Ok(1) }).await }).await.unwrap_err();
    assert_eq!(error.code(), "SW1301");
}

proptest! {
    #[test]
    fn retries_never_pass_a_tenth_and_what_was_kept(asked in proptest::collection::vec(any::<bool>(), 0..3_000)) {
        let (mut budget, mut first, mut retried) = (Budget::full(), 0_u32, 0_u32);
        for is_retry in asked {
            match is_retry {
                true => retried += u32::from(budget.take()),
                false => {
                    budget.earn();
                    first += 1;
                }
            }
            prop_assert!(retried <= first / FIRST_ATTEMPTS_PER_RETRY + RETRIES_KEPT_MAX);
        }
    }

    #[test]
    fn what_is_earned_can_be_used(calls in 1..2_000_u32) {
        let mut budget = Budget::full();
        while budget.take() {}
        for _ in 0..calls {
            budget.earn();
        }
        let granted = std::iter::from_fn(|| budget.take().then_some(())).count() as u32;
        prop_assert_eq!(granted, (calls / FIRST_ATTEMPTS_PER_RETRY).min(RETRIES_KEPT_MAX));
    }

    #[test]
    fn pauses_are_jittered_over_the_whole_interval_and_capped(seed: u64, failures in 1..u32::MAX) {
        let backoff = Backoff { first: Span(50_000), cap: Span(5_000_000) };
        let longest = backoff.longest(failures);
        prop_assert!(longest <= backoff.cap && longest >= backoff.first);
        let rng = SeededRng::new(seed);
        let pauses: Vec<i64> = (0..64).map(|_| backoff.pause(failures, &rng).0).collect();
        prop_assert!(pauses.iter().all(|pause| (0..=longest.0).contains(pause)));
        // All 64 in one half has odds of 1 : 2^63.
        prop_assert!(pauses.iter().any(|pause| *pause < longest.0 / 2));
        prop_assert!(pauses.iter().any(|pause| *pause > longest.0 / 2));
    }
}

/// The same seed, the same calls, the same pauses: a run can be repeated.
#[tokio::test]
async fn a_run_repeats_from_its_seed() {
    async fn run(seed: u64) -> Vec<Instant> {
        let (timer, dependencies) = driven(seed);
        let (clock, reads) = (timer.clone(), dependencies.table_reads.clone());
        drive(&timer, async move {
            let mut at = Vec::new();
            for _ in 0..5 {
                let call = || {
                    at.push(clock.now());
                    fails()
                };
                let _ = reads.repeat(READ, Idempotent::because("it reads", call)).await;
            }
            at
        })
        .await
    }
    assert_eq!(run(7).await, run(7).await);
    assert_ne!(run(7).await, run(8).await);
}

/// The type that every guard is: it can be shared by tasks.
#[test]
fn a_dependency_is_shared_by_tasks() {
    fn check<T: Send + Sync>() {}
    check::<Dependency>();
    check::<Dependencies>();
}
