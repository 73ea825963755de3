//! The wire: HTTP, authentication, metrics.
//!
//! Every handler goes the same way: decode, authorise, act, answer. Statuses are made from an error's kind in
//! [`http::error`], and nowhere else.

pub mod auth;
pub mod http;
pub mod listen;
pub mod metrics;

use std::sync::Arc;

use seawall_base::{OsRng, Rng};
use seawall_pipeline::Pipeline;
use tokio::sync::Semaphore;

pub use auth::Access;
pub use listen::{Listen, Tls, serve};

/// Requests that may carry events at the same time; more are answered 429 with `Retry-After`.
pub const INGEST_REQUESTS_MAX: usize = 256;
/// Bytes of one request after decompression.
pub const BODY_BYTES_MAX: usize = 32 << 20;

/// What handlers work on.
#[derive(Clone)]
pub struct App {
    /// The running pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Who may ask.
    pub access: Access,
    /// Counts requests.
    pub metrics: Arc<metrics::Metrics>,
    /// Tells this server from any other that listens on the same address later.
    pub instance: String,
    pub(crate) ingest_slots: Arc<Semaphore>,
}

impl App {
    /// Serves `pipeline` to whoever `access` lets in.
    pub fn new(pipeline: Arc<Pipeline>, access: Access) -> App {
        let ingest_slots = Arc::new(Semaphore::new(INGEST_REQUESTS_MAX));
        App { pipeline, access, metrics: Arc::default(), instance: OsRng.id(), ingest_slots }
    }
}
