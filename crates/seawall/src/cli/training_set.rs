//! `training-set`: build and list.

use std::sync::Arc;

use clap::Subcommand;
use seawall_base::error::Result;
use seawall_base::{Clock, Instant, SystemClock};
use seawall_catalog::policy::Action;
use seawall_pipeline::pipeline::Options;
use serde_json::json;

use crate::cli::Global;
use crate::output::{Exit, count, print_json};

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
}

impl TrainingSet {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        match self {
            TrainingSet::Build { name, at } => build(global, name, *at).await,
            TrainingSet::List { name } => list(global, name).await,
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
    let (built, _) = pipeline.build_training_set(&permit, name, at.unwrap_or(SystemClock.now())).await?;
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
