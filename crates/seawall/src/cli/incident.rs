//! `incident`: what went wrong, once per cause, and what to do about it.

use clap::Subcommand;
use seawall_base::error::Result;
use seawall_base::watch::{CauseKind, Closed, Incident as Told};
use seawall_base::{Error, ErrorKind, Instant, SystemClock};
use seawall_catalog::policy::Action;
use serde_json::json;

use crate::assemble::{Installation, load};
use crate::cli::Global;
use crate::client::Running;
use crate::output::{Exit, print_json};

/// Incidents.
#[derive(Debug, Subcommand)]
pub enum Incident {
    /// Open incidents, or every one
    #[command(after_help = "Example:\n  seawall incident list --all")]
    List {
        /// Closed ones too
        #[arg(long)]
        all: bool,
    },
    /// Cause, first bad row, what it reaches, what it is not, what to do
    #[command(after_help = "Example:\n  seawall incident show INC-1")]
    Show {
        /// The incident
        id: String,
    },
    /// What the remedy would change; with --run, do it
    #[command(after_help = "\
Example:
  seawall incident remedy INC-1          shows the declaration and the plan
  seawall incident remedy INC-1 --run    writes it into the project and applies it")]
    Remedy {
        /// The incident
        id: String,
        /// Carry it out
        #[arg(long)]
        run: bool,
    },
    /// Close an incident by hand
    #[command(after_help = "Example:\n  seawall incident close INC-1 --reason 'a planned release'")]
    Close {
        /// The incident
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

impl Incident {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        match self {
            Incident::List { all } => list(global, &installation, *all).await,
            Incident::Show { id } => show(global, &installation, id).await,
            Incident::Remedy { id, run } => remedy(global, &installation, id, *run).await,
            Incident::Close { id, reason } => close(global, &installation, id, reason).await,
        }
    }
}

async fn list(global: &Global, installation: &Installation, all: bool) -> Result<Exit> {
    installation.permit(Action::ReadMetadata, "incidents").await?;
    let incidents = installation.catalog.incidents(!all).await?;
    if global.json() {
        return print_json(&json!({"incidents": incidents})).map(|()| Exit::Ok);
    }
    if incidents.is_empty() {
        println!("{}", if all { "there was no incident yet" } else { "no incident is open" });
    }
    for incident in &incidents {
        let state = if incident.closed.is_some() { "closed" } else { "OPEN" };
        println!("{:<7} {state:<7} {}  {}", incident.id, minute(incident.opened_at), incident.summary);
    }
    Ok(Exit::Ok)
}

async fn show(global: &Global, installation: &Installation, id: &str) -> Result<Exit> {
    installation.permit(Action::ReadMetadata, id).await?;
    let incident = installation.catalog.incident(id).await?;
    match global.json() {
        true => print_json(&incident)?,
        false => println!("{}", text(&incident)),
    }
    Ok(Exit::Ok)
}

fn minute(at: Instant) -> String {
    at.to_string().chars().take(16).collect()
}

/// An incident for people.
pub(super) fn text(incident: &Told) -> String {
    let mut lines = vec![format!("{}  {}", incident.id, incident.summary)];
    let mut say = |name: &str, value: String| lines.push(format!("  {name:<13} {value}"));
    say("cause", incident.cause.as_str().to_owned());
    if let Some(source) = &incident.source {
        say("source", source.clone());
    }
    if let Some(column) = &incident.column {
        let within = incident.slice.as_ref().map_or(String::new(), |slice| format!(" where {slice}"));
        say("column", format!("{}.{column}{within}", incident.subject));
    }
    if let Some(factor) = incident.factor {
        say("factor", factor.to_string());
    }
    let row = incident.first_bad.map_or(String::new(), |row| format!(", offset {}:{}", row.partition.0, row.offset.0));
    say("first bad row", format!("arrived {}{row}", minute(incident.first_bad_at)));
    let after = (incident.opened_at - incident.first_bad_at).0 as f64 / 3.6e9;
    say("noticed", format!("{} ({after:.1} h after)", minute(incident.opened_at)));
    if let Some(closed) = &incident.closed {
        say("closed", format!("{} by {}: {}", minute(closed.at), closed.by, closed.reason));
    }
    let listed = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    say("features", listed(&incident.blast.features));
    say("training sets", listed(&incident.blast.training_sets));
    say("models", listed(&incident.blast.models));
    say("owners", listed(&incident.blast.owners));
    for other in &incident.excluded {
        say("not", format!("{}: {}", other.what, other.why));
    }
    say("remedy", incident.remedy.text.clone());
    if let Some(command) = &incident.remedy.command {
        say("run", command.clone());
    }
    let retrain = match incident.remedy.retrain {
        seawall_base::watch::Advice::DoNotRetrain => "do not retrain: the data is wrong, not the world",
        seawall_base::watch::Advice::Retrain => "retrain: the world changed",
        seawall_base::watch::Advice::NoMatter => "no matter",
    };
    say("retraining", retrain.to_owned());
    lines.join("\n")
}

async fn close(global: &Global, installation: &Installation, id: &str, reason: &str) -> Result<Exit> {
    let permit = installation.permit(Action::ManageIncidents, id).await?;
    let by = installation.principal().await?.name;
    let at = match Running::find(&installation.settings.data) {
        Some(running) => running.now()?,
        None => seawall_base::Clock::now(&SystemClock),
    };
    let incident =
        installation.catalog.close_incident(&permit, id, Closed { at, by, reason: reason.to_owned() }).await?;
    match global.json() {
        true => print_json(&incident)?,
        false => println!("{id} is closed: {reason}"),
    }
    Ok(Exit::Ok)
}

/// The declaration that mends what an incident found.
fn correction(incident: &Told) -> Result<(String, String)> {
    let no_remedy = || {
        Error::invalid("SW0849", format!("{} has no remedy that Seawall can carry out", incident.id))
            .hint(format!("what to do: {}", incident.remedy.text))
    };
    let (CauseKind::UnitChange, Some(source), Some(column), Some(factor)) =
        (incident.cause, &incident.source, &incident.column, incident.factor)
    else {
        return Err(no_remedy());
    };
    let name = incident.id.to_lowercase().replace('-', "_");
    let only = match incident.slice.as_ref().and_then(|slice| slice.split_once('=')) {
        Some((by, value)) => format!("only: {{{by}: {}}}\n", json!(value)),
        None => String::new(),
    };
    let declaration = format!(
        "# Mends {id} until the producer does; remove this file then.\nkind: correction\nname: {name}\nsource: {source}\n\
         column: {column}\ndivide_by: {factor}\n{only}from: \"{from}\"\nreason: {reason}\n",
        id = incident.id,
        from = incident.first_bad_at,
        reason = json!(format!("{}: {}", incident.id, incident.summary)),
    );
    Ok((format!("corrections/{name}.yaml"), declaration))
}

async fn remedy(global: &Global, installation: &Installation, id: &str, run: bool) -> Result<Exit> {
    let incident = installation.catalog.incident(id).await?;
    if let Some(closed) = &incident.closed {
        return Err(Error::new(ErrorKind::Conflict, "SW0849", format!("{id} is closed: {}", closed.reason))
            .hint("what is over needs no remedy: it would change values that are right"));
    }
    let (path, declaration) = correction(&incident)?;
    if !run {
        if global.json() {
            print_json(&json!({"incident": id, "file": path, "declaration": declaration, "run": false}))?;
        } else {
            println!("would write {path} into the project and apply it:\n\n{declaration}");
            println!("reaches: {}", incident.blast.features.join(", "));
            println!("champions stay as they are; `seawall incident remedy {id} --run` does it");
        }
        return Ok(Exit::Ok);
    }
    installation.permit(Action::ManageIncidents, id).await?;
    let target = installation.settings.project.join(&path);
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&target, &declaration)?;
    let loaded = match load(&installation.settings) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            // Nothing of a remedy that does not hold stays behind.
            std::fs::remove_file(&target)?;
            return Err(Error::invalid(
                "SW0849",
                format!("the remedy of {id} does not fit the declarations:\n{}", diagnostics.render(false)),
            )
            .hint("mend the declarations, then run the remedy again"));
        }
    };
    let applied = installation.apply(&loaded).await?;
    if global.json() {
        print_json(
            &json!({"incident": id, "file": path, "declaration": declaration, "run": true, "revision": applied.revision}),
        )?;
    } else {
        println!("{path} is written and applied as revision {}", applied.revision.short());
        println!("a running server switches within a second; the incident closes by itself when the values are back");
    }
    Ok(Exit::Ok)
}
