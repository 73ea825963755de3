//! The truth about a simulated period, known by construction: what must become of every row, which payments are
//! frauds, which faults struck when. No gate code is consulted, and no detector may read it.

use std::collections::BTreeMap;

use seawall_base::Instant;
use serde::{Deserialize, Serialize};

use super::World;
use super::day::{Chargeback, Delivery, PAYMENT_REACH_DAYS};
use super::fault::{Fault, Window};
use super::fraud::Payer;

/// Why the contract must quarantine a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// `card_id` is required.
    CardRequired,
    /// `amount_eur` is above its maximum.
    AmountMaximum,
    /// `channel` is not one of its values.
    ChannelEnum,
    /// The key is known with another content.
    KeyConflict,
}

impl Reason {
    /// The rule as the gate names it in its reasons.
    pub fn rule(self) -> &'static str {
        match self {
            Reason::CardRequired => "required",
            Reason::AmountMaximum => "maximum",
            Reason::ChannelEnum => "enum",
            Reason::KeyConflict => "key_conflict",
        }
    }

    /// The column concerned; none for the key as a whole.
    pub fn column(self) -> Option<&'static str> {
        match self {
            Reason::CardRequired => Some("card_id"),
            Reason::AmountMaximum => Some("amount_eur"),
            Reason::ChannelEnum => Some("channel"),
            Reason::KeyConflict => None,
        }
    }
}

/// What must become of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Quarantined(Reason),
    Deduplicated,
    Rejected,
}

/// The truth about a period: everything that is delivered before its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// The seed.
    pub seed: u64,
    /// First instant of the period.
    pub start: Instant,
    /// End of the period.
    pub end: Instant,
    /// What must become of the payments.
    pub payments: Counts,
    /// What must become of the chargebacks.
    pub chargebacks: Counts,
    /// The faults, ordered by start.
    pub faults: Vec<FaultTruth>,
    /// Changes that are no fault: an alarm about one of them is not false.
    pub changes: Vec<NaturalChange>,
    /// Every payment that is a fraud or is charged back, ordered by payment id; all others are honest.
    pub labels: Vec<LabelTruth>,
}

/// What must become of the rows of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Rows delivered: the sum of all others.
    pub received: u64,
    /// Rows for the table.
    pub accepted: u64,
    /// Rows for quarantine, by reason; every one has exactly one.
    pub quarantined: BTreeMap<Reason, u64>,
    /// Rows delivered again without a change.
    pub deduplicated: u64,
    /// Rows of rejected batches.
    pub rejected: u64,
}

impl Counts {
    /// Rows for quarantine, for whatever reason.
    pub fn quarantined_rows(&self) -> u64 {
        self.quarantined.values().sum()
    }

    fn add(&mut self, verdict: Verdict) {
        self.received += 1;
        match verdict {
            Verdict::Accepted => self.accepted += 1,
            Verdict::Quarantined(reason) => *self.quarantined.entry(reason).or_default() += 1,
            Verdict::Deduplicated => self.deduplicated += 1,
            Verdict::Rejected => self.rejected += 1,
        }
    }
}

/// A fault that was injected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultTruth {
    /// Which one.
    pub fault: Fault,
    /// Its beginning: the first payment time (for a stuck source, delivery time) that it can strike.
    pub start: Instant,
    /// Its end, exclusive. One that stays for good ends with what is told.
    pub end: Instant,
    /// What happened upstream.
    pub cause: String,
    /// Rows that it changed, delayed or added; for a change of fraud, the fraudulent payments made under it.
    pub rows: u64,
}

/// A change of the world that is no fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NaturalChange {
    /// When it begins.
    pub start: Instant,
    /// Columns in which it shows.
    pub columns: Vec<String>,
    /// What happens, for people.
    pub cause: String,
}

/// The truth about one payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelTruth {
    /// The payment.
    pub payment_id: String,
    /// Whether it is a fraud.
    pub fraud: bool,
    /// When it is charged back, if it is and that is delivered before the end.
    pub charged_back_at: Option<Instant>,
}

impl World {
    /// The truth about the whole period. Makes every day once.
    pub fn truth(&self) -> Truth {
        let mut payments = Counts::default();
        let mut chargebacks = Counts::default();
        let mut rows = vec![0; self.windows.len()];
        let mut labels: BTreeMap<u64, LabelTruth> = BTreeMap::new();
        for number in 0..self.days {
            let day = self.day(number);
            for delivery in day.deliveries.iter().filter(|delivery| delivery.arrival < self.end()) {
                payments.add(delivery.verdict);
                self.windows_of(delivery).for_each(|window| rows[window] += 1);
                note_fraud(&mut labels, delivery);
            }
            for chargeback in day.chargebacks.iter().filter(|chargeback| chargeback.arrival < self.end()) {
                chargebacks.add(Verdict::Accepted);
                note_chargeback(&mut labels, chargeback);
            }
        }
        let mut labels: Vec<LabelTruth> = labels.into_values().collect();
        labels.sort_by(|a, b| a.payment_id.cmp(&b.payment_id));
        Truth {
            seed: self.options.seed,
            start: self.start(),
            end: self.end(),
            payments,
            chargebacks,
            faults: self.windows.iter().zip(rows).map(|(window, rows)| window.truth(rows)).collect(),
            changes: self.changes(),
            labels,
        }
    }

    /// The truth about window `number`, from what is delivered before `until`. Makes the days concerned once.
    pub(super) fn window_truth(&self, number: usize, until: Instant) -> FaultTruth {
        let window = &self.windows[number];
        let mut rows = 0;
        if until <= window.start {
            return window.truth(rows);
        }
        for day in self.days_behind(window.start, window.over().min(until), PAYMENT_REACH_DAYS) {
            for delivery in self.day(day).deliveries.iter().filter(|delivery| delivery.arrival < until) {
                rows += self.windows_of(delivery).filter(|struck_by| *struck_by == number).count() as u64;
            }
        }
        window.truth(rows)
    }

    /// The windows, by number, to which a delivery belongs: one that struck it, and the change that made its fraud.
    fn windows_of(&self, delivery: &Delivery) -> impl Iterator<Item = usize> + use<> {
        let change = match delivery.payment.payer {
            Payer::ChangedFraudster(change) if !delivery.again => Some(change),
            Payer::ChangedFraudster(_) | Payer::Fraudster | Payer::Owner => None,
        };
        delivery.struck_by.into_iter().chain(change)
    }
}

impl Window {
    pub(super) fn truth(&self, rows: u64) -> FaultTruth {
        let Window { fault, start, end, .. } = *self;
        FaultTruth { fault, start, end, cause: fault.cause().to_owned(), rows }
    }
}

fn note_fraud(labels: &mut BTreeMap<u64, LabelTruth>, delivery: &Delivery) {
    if delivery.payment.is_fraud() {
        label(labels, delivery.payment.id).fraud = true;
    }
}

fn note_chargeback(labels: &mut BTreeMap<u64, LabelTruth>, chargeback: &Chargeback) {
    label(labels, chargeback.payment).charged_back_at = Some(chargeback.reported_at);
}

fn label(labels: &mut BTreeMap<u64, LabelTruth>, payment: u64) -> &mut LabelTruth {
    labels.entry(payment).or_insert_with(|| LabelTruth {
        payment_id: super::rows::payment_id(payment),
        fraud: false,
        charged_back_at: None,
    })
}
