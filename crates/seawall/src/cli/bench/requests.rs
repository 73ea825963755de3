//! `bench requests`: requests from a file, over connections that are kept open, each a thread of its own.
//!
//! Without `--rate` the loop is closed: a connection sends its next request when the one before is answered. With it the
//! loop is open: request *n* is due at `n / rate` seconds whatever became of those before, and its latency counts from
//! then, so that a stalled server cannot hide the requests that it kept from being sent (coordinated omission).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use seawall_base::error::Result;
use seawall_base::{Clock, Error, ErrorKind, Instant, Span, SystemClock};
use serde_json::{Value, json};

use super::wire::Connection;
use crate::output::print_json;

#[cfg(test)]
mod tests;

/// Send requests and measure how long their answers take.
#[derive(Debug, Args)]
pub(super) struct Requests {
    /// Host and port of the server, plain HTTP
    #[arg(long, default_value = "127.0.0.1:8321")]
    host: String,
    /// Path to POST to
    #[arg(long, default_value = "/v1/features")]
    path: String,
    /// File with one JSON body per line; they are sent in turn, again and again
    #[arg(long)]
    bodies: PathBuf,
    /// Media type to ask for
    #[arg(long, default_value = "application/json")]
    accept: String,
    /// Connections
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    connections: u64,
    /// Requests per second in an open loop; closed when absent
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// How long to send before anything is counted
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// How long to send and count
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// A rate per second.
pub(super) fn rate(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        Ok(_) | Err(_) => Err("a rate is above 0 and at most 1000000 per second".to_owned()),
    }
}

/// When requests are due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    began: Instant,
    /// Requests that are due before this are not counted.
    counted_from: Instant,
    end: Instant,
    rate: Option<f64>,
}

impl Schedule {
    /// When the request `number` is due: at once in a closed loop.
    fn due(&self, number: u64, now: Instant) -> Instant {
        match self.rate {
            None => now,
            Some(rate) => self.began + Span((number as f64 * 1e6 / rate) as i64),
        }
    }
}

/// What one connection has seen.
#[derive(Default)]
struct Tally {
    latency_us: Vec<i64>,
    answers: BTreeMap<u16, u64>,
    bytes: u64,
    broken: u64,
}

impl Requests {
    pub fn run(&self) -> Result<()> {
        let requests = Arc::new(self.requests()?);
        let began = SystemClock.now();
        let counted_from = began + Span((self.warmup * 1e6) as i64);
        let end = counted_from + Span((self.seconds * 1e6) as i64);
        let schedule = Schedule { began, counted_from, end, rate: self.rate };
        let next = Arc::new(AtomicU64::new(0));
        let clients: Vec<_> = (0..self.connections)
            .map(|_| {
                let (host, requests, next) = (self.host.clone(), requests.clone(), next.clone());
                std::thread::spawn(move || client(&host, &requests, &next, schedule))
            })
            .collect();
        let mut sum = Tally::default();
        for client in clients {
            let died = |_| Error::internal("SW1210", "a load client died");
            let tally = client.join().map_err(died)??;
            sum.latency_us.extend(tally.latency_us);
            tally.answers.into_iter().for_each(|(status, count)| *sum.answers.entry(status).or_default() += count);
            sum.bytes += tally.bytes;
            sum.broken += tally.broken;
        }
        print_json(&self.report(sum, (SystemClock.now() - counted_from).0 as f64 / 1e6))
    }

    /// The requests, head and body.
    fn requests(&self) -> Result<Vec<Vec<u8>>> {
        let unreadable = |error: std::io::Error| {
            Error::invalid("SW1214", format!("cannot read the bodies in {}", self.bodies.display())).because(error)
        };
        let text = std::fs::read_to_string(&self.bodies).map_err(unreadable)?;
        let token = std::env::var("SEAWALL_TOKEN").ok();
        let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = |body: &str| {
            let Requests { path, host, accept, .. } = self;
            let length = body.len();
            let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n{authorization}accept: {accept}\r\n");
            format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
        };
        let requests: Vec<Vec<u8>> = text.lines().filter(|line| !line.trim().is_empty()).map(request).collect();
        if requests.is_empty() {
            let message = format!("there is no body in {}", self.bodies.display());
            return Err(Error::invalid("SW1214", message).hint("write one JSON body per line"));
        }
        Ok(requests)
    }

    fn report(&self, mut sum: Tally, seconds: f64) -> Value {
        sum.latency_us.sort_unstable();
        let answers: BTreeMap<String, u64> = sum.answers.iter().map(|(k, v)| (k.to_string(), *v)).collect();
        let answered = sum.latency_us.len();
        let at = |q: f64| quantile(&sum.latency_us, q).map(|us| us as f64 / 1e3);
        json!({
            "loop": if self.rate.is_some() { "open" } else { "closed" },
            "rate": self.rate,
            "connections": self.connections,
            "requests": answered,
            "seconds": seconds,
            "requests_per_s": answered as f64 / seconds,
            "latency_ms": {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": at(1.0)},
            "answers": answers,
            "broken_connections": sum.broken,
            "bytes_per_answer": sum.bytes.checked_div(answered as u64),
        })
    }
}

/// The least of the sorted values that is not below the share `q` of them; none when there are none.
fn quantile(sorted: &[i64], q: f64) -> Option<i64> {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

fn client(host: &str, requests: &[Vec<u8>], next: &AtomicU64, schedule: Schedule) -> Result<Tally> {
    let unreachable = |error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, "SW0899", format!("the server at {host} does not answer")).because(error)
    };
    let mut connection = Connection::open(host).map_err(unreachable)?;
    let mut tally = Tally::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = schedule.due(number, SystemClock.now());
        if due >= schedule.end {
            return Ok(tally);
        }
        let early = (due - SystemClock.now()).0;
        if let Ok(early) = u64::try_from(early) {
            std::thread::sleep(Duration::from_micros(early));
        }
        match connection.exchange(&requests[number as usize % requests.len()]) {
            Ok(answer) if answer.status >= 400 && answer.status != 429 && answer.status != 503 => {
                return Err(refused(answer.status, answer.body));
            }
            Ok(answer) if due >= schedule.counted_from => {
                tally.latency_us.push((SystemClock.now() - due).0);
                *tally.answers.entry(answer.status).or_default() += 1;
                tally.bytes += answer.body.len() as u64;
            }
            Ok(_) => {}
            Err(_) => {
                tally.broken += 1;
                connection = Connection::open(host).map_err(unreachable)?;
            }
        }
    }
}

fn refused(status: u16, body: &[u8]) -> Error {
    let told = String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
    Error::invalid("SW1215", format!("a request was refused: {status} {told}"))
        .hint("every body must be one that the server answers")
}
