//! Arrow Flight: `DoPut` takes batches in, through the same gate and under the same permits as HTTP.
//!
//! The path of the descriptor is the dataset. Each batch is a request of its own: it is answered, in order, by a result
//! whose metadata is its receipt, once its rows are durable. The gRPC metadata carries `authorization: Bearer ...` and
//! may carry `idempotency-key`; batch `n` of the stream then has the key `KEY/n`.
//!
//! Of gRPC only the framing is needed here, so this stands on `tonic` without its transport, see
//! `docs/adr/0010-flight-without-its-transport.md`.

mod messages;
mod put;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::App;
use messages::{FlightData, PutResult};

/// Bytes of one message: a batch with what describes it.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The methods of the Flight service.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/arrow.flight.protocol.FlightService/DoPut", post(do_put))
        .fallback(unknown_method)
        .with_state(app)
}

async fn do_put(State(app): State<App>, request: Request) -> Response {
    let codec: ProstCodec<PutResult, FlightData> = ProstCodec::default();
    let mut grpc = Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX);
    grpc.streaming(put::Put(app), request).await.map(Body::new)
}

async fn unknown_method(uri: axum::http::Uri) -> Response {
    let method = uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let status = Status::new(Code::Unimplemented, format!("this server answers DoPut, not {method}"));
    status.into_http::<Body>()
}
