//! Signals on record: every measurement, breached or not, once. They are the history behind charts and incidents.

use seawall_base::watch::Signal;
use seawall_base::{Permit, Result};
use serde_json::json;

use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::database::{Connection, DuringResult, Fields, Row, Write, stored_json};
use crate::policy::{Action, expect_action};

impl Catalog {
    /// Records signals. A measurement of the same thing at the same instant is kept once, as it was recorded first.
    ///
    /// All or none are recorded: `Invalid` (SW1101) when one holds a number that is not finite. Needs a permit for
    /// `manage_incidents`.
    pub async fn record_signals(&self, permit: &Permit, signals: &[Signal]) -> Result<()> {
        expect_action(permit, &[Action::ManageIncidents])?;
        let mut write = self.begin().await?;
        let mut recorded = 0u64;
        let mut breached = 0u64;
        for signal in signals {
            let is_new = insert(&mut write, permit, signal).await?;
            recorded += u64::from(is_new);
            breached += u64::from(is_new && signal.breached);
        }
        if recorded == 0 {
            return Ok(());
        }
        let detail = json!({"recorded": recorded, "breached": breached});
        audit::append(&mut write, self.now(), Draft::of("signals", permit, detail)).await?;
        write.commit().await
    }

    /// The newest signals about `subject`, or about everything, oldest of them first, at most `limit`.
    pub async fn signals(&self, subject: Option<&str>, limit: u32) -> Result<Vec<Signal>> {
        let mut reader = self.read().await?;
        match subject {
            Some(subject) => newest_signals_about(&mut reader, subject, i64::from(limit)).await,
            None => newest_signals(&mut reader, i64::from(limit)).await,
        }
    }
}

/// Whether two signals measure the same thing at the same instant.
pub(super) fn same_measurement(one: &Signal, other: &Signal) -> bool {
    let key = |signal: &Signal| {
        let Signal { at, metric, subject, column, slice, .. } = signal.clone();
        (at, metric, subject, column, slice)
    };
    key(one) == key(other)
}

/// Returns whether the signal is new.
async fn insert(write: &mut Write<'_>, permit: &Permit, signal: &Signal) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO signal (subject, at, metric, column_name, slice, body, permit)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(signal.subject.as_str())
    .bind(signal.at.0)
    .bind(signal.metric.as_str())
    .bind(signal.column.as_deref().unwrap_or(""))
    .bind(signal.slice.as_deref().unwrap_or(""))
    .bind(stored_json(&format!("the signal {} of {}", signal.metric, signal.subject), signal)?)
    .bind(permit.id())
    .execute(write.connection())
    .await
    .during("recording a signal")?;
    Ok(done.rows_affected() > 0)
}

async fn newest_signals_about(connection: &mut Connection, subject: &str, limit: i64) -> Result<Vec<Signal>> {
    let rows = sqlx::query(
        "SELECT body FROM signal WHERE subject = $1
         ORDER BY at DESC, metric DESC, column_name DESC, slice DESC LIMIT $2",
    )
    .bind(subject)
    .bind(limit)
    .fetch_all(connection)
    .await
    .during("listing signals")?;
    oldest_first(rows)
}

/// The newest signals about everything, oldest of them first.
pub(crate) async fn newest_signals(connection: &mut Connection, limit: i64) -> Result<Vec<Signal>> {
    let rows = sqlx::query(
        "SELECT body FROM signal
         ORDER BY at DESC, subject DESC, metric DESC, column_name DESC, slice DESC LIMIT $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await
    .during("listing signals")?;
    oldest_first(rows)
}

fn oldest_first(rows: Vec<Row>) -> Result<Vec<Signal>> {
    rows.iter().rev().map(|row| row.json("body")).collect()
}
