//! The table store is away while the real binary serves: acknowledgements and features go on, answers from tables are
//! refused or flagged, and everything is in the tables afterwards, once.

use std::path::PathBuf;
use std::time::Duration;

use seawall_base::{Clock, Instant, MonotonicClock, SystemClock};
use serde_json::Value;

use crate::s3_server::S3Server;
use crate::support::{Project, Server, run_in};

/// How long the short form is away.
const SECONDS: u64 = 8;
/// How long the long form is away: `cargo test -p seawall --test it -- --ignored away_for_two_minutes`.
const SECONDS_LONG: u64 = 120;

#[test]
fn away_for_some_seconds() {
    outage(Duration::from_secs(SECONDS), Away::Moved);
}

#[test]
fn an_empty_folder_in_place_of_the_tables_is_not_written_to() {
    outage(Duration::from_secs(4), Away::Emptied);
}

#[test]
#[ignore = "takes two minutes"]
fn away_for_two_minutes() {
    outage(Duration::from_secs(SECONDS_LONG), Away::Moved);
}

/// What is found in place of the folder of tables.
#[derive(Clone, Copy, PartialEq)]
enum Away {
    Moved,
    /// As after a disk was unmounted.
    Emptied,
}

struct Outage {
    project: Project,
    server: Server,
    sent: u64,
    slowest: Duration,
}

impl Outage {
    fn tables(&self) -> PathBuf {
        self.project.path().join(".seawall/data/tables")
    }

    fn moved(&self) -> PathBuf {
        self.project.path().join(".seawall/data/moved")
    }

    /// Sends one event, which must be acknowledged.
    fn send(&mut self) {
        let happened_at = SystemClock.now();
        let (n, user) = (self.sent, self.sent % 3);
        let event = format!(
            "{{\"event_id\": \"e{n}\", \"happened_at\": \"{happened_at}\", \"user_id\": \"u{user}\", \"amount\": 1}}\n"
        );
        let began = MonotonicClock.now();
        let (status, receipt) = self.server.post("/v1/datasets/events/events", &event);
        self.slowest = self.slowest.max(elapsed(began));
        assert_eq!((status, &receipt["counts"]["accepted"]), (200, &1.into()), "{receipt}");
        self.sent += 1;
    }

    fn query(&self) -> (u16, Value) {
        let sql = "select count(*) as n, count(distinct event_id) as ids from events";
        self.server.post("/v1/query", &format!("{{\"sql\": \"{sql}\"}}"))
    }

    /// What the query answers once tables are back.
    fn answered(&self) -> Value {
        let began = MonotonicClock.now();
        loop {
            let (status, answer) = self.query();
            if status == 200 && answer["degraded"] == false {
                return answer["rows"][0].clone();
            }
            assert!(elapsed(began) < Duration::from_secs(60), "{answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.server.get("/v1/status").1).unwrap()
    }

    /// Waits until tables hold everything.
    fn drained(&self, most: Duration) -> Duration {
        let began = MonotonicClock.now();
        loop {
            let progress = &self.status()["progress"];
            if progress["committed_entries"] == progress["durable_entries"] {
                return elapsed(began);
            }
            assert!(elapsed(began) < most, "the backlog does not drain: {progress}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn state_of(&self, dependency: &str) -> String {
        let status = self.status();
        let all = status["dependencies"].as_array().unwrap();
        let found = all.iter().find(|health| health["name"] == dependency).unwrap();
        found["state"].as_str().unwrap().to_owned()
    }

    /// A feature that is served while tables are away has every event of its entity.
    fn check_features(&self) {
        self.server.folded();
        let (status, served) =
            self.server.post("/v1/features", r#"{"views": ["users@1"], "rows": [{"user_id": "u0"}]}"#);
        assert_eq!(status, 200, "{served}");
        assert_eq!(served["views"][0]["degraded"], false, "{served}");
        assert_eq!(served["views"][0]["rows"][0]["n_24h"], self.sent.div_ceil(3), "{served}");
    }

    /// An answer from tables is refused, or says that it is old; it is never old in silence.
    fn check_query(&self) -> bool {
        let (status, answer) = self.query();
        if status == 200 {
            let complete = answer["rows"][0]["n"].as_u64() == Some(self.sent);
            assert!(complete || answer["staleness_ms"].as_u64() > Some(0), "old in silence: {answer}");
            return false;
        }
        assert_eq!(status, 503, "{answer}");
        let code = answer["error"]["code"].as_str().unwrap();
        assert!(["SW1302", "SW1307", "SW0512", "SW0524"].contains(&code), "{answer}");
        true
    }
}

fn elapsed(since: Instant) -> Duration {
    Duration::from_micros((MonotonicClock.now() - since).0.unsigned_abs())
}

fn outage(span: Duration, away: Away) {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let mut outage = Outage { project, server, sent: 0, slowest: Duration::ZERO };
    for _ in 0..10 {
        outage.send();
    }
    outage.drained(Duration::from_secs(30));
    let before = outage.query().1;
    assert_eq!((&before["rows"][0]["n"], &before["degraded"]), (&10.into(), &false.into()), "{before}");

    std::fs::rename(outage.tables(), outage.moved()).unwrap();
    if away == Away::Emptied {
        std::fs::create_dir(outage.tables()).unwrap();
    }
    let (began, mut refused) = (MonotonicClock.now(), 0);
    while elapsed(began) < span {
        outage.send();
        if outage.sent.is_multiple_of(10) {
            refused += u32::from(outage.check_query());
            outage.check_features();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(refused > 0, "tables were never away");
    assert_eq!(outage.state_of("queries"), "open");
    let status = outage.status();
    assert_eq!((&status["tables"]["degraded"], &status["progress"]["table_store_away"]), (&true.into(), &true.into()));
    let told = outage.project.run(&["status"]).expect(0).stdout;
    assert!(told.contains("tables lag"), "{told}");
    assert!(told.contains("queries is away (open)"), "{told}");
    assert!(outage.server.get("/metrics").1.contains("seawall_degraded{stage=\"tables\"} 1"));

    if away == Away::Emptied {
        // Fails when something was written there.
        std::fs::remove_dir(outage.tables()).unwrap();
    }
    std::fs::rename(outage.moved(), outage.tables()).unwrap();
    let took = outage.drained(Duration::from_secs(60) + span / 2);
    let after = loop {
        let (status, answer) = outage.query();
        // Two good answers close the breaker.
        if status == 200 && outage.state_of("queries") == "closed" {
            break answer;
        }
        assert!(status == 200 || answer["error"]["code"] == "SW1302", "{answer}");
        std::thread::sleep(Duration::from_millis(200));
    };
    let row = &after["rows"][0];
    assert_eq!((row["n"].as_u64(), row["ids"].as_u64()), (Some(outage.sent), Some(outage.sent)), "{after}");
    assert_eq!((&after["degraded"], &after["staleness_ms"]), (&false.into(), &0.into()), "{after}");
    eprintln!(
        "away for {span:?}: {} events, slowest acknowledgement {:?}, drained in {took:?}",
        outage.sent, outage.slowest
    );
    ledger_tells(outage);
}

/// The ledger says that tables went away and came back.
fn ledger_tells(outage: Outage) {
    let Outage { project, server, .. } = outage;
    server.terminate();
    let ledger = project.run(&["audit", "--limit", "1000", "--output", "json"]).expect(0).json();
    let events: Vec<&str> = ledger["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["resource"] == "queries")
        .map(|entry| entry["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["dependency_away", "dependency_back"]);
}

/// Whoever ends the server while tables are away need not wait for them: the next start commits what waits.
#[test]
fn an_end_while_tables_are_away_is_clean() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let mut outage = Outage { project, server, sent: 0, slowest: Duration::ZERO };
    std::fs::rename(outage.tables(), outage.moved()).unwrap();
    for _ in 0..5 {
        outage.send();
    }
    let (tables, moved) = (outage.tables(), outage.moved());
    let Outage { project, server, sent, .. } = outage;
    server.terminate();
    std::fs::rename(moved, tables).unwrap();
    let server = project.serve(&[]);
    let again = Outage { project, server, sent, slowest: Duration::ZERO };
    again.drained(Duration::from_secs(30));
    assert_eq!(again.query().1["rows"][0]["n"], sent);
}

/// A start without the tables that there were takes events in and serves features; it does not begin new tables, and takes
/// the old ones once they are back.
#[test]
fn a_start_while_tables_are_away() {
    for away in [Away::Moved, Away::Emptied] {
        start_without_tables(away);
    }
}

fn start_without_tables(away: Away) {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let mut outage = Outage { project, server, sent: 0, slowest: Duration::ZERO };
    for _ in 0..10 {
        outage.send();
    }
    let known = r#"{"event_id": "known", "happened_at": "2026-03-01T10:00:00Z", "user_id": "other", "amount": 1}"#;
    assert_eq!(outage.server.post("/v1/datasets/events/events", known).0, 200);
    outage.drained(Duration::from_secs(30));
    let (tables, moved) = (outage.tables(), outage.moved());
    let Outage { project, server, sent, .. } = outage;
    server.terminate();
    std::fs::rename(&tables, &moved).unwrap();
    if away == Away::Emptied {
        std::fs::create_dir(&tables).unwrap();
    }

    let server = project.serve(&[]);
    let mut outage = Outage { project, server, sent, slowest: Duration::ZERO };
    assert_eq!(outage.server.get("/health").0, 200);
    outage.check_features();
    for _ in 0..30 {
        outage.send();
    }
    outage.check_features();
    let repeated = outage.server.post("/v1/datasets/events/events", known);
    assert_eq!((repeated.0, &repeated.1["counts"]["deduplicated"]), (200, &1.into()), "{}", repeated.1);
    let (status, refused) = outage.query();
    let code = refused["error"]["code"].as_str().unwrap_or_default();
    assert_eq!(status, 503, "{refused}");
    assert!(["SW1302", "SW1307", "SW0524"].contains(&code), "{refused}");
    let status = outage.status();
    assert_eq!(status["tables"]["degraded"], true, "{status}");
    assert_eq!(
        (&status["progress"]["table_store_away"], &status["progress"]["tables_attached"]),
        (&true.into(), &false.into())
    );
    assert!(outage.server.get("/metrics").1.contains("seawall_degraded{stage=\"tables\"} 1"));
    let told = outage.project.run(&["status"]).expect(0).stdout;
    assert!(told.contains("tables were away when the server started"), "{told}");
    // What needs tables is refused, and does not begin with fewer rows.
    let command = outage.project.run(&["query", "select count(*) from events"]);
    assert_ne!(command.code, 0, "{}{}", command.stdout, command.stderr);

    if away == Away::Emptied {
        // Fails when something was written there.
        std::fs::remove_dir(&tables).unwrap();
    }
    assert!(!tables.exists());
    std::fs::rename(&moved, &tables).unwrap();
    outage.drained(Duration::from_secs(60));
    let row = outage.answered();
    assert_eq!((row["n"].as_u64(), row["ids"].as_u64()), (Some(outage.sent + 1), Some(outage.sent + 1)), "{row}");
    assert_eq!(outage.status()["progress"]["tables_attached"], true);
    outage.check_features();
    let Outage { project, server, .. } = outage;
    server.terminate();
    let verified = project.run(&["verify", "data", "--output", "json"]);
    verified.expect(0);
}

/// Whoever ends such a server need not wait for tables, and a start after it goes on.
#[test]
fn a_server_that_never_had_tables_ends_cleanly() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let mut outage = Outage { project, server, sent: 0, slowest: Duration::ZERO };
    outage.send();
    let (tables, moved) = (outage.tables(), outage.moved());
    let Outage { project, server, .. } = outage;
    server.terminate();
    std::fs::rename(&tables, &moved).unwrap();
    let server = project.serve(&[]);
    let mut outage = Outage { project, server, sent: 1, slowest: Duration::ZERO };
    outage.send();
    let Outage { project, server, sent, .. } = outage;
    server.terminate();
    std::fs::rename(&moved, &tables).unwrap();
    let server = project.serve(&[]);
    let again = Outage { project, server, sent, slowest: Duration::ZERO };
    again.drained(Duration::from_secs(30));
    assert_eq!(again.query().1["rows"][0]["n"], sent);
}

/// A command that needs tables does not go on without them.
#[test]
fn a_command_without_the_tables_is_refused() {
    let project = Project::events();
    project.run(&["apply"]).expect(0);
    let server = project.serve(&[]);
    let mut outage = Outage { project, server, sent: 0, slowest: Duration::ZERO };
    outage.send();
    let (tables, moved) = (outage.tables(), outage.moved());
    let Outage { project, server, .. } = outage;
    server.terminate();
    std::fs::rename(&tables, &moved).unwrap();
    let refused = project.run(&["training-set", "build", "next_amount"]).expect(2);
    assert!(refused.stderr.contains("SW1308"), "{}", refused.stderr);
    assert!(!tables.exists());
}

/// The keys of a bulk load are in its staged file: while that is away, it cannot be told whether a row was there before, so
/// none is taken.
#[test]
fn rows_whose_keys_are_away_are_refused_until_they_are_back() {
    let project = Project::with(&[
        ("seawall.yaml", "kind: project\nname: events\n"),
        ("contracts/events.odcs.yaml", crate::support::EVENTS_CONTRACT),
        (
            "declarations.yaml",
            "kind: source\nname: events\nhttp: {}\ncontract: events@1\n---\nkind: source\nname: old\nfiles: {path: old.ndjson, format: ndjson}\ncontract: events@1\n",
        ),
        ("old.ndjson", OLD),
    ]);
    project.run(&["apply"]).expect(0);
    project.run(&["run"]).expect(0);
    let data = project.path().join(".seawall/data");
    let (tables, moved) = (data.join("tables"), data.join("moved"));
    std::fs::rename(&tables, &moved).unwrap();
    std::fs::remove_dir_all(data.join("state")).unwrap();
    let server = project.serve(&[]);
    let (status, refused) = server.post("/v1/datasets/events/events", OLD);
    assert_eq!((status, &refused["error"]["code"]), (503, &"SW1309".into()), "{refused}");
    std::fs::rename(&moved, &tables).unwrap();
    let began = MonotonicClock.now();
    let receipt = loop {
        let (status, receipt) = server.post("/v1/datasets/events/events", OLD);
        if status == 200 {
            break receipt;
        }
        assert!(elapsed(began) < Duration::from_secs(60), "{receipt}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(receipt["counts"]["deduplicated"], 1, "{receipt}");
}

const OLD: &str = r#"{"event_id": "old", "happened_at": "2026-03-01T10:00:00Z", "user_id": "u0", "amount": 1}"#;

/// The bucket is away at the very first start, and at a later one: both times the server comes up and drains by itself.
#[test]
fn a_bucket_that_is_away_at_the_start() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let environment = |server: &S3Server| {
        let mut environment = server.environment();
        environment.insert("AWS_ENDPOINT_URL".into(), format!("http://{address}"));
        environment
    };
    let mut kept = S3Server::default();
    let mut project = Project::events();
    let folder = project.path().to_str().unwrap().to_owned();
    run_in(&environment(&kept), &["-C", &folder, "--tables", "s3://bucket/prefix", "apply"]).expect(0);
    let mut sent = 0;
    for start in ["first", "second"] {
        let server = project.serve_with(&environment(&kept), &[]);
        let mut outage = Outage { project, server, sent, slowest: Duration::ZERO };
        for _ in 0..20 {
            outage.send();
        }
        let (status, refused) = outage.query();
        assert_eq!(status, 503, "{start}: {refused}");
        let status = outage.status();
        assert_eq!(
            (&status["tables"]["degraded"], &status["progress"]["tables_attached"]),
            (&true.into(), &false.into())
        );
        outage.check_features();

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        kept = runtime.block_on(S3Server::start_at(&address, &kept));
        outage.drained(Duration::from_secs(60));
        let row = outage.answered();
        assert_eq!((row["n"].as_u64(), row["ids"].as_u64()), (Some(outage.sent), Some(outage.sent)), "{start}: {row}");
        outage.check_features();
        let Outage { project: again, server, sent: so_far, .. } = outage;
        server.terminate();
        (project, sent) = (again, so_far);
        // The bucket goes away with everything in it.
        runtime.shutdown_background();
    }
}
