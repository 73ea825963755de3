//! Metrics in the Prometheus text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;

use seawall_pipeline::Pipeline;
use seawall_pipeline::recovery::retention::LogStatus;

/// Counts of requests since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(String, u16), u64>>,
}

impl Metrics {
    /// Counts one answered request.
    pub fn answered(&self, route: &str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *requests.entry((route.to_owned(), status)).or_default() += 1;
    }

    /// The exposition: requests, rows by dataset and verdict, and how far each stage has come.
    pub async fn render(&self, pipeline: &Pipeline) -> String {
        let mut out = String::new();
        header(&mut out, "seawall_http_requests_total", "counter", "Answered requests.");
        {
            let requests = self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for ((route, status), count) in requests.iter() {
                line(
                    &mut out,
                    "seawall_http_requests_total",
                    &[("route", route), ("status", &status.to_string())],
                    *count,
                );
            }
        }
        let accounting = pipeline.accounting().await;
        header(
            &mut out,
            "seawall_rows_total",
            "counter",
            "Rows by dataset and verdict; received is the sum of the others.",
        );
        for (dataset, counts) in &accounting.counts {
            let verdicts = [
                ("received", counts.received),
                ("accepted", counts.accepted),
                ("quarantined", counts.quarantined),
                ("deduplicated", counts.deduplicated),
                ("rejected", counts.rejected),
            ];
            for (verdict, count) in verdicts {
                line(&mut out, "seawall_rows_total", &[("dataset", dataset), ("verdict", verdict)], count);
            }
        }
        header(&mut out, "seawall_dataset_halted", "gauge", "1 while a dataset takes nothing in.");
        for dataset in accounting.halted.keys() {
            line(&mut out, "seawall_dataset_halted", &[("dataset", dataset)], 1);
        }
        let progress = pipeline.progress();
        header(&mut out, "seawall_log_entries", "gauge", "Log entries by stage.");
        let stages = [
            ("durable", progress.durable_entries),
            ("committed", progress.committed_entries),
            ("folded", progress.folded_entries),
        ];
        for (stage, entries) in stages {
            line(&mut out, "seawall_log_entries", &[("stage", stage)], entries);
        }
        log_lines(&mut out, &pipeline.log_status());
        header(&mut out, "seawall_table_store_away", "gauge", "1 while the table store does not answer.");
        line(&mut out, "seawall_table_store_away", &[], u64::from(progress.table_store_away));
        out
    }
}

/// What the log holds, and who keeps it from being retired.
fn log_lines(out: &mut String, log: &LogStatus) {
    header(out, "seawall_log_first_offset", "gauge", "Offset of the oldest row that the log holds.");
    line(out, "seawall_log_first_offset", &[], log.extent.first.0);
    header(out, "seawall_log_bytes", "gauge", "Bytes of the log's segments.");
    line(out, "seawall_log_bytes", &[], log.extent.bytes);
    header(out, "seawall_log_needed_from_entry", "gauge", "First log entry that somebody needs, by who it is.");
    for hold in &log.holds {
        line(out, "seawall_log_needed_from_entry", &[("by", hold.by.as_str())], hold.from);
    }
}

fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    let _ = match labels.is_empty() {
        true => writeln!(out, "{name} {value}"),
        false => writeln!(out, "{name}{{{}}} {value}", labels.join(",")),
    };
}
