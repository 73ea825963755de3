//! `serve`: every role in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use seawall_base::error::Result;
use seawall_base::{Engine, Error, ErrorKind, Span, SystemClock};
use seawall_lake::query::{DataFusionEngine, EngineOptions};
use seawall_lake::table::MemoryStore;
use seawall_pipeline::Pipeline;
use seawall_pipeline::erasure::ERASURE;
use seawall_pipeline::pipeline::{Options, WithoutTables};
use seawall_server::auth::Access;
use seawall_server::http::ContractJobs;
use seawall_server::{Front, Listen, Ports, Tls, early};
use seawall_storage::log;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::assemble::{Installation, declared, local_principal};
use crate::cli::Global;
use crate::client::Running;
use crate::output::Exit;

/// How often a server looks for incidents and asks the retraining policies.
const CONTROL_INTERVAL: Duration = Duration::from_secs(10);
/// How often a server looks whether the inputs of transforms have new rows.
const DERIVE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a start waits for features before it listens without them.
const FEATURES_PATIENCE: Duration = Duration::from_secs(1);
/// How long an end in order waits for requests that take their rows in without a client.
const TAKING_PATIENCE: Duration = Duration::from_secs(10);
/// Memory for rules about whole tables that requests ask.
const RULES_MEMORY_BYTES: usize = 256 << 20;
/// How often the server looks for a newly applied revision.
const REVISION_INTERVAL: Duration = Duration::from_secs(1);

/// Serve.
#[derive(Debug, Args)]
#[command(after_help = "\
Endpoints:
  POST /v1/datasets/NAME/events       NDJSON, a JSON array or an Arrow stream; gzip, zstd; answered when durable
  POST /v1/features                   {\"service\" or \"training_set\": ..., \"rows\": [...]} or {\"views\": [...], \"rows\": [...]}
  GET  /v1/feature-services           what a request of each takes; POST /v1/feature-services/NAME/verify
                                      Arrow when accepted, for a training set or one view
  POST /v1/features/explain           the rows behind a number
  POST /v1/query                      {\"sql\": ..., \"rows_max\": ..., \"versions\": {...}}; Arrow when accepted
  POST /v1/training-sets/NAME/build   and /verify
  GET  /v1/training-sets/NAME         its builds with their fingerprints
  POST /v1/erasures                   {\"whom\": {\"subject\": {\"column\": ..., \"id\": ...}}, \"reason\": ...}
  GET  /v1/tables /v1/tables/NAME/versions
  GET  /v1/transforms                 how derived datasets stand
  POST /v1/datasets/NAME/quarantine/release   and /fix, /discard
  GET  /v1/datasets/NAME/quarantine           and /ROW, /departures
  POST /v1/contracts/lint             and /diff, /test, /infer, /generate, /export, /import; nothing is stored
  GET  /v1/contracts                  and /ID, /ID/export, /ID/generate: those in force
  POST /v1/datasets/NAME/test         rows held to the contract, without being taken in
  GET  /v1/status /v1/datasets /v1/lineage /metrics /health

Examples:
  seawall -C shop serve
  seawall -C shop serve --listen 0.0.0.0:8321 --tokens --tls-certificate cert.pem --tls-key key.pem")]
pub struct Serve {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8321")]
    listen: SocketAddr,
    /// Address for Arrow Flight (DoPut), a port of its own; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    flight: Option<SocketAddr>,
    /// Ask every request for a token
    #[arg(long)]
    tokens: bool,
    /// How often a checkpoint is written of what a start would otherwise read from the log
    #[arg(long, default_value = "30s", value_parser = checkpoint_interval)]
    checkpoint_interval: Span,
    /// Size of the log's segments in KiB; the log is removed by whole segments
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u64).range(4..=4_194_304))]
    log_segment_kib: u64,
    /// Certificate chain, PEM
    #[arg(long, requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Private key, PEM
    #[arg(long, requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

fn checkpoint_interval(text: &str) -> std::result::Result<Span, String> {
    let interval: Span = text.parse().map_err(|error: Error| error.to_string())?;
    match interval >= Span(100_000) {
        true => Ok(interval),
        false => Err("checkpoints are written at most every 100ms".to_owned()),
    }
}

impl Serve {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls { certificate: certificate.clone(), key: key.clone() }),
            _ => None,
        };
        let flight = self.flight.map(|address| Listen { address, tls: tls.clone() });
        let listen = Listen { address: self.listen, tls };
        let access = if self.tokens { Access::Tokens } else { Access::Open(local_principal()) };
        listen.check(&access)?;
        flight.as_ref().map_or(Ok(()), |flight| flight.check(&access))?;
        let installation = Arc::new(global.open().await?);
        let checkpoint_interval = Duration::from_micros(self.checkpoint_interval.0.unsigned_abs());
        let options = Options { checkpoint_interval, without_tables: WithoutTables::Wait, ..Options::default() };
        let log = log::Options { segment_bytes: self.log_segment_kib << 10, ..log::Options::default() };
        let ports = Ports::open(&access, &listen, flight.as_ref()).await?;
        let starting = {
            let installation = installation.clone();
            tokio::spawn(async move { start(&installation, options, log).await })
        };
        let json = global.json();
        let announce = move |running: &Running| match (json, &running.flight) {
            (true, None) => println!("{}", json!({"version": 1, "listening": running.url})),
            (true, Some(flight)) => println!("{}", json!({"version": 1, "listening": running.url, "flight": flight})),
            (false, None) => println!("listening on {}; Ctrl-C ends it", running.url),
            (false, Some(flight)) => println!("listening on {}, Flight on {flight}; Ctrl-C ends it", running.url),
        };
        let work = |pipeline: &Arc<Pipeline>| {
            let keeper = crate::keeper::keep(installation.clone(), Arc::new(SystemClock));
            vec![tokio::spawn(control(pipeline.clone())), tokio::spawn(derive(pipeline.clone())), tokio::spawn(keeper)]
        };
        let site = Site { access, ports, encrypted: listen.tls.is_some() };
        let served = serve_until_told(&installation, Starting::Under(starting), site, announce, work).await;
        installation.catalog.close().await;
        served?;
        Ok(Exit::Ok)
    }
}

/// Starts the pipeline, and waits a little for its features.
async fn start(installation: &Installation, options: Options, log: log::Options) -> Result<Pipeline> {
    let pipeline = installation.start_at_once(Arc::new(SystemClock), options, log).await?;
    // Few clients should meet features that are not ready, and none should wait long for the rest.
    match tokio::time::timeout(FEATURES_PATIENCE, pipeline.features_ready()).await {
        Ok(Err(stopped)) => Err(pipeline.stop().await.err().unwrap_or(stopped)),
        Ok(Ok(())) | Err(_) => Ok(pipeline),
    }
}

/// A pipeline that is to be served.
pub enum Starting {
    /// It runs.
    Done(Arc<Pipeline>),
    /// It is being started.
    Under(JoinHandle<Result<Pipeline>>),
}

/// Where a server answers, and to whom.
pub struct Site {
    /// Who may ask.
    pub access: Access,
    /// The sockets.
    pub ports: Ports,
    /// Whether they speak TLS.
    pub encrypted: bool,
}

/// Serves until Ctrl-C or SIGTERM, then commits and checkpoints everything. The ports are served from the beginning;
/// they are announced, and `work` is begun, once the pipeline runs.
pub async fn serve_until_told(
    installation: &Installation,
    starting: Starting,
    site: Site,
    announce: impl FnOnce(&Running),
    work: impl FnOnce(&Arc<Pipeline>) -> Vec<JoinHandle<()>>,
) -> Result<()> {
    let Site { access, ports, encrypted } = site;
    let front = Front::new(access, ContractJobs::new(Some(rules_engine()?)));
    let running = running(&front, &ports, encrypted);
    let mut serving = pin!(ports.serve(front.clone(), told_to_stop()));
    let pipeline = match starting {
        Starting::Done(pipeline) => pipeline,
        Starting::Under(mut starting) => {
            // What is being erased must not be read any more: the start takes the erasure to its end first.
            let is_erasing =
                installation.catalog.open_intents().await?.iter().any(|intent| intent.effect.kind == ERASURE);
            if !is_erasing {
                let views = installation.views().await?;
                front.open_tables(early::Tables::of(installation.catalog.clone(), installation.engine.clone(), views));
            }
            tokio::select! {
                served = &mut serving => {
                    starting.abort();
                    return served;
                }
                started = &mut starting => {
                    Arc::new(started.map_err(|e| Error::internal("SW0909", "the start of the pipeline died").because(e))??)
                }
            }
        }
    };
    front.open(pipeline.clone());
    let marker = installation.settings.data.join("serve.json");
    let text = serde_json::to_string(&running).expect("an address and a number always serialize");
    if let Err(error) = std::fs::write(&marker, text) {
        tracing::warn!(%error, "cannot tell other commands where this server listens");
    }
    announce(&running);
    let mut tasks = work(&pipeline);
    tasks.push(tokio::spawn(follow_revisions(
        installation.catalog.clone(),
        pipeline.clone(),
        installation.settings.project.clone(),
    )));
    let served = serving.await;
    drop(front);
    for task in tasks {
        task.abort();
        // The task holds the pipeline until it has ended.
        let _ = task.await;
    }
    let _ = std::fs::remove_file(&marker);
    served?;
    alone(pipeline).await?.stop().await
}

/// The engine that asks rules about whole tables of rows that requests hold to a contract: it sees no table, and has a
/// thread and memory of its own, so that no rule can keep the maps of sources waiting.
fn rules_engine() -> Result<Arc<dyn Engine>> {
    let options = EngineOptions { memory_bytes: RULES_MEMORY_BYTES, threads: 1, spill_folder: None };
    Ok(Arc::new(DataFusionEngine::over(Arc::new(MemoryStore::default()), options)?))
}

/// The pipeline once nobody else holds it: requests whose clients went away take their rows in to the end. Without room
/// for the log that end may not come; what they wait for was acknowledged to nobody.
async fn alone(mut pipeline: Arc<Pipeline>) -> Result<Pipeline> {
    let end = tokio::time::Instant::now() + TAKING_PATIENCE;
    loop {
        pipeline = match Arc::try_unwrap(pipeline) {
            Ok(pipeline) => return Ok(pipeline),
            Err(shared) => shared,
        };
        if tokio::time::Instant::now() >= end {
            let message = "rows of requests still wait for the log; they were not acknowledged";
            return Err(Error::new(ErrorKind::Unavailable, "SW1213", message)
                .hint("make room on the disk and start again: what was acknowledged is in the log"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How other commands find the server.
fn running(front: &Front, ports: &Ports, encrypted: bool) -> Running {
    let (http, grpc) = if encrypted { ("https", "grpc+tls") } else { ("http", "grpc") };
    let (address, flight) = ports.addresses();
    Running {
        url: format!("{http}://{address}"),
        flight: flight.map(|address| format!("{grpc}://{address}")),
        pid: std::process::id(),
        instance: front.instance.clone(),
    }
}

/// Looks at everything every so often, once the features are up to date. A failure is logged, and the next look tries
/// again.
async fn control(pipeline: Arc<Pipeline>) {
    match pipeline.features_ready().await {
        Ok(()) => tracing::info!("features are up to date"),
        Err(error) => tracing::error!(code = error.code(), %error, "features cannot be brought up to date"),
    }
    let mut failing = Failing::default();
    let mut tick = tokio::time::interval(CONTROL_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now = pipeline.parts().clock.now();
        match pipeline.control(now, &[]).await {
            Err(error) if failing.is_new(&error) => {
                tracing::warn!(code = error.code(), %error, "cannot look at incidents and models");
            }
            Err(_) => {}
            Ok(()) if failing.is_over() => tracing::info!("looks at incidents and models again"),
            Ok(()) => {}
        }
    }
}

/// Runs transforms whose inputs have new rows. What is wrong with one transform is its own state; what keeps all of them
/// from being looked at is logged, and the next look tries again.
async fn derive(pipeline: Arc<Pipeline>) {
    let mut failing = Failing::default();
    let mut tick = tokio::time::interval(DERIVE_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match pipeline.derive().await {
            Err(error) if failing.is_new(&error) => {
                tracing::warn!(code = error.code(), %error, "cannot look at transforms");
            }
            Err(_) => {}
            Ok(_) if failing.is_over() => tracing::info!("looks at transforms again"),
            Ok(_) => {}
        }
    }
}

/// Whether a failure that comes again and again was told already.
#[derive(Default)]
struct Failing(Option<&'static str>);

impl Failing {
    fn is_new(&mut self, error: &Error) -> bool {
        self.0.replace(error.code()) != Some(error.code())
    }

    fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// Switches the pipeline when another process applied a revision.
async fn follow_revisions(catalog: Arc<seawall_catalog::Catalog>, pipeline: Arc<Pipeline>, folder: PathBuf) {
    let mut failing = Failing::default();
    let mut tick = tokio::time::interval(REVISION_INTERVAL);
    loop {
        tick.tick().await;
        let switched = async {
            let Some(active) = catalog.active().await? else { return Ok(()) };
            if active.revision == pipeline.revision().hash {
                return Ok(());
            }
            catalog.install_policies(crate::governance::of_active(&catalog, &active).await?);
            pipeline.switch(&declared(&active, &folder)?).await
        };
        let outcome: Result<()> = switched.await;
        match outcome {
            Err(error) if failing.is_new(&error) => {
                tracing::warn!(%error, "cannot switch to the applied revision, the old one goes on");
            }
            Err(_) => {}
            Ok(()) => {
                failing.is_over();
            }
        }
    }
}

/// Done when Ctrl-C or SIGTERM comes. Both are listened for from the call on, so that a signal that follows the
/// announcement of the address ends the server cleanly.
fn told_to_stop() -> impl Future<Output = ()> + Send + 'static {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    async move {
        match (terminate, interrupt) {
            (Ok(mut terminate), Ok(mut interrupt)) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "no signal ends the server cleanly");
                std::future::pending().await
            }
        }
    }
}
