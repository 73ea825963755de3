//! `POST /v1/datasets/{dataset}/events`: NDJSON, a JSON array or an Arrow IPC stream, plain, gzip or zstd.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Permit};
use seawall_catalog::policy::Action;
use seawall_pipeline::receipt::Verdicts;
use seawall_pipeline::revision::Revision;
use seawall_pipeline::{Incoming, Receipt};
use serde::Deserialize;
use serde_json::Value;

use super::body::{self, Patience};
use super::error::Failure;
use crate::App;
use crate::ingest::{self, BODY_BYTES_MAX, CutOff, Encoding, INLINE_BYTES_MAX, Taken, decode, too_large};

/// Header with the key that tells a repeat of a request.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Header of an answer that was given before.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Stands for a header that is no text; nothing that a header may say.
const UNREADABLE: &str = "\u{fffd}";

/// How long a request waits for its rows to be durable: far longer than any disk that works needs.
const DURABLE_PATIENCE: Duration = Duration::from_secs(20);

/// `?verdicts=...`.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    verdicts: Option<String>,
}

pub(super) async fn push(
    State(app): State<App>,
    Path(dataset): Path<String>,
    Query(asked): Query<Asked>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let stated = body::stated_length(&parts.headers);
    let admitted = admit(&app, &dataset, &asked, &parts.headers, stated).await;
    let (permit, form, mut room) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            body::drain(body, stated).await;
            return Err(error.into());
        }
    };
    let bytes = body::read(body, stated, Patience::default(), &mut room, &app.counters).await?;
    let receipt = durable(tokio::spawn(take_in(app.clone(), permit, form, bytes, room))).await?;
    let replayed = receipt.repeated;
    let mut response = Json(receipt).into_response();
    if replayed {
        app.counters.repeated();
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Everything that is decided before the body is read.
async fn admit(
    app: &App,
    dataset: &str,
    asked: &Asked,
    headers: &HeaderMap,
    stated: Option<u64>,
) -> Result<(Permit, Form, Taken)> {
    let permit = app.access.permit(&app.pipeline.parts().catalog, headers, Action::Ingest, dataset).await?;
    let form = Form::of(app, dataset, asked, headers)?;
    let length = usize::try_from(stated.unwrap_or(0)).unwrap_or(usize::MAX);
    if length > BODY_BYTES_MAX {
        app.counters.cut_off(CutOff::Oversized);
        return Err(too_large());
    }
    let room = app.room.take(permit.principal(), length);
    let room = room.inspect_err(|_| app.counters.cut_off(CutOff::Busy))?;
    Ok((permit, form, room))
}

/// What the head of a request says about its body.
struct Form {
    revision: Arc<Revision>,
    dataset: String,
    source: String,
    mapped: bool,
    content_type: String,
    encoding: Encoding,
    key: Option<String>,
    verdicts: Verdicts,
}

impl Form {
    fn of(app: &App, dataset: &str, asked: &Asked, headers: &HeaderMap) -> Result<Form> {
        let revision = app.pipeline.revision();
        let source = revision.source_of(dataset)?;
        let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or(UNREADABLE));
        let media = text(header::CONTENT_TYPE).unwrap_or("application/x-ndjson");
        let verdicts = match asked.verdicts.as_deref() {
            None | Some("stopped") => Verdicts::Stopped,
            Some("all") => Verdicts::Every,
            Some(other) => {
                return Err(Error::invalid("SW1207", format!("there are no verdicts {other:?}"))
                    .hint("ask for verdicts=stopped (the default) or verdicts=all"));
            }
        };
        Ok(Form {
            dataset: dataset.to_owned(),
            source: source.source.name.clone(),
            mapped: source.source.map.is_some(),
            content_type: media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase(),
            encoding: Encoding::parse(text(header::CONTENT_ENCODING).unwrap_or(""))?,
            key: text(IDEMPOTENCY_KEY).map(str::to_owned),
            verdicts,
            revision,
        })
    }

    /// Rows of a body for the gate.
    fn rows(&self, packed: Bytes, room: &mut Taken) -> Result<Incoming> {
        let bytes = ingest::decompress(self.encoding, packed, room)?;
        let gate = self.revision.dataset(&self.dataset)?;
        let mut incoming = decode(&self.content_type, &bytes, gate, self.mapped)?;
        if let Some(key) = &self.key {
            incoming.key = Some(ingest::request_key(key, &self.content_type, &bytes)?);
        }
        incoming.verdicts = self.verdicts;
        Ok(incoming)
    }
}

/// Waits for the receipt. The rows of a request that waits too long go on into the log, and keep their room until they
/// are there: so a disk without room for the log ends in refusals, and not in memory that grows.
async fn durable(taking: tokio::task::JoinHandle<Result<Receipt>>) -> Result<Receipt> {
    match tokio::time::timeout(DURABLE_PATIENCE, taking).await {
        Ok(taken) => taken.map_err(|e| Error::internal("SW0887", "taking the request in failed").because(e))?,
        Err(_) => {
            let message = format!("the rows were not durable within {} s", DURABLE_PATIENCE.as_secs());
            Err(Error::new(ErrorKind::Unavailable, "SW1213", message).hint(
                "send the same rows again after the time that Retry-After tells: they may have become durable meanwhile, \
                 and are then deduplicated by their key",
            ))
        }
    }
}

/// Decodes a body and takes its rows in; `room` is given back when they are durable.
async fn take_in(app: App, permit: Permit, form: Form, packed: Bytes, mut room: Taken) -> Result<Receipt> {
    let inline = form.encoding == Encoding::Identity && packed.len() <= INLINE_BYTES_MAX;
    let source = form.source.clone();
    let read_rows = move || (form.rows(packed, &mut room), room);
    let (incoming, _room) = if inline {
        read_rows()
    } else {
        let decoding = tokio::task::spawn_blocking(read_rows).await;
        decoding.map_err(|e| Error::internal("SW0887", "decoding the request failed").because(e))?
    };
    let incoming = incoming.inspect_err(|error| match error.code() {
        "SW0884" => app.counters.cut_off(CutOff::Busy),
        "SW0889" => app.counters.cut_off(CutOff::Oversized),
        _ => {}
    })?;
    app.pipeline.ingest(&permit, &source, incoming).await
}

pub(super) async fn resume(
    State(app): State<App>,
    Path(dataset): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let permit =
        app.access.permit(&app.pipeline.parts().catalog, &headers, Action::ReleaseQuarantine, &dataset).await?;
    app.pipeline.resume(&permit, &dataset).await?;
    Ok(Json(serde_json::json!({"dataset": dataset, "halted": false})))
}
