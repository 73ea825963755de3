//! The catalog as Arrow tables, for SQL: `select * from system.audit`.
//!
//! One snapshot of the database gives all tables, so they agree with each other. Secrets are not among the columns.
//! Hashes and cuts are text in their usual notation, structured values are JSON text, instants are timestamps in UTC.

use arrow::record_batch::RecordBatch;
use seawall_base::{Instant, Result};

use crate::audit;
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult};
use crate::facts::{self, PeriodQuality, RuleFailures, TABLE_MODE};
use crate::intent::{Intent, SELECT_INTENTS};
use crate::lineage;
use crate::policy::{Action, Principal};
use crate::revision::{self, ChangeKind};
use crate::token::Token;
use crate::training;
use crate::transforms::{TransformOutcome, TransformRun};

mod columns;
mod models;

#[cfg(test)]
mod tests;

use columns::Columns;

/// Entries of the audit ledger that the table `audit` shows: the newest ones.
const AUDIT_ENTRIES_MAX: u64 = 100_000;
/// Runs that the table `transform_runs` shows: the newest ones.
const TRANSFORM_RUNS_MAX: u64 = 10_000;
/// Runs that the table `maintenance` shows: the newest ones.
const MAINTENANCE_RUNS_MAX: u64 = 10_000;

impl Catalog {
    /// The system tables that `principal` may read: `audit`, `intents` and `tokens` need the right `read_audit`, the
    /// others `read_metadata`. The rest is absent, so that SQL does not find it.
    pub async fn system_tables_for(&self, principal: &Principal) -> Result<Vec<(String, RecordBatch)>> {
        let mut tables = self.system_tables().await?;
        tables.retain(|(name, _)| self.policy().may(principal, needed(name), &format!("system.{name}")));
        Ok(tables)
    }

    /// Every system table with its name, as they stand now. Tables without rows have their columns all the same; the
    /// tables `audit` and `signals` show the newest 100,000 rows. For a caller with a role there is
    /// [`Catalog::system_tables_for`].
    pub async fn system_tables(&self) -> Result<Vec<(String, RecordBatch)>> {
        let mut reader = self.read().await?;
        let hours = facts::hours(&mut reader, None, Instant::MIN).await?;
        let tables = [
            ("revisions", revisions(&mut reader).await?),
            ("declarations", declarations(&mut reader).await?),
            ("table_versions", table_versions(&mut reader).await?),
            ("ingest_counts", ingest_counts(&mut reader).await?),
            ("quality_results", quality_results(&hours)?),
            ("quality_scores", quality_scores(&hours)?),
            ("quarantine_departures", quarantine_departures(&mut reader).await?),
            ("lineage", lineage_edges(&mut reader).await?),
            ("audit", audit_entries(&mut reader).await?),
            ("intents", intents(&mut reader).await?),
            ("training_sets", training_sets(&mut reader).await?),
            ("certificates", certificates(&mut reader).await?),
            ("tokens", tokens(&mut reader).await?),
            ("maintenance", maintenance_runs(&mut reader).await?),
            ("transform_runs", transform_runs(&mut reader).await?),
            ("models", models::models(&mut reader).await?),
            ("model_aliases", models::model_aliases(&mut reader).await?),
            ("decisions", models::decisions(&mut reader).await?),
            ("approvals", models::approvals(&mut reader).await?),
            ("signals", models::signals(&mut reader).await?),
            ("incidents", models::incidents(&mut reader).await?),
        ];
        Ok(tables.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect())
    }
}

/// The right that reading a system table needs.
fn needed(table: &str) -> Action {
    match table {
        "audit" | "intents" | "tokens" => Action::ReadAudit,
        _ => Action::ReadMetadata,
    }
}

async fn revisions(connection: &mut Connection) -> Result<RecordBatch> {
    let steps = revision::history(connection).await?;
    let active = steps.last().map(|step| step.seq);
    let changed = |step: &crate::Revision| step.changes.iter().filter(|c| c.what != ChangeKind::Unchanged).count();
    Columns::of(&steps)
        .count("seq", |step| step.seq)
        .text("revision", |step| step.revision.to_string())
        .text_maybe("previous", |step| step.previous.map(|hash| hash.to_string()))
        .instant("at", |step| step.at)
        .text("principal", |step| step.principal.clone())
        .text("permit", |step| step.permit.clone())
        .count("changed", |step| changed(step) as u64)
        .flag("active", |step| Some(step.seq) == active)
        .finish()
}

async fn declarations(connection: &mut Connection) -> Result<RecordBatch> {
    let declared = revision::active_declarations(connection).await?;
    Columns::of(&declared)
        .text("kind", |one| one.kind.clone())
        .text("name", |one| one.name.clone())
        .text_maybe("version", |one| one.version.clone())
        .text("hash", |one| one.hash().to_string())
        .text("definition", |one| one.body.to_string())
        .finish()
}

async fn maintenance_runs(connection: &mut Connection) -> Result<RecordBatch> {
    let runs = crate::maintenance::newest(connection, MAINTENANCE_RUNS_MAX).await?;
    Columns::of(&runs)
        .count("seq", |run| run.seq)
        .text("kind", |run| run.kind.clone())
        .instant("at", |run| run.at)
        .text("body", |run| run.body.to_string())
        .text("permit", |run| run.permit.clone())
        .finish()
}

async fn transform_runs(connection: &mut Connection) -> Result<RecordBatch> {
    let runs = crate::transforms::newest(connection, TRANSFORM_RUNS_MAX).await?;
    let failed = |run: &TransformRun| match &run.outcome {
        TransformOutcome::Done => (None, None),
        TransformOutcome::Failed { code, message, .. } => (Some(code.clone()), Some(message.clone())),
    };
    let detail = |run: &TransformRun, key: &str| run.detail.get(key).and_then(serde_json::Value::as_u64);
    Columns::of(&runs)
        .text("transform", |run| run.transform.clone())
        .text("dataset", |run| run.dataset.clone())
        .text("revision", |run| run.revision.clone())
        .instant("started_at", |run| run.started_at)
        .instant("ended_at", |run| run.ended_at)
        .text("outcome", |run| run.outcome.as_str().to_owned())
        .text_maybe("code", |run| failed(run).0)
        .text_maybe("message", |run| failed(run).1)
        .count("attempts", |run| run.attempts)
        .text("inputs", |run| run.detail.get("inputs").map(ToString::to_string).unwrap_or_default())
        .count_maybe("rows_read", |run| detail(run, "rows_read"))
        .count_maybe("rows_made", |run| detail(run, "rows_made"))
        .count_maybe("vanished", |run| detail(run, "vanished"))
        .text("detail", |run| run.detail.to_string())
        .finish()
}

async fn table_versions(connection: &mut Connection) -> Result<RecordBatch> {
    let versions = facts::all_table_versions(connection).await?;
    Columns::of(&versions)
        .text("table_name", |one| one.table.clone())
        .count("version", |one| one.version.0)
        .instant("committed_at", |one| one.committed_at)
        .count("rows", |one| one.rows)
        .text("cut", |one| one.cut.to_string())
        .text("detail", |one| one.detail.to_string())
        .text("permit", |one| one.permit.clone())
        .finish()
}

async fn ingest_counts(connection: &mut Connection) -> Result<RecordBatch> {
    let counts = facts::all_counts(connection).await?;
    Columns::of(&counts)
        .text("dataset", |one| one.dataset.clone())
        .count("received", |one| one.counts.received)
        .count("accepted", |one| one.counts.accepted)
        .count("quarantined", |one| one.counts.quarantined)
        .count("deduplicated", |one| one.counts.deduplicated)
        .count("rejected", |one| one.counts.rejected)
        .count("released", |one| one.counts.released)
        .count("discarded", |one| one.counts.discarded)
        .instant("updated_at", |one| one.updated_at)
        .finish()
}

fn quality_results(hours: &[PeriodQuality]) -> Result<RecordBatch> {
    let results: Vec<(&PeriodQuality, &RuleFailures)> =
        hours.iter().flat_map(|hour| hour.rules.iter().map(move |rule| (hour, rule))).collect();
    let checked = |hour: &PeriodQuality, rule: &RuleFailures| (rule.mode != TABLE_MODE).then_some(hour.counts.received);
    Columns::of(&results)
        .text("dataset", |(hour, _)| hour.dataset.clone())
        .instant("hour", |(hour, _)| hour.from)
        .text("rule", |(_, rule)| rule.rule.clone())
        .text_maybe("column_name", |(_, rule)| rule.column.clone())
        .text("mode", |(_, rule)| rule.mode.clone())
        .count_maybe("checked", |(hour, rule)| checked(hour, rule))
        .count("failed", |(_, rule)| rule.rows)
        .number_maybe("score", |(hour, rule)| hour.score_of(rule))
        .finish()
}

fn quality_scores(hours: &[PeriodQuality]) -> Result<RecordBatch> {
    let scored: Vec<&PeriodQuality> = hours.iter().filter(|hour| hour.counts.received > 0).collect();
    Columns::of(&scored)
        .text("dataset", |hour| hour.dataset.clone())
        .instant("hour", |hour| hour.from)
        .count("received", |hour| hour.counts.received)
        .count("accepted", |hour| hour.counts.accepted)
        .count("quarantined", |hour| hour.counts.quarantined)
        .count("deduplicated", |hour| hour.counts.deduplicated)
        .count("rejected", |hour| hour.counts.rejected)
        .number_maybe("score", |hour| hour.score())
        .finish()
}

async fn quarantine_departures(connection: &mut Connection) -> Result<RecordBatch> {
    let departures = facts::all_departures(connection).await?;
    Columns::of(&departures)
        .text("dataset", |one| one.dataset.clone())
        .count("partition", |one| u64::from(one.row.partition.0))
        .count("lsn", |one| one.row.offset.0)
        .text("outcome", |one| one.outcome.as_str().to_owned())
        .instant("arrived_at", |one| one.arrived_at)
        .instant("left_at", |one| one.left_at)
        .count_maybe("released_lsn", |one| one.released_as.map(|row| row.offset.0))
        .text("changed", |one| one.changed.join(", "))
        .text("contract", |one| one.contract.clone())
        .text("principal", |one| one.by.clone())
        .text("permit", |one| one.permit.clone())
        .text("reason", |one| one.reason.clone())
        .instant_maybe("withdrawn_at", |one| one.withdrawn_at)
        .finish()
}

async fn lineage_edges(connection: &mut Connection) -> Result<RecordBatch> {
    let edges = match revision::active_hash(connection).await? {
        Some(revision) => lineage::of_revision(connection, revision).await?,
        None => Vec::new(),
    };
    Columns::of(&edges)
        .text("from_object", |edge| edge.from_object.clone())
        .text("from_column", |edge| edge.from_column.clone())
        .text("to_object", |edge| edge.to_object.clone())
        .text("to_column", |edge| edge.to_column.clone())
        .text("via", |edge| edge.via.clone())
        .finish()
}

async fn audit_entries(connection: &mut Connection) -> Result<RecordBatch> {
    let entries = audit::newest(connection, AUDIT_ENTRIES_MAX).await?;
    Columns::of(&entries)
        .count("seq", |entry| entry.seq)
        .instant("at", |entry| entry.at)
        .text("event", |entry| entry.event.clone())
        .text("principal", |entry| entry.principal.clone())
        .text("action", |entry| entry.action.clone())
        .text("resource", |entry| entry.resource.clone())
        .text("permit", |entry| entry.permit.clone())
        .text("detail", |entry| entry.detail.clone())
        .text("previous", |entry| entry.previous.to_string())
        .text("hash", |entry| entry.hash.to_string())
        .finish()
}

async fn intents(connection: &mut Connection) -> Result<RecordBatch> {
    let rows = sqlx::query(SELECT_INTENTS).fetch_all(connection).await.during("listing intents")?;
    let intents: Vec<Intent> = rows.iter().map(Intent::from_row).collect::<Result<_>>()?;
    Columns::of(&intents)
        .text("id", |one| one.id.to_string())
        .text("kind", |one| one.effect.kind.clone())
        .text("target", |one| one.effect.target.clone())
        .text("expected", |one| one.effect.expected.to_string())
        .text("principal", |one| one.principal.clone())
        .text("permit", |one| one.permit.clone())
        .instant("opened_at", |one| one.opened_at)
        .instant_maybe("resolved_at", |one| one.resolved_at)
        .text_maybe("outcome", |one| one.outcome.as_ref().map(|outcome| outcome.to_string()))
        .finish()
}

async fn training_sets(connection: &mut Connection) -> Result<RecordBatch> {
    let builds = training::all_builds(connection).await?;
    Columns::of(&builds)
        .text("name", |build| build.name.clone())
        .count("table_version", |build| build.table_version.0)
        .text("revision", |build| build.fingerprint.revision.clone())
        .count("rows", |build| build.fingerprint.rows)
        .count("labelled", |build| build.fingerprint.labelled)
        .text("content", |build| build.fingerprint.content.to_string())
        .instant("built_at", |build| build.fingerprint.built_at)
        .instant("recorded_at", |build| build.recorded_at)
        .text("permit", |build| build.permit.clone())
        .finish()
}

async fn certificates(connection: &mut Connection) -> Result<RecordBatch> {
    let certificates = training::all_certificates(connection).await?;
    Columns::of(&certificates)
        .text("kind", |one| one.kind.clone())
        .text("subject", |one| one.subject.clone())
        .text("hash", |one| one.hash.to_string())
        .text("body", |one| one.body.to_string())
        .instant("recorded_at", |one| one.recorded_at)
        .text("permit", |one| one.permit.clone())
        .finish()
}

async fn tokens(connection: &mut Connection) -> Result<RecordBatch> {
    let tokens: Vec<Token> = crate::token::all(connection).await?;
    Columns::of(&tokens)
        .text("id", |token| token.id.to_string())
        .text("name", |token| token.name.clone())
        .text("role", |token| token.role.to_string())
        .text("groups", |token| token.groups.join(", "))
        .instant("created_at", |token| token.created_at)
        .text("created_by", |token| token.created_by.clone())
        .instant_maybe("expires_at", |token| token.expires_at)
        .instant_maybe("revoked_at", |token| token.revoked_at)
        .finish()
}
