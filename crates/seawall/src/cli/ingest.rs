//! `ingest`: events of a file to a dataset, through the running server or by hand.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use seawall_base::error::Result;
use seawall_base::{Error, SystemClock};
use seawall_catalog::policy::Action;
use seawall_pipeline::pipeline::Options;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::output::{Exit, print_json};

/// Send events.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall ingest payments events.ndjson
  echo '{\"payment_id\": \"p1\"}' | seawall ingest payments -
  seawall ingest payments events.ndjson --idempotency-key 2026-03-01/7")]
pub struct Ingest {
    /// The dataset
    dataset: String,
    /// NDJSON, a JSON array (.json) or an Arrow IPC stream (.arrows); - for NDJSON on standard input
    file: PathBuf,
    /// Form of the events, when the file's name does not tell
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Key of this request: sent again with the same events, it is answered again and nothing is taken in twice
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Ndjson,
    Json,
    Arrow,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::Ndjson => "application/x-ndjson",
            Format::Json => "application/json",
            Format::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

impl Ingest {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let body = self.body()?;
        let content_type = self.format().content_type();
        let settings = global.settings();
        let receipt = match crate::client::Running::find(&settings.data) {
            Some(running) => {
                let mut headers = vec![("content-type", content_type)];
                headers.extend(self.idempotency_key.as_deref().map(|key| ("idempotency-key", key)));
                running.post_with(&format!("/v1/datasets/{}/events", self.dataset), &headers, &body)?
            }
            None => self.by_hand(global, content_type, &body).await?,
        };
        let counts = &receipt["counts"];
        let stopped = counts["quarantined"].as_u64().unwrap_or(0) + counts["rejected"].as_u64().unwrap_or(0);
        if global.json() {
            print_json(&receipt)?;
        } else {
            println!(
                "{} received = {} accepted + {} quarantined + {} deduplicated + {} rejected; durable at cut {}",
                counts["received"],
                counts["accepted"],
                counts["quarantined"],
                counts["deduplicated"],
                counts["rejected"],
                receipt["cut"]
            );
            for row in receipt["rows"].as_array().into_iter().flatten().take(20) {
                let place = row["row"].as_u64().map_or_else(|| "a line".to_owned(), |row| format!("row {row}"));
                println!("  {place} {}", row["verdict"].as_str().unwrap_or_default());
                for reason in row["reasons"].as_array().into_iter().flatten() {
                    println!(
                        "    {}: {}",
                        reason["rule"].as_str().unwrap_or_default(),
                        reason["message"].as_str().unwrap_or_default()
                    );
                }
            }
        }
        Ok(if stopped > 0 { Exit::Breach } else { Exit::Ok })
    }

    fn format(&self) -> Format {
        let extension = self.file.extension().and_then(|extension| extension.to_str());
        self.format.unwrap_or(match extension {
            Some("json") => Format::Json,
            Some("arrow" | "arrows") => Format::Arrow,
            _ => Format::Ndjson,
        })
    }

    fn body(&self) -> Result<Vec<u8>> {
        let limit = seawall_server::ingest::BODY_BYTES_MAX as u64;
        let mut body = Vec::new();
        if self.file.as_os_str() == "-" {
            std::io::stdin().take(limit + 1).read_to_end(&mut body)?;
        } else {
            let file = std::fs::File::open(&self.file)
                .map_err(|e| Error::not_found("SW0907", format!("cannot read {}", self.file.display())).because(e))?;
            file.take(limit + 1).read_to_end(&mut body)?;
        }
        if body.len() as u64 > limit {
            return Err(Error::invalid("SW0889", format!("the events are larger than {limit} bytes"))
                .hint("declare a source with `files:` and use `seawall run` for bulk data"));
        }
        Ok(body)
    }

    async fn by_hand(&self, global: &Global, content_type: &str, body: &[u8]) -> Result<Value> {
        let installation = global.open().await?;
        let permit = installation.permit(Action::Ingest, &self.dataset).await?;
        let pipeline = installation.start(Arc::new(SystemClock), Options::default()).await?;
        let revision = pipeline.revision();
        let source = revision.source_of(&self.dataset)?;
        let gate = revision.dataset(&self.dataset)?;
        let mut incoming =
            seawall_server::ingest::decode(content_type, &body.to_vec().into(), gate, source.source.map.is_some())?;
        if let Some(key) = &self.idempotency_key {
            incoming.key = Some(seawall_server::ingest::request_key(key, content_type, body)?);
        }
        let receipt = pipeline.ingest(&permit, &source.source.name, incoming).await?;
        pipeline.stop().await?;
        Ok(json!(receipt))
    }
}
