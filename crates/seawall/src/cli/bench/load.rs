//! `bench load`: connections that each send a block of events, wait until it is acknowledged, and send the next.
//!
//! A block is sent again, under the same key, when the server was busy or the connection broke, so that at the end every
//! block is either acknowledged or still unknown. Equality is for the caller to check: the answer names both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use seawall_base::error::Result;
use seawall_base::{Clock, Error, ErrorKind, Instant, Span, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::request::{Form, Request};
use super::wire::parse_head;
use crate::output::print_json;

/// Bytes of an answer's head and body that are read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long a client waits before it sends a block again.
const PAUSE: Duration = Duration::from_millis(20);

/// Send events as fast as they are acknowledged.
#[derive(Debug, Args)]
pub(super) struct Load {
    /// Host and port of the server, plain HTTP
    #[arg(long, default_value = "127.0.0.1:8321")]
    host: String,
    /// The dataset; its contract is that of `bench/ingest/`
    #[arg(long, default_value = "events")]
    dataset: String,
    /// How events are encoded
    #[arg(long, value_enum, default_value = "ndjson")]
    form: Form,
    /// Connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Events of a request
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    events: u64,
    /// How long to send
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Events per second; as many as are acknowledged when absent
    #[arg(long, value_parser = super::requests::rate)]
    rate: Option<f64>,
    /// Number of the first block
    #[arg(long, default_value_t = 0)]
    first_block: u64,
}

/// What one connection has seen.
#[derive(Default)]
struct Tally {
    acknowledged: Vec<u64>,
    unknown: Vec<u64>,
    ack_us: Vec<i64>,
    answers: BTreeMap<u16, u64>,
    broken: u64,
}

impl Load {
    pub async fn run(&self) -> Result<()> {
        let token = std::env::var("SEAWALL_TOKEN").ok();
        let began = SystemClock.now();
        let request = Request::new(&self.host, &self.dataset, token.as_deref(), self.form, self.events, began)?;
        let next = Arc::new(AtomicU64::new(self.first_block));
        let end = began + Span((self.seconds * 1e6) as i64);
        let clients: Vec<_> = (0..self.connections)
            .map(|_| {
                let client = Client {
                    host: self.host.clone(),
                    request: request.clone(),
                    events: self.events,
                    first_block: self.first_block,
                    pace: self.rate.map(|rate| (began, rate / self.events as f64)),
                };
                tokio::spawn(client.run(next.clone(), end))
            })
            .collect();
        let mut sum = Tally::default();
        for client in clients {
            let tally = client.await.map_err(|e| Error::internal("SW1210", "a load client died").because(e))??;
            sum.acknowledged.extend(tally.acknowledged);
            sum.unknown.extend(tally.unknown);
            sum.ack_us.extend(tally.ack_us);
            tally.answers.into_iter().for_each(|(status, count)| *sum.answers.entry(status).or_default() += count);
            sum.broken += tally.broken;
        }
        print_json(&self.report(sum, (SystemClock.now() - began).0 as f64 / 1e6))
    }

    fn report(&self, mut sum: Tally, seconds: f64) -> Value {
        let events = sum.acknowledged.len() as u64 * self.events;
        sum.ack_us.sort_unstable();
        let quantile = |q: f64| {
            let at = (sum.ack_us.len().saturating_sub(1) as f64 * q).round() as usize;
            sum.ack_us.get(at).map(|us| *us as f64 / 1e3)
        };
        let answers: BTreeMap<String, u64> = sum.answers.iter().map(|(k, v)| (k.to_string(), *v)).collect();
        json!({
            "events": events,
            "requests": sum.acknowledged.len(),
            "seconds": seconds,
            "events_per_s": events as f64 / seconds,
            "ack_ms": {"p50": quantile(0.5), "p99": quantile(0.99), "max": quantile(1.0)},
            "answers": answers,
            "broken_connections": sum.broken,
            "events_per_block": self.events,
            "acknowledged": ranges(sum.acknowledged),
            "unknown": ranges(sum.unknown),
        })
    }
}

/// Sorted numbers as ranges, each from its first to behind its last.
fn ranges(numbers: Vec<u64>) -> Vec<(u64, u64)> {
    let sorted: BTreeSet<u64> = numbers.into_iter().collect();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in sorted {
        match ranges.last_mut() {
            Some((_, end)) if *end == number => *end += 1,
            _ => ranges.push((number, number + 1)),
        }
    }
    ranges
}

struct Client {
    host: String,
    request: Request,
    events: u64,
    first_block: u64,
    /// When the first block is due, and how many are per second.
    pace: Option<(Instant, f64)>,
}

impl Client {
    async fn run(mut self, next: Arc<AtomicU64>, end: Instant) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut stream = self.connect().await?;
        let mut answer = Vec::with_capacity(4096);
        while SystemClock.now() < end {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if !self.wait_for(block, end).await {
                break;
            }
            loop {
                let sent = SystemClock.now();
                let request = self.request.of_block(block);
                match exchange(&mut stream, request, &mut answer).await {
                    Ok((status, body)) => {
                        *tally.answers.entry(status).or_default() += 1;
                        if status == 200 {
                            check_receipt(&answer[body..], self.events)?;
                            tally.acknowledged.push(block);
                            tally.ack_us.push((SystemClock.now() - sent).0);
                            break;
                        }
                        if status != 429 && status != 503 {
                            return Err(refused(status, &answer[body..]));
                        }
                    }
                    Err(_) => {
                        tally.broken += 1;
                        stream = match self.connect().await {
                            Ok(stream) => stream,
                            Err(error) if SystemClock.now() < end => return Err(error),
                            Err(_) => break,
                        };
                    }
                }
                if SystemClock.now() >= end {
                    tally.unknown.push(block);
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(tally)
    }

    /// Waits until a block is due. False when that is not before the end.
    async fn wait_for(&self, block: u64, end: Instant) -> bool {
        let Some((began, blocks_per_s)) = self.pace else { return true };
        let due = began + Span(((block - self.first_block) as f64 * 1e6 / blocks_per_s) as i64);
        if let Ok(early) = u64::try_from((due - SystemClock.now()).0) {
            tokio::time::sleep(Duration::from_micros(early)).await;
        }
        due < end
    }

    async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.host).await.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "SW0899", format!("the server at {} does not answer", self.host))
                .because(error)
        })?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn check_receipt(body: &[u8], events: u64) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Receipt {
        counts: seawall_pipeline::Counts,
    }
    let receipt: Receipt = serde_json::from_slice(body).map_err(|_| refused(200, body))?;
    if receipt.counts.accepted == events { Ok(()) } else { Err(refused(200, body)) }
}

fn refused(status: u16, body: &[u8]) -> Error {
    let told = String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
    Error::invalid("SW1211", format!("a block of events was not accepted as a whole: {status} {told}"))
        .hint("the dataset must have the contract of bench/ingest/, and hold none of these events yet")
}

/// Sends a request and reads its answer: status and where the body begins.
async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) -> std::io::Result<(u16, usize)> {
    stream.write_all(request).await?;
    answer.clear();
    let mut length = None;
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if length.is_none() {
            length = parse_head(answer);
        }
        if let Some((status, begin, body)) = length
            && answer.len() >= begin + body
        {
            return Ok((status, begin));
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(std::io::Error::other("the answer is too long"));
        }
    }
}
