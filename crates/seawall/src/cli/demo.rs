//! `demo`: simulated card payments through the whole loop, on a simulated clock, with faults whose truth is known.

mod live;
mod report;
mod story;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use seawall_base::error::Result;
use seawall_base::{DrivenClock, Error, Instant, Span};
use seawall_catalog::policy::{Action, Principal, Role};
use seawall_pipeline::pipeline::Pipeline;
use seawall_pipeline::replay;
use seawall_pipeline::retrainer::Approver;
use seawall_pipeline::source::simulator::{self, Fault, Truth, World};
use seawall_server::auth::Access;
use seawall_server::{Listen, Ports};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::assemble::{Installation, Settings, load, local_principal};
use crate::cli::Global;
use crate::cli::move_rows::{start_driven, streams};
use crate::cli::serve::{Site, Starting, serve_until_told};
use crate::output::{Exit, print_json};
use crate::progress::Bar;
use story::Story;

/// The demo.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall demo
  seawall demo --quick --exit --output json
  seawall demo --data-dir /tmp/demo --seed 3        goes on where it was killed
  seawall demo inject cents                         on the running demo; then `seawall incident list`")]
pub struct Demo {
    #[command(subcommand)]
    command: Option<DemoCommand>,
    /// Fewer days and fewer payments
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
    /// Where the report is written
    #[arg(long, default_value = "report.html", value_name = "FILE")]
    report: PathBuf,
}

#[derive(Debug, Subcommand)]
enum DemoCommand {
    /// Let a fault strike the running demo
    #[command(after_help = "\
Example:
  seawall demo inject cents

cents, nulls, late, duplicates, conflict, enum, skew, stuck, malformed, fraud")]
    Inject {
        /// The fault
        fault: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Faults {
    None,
    All,
}

impl Demo {
    fn options(&self) -> simulator::Options {
        let (days, payments_per_day) = if self.quick { (165, 400) } else { (180, 1_000) };
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
        if let Some(DemoCommand::Inject { fault }) = &self.command {
            return inject(global, fault).await;
        }
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

        let permit = installation.catalog.system_permit(Action::BuildTrainingSet, "demo");
        let pipeline = start_driven(&installation, &clock).await?;
        let streams = streams(&pipeline).await?;
        let bar = Bar::new("demo");
        let on_progress = |progress: &replay::Progress| bar.replayed(progress);
        let driven = replay::Options { approvers: approvers(), ..replay::Options::default() };
        let facts = replay::replay(&pipeline, &permit, &clock, &streams, driven, &on_progress).await?;
        bar.done();
        drop(streams);

        let story = Story::new(self.seed, &facts, &truth, &installation).await?;
        if global.json() {
            print_json(&story)?;
        } else {
            println!("{}", story.text(&facts));
        }
        report::write(&self.report, &story, &truth, &installation).await?;
        eprintln!("the report for others to read: {}", self.report.display());
        let holds = story.holds();
        if self.exit || !holds {
            pipeline.stop().await?;
        } else {
            self.keep_serving(&installation, pipeline, clock, home, options).await?;
        }
        Ok(if holds { Exit::Ok } else { Exit::Breach })
    }

    async fn keep_serving(
        &self,
        installation: &Installation,
        pipeline: Pipeline,
        clock: Arc<DrivenClock>,
        home: &Path,
        options: simulator::Options,
    ) -> Result<()> {
        let pipeline = Arc::new(pipeline);
        let permit = installation.catalog.system_permit(Action::Ingest, "demo");
        let data = installation.settings.data.clone();
        let living = tokio::spawn(live::live_on(pipeline.clone(), permit, clock, options, data, Vec::new()));
        let tokens = tokens(installation).await?;
        let (access, listen) = (Access::Open(local_principal()), Listen { address: self.listen, tls: None });
        let ports = Ports::open(&access, &listen, None).await?;
        let place = Place { home: home.to_owned() };
        place.write()?;
        let home = home.display().to_string();
        let announce = move |running: &crate::client::Running| {
            let url = &running.url;
            let seawall = format!("seawall -C {home}/project --data-dir {home}/data");
            eprintln!("\nthe demo goes on at {url}, one simulated hour per second; Ctrl-C ends it.");
            eprintln!("Break it, in another terminal:\n  seawall demo inject cents");
            eprintln!("  {seawall} incident list\n  {seawall} incident show INC-1");
            eprintln!("Ask it:\n  {seawall} champion fraud\n  {seawall} model decisions fraud");
            eprintln!("  {seawall} query \"select * from fraud__predictions limit 3\"");
            eprintln!("  SEAWALL_TOKEN={} {seawall} query \"select * from payments limit 3\"", tokens.analyst);
            eprintln!("Approve as two people:\n  SEAWALL_TOKEN={} {seawall} approve DEC-1", tokens.owner);
            eprintln!("  SEAWALL_TOKEN={} {seawall} approve DEC-1", tokens.risk);
        };
        let site = Site { access, ports, encrypted: false };
        let served = serve_until_told(installation, Starting::Done(pipeline), site, announce, |_| vec![living]).await;
        place.remove();
        served
    }
}

async fn inject(global: &Global, fault: &str) -> Result<Exit> {
    let data = match &global.data_dir {
        Some(folder) if folder.join("serve.json").exists() => folder.clone(),
        Some(folder) => folder.join("data"),
        None => Place::find()?.home.join("data"),
    };
    let injected = live::inject(&data, fault).await?;
    if global.json() {
        return print_json(&injected).map(|()| Exit::Ok);
    }
    let until = injected.until.map_or("for good".to_owned(), |until| format!("until {until}"));
    println!("{} strikes from {} {until}, simulated", injected.fault, injected.from.unwrap_or_default());
    Ok(Exit::Ok)
}

/// Where the demo of this user runs, so that other commands find it.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    home: PathBuf,
}

impl Place {
    fn file() -> PathBuf {
        let user = local_principal().name;
        std::env::temp_dir().join(format!("seawall-demo-of-{user}.json"))
    }

    fn write(&self) -> Result<()> {
        Ok(std::fs::write(Place::file(), json!(self).to_string())?)
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(Place::file());
    }

    fn find() -> Result<Place> {
        let missing = || {
            Error::not_found("SW0913", "no demo runs for this user")
                .hint("start `seawall demo`, or name its folder with --data-dir")
        };
        let text = std::fs::read_to_string(Place::file()).map_err(|_| missing())?;
        serde_json::from_str(&text).map_err(|error| missing().because(error))
    }
}

/// The two people who approve in the demo, where nobody sits at a keyboard.
fn approvers() -> Vec<Approver> {
    let person = |name: &str, role: Role, groups: &[&str], reason: &str| Approver {
        principal: Principal {
            name: name.to_owned(),
            role,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        },
        reason: reason.to_owned(),
    };
    vec![
        person("olivia (simulated)", Role::Owner, &[], "better on the same decisions, nothing declared is worse"),
        person("ravi (simulated)", Role::Engineer, &["risk"], "the reason on record is one that risk accepts"),
    ]
}

struct Tokens {
    owner: String,
    risk: String,
    analyst: String,
}

/// Tokens of people who look at the demo.
async fn tokens(installation: &Installation) -> Result<Tokens> {
    let permit = installation.permit(Action::ManageTokens, "demo").await?;
    let make = async |name: &str, role: Role, groups: &[&str]| {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        Ok::<_, Error>(installation.catalog.create_token(&permit, name, role, &groups, None).await?.secret)
    };
    Ok(Tokens {
        owner: make("olivia", Role::Owner, &[]).await?,
        risk: make("ravi", Role::Engineer, &["risk"]).await?,
        analyst: make("ana", Role::Analyst, &["electronics"]).await?,
    })
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
    Ok(Settings { project, data, tables: None, set: BTreeMap::new() })
}

async fn truth(options: &simulator::Options) -> Result<Truth> {
    let options = options.clone();
    let make = move || World::new(options).map(|world| world.truth());
    tokio::task::spawn_blocking(make).await.map_err(|e| Error::internal("SW0906", "the simulator failed").because(e))?
}

fn day(at: Instant) -> String {
    at.to_string().chars().take(10).collect()
}

fn minute(at: Instant) -> String {
    at.to_string().chars().take(16).collect()
}
