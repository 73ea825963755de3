//! `kill -9` at any moment of `serve`: no acknowledged event is lost, none is there twice.
//!
//! The ledger of what was sent and what was acknowledged is kept outside, in this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::Project;

const KILLS: usize = 42;
const PRODUCERS: usize = 3;

/// What a producer knows of its events: the number sent first, and whether an answer came.
#[derive(Default)]
struct Ledger {
    acknowledged: Vec<u64>,
    unanswered: Vec<u64>,
}

#[test]
fn forty_two_kills_lose_nothing_and_double_nothing() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let mut ledgers: Vec<Ledger> = (0..PRODUCERS).map(|_| Ledger::default()).collect();
    let mut next = [0u64; PRODUCERS];
    for kill in 0..KILLS {
        let server = Arc::new(project.serve(&[]));
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for producer in 0..PRODUCERS {
            let (server, stop) = (server.clone(), stop.clone());
            let retry = std::mem::take(&mut ledgers[producer].unanswered);
            let first = next[producer];
            threads.push(std::thread::spawn(move || produce(&server, producer, retry, first, &stop)));
        }
        // Moments spread over start, steady work and commits; the same in every run.
        std::thread::sleep(Duration::from_millis(20 + (kill as u64 * 97) % 1300));
        let pid = server.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        stop.store(true, Ordering::SeqCst);
        for (producer, thread) in threads.into_iter().enumerate() {
            let (ledger, after) = thread.join().unwrap();
            ledgers[producer].acknowledged.extend(ledger.acknowledged);
            ledgers[producer].unanswered.extend(ledger.unanswered);
            next[producer] = after;
        }
    }
    let server = project.serve(&[]);
    server.terminate();

    let counted = rows(&project);
    let mut acknowledged = 0;
    for (producer, ledger) in ledgers.iter().enumerate() {
        for number in &ledger.acknowledged {
            let times = counted.get(&format!("p{producer}-{number}")).copied().unwrap_or(0);
            assert_eq!(times, 1, "event p{producer}-{number} was acknowledged and is there {times} times");
        }
        acknowledged += ledger.acknowledged.len();
    }
    assert!(counted.values().all(|times| *times == 1), "an event is there twice");
    let open: usize = ledgers.iter().map(|ledger| ledger.unanswered.len()).sum();
    assert!(counted.len() <= acknowledged + open, "events are there that were never sent");
    assert!(acknowledged > KILLS * 10, "only {acknowledged} events were acknowledged: the test hardly tested");
    eprintln!("{KILLS} kills, {acknowledged} acknowledged events, {} rows", counted.len());
}

fn produce(
    server: &crate::support::Server,
    producer: usize,
    retry: Vec<u64>,
    first: u64,
    stop: &AtomicBool,
) -> (Ledger, u64) {
    let mut ledger = Ledger::default();
    let mut next = first;
    let mut retry = retry.into_iter();
    while !stop.load(Ordering::SeqCst) {
        let number = retry.next().unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        let body = format!(
            "{{\"event_id\": \"p{producer}-{number}\", \"happened_at\": \"2026-01-01T00:00:00Z\", \"user_id\": \"u{}\", \"amount\": 1}}\n",
            number % 7
        );
        match server.try_post("/v1/datasets/events/events", &body) {
            Some((200, receipt)) => {
                let counts = &receipt["counts"];
                let settled = counts["accepted"].as_u64().unwrap_or(0) + counts["deduplicated"].as_u64().unwrap_or(0);
                assert_eq!(settled, 1, "{receipt}");
                ledger.acknowledged.push(number);
            }
            _ => ledger.unanswered.push(number),
        }
    }
    ledger.unanswered.extend(retry);
    (ledger, next)
}

/// How often each event is in the table.
fn rows(project: &Project) -> BTreeMap<String, u64> {
    let sql = "select event_id, count(*) as n from events group by event_id";
    let answer = project.run(&["query", sql, "--rows-max", "10000000", "--output", "json"]).expect(0).json();
    let rows = answer["rows"].as_array().unwrap();
    let pair = |row: &Value| (row["event_id"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap());
    rows.iter().map(pair).collect()
}
