//! The run: which harnesses, how often, and the scorecard of what they found.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::bench::{Bench, Trials};
use super::event::Project;
use super::harness::{HARNESSES, Harness};
use super::options::{Options, Output};
use super::scorecard::{Row, Sabotage, Scorecard};
use super::{document, sabotage, text};

/// Version of the scorecard's format.
const VERSION: u32 = 1;

/// What `--only` calls the hunt for planted bugs.
const SABOTAGE: &str = "sabotage";

/// Runs what `options` ask for and prints the scorecard.
pub fn run(root: &Path, options: &Options) -> Result<ExitCode> {
    if options.list {
        print!("{}", text::list(HARNESSES));
        return Ok(ExitCode::SUCCESS);
    }
    if options.document {
        document::write(root)?;
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = chosen(&options.only)?;
    let work = options.work.clone().unwrap_or_else(|| target(root).join("torture"));
    fs::create_dir_all(&work).with_context(|| format!("creating {}", work.display()))?;
    // Absolute, because the processes under test work elsewhere.
    let work = work.canonicalize().with_context(|| format!("finding {}", work.display()))?;
    let (binary, simulation) = (binary(root, options)?, simulation(root, options)?);
    let bench = Bench { binary, simulation, work, seed: options.seed, sabotage: None, part: None };
    for project in [Project::Plain, Project::Personal] {
        let _ = fs::remove_dir_all(bench.work.join(project.template()));
    }
    let form = if options.long { "long" } else { "short" };
    let mut card = Scorecard {
        version: VERSION,
        form: form.to_owned(),
        date: today(),
        commits: Vec::new(),
        machine: machine(),
        lost: 0,
        duplicated: 0,
        silent: 0,
        acknowledged: 0,
        rows: Vec::new(),
        sabotage: Sabotage::default(),
    };
    let commit = commit(root, options);
    for harness in chosen {
        let row = run_one(harness, &bench, &commit, options)?;
        let unseen = row.commits.iter().filter(|commit| !card.commits.contains(commit));
        let unseen: Vec<String> = unseen.cloned().collect();
        card.commits.extend(unseen);
        card.rows.push(row);
    }
    if options.only.is_empty() || options.only.iter().any(|name| name == SABOTAGE) {
        card.sabotage = kept_or_hunted(root, &bench, options)?;
    }
    card.sum();
    report(&card, options)?;
    Ok(if card.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(only: &[String]) -> Result<Vec<&'static Harness>> {
    if only.is_empty() {
        return Ok(HARNESSES.iter().collect());
    }
    let only: Vec<&String> = only.iter().filter(|name| *name != SABOTAGE).collect();
    let find = |name: &String| HARNESSES.iter().find(|harness| harness.name == name);
    only.into_iter()
        .map(|name| find(name).with_context(|| format!("no harness is called {name:?}; see --list")))
        .collect()
}

/// What the hunt found; in the long form it is kept, and shown again where no time is left for another one.
fn kept_or_hunted(root: &Path, bench: &Bench, options: &Options) -> Result<Sabotage> {
    let kept = bench.work.join("long-sabotage.json");
    if options.long && options.budget == Some(0) && kept.exists() {
        let text = fs::read_to_string(&kept).with_context(|| format!("reading {}", kept.display()))?;
        return serde_json::from_str(&text).with_context(|| format!("reading {}", kept.display()));
    }
    let sabotage = sabotaged(root, bench, options)?;
    if options.long {
        let text = serde_json::to_string_pretty(&sabotage).expect("a hunt has only string keys");
        fs::write(&kept, text).with_context(|| format!("writing {}", kept.display()))?;
    }
    Ok(sabotage)
}

/// Hunts the planted bugs, with the binary given or one that is built for it.
fn sabotaged(root: &Path, bench: &Bench, options: &Options) -> Result<Sabotage> {
    let binary = match (&options.sabotage_binary, &options.binary) {
        (Some(binary), _) => binary.canonicalize().with_context(|| format!("finding {}", binary.display()))?,
        (None, Some(_)) => {
            let skipped = Some("needs --sabotage-binary beside --binary".to_owned());
            return Ok(Sabotage { skipped, ..Sabotage::default() });
        }
        (None, None) => build_sabotaged(root)?,
    };
    sabotage::run(bench, &binary)
}

/// Builds a binary with the bugs beside the one without, which is made anew afterwards: cargo gives both one name.
fn build_sabotaged(root: &Path) -> Result<PathBuf> {
    build(root, &["--features", "seawall/sabotage"])?;
    let folder = target(root).join("debug");
    let binary = folder.join("seawall-sabotage");
    fs::copy(folder.join("seawall"), &binary).with_context(|| format!("copying to {}", binary.display()))?;
    build(root, &[])?;
    Ok(binary)
}

/// Runs one harness, continuing its kept results in the long form.
fn run_one(harness: &Harness, bench: &Bench, commit: &str, options: &Options) -> Result<Row> {
    let kept = bench.work.join(format!("long-{}.json", harness.name));
    let mut row = harness.row(options.seed);
    if options.long && !options.fresh && kept.exists() {
        row = kept_row(&kept, row, commit, options)?;
    }
    if let Some(missing) = harness.needs.iter().find_map(|need| need.missing()) {
        eprintln!("SKIPPED {}: {missing}", harness.name);
        row.skipped = Some(missing);
        return Ok(row);
    }
    let goal = options.trials.unwrap_or(if options.long { harness.long } else { harness.short });
    eprintln!("{}: {} trials", harness.name, goal.saturating_sub(row.trials));
    let mut trials = Trials::new(&mut row, goal, options.budget.map(Duration::from_secs), false);
    trials.kept = options.long.then(|| kept.clone());
    if trials.wanted() && trials.row.commits.last().is_none_or(|last| last != commit) {
        trials.row.commits.push(commit.to_owned());
    }
    let outcome = match trials.wanted() {
        true => (harness.run)(bench, &mut trials).with_context(|| format!("harness {}", harness.name)),
        false => Ok(()),
    };
    if options.long {
        let text = serde_json::to_string_pretty(&row).expect("a row has only string keys");
        fs::write(&kept, text).with_context(|| format!("writing {}", kept.display()))?;
    }
    outcome?;
    eprintln!("{}: {} of {} trials failed, {} s", harness.name, row.failed, row.trials, row.seconds);
    Ok(row)
}

/// The kept results; `fresh` when they are of another commit, and more are wanted: trials count for one binary only.
fn kept_row(kept: &Path, fresh: Row, commit: &str, options: &Options) -> Result<Row> {
    let text = fs::read_to_string(kept).with_context(|| format!("reading {}", kept.display()))?;
    let row: Row = serde_json::from_str(&text).with_context(|| format!("reading {}", kept.display()))?;
    let same = row.commits.iter().all(|of| of == commit);
    if same || options.budget == Some(0) {
        return Ok(row);
    }
    eprintln!("{}: {} kept trials of {} do not count for {commit}", row.name, row.trials, row.commits.join(", "));
    Ok(fresh)
}

/// The binary under test: the one given, or the one that cargo builds in the profile of the tests.
fn binary(root: &Path, options: &Options) -> Result<PathBuf> {
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => {
            build(root, &[])?;
            target(root).join("debug/seawall")
        }
    };
    binary.canonicalize().with_context(|| format!("finding the binary {}", binary.display()))
}

/// The simulation beside this program, built unless the binary under test was given.
fn simulation(root: &Path, options: &Options) -> Result<Option<PathBuf>> {
    if options.binary.is_none() {
        // By itself it would be built with other features, and with it everything that it stands on.
        build(root, &["--workspace"])?;
    }
    let program = target(root).join("debug/seawall-sim");
    Ok(program.exists().then_some(program))
}

/// Builds the workspace's default members, so that their dependencies are those of the tests.
fn build(root: &Path, arguments: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).arg("build").args(arguments);
    // What `cargo run` tells this program of itself; build scripts that look at it would make their crates anew.
    for (name, _) in std::env::vars_os() {
        let told =
            name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if told {
            command.env_remove(&name);
        }
    }
    if !command.status().context("running cargo")?.success() {
        bail!("the binary does not build");
    }
    Ok(())
}

/// Where cargo builds: this program lies in `TARGET/PROFILE`.
fn target(root: &Path) -> PathBuf {
    let own = std::env::current_exe().ok();
    let target = own.as_deref().and_then(Path::parent).and_then(Path::parent).map(Path::to_owned);
    target.unwrap_or_else(|| root.join("target"))
}

fn report(card: &Scorecard, options: &Options) -> Result<()> {
    let json = serde_json::to_string_pretty(card).expect("a scorecard has only string keys");
    if let Some(path) = &options.write {
        fs::write(path, format!("{json}\n")).with_context(|| format!("writing {}", path.display()))?;
    }
    match options.output {
        Output::Json => println!("{json}"),
        Output::Text => print!("{}", text::scorecard(card)),
    }
    Ok(())
}

fn today() -> String {
    let now = i64::try_from(super::clock::now_s()).unwrap_or(0);
    jiff::Timestamp::from_second(now).map_or_else(|_| String::new(), |now| now.to_string()[..10].to_owned())
}

/// The commit that the binary under test was built from: the one that was told with a binary, or the short name of the
/// checked-out one, marked when the tree differs from it.
fn commit(root: &Path, options: &Options) -> String {
    match (&options.commit, &options.binary) {
        (Some(commit), _) => commit.clone(),
        (None, Some(_)) => "unknown".to_owned(),
        (None, None) => checked_out(root),
    }
}

fn checked_out(root: &Path) -> String {
    let output = Command::new("git").current_dir(root).args(["describe", "--always", "--dirty"]).output();
    let said = output.ok().filter(|output| output.status.success());
    said.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What class of machine this is.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    let gigabytes = kilobytes.map_or(0, |kilobytes: u64| kilobytes.div_ceil(1 << 20));
    format!("{cores} cores, {gigabytes} GiB, {}", std::env::consts::OS)
}
