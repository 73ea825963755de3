//! Running the binary.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The binary under test.
pub fn seawall() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    // What a command writes beside itself, such as a report, belongs to no checkout.
    command.env_remove("SEAWALL_TOKEN").env_remove("SEAWALL_LOG").current_dir(std::env::temp_dir());
    command
}

/// What a finished command said.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// The JSON on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("not JSON ({e}): {}\n{}", self.stdout, self.stderr))
    }

    /// Demands an exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Said {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// Runs a command to its end.
pub fn run<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Said {
    run_as(None, arguments)
}

/// Runs a command to its end, with a token.
pub fn run_as<S: AsRef<std::ffi::OsStr>>(token: Option<&str>, arguments: &[S]) -> Said {
    let token = token.map(|token| ("SEAWALL_TOKEN".to_owned(), token.to_owned()));
    run_in(&token.into_iter().collect(), arguments)
}

/// Runs a command to its end, with more in its environment.
pub fn run_in<S: AsRef<std::ffi::OsStr>>(environment: &BTreeMap<String, String>, arguments: &[S]) -> Said {
    let mut command = seawall();
    command.envs(environment);
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("the binary runs");
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A project in a temporary folder.
pub struct Project {
    pub folder: tempfile::TempDir,
}

impl Project {
    /// A project with these files.
    pub fn with(files: &[(&str, &str)]) -> Project {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        Project { folder }
    }

    /// Events with a key, pushed over HTTP; one feature view and a training set over them.
    pub fn events() -> Project {
        Project::with(&[
            ("seawall.yaml", "kind: project\nname: events\n"),
            ("contracts/events.odcs.yaml", EVENTS_CONTRACT),
            ("declarations.yaml", EVENTS_DECLARATIONS),
        ])
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command on this project.
    pub fn run(&self, arguments: &[&str]) -> Said {
        let mut all = vec!["-C".to_owned(), self.path().display().to_string()];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        run(&all)
    }

    /// Starts `serve` on a free port and waits until it listens.
    pub fn serve(&self, more: &[&str]) -> Server {
        self.serve_with(&BTreeMap::new(), more)
    }

    /// Like [`Project::serve`], with more in its environment.
    pub fn serve_with(&self, environment: &BTreeMap<String, String>, more: &[&str]) -> Server {
        let mut command = seawall();
        command.envs(environment);
        command.arg("-C").arg(self.path()).args(["serve", "--listen", "127.0.0.1:0", "--output", "json"]).args(more);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(announced) = serde_json::from_str::<Value>(&line) else {
            let output = child.wait_with_output().unwrap();
            panic!("the server did not start: {line}{}", String::from_utf8_lossy(&output.stderr));
        };
        Server { child, url: announced["listening"].as_str().expect("an address").to_owned() }
    }
}

/// A running server; killed when dropped.
pub struct Server {
    pub child: Child,
    pub url: String,
}

impl Server {
    /// Waits until what was acknowledged is folded into features, too: acknowledged only means durable.
    pub fn folded(&self) {
        for _ in 0..500 {
            let status: Value = serde_json::from_str(&self.get("/v1/status").1).unwrap();
            let progress = &status["progress"];
            if progress["folded_entries"] == progress["durable_entries"] {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("features do not catch up");
    }

    /// Posts a body: status and JSON answer; `None` when the server is gone.
    pub fn try_post(&self, path: &str, body: &str) -> Option<(u16, Value)> {
        let request = ureq::post(format!("{}{path}", self.url)).config().http_status_as_error(false).build();
        let mut response = request.send(body).ok()?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().ok()?;
        Some((status, serde_json::from_str(&text).ok()?))
    }

    pub fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.try_post(path, body).expect("the server answers")
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let request = ureq::get(format!("{}{path}", self.url)).config().http_status_as_error(false).build();
        let mut response = request.call().expect("the server answers");
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    /// Ends the server as a service manager would, and demands a clean exit.
    pub fn terminate(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the server ended with {status}");
    }

    /// Kills the server without warning.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const EVENTS_CONTRACT: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: events
version: 1.0.0
name: Events
status: active
schema:
  - name: events
    properties:
      - {name: event_id, logicalType: string, primaryKey: true, required: true}
      - {name: happened_at, logicalType: timestamp, required: true}
      - {name: user_id, logicalType: string, required: true}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 1000}}
    customProperties:
      - {property: seawall.eventTime, value: happened_at}
";

pub const EVENTS_DECLARATIONS: &str = "\
kind: source
name: events
http: {}
contract: events@1
---
kind: feature_view
name: users
entity: user_id
from: events
time: happened_at
features:
  n_24h: {count: \"*\", window: 24h}
  sum_24h: {sum: amount, window: 24h}
  last_amount: {latest: amount, ttl: 30d}
---
kind: training_set
name: next_amount
rows: {from: events, at: happened_at, own_row: exclude}
label: {from: events, join: event_id, column: amount}
features: [users@1]
context: {doubled: amount * 2}
";
