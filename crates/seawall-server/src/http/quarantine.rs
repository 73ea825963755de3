//! Quarantine: what is in it, one row of it, what left; and letting rows leave.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use seawall_base::error::Result;
use seawall_base::{Error, Permit, RowId};
use seawall_catalog::policy::Action;
use seawall_pipeline::quarantine::{Ask, Chosen, Edit, Left, Want, Window};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::{Failure, bad_json};
use super::features::json_rows;
use super::look::{ROWS_DEFAULT, with_freshness};
use super::models::json_of;
use crate::App;

const EXAMPLE: &str = r#"{"rows": ["0:17"], "reason": "the bound was wrong"}"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<usize>,
    /// Only rows that break this rule.
    rule: Option<String>,
}

/// Rows that are in quarantine, newest first.
pub(super) async fn list(
    State(app): State<App>,
    Path(dataset): Path<String>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let permit = sight(&app, &headers, &dataset).await?;
    let fresh = app.pipeline.table_freshness();
    let rows_max = Some(query.limit.unwrap_or(ROWS_DEFAULT));
    let result = window(&app, &permit).open_rows(&dataset, query.rule.as_deref(), rows_max).await?;
    let mut rows = Vec::new();
    for batch in &result.batches {
        rows.extend(json_rows(batch)?);
    }
    let answer = json!({"dataset": dataset, "rows": rows, "truncated": result.truncated});
    Ok(Json(with_freshness(answer, &fresh)))
}

/// One row, with what to do about each reason.
pub(super) async fn show(
    State(app): State<App>,
    Path((dataset, row)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let permit = sight(&app, &headers, &dataset).await?;
    let row: RowId = row.parse()?;
    json_of(&window(&app, &permit).show(&dataset, row).await?)
}

/// What left, those rows included that a rollback brought back.
pub(super) async fn departures(
    State(app): State<App>,
    Path(dataset): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    app.access.permit(catalog, &headers, Action::ReadMetadata, &dataset).await?;
    app.pipeline.revision().dataset(&dataset)?;
    Ok(Json(json!({"dataset": dataset, "departures": catalog.departure_history(&dataset).await?})))
}

/// Rows into the table, as far as the gate lets them.
pub(super) async fn release(
    state: State<App>,
    dataset: Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Left>, Failure> {
    let asked: LeaveBody = read(&body, EXAMPLE)?;
    leave(state, dataset, headers, asked.ask(Want::Release)?).await
}

/// The same with mended values.
pub(super) async fn fix(
    state: State<App>,
    dataset: Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Left>, Failure> {
    let example = r#"{"rows": ["0:17"], "set": {"amount": 5}, "reason": "cents were sent for euros"}"#;
    let asked: FixBody = read(&body, example)?;
    leave(state, dataset, headers, asked.ask()?).await
}

/// Rows out of the quarantine, for ever.
pub(super) async fn discard(
    state: State<App>,
    dataset: Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Left>, Failure> {
    let asked: LeaveBody = read(&body, EXAMPLE)?;
    leave(state, dataset, headers, asked.ask(Want::Discard)?).await
}

async fn leave(
    State(app): State<App>,
    Path(dataset): Path<String>,
    headers: HeaderMap,
    ask: Ask,
) -> Result<Json<Left>, Failure> {
    let catalog = &app.pipeline.parts().catalog;
    let permit = app.access.permit(catalog, &headers, Action::ReleaseQuarantine, &dataset).await?;
    let sight = sight(&app, &headers, &dataset).await?;
    Ok(Json(app.pipeline.leave_quarantine(&permit, &sight, &dataset, &ask).await?))
}

/// What the caller may see of a declared dataset's quarantine.
async fn sight(app: &App, headers: &HeaderMap, dataset: &str) -> Result<Permit> {
    let permit = app.access.permit(&app.pipeline.parts().catalog, headers, Action::ReadRows, dataset).await?;
    app.pipeline.revision().dataset(dataset)?;
    Ok(permit)
}

fn window<'a>(app: &'a App, permit: &'a Permit) -> Window<'a> {
    let parts = app.pipeline.parts();
    Window { engine: parts.engine.as_ref(), catalog: &parts.catalog, permit }
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8], example: &str) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| bad_json(&error, example))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaveBody {
    #[serde(default)]
    rows: Vec<String>,
    #[serde(default)]
    all: bool,
    rule: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

impl LeaveBody {
    fn ask(self, want: Want) -> Result<Ask> {
        let rows = chosen(&self.rows, self.all, self.rule)?;
        Ok(Ask { rows, want, reason: self.reason, dry_run: self.dry_run })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FixBody {
    #[serde(default)]
    rows: Vec<String>,
    #[serde(default)]
    all: bool,
    rule: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    dry_run: bool,
    /// Values by column.
    set: Option<std::collections::BTreeMap<String, Value>>,
    /// The whole row.
    row: Option<Map<String, Value>>,
}

impl FixBody {
    fn ask(self) -> Result<Ask> {
        let rows = chosen(&self.rows, self.all, self.rule)?;
        let is_one = matches!(&rows, Chosen::Rows(rows) if rows.len() == 1);
        let edit = match (self.set, self.row) {
            (Some(values), None) if !values.is_empty() => Edit::Set(values),
            (None, Some(row)) if is_one => Edit::Row(row),
            (None, Some(_)) => {
                return Err(Error::invalid("SW1507", "a whole row is given, but not for exactly one row")
                    .hint("name one row; values by column (`set`) may be given to many"));
            }
            _ => {
                return Err(Error::invalid("SW1507", "nothing is said of what to mend, or too much")
                    .hint("give values by column (`set`), or the whole row (`row`)"));
            }
        };
        Ok(Ask { rows, want: Want::Fix(edit), reason: self.reason, dry_run: self.dry_run })
    }
}

/// The rows that are meant: named ones, or all.
fn chosen(rows: &[String], all: bool, rule: Option<String>) -> Result<Chosen> {
    match (rows.is_empty(), all) {
        (true, true) => Ok(Chosen::Every { rule }),
        (_, false) if rule.is_none() => {
            Ok(Chosen::Rows(rows.iter().map(|row| row.parse()).collect::<Result<Vec<RowId>>>()?))
        }
        (_, false) => Err(Error::invalid("SW1503", "a rule is named, but not that all rows which break it are meant")
            .hint("say `all` with `rule`, or name rows")),
        (false, true) => {
            Err(Error::invalid("SW1503", "rows are named, and all are meant").hint("name rows, or say `all`"))
        }
    }
}
