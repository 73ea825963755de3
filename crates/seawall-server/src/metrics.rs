//! Metrics in the Prometheus text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;

use seawall_pipeline::Pipeline;
use seawall_pipeline::dependency::breaker::State;
use seawall_pipeline::recovery::retention::LogStatus;
use seawall_pipeline::vector_log::ANSWER_TIMES_US;

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
        header(&mut out, "seawall_transform_failed", "gauge", "1 while the last attempt of a transform failed.");
        for (transform, failed) in pipeline.failing_transforms() {
            line(&mut out, "seawall_transform_failed", &[("transform", &transform)], u64::from(failed));
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
        header(&mut out, "seawall_table_writer_rows", "gauge", "Rows in memory that wait for a commit.");
        line(&mut out, "seawall_table_writer_rows", &[], progress.waiting_rows);
        freshness(&mut out, pipeline);
        dependencies(&mut out, pipeline);
        services(&mut out, pipeline);
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

/// How far tables and features lag.
fn freshness(out: &mut String, pipeline: &Pipeline) {
    let stages = [("tables", pipeline.table_freshness()), ("features", pipeline.feature_freshness())];
    let name = "seawall_staleness_milliseconds";
    header(out, name, "gauge", "Age of the oldest acknowledged row that is not in them yet.");
    for (stage, fresh) in &stages {
        line(out, name, &[("stage", stage)], fresh.staleness_ms);
    }
    header(out, "seawall_degraded", "gauge", "1 while answers from them lag more than they should.");
    for (stage, fresh) in &stages {
        line(out, "seawall_degraded", &[("stage", stage)], u64::from(fresh.degraded));
    }
}

/// How fast feature services answered, and what became of their vectors.
fn services(out: &mut String, pipeline: &Pipeline) {
    let all = pipeline.service_counts();
    let all: Vec<_> = all.into_iter().map(|(id, counts)| (id.to_string(), counts)).collect();
    let name = "seawall_feature_service_answer_microseconds";
    header(out, name, "histogram", "Time from a request to its answer.");
    for (id, counts) in &all {
        let mut within = 0;
        let bounds = ANSWER_TIMES_US.iter().map(|bound| bound.to_string()).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&counts.times) {
            within += count;
            line(out, &format!("{name}_bucket"), &[("service", id), ("le", &bound)], within);
        }
        line(out, &format!("{name}_sum"), &[("service", id)], counts.time_us);
        line(out, &format!("{name}_count"), &[("service", id)], within);
    }
    let name = "seawall_feature_service_over_budget_total";
    header(out, name, "counter", "Answers that took longer than the service's budget.");
    for (id, counts) in &all {
        line(out, name, &[("service", id)], counts.over_budget);
    }
    let name = "seawall_feature_service_vectors_total";
    header(out, name, "counter", "Vectors by what became of them; shed and failed ones should have been recorded.");
    for (id, counts) in &all {
        let outcomes = [
            ("recorded", counts.recorded),
            ("left_out", counts.left_out),
            ("shed", counts.shed),
            ("failed", counts.failed),
        ];
        for (outcome, count) in outcomes {
            line(out, name, &[("service", id), ("outcome", outcome)], count);
        }
    }
}

/// How what the pipeline depends on is.
fn dependencies(out: &mut String, pipeline: &Pipeline) {
    let all = pipeline.dependencies().health();
    let name = "seawall_dependency_state";
    header(out, name, "gauge", "Circuit breaker: 0 closed, 1 half open, 2 open, 3 forced open.");
    for health in &all {
        let state = match health.state {
            State::Closed => 0,
            State::HalfOpen => 1,
            State::Open => 2,
            State::ForcedOpen => 3,
        };
        line(out, name, &[("dependency", health.name)], state);
    }
    let name = "seawall_dependency_calls_inflight";
    header(out, name, "gauge", "Calls in flight.");
    for health in &all {
        line(out, name, &[("dependency", health.name)], health.calls_inflight as u64);
    }
    let name = "seawall_dependency_calls_total";
    header(out, name, "counter", "Calls by outcome; refused by the breaker, shed by the bulkhead.");
    for health in &all {
        let calls = health.calls;
        let outcomes = [
            ("answered", calls.answered),
            ("slow", calls.slow),
            ("failed", calls.failed),
            ("timed_out", calls.timed_out),
            ("abandoned", calls.abandoned),
            ("refused", calls.refused),
            ("shed", calls.shed),
        ];
        for (outcome, count) in outcomes {
            line(out, name, &[("dependency", health.name), ("outcome", outcome)], count);
        }
    }
    let name = "seawall_dependency_retries_total";
    header(out, name, "counter", "Retries, made and denied by the budget.");
    for health in &all {
        line(out, name, &[("dependency", health.name), ("budget", "granted")], health.calls.retried);
        line(out, name, &[("dependency", health.name), ("budget", "denied")], health.calls.retries_denied);
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
