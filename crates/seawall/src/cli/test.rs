//! `test`: the cases of a project, given rows and what must follow from them, without any data folder.

mod case;
mod compare;
mod coverage;
mod junit;
mod outcome;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use seawall_base::Engine;
use seawall_base::error::Result;
use seawall_lake::query::{DataFusionEngine, EngineOptions};
use seawall_lake::table::MemoryStore;
use serde_json::{Value, json};

use self::case::Case;
use self::coverage::Coverage;
use self::outcome::World;
use crate::cli::Global;
use crate::cli::check::load_or_print;
use crate::output::{Exit, print_json};

/// Run the project's test cases.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall -C shop test
  seawall -C shop test --only negative --junit report.xml

Cases are declarations of `kind: test`; `seawall schema --kind test --print` shows their keys. Nothing is read from or
written to the data folder. Exits with 1 when a case fails.")]
pub struct Test {
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Also write the results to this file, as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Exit with 1 also when there is a rule that no case breaks
    #[arg(long)]
    all_rules: bool,
}

/// How one case ended.
pub(super) struct Ended {
    pub name: String,
    /// What is not as expected, one line each; empty when the case holds.
    pub differences: Vec<String>,
}

impl Test {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let loaded = match load_or_print(global)? {
            Ok(loaded) => loaded,
            Err(exit) => return Ok(exit),
        };
        let engine = DataFusionEngine::over(Arc::new(MemoryStore::default()), EngineOptions::default())?;
        let engine: Arc<dyn Engine> = Arc::new(engine);
        let world = World::of(&loaded, engine, &global.project).await?;
        let mut coverage = Coverage::of(&world);
        let mut ended = Vec::new();
        for declared in loaded.project.other.iter().filter(|one| one.kind == "test") {
            if self.only.as_ref().is_some_and(|part| !declared.name.contains(part.as_str())) {
                continue;
            }
            let differences = match Case::read(declared) {
                Err(problem) => vec![problem],
                Ok(case) => match world.run(&case, &mut coverage).await {
                    Ok(outcome) => compare::differences(&case.expect, &outcome),
                    Err(error) => vec![format!("{}: {error}", error.code())],
                },
            };
            ended.push(Ended { name: declared.name.clone(), differences });
        }
        if let Some(path) = &self.junit {
            std::fs::write(path, junit::report(&loaded.project.name, &ended))?;
        }
        if global.json() {
            print_json(&report(&ended, &coverage))?;
        } else {
            self.print(&ended, &coverage);
        }
        let failed = ended.iter().any(|case| !case.differences.is_empty());
        Ok(if failed || self.all_rules && coverage.has_gaps() { Exit::Breach } else { Exit::Ok })
    }

    fn print(&self, ended: &[Ended], coverage: &Coverage) {
        for case in ended {
            println!("{}  {}", if case.differences.is_empty() { "ok    " } else { "FAILED" }, case.name);
            for difference in &case.differences {
                println!("    {difference}");
            }
        }
        let failed = ended.iter().filter(|case| !case.differences.is_empty()).count();
        println!("{} cases, {failed} failed", ended.len());
        for dataset in coverage.datasets() {
            println!(
                "{}: {} of {} rules were broken by some case",
                dataset.name,
                dataset.broken(),
                dataset.rules.len()
            );
            if !dataset.never().is_empty() {
                println!("    never broken: {}", dataset.never().join(", "));
            }
        }
        if ended.is_empty() && self.only.is_none() {
            println!("the project has no case: declare `kind: test` with `given` and `expect`");
        }
    }
}

fn report(ended: &[Ended], coverage: &Coverage) -> Value {
    let case =
        |case: &Ended| json!({"name": case.name, "ok": case.differences.is_empty(), "differences": case.differences});
    let dataset = |dataset: &coverage::Dataset| {
        json!({
            "dataset": dataset.name, "rules": dataset.rules.len(), "broken": dataset.broken(),
            "never_broken": dataset.never(),
        })
    };
    json!({
        "ok": ended.iter().all(|case| case.differences.is_empty()),
        "cases": ended.iter().map(case).collect::<Vec<_>>(),
        "coverage": coverage.datasets().iter().map(dataset).collect::<Vec<_>>(),
    })
}
