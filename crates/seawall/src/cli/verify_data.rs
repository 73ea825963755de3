//! `verify data`: is everything that was kept still what was written?

use seawall_base::error::Result;
use seawall_base::{Clock, Finding, Severity, SystemClock};
use serde_json::json;

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
        true => print_json(&json!({
            "whole": report.is_whole(),
            "findings": report.findings,
            "objects": report.objects,
            "not_checked": report.not_checked,
            "bytes": report.bytes,
            "elapsed_ms": elapsed_ms,
        }))?,
        false => told(&report, elapsed_ms),
    }
    Ok(if report.is_whole() { Exit::Ok } else { Exit::Breach })
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
