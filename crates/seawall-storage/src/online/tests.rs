use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use proptest::prelude::*;
use seawall_base::{Cut, ErrorKind, OnlineStore, Span};

use super::conformance::{FIXTURE_START as T0, Fixture, Row, conformance};
use super::*;

fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

#[tokio::test]
async fn the_memory_store_conforms() {
    conformance(async || Arc::new(MemoryStore::new()) as Arc<dyn OnlineStore>, async |store| store).await;
}

#[tokio::test]
async fn the_durable_store_conforms() {
    let root = scratch();
    let made = AtomicU64::new(0);
    let latest = Mutex::new(root.path().to_owned());
    conformance(
        async || {
            let folder = root.path().join(made.fetch_add(1, Ordering::Relaxed).to_string());
            *latest.lock() = folder.clone();
            Arc::new(DurableStore::open(&folder).unwrap()) as Arc<dyn OnlineStore>
        },
        async |store| {
            assert_eq!(Arc::strong_count(&store), 1);
            drop(store);
            let folder = latest.lock().clone();
            Arc::new(DurableStore::open(&folder).unwrap()) as Arc<dyn OnlineStore>
        },
    )
    .await;
}

/// A store with a checkpoint of `rows` rows in `folder`.
async fn checkpointed(folder: &Path, fixture: &Fixture, rows: &[Row]) -> DurableStore {
    let store = DurableStore::open(folder).unwrap();
    fixture.define(&store).await;
    fixture.receive(&store, rows, rows.len()).await;
    let now = T0 + Span::HOUR;
    store.serve(&fixture.request(&[(now, now)])).await.unwrap();
    store.checkpoint().await.unwrap();
    store
}

fn state_files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("state-")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let root = scratch();
    let store = DurableStore::open(root.path()).unwrap();
    assert_eq!(DurableStore::open(root.path()).err().unwrap().code(), "SW0400");
    drop(store);
    DurableStore::open(root.path()).unwrap();
}

#[tokio::test]
async fn what_was_known_is_known_after_a_restart() {
    let root = scratch();
    let fixture = Fixture::new();
    let rows = fixture.rows(60);
    drop(checkpointed(root.path(), &fixture, &rows).await);
    let store = DurableStore::open(root.path()).unwrap();
    assert_eq!(store.store_cut(), fixture.cut(60));
    assert!(store.views().is_empty(), "a view is kept once it is defined");
    fixture.define(&store).await;
    let served = store.serve(&fixture.request(&[(T0 + Span::MINUTE, T0 + Span::MINUTE)])).await.unwrap();
    assert_eq!(served.known_at, [T0 + Span::HOUR]);
}

#[tokio::test]
async fn a_restored_view_does_not_change_its_meaning() {
    let root = scratch();
    let fixture = Fixture::new();
    drop(checkpointed(root.path(), &fixture, &fixture.rows(60)).await);
    let store = DurableStore::open(root.path()).unwrap();
    let mut changed = fixture.views()[0].clone();
    changed.features[0].window = Some(Span::DAY);
    let error = store.define(&changed, fixture.dataset()).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), ("SW0421", ErrorKind::Conflict));
    store.forget(&changed.id()).unwrap();
    store.define(&changed, fixture.dataset()).await.unwrap();
    assert_eq!(store.forget(&"nobody@1".parse().unwrap()).unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_checkpoint_replaces_the_one_before_and_keeps_what_did_not_change() {
    let root = scratch();
    let fixture = Fixture::new();
    let rows = fixture.rows(90);
    let store = checkpointed(root.path(), &fixture, &rows[..60]).await;
    let first = state_files(root.path());
    assert_eq!(first.len(), 2);
    store.checkpoint().await.unwrap();
    assert_eq!(state_files(root.path()), first, "nothing changed");
    fixture.receive(&store, &rows[60..], 90).await;
    store.checkpoint().await.unwrap();
    let second = state_files(root.path());
    assert_eq!(second.len(), 2);
    assert!(second.iter().all(|file| !first.contains(file)), "old files are gone");
}

#[tokio::test]
async fn a_view_not_defined_since_the_restart_keeps_its_state_in_the_next_checkpoint() {
    let root = scratch();
    let fixture = Fixture::new();
    let rows = fixture.rows(90);
    drop(checkpointed(root.path(), &fixture, &rows[..60]).await);
    let [card, country] = fixture.views();
    {
        let store = DurableStore::open(root.path()).unwrap();
        store.define(&card, fixture.dataset()).await.unwrap();
        fixture.receive(&store, &rows[60..], 90).await;
        store.checkpoint().await.unwrap();
    }
    let store = DurableStore::open(root.path()).unwrap();
    fixture.define(&store).await;
    assert_eq!(store.cut(&country.id()).unwrap(), fixture.cut(60));
    let now = T0 + Span::HOUR;
    let error = store.serve(&fixture.request(&[(now, now)])).await.unwrap_err();
    assert_eq!(error.code(), "SW0422");
    store.backfill(&country.id(), &[fixture.batch(&rows[50..])], &fixture.cut(90)).await.unwrap();
    fixture.check(&rows, &[(now, now)], &store.serve(&fixture.request(&[(now, now)])).await.unwrap());
}

#[tokio::test]
async fn an_unfinished_backfill_survives_a_restart() {
    let root = scratch();
    let fixture = Fixture::new();
    let rows = fixture.rows(90);
    let [card, country] = fixture.views();
    {
        let store = DurableStore::open(root.path()).unwrap();
        store.define(&card, fixture.dataset()).await.unwrap();
        fixture.receive(&store, &rows[..40], 40).await;
        store.define(&country, fixture.dataset()).await.unwrap();
        store.backfill(&country.id(), &[fixture.batch(&rows[..10])], &fixture.cut(10)).await.unwrap();
        fixture.receive(&store, &rows[40..70], 70).await;
        store.checkpoint().await.unwrap();
    }
    let store = DurableStore::open(root.path()).unwrap();
    fixture.define(&store).await;
    assert_eq!(store.cut(&country.id()).unwrap(), fixture.cut(10));
    assert!(store.stats().iter().any(|stats| stats.backfilling && stats.view == country.id()));
    fixture.receive(&store, &rows[60..], 90).await;
    store.backfill(&country.id(), &[fixture.batch(&rows[..50])], &fixture.cut(50)).await.unwrap();
    let now = T0 + Span::HOUR;
    fixture.check(&rows, &[(now, now)], &store.serve(&fixture.request(&[(now, now)])).await.unwrap());
}

#[tokio::test]
async fn damage_to_a_checkpoint_is_loud_and_has_a_remedy() {
    let root = scratch();
    let fixture = Fixture::new();
    let whole = root.path().join("whole");
    drop(checkpointed(&whole, &fixture, &fixture.rows(12)).await);
    let damaged = root.path().join("damaged");
    let mut loud = 0;
    for name in state_files(&whole).into_iter().chain(["manifest.json".to_owned()]) {
        let content = fs::read(whole.join(&name)).unwrap();
        for at in 0..content.len() {
            copy(&whole, &damaged);
            let mut flipped = content.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(damaged.join(&name), &flipped).unwrap();
            match DurableStore::open(&damaged) {
                Ok(store) => assert_eq!(store.store_cut(), fixture.cut(12), "{name} byte {at}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} byte {at}: {error}");
                    assert!(error.remedy().unwrap().contains("delete the checkpoint") || error.code() == "SW0428");
                    loud += 1;
                }
            }
        }
        copy(&whole, &damaged);
        fs::remove_file(damaged.join(&name)).unwrap();
        match DurableStore::open(&damaged) {
            Ok(store) => assert_eq!((name.as_str(), store.store_cut()), ("manifest.json", Cut::empty())),
            Err(error) => assert_eq!(error.code(), "SW0426"),
        }
    }
    assert!(loud > 1_000, "{loud}");
}

fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).ok();
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn a_crash_between_the_files_and_the_manifest_leaves_the_checkpoint_before() {
    let root = scratch();
    let fixture = Fixture::new();
    let rows = fixture.rows(60);
    drop(checkpointed(root.path(), &fixture, &rows).await);
    let valid = state_files(root.path());
    fs::write(root.path().join("state-000000000002-000000.bin"), b"half a fi").unwrap();
    let store = DurableStore::open(root.path()).unwrap();
    assert_eq!(state_files(root.path()), valid);
    fixture.define(&store).await;
    let now = T0 + Span::HOUR;
    fixture.check(&rows, &[(now, now)], &store.serve(&fixture.request(&[(now, now)])).await.unwrap());
}

#[tokio::test]
async fn stats_count_what_a_view_takes() {
    let fixture = Fixture::new();
    let store = MemoryStore::new();
    fixture.define(&store).await;
    let rows = fixture.rows(60);
    fixture.receive(&store, &rows, 60).await;
    let with_card = rows.iter().filter(|row| row.card.is_some()).count();
    let stats = store.stats();
    assert_eq!((stats[0].pending_rows, stats[0].entities), (with_card, 0));
    let now = T0 + Span::DAY;
    store.serve(&fixture.request(&[(now, now)])).await.unwrap();
    let stats = store.stats();
    assert_eq!((stats[0].pending_rows, stats[0].entities, stats[1].entities), (0, 5, 3));
    assert!(stats[0].bytes > 0 && !stats[0].backfilling && stats[0].cut == fixture.cut(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_and_rows_give_replayable_answers() {
    let fixture = Arc::new(Fixture::new());
    let store = Arc::new(MemoryStore::new());
    fixture.define(store.as_ref()).await;
    let rows = Arc::new(fixture.rows(400));
    let mut asking = Vec::new();
    for asker in 0..4i64 {
        let (fixture, store) = (fixture.clone(), store.clone());
        asking.push(tokio::spawn(async move {
            let mut served = Vec::new();
            for step in 0..60i64 {
                let now = T0 + Span(Span::MINUTE.0 * step + asker);
                served.push((now, store.serve(&fixture.request(&[(now, now)])).await.unwrap()));
                tokio::task::yield_now().await;
            }
            served
        }));
    }
    for until in (10..=400).step_by(10) {
        fixture.receive(store.as_ref(), &rows[until - 10..until], until).await;
        tokio::task::yield_now().await;
    }
    let cuts: Vec<Cut> = (0..=400).map(|count| fixture.cut(count)).collect();
    for asker in asking {
        for (now, served) in asker.await.unwrap() {
            // Another request may have made more known; K and C of the answer say what was visible.
            let count = cuts.iter().position(|cut| *cut == served.cut).unwrap();
            let known = served.known_at[0];
            assert!(known >= now);
            fixture.check(&rows[..count], &[(now, known)], &served);
        }
    }
}

/// A step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Receive { count: usize, again: usize },
    Serve { minutes: i64, decisions: usize },
    Checkpoint,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..40usize, 0..30usize).prop_map(|(count, again)| Step::Receive { count, again }),
        4 => (0..25i64, 1..20usize).prop_map(|(minutes, decisions)| Step::Serve { minutes, decisions }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..25)
}

/// Runs a history; unless `late`, every row becomes visible within an hour of its event.
async fn run(steps: Vec<Step>, late: bool) {
    let root = scratch();
    let fixture = Fixture::new();
    let mut rows = fixture.rows(1_000);
    if !late {
        rows.iter_mut()
            .for_each(|row| row.available_at = row.available_at.min(row.paid_at + Span(45 * Span::MINUTE.0)));
    }
    let mut store = DurableStore::open(root.path()).unwrap();
    fixture.define(&store).await;
    let mut received = 0usize;
    let mut now = T0;
    for step in steps {
        match step {
            Step::Receive { count, again } => {
                let from = received.saturating_sub(again);
                received += count;
                fixture.receive(&store, &rows[from..received], received).await;
            }
            Step::Serve { minutes, decisions } => {
                let begin = now;
                now = now + Span(if late { minutes } else { minutes % 5 } * Span::MINUTE.0);
                if !late {
                    // The next row to be received may be 40 minutes older than its place.
                    now = now.min(T0 + Span((20 * received as i64 + 15 * 60) * Span::SECOND.0)).max(begin);
                }
                let step = Span((now - begin).0 / decisions as i64);
                let asked: Vec<_> = (0..decisions)
                    .map(|i| begin + Span(step.0 * i as i64))
                    .map(|at| (at, at))
                    .chain([(now - Span::SECOND, now)])
                    .collect();
                let served = store.serve(&fixture.request(&asked)).await.unwrap();
                fixture.check(&rows[..received], &asked, &served);
            }
            Step::Checkpoint => store.checkpoint().await.unwrap(),
            Step::Reopen => {
                drop(store);
                store = DurableStore::open(root.path()).unwrap();
                fixture.define(&store).await;
                let kept = store.store_cut();
                let from = (0..=received).rfind(|count| kept.covers(&fixture.cut(*count))).unwrap();
                fixture.receive(&store, &rows[from..received], received).await;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_serves_what_the_kernel_says(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(steps, false));
    }

    #[test]
    fn any_history_with_late_rows_serves_what_the_kernel_says(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(steps, true));
    }
}

#[tokio::test]
#[ignore = "a measurement"]
#[allow(clippy::disallowed_methods, reason = "measures the machine")]
async fn driven_decisions_per_second() {
    let fixture = Fixture::new();
    let store = MemoryStore::new();
    fixture.define(&store).await;
    let rows = fixture.rows(20_000);
    let started = std::time::Instant::now();
    let mut served = 0;
    for chunk in 0..20usize {
        let until = (chunk + 1) * 1_000;
        store.receive("payments", &fixture.batch(&rows[until - 1_000..until]), &fixture.cut(until)).await.unwrap();
        let decisions: Vec<_> =
            (0..4_000i64).map(|i| T0 + Span((chunk as i64 * 4_000 + i) * 4_500_000)).map(|now| (now, now)).collect();
        let mut request = fixture.request(&decisions);
        request.views.iter_mut().for_each(|view| view.own.fill(None));
        served += store.serve(&request).await.unwrap().known_at.len();
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{served} decisions over 2 views and 20000 rows in {seconds:.2} s: {:.0}/s", served as f64 / seconds);
}
