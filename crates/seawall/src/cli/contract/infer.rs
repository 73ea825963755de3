//! `contract infer`: a first contract out of a file.

use std::path::PathBuf;

use clap::Args;
use seawall_base::error::Result;
use seawall_catalog::project::{self, Sample};
use serde_json::json;

use crate::cli::Global;
use crate::output::{Exit, print_json};

/// Rows of the file that are looked at, unless told otherwise.
const SAMPLE_ROWS: usize = 100_000;

/// Make a first contract out of a file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall contract infer payments.parquet --key payment_id --time paid_at > payments.odcs.yaml
  seawall contract infer orders.csv --null NA --name orders --to contracts/orders.odcs.yaml

What the rows suggest but do not prove is marked `# assumed:`, what was seen of a column `# seen:`.")]
pub struct Infer {
    /// The file: .parquet, .csv, .ndjson or .jsonl
    data: PathBuf,
    /// Name of the contract and its object; made of the file's name when absent
    #[arg(long)]
    name: Option<String>,
    /// Columns of the primary key; several with commas
    #[arg(long, value_delimiter = ',')]
    key: Vec<String>,
    /// Column with the event time
    #[arg(long)]
    time: Option<String>,
    /// Texts that mean null in a CSV file, besides the empty field; detected when absent
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    null: Vec<String>,
    /// Rows that are looked at
    #[arg(long, default_value_t = SAMPLE_ROWS, value_name = "N")]
    rows: usize,
    /// Write the contract to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl Infer {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let sample = Sample {
            batches: crate::lineage::sample(&self.data, self.rows)?,
            format: seawall_pipeline::source::files::format_of(&self.data)?,
            path: self.data.display().to_string(),
            null_values: self.null.clone(),
        };
        let named_after = self.data.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = self.name.clone().unwrap_or_else(|| project::identifier(&named_after));
        let first = project::infer_contract(&name, &sample, &self.key, self.time.as_deref())?;
        if let Some(path) = &self.to {
            std::fs::write(path, &first.text)?;
        }
        if global.json() {
            print_json(&json!({
                "name": name,
                "written": self.to,
                "contract": first.text,
                "assumptions": first.assumptions,
                "null_values": first.null_values,
                "profile": first.profile,
            }))?;
        } else {
            match &self.to {
                None => print!("{}", first.text),
                Some(path) => println!("wrote {}: {} assumptions to look at", path.display(), first.assumptions.len()),
            }
        }
        Ok(Exit::Ok)
    }
}
