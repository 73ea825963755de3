//! Models, decisions and incidents as tables: keys and figures as columns, the whole record as JSON in `body`.

use arrow::record_batch::RecordBatch;
use seawall_base::Result;
use seawall_base::watch::{Incident, Signal};
use serde::Serialize;
use serde_json::json;

use super::columns::Columns;
use crate::database::Connection;
use crate::{decisions, incidents, models};

/// Signals that the table `signals` shows: the newest ones.
const SIGNALS_MAX: i64 = 100_000;

pub(super) async fn models(connection: &mut Connection) -> Result<RecordBatch> {
    let versions = models::all_versions(connection).await?;
    Columns::of(&versions)
        .text("model", |one| one.model.clone())
        .count("version", |one| u64::from(one.version))
        .text("digest", |one| one.digest.to_string())
        .text("definition_hash", |one| one.definition_hash.to_string())
        .text("training_set", |one| one.fingerprint.training_set.clone())
        .count("training_set_version", |one| one.training_set_version.0)
        .text("content", |one| one.fingerprint.content.to_string())
        .instant("trained_at", |one| one.trained_at)
        .instant("trained_from", |one| one.trained_on.from)
        .instant("trained_to", |one| one.trained_on.to)
        .instant("holdout_from", |one| one.holdout.from)
        .instant("holdout_to", |one| one.holdout.to)
        .count("rows", |one| one.rows)
        .count("positives", |one| one.positives)
        .number_maybe("auc", |one| one.evaluation.auc().map(|auc| auc.value))
        .text("evaluation", |one| json(&one.evaluation))
        .instant("recorded_at", |one| one.recorded_at)
        .text("permit", |one| one.permit.clone())
        .finish()
}

pub(super) async fn model_aliases(connection: &mut Connection) -> Result<RecordBatch> {
    let aliases = models::all_aliases(connection).await?;
    Columns::of(&aliases)
        .text("model", |(model, _)| model.clone())
        .count_maybe("champion", |(_, aliases)| aliases.champion.map(u64::from))
        .count_maybe("challenger", |(_, aliases)| aliases.challenger.map(u64::from))
        .count_maybe("former", |(_, aliases)| aliases.former.map(u64::from))
        .instant_maybe("champion_since", |(_, aliases)| aliases.champion_since)
        .finish()
}

pub(super) async fn decisions(connection: &mut Connection) -> Result<RecordBatch> {
    let decisions = decisions::all_decisions(connection).await?;
    Columns::of(&decisions)
        .text("id", |(one, _)| one.id.clone())
        .text("model", |(one, _)| one.model.clone())
        .instant("at", |(one, _)| one.at)
        .text("kind", |(one, _)| one.kind.as_str().to_owned())
        .count_maybe("version", |(one, _)| one.version.map(u64::from))
        .count_maybe("champion", |(one, _)| one.champion.map(u64::from))
        .text_maybe("trigger_kind", |(one, _)| one.trigger.as_ref().map(|trigger| trigger.kind.clone()))
        .text("reason", |(one, _)| one.reason.clone())
        .text_maybe("carries_out", |(one, _)| one.of.clone())
        .text("decided_by", |(one, _)| one.by.clone())
        .text("policy", |(one, _)| one.policy.to_string())
        .text("binds", |(one, _)| one.binds.to_string())
        .text("body", |(one, _)| json(one))
        .text("permit", |(_, permit)| permit.clone())
        .finish()
}

pub(super) async fn approvals(connection: &mut Connection) -> Result<RecordBatch> {
    let approvals = decisions::all_approvals(connection).await?;
    Columns::of(&approvals)
        .text("decision", |one| one.decision.clone())
        .text("principal", |one| one.principal.clone())
        .text("role", |one| one.role.to_string())
        .text("fills", |one| one.fills.clone())
        .text("binds", |one| one.binds.to_string())
        .text("reason", |one| one.reason.clone())
        .instant("at", |one| one.at)
        .text("permit", |one| one.permit.clone())
        .finish()
}

pub(super) async fn signals(connection: &mut Connection) -> Result<RecordBatch> {
    let signals: Vec<Signal> = incidents::newest_signals(connection, SIGNALS_MAX).await?;
    Columns::of(&signals)
        .instant("at", |one| one.at)
        .text("metric", |one| one.metric.clone())
        .text("subject", |one| one.subject.clone())
        .text_maybe("column_name", |one| one.column.clone())
        .text_maybe("slice", |one| one.slice.clone())
        .number_maybe("value", |one| Some(one.value))
        .number_maybe("low", |one| one.interval.map(|(low, _)| low))
        .number_maybe("high", |one| one.interval.map(|(_, high)| high))
        .number_maybe("limit_value", |one| Some(one.limit))
        .flag("breached", |one| one.breached)
        .count("rows", |one| one.rows)
        .instant("window_from", |one| one.window.from)
        .instant("window_to", |one| one.window.to)
        .finish()
}

pub(super) async fn incidents(connection: &mut Connection) -> Result<RecordBatch> {
    let incidents: Vec<Incident> = incidents::all_incidents(connection).await?;
    Columns::of(&incidents)
        .text("id", |one| one.id.clone())
        .text("key", |one| one.key.clone())
        .text("cause", |one| one.cause.as_str().to_owned())
        .text("summary", |one| one.summary.clone())
        .text("subject", |one| one.subject.clone())
        .text_maybe("source", |one| one.source.clone())
        .text_maybe("column_name", |one| one.column.clone())
        .text_maybe("slice", |one| one.slice.clone())
        .number_maybe("factor", |one| one.factor)
        .instant("first_bad_at", |one| one.first_bad_at)
        .instant("opened_at", |one| one.opened_at)
        .instant_maybe("closed_at", |one| one.closed.as_ref().map(|closed| closed.at))
        .text_maybe("closed_by", |one| one.closed.as_ref().map(|closed| closed.by.clone()))
        .text("remedy", |one| one.remedy.action.clone())
        .text("body", json)
        .finish()
}

/// A record as JSON text; what the catalog holds was JSON before.
fn json<T: Serialize>(value: &T) -> String {
    json!(value).to_string()
}
