//! `contract diff`: every change between two versions of a contract, whom it breaks, and what it reaches.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use seawall_base::declare::FeatureService;
use seawall_base::error::Result;
use seawall_base::{Engine, Error};
use seawall_catalog::LineageEdge;
use seawall_catalog::project::Loaded;
use seawall_catalog::revision::{Compared, Effect, predecessor};
use seawall_kernel::contract::{Breaks, Contract, ContractChange};
use seawall_lake::query::{DataFusionEngine, EngineOptions};
use seawall_lake::table::MemoryStore;
use serde_json::Value;

use crate::cli::Global;
use crate::cli::check::print_diagnostics;
use crate::output::{Exit, print_json};

/// Compare two versions of a contract.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall contract diff payments-1.odcs.yaml payments-2.odcs.yaml
  seawall -C shop contract diff applied contracts/payments.odcs.yaml

In a project, the features, training sets and models downstream of each change are listed.
Exits with 1 when the version does not move as far as the changes ask for.")]
pub struct Diff {
    /// The version before: a file, or `applied` for the contract of the same id that is applied
    old: PathBuf,
    /// The version after
    new: PathBuf,
    /// Exit with 1 when a change breaks somebody, whatever the version says
    #[arg(long)]
    strict: bool,
}

/// A project, with its lineage, as far as `contract diff` needs it.
struct Downstream {
    loaded: Loaded,
    edges: Vec<LineageEdge>,
}

impl Diff {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let new = match super::read(&self.new, global)? {
            Ok(linted) => linted.contract,
            Err(diagnostics) => {
                print_diagnostics(global, &diagnostics)?;
                return Ok(Exit::Breach);
            }
        };
        let old = if self.old == Path::new("applied") {
            applied(&new, global).await?
        } else {
            match super::read(&self.old, global)? {
                Ok(linted) => linted.contract,
                Err(diagnostics) => {
                    print_diagnostics(global, &diagnostics)?;
                    return Ok(Exit::Breach);
                }
            }
        };
        let downstream = downstream(global).await?;
        let known = downstream.as_ref().map(|known| (&known.loaded.project, known.edges.as_slice()));
        let compared = Compared::new(&old, &new, known);
        if global.json() {
            print_json(&compared.to_json())?;
        } else {
            print_text(&compared);
        }
        let is_broken = !compared.diff.is_versioned() || self.strict && compared.diff.breaking().next().is_some();
        Ok(if is_broken { Exit::Breach } else { Exit::Ok })
    }
}

/// The applied contract with the id of `new`, the newest one that is not newer than it.
async fn applied(new: &Contract, global: &Global) -> Result<Contract> {
    let installation = global.open().await?;
    let active = installation.active().await?;
    let contracts = &active.project.contracts;
    predecessor(contracts, &new.id, new.major()).cloned().ok_or_else(|| {
        let known: Vec<&str> = contracts.iter().map(|contract| contract.id.as_str()).collect();
        Error::not_found("SW0251", format!("no contract {:?} of such a version is applied", new.id))
            .hint(format!("applied contracts: {}", known.join(", ")))
    })
}

/// The project in the folder, when there is a sound one.
async fn downstream(global: &Global) -> Result<Option<Downstream>> {
    if !global.project.join("seawall.yaml").exists() {
        return Ok(None);
    }
    let Ok(loaded) = crate::assemble::load(&global.settings()) else {
        eprintln!("note: the project has problems, so what the changes reach is not told; `seawall check` lists them");
        return Ok(None);
    };
    let engine = DataFusionEngine::over(Arc::new(MemoryStore::default()), EngineOptions::default())?;
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let views = loaded.project.feature_views.clone();
    let mut project = loaded.project.clone();
    // Versions are given by `apply`; what is downstream is told by what is declared.
    let bound = project.training_sets.iter().filter_map(|set| set.service.as_ref());
    let services: Vec<FeatureService> = bound
        .filter_map(|id| {
            let declared = loaded.project.feature_services.iter().find(|service| service.name == id.name)?;
            Some(FeatureService { version: id.version, ..declared.clone() })
        })
        .collect();
    project.bind_training_sets(&services)?;
    let edges = crate::lineage::edges(&project, &loaded.datasets, &views, &global.project, &engine).await?;
    Ok(Some(Downstream { loaded, edges }))
}

fn print_text(compared: &Compared) {
    let order = [Breaks::Both, Breaks::Producers, Breaks::Consumers, Breaks::Nobody];
    for class in order {
        for (change, effect) in compared.changes().filter(|(change, _)| change.breaks == class) {
            println!("{}: {}", class.words(), shown(change));
            println!("    {}", change.why);
            if let Some(reaches) = effect.and_then(names) {
                println!("    reaches {reaches}");
            }
        }
    }
    let diff = &compared.diff;
    let count = |class: fn(Breaks) -> bool| diff.changes.iter().filter(|change| class(change.breaks)).count();
    println!(
        "{} -> {}: {} changes, {} break producers, {} break consumers{}",
        diff.from,
        diff.to,
        diff.changes.len(),
        count(Breaks::producers),
        count(Breaks::consumers),
        if compared.in_project() { "" } else { " (no project: what they reach is not known)" }
    );
    if !diff.is_versioned() {
        let wanted = format!("{:?}", diff.needs).to_lowercase();
        println!("the changes ask for a new {wanted} version");
    }
}

fn shown(change: &ContractChange) -> String {
    let value = |value: &Option<Value>| match value {
        None => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match (&change.from, &change.to) {
        (None, None) => change.place(),
        (from, to) => format!("{}: {} -> {}", change.place(), value(from), value(to)),
    }
}

fn names(effect: &Effect) -> Option<String> {
    let part = |noun: &str, affected: &[seawall_catalog::Affected]| {
        let names: Vec<&str> = affected.iter().map(|one| one.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{noun} {}", names.join(", ")))
    };
    let parts = [
        part("features", &effect.features),
        part("feature services", &effect.feature_services),
        part("training sets", &effect.training_sets),
        part("models", &effect.models),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
