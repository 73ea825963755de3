//! The gate of a training set: rows that break the set's own contract do not get into a version, so no trainer sees them.
//!
//! Rules are held to all rows together, as to one batch. A rule in mode `quarantine` leaves the rows out that break it; one
//! that rejects or halts keeps the version from being published at all; one that warns is counted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use seawall_base::Instant;
use seawall_base::declare::TrainingSet;
use seawall_base::engine::{BrokenRule, Gated};
use seawall_base::error::{Error, Result};
use seawall_kernel::contract::{Input, Mode, Reason, Verdict, compile_own};

use super::LABEL;

/// Column with the reasons of a stopped row.
const REASONS: &str = "_reasons";

/// The rows that a training set's own contract lets pass, and what it said; all of them when it has none.
pub(super) fn hold(
    training_set: &TrainingSet,
    rows: RecordBatch,
    now: Instant,
) -> Result<(RecordBatch, Option<Gated>)> {
    let Some(contract) = &training_set.contract else { return Ok((rows, None)) };
    let name = &training_set.name;
    let gate = compile_own(name, contract).map_err(|problems| {
        let first = problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
        Error::invalid("SW1513", format!("the contract of training set {name} does not compile: {first}"))
            .hint("run `seawall check`")
    })?;
    let verdict = gate.check(&rows, Input::Typed, now);
    if let Some(reason) = verdict.halt.iter().chain(verdict.rejected.iter().flatten()).next() {
        return Err(refused(name, &verdict, reason));
    }
    let broken = broken_rules(&verdict);
    let passed: UInt32Array = verdict.accepted_rows.iter().copied().collect();
    let stopped: UInt32Array = verdict.quarantined.iter().map(|stopped| stopped.row).collect();
    let stopped_rows = take_record_batch(&rows, &stopped)?;
    let stopped = with_reasons(&stopped_rows, verdict.quarantined.iter().map(|stopped| stopped.reasons.as_slice()))?;
    let rows = if stopped.num_rows() == 0 { rows } else { take_record_batch(&rows, &passed)? };
    Ok((rows, Some(Gated { stopped, broken })))
}

fn refused(name: &str, verdict: &Verdict, first: &Reason) -> Error {
    let all = verdict.halt.iter().chain(verdict.rejected.iter().flatten());
    let told: Vec<String> = all.map(|reason| format!("{}: {}", reason.rule, reason.message)).collect();
    let message = format!("training set {name} breaks its contract, so no version is published: {}", told.join("; "));
    Error::invalid("SW1511", message).hint(format!("{}; then build it again", first.remedy()))
}

/// Each broken rule once, with the first message as example.
fn broken_rules(verdict: &Verdict) -> Vec<BrokenRule> {
    let mut broken: Vec<BrokenRule> = Vec::new();
    for reason in verdict.quarantined.iter().flat_map(|stopped| &stopped.reasons) {
        if reason.mode == Mode::Warn {
            // Counted below, with the rows that were not stopped.
            continue;
        }
        match broken.iter_mut().find(|known| known.rule == reason.rule && known.column == reason.column) {
            Some(known) => known.rows += 1,
            None => broken.push(BrokenRule {
                rule: reason.rule.clone(),
                column: reason.column.clone(),
                mode: reason.mode.as_str().to_owned(),
                rows: 1,
                message: reason.message.clone(),
            }),
        }
    }
    for warning in &verdict.warnings {
        // Columns that the contract does not name are not judged.
        if warning.rule == "unknown_column" {
            continue;
        }
        broken.push(BrokenRule {
            rule: warning.rule.clone(),
            column: warning.column.clone(),
            mode: Mode::Warn.as_str().to_owned(),
            rows: warning.rows,
            message: warning.message.clone(),
        });
    }
    broken
}

fn with_reasons<'r>(rows: &RecordBatch, reasons: impl Iterator<Item = &'r [Reason]>) -> Result<RecordBatch> {
    let mut texts = Vec::with_capacity(rows.num_rows());
    for reasons in reasons {
        let text = serde_json::to_string(reasons);
        texts.push(text.map_err(|e| Error::internal("SW0801", "cannot encode reasons").because(e))?);
    }
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    fields.push(Arc::new(Field::new(REASONS, DataType::Utf8, false)));
    columns.push(Arc::new(StringArray::from(texts)));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Rows with a label.
pub(super) fn labelled(rows: &RecordBatch) -> u64 {
    rows.column_by_name(LABEL).map_or(0, |labels| (labels.len() - labels.null_count()) as u64)
}
