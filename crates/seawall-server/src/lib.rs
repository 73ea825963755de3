//! The wire: HTTP, Flight, authentication, metrics.
//!
//! Every handler goes the same way: decode, authorise, act, answer. Statuses are made from an error's kind in
//! [`http::error`], and nowhere else.

pub mod auth;
pub mod early;
pub mod flight;
mod front;
pub mod http;
pub mod ingest;
pub mod listen;
pub mod metrics;

use std::sync::Arc;

use seawall_base::{OsRng, Rng};
use seawall_pipeline::Pipeline;

pub use auth::Access;
pub use front::Front;
pub use listen::{Listen, Ports, Tls};

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
    /// Counts requests with events that were cut off.
    pub counters: Arc<ingest::Counters>,
    pub(crate) room: ingest::Room,
    pub(crate) contracts: http::ContractJobs,
}

impl App {
    /// Serves `pipeline` to whoever `access` lets in.
    pub fn new(pipeline: Arc<Pipeline>, access: Access) -> App {
        App {
            pipeline,
            access,
            metrics: Arc::default(),
            instance: OsRng.id(),
            counters: Arc::default(),
            room: ingest::Room::default(),
            contracts: http::ContractJobs::default(),
        }
    }
}
