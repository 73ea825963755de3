//! A visitor breaks the running demo, is told what it is, mends it, and sees it end.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use seawall_base::{Clock, Instant, SystemClock};
use serde_json::Value;

use crate::support::{Said, run, seawall};

/// A living demo; ended when dropped.
struct Living {
    child: Child,
    home: PathBuf,
}

impl Living {
    /// Starts it and waits until it serves.
    fn start(home: &Path) -> Living {
        let report = home.join("report.html");
        let on = ["--data-dir", home.to_str().unwrap(), "--report", report.to_str().unwrap()];
        let arguments = [&["demo", "--quick", "--listen", "127.0.0.1:0"], &on[..]].concat();
        let log = std::fs::File::create(home.join("demo.log")).unwrap();
        let child = seawall().args(arguments).stdout(Stdio::null()).stderr(log).stdin(Stdio::null()).spawn().unwrap();
        let mut living = Living { child, home: home.to_owned() };
        let began = SystemClock.now();
        while !home.join("data/serve.json").exists() {
            let log = || std::fs::read_to_string(home.join("demo.log")).unwrap_or_default();
            assert!(living.child.try_wait().unwrap().is_none(), "the demo ended: {}", log());
            assert!(since(began) < Duration::from_secs(600), "the demo does not serve: {}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        living
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let (project, data) = (self.home.join("project"), self.home.join("data"));
        let on = ["-C", project.to_str().unwrap(), "--data-dir", data.to_str().unwrap(), "--output", "json"];
        run(&[&on, arguments].concat())
    }

    /// The open incidents.
    fn open(&self) -> Vec<Value> {
        self.run(&["incident", "list"]).expect(0).json()["incidents"].as_array().unwrap().clone()
    }

    /// Asks until there is an answer; how long it took.
    fn wait<T>(&self, seconds: u64, what: &str, ask: impl Fn() -> Option<T>) -> (T, Duration) {
        let began = SystemClock.now();
        loop {
            if let Some(answer) = ask() {
                return (answer, since(began));
            }
            assert!(since(began) < Duration::from_secs(seconds), "after {seconds} s still not {what}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn cents_are_noticed_explained_mended_and_closed_while_the_champion_stays() {
    let folder = tempfile::tempdir().unwrap();
    let living = Living::start(folder.path());
    let known: Vec<Value> = living.open().iter().map(|incident| incident["id"].clone()).collect();
    let champion = living.run(&["champion", "fraud"]).expect(0).json()["champion"]["version"].clone();

    let home = living.home.to_str().unwrap();
    run(&["demo", "inject", "cents", "--data-dir", home, "--output", "json"]).expect(0);
    let find = || living.open().into_iter().find(|incident| !known.contains(&incident["id"]));
    let (incident, after) = living.wait(20, "noticed", find);
    eprintln!("noticed after {:.1} s", after.as_secs_f64());
    check_incident(&incident);

    let id = incident["id"].as_str().unwrap();
    let shown = living.run(&["incident", "remedy", id]).expect(0).json();
    assert_eq!(shown["run"], false);
    let done = living.run(&["incident", "remedy", id, "--run"]).expect(0).json();
    assert!(living.home.join("project").join(done["file"].as_str().unwrap()).exists(), "{done}");
    let closed = || {
        let incident = living.run(&["incident", "show", id]).expect(0).json();
        (!incident["closed"].is_null()).then_some(incident)
    };
    let (incident, after) = living.wait(60, "closed", closed);
    eprintln!("closed {:.1} s after the remedy", after.as_secs_f64());
    assert_eq!(incident["closed"]["by"], "seawall");
    assert!(incident["closed"]["reason"].as_str().unwrap().contains("amount_eur"), "{}", incident["closed"]);
    let new: Vec<Value> = living.open().into_iter().filter(|incident| !known.contains(&incident["id"])).collect();
    assert!(new.is_empty(), "a mended fault leaves nothing open: {new:?}");
    assert_eq!(living.run(&["champion", "fraud"]).expect(0).json()["champion"]["version"], champion);
}

fn check_incident(incident: &Value) {
    assert_eq!(incident["cause"], "unit_change", "{incident}");
    assert_eq!((incident["source"].as_str(), incident["column"].as_str()), (Some("payments"), Some("amount_eur")));
    assert_eq!(incident["factor"], 100.0);
    assert!(incident["first_bad"]["offset"].as_u64().unwrap() > 0, "{incident}");
    let listed =
        |key: &str| incident["blast"][key].as_array().unwrap().iter().filter_map(Value::as_str).collect::<Vec<_>>();
    assert!(listed("features").contains(&"card@1.mean_7d"), "{incident}");
    assert_eq!((listed("models"), listed("training_sets")), (vec!["fraud"], vec!["fraud"]));
    assert!(listed("owners").contains(&"payments-team"), "{incident}");
    assert_eq!(incident["remedy"]["retrain"], "do_not_retrain");
    assert!(incident["remedy"]["command"].as_str().unwrap().starts_with("seawall incident remedy"), "{incident}");
}

fn since(began: Instant) -> Duration {
    Duration::from_micros((SystemClock.now() - began).0.unsigned_abs())
}
