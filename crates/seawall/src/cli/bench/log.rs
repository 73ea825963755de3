//! `bench log`: the least that any durable log must do, measured: payloads of one group are copied into a buffer, written
//! to a preallocated file at once, and synced.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use clap::Args;
use seawall_base::error::Result;
use seawall_base::{Clock, Span, SystemClock, durable};
use serde_json::json;

use crate::output::print_json;

/// The file's length; it is written from the beginning again when it is full.
const FILE_BYTES: u64 = 64 << 20;

/// Append to a plain file, one sync per group.
#[derive(Debug, Args)]
pub(super) struct Log {
    /// A folder on the disk to measure; the file in it is removed afterwards
    #[arg(long)]
    folder: PathBuf,
    /// Bytes of a payload
    #[arg(long, default_value_t = 10_000)]
    payload_bytes: usize,
    /// Payloads of a group
    #[arg(long, default_value_t = 64)]
    group: usize,
    /// Events that a payload stands for
    #[arg(long, default_value_t = 100)]
    events: u64,
    /// How long to append
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

impl Log {
    pub fn run(&self) -> Result<()> {
        let path = self.folder.join("bench.log");
        let file = durable::create_zeroed(&path, FILE_BYTES)?;
        let measured = self.append(&file);
        durable::remove_file(&path)?;
        let (groups, seconds, mut sync_us) = measured?;
        sync_us.sort_unstable();
        let payloads = groups * self.group as u64;
        print_json(&json!({
            "payloads": payloads,
            "seconds": seconds,
            "events_per_s": (payloads * self.events) as f64 / seconds,
            "bytes_per_s": (payloads * self.payload_bytes as u64) as f64 / seconds,
            "sync_ms_p50": sync_us.get(sync_us.len() / 2).map(|us| *us as f64 / 1e3),
        }))
    }

    fn append(&self, file: &File) -> Result<(u64, f64, Vec<i64>)> {
        let payload = vec![0x5a; self.payload_bytes];
        let mut buffer = Vec::with_capacity(self.payload_bytes * self.group);
        let (mut groups, mut at, mut sync_us) = (0, 0, Vec::new());
        let began = SystemClock.now();
        let end = began + Span((self.seconds * 1e6) as i64);
        while SystemClock.now() < end {
            buffer.clear();
            (0..self.group).for_each(|_| buffer.extend_from_slice(&payload));
            if at + buffer.len() as u64 > FILE_BYTES {
                at = 0;
            }
            file.write_all_at(&buffer, at)?;
            let written = SystemClock.now();
            durable::sync_data(file)?;
            sync_us.push((SystemClock.now() - written).0);
            at += buffer.len() as u64;
            groups += 1;
        }
        Ok((groups, (SystemClock.now() - began).0 as f64 / 1e6, sync_us))
    }
}
