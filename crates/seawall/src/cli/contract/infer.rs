//! `contract infer`: a first contract out of a file.

use std::path::PathBuf;

use clap::Args;
use seawall_base::error::Result;
use seawall_catalog::project::{self, Sample};
use seawall_pipeline::source::files;
use serde_json::json;

use super::data::Data;
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
    #[command(flatten)]
    data: Data,
    /// Name of the contract and its object; made of the file's name when absent
    #[arg(long)]
    name: Option<String>,
    /// Columns of the primary key; several with commas
    #[arg(long, value_delimiter = ',')]
    key: Vec<String>,
    /// Column with the event time
    #[arg(long)]
    time: Option<String>,
    /// Rows that are looked at
    #[arg(long, default_value_t = SAMPLE_ROWS, value_name = "N")]
    rows: usize,
    /// Write the contract to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

impl Infer {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        let (content, format) = self.data.open()?;
        let sample = Sample {
            batches: files::sample_content(&content, format, self.rows)?,
            format,
            path: self.data.data.clone(),
            null_values: self.data.null.clone(),
        };
        let named_after = || project::identifier(&self.data.stem());
        let name = self.name.clone().unwrap_or_else(named_after);
        let first = project::infer_contract(&name, &sample, &self.key, self.time.as_deref())?;
        if let Some(path) = &self.to {
            std::fs::write(path, &first.text)?;
        }
        if global.json() {
            let mut told = first.to_json(&name);
            told["written"] = json!(self.to);
            print_json(&told)?;
        } else {
            match &self.to {
                None => print!("{}", first.text),
                Some(path) => println!("wrote {}: {} assumptions to look at", path.display(), first.assumptions.len()),
            }
        }
        Ok(Exit::Ok)
    }
}
