//! Answers from tables while a server is being started.
//!
//! A start replays what the log has behind the newest checkpoints. Tables can be read meanwhile, as they were when the
//! process before ended; answers say that they may lack what is still in the log (`degraded`), and that nobody knows yet
//! how much that is (`staleness_ms` is null).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use seawall_base::{Engine, ErrorKind};
use seawall_catalog::Catalog;
use seawall_pipeline::dependency;

use crate::Access;
use crate::front::starting;
use crate::http::error::Failure;
use crate::http::look::Asked;
use crate::ingest::BODY_BYTES_MAX;

/// The route that is answered.
pub(crate) const QUERY: &str = "/v1/query";

/// What statements are answered by before the pipeline runs.
#[derive(Clone)]
pub struct Tables {
    catalog: Arc<Catalog>,
    engine: Arc<dyn Engine>,
    views: Vec<(String, String)>,
}

impl Tables {
    /// Tables behind `engine`, with named queries: name and SQL. Calls are bounded like those of a pipeline.
    pub fn of(catalog: Arc<Catalog>, engine: Arc<dyn Engine>, views: Vec<(String, String)>) -> Tables {
        Tables { catalog, engine: dependency::guarded_engine(engine), views }
    }

    pub(crate) fn router(self, access: Access) -> Router {
        let limit = DefaultBodyLimit::max(BODY_BYTES_MAX);
        Router::new().route(QUERY, post(query)).layer(limit).with_state((self, access))
    }
}

async fn query(
    State((tables, access)): State<(Tables, Access)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let Tables { catalog, engine, views } = tables;
    let asked = Asked { access: &access, catalog: &catalog, engine: engine.as_ref(), views };
    asked.answer(&headers, &body, None).await.map_err(|Failure(error)| match error.kind() {
        // A start makes the tables of datasets that have none yet: nobody knows now what will be there.
        ErrorKind::NotFound => Failure(starting().because(error)),
        _ => Failure(error),
    })
}
