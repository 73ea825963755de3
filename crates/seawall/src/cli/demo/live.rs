//! The demo goes on living: one simulated hour per second, with faults injected on demand.
//!
//! `seawall demo inject FAULT` leaves a request in the data folder; the running demo takes it, lets the fault strike from
//! the simulated present on, and answers in the same place.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use seawall_base::error::Result;
use seawall_base::{Clock, DrivenClock, Error, ErrorKind, Instant, Permit, Span};
use seawall_pipeline::pipeline::Pipeline;
use seawall_pipeline::replay::{self, Stream};
use seawall_pipeline::retrainer::Approver;
use seawall_pipeline::source::simulator::{self, Fault, Live};
use serde::{Deserialize, Serialize};

/// Real time per simulated hour.
const HOUR: Duration = Duration::from_secs(1);
/// How long an injection waits to be taken.
const INJECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A request to inject a fault, and its answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Injection {
    /// The fault.
    pub fault: String,
    /// When it strikes; filled in by the running demo.
    pub from: Option<String>,
    /// Until when; absent for good.
    pub until: Option<String>,
}

/// Where requests lie.
fn folder(data: &Path) -> PathBuf {
    data.join("inject")
}

/// Asks the demo that runs on `data` to inject `fault`, and waits for its answer.
pub(super) async fn inject(data: &Path, fault: &str) -> Result<Injection> {
    let fault = Fault::from_short(fault)?;
    let folder = folder(data);
    std::fs::create_dir_all(&folder)?;
    let request = folder.join(format!("{}.json", fault.short()));
    let answer = folder.join(format!("{}.done", fault.short()));
    let _ = std::fs::remove_file(&answer);
    let asked = Injection { fault: fault.short().to_owned(), from: None, until: None };
    write(&request, &asked)?;
    let mut waited = Duration::ZERO;
    while waited < INJECT_TIMEOUT {
        tokio::time::sleep(HOUR / 10).await;
        waited += HOUR / 10;
        if let Ok(text) = std::fs::read_to_string(&answer) {
            std::fs::remove_file(&answer)?;
            return serde_json::from_str(&text)
                .map_err(|e| Error::internal("SW0914", "the demo's answer cannot be read").because(e));
        }
    }
    let _ = std::fs::remove_file(&request);
    Err(Error::new(ErrorKind::Unavailable, "SW0914", "no demo runs here that takes faults")
        .hint("start `seawall demo` without --exit, and wait until it serves"))
}

fn write(path: &Path, injection: &Injection) -> Result<()> {
    let text = serde_json::to_string(injection)
        .map_err(|e| Error::internal("SW0914", "cannot write an injection").because(e))?;
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text)?;
    std::fs::rename(draft, path)?;
    Ok(())
}

/// Lives on until it is aborted; the first failure is logged and ends it.
pub(super) async fn live_on(
    pipeline: Arc<Pipeline>,
    permit: Permit,
    clock: Arc<DrivenClock>,
    options: simulator::Options,
    data: PathBuf,
    approvers: Vec<Approver>,
) {
    if let Err(error) = live(&pipeline, &permit, &clock, options, &data, &approvers).await {
        tracing::error!(code = error.code(), %error, "the demo's simulated world stands still");
    }
}

async fn live(
    pipeline: &Pipeline,
    permit: &Permit,
    clock: &DrivenClock,
    options: simulator::Options,
    data: &Path,
    approvers: &[Approver],
) -> Result<()> {
    let mut world = Live::new(options)?;
    let mut now = clock.now().max(world.period_end()).floor(Span::HOUR) + Span::HOUR;
    clock.advance_to(now);
    let mut tick = tokio::time::interval(HOUR);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        take_injections(&mut world, data, now)?;
        let until = now + Span::HOUR;
        let mut streams = Vec::new();
        for (source, stream) in
            [("chargebacks", simulator::Stream::Chargebacks), ("payments", simulator::Stream::Payments)]
        {
            let delivered = world.batch_between(stream, now, until);
            let batches = delivered.into_iter().map(|one| (one.rows, one.arrivals)).collect();
            let mut stream = Stream::of_arrivals(pipeline, source, batches).await?;
            stream.id = format!("{source} live {until}");
            streams.push(stream);
        }
        replay::slice(pipeline, permit, clock, &streams, now, until, approvers).await?;
        now = until;
    }
}

fn take_injections(world: &mut Live, data: &Path, now: Instant) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder(data)) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        std::fs::remove_file(&path)?;
        let Ok(asked) = serde_json::from_str::<Injection>(&text) else { continue };
        let window = world.inject(Fault::from_short(&asked.fault)?, now);
        let until = (window.end != Instant::MAX).then(|| window.end.to_string());
        let answer = Injection { from: Some(window.start.to_string()), until, ..asked };
        write(&path.with_extension("done"), &answer)?;
        tracing::info!(fault = %window.fault, from = %window.start, "a fault strikes");
    }
    Ok(())
}
