//! The project of the demo: the declarations under which the simulator's rows are gated, aggregated and labelled.

#[cfg(test)]
mod tests;

use super::{AMOUNT_CENTS_MAX, Fault, Options};

/// The declarations of a project over the simulator: path and text of each file, in the order of the journey.
///
/// Declarations say no start, so the project simulates from [`DEFAULT_START`](super::DEFAULT_START) whatever `options`
/// say.
pub fn project(options: &Options) -> Vec<(&'static str, String)> {
    vec![
        ("seawall.yaml", SEAWALL.to_owned()),
        ("contracts/payments.odcs.yaml", PAYMENTS.replace("AMOUNT_MAX", &(AMOUNT_CENTS_MAX / 100).to_string())),
        ("contracts/chargebacks.odcs.yaml", CHARGEBACKS.to_owned()),
        ("sources.yaml", sources(options)),
        ("features/card.yaml", CARD.to_owned()),
        ("features/merchant.yaml", MERCHANT.to_owned()),
        ("features/device.yaml", DEVICE.to_owned()),
        ("training_sets/fraud.yaml", FRAUD.to_owned()),
        ("models/fraud.yaml", MODEL.replace("ROWS_MIN", &(options.payments_per_day * DAYS_TO_LEARN).to_string())),
        ("monitors.yaml", MONITORS.to_owned()),
        ("policies/analysts.cedar", ANALYSTS.to_owned()),
    ]
}

fn sources(options: &Options) -> String {
    let faults = options.faults.iter().map(|fault: &Fault| fault.name()).collect::<Vec<_>>().join(", ");
    let mut text = String::from(
        "# Both streams come out of one simulated world, so all settings but the stream must be the same.\n",
    );
    for (place, stream) in ["payments", "chargebacks"].into_iter().enumerate() {
        let separator = if place == 0 { "" } else { "---\n" };
        let Options { seed, length, payments_per_day, .. } = options;
        text.push_str(&format!(
            "{separator}kind: source\n\
             name: {stream}\n\
             simulator:\n  \
               stream: {stream}\n  \
               seed: {seed}\n  \
               length: {length}\n  \
               payments_per_day: {payments_per_day}\n  \
               faults: [{faults}]\n\
             contract: {stream}@1\n"
        ));
    }
    text
}

const SEAWALL: &str = "\
# Simulated card payments. No person, card or merchant in here exists.
kind: project
name: payments_demo
";

const PAYMENTS: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: payments
version: 1.0.0
name: Card payments
status: active
tags: [payments, fraud]
team:
  name: payments-team
  description: Answers for the payment gateway and what it sends.
description:
  purpose: Card payments as requested, for fraud scoring and real-time analytics.
  limitations: Simulated. No person, card or merchant in here exists.
schema:
  - name: payments
    description: One row per requested payment.
    properties:
      - {name: payment_id, logicalType: string, primaryKey: true, required: true}
      - {name: requested_at, logicalType: timestamp, required: true}
      - {name: card_id, logicalType: string, required: true, classification: restricted, tags: [card]}
      - {name: customer_id, logicalType: string, required: true}
      - {name: customer_email, logicalType: string, classification: personal, tags: [contact]}
      - {name: merchant_id, logicalType: string, required: true}
      - {name: merchant_category, logicalType: string, required: true}
      - {name: country, logicalType: string, required: true, logicalTypeOptions: {minLength: 2, maxLength: 2}}
      - {name: device_id, logicalType: string, required: true}
      - name: channel
        logicalType: string
        required: true
        enum: [{value: pos}, {value: web}, {value: app}]
      - name: amount_eur
        description: Euros, with two decimals.
        logicalType: number
        required: true
        logicalTypeOptions: {minimum: 0.01, maximum: AMOUNT_MAX}
      - name: schema_version
        description: Version of the producer's schema; a batch of another version is rejected as a whole.
        logicalType: integer
        required: true
        quality:
          - id: known_schema_version
            metric: invalidValues
            arguments: {validValues: [1]}
            mustBe: 0
            customProperties:
              - {property: seawall.mode, value: reject}
    customProperties:
      - {property: seawall.eventTime, value: requested_at}
      - {property: seawall.dedupHorizon, value: 7d}
";

const CHARGEBACKS: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: chargebacks
version: 1.0.0
name: Chargebacks
status: active
tags: [fraud, label]
team:
  name: risk-team
  description: Answers for fraud scoring and its labels.
description:
  purpose: Payments that were charged back, 3 to 45 days after they were requested. The label of fraud scoring.
  limitations: Simulated. Some frauds are never charged back, and some honest payments are.
schema:
  - name: chargebacks
    description: One row per chargeback.
    properties:
      - {name: chargeback_id, logicalType: string, primaryKey: true, required: true}
      - {name: payment_id, logicalType: string, required: true}
      - {name: reported_at, logicalType: timestamp, required: true}
      - name: reason
        logicalType: string
        required: true
        enum: [{value: fraud}, {value: unrecognised}, {value: not_received}, {value: defective}]
    customProperties:
      - {property: seawall.eventTime, value: reported_at}
";

const CARD: &str = "\
# What a card has been doing: bursts, unusual amounts, unusual countries.
kind: feature_view
name: card
entity: card_id
from: payments
time: requested_at
features:
  n_1h: {count: \"*\", window: 1h}
  n_24h: {count: \"*\", window: 24h}
  sum_24h: {sum: amount_eur, window: 24h}
  max_24h: {max: amount_eur, window: 24h}
  mean_7d: {mean: amount_eur, window: 7d}
  merchants_7d: {distinct: merchant_id, window: 7d}
  countries_24h: {distinct: country, window: 24h}
  country: {latest: country, ttl: 30d}
  idle_s: {time_since: \"*\", ttl: 30d}
";

const MERCHANT: &str = "\
# What is usual at a merchant.
kind: feature_view
name: merchant
entity: merchant_id
from: payments
time: requested_at
features:
  n_24h: {count: \"*\", window: 24h}
  cards_24h: {distinct: card_id, window: 24h}
  mean_7d: {mean: amount_eur, window: 7d}
  variance_7d: {variance: amount_eur, window: 7d}
  p95_7d: {quantile: amount_eur, q: 0.95, window: 7d}
";

const DEVICE: &str = "\
# Devices of fraudsters see many cards.
kind: feature_view
name: device
entity: device_id
from: payments
time: requested_at
features:
  n_1h: {count: \"*\", window: 1h}
  cards_7d: {distinct: card_id, window: 7d}
  sum_24h: {sum: amount_eur, window: 24h}
  idle_s: {time_since: \"*\", ttl: 30d}
";

const FRAUD: &str = "\
# Will this payment be charged back? After 45 days without a chargeback the answer is no.
kind: training_set
name: fraud
rows: {from: payments, at: requested_at, own_row: exclude}
label: {from: chargebacks, join: payment_id, present: true, absent: false, final_after: 45d}
features: [card@1, merchant@1, device@1]
context:
  amount_eur: amount_eur
  channel: channel
  country: country
  merchant_category: merchant_category
  hour: extract(hour from requested_at)
";

/// Days of final outcomes before the first training: a week of warm-up, and enough frauds to learn from and to hold out.
const DAYS_TO_LEARN: u32 = 22;

const ANALYSTS: &str = "\
// Analysts see the last characters of cards, nobody's e-mail address, and the payments of their own categories: groups
// are named after merchant categories.
@mask(\"show-last-4\")
forbid (principal in Role::\"analyst\", action == Action::\"read_raw\", resource)
when { resource.classification == \"restricted\" };

forbid (principal in Role::\"analyst\", action == Action::\"read_raw\", resource)
when { resource.classification == \"personal\" };

forbid (principal in Role::\"analyst\", action == Action::\"read_row\", resource is Row_payments)
unless { resource has merchant_category && principal.groups.contains(resource.merchant_category) };
";

const MODEL: &str = "\
# The probability that a payment will be charged back.
kind: model
name: fraud
training_set: fraud
owner: risk-team
trainer: {boosting: {trees: 120, learning_rate: 0.1, leaves: 12}}
calibration: platt
holdout: 5d
rows_min: ROWS_MIN
on_missing: {default: accept}
ready_when: {auc: {min: 0.8}}
retrain:
  min_interval: 7d
  triggers: {psi: 0.25, auc_drop: 0.05}
  evaluate: 7d
  probation: 7d
  approve: [owner, risk]
";

const MONITORS: &str = "\
# Payments come at night too: five hours without one mean that something is stuck.
kind: monitor
name: payments
dataset: payments
freshness: 5h
quarantine_share: 0.05
window: 6h
by: [merchant_category]
owner: payments-team
";
