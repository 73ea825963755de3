//! Reads what an installation shows, through its public surface, and compares it with the books.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use super::book::{Book, Fate, Findings, Row, audit};
use super::event::{COLUMNS, Content, USERS};
use super::server::Server;

/// Waits until every stage has caught up, then audits table, quarantine, accounting and features.
pub fn audit_server(server: &Server, books: &[Book]) -> Result<Findings> {
    server.catch_up()?;
    let rows = all_rows(server)?;
    let stopped = stopped(&server.query("select _raw from events__quarantine")?)?;
    let mut findings = audit(books, &rows, &stopped);
    check_accounting(server, rows.len() as u64, stopped.len() as u64, &mut findings)?;
    check_features(server, &rows, &mut findings)?;
    Ok(findings)
}

/// Offsets that one query of an audit covers: an answer must not take longer than a request may.
const OFFSETS_PER_QUERY: i64 = 20_000;

/// Every row of the table, in pieces.
fn all_rows(server: &Server) -> Result<Vec<Row>> {
    let newest = server.query("select max(cast(_lsn as bigint)) as newest from events")?;
    let end = newest.first().and_then(|row| row["newest"].as_i64()).map_or(0, |newest| newest + 1);
    let mut all = Vec::new();
    for from in (0..end).step_by(OFFSETS_PER_QUERY as usize) {
        let until = from + OFFSETS_PER_QUERY;
        let sql = format!("select {COLUMNS} from events where _lsn >= {from} and _lsn < {until}");
        all.extend(rows(&server.query(&sql)?)?);
    }
    Ok(all)
}

/// Compares the counts that a server knows right after its start with the books, without waiting for tables.
pub fn audit_counts(server: &Server, books: &[Book], findings: &mut Findings) -> Result<()> {
    let counts = counts(server)?;
    let all = books.iter().flat_map(|book| &book.accepted);
    let (mut acknowledged, mut sent) = (0, 0);
    for fate in all {
        sent += 1;
        acknowledged += u64::from(*fate == Fate::Acknowledged);
    }
    if counts.accepted < acknowledged {
        findings.lose(format!("{acknowledged} events were acknowledged, the log holds {}", counts.accepted));
    }
    if counts.accepted > sent {
        findings.duplicate(counts.accepted - sent, format!("{sent} events were sent, {} accepted", counts.accepted));
    }
    Ok(())
}

struct Counts {
    accepted: u64,
    quarantined: u64,
}

fn counts(server: &Server) -> Result<Counts> {
    let status = server.get("/v1/status").ok_or_else(|| anyhow!("no answer to /v1/status"))?;
    let counts = &status.body["datasets"]["events"]["counts"];
    let count = |name: &str| counts[name].as_u64().with_context(|| format!("no count {name} in {}", status.body));
    Ok(Counts { accepted: count("accepted")?, quarantined: count("quarantined")? })
}

/// The accounting since the log began says what the tables show.
fn check_accounting(server: &Server, rows: u64, stopped: u64, findings: &mut Findings) -> Result<()> {
    let counts = counts(server)?;
    if (counts.accepted, counts.quarantined) != (rows, stopped) {
        findings.deceive(format!(
            "{} accepted and {} quarantined rows are counted, the tables show {rows} and {stopped}",
            counts.accepted, counts.quarantined
        ));
    }
    Ok(())
}

/// The online store counts, per entity, what the table holds.
fn check_features(server: &Server, rows: &[Row], findings: &mut Findings) -> Result<()> {
    let mut expected: BTreeMap<&str, i64> = BTreeMap::new();
    for row in rows {
        *expected.entry(row.content.user_id.as_str()).or_default() += 1;
    }
    let users: Vec<String> = (0..USERS).map(|user| format!("u{user}")).collect();
    let asked: Vec<Value> = users.iter().map(|user| json!({"user_id": user})).collect();
    let answer = server.post("/v1/features", &json!({"views": ["users@1"], "rows": asked}));
    let answer = answer.ok_or_else(|| anyhow!("no answer to /v1/features"))?;
    for (user, served) in users.iter().zip(answer.body["rows"].as_array().unwrap_or(&Vec::new())) {
        let served = feature(served);
        let expected = expected.get(user.as_str()).copied().unwrap_or(0);
        if served.unwrap_or(0) != expected {
            findings.deceive(format!("the table holds {expected} events of {user}, features count {served:?}"));
        }
    }
    if answer.status != 200 {
        findings.deceive(format!("features were answered with {}: {}", answer.status, answer.body));
    }
    Ok(())
}

fn feature(row: &Value) -> Option<i64> {
    row.as_object()?.iter().find(|(name, _)| name.ends_with("n_30d")).and_then(|(_, value)| value.as_i64())
}

/// The rows of an answer to [`COLUMNS`].
pub fn rows(answer: &[Value]) -> Result<Vec<Row>> {
    let row = |row: &Value| {
        let content = Content::of_answer(row)?;
        Some(Row {
            content,
            identity: (row["part"].as_i64()?, row["lsn"].as_i64()?),
            arrival: row["arrival"].as_i64()?,
        })
    };
    answer.iter().map(|value| row(value).ok_or_else(|| anyhow!("a row without all its columns: {value}"))).collect()
}

/// The notes of the quarantined rows in an answer.
pub fn stopped(answer: &[Value]) -> Result<Vec<String>> {
    let note = |row: &Value| {
        let raw: Value = serde_json::from_str(row["_raw"].as_str()?).ok()?;
        Some(raw["note"].as_str()?.to_owned())
    };
    answer.iter().map(|row| note(row).ok_or_else(|| anyhow!("a quarantined row without its note: {row}"))).collect()
}
