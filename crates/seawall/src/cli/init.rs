//! `init`: a project to start from.

use std::path::PathBuf;

use clap::Args;
use seawall_base::Error;
use seawall_base::error::Result;
use seawall_catalog::project::{self, InitOptions, Sample};
use serde_json::json;

use crate::cli::Global;
use crate::output::{Exit, print_json};

/// Rows of the file that are looked at.
const SAMPLE_ROWS: usize = 100_000;

/// Make a project.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall init shop
  seawall init --from trips.parquet --key driver --time started_at shop")]
pub struct Init {
    /// Folder of the new project
    folder: PathBuf,
    /// Infer a contract and a first feature view from this CSV, NDJSON or Parquet file
    #[arg(long, value_name = "FILE", requires_all = ["key", "time"])]
    from: Option<PathBuf>,
    /// Column that identifies the entity of the features; several with commas
    #[arg(long, value_delimiter = ',', requires = "from")]
    key: Vec<String>,
    /// Column with the event time
    #[arg(long, requires = "from")]
    time: Option<String>,
}

impl Init {
    pub(super) fn run(&self, global: &Global) -> Result<Exit> {
        if self.folder.join("seawall.yaml").exists() {
            return Err(Error::invalid("SW0904", format!("{} is a project already", self.folder.display()))
                .hint("name another folder; nothing was changed"));
        }
        let sample = match &self.from {
            None => None,
            Some(file) => {
                let path = std::path::absolute(file)?;
                Some(Sample {
                    batches: crate::lineage::sample(&path, SAMPLE_ROWS)?,
                    format: seawall_pipeline::source::files::format_of(&path)?,
                    path: path.display().to_string(),
                    null_values: Vec::new(),
                })
            }
        };
        let named_after = match &self.from {
            Some(file) => file.file_stem(),
            None => self.folder.file_name(),
        };
        let name = project::identifier(&named_after.map_or_else(|| "project".into(), |name| name.to_string_lossy()));
        let options =
            InitOptions { name, from: sample, key: self.key.clone(), time: self.time.clone().unwrap_or_default() };
        let files = project::init(options)?;
        let mut written = Vec::with_capacity(files.len());
        for (path, content) in &files {
            let target = self.folder.join(path);
            if let Some(parent) = target.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&target, content)?;
            written.push(target.display().to_string());
        }
        if global.json() {
            print_json(&json!({"written": written}))?;
            return Ok(Exit::Ok);
        }
        for path in &written {
            println!("wrote {path}");
        }
        let assumed: Vec<&str> =
            files.iter().flat_map(|(_, content)| content.lines()).filter(|line| line.contains("# assumed:")).collect();
        if !assumed.is_empty() {
            println!("\n{} assumptions are marked `# assumed:`; read them before you rely on them:", assumed.len());
            assumed.iter().for_each(|line| println!("  {}", line.trim()));
        }
        println!("\nnext: seawall -C {} check", self.folder.display());
        Ok(Exit::Ok)
    }
}
