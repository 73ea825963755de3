//! The ledger that the oracle keeps outside of the process under test: what a producer sent, and what it was told.
//!
//! A row is acknowledged once a 200 came back for it; until then it may be in the table or not. Nothing else counts as
//! an answer. A [`Book`] belongs to one producer; an audit compares the books of all with what the tables show.

use std::collections::{BTreeMap, HashMap};

use super::event::{Content, Origin};

/// What the producer knows of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Sent at least once; no answer says that it was kept.
    Unknown,
    /// A 200 said that it is durable.
    Acknowledged,
}

/// What one producer sent.
#[derive(Debug, Clone)]
pub struct Book {
    /// Where contents come from.
    pub origin: Origin,
    /// Fate of each accepted event by number.
    pub accepted: Vec<Fate>,
    /// Numbers to send again.
    pub unanswered: Vec<u64>,
    /// Each row that the gate must stop, by number: the event whose key it takes, if any, and its fate.
    pub stopped: Vec<(Option<u64>, Fate)>,
}

/// A row that an audit read.
#[derive(Debug, Clone)]
pub struct Row {
    /// What the producer chose.
    pub content: Content,
    /// Partition and offset.
    pub identity: (i64, i64),
    /// Microseconds since 1970.
    pub arrival: i64,
}

/// What is wrong, by kind, with a sentence for each of the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Acknowledged, and not there.
    pub lost: u64,
    /// There more than once.
    pub duplicated: u64,
    /// There, but not what was sent, or an answer that is wrong without an error.
    pub silent: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

/// Examples that findings keep.
const EXAMPLES_MAX: usize = 5;

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.silent == 0
    }

    /// Notes a row that was acknowledged and is not there.
    pub fn lose(&mut self, what: impl Into<String>) {
        self.lost += 1;
        self.example(what.into());
    }

    /// Notes a row that is there too often.
    pub fn duplicate(&mut self, times: u64, what: impl Into<String>) {
        self.duplicated += times;
        self.example(what.into());
    }

    /// Notes an answer that is wrong without an error.
    pub fn deceive(&mut self, what: impl Into<String>) {
        self.silent += 1;
        self.example(what.into());
    }

    /// Adds what another audit found.
    pub fn join(&mut self, other: Findings) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.silent += other.silent;
        for example in other.examples {
            self.example(example);
        }
    }

    fn example(&mut self, what: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(what);
        }
    }
}

impl Book {
    /// An empty book.
    pub fn new(origin: Origin) -> Book {
        Book { origin, accepted: Vec::new(), unanswered: Vec::new(), stopped: Vec::new() }
    }

    /// Rows that were acknowledged, stopped ones included.
    pub fn acknowledged(&self) -> u64 {
        let accepted = self.accepted.iter().filter(|fate| **fate == Fate::Acknowledged).count();
        let stopped = self.stopped.iter().filter(|(_, fate)| *fate == Fate::Acknowledged).count();
        (accepted + stopped) as u64
    }
}

/// Compares what the table and its quarantine show with the books. `stopped` are the notes of the quarantined rows.
pub fn audit(books: &[Book], rows: &[Row], stopped: &[String]) -> Findings {
    let mut findings = Findings::default();
    check_identities(rows, &mut findings);
    let mut found: HashMap<&str, u64> = HashMap::with_capacity(rows.len());
    for row in rows {
        *found.entry(row.content.event_id.as_str()).or_default() += 1;
        check_content(books, &row.content, &mut findings);
    }
    let mut tags: BTreeMap<&str, u64> = BTreeMap::new();
    for tag in stopped {
        *tags.entry(tag.as_str()).or_default() += 1;
    }
    for book in books {
        for (number, fate) in book.accepted.iter().enumerate() {
            let key = format!("p{}-{number}", book.origin.producer);
            let times = found.get(key.as_str()).copied().unwrap_or(0);
            check_times(&format!("event {key}"), *fate, times, &mut findings);
        }
        for (number, (_, fate)) in book.stopped.iter().enumerate() {
            let tag = book.origin.stopped_tag(number as u64);
            let times = tags.remove(tag.as_str()).unwrap_or(0);
            check_times(&format!("quarantined row {tag}"), *fate, times, &mut findings);
        }
    }
    for tag in tags.keys() {
        findings.deceive(format!("the quarantine shows {tag:?}, which was not sent"));
    }
    findings
}

fn check_times(what: &str, fate: Fate, times: u64, findings: &mut Findings) {
    if times == 0 && fate == Fate::Acknowledged {
        findings.lose(format!("{what} was acknowledged and is not there"));
    }
    if times > 1 {
        findings.duplicate(times - 1, format!("{what} is there {times} times"));
    }
}

/// Every row is the one that its producer sent.
fn check_content(books: &[Book], content: &Content, findings: &mut Findings) {
    let place = content.event_id.strip_prefix('p').and_then(|id| id.split_once('-'));
    let numbers = place.and_then(|(producer, number)| Some((producer.parse().ok()?, number.parse().ok()?)));
    let sent = numbers.and_then(|(producer, number): (u64, u64)| {
        let book = books.iter().find(|book| book.origin.producer == producer)?;
        (number < book.accepted.len() as u64).then(|| book.origin.accepted(number))
    });
    match sent {
        Some(sent) if sent == *content => {}
        Some(sent) => findings.deceive(format!("the table shows {content:?}, but {sent:?} was sent")),
        None => findings.deceive(format!("the table shows event {:?}, which was not sent", content.event_id)),
    }
}

/// No two rows share an identity, and arrivals never decrease along the log.
fn check_identities(rows: &[Row], findings: &mut Findings) {
    let mut order: Vec<&Row> = rows.iter().collect();
    order.sort_by_key(|row| row.identity);
    for pair in order.windows(2) {
        if pair[0].identity == pair[1].identity {
            findings.duplicate(1, format!("two rows have the identity {:?}", pair[0].identity));
        }
        if pair[0].identity.0 == pair[1].identity.0 && pair[0].arrival > pair[1].arrival {
            findings.deceive(format!("the row at {:?} arrived before the one in front of it", pair[1].identity));
        }
    }
}

#[cfg(test)]
mod tests;
