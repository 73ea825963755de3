//! Runs the command that trains a model: its files, its limits, its end.
//!
//! `docs/models.md` has the contract. The command runs in the project's folder with an environment of its own, in a
//! [`Group`] that is killed as a whole when the command ends, fails, takes too long, or nobody waits for it any more.
//! What it wrote is read after that, when nothing can change it any more.

use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use seawall_base::declare::CommandTrainer;
use seawall_base::{Error, Result};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::group::Group;
use crate::workplace::{self, Folder};

#[cfg(test)]
mod tests;

/// Bytes of a trainer's log that are kept.
pub const LOG_BYTES_MAX: usize = 64 << 10;
/// Bytes of the log that an error repeats.
const LOG_IN_ERROR_BYTES_MAX: usize = 4 << 10;
const MODEL_BYTES_MAX: u64 = 128 << 20;
const METRICS_BYTES_MAX: u64 = 1 << 20;
/// How long the end of the log is awaited once every process has ended.
const LOG_END: Duration = Duration::from_secs(2);

/// What a trainer wrote.
#[derive(Debug)]
pub struct Output {
    /// Bytes of `model.onnx`.
    pub model: Bytes,
    /// The object in `metrics.json`.
    pub metrics: Value,
    /// The end of what it printed.
    pub log: String,
}

/// Runs `trainer` in the folder `project` on the job in `folder`, and reads what it wrote.
///
/// # Errors
/// `SW1020` to `SW1026`, kind `Invalid`, with the end of the log; nothing runs on afterwards.
pub async fn run(trainer: &CommandTrainer, project: &Path, folder: &Folder) -> Result<Output> {
    let program = program(trainer, project)?;
    let out = folder.path().join("out");
    let scratch = folder.path().join("tmp");
    for made in [&out, &scratch] {
        fs::create_dir(made).map_err(|e| Error::from(e).hint("check space and rights of the data folder"))?;
    }
    let mut group = Group::start(workplace::mark(folder.path())).map_err(cannot_start)?;
    let mut command = Command::new("/bin/sh");
    // Some systems have no limit of the address space to set; the command runs without one there.
    command.args(["-c", "ulimit -v \"$1\" 2>/dev/null; shift; exec \"$@\"", "trainer"]);
    command.arg((trainer.memory_bytes_max / 1024).to_string()).arg(&program).args(&trainer.command[1..]);
    command.current_dir(project).env_clear().envs(environment());
    command.env("SEAWALL_JOB", workplace::job(folder.path())).env("SEAWALL_OUT", &out).env("TMPDIR", &scratch);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(i32::try_from(group.number()).map_err(|e| cannot_start(std::io::Error::other(e)))?);
    let mut child = command.spawn().map_err(cannot_start)?;
    let log = Log::of(&mut child);
    let limit = Duration::from_micros(trainer.timeout.0.max(0).unsigned_abs());
    let ended = tokio::time::timeout(limit, child.wait()).await;
    // Killing looks at every process of the machine: not on a thread that serves others.
    let killed = tokio::task::spawn_blocking(move || group.kill()).await;
    killed.map_err(|e| Error::internal("SW1028", "the end of a trainer was interrupted").because(e))?;
    let log = log.end().await;
    match ended {
        Err(_) => Err(timed_out(trainer, &log)),
        Ok(Err(e)) => Err(cannot_start(e)),
        Ok(Ok(status)) if !status.success() => Err(ended_badly(trainer, status, &log)),
        Ok(Ok(_)) => {
            let metrics = metrics(&out, &log)?;
            let model = model(&out, &log)?;
            Ok(Output { model, metrics, log })
        }
    }
}

/// What a trainer inherits of Seawall's environment.
fn environment() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    ["PATH", "HOME", "LANG"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// The file of the program: within the project when its name has a slash, else somewhere on the path.
fn program(trainer: &CommandTrainer, project: &Path) -> Result<PathBuf> {
    let missing = |what: String| {
        Err(Error::invalid("SW1020", what)
            .hint("name a program on the path, or a file of the project as `./NAME`; it must be executable"))
    };
    let Some(name) = trainer.command.first().filter(|name| !name.is_empty()) else {
        return missing("the trainer's command is empty".to_owned());
    };
    let found = if name.contains('/') {
        Some(project.join(name)).filter(|path| is_program(path))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| is_program(path))
    };
    match found {
        Some(path) => Ok(path),
        None => missing(format!("the trainer's program {name} is not there or not executable")),
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn metrics(out: &Path, log: &str) -> Result<Value> {
    let wrong = |why: String| {
        with_log(Error::invalid("SW1026", format!("the trainer's metrics.json is not usable: {why}")), log)
            .hint("write one JSON object to $SEAWALL_OUT/metrics.json; {} when there is nothing to tell")
    };
    let bytes = match read(&out.join("metrics.json"), METRICS_BYTES_MAX) {
        Reading::Bytes(bytes) => bytes,
        Reading::Missing => {
            // A trainer that wrote neither file is told about the model first.
            model(out, log)?;
            return Err(wrong("it is not there".to_owned()));
        }
        Reading::Refused(why) => return Err(wrong(why)),
    };
    match serde_json::from_slice(&bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(wrong("it is no JSON object".to_owned())),
        Err(e) => Err(wrong(e.to_string())),
    }
}

fn model(out: &Path, log: &str) -> Result<Bytes> {
    match read(&out.join("model.onnx"), MODEL_BYTES_MAX) {
        Reading::Bytes(bytes) => Ok(Bytes::from(bytes)),
        Reading::Missing => Err(with_log(Error::invalid("SW1024", "the trainer wrote no model.onnx"), log)
            .hint("write the model to the folder that $SEAWALL_OUT names")),
        Reading::Refused(why) => {
            Err(with_log(Error::invalid("SW1025", format!("the trainer's model.onnx is not usable: {why}")), log)
                .hint("write a plain file of a smaller model"))
        }
    }
}

/// What reading a file of a trainer gives.
enum Reading {
    Bytes(Vec<u8>),
    Missing,
    Refused(String),
}

/// Reads a plain file of at most `bytes_max` bytes; follows no links.
fn read(path: &Path, bytes_max: u64) -> Reading {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Reading::Missing,
        Err(e) => return Reading::Refused(e.to_string()),
    };
    if !found.is_file() {
        return Reading::Refused("it is no plain file".to_owned());
    }
    if found.len() > bytes_max {
        return Reading::Refused(format!("it has {} bytes, and {bytes_max} are the most", found.len()));
    }
    let mut bytes = Vec::new();
    match fs::File::open(path).and_then(|file| file.take(bytes_max).read_to_end(&mut bytes)) {
        Ok(_) => Reading::Bytes(bytes),
        Err(e) => Reading::Refused(e.to_string()),
    }
}

/// The end of what a trainer prints, both streams in the order of their arrival.
struct Log {
    kept: Arc<Mutex<VecDeque<u8>>>,
    readers: Vec<tokio::task::JoinHandle<()>>,
}

impl Log {
    fn of(child: &mut Child) -> Log {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let mut readers = Vec::new();
        if let Some(stream) = child.stdout.take() {
            readers.push(tokio::spawn(keep(stream, kept.clone())));
        }
        if let Some(stream) = child.stderr.take() {
            readers.push(tokio::spawn(keep(stream, kept.clone())));
        }
        Log { kept, readers }
    }

    /// Waits for the end of both streams; not for long, because a process that got away may hold one open.
    async fn end(mut self) -> String {
        for reader in &mut self.readers {
            if tokio::time::timeout(LOG_END, &mut *reader).await.is_err() {
                reader.abort();
            }
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(kept.make_contiguous()).into_owned()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.readers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn keep(mut stream: impl AsyncRead + Unpin, kept: Arc<Mutex<VecDeque<u8>>>) {
    let mut buffer = [0u8; 8192];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&buffer[..count]);
        let over = kept.len().saturating_sub(LOG_BYTES_MAX);
        kept.drain(..over);
    }
}

fn timed_out(trainer: &CommandTrainer, log: &str) -> Error {
    let error = Error::invalid("SW1022", format!("the trainer took longer than {} and was killed", trainer.timeout));
    with_log(error, log).hint("give it a longer `timeout`, or less to do")
}

fn ended_badly(trainer: &CommandTrainer, status: ExitStatus, log: &str) -> Error {
    if ran_out_of_memory(status, log) {
        let limit = trainer.memory_bytes_max >> 20;
        let error =
            Error::invalid("SW1023", format!("the trainer ran out of memory ({status}; it may take {limit} MiB)"));
        return with_log(error, log).hint("raise the trainer's memory limit, or let it use fewer threads and rows");
    }
    with_log(Error::invalid("SW1021", format!("the trainer failed ({status})")), log)
        .hint("run the command by hand with the same job; its log ends above")
}

/// Whether it looks as if memory was what a failed trainer lacked: the system killed it, or it said so.
fn ran_out_of_memory(status: ExitStatus, log: &str) -> bool {
    use std::os::unix::process::ExitStatusExt;
    const SIGKILL: i32 = 9;
    const SAID: [&str; 6] = [
        "memoryerror",
        "memory exhausted",
        "bad_alloc",
        "cannot allocate memory",
        "out of memory",
        "memory allocation of",
    ];
    let log = log.to_lowercase();
    status.signal() == Some(SIGKILL) || SAID.iter().any(|said| log.contains(said))
}

fn cannot_start(cause: std::io::Error) -> Error {
    Error::invalid("SW1020", "the trainer's command cannot be started").because(cause)
}

/// Adds the end of the log to an error, behind its cause.
pub fn with_log(error: Error, log: &str) -> Error {
    let mut from = log.len().saturating_sub(LOG_IN_ERROR_BYTES_MAX);
    while !log.is_char_boundary(from) {
        from += 1;
    }
    let end = match log[from..].trim_end() {
        "" => "the trainer printed nothing".to_owned(),
        end => format!("the trainer's log ends with\n{end}"),
    };
    let cause = std::error::Error::source(&error).map(|cause| format!("{cause}; {end}"));
    error.because(cause.unwrap_or(end))
}
