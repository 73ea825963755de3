//! Errors on the wire: the one place where an error's kind becomes a status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use seawall_base::{Error, ErrorKind};
use serde_json::json;
use tonic::Code;

/// Seconds after which a client may try again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// An error as an answer: `{"error": {"code", "kind", "message", "hint"}}`.
pub struct Failure(pub Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure(error)
    }
}

/// The status of an error kind.
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Failure(error) = self;
        let status = match error.code() {
            // Known callers only: an unknown one must authenticate first.
            "SW0880" => StatusCode::UNAUTHORIZED,
            "SW0884" => StatusCode::TOO_MANY_REQUESTS,
            "SW0889" => StatusCode::PAYLOAD_TOO_LARGE,
            "SW0890" | "SW1206" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "SW1202" => StatusCode::REQUEST_TIMEOUT,
            "SW0257" | "SW1204" => StatusCode::UNPROCESSABLE_ENTITY,
            _ => status(error.kind()),
        };
        // While a dependency is away, its breaker has said so once.
        let is_told = matches!(error.code(), "SW1302" | "SW1303");
        if status.is_server_error() && !is_told {
            tracing::warn!(code = error.code(), %error, "request failed");
        }
        let body = Json(json!({"error": {
            "code": error.code(),
            "kind": error.kind(),
            "message": error.to_string(),
            "hint": error.remedy(),
        }}));
        let mut response = (status, body).into_response();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}

/// A path that no route matches.
pub async fn unknown_route(uri: axum::http::Uri) -> Failure {
    Failure(
        Error::not_found("SW0885", format!("there is nothing at {}", uri.path()))
            .hint("`seawall serve --help` lists the endpoints"),
    )
}

/// A body that is not the JSON that the endpoint takes.
pub fn bad_json(error: &serde_json::Error, example: &str) -> Error {
    Error::invalid("SW0886", format!("the request body does not fit: {error}"))
        .hint(format!("send for example {example}"))
}

/// An error as a gRPC status: code by kind, and the error's code in the message.
pub fn grpc(error: &Error) -> tonic::Status {
    let code = match (error.code(), error.kind()) {
        ("SW0880", _) => Code::Unauthenticated,
        ("SW0884", _) => Code::ResourceExhausted,
        ("SW1202", _) => Code::DeadlineExceeded,
        (_, ErrorKind::Invalid) => Code::InvalidArgument,
        (_, ErrorKind::Denied) => Code::PermissionDenied,
        (_, ErrorKind::NotFound) => Code::NotFound,
        (_, ErrorKind::Conflict) => Code::Aborted,
        (_, ErrorKind::Unavailable) => Code::Unavailable,
        (_, ErrorKind::Corrupt) => Code::DataLoss,
        (_, ErrorKind::Internal) => Code::Internal,
    };
    let hint = error.remedy().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
    tonic::Status::new(code, format!("[{}] {error}{hint}", error.code()))
}

/// An error that an answer tells, as an error again: its code stands in the message.
pub fn told(error: &serde_json::Value) -> Error {
    let text = |key: &str| error.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let told = Error::invalid("SW0800", format!("[{}] {}", text("code"), text("message")));
    match error.get("hint").and_then(serde_json::Value::as_str) {
        Some(hint) => told.hint(hint),
        None => told,
    }
}
