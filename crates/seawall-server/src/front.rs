//! What a server's ports lead to: first a note that it is being started, then the app.
//!
//! A start replays what the log has behind the newest checkpoints, which may take a while. The ports listen from its
//! beginning: `/health` answers and says how far the server is, statements are answered from tables as they are
//! ([`early`]), and everything else is asked to come again.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use seawall_base::{Error, ErrorKind, OsRng, Rng};
use seawall_pipeline::Pipeline;
use serde_json::json;
use tokio::sync::SetOnce;
use tower::ServiceExt;

use crate::http::ContractJobs;
use crate::http::error::Failure;
use crate::{Access, App, early, ingest};

/// Leads requests to the app once there is one.
#[derive(Clone)]
pub struct Front {
    /// Tells this server from any other that listens on the same address later.
    pub instance: String,
    pub(crate) access: Access,
    pub(crate) counters: Arc<ingest::Counters>,
    app: Arc<SetOnce<App>>,
    router: Arc<OnceLock<Router>>,
    /// Answers from tables until the app is there.
    early: Arc<OnceLock<Router>>,
    contracts: ContractJobs,
}

impl Front {
    /// Of a server that is being started. Work on contracts that requests ask for is done by `contracts`.
    pub fn new(access: Access, contracts: ContractJobs) -> Front {
        let (router, early) = Default::default();
        let app = Arc::new(SetOnce::new());
        Front { instance: OsRng.id(), access, counters: Arc::default(), app, router, early, contracts }
    }

    /// Answers statements from `tables` until there is an app.
    pub fn open_tables(&self, tables: early::Tables) {
        self.early.get_or_init(|| tables.router(self.access.clone()));
    }

    /// Leads to `pipeline` from now on. The first one stays.
    pub fn open(&self, pipeline: Arc<Pipeline>) {
        let app = App {
            instance: self.instance.clone(),
            counters: self.counters.clone(),
            contracts: self.contracts.clone(),
            ..App::new(pipeline, self.access.clone())
        };
        if self.app.set(app.clone()).is_ok() {
            self.router.get_or_init(|| crate::http::router(app));
        }
    }

    /// The app, once there is one.
    pub(crate) async fn app(&self) -> App {
        self.app.wait().await.clone()
    }

    /// Every HTTP route.
    pub(crate) fn router(self) -> Router {
        Router::new().fallback(lead).with_state(self)
    }
}

async fn lead(State(front): State<Front>, request: Request) -> Response {
    if let Some(router) = front.router.get() {
        return router.clone().oneshot(request).await.into_response();
    }
    match (request.uri().path(), front.early.get()) {
        ("/health", _) => Json(json!({"status": "starting", "instance": front.instance})).into_response(),
        (early::QUERY, Some(early)) => early.clone().oneshot(request).await.into_response(),
        _ => Failure(starting()).into_response(),
    }
}

/// The refusal of what only a started server can answer.
pub(crate) fn starting() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "SW1212",
        "the server is being started: it reads what the log has since the last checkpoint",
    )
    .hint("try again in a moment; `/health` says \"ok\" once everything is answered")
}

#[cfg(test)]
mod tests;
