//! Talking to the server that runs on this data folder.
//!
//! Every request has a deadline and is made once: a command has no memory in which a circuit breaker could learn, and a
//! person or a script decides whether to run it again.

use std::path::Path;
use std::time::Duration;

use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Instant};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long a server may take to say that it is one.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take that nothing has to be done for.
const GET_TIMEOUT: Duration = Duration::from_secs(60);
/// How long work may take: a training is given as much by the server.
const POST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Where a running server listens, written to `serve.json` in its data folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// `http://127.0.0.1:8321`.
    pub url: String,
    /// `grpc://127.0.0.1:8322`, when it answers Flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flight: Option<String>,
    /// Its process.
    pub pid: u32,
    /// What its `/health` answers: another server on the same address is not this one.
    pub instance: String,
}

impl Running {
    /// The server that runs on `data`, if one answers.
    pub fn find(data: &Path) -> Option<Running> {
        let text = std::fs::read_to_string(data.join("serve.json")).ok()?;
        let running: Running = serde_json::from_str(&text).ok()?;
        let health = ureq::get(format!("{}/health", running.url)).config().timeout_global(Some(HEALTH_TIMEOUT)).build();
        let mut health = health.call().ok()?;
        let health: Value = serde_json::from_str(&health.body_mut().read_to_string().ok()?).ok()?;
        (health["instance"] == running.instance.as_str()).then_some(running)
    }

    /// What the server's clock shows.
    pub fn now(&self) -> Result<Instant> {
        let status = self.get("/v1/status")?;
        status["now"].as_str().unwrap_or_default().parse()
    }

    /// Asks; the answer's JSON, or the server's error.
    pub fn get(&self, path: &str) -> Result<Value> {
        let mut request = ureq::get(format!("{}{path}", self.url))
            .config()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(GET_TIMEOUT))
            .build();
        if let Ok(token) = std::env::var("SEAWALL_TOKEN") {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.answer(request.call().map_err(|error| away(&self.url, error))?)
    }

    /// Posts a body; the answer's JSON, or the server's error.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Value> {
        self.post_with(path, &[("content-type", content_type)], body)
    }

    /// Posts a body with these headers; the answer's JSON, or the server's error.
    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Value> {
        let mut request = ureq::post(format!("{}{path}", self.url))
            .config()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(POST_TIMEOUT))
            .build();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Ok(token) = std::env::var("SEAWALL_TOKEN") {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.answer(request.send(body).map_err(|error| away(&self.url, error))?)
    }

    fn answer(&self, mut response: ureq::http::Response<ureq::Body>) -> Result<Value> {
        let text = response.body_mut().read_to_string().map_err(|error| away(&self.url, error))?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| {
            Error::internal("SW0898", format!("the server's answer is not JSON: {text}")).because(error)
        })?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(seawall_server::http::error::told(error)),
        }
    }
}

fn away(url: &str, error: ureq::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW0899", format!("the server at {url} does not answer")).because(error)
}
