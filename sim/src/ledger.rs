//! The oracle: what was sent, what was answered, and what the tables must therefore show.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use seawall_base::column;
use serde::Serialize;
use serde_json::{Value, json};

/// What a producer knows of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Sent, and nobody said that it was kept.
    Unknown,
    /// Durable, by a receipt.
    Acknowledged,
}

/// Everything that was sent.
#[derive(Debug)]
pub struct Ledger {
    seed: u64,
    /// Events that the contract accepts, by number.
    pub events: Vec<Fate>,
    /// Rows that the gate must stop, by number.
    pub stopped: Vec<Fate>,
}

/// What is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Acknowledged, and not there.
    pub lost: u64,
    /// There more than once.
    pub duplicated: u64,
    /// There, but not what was sent; or an answer that is wrong without an error.
    pub silent: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

impl Findings {
    /// Notes a row that is gone.
    pub fn lose(&mut self, what: String) {
        self.lost += 1;
        self.examples.push(what);
    }

    /// Notes a row that is there too often.
    pub fn duplicate(&mut self, what: String) {
        self.duplicated += 1;
        self.examples.push(what);
    }

    /// Notes an answer that is wrong.
    pub fn deceive(&mut self, what: String) {
        self.silent += 1;
        self.examples.push(what);
    }
}

impl Ledger {
    /// Nothing was sent yet.
    pub fn new(seed: u64) -> Ledger {
        Ledger { seed, events: Vec::new(), stopped: Vec::new() }
    }

    /// A new event.
    pub fn event(&mut self) -> u64 {
        self.events.push(Fate::Unknown);
        self.events.len() as u64 - 1
    }

    /// A new row that must be stopped.
    pub fn stop(&mut self) -> u64 {
        self.stopped.push(Fate::Unknown);
        self.stopped.len() as u64 - 1
    }

    /// Event `number` as a line of a request.
    pub fn line(&self, number: u64) -> Value {
        let hash = blake3::hash(format!("{} {number}", self.seed).as_bytes()).to_hex();
        json!({
            "event_id": format!("e{number}"),
            "happened_at": "2026-01-01T00:00:00Z",
            "user_id": format!("u{}", number % 5),
            "amount": (number * 37 % 1000) as f64,
            "note": &hash[..16],
        })
    }

    /// A row that breaks the contract, or whose key `of` has another content already.
    pub fn stopped_line(&self, number: u64, of: Option<u64>) -> Value {
        let mut line = self.line(of.unwrap_or(0));
        line["note"] = json!(format!("q{number}"));
        if of.is_none() {
            line["event_id"] = json!(format!("q{number}"));
            line["amount"] = json!(5_000.0);
        }
        line
    }

    /// Compares tables with what was sent.
    pub fn audit(&self, rows: &[RecordBatch], quarantined: &[RecordBatch]) -> Findings {
        let mut findings = Findings::default();
        let mut found: HashMap<String, u64> = HashMap::new();
        let mut order: Vec<(i64, i64)> = Vec::new();
        for batch in rows {
            let identities = lsn(batch).values().iter().zip(arrival(batch).values());
            order.extend(identities.map(|(lsn, arrival)| (*lsn, *arrival)));
            let (ids, notes) = (text(batch, "event_id"), text(batch, "note"));
            let amounts = batch.column_by_name("amount").expect("a column amount").as_primitive::<Float64Type>();
            for row in 0..batch.num_rows() {
                let shown = (ids[row].as_str(), notes[row].as_str(), amounts.value(row));
                self.check_row(shown, &mut findings);
                *found.entry(ids[row].clone()).or_default() += 1;
            }
        }
        let mut tags: HashMap<String, u64> = HashMap::new();
        for batch in quarantined {
            for raw in text(batch, "_raw") {
                let raw: Value = serde_json::from_str(&raw).unwrap_or_default();
                *tags.entry(raw["note"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        check_order(&mut order, &mut findings);
        check_fates("e", &self.events, &found, &mut findings);
        check_fates("q", &self.stopped, &tags, &mut findings);
        findings
    }

    fn check_row(&self, shown: (&str, &str, f64), findings: &mut Findings) {
        let number = shown.0.strip_prefix('e').and_then(|number| number.parse::<u64>().ok());
        let sent = number.filter(|number| *number < self.events.len() as u64).map(|number| self.line(number));
        let same = sent.is_some_and(|sent| sent["note"] == shown.1 && sent["amount"] == shown.2);
        if !same {
            findings.deceive(format!("the table shows {shown:?}, which was not sent"));
        }
    }
}

fn check_fates(prefix: &str, fates: &[Fate], found: &HashMap<String, u64>, findings: &mut Findings) {
    for (number, fate) in fates.iter().enumerate() {
        let key = format!("{prefix}{number}");
        match (fate, found.get(&key).copied().unwrap_or(0)) {
            (Fate::Acknowledged, 0) => findings.lose(format!("{key} was acknowledged and is not there")),
            (_, 0 | 1) => {}
            (_, times) => findings.duplicate(format!("{key} is there {times} times")),
        }
    }
}

fn check_order(order: &mut [(i64, i64)], findings: &mut Findings) {
    order.sort_unstable();
    for pair in order.windows(2) {
        if pair[0].0 == pair[1].0 {
            findings.duplicate(format!("two rows have the offset {}", pair[0].0));
        }
        if pair[0].1 > pair[1].1 {
            findings.deceive(format!("the row at offset {} arrived before the one in front of it", pair[1].0));
        }
    }
}

fn lsn(batch: &RecordBatch) -> &arrow::array::PrimitiveArray<Int64Type> {
    batch.column_by_name(column::LSN).expect("rows of a table have an offset").as_primitive()
}

fn arrival(batch: &RecordBatch) -> &arrow::array::PrimitiveArray<TimestampMicrosecondType> {
    batch.column_by_name(column::ARRIVAL).expect("rows of a table have an arrival").as_primitive()
}

fn text(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = batch.column_by_name(name).expect("the contract's columns are there");
    let column = column.as_string::<i32>();
    (0..column.len()).map(|row| column.value(row).to_owned()).collect()
}
