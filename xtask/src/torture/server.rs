//! The process under test: starting it, talking to it over HTTP, signalling it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::bench::execute;
use super::clock::Stopwatch;

/// How long a start may take, on a machine that is busy.
pub const START_MAX: Duration = Duration::from_secs(90);
/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(120);
/// How long stages may need to catch up with the log.
const CATCH_UP_MAX: Duration = Duration::from_secs(180);

/// What a process can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End without warning.
    Kill,
    /// End in order.
    Terminate,
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
}

impl Signal {
    /// How `kill` calls it.
    fn option(self) -> &'static str {
        match self {
            Signal::Kill => "-KILL",
            Signal::Terminate => "-TERM",
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        }
    }
}

/// Where a process works, and how it is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The binary.
    pub binary: PathBuf,
    /// The project's folder.
    pub project: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// Where its standard error is appended.
    pub log: PathBuf,
    /// A command that runs the binary, such as `strace`, with its arguments.
    pub wrap: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Further arguments of `serve`.
    pub serve: Vec<String>,
}

impl Launch {
    /// A command of the binary on this project and data folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut all: Vec<String> = self.wrap.clone();
        all.push(self.binary.display().to_string());
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).arg("-C").arg(&self.project).arg("--data-dir").arg(&self.data).args(arguments);
        command.env_remove("SEAWALL_TOKEN").env("SEAWALL_LOG", "warn");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end: exit code, standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> Result<(i32, String, String)> {
        let output = self.command(arguments).output().with_context(|| format!("running {}", self.binary.display()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr)))
    }

    /// Starts `serve` without waiting for it to listen.
    pub fn spawn(&self) -> Result<Starting> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log: File = log.with_context(|| format!("opening {}", self.log.display()))?;
        let errors = log.try_clone().context("sharing the log of the server")?;
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--output", "json"]);
        command.args(&self.serve);
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().context("starting the server")?;
        let stdout = child.stdout.take().expect("it was asked for");
        Ok(Starting { child, output: Some((stdout, log)), data: self.data.clone() })
    }

    /// Starts `serve` and waits until it listens; the exit status and nothing else when it ends instead.
    pub fn serve(&self) -> Result<Server> {
        match self.spawn()?.listening(START_MAX)? {
            Started::Listening(server) => Ok(server),
            Started::Ended(how) => bail!("the server ended while starting: {how}; see {}", self.log.display()),
        }
    }
}

/// A process that may not listen yet; killed when dropped.
#[derive(Debug)]
pub struct Starting {
    child: Child,
    output: Option<(ChildStdout, File)>,
    data: PathBuf,
}

/// What became of a start.
#[derive(Debug)]
pub enum Started {
    /// It listens.
    Listening(Server),
    /// It ended by itself, or was killed by what wraps it: how, and what it said.
    Ended(String),
}

impl Starting {
    /// Waits until the process listens or ends.
    pub fn listening(mut self, at_most: Duration) -> Result<Started> {
        let (stdout, mut log) = self.output.take().expect("only this function takes it");
        let (lines, first) = mpsc::channel();
        // The thread keeps the pipe open until the process ends.
        std::thread::spawn(move || {
            let mut line = String::new();
            let mut reader = BufReader::new(stdout);
            let _ = reader.read_line(&mut line);
            let _ = lines.send(line);
            // What it says at its end is kept beside its standard error.
            let _ = std::io::copy(&mut reader, &mut log);
        });
        let line = match first.recv_timeout(at_most) {
            Ok(line) => line,
            Err(_) => bail!("the server neither listened nor ended within {at_most:?}"),
        };
        match serde_json::from_str::<Value>(&line).ok().and_then(|said| Some(said["listening"].as_str()?.to_owned())) {
            Some(url) => Ok(Started::Listening(Server::new(self, url)?)),
            None => {
                let status = self.child.wait().context("waiting for the server")?;
                Ok(Started::Ended(format!("{status}, saying {:?}", line.trim())))
            }
        }
    }

    /// Kills the process as `kill -9` does.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().context("killing the server")?;
        self.child.wait().context("waiting for the server")?;
        Ok(())
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that listens; killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Starting,
    /// The number of the process itself, and not of what wraps it.
    pub pid: u32,
    /// Where it listens.
    pub url: String,
    agent: ureq::Agent,
}

/// An answer: its status, its body as JSON (null when it is none), and whether it told when to come back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
    /// Whether it carries `Retry-After`.
    pub retry_after: bool,
}

impl Server {
    fn new(process: Starting, url: String) -> Result<Server> {
        let marker = process.data.join("serve.json");
        let text = std::fs::read_to_string(&marker).with_context(|| format!("reading {}", marker.display()))?;
        let running: Value = serde_json::from_str(&text).context("reading serve.json")?;
        let pid = running["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| anyhow!("serve.json names no process"))?;
        Ok(Server { process, pid, agent: agent(REQUEST_MAX), url })
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        execute(Command::new("kill").arg(signal.option()).arg(self.pid.to_string()))
    }

    /// Kills the process as `kill -9` does, and waits for its end.
    pub fn kill(mut self) -> Result<()> {
        // It may have ended already, by a fault.
        let _ = self.signal(Signal::Kill);
        self.process.child.wait().context("waiting for the server")?;
        Ok(())
    }

    /// Whether the process has ended, and how.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.child.try_wait().context("looking at the server")
    }

    /// Ends the process as a service manager would; its exit status.
    pub fn terminate(self) -> Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        self.ends()
    }

    /// Waits for the end of a process that was told to; its exit status.
    pub fn ends(mut self) -> Result<ExitStatus> {
        let watch = Stopwatch::start();
        while watch.elapsed() < CATCH_UP_MAX {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the server did not end within {CATCH_UP_MAX:?} after SIGTERM")
    }

    /// Asks for a page; none when the server is gone.
    pub fn get(&self, path: &str) -> Option<Answer> {
        answer(self.agent.get(format!("{}{path}", self.url)).call())
    }

    /// Posts JSON; none when the server is gone.
    pub fn post(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = self.agent.post(format!("{}{path}", self.url)).content_type("application/json");
        answer(request.send(body.to_string()))
    }

    /// The rows that a query answers.
    pub fn query(&self, sql: &str) -> Result<Vec<Value>> {
        let asked = self.post("/v1/query", &json!({"sql": sql, "rows_max": null}));
        let answer = asked.ok_or_else(|| anyhow!("no answer to {sql:?}"))?;
        match answer.body["rows"].as_array() {
            Some(rows) if answer.status == 200 => Ok(rows.clone()),
            _ => bail!("{sql:?} was answered with {}: {}", answer.status, answer.body),
        }
    }

    /// Waits until tables and features hold what is durable.
    pub fn catch_up(&self) -> Result<()> {
        let watch = Stopwatch::start();
        let mut progress = Value::Null;
        while watch.elapsed() < CATCH_UP_MAX {
            if let Some(status) = self.get("/v1/status") {
                progress = status.body["progress"].clone();
                let durable = &progress["durable_entries"];
                let stages = [&progress["committed_entries"], &progress["folded_entries"]];
                if durable.is_u64() && stages.iter().all(|stage| *stage == durable) {
                    return Ok(());
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the tables do not catch up with the log within {CATCH_UP_MAX:?}: {progress}")
    }
}

/// An HTTP client whose requests end after `at_most`.
pub fn agent(at_most: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(at_most));
    config.build().into()
}

/// What came back; none when nothing whole did.
pub fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<Answer> {
    let mut response = response.ok()?;
    let status = response.status().as_u16();
    let retry_after = response.headers().contains_key("retry-after");
    let text = response.body_mut().with_config().limit(1 << 30).read_to_string().ok()?;
    Some(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::Null), retry_after })
}

/// The epoch that a data folder's log stands in.
pub fn log_epoch(data: &Path) -> Result<u64> {
    let path = data.join("log/epoch");
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let epoch = bytes.get(24..32).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    epoch.ok_or_else(|| anyhow!("{} is too short", path.display()))
}
