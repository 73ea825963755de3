//! `DoPut`: one task reads batches and hands them in, the answer streams their receipts.

use std::time::Duration;

use arrow::buffer::Buffer;
use axum::http::HeaderMap;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Hash, Permit};
use seawall_catalog::policy::Action;
use seawall_pipeline::idempotency::RequestKey;
use seawall_pipeline::ipc::Messages;
use seawall_pipeline::pipeline::PendingReceipt;
use seawall_pipeline::{Incoming, Receipt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::server::StreamingService;
use tonic::{Code, Request, Response, Status, Streaming};

use super::MESSAGE_BYTES_MAX;
use super::messages::{FlightData, FlightDescriptor, PutResult};
use crate::App;
use crate::http::IDEMPOTENCY_KEY;
use crate::http::error::grpc;
use crate::ingest::{self, CutOff, INLINE_BYTES_MAX, Taken};

/// Batches of one stream whose receipts wait to be read; the stream is not read on before one was.
const RECEIPTS_MAX: usize = 256;
/// How long a client may send nothing, or read no receipt, while it has a stream open.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The method.
pub(super) struct Put(pub App);

type Receipts = BoxStream<'static, Result<PutResult, Status>>;

impl StreamingService<FlightData> for Put {
    type Response = PutResult;
    type ResponseStream = Receipts;
    type Future = BoxFuture<'static, Result<Response<Receipts>, Status>>;

    fn call(&mut self, request: Request<Streaming<FlightData>>) -> Self::Future {
        let app = self.0.clone();
        async move { open(app, request).await.map(Response::new).map_err(|error| grpc(&error)) }.boxed()
    }
}

/// Admits a stream by its first message, then reads on in a task that ends with the stream or its reader.
async fn open(app: App, request: Request<Streaming<FlightData>>) -> Result<Receipts> {
    let (metadata, _, mut messages) = request.into_parts();
    let headers = metadata.into_headers();
    let first = next(&app, &mut messages).await?.unwrap_or_default();
    let dataset = dataset_of(first.descriptor.as_ref())?;
    let permit = app.access.permit(&app.pipeline.parts().catalog, &headers, Action::Ingest, &dataset).await?;
    let source = app.pipeline.revision().source_of(&dataset)?.source.name.clone();
    let room = app.room.take(permit.principal(), MESSAGE_BYTES_MAX);
    let room = room.inspect_err(|_| app.counters.cut_off(CutOff::Busy))?;
    let key = key_of(&headers)?;
    let (receipts, pending) = mpsc::channel(RECEIPTS_MAX);
    let intake = Intake { app, permit, source, key, batches: 0, decoder: Messages::default(), _room: room };
    tokio::spawn(intake.run(first, messages, receipts));
    let settled = stream::unfold(pending, |mut pending| async move {
        let next: Result<PendingReceipt> = pending.recv().await?;
        Some((settle(next).await.map_err(|error| grpc(&error)), pending))
    });
    Ok(settled.boxed())
}

fn dataset_of(descriptor: Option<&FlightDescriptor>) -> Result<String> {
    match descriptor.map(|descriptor| descriptor.path.as_slice()) {
        Some([dataset]) => Ok(dataset.clone()),
        _ => Err(Error::invalid("SW1209", "the Flight descriptor names no dataset")
            .hint("give a descriptor with a path of one part: FlightDescriptor.for_path(DATASET)")),
    }
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().unwrap_or_default().to_owned();
    // Refuses an unusable key before any batch was taken in.
    RequestKey::new(&key, Hash::of(&[]))?;
    Ok(Some(key))
}

async fn settle(pending: Result<PendingReceipt>) -> Result<PutResult> {
    let receipt: Receipt = pending?.durable().await?;
    let json = serde_json::to_vec(&receipt);
    let metadata = json.map_err(|e| Error::internal("SW0893", "cannot encode a receipt").because(e))?.into();
    Ok(PutResult { metadata })
}

/// The next message; what ends a stream before its time is counted.
async fn next(app: &App, messages: &mut Streaming<FlightData>) -> Result<Option<FlightData>> {
    let Ok(message) = timeout(PAUSE_MAX, messages.message()).await else {
        app.counters.cut_off(CutOff::Slow);
        return Err(too_slow("the stream stood still for too long"));
    };
    message.map_err(|status| match status.code() {
        Code::OutOfRange => {
            app.counters.cut_off(CutOff::Oversized);
            Error::invalid("SW0889", format!("a batch is larger than {MESSAGE_BYTES_MAX} bytes"))
                .because(status)
                .hint("write smaller batches: writer.write_table(table, max_chunksize=...)")
        }
        _ => {
            app.counters.cut_off(CutOff::Broken);
            Error::invalid("SW1205", "the connection ended before the stream did").because(status)
        }
    })
}

fn too_slow(what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "SW1202", what)
        .hint("batches with a receipt are kept; read receipts while writing, and repeat what has none")
}

/// A stream that is being read.
struct Intake {
    app: App,
    permit: Permit,
    source: String,
    key: Option<String>,
    /// Batches that were read.
    batches: u64,
    decoder: Messages,
    /// For the message that is being read.
    _room: Taken,
}

impl Intake {
    async fn run(
        mut self,
        first: FlightData,
        mut messages: Streaming<FlightData>,
        receipts: mpsc::Sender<Result<PendingReceipt>>,
    ) {
        let mut message = Ok(Some(first));
        loop {
            let admitted = match message {
                Ok(None) => return,
                Ok(Some(data)) => self.admit(data).await.transpose(),
                Err(error) => Some(Err(error)),
            };
            if let Some(admitted) = admitted {
                let goes_on = admitted.is_ok();
                match timeout(PAUSE_MAX, receipts.send(admitted)).await {
                    Ok(Ok(())) if goes_on => {}
                    Ok(_) => return,
                    Err(_) => return self.app.counters.cut_off(CutOff::Slow),
                }
            }
            message = next(&self.app, &mut messages).await;
        }
    }

    /// Hands a batch in; none for a message without one.
    async fn admit(&mut self, data: FlightData) -> Result<Option<PendingReceipt>> {
        if data.header.is_empty() {
            return Ok(None);
        }
        let Some(mut incoming) = self.decode(&data).await? else { return Ok(None) };
        if let Some(key) = &self.key {
            let body = Hash::of_parts([&data.header[..], &data.body[..]]);
            incoming.key = Some(RequestKey::new(&format!("{key}/{}", self.batches), body)?);
        }
        self.batches += 1;
        self.app.pipeline.begin_ingest(&self.permit, &self.source, incoming).await.map(Some)
    }

    async fn decode(&mut self, data: &FlightData) -> Result<Option<Incoming>> {
        let (header, body) = (data.header.clone(), Buffer::from(data.body.clone()));
        let mut decoder = std::mem::take(&mut self.decoder);
        let inline = body.len() <= INLINE_BYTES_MAX;
        let decode = move || (decoder.next(&header, &body), decoder);
        let (batch, decoder) = if inline {
            decode()
        } else {
            let decoding = tokio::task::spawn_blocking(decode).await;
            decoding.map_err(|e| Error::internal("SW0887", "decoding the request failed").because(e))?
        };
        self.decoder = decoder;
        let batch = batch.map_err(|e| Error::invalid("SW0891", "the stream is not Arrow data").because(e))?;
        batch.map(|rows| ingest::rows_of(&[rows])).transpose()
    }
}
