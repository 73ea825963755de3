//! What depends on order when rows leave quarantine: when they are released, and whether their keys are free.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use seawall_base::Instant;
use seawall_base::error::Result;
use seawall_kernel::contract::{Mode, Reason};

use crate::dedup::{Keyed, Seen};
use crate::gate::{self, Checked, Identities, Order};
use crate::revision::{DatasetGate, with_times};

/// Rows that were let go, by their place in what was checked.
pub(super) struct Released {
    /// They, with their times; none when every one stays.
    pub accepted: Option<RecordBatch>,
    /// When.
    pub at: Instant,
    /// The row of each accepted one.
    pub rows: Vec<u32>,
    /// Rows that stay after all.
    pub stays: Vec<(u32, Reason)>,
}

/// What a release would do, by place in what was checked.
pub(super) struct WouldRelease {
    /// Rows that would be let go.
    pub passes: Vec<u32>,
    /// Rows that would stay.
    pub stays: Vec<(u32, Reason)>,
}

impl Order {
    /// Decides what depends on order about rows that passed the gate.
    pub(super) fn release(&mut self, dataset: &DatasetGate, mut checked: Checked, now: Instant) -> Result<Released> {
        let arrivals = self.stamp(checked.raw.num_rows(), None, now);
        let at = self.last_arrival.unwrap_or(now);
        let passed = checked.accepted_rows.clone();
        let mut verdicts = Vec::new();
        let unique = self.decide_uniqueness(dataset, &mut checked, &arrivals, &mut verdicts)?;
        self.confirm(&dataset.dataset.name, unique.fresh);
        let mut stays: Vec<(u32, Reason)> = Vec::new();
        let leaving: BTreeSet<u32> = checked.accepted_rows.iter().copied().collect();
        for row in passed.into_iter().filter(|row| !leaving.contains(row)) {
            let conflict = checked.quarantined.iter().find(|stopped| stopped.row == row);
            let reason = conflict.and_then(|stopped| stopped.reasons.first().cloned());
            stays.push((row, reason.unwrap_or_else(|| is_there(&dataset.dataset.primary_key))));
        }
        if checked.accepted.num_rows() == 0 {
            return Ok(Released { accepted: None, at, rows: Vec::new(), stays });
        }
        let arrival: Vec<i64> = checked.accepted_rows.iter().map(|row| arrivals[*row as usize]).collect();
        let available = available(&arrival, checked.declared.as_deref());
        let accepted = with_times(&checked.accepted, arrival, available)?;
        Ok(Released { accepted: Some(accepted), at, rows: checked.accepted_rows, stays })
    }

    /// What [`Order::release`] would say, with nothing decided: rows that pass and rows that stay.
    pub(super) fn would_release(&self, dataset: &DatasetGate, checked: &Checked, now: Instant) -> Result<WouldRelease> {
        let key = &dataset.dataset.primary_key;
        let arrival = self.last_arrival.map_or(now, |last| last.max(now));
        let index = self.dedup.get(&dataset.dataset.name).filter(|_| !key.is_empty());
        let Some(index) = index else {
            return Ok(WouldRelease { passes: checked.accepted_rows.clone(), stays: Vec::new() });
        };
        let Identities { keys, contents } = Identities::of(&checked.accepted, key)?;
        let (mut passes, mut stays) = (Vec::new(), Vec::new());
        for (at, row) in checked.accepted_rows.iter().enumerate() {
            let seen = keys[at].map(|key| index.look_at(Keyed { arrival, key, content: contents[at] }));
            match seen {
                None | Some(Seen::New) => passes.push(*row),
                Some(Seen::Same) => stays.push((*row, is_there(key))),
                Some(Seen::Different) if dataset.dataset.changelog.is_some() => passes.push(*row),
                Some(Seen::Different) => stays.push((*row, gate::key_conflict(key))),
            }
        }
        Ok(WouldRelease { passes, stays })
    }
}

/// `max(declared, release)`, also under `history: true`: nobody could know the row while it was in quarantine.
fn available(released: &[i64], declared: Option<&[Option<i64>]>) -> Vec<i64> {
    let Some(declared) = declared else { return released.to_vec() };
    let later = |(released, declared): (&i64, &Option<i64>)| declared.map_or(*released, |at| at.max(*released));
    released.iter().zip(declared).map(later).collect()
}

fn is_there(key: &[String]) -> Reason {
    let message = format!("the table has this very row already, by its {}; discard it", key.join(", "));
    Reason { rule: "deduplicated".into(), column: None, message, mode: Mode::Quarantine }
}
