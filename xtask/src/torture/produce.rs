//! Producers: threads that send events as fast as they are answered, and keep books.
//!
//! A producer sends what was not answered again, as an idempotent client does, and now and then what the gate must catch:
//! an event twice in one request, an event that was acknowledged long ago, a row that the contract stops, a known key
//! with another content. The counts of each receipt are checked against what the request held.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::book::{Book, Fate, Findings};
use super::event::Origin;
use super::seeded::Seeded;
use super::server::{Answer, agent, answer};

/// Unanswered events that one request takes up again.
const RETRIES_PER_REQUEST: usize = 40;
/// Pause after an answer that is no 200, or none at all.
const PAUSE: Duration = Duration::from_millis(5);

/// What producers send.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Producers, each with a connection of its own.
    pub producers: u64,
    /// New events of one request, at most.
    pub batch_max: u64,
    /// Whether requests hold repeats, conflicts and rows to be stopped, too.
    pub mixed: bool,
    /// Pause between two requests of a producer.
    pub pause: Duration,
    /// How long a request may take.
    pub request_max: Duration,
}

impl Default for Load {
    fn default() -> Self {
        let request_max = Duration::from_secs(10);
        Load { producers: 3, batch_max: 40, mixed: true, pause: Duration::from_millis(20), request_max }
    }
}

/// The books of a run, shared with the threads that write them.
#[derive(Debug, Clone)]
pub struct Books(Vec<Arc<Mutex<Book>>>);

impl Books {
    /// Empty books of `producers` producers.
    pub fn new(seed: u64, began_s: u64, producers: u64) -> Books {
        let book = |producer| Arc::new(Mutex::new(Book::new(Origin { seed, began_s, producer })));
        Books((0..producers).map(book).collect())
    }

    /// What they say now.
    pub fn read(&self) -> Vec<Book> {
        self.0.iter().map(|book| book.lock().clone()).collect()
    }

    /// Rows that were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.0.iter().map(|book| book.lock().acknowledged()).sum()
    }
}

/// What producers saw, books aside.
#[derive(Debug, Default)]
pub struct Seen {
    /// Receipts that do not fit what was sent.
    pub findings: Findings,
    /// Answers by status; 0 stands for no answer.
    pub statuses: BTreeMap<u16, u64>,
    /// Refusals that did not tell when to come back.
    pub without_retry_after: u64,
}

/// Running producers.
#[derive(Debug)]
pub struct Producers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Producers {
    /// Starts producers against `url`; `round` makes their choices differ from those of the round before.
    pub fn start(url: &str, books: &Books, load: Load, round: u64) -> Producers {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for book in books.0.iter().take(load.producers as usize) {
            let (url, book, stop) = (format!("{url}/v1/datasets/events/events"), book.clone(), stop.clone());
            threads.push(std::thread::spawn(move || produce(&url, &book, load, round, &stop)));
        }
        Producers { stop, threads }
    }

    /// Lets every producer finish its request; what they saw.
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Seen::default();
        for thread in self.threads {
            let seen = thread.join().expect("a producer does not panic");
            all.findings.join(seen.findings);
            all.without_retry_after += seen.without_retry_after;
            for (status, times) in seen.statuses {
                *all.statuses.entry(status).or_default() += times;
            }
        }
        all
    }
}

fn produce(url: &str, book: &Mutex<Book>, load: Load, round: u64, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let agent = agent(load.request_max);
    let mut draw = {
        let book = book.lock();
        Seeded::new(book.origin.seed ^ (round << 20), 1_000 + book.origin.producer)
    };
    while !stop.load(Ordering::SeqCst) {
        let request = Request::next(&mut book.lock(), &mut draw, load);
        let sent = agent.post(url).content_type("application/x-ndjson").send(&request.body);
        let answered = answer(sent);
        *seen.statuses.entry(answered.as_ref().map_or(0, |answer| answer.status)).or_default() += 1;
        match answered {
            Some(Answer { status: 200, body, .. }) => {
                request.check(&body, &mut seen.findings);
                request.acknowledge(&mut book.lock());
                std::thread::sleep(load.pause);
            }
            refused => {
                let told = refused.is_none_or(|answer| !matches!(answer.status, 429 | 503) || answer.retry_after);
                seen.without_retry_after += u64::from(!told);
                request.keep_open(&mut book.lock());
                std::thread::sleep(PAUSE);
            }
        }
    }
    seen
}

/// One request, and what must become of its rows.
struct Request {
    body: String,
    /// New events and events that were never answered.
    numbers: Vec<u64>,
    retried: u64,
    /// Events that the dataset holds already, or that stand in this request before.
    repeats: u64,
    /// Numbers of rows to be stopped.
    stopped: Vec<u64>,
}

impl Request {
    fn next(book: &mut Book, draw: &mut Seeded, load: Load) -> Request {
        let retries = book.unanswered.len().min(RETRIES_PER_REQUEST);
        let mut numbers: Vec<u64> = book.unanswered.drain(..retries).collect();
        for _ in 0..=draw.below(load.batch_max) {
            numbers.push(book.accepted.len() as u64);
            book.accepted.push(Fate::Unknown);
        }
        let origin = book.origin;
        let mut lines: Vec<Value> = numbers.iter().map(|number| origin.accepted(*number).line()).collect();
        let mut request =
            Request { body: String::new(), numbers, retried: retries as u64, repeats: 0, stopped: vec![] };
        if load.mixed {
            request.mix(book, draw, &mut lines);
        }
        for line in lines {
            request.body.push_str(&line.to_string());
            request.body.push('\n');
        }
        request
    }

    /// Adds what the gate must catch.
    fn mix(&mut self, book: &mut Book, draw: &mut Seeded, lines: &mut Vec<Value>) {
        let origin = book.origin;
        if draw.once_in(4) {
            let again = self.numbers[draw.below(self.numbers.len() as u64) as usize];
            lines.push(origin.accepted(again).line());
            self.repeats += 1;
        }
        if draw.once_in(4) {
            lines.insert(0, origin.stopped(self.stop(book, None)).line());
        }
        let known = draw.below(book.accepted.len() as u64);
        if book.accepted[known as usize] != Fate::Acknowledged {
            return;
        }
        if draw.once_in(4) {
            lines.push(origin.accepted(known).line());
            self.repeats += 1;
        }
        if draw.once_in(4) {
            lines.push(origin.conflict(self.stop(book, Some(known)), known).line());
        }
    }

    fn stop(&mut self, book: &mut Book, of: Option<u64>) -> u64 {
        let number = book.stopped.len() as u64;
        book.stopped.push((of, Fate::Unknown));
        self.stopped.push(number);
        number
    }

    /// Every row of the request is accounted for as it must be.
    fn check(&self, receipt: &Value, findings: &mut Findings) {
        let count = |name: &str| receipt["counts"][name].as_u64().unwrap_or(u64::MAX);
        let events = self.numbers.len() as u64;
        let (accepted, deduplicated) = (count("accepted"), count("deduplicated"));
        let fresh = events - self.retried;
        let fits = count("received") == events + self.repeats + self.stopped.len() as u64
            && count("quarantined") == self.stopped.len() as u64
            && (fresh..=events).contains(&accepted)
            && accepted.checked_add(deduplicated) == Some(events + self.repeats);
        if !fits {
            let what = format!(
                "a request of {fresh} new events, {} sent before, {} repeats and {} to be stopped got {}",
                self.retried,
                self.repeats,
                self.stopped.len(),
                receipt["counts"]
            );
            findings.deceive(what);
        }
    }

    fn acknowledge(&self, book: &mut Book) {
        for number in &self.numbers {
            book.accepted[*number as usize] = Fate::Acknowledged;
        }
        for number in &self.stopped {
            book.stopped[*number as usize].1 = Fate::Acknowledged;
        }
    }

    /// Sends the events again later. Rows that the gate stops have no key to find them by, so they are sent once.
    fn keep_open(self, book: &mut Book) {
        book.unanswered.extend(self.numbers);
    }
}
