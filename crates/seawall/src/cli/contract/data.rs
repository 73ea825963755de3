//! The rows that a command looks at: a file, or standard input.

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use seawall_base::Error;
use seawall_base::declare::FileFormat;
use seawall_base::error::Result;
use seawall_pipeline::source::files::{self, Content};

/// Stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Rows, and how they are read.
#[derive(Debug, Args)]
pub(super) struct Data {
    /// The rows: a .parquet, .csv, .ndjson or .jsonl file, as a path or as file:// URI; `-` for standard input
    pub data: String,
    /// Format of the rows, when the file's name does not tell it
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Texts that mean null in a CSV file, besides the empty field
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub null: Vec<String>,
}

/// A format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line
    Ndjson,
    /// With a header line
    Csv,
    /// Apache Parquet
    Parquet,
}

impl Data {
    /// The rows and their format. Standard input is read to its end.
    ///
    /// # Errors
    /// SW0703 when nothing tells the format, SW0252 for data that lies elsewhere.
    pub(super) fn open(&self) -> Result<(Content, FileFormat)> {
        let given = self.format.map(|format| match format {
            Format::Ndjson => FileFormat::Ndjson,
            Format::Csv => FileFormat::Csv,
            Format::Parquet => FileFormat::Parquet,
        });
        if self.data == STANDARD_INPUT {
            let format = given.ok_or_else(|| {
                Error::invalid("SW0703", "standard input does not tell its format")
                    .hint("say --format ndjson, csv or parquet")
            })?;
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            return Ok((Content::Bytes("standard input".into(), bytes.into()), format));
        }
        let path = local_path(&self.data)?;
        let format = match given {
            Some(format) => format,
            None => files::format_of(&path)
                .map_err(|error| error.hint("say --format ndjson, csv or parquet, or rename the file"))?,
        };
        Ok((Content::File(path), format))
    }

    /// What the file is called, without folder and ending; empty for standard input.
    pub(super) fn stem(&self) -> String {
        if self.data == STANDARD_INPUT {
            return String::new();
        }
        let path = PathBuf::from(&self.data);
        path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// The path behind a `file://` URI, or the path itself.
fn local_path(data: &str) -> Result<PathBuf> {
    match data.split_once("://") {
        None => Ok(PathBuf::from(data)),
        Some(("file", path)) => Ok(PathBuf::from(path.strip_prefix("localhost").unwrap_or(path))),
        Some((scheme, _)) => Err(Error::invalid("SW0252", format!("{scheme}:// is not read by this command"))
            .hint("copy the object into a file, or declare a source and let it pass the gate")),
    }
}
