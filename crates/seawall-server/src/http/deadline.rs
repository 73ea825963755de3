//! The deadline of a request: `Seawall-Timeout-Ms` says how long the caller waits, and nothing below takes longer.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use seawall_base::error::Result;
use seawall_base::{Error, Span};
use seawall_pipeline::dependency::scope;

use super::error::Failure;
use crate::App;

/// The header, in milliseconds.
const HEADER: &str = "seawall-timeout-ms";
/// The longest that a request may wait.
const TIMEOUT_MS_MAX: i64 = 86_400_000;

/// Answers a request within its deadline, as far as it waits for a dependency.
pub(super) async fn keep(State(app): State<App>, request: Request, next: Next) -> Response {
    match timeout(request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(timeout)) => {
            let until = app.pipeline.dependencies().timer().now() + timeout;
            scope::until(until, next.run(request)).await
        }
        Err(error) => Failure(error).into_response(),
    }
}

fn timeout(headers: &HeaderMap) -> Result<Option<Span>> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let milliseconds: Option<i64> = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    match milliseconds.filter(|milliseconds| (1..=TIMEOUT_MS_MAX).contains(milliseconds)) {
        Some(milliseconds) => Ok(Some(Span(milliseconds * 1_000))),
        None => Err(Error::invalid("SW1306", format!("the header {HEADER} holds {value:?}, which is no time to wait"))
            .hint(format!("send whole milliseconds, 1 to {TIMEOUT_MS_MAX}, or leave it out"))),
    }
}

#[cfg(test)]
mod tests;
