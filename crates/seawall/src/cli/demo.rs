//! `demo`: simulated card payments through the whole loop, on a simulated clock, with faults whose truth is known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use seawall_base::error::Result;
use seawall_base::{DrivenClock, Error, Instant, Span};
use seawall_catalog::policy::Action;
use seawall_pipeline::pipeline::Pipeline;
use seawall_pipeline::replay::{self, Facts};
use seawall_pipeline::source::simulator::{self, Fault, Truth, World};
use seawall_pipeline::{Counts, add_counts};
use seawall_server::Listen;
use seawall_server::auth::Access;
use serde::Serialize;
use serde_json::json;

use crate::assemble::{Installation, Settings, load, local_principal};
use crate::cli::Global;
use crate::cli::move_rows::{start_driven, streams};
use crate::cli::serve::serve_until_told;
use crate::output::{Exit, count, print_json};
use crate::progress::Bar;

/// How often the demo's clock follows the machine's once the simulated period is over.
const TICK: Duration = Duration::from_millis(100);

/// The demo.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall demo
  seawall demo --quick --exit --output json
  seawall demo --data-dir /tmp/demo --seed 3        goes on where it was killed")]
pub struct Demo {
    /// 24 days instead of 90
    #[arg(long)]
    quick: bool,
    /// Exit after the story instead of serving
    #[arg(long)]
    exit: bool,
    /// The same seed gives the same facts
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Faults to inject
    #[arg(long, value_enum, default_value = "all")]
    faults: Faults,
    /// Address to serve on afterwards
    #[arg(long, default_value = "127.0.0.1:8321")]
    listen: std::net::SocketAddr,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Faults {
    None,
    All,
}

impl Demo {
    fn options(&self) -> simulator::Options {
        let (days, payments_per_day) = if self.quick { (24, 600) } else { (90, 2_000) };
        simulator::Options {
            seed: self.seed,
            length: Span(days * Span::DAY.0),
            payments_per_day,
            faults: match self.faults {
                Faults::None => Vec::new(),
                Faults::All => Fault::ALL.to_vec(),
            },
            ..simulator::Options::default()
        }
    }

    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let home = Home::new(global.data_dir.as_deref())?;
        let outcome = self.run_in(global, &home.folder).await;
        home.leave()?;
        outcome
    }

    async fn run_in(&self, global: &Global, home: &Path) -> Result<Exit> {
        let options = self.options();
        let settings = write_project(home, &options)?;
        let clock = Arc::new(DrivenClock::starting_at(options.start));
        let installation = Installation::open(&settings, clock.clone()).await?;
        let loaded = load(&settings).map_err(|diagnostics| {
            Error::internal(
                "SW0910",
                format!("the demo's own declarations have problems:\n{}", diagnostics.render(false)),
            )
        })?;
        installation.apply(&loaded).await?;
        let truth = truth(&options).await?;
        std::fs::write(settings.data.join("truth.json"), json!(truth).to_string())?;

        let permit = installation.permit(Action::BuildTrainingSet, "demo").await?;
        let pipeline = start_driven(&installation, &clock).await?;
        let streams = streams(&pipeline).await?;
        let bar = Bar::new("demo");
        let on_progress = |progress: &replay::Progress| bar.replayed(progress);
        let facts =
            replay::replay(&pipeline, &permit, &clock, &streams, replay::Options::default(), &on_progress).await?;
        bar.done();
        drop(streams);

        let story = Story::new(self.seed, &facts, &truth, &installation).await?;
        if global.json() {
            print_json(&story)?;
        } else {
            println!("{}", story.text(&truth, &facts));
        }
        let holds = story.holds();
        if self.exit || !holds {
            pipeline.stop().await?;
        } else {
            self.keep_serving(&installation, pipeline, clock, home).await?;
        }
        Ok(if holds { Exit::Ok } else { Exit::Breach })
    }

    async fn keep_serving(
        &self,
        installation: &Installation,
        pipeline: Pipeline,
        clock: Arc<DrivenClock>,
        home: &Path,
    ) -> Result<()> {
        // From here on simulated time goes as fast as real time.
        let follower = tokio::spawn(async move {
            let mut tick = tokio::time::interval(TICK);
            loop {
                tick.tick().await;
                let now = seawall_base::Clock::now(clock.as_ref());
                clock.advance_to(now + Span(TICK.as_micros() as i64));
            }
        });
        let listen = Listen { address: self.listen, tls: None };
        let home = home.display().to_string();
        let announce = move |url: &str| {
            eprintln!("\nthe demo keeps serving on {url}; Ctrl-C ends it. Try, in another terminal:");
            eprintln!("  seawall -C {home}/project --data-dir {home}/data status");
            eprintln!(
                "  seawall -C {home}/project --data-dir {home}/data query \"select * from payments__quarantine limit 5\""
            );
            eprintln!(
                "  curl -s {url}/v1/features -d '{{\"views\": [\"merchant@1\"], \"rows\": [{{\"merchant_id\": \"mer-00006\"}}]}}'"
            );
        };
        let served =
            serve_until_told(installation, Arc::new(pipeline), Access::Open(local_principal()), listen, announce).await;
        follower.abort();
        served
    }
}

/// Where the demo keeps its project and data: a folder that was named, or a temporary one that is removed at the end.
struct Home {
    folder: PathBuf,
    temporary: bool,
}

impl Home {
    fn new(named: Option<&Path>) -> Result<Home> {
        let temporary = named.is_none();
        let folder = match named {
            Some(folder) => std::path::absolute(folder)?,
            None => std::env::temp_dir().join(format!("seawall-demo-{}", std::process::id())),
        };
        seawall_base::durable::create_dir_all(&folder)?;
        Ok(Home { folder, temporary })
    }

    fn leave(&self) -> Result<()> {
        if self.temporary {
            std::fs::remove_dir_all(&self.folder)?;
        }
        Ok(())
    }
}

/// Writes the demo's project; refuses a folder that holds a demo with other settings.
fn write_project(home: &Path, options: &simulator::Options) -> Result<Settings> {
    let project = home.join("project");
    for (path, content) in simulator::project(options) {
        let target = project.join(path);
        if let Ok(known) = std::fs::read_to_string(&target)
            && known != content
        {
            return Err(Error::invalid("SW0911", format!("{} holds a demo with other settings", home.display()))
                .hint("use the settings of that demo, or another --data-dir"));
        }
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&target, content)?;
    }
    let data = home.join("data");
    seawall_base::durable::create_dir_all(&data)?;
    Ok(Settings { project, data, set: BTreeMap::new() })
}

async fn truth(options: &simulator::Options) -> Result<Truth> {
    let options = options.clone();
    let make = move || World::new(options).map(|world| world.truth());
    tokio::task::spawn_blocking(make).await.map_err(|e| Error::internal("SW0906", "the simulator failed").because(e))?
}

/// What the demo tells: facts on the simulated clock only, so that the same seed gives the same facts.
#[derive(Debug, Serialize)]
struct Story {
    seed: u64,
    period: (String, String),
    ingest: Counts,
    truth: Counts,
    datasets: BTreeMap<String, Counts>,
    quarantined_by_reason: BTreeMap<String, u64>,
    truth_by_reason: BTreeMap<String, u64>,
    training_sets: BTreeMap<String, serde_json::Value>,
    skew: seawall_pipeline::verify::SkewReport,
}

impl Story {
    async fn new(seed: u64, facts: &Facts, truth: &Truth, installation: &Installation) -> Result<Story> {
        let mut ingest = Counts::default();
        for counts in facts.datasets.values() {
            add_counts(&mut ingest, counts);
        }
        let mut expected = Counts::default();
        let mut truth_by_reason = BTreeMap::new();
        for stream in [&truth.payments, &truth.chargebacks] {
            let counts = Counts {
                received: stream.received,
                accepted: stream.accepted,
                quarantined: stream.quarantined_rows(),
                deduplicated: stream.deduplicated,
                rejected: stream.rejected,
            };
            add_counts(&mut expected, &counts);
            for (reason, rows) in &stream.quarantined {
                *truth_by_reason.entry(reason.column().unwrap_or("key_conflict").to_owned()).or_default() += rows;
            }
        }
        let mut quarantined_by_reason = BTreeMap::new();
        for rule in installation.catalog.quality().await?.iter().filter(|rule| rule.mode == "quarantine") {
            let reason = match rule.rule.as_str() {
                "key_conflict" => "key_conflict".to_owned(),
                _ => rule.column.clone().unwrap_or_else(|| rule.rule.clone()),
            };
            *quarantined_by_reason.entry(reason).or_default() += rule.failed;
        }
        let training_sets = facts.training_sets.iter().map(|(name, set)| {
            let content = set.built.fingerprint.content;
            (
                name.clone(),
                json!({"rows": set.rows, "labelled": set.labelled, "served": set.served, "content": content}),
            )
        });
        Ok(Story {
            seed,
            period: (facts.period.0.to_string(), facts.period.1.to_string()),
            ingest,
            truth: expected,
            datasets: facts.datasets.clone(),
            quarantined_by_reason,
            truth_by_reason,
            training_sets: training_sets.collect(),
            skew: facts.skew.clone(),
        })
    }

    fn holds(&self) -> bool {
        self.ingest.balanced() && self.ingest == self.truth && self.skew.holds()
    }

    fn text(&self, truth: &Truth, facts: &Facts) -> String {
        let mut lines = Vec::new();
        let mut say = |line: String| lines.push(line);
        say(format!(
            "Seawall demo: simulated card payments, {} to {}, seed {}",
            day(facts.period.0),
            day(facts.period.1),
            self.seed
        ));
        say(String::new());
        say("What came in".into());
        let i = &self.ingest;
        say(format!("  {} rows received. Every one is accounted for:", count(i.received)));
        say(format!(
            "  {} accepted + {} quarantined + {} deduplicated + {} rejected",
            count(i.accepted),
            count(i.quarantined),
            count(i.deduplicated),
            count(i.rejected)
        ));
        say(match self.ingest == self.truth {
            true => "  exactly what the simulator knows it sent, kind by kind".into(),
            false => format!("  BUT the simulator sent {:?}", self.truth),
        });
        say(String::new());
        say("What was stopped at the door, and why".into());
        for (reason, rows) in &self.quarantined_by_reason {
            let known = self.truth_by_reason.get(reason).copied().unwrap_or(0);
            say(format!("  {:>8}  {:<16} (the simulator broke {})", count(*rows), reason, count(known)));
        }
        say(format!("  {:>8}  rejected as whole batches and reported to the producer", count(i.rejected)));
        say(format!("  {:>8}  repeats recognised by key and content", count(i.deduplicated)));
        if !truth.faults.is_empty() {
            say(String::new());
            say("What went wrong upstream (the simulator's own record; no rule reads it)".into());
        }
        for fault in &truth.faults {
            say(format!(
                "  {} to {}  {:>6} rows  {}",
                minute(fault.start),
                minute(fault.end),
                count(fault.rows),
                fault.cause
            ));
        }
        say(String::new());
        say("What can be learned from it".into());
        for (name, set) in &facts.training_sets {
            say(format!(
                "  training set {name}: {} decisions, each served at its own moment with what was known then",
                count(set.served)
            ));
            say(format!(
                "  {} of {} rows have a final label by {}; the others are still open, and nothing trains on them",
                count(set.labelled),
                count(set.rows),
                day(facts.period.1)
            ));
            say(format!(
                "  content {} at revision {}",
                set.built.fingerprint.content.short(),
                &set.built.fingerprint.revision[..12]
            ));
        }
        say(String::new());
        say("Did training and serving agree?".into());
        let s = &self.skew;
        say(format!(
            "  replay: {} served vectors refolded from the tables, {} differ in any bit",
            count(s.replayed),
            count(s.mismatched)
        ));
        say(format!(
            "  parity: {} compared with the rows a training set built today holds, {} differ",
            count(s.parity_compared),
            count(s.parity_differing)
        ));
        for (cause, vectors) in &s.parity_causes {
            say(format!("    {}: {}", cause, count(*vectors)));
        }
        say("  the certificate is signed and kept: `seawall verify skew fraud --certificate FILE` writes one".into());
        lines.join("\n")
    }
}

fn day(at: Instant) -> String {
    at.to_string().chars().take(10).collect()
}

fn minute(at: Instant) -> String {
    at.to_string().chars().take(16).collect()
}
