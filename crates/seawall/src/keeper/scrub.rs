//! The scrub: everything that is kept is read and compared, at a bounded rate, in the background.
//!
//! `scrub.json` in the data folder holds how far a check has come, so that one that a restart cut off goes on where it
//! was. What is found opens an incident per damage; a check that reads everything and does not find it any more closes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use seawall_base::error::Result;
use seawall_base::watch::{Advice, Blast, CauseKind, Closed, Incident, Remedy};
use seawall_base::{Clock, Error, Finding, Instant, Severity};
use seawall_catalog::policy::Action;
use seawall_catalog::project::keep::Scrub;
use seawall_catalog::{Catalog, MaintenanceKind};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{LOOK_INTERVAL, declared, is_due};
use crate::assemble::Installation;
use crate::integrity::{self, Pace, Places, Report};

/// Before the key of an incident about a damage.
const KEY: &str = "damage";

/// How far a check has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Position {
    began: Instant,
    /// The last unit that was done.
    after: Option<String>,
}

/// Checks until the task is ended.
pub(super) async fn run(installation: &Installation, clock: &dyn Clock) {
    let mut tick = tokio::time::interval(LOOK_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = scrub_if_due(installation, clock).await {
            tracing::warn!(code = error.code(), %error, "the check of what is kept failed, it is tried again");
        }
    }
}

async fn scrub_if_due(installation: &Installation, clock: &dyn Clock) -> Result<()> {
    let catalog = &installation.catalog;
    let Some(scrub) = declared(catalog).await?.scrub else { return Ok(()) };
    let file = installation.settings.data.join("scrub.json");
    let position = match read(&file) {
        Some(position) => position,
        None if is_due(catalog, MaintenanceKind::Scrub, scrub.every, clock.now()).await? => {
            Position { began: clock.now(), after: None }
        }
        None => return Ok(()),
    };
    let report = check(&installation.settings.data, &scrub, &file, &position).await?;
    settle(catalog, &report, &position, clock.now()).await?;
    std::fs::remove_file(&file).or_else(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(Error::from(e)),
    })
}

async fn check(data: &Path, scrub: &Scrub, file: &Path, position: &Position) -> Result<Report> {
    let began = position.began;
    write(file, position);
    let path: PathBuf = file.to_owned();
    let on_unit = move |unit: &str| {
        write(&path, &Position { began, after: Some(unit.to_owned()) });
    };
    let pace =
        Pace::bounded(scrub.bytes_per_second, Box::new(|_, _| ())).resuming(position.after.clone(), Box::new(on_unit));
    let (report, _) = integrity::check(&Places::of(data)?, &pace).await?;
    Ok(report)
}

/// A position that cannot be read is none: the check begins anew.
fn read(file: &Path) -> Option<Position> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Losing the position costs time and nothing else, so it is not synced.
fn write(file: &Path, position: &Position) {
    let beside = file.with_extension("json.tmp");
    let text = serde_json::to_vec(position).expect("an instant and a text always serialize");
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, file));
    if let Err(error) = written {
        tracing::debug!(%error, "the position of the check was not kept");
    }
}

/// Opens an incident per damage, closes those that are mended, and records the run.
async fn settle(catalog: &Catalog, report: &Report, position: &Position, now: Instant) -> Result<()> {
    let permit = catalog.system_permit(Action::ManageIncidents, "damage");
    let mut keys = BTreeSet::new();
    for finding in report.findings.iter().filter(|finding| finding.severity > Severity::Low) {
        let incident = incident(finding, now);
        keys.insert(incident.key.clone());
        let (opened, is_new) = catalog.open_incident(&permit, &incident).await?;
        if is_new {
            tracing::error!(incident = opened.id, object = finding.object, what = finding.what, "damage was found");
        }
    }
    // A check that began in the middle has not seen everything.
    if position.after.is_none() {
        for open in catalog.incidents(true).await? {
            if open.cause == CauseKind::Damage && !keys.contains(&open.key) {
                let reason = "a check of everything does not find it any more".to_owned();
                catalog.close_incident(&permit, &open.id, Closed { at: now, by: "seawall".into(), reason }).await?;
            }
        }
    }
    let body = json!({
        "bytes": report.bytes, "findings": report.findings.len(), "resumed": position.after.is_some(),
        "not_checked": report.not_checked, "elapsed_ms": (now.0 - position.began.0) / 1_000,
    });
    let permit = catalog.system_permit(Action::Administer, "scrub");
    catalog.record_maintenance(&permit, MaintenanceKind::Scrub, position.began, &body).await
}

fn incident(finding: &Finding, now: Instant) -> Incident {
    let place = finding.file.as_ref().map_or(String::new(), |file| format!(":{}", file.display()));
    Incident {
        id: String::new(),
        key: format!("{KEY}:{}{place}", finding.object),
        cause: CauseKind::Damage,
        summary: format!("{}: {}; {}", finding.object, finding.what, finding.consequence),
        subject: finding.object.clone(),
        source: None,
        column: None,
        slice: None,
        factor: None,
        first_bad: None,
        first_bad_at: now,
        opened_at: now,
        closed: None,
        evidence: Vec::new(),
        excluded: Vec::new(),
        blast: Blast::default(),
        remedy: Remedy {
            action: "repair".into(),
            text: "see what can be mended; stop the server to do it".into(),
            command: Some(finding.remedy.clone()),
            retrain: Advice::NoMatter,
        },
    }
}
