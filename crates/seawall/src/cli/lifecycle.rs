//! `lifecycle`: what the project's rules give up, and doing it.

use clap::Subcommand;
use seawall_base::error::Result;
use seawall_base::{Clock, Error, SystemClock};
use seawall_catalog::policy::Action;
use seawall_catalog::project::keep::Lifecycle as Rules;
use serde_json::json;

use super::table::tables;
use crate::assemble::Installation;
use crate::cli::Global;
use crate::lifecycle::{self, Plan};
use crate::output::{Exit, bytes, count, print_json};

/// What the project's rules give up.
#[derive(Debug, Subcommand)]
pub enum Lifecycle {
    /// What would go now, by which rule, and what stays although it is old enough
    #[command(after_help = "Example:\n  seawall lifecycle plan")]
    Plan,
    /// Carry the rules out now; a server does so by itself
    #[command(after_help = "\
Example:
  seawall lifecycle run

Works beside a running server. What training sets, certificates, champions and proposals need stays.")]
    Run,
}

impl Lifecycle {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let permit = installation.permit(Action::Administer, "lifecycle").await?;
        let rules = rules(&installation).await?;
        let (tables, now) = (tables(&installation), SystemClock.now());
        let is_run = matches!(self, Lifecycle::Run);
        let plan = match self {
            Lifecycle::Plan => lifecycle::plan(&installation, &tables, &permit, &rules, now).await?,
            Lifecycle::Run => lifecycle::run(&installation, &tables, &permit, &rules, now).await?,
        };
        match global.json() {
            true => print_json(&json!({"done": is_run, "plan": plan}))?,
            false => print(&plan, is_run),
        }
        Ok(Exit::Ok)
    }
}

async fn rules(installation: &Installation) -> Result<Rules> {
    Rules::of(&installation.active().await?.project)?.ok_or_else(|| {
        Error::not_found("SW1624", "the applied project declares no lifecycle").hint(
            "declare one, for example `{kind: lifecycle, name: shop, raw: {quarantine: 90d}}`, and run `seawall apply`",
        )
    })
}

fn print(plan: &Plan, is_run: bool) {
    for step in &plan.steps {
        println!("{:<9} {}: {}  ({})", step.class.as_str(), step.object, step.what, step.why);
    }
    for stays in &plan.stays {
        println!("{:<9} {} stays: {}", stays.class.as_str(), stays.object, stays.why);
    }
    let (files, size) = plan.steps.iter().fold((0, 0), |(files, size), step| (files + step.files, size + step.bytes));
    let verb = if is_run { "went" } else { "would go" };
    println!("{} things {verb}: {} files, {}", count(plan.steps.len() as u64), count(files), bytes(size));
    if !is_run && !plan.steps.is_empty() {
        println!("nothing was done: `seawall lifecycle run` does it");
    }
}
