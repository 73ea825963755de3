use std::os::unix::fs::PermissionsExt;

use seawall_base::{ErrorKind, Span};
use tempfile::TempDir;

use super::*;
use crate::workplace::Workplace;

/// A project with a trainer of these lines, and a place to work.
struct Bench {
    root: TempDir,
}

impl Bench {
    fn new(script: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("project")).unwrap();
        let path = root.path().join("project/train.sh");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Bench { root }
    }

    fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    async fn run(&self, trainer: &CommandTrainer) -> Result<Output> {
        let workplace = Workplace::open(&self.root.path().join("work")).unwrap();
        let folder = workplace.folder().unwrap();
        fs::write(workplace::job(folder.path()), "{}").unwrap();
        run(trainer, &self.project(), &folder).await
    }

    /// Processes whose numbers the trainer wrote into the file `pids` that still run.
    fn survivors(&self) -> Vec<String> {
        let pids = fs::read_to_string(self.project().join("pids")).unwrap();
        let runs = |pid: &str| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
        pids.lines().filter(|pid| runs(pid)).map(str::to_owned).collect()
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.root.path().join("work")).map_or(0, Iterator::count)
    }
}

fn trainer(command: &[&str]) -> CommandTrainer {
    CommandTrainer {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        timeout: Span::MINUTE,
        memory_bytes_max: 1 << 30,
    }
}

/// Runs a script that must fail, and checks that nothing is left.
async fn fails(script: &str, code: &str) -> String {
    let bench = Bench::new(script);
    let error = bench.run(&trainer(&["./train.sh"])).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), (code, ErrorKind::Invalid), "{script}: {error}");
    assert_eq!(bench.leftovers(), 0, "{script}");
    error.to_string()
}

#[tokio::test]
async fn hands_files_over_and_back() {
    let bench = Bench::new(
        "echo out; echo err >&2; pwd; env > environment; cat \"$SEAWALL_JOB\"\n\
         printf model > \"$SEAWALL_OUT/model.onnx\"; printf '{\"auc\": 0.9}' > \"$SEAWALL_OUT/metrics.json\"",
    );
    let output = bench.run(&trainer(&["./train.sh"])).await.unwrap();
    assert_eq!((output.model.as_ref(), &output.metrics["auc"]), (&b"model"[..], &serde_json::json!(0.9)));
    for line in ["out", "err", "{}", &bench.project().canonicalize().unwrap().display().to_string()] {
        assert!(output.log.contains(line), "{line} is not in {}", output.log);
    }
    let environment = fs::read_to_string(bench.project().join("environment")).unwrap();
    let allowed = ["PATH", "HOME", "LANG", "SEAWALL_JOB", "SEAWALL_OUT", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_"];
    for line in environment.lines() {
        assert!(allowed.contains(&line.split('=').next().unwrap()), "{line}");
    }
    assert_eq!(bench.leftovers(), 0);
}

#[tokio::test]
async fn arguments_are_words_and_not_code() {
    let bench = Bench::new("printf '%s|' \"$@\"; exit 1");
    let error = bench.run(&trainer(&["./train.sh", "a b", "$(echo no)", "--", "-c"])).await.unwrap_err();
    assert!(error.to_string().contains("a b|$(echo no)|--|-c|"), "{error}");
}

#[tokio::test]
async fn every_failure_has_its_own_error() {
    let end = fails("echo the reason >&2; exit 3", "SW1021").await;
    assert!(end.contains("exit status: 3") && end.contains("the reason"), "{end}");
    let end = fails("kill -SEGV $$", "SW1021").await;
    assert!(end.contains("signal: 11") && end.contains("printed nothing"), "{end}");
    fails("echo hello", "SW1024").await;
    fails("mkdir \"$SEAWALL_OUT/model.onnx\"; echo '{}' > \"$SEAWALL_OUT/metrics.json\"", "SW1025").await;
    fails("mkfifo \"$SEAWALL_OUT/model.onnx\"; echo '{}' > \"$SEAWALL_OUT/metrics.json\"", "SW1025").await;
    fails("ln -s /etc/passwd \"$SEAWALL_OUT/model.onnx\"; echo '{}' > \"$SEAWALL_OUT/metrics.json\"", "SW1025").await;
    let large = "truncate -s 200M \"$SEAWALL_OUT/model.onnx\"; echo '{}' > \"$SEAWALL_OUT/metrics.json\"";
    assert!(fails(large, "SW1025").await.contains("are the most"));
    fails("echo x > \"$SEAWALL_OUT/model.onnx\"", "SW1026").await;
    fails("cd \"$SEAWALL_OUT\"; echo x > model.onnx; echo '[1]' > metrics.json", "SW1026").await;
    fails("cd \"$SEAWALL_OUT\"; echo x > model.onnx; echo '{\"a\": NaN}' > metrics.json", "SW1026").await;
}

#[tokio::test]
async fn programs_that_are_not_there_are_named() {
    let bench = Bench::new("exit 0");
    for command in [&["no-such-program"][..], &["./absent.sh"], &["../project"], &[""], &[]] {
        let error = bench.run(&trainer(command)).await.unwrap_err();
        assert_eq!(error.code(), "SW1020", "{command:?}: {error}");
    }
    fs::set_permissions(bench.project().join("train.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(bench.run(&trainer(&["./train.sh"])).await.unwrap_err().code(), "SW1020");
}

#[tokio::test]
async fn memory_has_a_limit() {
    let bench = Bench::new("head -c 500000000 /dev/zero | tail -n 1 > /dev/null");
    let trainer = CommandTrainer { memory_bytes_max: 100 << 20, ..trainer(&["./train.sh"]) };
    let error = bench.run(&trainer).await.unwrap_err();
    assert_eq!(error.code(), "SW1023", "{error}");
    assert!(error.to_string().contains("100 MiB"), "{error}");
}

#[tokio::test]
async fn only_the_end_of_the_log_is_kept() {
    let bench = Bench::new("i=0; while [ $i -lt 20000 ]; do echo \"line $i\"; i=$((i+1)); done; exit 1");
    let error = bench.run(&trainer(&["./train.sh"])).await.unwrap_err().to_string();
    assert!(error.contains("line 19999") && !error.contains("line 100\n") && error.len() < 6_000);
    let bench = Bench::new(
        "head -c 1000000 /dev/zero | tr '\\0' x; cd \"$SEAWALL_OUT\"; echo x > model.onnx; echo '{}' > metrics.json",
    );
    assert_eq!(bench.run(&trainer(&["./train.sh"])).await.unwrap().log.len(), LOG_BYTES_MAX);
}

/// Starts a child, a grandchild, one that ignores signals, and one in a session of its own.
const FAMILY: &str = "sleep 1000 & echo $! >> pids\n\
                      sh -c 'sleep 1001 & echo $! >> pids; wait' &\n\
                      sh -c 'trap \"\" TERM HUP INT; sleep 1002' & echo $! >> pids\n\
                      setsid sleep 1003 & echo $! >> pids\n\
                      sleep 0.3\n";

#[tokio::test]
async fn a_hanging_trainer_dies_with_its_family() {
    let bench = Bench::new(&format!("{FAMILY} echo waiting; wait"));
    let trainer = CommandTrainer { timeout: Span(1_500_000), ..trainer(&["./train.sh"]) };
    let error = bench.run(&trainer).await.unwrap_err();
    assert_eq!(error.code(), "SW1022", "{error}");
    assert!(error.to_string().contains("waiting"), "{error}");
    assert_eq!(bench.survivors(), Vec::<String>::new());
    assert_eq!(bench.leftovers(), 0);
}

#[tokio::test]
async fn a_trainer_that_ended_leaves_nobody_behind() {
    let end = "cd \"$SEAWALL_OUT\"; echo x > model.onnx; echo '{}' > metrics.json";
    let bench = Bench::new(&format!("{FAMILY} {end}"));
    bench.run(&trainer(&["./train.sh"])).await.unwrap();
    assert_eq!(bench.survivors(), Vec::<String>::new());
}

#[tokio::test]
async fn a_trainer_that_nobody_waits_for_is_killed() {
    let bench = Bench::new(&format!("{FAMILY} wait"));
    let trainer = trainer(&["./train.sh"]);
    let waited = tokio::time::timeout(Duration::from_millis(1_500), bench.run(&trainer));
    assert!(waited.await.is_err());
    assert_eq!(bench.survivors(), Vec::<String>::new());
    assert_eq!(bench.leftovers(), 0);
}

#[tokio::test]
async fn a_trainer_that_kills_its_own_group_is_a_failure() {
    let bench = Bench::new(&format!("{FAMILY} kill -KILL 0"));
    let error = bench.run(&trainer(&["./train.sh"])).await.unwrap_err();
    assert_eq!(error.code(), "SW1023", "killed by the system or by itself looks the same: {error}");
    assert_eq!(bench.survivors(), Vec::<String>::new());
}
