//! What a server's ports lead to: first a note that it is being started, then the app.
//!
//! A start replays what the log has behind the newest checkpoints, which may take a while. The ports listen from its
//! beginning: `/health` answers and says how far the server is, everything else is asked to come again.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use seawall_base::{Error, ErrorKind, OsRng, Rng};
use seawall_pipeline::Pipeline;
use serde_json::json;
use tokio::sync::SetOnce;
use tower::ServiceExt;

use crate::http::error::Failure;
use crate::{Access, App, ingest};

/// Leads requests to the app once there is one.
#[derive(Clone)]
pub struct Front {
    /// Tells this server from any other that listens on the same address later.
    pub instance: String,
    pub(crate) access: Access,
    pub(crate) counters: Arc<ingest::Counters>,
    app: Arc<SetOnce<App>>,
    router: Arc<OnceLock<Router>>,
}

impl Front {
    /// Of a server that is being started.
    pub fn new(access: Access) -> Front {
        let (counters, app, router) = (Arc::default(), Arc::new(SetOnce::new()), Arc::default());
        Front { instance: OsRng.id(), access, counters, app, router }
    }

    /// Leads to `pipeline` from now on. The first one stays.
    pub fn open(&self, pipeline: Arc<Pipeline>) {
        let app = App {
            instance: self.instance.clone(),
            counters: self.counters.clone(),
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
    match front.router.get() {
        Some(router) => router.clone().oneshot(request).await.into_response(),
        None if request.uri().path() == "/health" => {
            Json(json!({"status": "starting", "instance": front.instance})).into_response()
        }
        None => Failure(starting()).into_response(),
    }
}

fn starting() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "SW1212",
        "the server is being started: it reads what the log has since the last checkpoint",
    )
    .hint("try again in a moment; `/health` says \"ok\" once everything is answered")
}

#[cfg(test)]
mod tests;
