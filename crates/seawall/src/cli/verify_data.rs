//! `verify data`: is everything that was kept still what was written?

use std::io::Write;

use seawall_base::error::Result;
use seawall_base::{Clock, Error, Finding, Severity, SystemClock};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::integrity::{self, Pace, Places, Report};
use crate::output::{Exit, bytes, print_json};
use crate::progress::Bar;

pub(super) async fn run(global: &Global) -> Result<Exit> {
    let places = Places::of(&global.settings().data)?;
    let bar = Bar::reading("verify");
    let shown = bar.clone();
    let pace = Pace::unbounded(Box::new(move |what, bytes| shown.read(what, bytes)));
    let began = SystemClock.now();
    let (report, _) = integrity::check(&places, &pace).await?;
    let elapsed_ms = u64::try_from((SystemClock.now().0 - began.0) / 1_000).unwrap_or(0);
    bar.done();
    match global.json() {
        true => print_json(&as_json(&report, elapsed_ms))?,
        false => told(&report, elapsed_ms),
    }
    Ok(if report.is_whole() { Exit::Ok } else { Exit::Breach })
}

/// Checks once per line of standard input: for whoever changes something in between, or watches. Nothing is kept from one
/// check to the next. The exit code is that of the worst check.
pub(super) async fn again(global: &Global) -> Result<Exit> {
    let mut was_whole = true;
    while next_line().await? {
        let began = SystemClock.now();
        let checked = async {
            let places = Places::of(&global.settings().data)?;
            integrity::check(&places, &Pace::unbounded(Box::new(|_, _| {}))).await
        };
        match checked.await {
            Ok((report, _)) => {
                let elapsed_ms = u64::try_from((SystemClock.now().0 - began.0) / 1_000).unwrap_or(0);
                was_whole &= report.is_whole();
                print_json(&as_json(&report, elapsed_ms))?;
            }
            // What cannot be checked is not whole, and the next check may find it otherwise.
            Err(error) => {
                was_whole = false;
                print_json(&json!({"whole": false, "error": {"code": error.code(), "message": error.to_string()}}))?;
            }
        }
        std::io::stdout().flush()?;
    }
    Ok(if was_whole { Exit::Ok } else { Exit::Breach })
}

/// Waits for a line of standard input; false at its end.
async fn next_line() -> Result<bool> {
    let read = || std::io::stdin().lines().next().transpose();
    let read = tokio::task::spawn_blocking(read).await;
    let line = read.map_err(|e| Error::internal("SW1404", "a check was cut off").because(e))??;
    Ok(line.is_some())
}

fn as_json(report: &Report, elapsed_ms: u64) -> Value {
    json!({
        "whole": report.is_whole(),
        "findings": report.findings,
        "objects": report.objects,
        "not_checked": report.not_checked,
        "bytes": report.bytes,
        "elapsed_ms": elapsed_ms,
    })
}

fn told(report: &Report, elapsed_ms: u64) {
    for object in &report.objects {
        let state = match object.findings {
            0 => "whole".to_owned(),
            1 => "1 finding".to_owned(),
            more => format!("{more} findings"),
        };
        println!("{:<32} {:<48} {:>10}  {state}", object.object, object.parts, bytes(object.bytes));
    }
    for finding in &report.findings {
        print_finding(finding);
    }
    for skipped in &report.not_checked {
        println!("not checked: {skipped}");
    }
    let per_second = report.bytes.saturating_mul(1_000) / elapsed_ms.max(1);
    let found = match report.findings.len() {
        0 => "everything is whole".to_owned(),
        1 => "1 finding".to_owned(),
        more => format!("{more} findings"),
    };
    println!("{found}; {} read in {elapsed_ms} ms, {}/s", bytes(report.bytes), bytes(per_second));
}

pub(super) fn print_finding(finding: &Finding) {
    let severity = match finding.severity {
        Severity::Low => "low",
        Severity::High => "high",
        Severity::Critical => "critical",
    };
    println!("{severity}: {}: {}", finding.object, finding.what);
    if let Some(file) = &finding.file {
        let byte = finding.byte.map_or(String::new(), |byte| format!(", byte {byte}"));
        println!("  where: {}{byte}", file.display());
    }
    println!("  means: {}", finding.consequence);
    println!("  do:    {}", finding.remedy);
}
