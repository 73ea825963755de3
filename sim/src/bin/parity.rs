//! `seawall-parity`: random histories until so many served values were compared with the sweep; prints what they came to.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, anyhow};
use clap::Parser;
use seawall_base::{Clock, SystemClock};
use seawall_sim::parity::{Tally, history};
use serde_json::json;

/// Drives the online store and the sweep with the same random histories and demands equal bits.
#[derive(Debug, Parser)]
struct Options {
    /// How many served values to compare at least
    #[arg(long, default_value_t = 1_000_000)]
    values: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Things that happen in one history
    #[arg(long, default_value_t = 120)]
    steps: u64,
    /// Histories at the same time
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let began = SystemClock.now();
    let (next, sum) = (AtomicU64::new(options.first), Mutex::new(Tally::default()));
    let lock = || sum.lock().map_err(|_| anyhow!("a history panicked"));
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while lock()?.values < options.values {
                let tally = history(next.fetch_add(1, Ordering::Relaxed), options.steps)?;
                lock()?.add(tally);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..options.threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a history panicked"))?)
    })?;
    let tally = lock()?.clone();
    let seconds = (SystemClock.now() - began).0 as f64 / 1e6;
    println!("{}", json!({"version": 1, "seeds_from": options.first, "seconds": seconds, "tally": tally}));
    Ok(if tally.mismatched == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
