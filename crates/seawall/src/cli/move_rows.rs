//! `run` and `replay`: sources move.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use seawall_base::declare::{Connector, Simulator};
use seawall_base::error::Result;
use seawall_base::{DrivenClock, Error, Instant, Permit, SystemClock};
use seawall_catalog::policy::Action;
use seawall_pipeline::pipeline::Options;
use seawall_pipeline::replay::{self, Facts, Stream};
use seawall_pipeline::source::simulator::{self, World};
use seawall_pipeline::{Pipeline, table_writer};
use serde_json::json;

use crate::assemble::Installation;
use crate::cli::check::load_or_print;
use crate::cli::{Global, derived};
use crate::output::{Exit, count, print_json};
use crate::progress::Bar;

/// Online checkpoints in driven time are made by the replay itself, between slices.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// One pass over batch sources, then over transforms until nothing is new.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  seawall -C shop run\n\nExits with 1 when a transform failed.")]
pub struct Run {
    /// Only this source
    #[arg(long)]
    source: Option<String>,
}

/// Driven time.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  seawall -C examples/flights --data-dir /tmp/flights replay --set data=DIR --output json

Applies the declarations first when nothing was applied to the data folder yet. A replay that was killed goes on where
its log ends.")]
pub struct Replay {
    /// Rows and decisions per slice of simulated time; changes no value
    #[arg(long, default_value_t = 4096)]
    slice_rows: usize,
}

impl Run {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let active = installation.active().await?;
        let permit = installation.permit(Action::Ingest, "run").await?;
        let pipeline = installation.start(Arc::new(SystemClock), Options::default()).await?;
        let bar = Bar::new("run");
        let mut loaded = BTreeMap::new();
        let mut skipped = Vec::new();
        for source in &active.project.sources {
            if self.source.as_ref().is_some_and(|only| *only != source.name) {
                continue;
            }
            match source.connector {
                Connector::Files(_) => {
                    let on_progress = |source: &str, rows: u64| bar.loaded(source, rows);
                    loaded.insert(source.name.clone(), pipeline.load_files(&permit, &source.name, &on_progress).await?);
                }
                Connector::Http => {
                    skipped.push((source.name.clone(), "is pushed to: `seawall serve` takes its events"))
                }
                Connector::Simulator(_) => {
                    skipped.push((source.name.clone(), "is simulated: `seawall replay` drives it"))
                }
            }
        }
        bar.done();
        pipeline.derive_all().await?;
        let transforms = pipeline.transforms().await?;
        pipeline.stop().await?;
        let exit = if derived::has_failed(&transforms) { Exit::Breach } else { Exit::Ok };
        if global.json() {
            print_json(&json!({"sources": loaded, "skipped": skipped, "transforms": transforms}))?;
            return Ok(exit);
        }
        for (source, loaded) in &loaded {
            println!(
                "{source}: {} new files, {} known; {} rows received, {} accepted, {} quarantined, {} deduplicated, {} rejected",
                loaded.files,
                loaded.files_known,
                count(loaded.counts.received),
                count(loaded.counts.accepted),
                count(loaded.counts.quarantined),
                count(loaded.counts.deduplicated),
                count(loaded.counts.rejected)
            );
        }
        if loaded.values().any(|loaded| loaded.counts.quarantined + loaded.counts.rejected > 0) {
            println!("`seawall status` shows the rules that rows broke, `seawall quarantine list DATASET` the rows");
        }
        for (source, why) in skipped {
            println!("{source}: skipped, it {why}");
        }
        for line in transforms.iter().flat_map(|transform| derived::lines(&json!(transform))) {
            println!("{line}");
        }
        Ok(exit)
    }
}

impl Replay {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        if installation.catalog.active_revision().await?.is_none() {
            let loaded = match load_or_print(global)? {
                Ok(loaded) => loaded,
                Err(exit) => return Ok(exit),
            };
            installation.apply(&loaded).await?;
        }
        let permit = installation.permit(Action::BuildTrainingSet, "replay").await?;
        let clock = Arc::new(DrivenClock::starting_at(Instant::MIN));
        let pipeline = start_driven(&installation, &clock).await?;
        let streams = streams(&pipeline).await?;
        let bar = Bar::new("replay");
        let options = replay::Options { slice_rows: self.slice_rows, ..replay::Options::default() };
        let on_progress = |progress: &replay::Progress| bar.replayed(progress);
        let facts = replay::replay(&pipeline, &permit, &clock, &streams, options, &on_progress).await?;
        bar.done();
        pipeline.stop().await?;
        if global.json() {
            print_json(&facts)?;
        } else {
            print_facts(&facts);
        }
        Ok(if facts.skew.holds() { Exit::Ok } else { Exit::Breach })
    }
}

/// Starts the pipeline on a driven clock.
pub async fn start_driven(installation: &Installation, clock: &Arc<DrivenClock>) -> Result<Pipeline> {
    let tables = table_writer::Options { commit_interval: Duration::from_secs(30), ..table_writer::Options::default() };
    installation
        .start(
            clock.clone(),
            Options { tables, checkpoint_interval: NEVER, upkeep_interval: NEVER, ..Options::default() },
        )
        .await
}

/// The streams of every source that can be driven.
pub async fn streams(pipeline: &Pipeline) -> Result<Vec<Stream>> {
    let revision = pipeline.revision();
    let mut streams = Vec::new();
    for (name, source) in &revision.sources {
        match &source.source.connector {
            Connector::Files(_) => streams.push(Stream::of_files(pipeline, name).await?),
            Connector::Simulator(declared) => streams.push(simulated(pipeline, name, declared).await?),
            Connector::Http => {}
        }
    }
    Ok(streams)
}

async fn simulated(pipeline: &Pipeline, source: &str, declared: &Simulator) -> Result<Stream> {
    let (stream, options) = simulator::Options::of(declared)?;
    let generate = move || -> Result<Vec<_>> {
        let mut world = World::new(options)?;
        let (start, end) = (world.start(), world.end());
        let delivered = world.batch_between(stream, start, end);
        Ok(delivered.into_iter().map(|delivered| (delivered.rows, delivered.arrivals)).collect())
    };
    let delivered = tokio::task::spawn_blocking(generate)
        .await
        .map_err(|e| Error::internal("SW0906", "the simulator failed").because(e))??;
    Stream::of_arrivals(pipeline, source, delivered).await
}

/// The facts of a replay for people.
pub fn print_facts(facts: &Facts) {
    println!("{} to {}, simulated", facts.period.0, facts.period.1);
    for (dataset, c) in &facts.datasets {
        println!(
            "  {dataset}: {} received = {} accepted + {} quarantined + {} deduplicated + {} rejected",
            count(c.received),
            count(c.accepted),
            count(c.quarantined),
            count(c.deduplicated),
            count(c.rejected)
        );
    }
    for (name, set) in &facts.training_sets {
        println!(
            "  training set {name}: {} rows, {} labelled, {} served at their decision time, content {}",
            count(set.rows),
            count(set.labelled),
            count(set.served),
            set.built.fingerprint.content.short()
        );
    }
    let skew = &facts.skew;
    println!(
        "  skew: {} vectors replayed, {} mismatched; {} compared with today's training rows, {} differ",
        count(skew.replayed),
        count(skew.mismatched),
        count(skew.parity_compared),
        count(skew.parity_differing)
    );
    for (cause, vectors) in &skew.parity_causes {
        println!("    {}: {}", cause, count(*vectors));
    }
}

/// Lets a halted dataset go on: through the running server, or by hand.
pub async fn resume(global: &Global, dataset: &str) -> Result<()> {
    let settings = global.settings();
    if let Some(running) = crate::client::Running::find(&settings.data) {
        running.post(&format!("/v1/datasets/{dataset}/resume"), "application/json", b"")?;
        return Ok(());
    }
    let installation = global.open().await?;
    let permit: Permit = installation.permit(Action::ReleaseQuarantine, dataset).await?;
    let pipeline = installation.start(Arc::new(SystemClock), Options::default()).await?;
    pipeline.resume(&permit, dataset).await?;
    pipeline.stop().await
}
