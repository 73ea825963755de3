//! `training-set`: build and list.

use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use seawall_base::error::Result;
use seawall_base::{Clock, Error, Instant, Permit, SystemClock, TableName, TableVersion};
use seawall_catalog::policy::Action;
use seawall_pipeline::pipeline::{Options, Pipeline};
use seawall_pipeline::training::{BuiltTrainingSet, ColumnChange, ColumnState, Difference};
use serde_json::json;

use crate::cli::Global;
use crate::output::{Exit, count, print_json};
use crate::progress::Bar;

/// How often the progress of a build is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// Training sets.
#[derive(Debug, Subcommand)]
pub enum TrainingSet {
    /// Build a training set as the next version of its table, with its fingerprint
    #[command(after_help = "\
Example:
  seawall training-set build fraud --at 2026-04-01T00:00:00Z

--at decides which labels are known and final; the present when absent.")]
    Build {
        /// The training set
        name: String,
        /// Labels available before this instant are used, RFC 3339
        #[arg(long)]
        at: Option<Instant>,
    },
    /// Every build with its fingerprint
    #[command(after_help = "Example:\n  seawall training-set list fraud")]
    List {
        /// The training set
        name: String,
    },
    /// What changed between two builds: what they were made of, which rows, which values
    #[command(after_help = "\
Example:
  seawall training-set diff fraud 3 4 --exit-code

Rows are matched by their key, values compared to the bit. With --exit-code: 3 when the builds differ.")]
    Diff {
        /// The training set
        name: String,
        /// Table version of the one build
        from: u64,
        /// Table version of the other
        until: u64,
        /// End with 3 when there is a difference
        #[arg(long)]
        exit_code: bool,
    },
}

impl TrainingSet {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        match self {
            TrainingSet::Build { name, at } => build(global, name, *at).await,
            TrainingSet::List { name } => list(global, name).await,
            TrainingSet::Diff { name, from, until, exit_code } => {
                let difference = difference(global, name, *from, *until).await?;
                if global.json() {
                    print_json(&difference)?;
                } else {
                    print_difference(&difference);
                }
                Ok(if *exit_code && !difference.equal { Exit::Changes } else { Exit::Ok })
            }
        }
    }
}

async fn build(global: &Global, name: &str, at: Option<Instant>) -> Result<Exit> {
    let settings = global.settings();
    if let (Some(running), None) = (crate::client::Running::find(&settings.data), at) {
        let built = running.post(&format!("/v1/training-sets/{name}/build"), "application/json", b"")?;
        return print_json(&built).map(|()| Exit::Ok);
    }
    let installation = global.open().await?;
    let permit = installation.permit(Action::BuildTrainingSet, name).await?;
    let pipeline = installation.start(Arc::new(SystemClock), Options::default()).await?;
    let built = build_watched(&pipeline, &permit, name, at.unwrap_or(SystemClock.now())).await?;
    pipeline.stop().await?;
    if global.json() {
        return print_json(&built).map(|()| Exit::Ok);
    }
    let fingerprint = &built.fingerprint;
    println!(
        "{} version {}: {} rows, {} labelled",
        built.table,
        built.version.0,
        count(fingerprint.rows),
        count(fingerprint.labelled)
    );
    if let Some(stopped) = &built.stopped {
        println!("{} rows break its contract and are left out: they are in {stopped}", count(fingerprint.stopped));
    }
    for broken in &built.broken {
        let column = broken.column.as_deref().unwrap_or("the rows");
        println!("  {} of {column} ({}): {} rows; {}", broken.rule, broken.mode, count(broken.rows), broken.message);
    }
    println!("content {}", fingerprint.content);
    println!("built in {} ms, of which the engine took {} ms", count(built.elapsed_ms), count(built.engine_ms));
    for input in &fingerprint.inputs {
        println!("  from {} version {} at cut {}", input.table, input.version.0, input.cut);
    }
    Ok(Exit::Ok)
}

/// Builds and shows how far it is: rows of histories, each read once and swept once.
async fn build_watched(pipeline: &Pipeline, permit: &Permit, name: &str, at: Instant) -> Result<BuiltTrainingSet> {
    let (bar, progress) = (Bar::new("building"), Arc::default());
    let mut building = Box::pin(pipeline.build_training_set_watched(permit, name, at, &progress));
    let built = loop {
        tokio::select! {
            built = &mut building => break built,
            () = tokio::time::sleep(SHOWN_EVERY) => bar.built(&progress),
        }
    };
    bar.done();
    built.map(|(built, _)| built)
}

async fn list(global: &Global, name: &str) -> Result<Exit> {
    let installation = global.open().await?;
    let builds = installation.catalog.training_sets(name).await?;
    if global.json() {
        return print_json(&json!({"training_set": name, "builds": builds})).map(|()| Exit::Ok);
    }
    if builds.is_empty() {
        println!("{name} was not built yet: `seawall training-set build {name}`");
    }
    for build in builds {
        let fingerprint = &build.fingerprint;
        println!(
            "version {}  built as of {}  {} rows  {} labelled{}  content {}",
            build.table_version.0,
            fingerprint.built_at,
            count(fingerprint.rows),
            count(fingerprint.labelled),
            match fingerprint.stopped {
                0 => String::new(),
                rows => format!("  {} stopped by its contract", count(rows)),
            },
            fingerprint.content.short()
        );
    }
    Ok(Exit::Ok)
}

async fn difference(global: &Global, name: &str, from: u64, until: u64) -> Result<Difference> {
    if let Some(running) = crate::client::Running::find(&global.settings().data) {
        let told = running.get(&format!("/v1/training-sets/{name}/diff?from={from}&until={until}"))?;
        return serde_json::from_value(told)
            .map_err(|e| Error::internal("SW0893", "the server's answer cannot be read").because(e));
    }
    let installation = global.open().await?;
    let table = TableName::training_set(name)?.to_string();
    let permit = installation.permit(Action::ReadRows, &table).await?;
    let pipeline = installation.start(Arc::new(SystemClock), Options::default()).await?;
    let difference = pipeline.diff_training_set(&permit, name, TableVersion(from), TableVersion(until)).await;
    pipeline.stop().await?;
    difference
}

fn print_difference(difference: &Difference) {
    let Difference { training_set, from, until, .. } = difference;
    let verdict = if difference.equal { "the same rows and values" } else { "they differ" };
    println!("{training_set} version {} and version {}: {verdict}", from.0, until.0);
    for part in &difference.made_of {
        let told = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        println!("  {}: {} -> {}", part.what, told(&part.from), told(&part.until));
    }
    let rows = &difference.rows;
    println!(
        "  rows: {} -> {}; {} gone, {} new, {} changed",
        count(rows.from),
        count(rows.until),
        count(rows.gone),
        count(rows.new),
        count(rows.changed)
    );
    for column in &difference.columns {
        println!("  {}: {}", column.column, change_text(column));
    }
}

fn change_text(change: &ColumnChange) -> String {
    match change.state {
        ColumnState::New => "only in the later build".to_owned(),
        ColumnState::Gone => "only in the earlier build".to_owned(),
        ColumnState::OtherType => "of another type, so its values are not compared".to_owned(),
        ColumnState::Changed => {
            let nulls = format!("{} were null, {} became null", count(change.filled), count(change.emptied));
            let null = || "null".to_owned();
            let example = change.example.as_ref().map_or_else(String::new, |example| {
                let (from, until) = (example.from.clone(), example.until.clone());
                format!("; {}: {} -> {}", example.key, from.unwrap_or_else(null), until.unwrap_or_else(null))
            });
            format!("{} values differ, {nulls}{example}", count(change.rows))
        }
    }
}
