//! `bench`: what the benches in `bench/` need that Python is too slow for. Each part prints one JSON object.

mod load;
mod log;
mod request;
mod requests;
mod wire;

use clap::{Args, Subcommand};
use seawall_base::error::Result;

use crate::cli::Global;
use crate::output::Exit;

/// Measure.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Send events to a running server as fast as it acknowledges them
    #[command(after_help = "Example:\n  seawall bench load --form arrow --connections 64 --seconds 10")]
    Load(load::Load),
    /// Send requests from a file to a server, as fast as it answers or at a rate
    #[command(after_help = "Example:\n  seawall bench requests --bodies asked.ndjson --rate 3000 --connections 16")]
    Requests(requests::Requests),
    /// Append to a plain file as the log does, one sync per group: what the disk allows
    #[command(after_help = "Example:\n  seawall bench log --folder /var/lib/seawall --seconds 5")]
    Log(log::Log),
}

impl Bench {
    pub(super) async fn run(&self, _: &Global) -> Result<Exit> {
        match &self.part {
            Part::Load(load) => load.run().await?,
            Part::Requests(requests) => requests.run()?,
            Part::Log(log) => log.run()?,
        }
        Ok(Exit::Ok)
    }
}
