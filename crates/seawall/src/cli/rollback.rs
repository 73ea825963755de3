//! `rollback`: an earlier champion, or an earlier revision.

use clap::Subcommand;
use seawall_base::error::Result;
use seawall_base::watch::{Decision, Trigger};
use seawall_base::{Error, Instant, SystemClock};
use seawall_catalog::policy::Action;
use serde_json::json;

use crate::cli::Global;
use crate::cli::model::print_decision;
use crate::client::Running;
use crate::output::{Exit, print_json};

/// Bring something back.
#[derive(Debug, Subcommand)]
pub enum Rollback {
    /// An earlier version becomes champion again
    #[command(after_help = "Example:\n  seawall rollback model fraud --reason 'complaints since Monday'")]
    Model {
        /// The model
        name: String,
        /// The version; the former champion when absent
        #[arg(long)]
        to: Option<u32>,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// An earlier revision of the declarations becomes active again
    #[command(after_help = "\
Example:
  seawall rollback revision 3f2a --reason 'the new rule stops good rows'

The files of the project stay as they are: `seawall plan` shows how they differ.")]
    Revision {
        /// The revision's hash, or its beginning
        hash: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Models, declarations and tables together, as they were at a moment
    #[command(after_help = "\
Example:
  seawall rollback to 2024-05-01T12:00:00Z --reason 'the producer sent test rows'
  seawall rollback to 2024-05-01T12:00:00Z --reason 'the producer sent test rows' --run

Without --run it says what would happen. With --run no server may run on the data folder.")]
    To {
        /// The moment, RFC 3339
        time: Instant,
        /// Why
        #[arg(long)]
        reason: String,
        /// Do it
        #[arg(long)]
        run: bool,
    },
}

impl Rollback {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        match self {
            Rollback::Model { name, to, reason } => model(global, name, *to, reason).await,
            Rollback::Revision { hash, reason } => revision(global, hash, reason).await,
            Rollback::To { time, reason, run } => super::rollback_to::run(global, *time, reason, *run).await,
        }
    }
}

async fn model(global: &Global, name: &str, to: Option<u32>, reason: &str) -> Result<Exit> {
    let installation = global.open().await?;
    let decision: Decision = match Running::find(&installation.settings.data) {
        Some(running) => {
            let body = json!({"to": to, "reason": reason}).to_string();
            let answer = running.post(&format!("/v1/models/{name}/rollback"), "application/json", body.as_bytes())?;
            serde_json::from_value(answer)
                .map_err(|e| Error::internal("SW0893", "cannot read the decision").because(e))?
        }
        None => {
            let permit = installation.permit(Action::RollBack, name).await?;
            let former = installation.catalog.aliases(name).await?.former;
            let to = to.or(former).ok_or_else(|| {
                Error::not_found("SW0846", format!("model {name} has no former champion"))
                    .hint("name a version with --to: `seawall model show` lists them")
            })?;
            let now = seawall_base::Clock::now(&SystemClock);
            let trigger = Trigger { kind: "by_hand".into(), signal: None };
            installation.catalog.roll_back_model(&permit, name, to, trigger, reason, now).await?
        }
    };
    match global.json() {
        true => print_json(&json!({"decision": decision}))?,
        false => print_decision(&decision),
    }
    Ok(Exit::Ok)
}

async fn revision(global: &Global, hash: &str, reason: &str) -> Result<Exit> {
    let installation = global.open().await?;
    let applied = installation.roll_back_revision(hash, reason).await?;
    if global.json() {
        return print_json(&json!({"revision": applied.revision, "previous": applied.previous})).map(|()| Exit::Ok);
    }
    println!("revision {} is active again; a running server switches within a second", applied.revision.short());
    Ok(Exit::Ok)
}
