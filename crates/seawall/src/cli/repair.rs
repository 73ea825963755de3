//! `repair`: what can be mended of what a check finds, and doing it.

use clap::Args;
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind};
use seawall_catalog::policy::Action;
use seawall_storage::log;
use serde_json::json;

use crate::cli::Global;
use crate::cli::verify_data::print_finding;
use crate::client::Running;
use crate::integrity::{self, Pace, Places};
use crate::output::{Exit, print_json};
use crate::progress::Bar;
use crate::repair::{self, Done, Impossible, Plan, Step};

/// How often a repair looks again: mending one damage can bring others to light.
const ROUNDS_MAX: usize = 5;

/// Mend what a check finds.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall repair                  what would be done, and what cannot be
  seawall repair --run            do it, with no server on the data folder

What is replaced is kept in `damaged/` in the data folder. Every step is in the audit ledger.")]
pub struct Repair {
    /// Do it
    #[arg(long)]
    run: bool,
}

impl Repair {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        match self.run {
            false => show(global).await,
            true => mend(global).await,
        }
    }
}

async fn show(global: &Global) -> Result<Exit> {
    let places = Places::of(&global.settings().data)?;
    let (report, known) = checked(&places).await?;
    let plan = repair::plan(&places, &report, &known).await?;
    if global.json() {
        print_json(&json!({"whole": report.is_whole(), "plan": plan, "done": false}))?;
    } else if report.is_whole() {
        println!("everything is whole: there is nothing to mend");
    } else {
        told(&plan);
        println!("nothing was done: --run does it");
    }
    Ok(if report.is_whole() { Exit::Ok } else { Exit::Breach })
}

async fn mend(global: &Global) -> Result<Exit> {
    let settings = global.settings();
    let places = Places::of(&settings.data)?;
    if let Some(running) = Running::find(&settings.data) {
        let message = format!("a server runs on this data folder (process {})", running.pid);
        return Err(Error::new(ErrorKind::Conflict, "SW1414", message).hint("stop it, repair, and start it again"));
    }
    // Held to the end: no server starts, and no other repair, while files are moved.
    let _owned = log::own(&places.log)?;
    let (mut report, mut known) = checked(&places).await?;
    let installation = global.open().await?;
    if known.records.is_none() {
        return Err(Error::corrupt("SW1416", "the catalog is damaged, and repairs are recorded in it").hint(
            "put `catalog/catalog.db` back from a backup first; `seawall verify data` shows what is wrong with it",
        ));
    }
    let permit = installation.permit(Action::Administer, "repair").await?;
    let mut all = Done::default();
    for _ in 0..ROUNDS_MAX {
        let plan = repair::plan(&places, &report, &known).await?;
        let done = repair::run(&places, &plan, &known, &installation.catalog, &permit).await?;
        let went_on = !done.taken.is_empty();
        all.taken.extend(done.taken);
        all.refused = plan.impossible.into_iter().chain(done.refused).collect();
        all.damaged = done.damaged.or(all.damaged);
        (report, known) = checked(&places).await?;
        if report.is_whole() || !went_on {
            break;
        }
    }
    if report.is_whole() {
        all.refused.clear();
    }
    if global.json() {
        print_json(&json!({"whole": report.is_whole(), "repaired": all, "findings": report.findings, "done": true}))?;
    } else {
        all.taken.iter().for_each(|step| println!("done: {}: {}", step.object, step.what));
        all.refused.iter().for_each(print_impossible);
        report.findings.iter().for_each(print_finding);
        if let Some(folder) = &all.damaged {
            println!("what was replaced is in {}", folder.display());
        }
        println!("{}", if report.is_whole() { "everything is whole" } else { "not everything could be mended" });
    }
    Ok(if report.is_whole() { Exit::Ok } else { Exit::Breach })
}

async fn checked(places: &Places) -> Result<(integrity::Report, integrity::Known)> {
    let bar = Bar::reading("check");
    let shown = bar.clone();
    let pace = Pace::unbounded(Box::new(move |what, bytes| shown.read(what, bytes)));
    let outcome = integrity::check(places, &pace).await;
    bar.done();
    outcome
}

fn told(plan: &Plan) {
    for Step { object, what, sets_aside, .. } in &plan.steps {
        println!("can be mended: {object}: {what}");
        for file in sets_aside {
            println!("  sets aside: {}", file.display());
        }
    }
    plan.impossible.iter().for_each(print_impossible);
}

fn print_impossible(impossible: &Impossible) {
    println!("cannot be mended: {}: {}", impossible.object, impossible.what);
    println!("  why: {}", impossible.why);
    println!("  do:  {}", impossible.remedy);
}
