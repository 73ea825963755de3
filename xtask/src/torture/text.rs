//! How harnesses and scorecards read.

use std::fmt::Write;

use super::harness::Harness;
use super::scorecard::{Row, Scorecard};

/// The harnesses, one a line.
pub fn list(harnesses: &[Harness]) -> String {
    let mut text = String::new();
    for harness in harnesses {
        let (name, fault) = (harness.name, harness.fault);
        let _ = writeln!(text, "{name:10} {:>6} short {:>6} long  {fault}", harness.short, harness.long);
    }
    text
}

/// A scorecard for a terminal.
pub fn scorecard(card: &Scorecard) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:10} {:>8} {:>6} {:>6} {:>6} {:>9} {:>10}  fault",
        "harness", "trials", "lost", "twice", "silent", "bound 95%", "events"
    );
    for row in &card.rows {
        let _ = match &row.skipped {
            Some(reason) => writeln!(text, "{:10} SKIPPED: {reason}", row.name),
            None => writeln!(
                text,
                "{:10} {:>8} {:>6} {:>6} {:>6} {:>9} {:>10}  {}",
                row.name,
                row.trials,
                row.losses,
                row.duplicates,
                row.silent,
                percent(row),
                row.acknowledged,
                row.fault
            ),
        };
        for line in row.notes.iter().chain(&row.examples) {
            let _ = writeln!(text, "           {line}");
        }
    }
    let _ = writeln!(text, "\nlost {}, duplicated {}, silent {}", card.lost, card.duplicated, card.silent);
    let _ = match &card.sabotage.skipped {
        Some(reason) => writeln!(text, "sabotage SKIPPED: {reason}"),
        None => writeln!(text, "sabotage: {} of {} planted bugs caught", card.sabotage.caught, card.sabotage.planted),
    };
    for bug in card.sabotage.bugs.iter().filter(|bug| !bug.caught) {
        let verdict = if bug.skipped { "SKIPPED" } else { "NOT CAUGHT" };
        let _ = writeln!(text, "           {verdict} {} by {}: {}", bug.name, bug.harness, bug.finding);
    }
    text
}

/// The bound of a row as a percentage.
pub fn percent(row: &Row) -> String {
    format!("{:.2} %", row.bound_95 * 100.0)
}
