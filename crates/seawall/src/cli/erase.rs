//! `erase`: take a person out of the log and of the tables.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, SystemClock};
use seawall_catalog::policy::Action;
use seawall_catalog::project::keep::Recovery;
use seawall_pipeline::erasure::{Erasure, Whom};
use seawall_pipeline::pipeline::Options;
use serde::Serialize;
use serde_json::json;

use crate::assemble::{Installation, KEYS};
use crate::backup::place;
use crate::cli::{Global, name_and_value};
use crate::client::Running;
use crate::output::{Exit, count, print_json};

/// Take a person out of the log and of the tables.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall erase customer_id=c-17 --reason 'asked for on 2026-05-01'
  seawall erase customer_id=c-17 --reason 'asked for' --backup /mnt/backups/shop
  seawall erase --unnamed visits --reason 'kept too long'

The key of the person's fields in the log is destroyed, which takes them out of every copy of it. The rows go from every
table with this column and from its quarantine, and the versions that still show them are given up, also bound ones.
Works beside a running server. What it does not reach is told.")]
pub struct Erase {
    /// Column that contracts name by `seawall.subject`, and the person's id
    #[arg(value_name = "COLUMN=ID", value_parser = name_and_value, required_unless_present = "unnamed")]
    subject: Option<(String, String)>,
    /// Instead of a person: destroy the key of a dataset's rows that name nobody; its tables stay
    #[arg(long, value_name = "DATASET", conflicts_with = "subject")]
    unnamed: Option<String>,
    /// Why; recorded in the audit ledger
    #[arg(long)]
    reason: String,
    /// A folder of backups that holds a copy of the keys; the declared one is known
    #[arg(long, value_name = "DIR")]
    backup: Vec<PathBuf>,
}

/// What became of the copy of the keys in a folder of backups.
#[derive(Debug, Serialize)]
struct Copy {
    folder: PathBuf,
    is_replaced: bool,
    /// Why it is not.
    error: Option<String>,
}

impl Erase {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let whom = match (&self.subject, &self.unnamed) {
            (_, Some(dataset)) => Whom::Unnamed { dataset: dataset.clone() },
            (Some((column, id)), None) => Whom::Subject { column: column.clone(), id: id.clone() },
            (None, None) => unreachable!("one of them is required"),
        };
        let erasure = self.erase(&installation, &whom).await?;
        let copies = self.replace_copies(&installation).await?;
        match global.json() {
            true => print_json(&json!({"erasure": erasure, "copies": copies}))?,
            false => print(&erasure, &copies),
        }
        // An old copy of the keys opens what was to be erased.
        let is_whole = copies.iter().all(|copy| copy.is_replaced);
        Ok(if is_whole { Exit::Ok } else { Exit::Breach })
    }

    async fn erase(&self, installation: &Installation, whom: &Whom) -> Result<Erasure> {
        if let Some(running) = Running::find(&installation.settings.data) {
            let body = json!({"whom": whom, "reason": self.reason});
            let answer = running.post("/v1/erasures", "application/json", body.to_string().as_bytes())?;
            return serde_json::from_value(answer)
                .map_err(|e| Error::internal("SW0893", "cannot read what was erased").because(e));
        }
        let permit = installation.permit(Action::Administer, "erasure").await?;
        let pipeline = installation.start(Arc::new(SystemClock), Options::default()).await?;
        let erased = pipeline.erase(&permit, whom, &self.reason).await;
        pipeline.stop().await?;
        erased
    }

    async fn replace_copies(&self, installation: &Installation) -> Result<Vec<Copy>> {
        let mut folders = self.backup.clone();
        let active = installation.active().await?;
        let project = &installation.settings.project;
        let declared = Recovery::of(&active.project)?.backup.map(|backup| place::declared(project, &backup.to));
        folders.extend(declared.filter(|place| place::is_bucket(place) || place.exists()));
        folders.dedup();
        let keys = installation.settings.data.join(KEYS);
        let mut copies = Vec::new();
        for folder in folders {
            let replaced = tokio::task::block_in_place(|| replace(installation, &keys, &folder));
            // Nothing was taken into a declared bucket yet, so it has no copy.
            let is_empty = replaced.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
            if is_empty && place::is_bucket(&folder) && !self.backup.contains(&folder) {
                continue;
            }
            let error = replaced.err().map(|error| error.to_string());
            copies.push(Copy { folder, is_replaced: error.is_none(), error });
        }
        Ok(copies)
    }
}

fn replace(installation: &Installation, keys: &Path, place: &Path) -> Result<()> {
    let store = place::reachable(place, &installation.settings.data)?;
    // First, so that no backup that began before brings the old copy.
    let _locked = store.lock("erasure")?;
    store.expect_copies()?.keep_keys(keys)
}

fn print(erasure: &Erasure, copies: &[Copy]) {
    let keys = match erasure.keys_destroyed {
        0 => "no key was left",
        _ => "its key is destroyed: the log and all copies of it are without its personal fields",
    };
    println!("{}: {keys}", erasure.subject);
    for table in &erasure.tables {
        let unbound = match table.unbound.len() {
            0 => String::new(),
            bound => format!("; {bound} of the versions given up were bound to something"),
        };
        println!(
            "  table {:<32} {} rows, version {}, older ones are given up{unbound}",
            table.table,
            count(table.rows),
            table.version.0
        );
    }
    for copy in copies {
        match &copy.error {
            None => println!("  backups in {}: the copy of the keys is replaced", copy.folder.display()),
            Some(error) => println!("  backups in {}: THE OLD COPY OF THE KEYS STAYS: {error}", copy.folder.display()),
        }
    }
    println!("  not reached: {}", erasure.not_reached.join("; "));
}
