//! `query`, `status`, `lineage`, `audit`: looking, also beside a running server.

use clap::Args;
use seawall_base::error::Result;
use seawall_base::{Clock, Engine, Error, Query as Sql, SystemClock, TableVersion};
use seawall_catalog::lineage::Direction;
use seawall_catalog::policy::Action;
use seawall_catalog::project::keep::transforms;
use seawall_server::http::json_rows;
use serde_json::json;

use crate::cli::{Global, derived, server_status};
use crate::client::Running;
use crate::output::{Exit, count, print_json, table};

/// Ask in SQL.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall query 'select carrier, count(*) from flights group by carrier'
  seawall query 'select * from flights__quarantine limit 5'
  seawall query 'select * from system.quality_results'
  seawall query 'select count(*) from flights' --at-version flights=3
  SEAWALL_TOKEN=sw_... seawall query 'select * from payments limit 3'     with that token's rights")]
pub struct Query {
    /// One read-only statement
    sql: String,
    /// Rows shown at most
    #[arg(long, default_value_t = 1000)]
    rows_max: usize,
    /// Read a table at a version instead of the newest
    #[arg(long = "at-version", value_name = "TABLE=VERSION", value_parser = table_and_version)]
    versions: Vec<(String, TableVersion)>,
}

fn table_and_version(text: &str) -> std::result::Result<(String, TableVersion), String> {
    let (table, version) = text.split_once('=').ok_or_else(|| format!("{text:?} is not TABLE=VERSION"))?;
    let version = version.parse().map_err(|_| format!("{version:?} is no version"))?;
    Ok((table.to_owned(), TableVersion(version)))
}

/// What came in and what runs.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  seawall -C shop status --output json")]
pub struct Status {}

/// Column lineage.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall lineage delays --column carrier_origin__delay_3h
  seawall lineage flights --column arr_delay --direction down")]
pub struct Lineage {
    /// Source, dataset, feature view (card@1) or training set
    object: String,
    /// Only this column
    #[arg(long)]
    column: Option<String>,
    /// up: what it is made of; down: what depends on it
    #[arg(long, default_value = "up", value_parser = ["up", "down"])]
    direction: String,
    /// Steps that are followed
    #[arg(long, default_value_t = 10)]
    depth: u32,
}

/// The audit ledger.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  seawall audit --limit 20")]
pub struct Audit {
    /// Entries shown at most, the newest
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

impl Query {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let permit = installation.permit(Action::ReadRows, "query").await?;
        let system = installation.catalog.system_tables_for(&installation.principal().await?).await?;
        let views = installation.views().await?;
        let versions = self.versions.iter().map(|(table, version)| (table.clone(), *version)).collect();
        let rows_max = Some(self.rows_max);
        let query = Sql { sql: self.sql.clone(), system, views, versions, rows_max };
        // Before the read, so that what is said of it holds of every table that it looked at.
        let server = server_status::ask(Running::find(&installation.settings.data).as_ref());
        let result = installation.engine.query(&permit, query).await?;
        if global.json() {
            let mut rows = Vec::new();
            for batch in &result.batches {
                rows.extend(json_rows(batch)?);
            }
            let mut answer = json!({"rows": rows, "truncated": result.truncated});
            if let Some(fresh) = server.as_ref().and_then(|server| server["tables"].as_object()) {
                answer.as_object_mut().expect("it was made as one").extend(fresh.clone());
            }
            print_json(&answer)?;
            return Ok(Exit::Ok);
        }
        match result.batches.is_empty() {
            true => println!("no rows"),
            false => println!("{}", table(&result.batches)?),
        }
        if result.truncated {
            eprintln!("only the first {} rows are shown; --rows-max shows more", self.rows_max);
        }
        if let Some(lag) = server.as_ref().and_then(|server| server_status::lag(&server["tables"])) {
            eprintln!("tables {lag}");
        }
        Ok(Exit::Ok)
    }
}

impl Status {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let active = installation.active().await?;
        let counts = installation.catalog.counts().await?;
        let quality = installation.catalog.quality().await?;
        let running = Running::find(&installation.settings.data);
        let server = server_status::ask(running.as_ref());
        let log = log_status(&installation.settings.data, server.as_ref())?;
        // Status is asked for most when something is away.
        let table_files = super::table::overview(&installation).await;
        let drifted = match crate::assemble::load(&installation.settings) {
            Ok(loaded) => {
                let changes = installation.catalog.plan(&loaded.project, &[]).await?;
                changes.iter().any(|change| change.what != seawall_catalog::ChangeKind::Unchanged)
            }
            Err(_) => true,
        };
        let transforms: Vec<String> = transforms(&active.project)?.into_iter().map(|one| one.name).collect();
        let transforms = derived::state(&installation.catalog, &transforms, server.as_ref()).await?;
        let recovery = crate::keeper::state(&installation.catalog, SystemClock.now()).await?;
        if global.json() {
            print_json(&json!({
                "project": active.project.name,
                "revision": active.revision,
                "declarations_differ": drifted,
                "server": running.as_ref().map(|running| &running.url),
                "log": log,
                "progress": server.as_ref().map(|server| &server["progress"]),
                "tables": server.as_ref().map(|server| &server["tables"]),
                "features": server.as_ref().map(|server| &server["features"]),
                "dependencies": server.as_ref().map(|server| &server["dependencies"]),
                "recovery": recovery,
                "datasets": counts,
                "table_files": table_files.as_ref().ok().map(|tables| super::table::overview_json(tables)),
                "table_files_error": table_files.as_ref().err().map(ToString::to_string),
                "quality": quality,
                "transforms": transforms,
                "feature_views": active.views.iter().map(|view| view.id().to_string()).collect::<Vec<_>>(),
                "feature_services": match &server {
                    Some(server) => server["feature_services"].clone(),
                    None => active.services.iter().map(|service| json!({"service": service.id()})).collect(),
                },
                "training_sets": active.project.training_sets.iter().map(|set| set.name.clone()).collect::<Vec<_>>(),
            }))?;
            return Ok(Exit::Ok);
        }
        println!("{} at revision {}", active.project.name, active.revision.short());
        if drifted {
            println!("the declarations in the folder differ from it: `seawall plan` shows how");
        }
        match &running {
            Some(running) => println!("a server runs at {} (process {})", running.url, running.pid),
            None => println!("no server runs on this data folder"),
        }
        if let Some(line) = recovery.line() {
            println!("{line}");
        }
        for line in server.as_ref().map(server_status::lines).unwrap_or_default() {
            println!("{line}");
        }
        print_log(&log);
        println!(
            "\n{:<28} {:>12} {:>12} {:>12} {:>12} {:>12}",
            "dataset", "received", "accepted", "quarantined", "deduplicated", "rejected"
        );
        for dataset in &counts {
            let c = &dataset.counts;
            println!(
                "{:<28} {:>12} {:>12} {:>12} {:>12} {:>12}",
                dataset.dataset,
                count(c.received),
                count(c.accepted),
                count(c.quarantined),
                count(c.deduplicated),
                count(c.rejected)
            );
            if c.released + c.discarded > 0 {
                println!(
                    "    of the quarantined {} were released and {} discarded, {} are in quarantine",
                    count(c.released),
                    count(c.discarded),
                    count(c.in_quarantine())
                );
            }
        }
        if !transforms.is_empty() {
            println!();
        }
        for line in transforms.iter().flat_map(derived::lines) {
            println!("{line}");
        }
        if !quality.is_empty() {
            println!("\n{:<28} {:<24} {:<24} {:<12} {:>10}", "dataset", "rule", "column", "mode", "rows");
        }
        for rule in &quality {
            let column = rule.column.as_deref().unwrap_or("-");
            println!(
                "{:<28} {:<24} {:<24} {:<12} {:>10}",
                rule.dataset,
                rule.rule,
                column,
                rule.mode,
                count(rule.failed)
            );
        }
        match &table_files {
            Ok(tables) => {
                let waiting: usize = tables.iter().map(|(_, files)| files.to_merge).sum();
                let files: usize = tables.iter().map(|(_, files)| files.files).sum();
                println!("\ntables: {}, with {files} files, {waiting} of them to merge", tables.len());
            }
            Err(error) => println!("\ntables cannot be read: {error}"),
        }
        let views: Vec<String> = active.views.iter().map(|view| view.id().to_string()).collect();
        println!("feature views: {}", if views.is_empty() { "none".to_owned() } else { views.join(", ") });
        if !active.services.is_empty() {
            let services: Vec<String> = active.services.iter().map(|service| service.id().to_string()).collect();
            println!("feature services: {}", services.join(", "));
        }
        Ok(Exit::Ok)
    }
}

impl Lineage {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let direction = if self.direction == "down" { Direction::Down } else { Direction::Up };
        let edges = installation.catalog.lineage(&self.object, self.column.as_deref(), direction, self.depth).await?;
        if edges.is_empty() {
            return Err(Error::not_found("SW0905", format!("nothing is known about {:?}", self.object))
                .hint("name a source, a dataset, a feature view with its version (card@1) or a training set; lineage is recorded by `apply`"));
        }
        if global.json() {
            print_json(&json!({"object": self.object, "column": self.column, "edges": edges}))?;
            return Ok(Exit::Ok);
        }
        for edge in edges {
            println!(
                "{}.{}  <-  {}.{}   ({})",
                edge.to_object, edge.to_column, edge.from_object, edge.from_column, edge.via
            );
        }
        Ok(Exit::Ok)
    }
}

impl Audit {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        installation.permit(Action::ReadAudit, "audit").await?;
        installation.catalog.verify_audit().await?;
        let entries = installation.catalog.audit_newest(self.limit).await?;
        if global.json() {
            print_json(&json!({"chain": "intact", "entries": entries}))?;
            return Ok(Exit::Ok);
        }
        for entry in &entries {
            println!(
                "{:>6}  {}  {:<10} {:<20} {:<18} {}",
                entry.seq, entry.at, entry.principal, entry.action, entry.resource, entry.event
            );
        }
        println!("the hash chain of the ledger is intact");
        Ok(Exit::Ok)
    }
}

/// What the log holds, and who needs it, as the running server tells; without one, what its folder shows.
fn log_status(data: &std::path::Path, server: Option<&serde_json::Value>) -> Result<serde_json::Value> {
    match server {
        Some(status) => Ok(status["log"].clone()),
        None => Ok(json!(seawall_storage::log::look(&data.join("log"))?)),
    }
}

fn print_log(log: &serde_json::Value) {
    let Some(bytes) = log["bytes"].as_u64() else { return };
    let first = log["first"].as_u64().unwrap_or_default();
    println!("the log takes {} MB and begins with offset {}", bytes.div_ceil(1 << 20), count(first));
    let holds = log["holds"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(least) = holds.iter().min_by_key(|hold| hold["from"].as_u64()) else { return };
    let by = match least["by"].as_str().unwrap_or_default() {
        "order" => "a start may take the order's checkpoint before the newest".to_owned(),
        "tables" => "tables have not committed them".to_owned(),
        "features" => "no checkpoint of the features has them".to_owned(),
        "monitor" => "the monitor's checkpoint before the newest lacks them".to_owned(),
        _ => format!("they arrived within `log_retention`, {}", log["retention"].as_str().unwrap_or_default()),
    };
    println!("entries from {} on are kept: {by}", count(least["from"].as_u64().unwrap_or_default()));
}
