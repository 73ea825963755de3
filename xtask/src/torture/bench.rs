//! What every harness works with: the binary, a folder for data, fresh installations, and the count of its trials.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::book::Findings;
use super::clock::Stopwatch;
use super::event::{self, Project};
use super::scorecard::Row;
use super::server::Launch;

/// Where harnesses work, and on what.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The binary under test.
    pub binary: PathBuf,
    /// The simulation, when it is built.
    pub simulation: Option<PathBuf>,
    /// Folder for everything that a run makes.
    pub work: PathBuf,
    /// First seed.
    pub seed: u64,
    /// A bug that the binary is to have, when it was built with them.
    pub sabotage: Option<&'static str>,
    /// The part of a harness that is to run, where it has parts; all of them otherwise.
    pub part: Option<&'static str>,
}

/// A data folder of its own, removed when dropped unless it was kept.
#[derive(Debug)]
pub struct Installation {
    /// How to run the binary on it.
    pub launch: Launch,
    folder: PathBuf,
    kept: bool,
}

impl Bench {
    /// An installation in which the project is applied and nothing was ingested.
    pub fn installation(&self, name: &str) -> Result<Installation> {
        self.installation_of(Project::Plain, name)
    }

    /// Like [`Bench::installation`], of this project.
    pub fn installation_of(&self, project: Project, name: &str) -> Result<Installation> {
        let template = self.template(project)?;
        let folder = self.work.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        copy(&template.join("data"), &folder.join("data"))?;
        Ok(Installation { launch: self.launch(&template, &folder), folder, kept: false })
    }

    /// How to run the binary on `FOLDER/data`, with the project in `TEMPLATE/project`.
    pub fn launch(&self, template: &Path, folder: &Path) -> Launch {
        let bug = self.sabotage.map(|bug| ("SEAWALL_SABOTAGE".to_owned(), bug.to_owned()));
        Launch {
            binary: self.binary.clone(),
            project: template.join("project"),
            data: folder.join("data"),
            log: folder.join("server.log"),
            wrap: Vec::new(),
            environment: bug.into_iter().collect(),
            serve: Vec::new(),
        }
    }

    /// The folder with the applied project, made when it is missing.
    fn template(&self, project: Project) -> Result<PathBuf> {
        let template = self.work.join(project.template());
        let whole = template.join("whole");
        if whole.exists() {
            return Ok(template);
        }
        fs::create_dir_all(&template).with_context(|| format!("creating {}", template.display()))?;
        event::write_project(&template.join("project"), project)?;
        let (code, _, said) = self.launch(&template, &template).run(&["apply"])?;
        if code != 0 {
            bail!("applying the project failed: {said}");
        }
        fs::write(&whole, "").context("marking the template as whole")?;
        Ok(template)
    }
}

impl Installation {
    /// The folder around the data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Leaves the folder for whoever looks into a finding.
    pub fn keep(&mut self) {
        self.kept = true;
        eprintln!("kept for inspection: {}", self.folder.display());
    }
}

impl Installation {
    /// Leaves the folder for later trials.
    pub fn keep_silently(&mut self) {
        self.kept = true;
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Copies a folder with all it holds; holes stay holes.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("cp");
    command.args(["-a", "--sparse=always"]).arg(from).arg(to);
    execute(&mut command)
}

/// Runs a tool that must succeed.
pub fn execute(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Counts the trials of a harness and says when there were enough.
pub struct Trials<'a> {
    /// What was found so far.
    pub row: &'a mut Row,
    /// Trials that are wanted.
    pub goal: u64,
    /// End early after this long.
    pub budget: Option<Duration>,
    /// End with the first finding: a sabotaged binary needs no more.
    pub until_found: bool,
    /// Where the row is kept after each trial, so that a run that is cut off loses nothing.
    pub kept: Option<PathBuf>,
    watch: Stopwatch,
    seconds_before: u64,
}

impl<'a> Trials<'a> {
    /// Continues `row` up to `goal`.
    pub fn new(row: &'a mut Row, goal: u64, budget: Option<Duration>, until_found: bool) -> Trials<'a> {
        let seconds_before = row.seconds;
        Trials { row, goal, budget, until_found, kept: None, watch: Stopwatch::start(), seconds_before }
    }

    /// Whether another trial is wanted.
    pub fn wanted(&self) -> bool {
        let in_time = self.budget.is_none_or(|budget| self.watch.elapsed() < budget);
        let found = self.until_found && self.row.failed > 0;
        self.row.trials < self.goal && in_time && !found
    }

    /// Whether the next trial is the last one that is wanted.
    pub fn is_last(&self) -> bool {
        self.row.trials + 1 >= self.goal || self.budget.is_some_and(|budget| self.watch.elapsed() >= budget)
    }

    /// Counts a trial.
    pub fn done(&mut self, findings: &Findings) {
        self.row.trials += 1;
        self.row.note(findings);
        self.row.seconds = self.seconds_before + self.watch.elapsed().as_secs();
        if let Some(kept) = &self.kept {
            let text = serde_json::to_string_pretty(self.row).expect("a row has only string keys");
            if let Err(error) = fs::write(kept, text) {
                eprintln!("the results are not kept in {}: {error}", kept.display());
            }
        }
        for example in findings.examples.iter().filter(|_| !self.until_found) {
            eprintln!("{}, trial {}: {example}", self.row.name, self.row.trials);
        }
    }
}
