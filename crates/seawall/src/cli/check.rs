//! `check`, `plan`, `apply`, `schema`, `explain`: declarations before anything runs.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use seawall_base::Error;
use seawall_base::error::Result;
use seawall_catalog::ChangeKind;
use seawall_catalog::project::{self, Diagnostics, Loaded};
use seawall_catalog::revision::plan_text;
use serde_json::json;

use crate::assemble;
use crate::cli::Global;
use crate::output::{Exit, print_json};

/// Check the declarations.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  seawall -C examples/flights --set data=DIR check")]
pub struct Check {}

/// Show what `apply` would change.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  seawall -C shop plan --detailed-exitcode")]
pub struct Plan {
    /// Exit with 3 when there are changes
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Make the declarations the active revision.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  seawall -C shop apply")]
pub struct Apply {}

/// Write JSON Schemas.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  seawall -C shop schema            writes .seawall/schema/KIND.json\n  seawall schema --kind source --print"
)]
pub struct Schema {
    /// Only this kind
    #[arg(long)]
    kind: Option<String>,
    /// Print instead of writing files
    #[arg(long)]
    print: bool,
}

/// Loads the project; on problems prints them and gives the exit for it.
pub fn load_or_print(global: &Global) -> Result<std::result::Result<Loaded, Exit>> {
    match assemble::load(&global.settings()) {
        Ok(loaded) => Ok(Ok(loaded)),
        Err(diagnostics) => {
            print_diagnostics(global, &diagnostics)?;
            Ok(Err(Exit::Breach))
        }
    }
}

pub(super) fn print_diagnostics(global: &Global, diagnostics: &Diagnostics) -> Result<()> {
    if global.json() {
        let mut report = diagnostics.to_json();
        report["ok"] = json!(false);
        return print_json(&report);
    }
    eprintln!("{}", diagnostics.render(std::io::stderr().is_terminal()));
    Ok(())
}

impl Check {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let loaded = match load_or_print(global)? {
            Ok(loaded) => loaded,
            Err(exit) => return Ok(exit),
        };
        let project = &loaded.project;
        if global.json() {
            print_json(&json!({
                "ok": true,
                "project": project.name,
                "contracts": project.contracts.len(),
                "sources": project.sources.len(),
                "feature_views": project.feature_views.len(),
                "feature_services": project.feature_services.len(),
                "training_sets": project.training_sets.len(),
                "models": project.models.len(),
                "monitors": project.monitors.len(),
                "corrections": project.corrections.len(),
                "views": project.views.len(),
                "policies": project.policies.len(),
                "other": project.other.len(),
                "warnings": loaded.warnings,
            }))?;
            return Ok(Exit::Ok);
        }
        println!(
            "{}: {} contracts, {} sources, {} feature views, {} feature services, {} training sets, {} models: no problems",
            project.name,
            project.contracts.len(),
            project.sources.len(),
            project.feature_views.len(),
            project.feature_services.len(),
            project.training_sets.len(),
            project.models.len()
        );
        for warning in &loaded.warnings {
            println!("warning[{}]: {}", warning.code, warning.message);
        }
        for other in project.other.iter().filter(|other| other.kind == "live_view") {
            println!("note: {} {:?} is kept, but nothing runs this kind yet", other.kind, other.name);
        }
        Ok(Exit::Ok)
    }
}

impl Plan {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let loaded = match load_or_print(global)? {
            Ok(loaded) => loaded,
            Err(exit) => return Ok(exit),
        };
        let installation = global.open().await?;
        installation.refuse_breaking_changes(&loaded).await?;
        let changes = installation.plan(&loaded).await?;
        let any = changes.iter().any(|change| change.what != ChangeKind::Unchanged);
        let access = installation.access_lines(&loaded).await?;
        if global.json() {
            print_json(&json!({"changes": any, "plan": changes, "access": access}))?;
        } else {
            print!("{}", plan_text(&changes, &access));
        }
        Ok(if any && self.detailed_exitcode { Exit::Changes } else { Exit::Ok })
    }
}

impl Apply {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let loaded = match load_or_print(global)? {
            Ok(loaded) => loaded,
            Err(exit) => return Ok(exit),
        };
        let installation = global.open().await?;
        let applied = installation.apply(&loaded).await?;
        if global.json() {
            print_json(&applied)?;
            return Ok(Exit::Ok);
        }
        print!("{}", plan_text(&applied.changes, &[]));
        println!("revision {} is active", applied.revision.short());
        Ok(Exit::Ok)
    }
}

impl Schema {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let kinds: Vec<&str> = match &self.kind {
            Some(kind) => vec![kind.as_str()],
            None => project::kinds(),
        };
        let folder: PathBuf = global.project.join(".seawall").join("schema");
        let mut written = Vec::new();
        for kind in kinds {
            let schema = project::schema(kind).ok_or_else(|| {
                Error::not_found("SW0900", format!("there is no kind {kind:?}"))
                    .hint(format!("kinds: {}", project::kinds().join(", ")))
            })?;
            if self.print {
                println!("{schema:#}");
                continue;
            }
            let path = folder.join(format!("{kind}.json"));
            std::fs::create_dir_all(&folder)?;
            std::fs::write(&path, format!("{schema:#}\n"))?;
            written.push(path.display().to_string());
        }
        match (self.print, global.json()) {
            (true, _) => {}
            (false, true) => print_json(&json!({"written": written}))?,
            (false, false) => written.iter().for_each(|path| println!("wrote {path}")),
        }
        Ok(Exit::Ok)
    }
}
