//! `table`: versions and files of tables; merge small files, give up old versions.

use clap::Subcommand;
use seawall_base::declare::TableSettings;
use seawall_base::error::Result;
use seawall_base::upkeep::{TableFiles, Vacuum, VersionInfo};
use seawall_base::{Span, SystemClock, TableName, TableStore, TableUpkeep};
use seawall_catalog::policy::Action;
use seawall_pipeline::upkeep::Tables;
use serde_json::json;

use crate::assemble::Installation;
use crate::cli::Global;
use crate::output::{Exit, count, print_json};

/// Look at tables, and look after them.
#[derive(Debug, Subcommand)]
pub enum Table {
    /// Every table: version, rows, files, and how many files wait to be merged
    #[command(after_help = "Example:\n  seawall table list")]
    List,
    /// The commits of a table, the newest last
    #[command(after_help = "Example:\n  seawall table versions payments --limit 20")]
    Versions {
        /// The table, as `table list` shows it
        name: String,
        /// Versions shown at most, the newest
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Merge small files now; a server does so by itself
    #[command(after_help = "\
Example:
  seawall table compact payments

Rows, their identity and the cut stay; older versions stay readable. Appends go on meanwhile, also of a running
server.")]
    Compact {
        /// The table
        name: String,
    },
    /// Give up old versions and remove the files that only they need
    #[command(after_help = "\
Examples:
  seawall table vacuum payments                     what would go
  seawall table vacuum payments --keep 7d --run     do it

A version that a built training set or a certificate is bound to stays readable, whatever its age. A query that runs
longer than --keep may lose the files that it reads.")]
    Vacuum {
        /// The table
        name: String,
        /// Versions stay that were the newest within this time; the project's `keep_versions` when absent
        #[arg(long)]
        keep: Option<Span>,
        /// Do it
        #[arg(long)]
        run: bool,
    },
}

impl Table {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        match self {
            Table::List => list(global, &installation).await,
            Table::Versions { name, limit } => versions(global, &installation, name, *limit).await,
            Table::Compact { name } => compact(global, &installation, name).await,
            Table::Vacuum { name, keep, run } => vacuum(global, &installation, name, *keep, *run).await,
        }
    }
}

/// The settings of the applied project; the defaults when nothing is applied.
async fn settings(installation: &Installation) -> Result<TableSettings> {
    let active = installation.catalog.active().await?;
    Ok(active.and_then(|active| active.project.tables).unwrap_or_default())
}

/// The files of every table.
pub(super) async fn overview(installation: &Installation) -> Result<Vec<(TableName, TableFiles)>> {
    let targets = settings(installation).await?.targets();
    let mut tables = Vec::new();
    for table in installation.tables.tables().await? {
        let files = installation.tables.files(&table, &targets).await?;
        tables.push((table, files));
    }
    Ok(tables)
}

/// `overview` as JSON.
pub(super) fn overview_json(tables: &[(TableName, TableFiles)]) -> serde_json::Value {
    let one = |(table, files): &(TableName, TableFiles)| json!({"table": table, "files": files});
    json!(tables.iter().map(one).collect::<Vec<_>>())
}

async fn list(global: &Global, installation: &Installation) -> Result<Exit> {
    installation.permit(Action::ReadMetadata, "tables").await?;
    let tables = overview(installation).await?;
    if global.json() {
        let tables = overview_json(&tables);
        return print_json(&json!({"home": installation.tables.home().to_string(), "tables": tables}))
            .map(|()| Exit::Ok);
    }
    println!("tables lie in {}", installation.tables.home());
    println!(
        "{:<40} {:>8} {:>14} {:>7} {:>16} {:>9}  held for",
        "table", "version", "rows", "files", "bytes", "to merge"
    );
    for (table, files) in &tables {
        println!(
            "{:<40} {:>8} {:>14} {:>7} {:>16} {:>9}  {}",
            table.as_str(),
            files.version.0,
            count(files.rows),
            files.files,
            count(files.bytes),
            files.to_merge,
            files.lease.as_deref().unwrap_or("-")
        );
    }
    Ok(Exit::Ok)
}

async fn versions(global: &Global, installation: &Installation, name: &str, limit: usize) -> Result<Exit> {
    installation.permit(Action::ReadMetadata, name).await?;
    let table = TableName::new(name)?;
    let all = installation.tables.versions(&table).await?;
    let newest: &[VersionInfo] = &all[all.len().saturating_sub(limit)..];
    if global.json() {
        return print_json(&json!({"table": table, "versions": newest, "more": all.len() - newest.len()}))
            .map(|()| Exit::Ok);
    }
    println!("{:>8}  {:<28} {:<14} {:>6} {:>8}  moved to", "version", "committed", "operation", "added", "removed");
    for info in newest {
        println!(
            "{:>8}  {:<28} {:<14} {:>6} {:>8}  {}",
            info.version.0,
            info.committed_at.to_string(),
            info.operation,
            info.added_files,
            info.removed_files,
            info.moved
        );
    }
    Ok(Exit::Ok)
}

/// What looks after the tables of an installation.
pub(super) fn tables(installation: &Installation) -> Tables {
    Tables {
        tables: installation.tables.clone(),
        upkeep: installation.tables.clone(),
        catalog: installation.catalog.clone(),
        clock: std::sync::Arc::new(SystemClock),
    }
}

async fn compact(global: &Global, installation: &Installation, name: &str) -> Result<Exit> {
    let permit = installation.permit(Action::WriteTable, name).await?;
    let table = TableName::new(name)?;
    let targets = settings(installation).await?.targets();
    let (mut merged, mut written, mut runs) = (0, 0, 0);
    let version = loop {
        let run = tables(installation).compact(&permit, &table, &targets).await?;
        merged += run.merged_files;
        written += run.written_files;
        runs += usize::from(run.merged_files > 0);
        if !run.more {
            break run.version;
        }
    };
    let files = installation.tables.files(&table, &targets).await?;
    if global.json() {
        let told = json!({"table": table, "table_version": version, "runs": runs, "merged_files": merged,
            "written_files": written, "files": files});
        return print_json(&told).map(|()| Exit::Ok);
    }
    match runs {
        0 => println!("table {table} has no files to merge ({} files, version {})", files.files, version.0),
        _ => println!(
            "{merged} files became {written}; table {table} has {} files at version {}",
            files.files, version.0
        ),
    }
    Ok(Exit::Ok)
}

async fn vacuum(
    global: &Global,
    installation: &Installation,
    name: &str,
    keep: Option<Span>,
    run: bool,
) -> Result<Exit> {
    let permit = installation.permit(Action::Administer, name).await?;
    let table = TableName::new(name)?;
    let keep = match keep {
        Some(keep) => keep,
        None => settings(installation).await?.keep_versions,
    };
    let vacuum: Vacuum = tables(installation).vacuum(&permit, &table, keep, !run).await?;
    if global.json() {
        return print_json(&json!({"table": table, "keep": keep, "done": run, "vacuum": vacuum})).map(|()| Exit::Ok);
    }
    let word = if run { "removed" } else { "would remove" };
    println!(
        "{word} {} data files ({} bytes) and {} log files of table {table}",
        vacuum.data_files,
        count(vacuum.data_bytes),
        vacuum.log_files
    );
    println!("versions from {} on {} readable", vacuum.readable_from.0, if run { "are" } else { "would stay" });
    if !vacuum.pinned.is_empty() {
        let pinned: Vec<String> = vacuum.pinned.iter().map(|version| version.0.to_string()).collect();
        println!("older ones stay because something is bound to them: {}", pinned.join(", "));
    }
    if vacuum.staged_kept > 0 {
        println!("{} staged files that no version shows stay: a load may be about to show them", vacuum.staged_kept);
    }
    if !run {
        println!("nothing was removed; --run does it");
    }
    Ok(Exit::Ok)
}
