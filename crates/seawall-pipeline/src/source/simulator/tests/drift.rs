//! What can be learnt, for how long it stays right, and how slowly the rest of the world moves.

use super::*;

/// What a rule learns from: channel, category, hour, payments with the card in the last hour, channel with cards seen on
/// the device in the last week, whether the amount is large.
type Facts = [String; 6];

/// A payment as a rule sees it.
struct Seen {
    day: i64,
    fraud: bool,
    facts: Facts,
}

/// Every payment of a world with what was known before it.
fn seen(world: &mut World) -> Vec<Seen> {
    let frauds: BTreeSet<String> =
        world.truth().labels.into_iter().filter(|label| label.fraud).map(|label| label.payment_id).collect();
    let mut by_card: HashMap<String, Vec<i64>> = HashMap::new();
    let mut by_device: HashMap<String, Vec<(i64, String)>> = HashMap::new();
    let mut seen = Vec::new();
    for Delivered { rows, .. } in all(world, Stream::Payments) {
        for row in 0..rows.num_rows() {
            let field = |column| text(&rows, column, row).unwrap().to_owned();
            let since = (instant(&rows, "requested_at", row) - DEFAULT_START).0;
            let times = by_card.entry(field("card_id")).or_default();
            times.retain(|time| since - time < Span::HOUR.0);
            let on_device = by_device.entry(field("device_id")).or_default();
            on_device.retain(|(time, _)| since - time < 7 * Span::DAY.0);
            let cards: BTreeSet<&String> = on_device.iter().map(|(_, card)| card).collect();
            let hour = since.rem_euclid(Span::DAY.0) / Span::HOUR.0;
            let facts = [
                field("channel"),
                field("merchant_category"),
                hour.to_string(),
                times.len().min(2).to_string(),
                format!("{} {}", field("channel"), cards.len().min(3)),
                (amount(&rows, row) > 250.0).to_string(),
            ];
            let fraud = frauds.contains(text(&rows, "payment_id", row).unwrap());
            seen.push(Seen { day: since / Span::DAY.0, fraud, facts });
            times.push(since);
            on_device.push((since, field("card_id")));
        }
    }
    seen
}

/// Naive Bayes: how much more often each fact is seen among frauds than among honest payments.
struct Rule {
    /// Frauds and honest payments with a fact, by its place and value; of all under the empty value.
    counts: HashMap<(usize, String), (f64, f64)>,
}

impl Rule {
    fn learnt(seen: &[Seen], days: std::ops::Range<i64>) -> Rule {
        let mut counts: HashMap<(usize, String), (f64, f64)> = HashMap::new();
        for one in seen.iter().filter(|one| days.contains(&one.day)) {
            for (place, fact) in one.facts.iter().enumerate() {
                for value in [fact.clone(), String::new()] {
                    let (frauds, honest) = counts.entry((place, value)).or_default();
                    *if one.fraud { frauds } else { honest } += 1.0;
                }
            }
        }
        Rule { counts }
    }

    fn score(&self, facts: &Facts) -> f64 {
        let known = |place, value: &str| self.counts.get(&(place, value.to_owned())).copied().unwrap_or_default();
        let mut score = 0.0;
        for (place, fact) in facts.iter().enumerate() {
            let ((frauds, honest), (all_frauds, all_honest)) = (known(place, fact), known(place, ""));
            score += (((frauds + 1.0) / (all_frauds + 8.0)) / ((honest + 1.0) / (all_honest + 8.0))).ln();
        }
        score
    }

    /// Probability that a fraud of `days` scores higher than an honest payment of them.
    fn auc(&self, seen: &[Seen], days: std::ops::Range<i64>) -> f64 {
        let mut by_score: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
        for one in seen.iter().filter(|one| days.contains(&one.day)) {
            let score = (self.score(&one.facts) * 1e9) as i64;
            let (frauds, honest) = by_score.entry(score).or_default();
            *if one.fraud { frauds } else { honest } += 1.0;
        }
        let (mut below, mut wins, mut all_frauds) = (0.0, 0.0, 0.0);
        for (frauds, honest) in by_score.values() {
            wins += frauds * (below + honest / 2.0);
            below += honest;
            all_frauds += frauds;
        }
        wins / (below * all_frauds)
    }
}

#[test]
fn what_is_learnt_early_stays_right_without_faults() {
    let seen = seen(&mut world(7, 180, 1_000, &[]));
    let frauds = seen.iter().filter(|one| one.fraud).count();
    let share = frauds as f64 / seen.len() as f64;
    assert!((0.022..0.028).contains(&share), "share of frauds {share}");
    let rule = Rule::learnt(&seen, 0..15);
    let (early, late) = (rule.auc(&seen, 15..60), rule.auc(&seen, 135..180));
    assert!(early > 0.85, "early {early}");
    assert!((early - late).abs() < 0.02, "early {early}, late {late}");
}

#[test]
fn a_change_of_fraud_blinds_old_rules_and_can_be_learnt() {
    for seed in [7, 8] {
        let seen = seen(&mut world(seed, 100, 600, &[Fault::FraudChange]));
        let old = Rule::learnt(&seen, 0..15);
        let (before, after) = (old.auc(&seen, 15..40), old.auc(&seen, 40..100));
        assert!(before > 0.85, "old rules before the change {before}");
        assert!(after < 0.65, "old rules after the change {after}");
        let new = Rule::learnt(&seen, 40..60).auc(&seen, 60..100);
        assert!(new > 0.85, "new rules after the change {new}");
        let share = |days: std::ops::Range<i64>| {
            let rows: Vec<&Seen> = seen.iter().filter(|one| days.contains(&one.day)).collect();
            rows.iter().filter(|one| one.fraud).count() as f64 / rows.len() as f64
        };
        assert!((share(0..40) - share(40..100)).abs() < 0.005, "{} then {}", share(0..40), share(40..100));
    }
}

#[test]
fn every_further_change_blinds_again() {
    let mut world = world(7, 140, 600, &[]);
    let change_days = [20, 50, 80, 110];
    for day in change_days {
        world.windows.push(Window::from(Fault::FraudChange, DEFAULT_START + Span(day * Span::DAY.0)));
    }
    let seen = seen(&mut world);
    let mut old = Rule::learnt(&seen, 0..20);
    for day in change_days {
        let blind = old.auc(&seen, day..day + 30);
        assert!(blind < 0.8, "old rules after the change of day {day}: {blind}");
        old = Rule::learnt(&seen, day..day + 15);
        let new = old.auc(&seen, day + 15..day + 30);
        assert!(new > 0.85, "new rules after the change of day {day}: {new}");
    }
}

#[test]
fn a_change_of_fraud_leaves_all_other_payments_as_they_are() {
    let changed = [Fault::FraudChange];
    let (mut quiet, mut world) = (world(5, 30, 200, &[]), world(5, 30, 200, &changed));
    let truth = world.truth();
    let (start, end) = (truth.faults[0].start, truth.end);
    assert_eq!(start, truth.start + Span(12 * Span::DAY.0));
    assert_eq!(truth.payments.accepted, truth.payments.received);
    let honest = |world: &mut World| {
        let frauds: BTreeSet<String> =
            world.truth().labels.into_iter().filter(|label| label.fraud).map(|label| label.payment_id).collect();
        let mut lines = lines(&all(world, Stream::Payments));
        lines.retain(|line| !frauds.contains(line.split(' ').nth(1).unwrap()));
        lines
    };
    assert_eq!(honest(&mut world), honest(&mut quiet));
    assert_eq!(
        lines(&world.batch_between(Stream::Payments, truth.start, start)),
        lines(&quiet.batch_between(Stream::Payments, truth.start, start))
    );
    let frauds: BTreeSet<&str> =
        truth.labels.iter().filter(|label| label.fraud).map(|label| label.payment_id.as_str()).collect();
    let mut counted = 0;
    for Delivered { rows, .. } in world.batch_between(Stream::Payments, start, end) {
        for row in (0..rows.num_rows()).filter(|row| frauds.contains(text(&rows, "payment_id", *row).unwrap())) {
            let hour = instant(&rows, "requested_at", row).0.rem_euclid(Span::DAY.0) / Span::HOUR.0;
            assert!((1..=5).contains(&hour), "at {hour}");
            assert_eq!(text(&rows, "channel", row), Some("pos"));
            assert_eq!(text(&rows, "merchant_category", row), Some("fuel"));
            assert!((20.0..100.0).contains(&amount(&rows, row)), "{}", amount(&rows, row));
            counted += 1;
        }
    }
    assert_eq!(counted, truth.faults[0].rows);
}

/// The share of `values` in each bin that `edges` divide.
fn shares(values: &[f64], edges: &[f64]) -> Vec<f64> {
    let mut shares = vec![0.0; edges.len() + 1];
    for value in values {
        shares[edges.partition_point(|edge| edge < value)] += 1.0 / values.len() as f64;
    }
    shares
}

/// Population stability index over ten bins at quantiles of the reference.
fn psi(reference: &[f64], current: &[f64]) -> f64 {
    let mut sorted = reference.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..10).map(|tenth| sorted[sorted.len() * tenth / 10]).collect();
    edges.dedup();
    let (before, after) = (shares(reference, &edges), shares(current, &edges));
    let part = |(one, other): (&f64, &f64)| {
        let (one, other) = (one.max(1e-4), other.max(1e-4));
        (other - one) * (other / one).ln()
    };
    before.iter().zip(&after).map(part).sum()
}

/// A number for a text, from its first two letters.
fn number(text: &str) -> f64 {
    f64::from(text.as_bytes()[0]) * 256.0 + f64::from(text.as_bytes()[1])
}

/// By name, the values that the demo's features are made of: a category is the number of its value.
fn columns(world: &mut World, days: std::ops::Range<i64>) -> BTreeMap<&'static str, Vec<f64>> {
    let day = |number: i64| world.start() + Span(number * Span::DAY.0);
    let (from, to) = (day(days.start), day(days.end));
    let mut columns: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut counts: BTreeMap<&str, HashMap<(i64, String), f64>> = BTreeMap::new();
    for Delivered { rows, .. } in world.batch_between(Stream::Payments, from, to) {
        for row in 0..rows.num_rows() {
            let field = |column| text(&rows, column, row).unwrap().to_owned();
            let since = (instant(&rows, "requested_at", row) - DEFAULT_START).0;
            columns.entry("amount_eur").or_default().push(amount(&rows, row));
            columns.entry("hour").or_default().push((since / Span::HOUR.0 % 24) as f64);
            for column in ["channel", "merchant_category", "country"] {
                columns.entry(column).or_default().push(number(&field(column)));
            }
            for column in ["card_id", "merchant_id", "device_id"] {
                let key = (since / Span::DAY.0, field(column));
                *counts.entry(column).or_default().entry(key).or_default() += 1.0;
            }
        }
    }
    for (column, counts) in counts {
        columns.insert(column, counts.into_values().collect());
    }
    columns
}

#[test]
fn the_world_drifts_by_itself_but_slowly() {
    for seed in [7, 8] {
        let mut world = world(seed, 180, 600, &[]);
        let (reference, current) = (columns(&mut world, 20..45), columns(&mut world, 120..160));
        for (column, values) in &reference {
            let psi = psi(values, &current[column]);
            assert!(psi < 0.1, "{column} of seed {seed}: {psi}");
        }
        let at_terminals = |values: &[f64]| {
            values.iter().filter(|value| **value == number("pos")).count() as f64 / values.len() as f64
        };
        let (before, after) = (at_terminals(&reference["channel"]), at_terminals(&current["channel"]));
        assert!(after < before - 0.02, "share of terminals {before} then {after}");
        let countries = |values: &[f64]| values.iter().map(|value| *value as u64).collect::<BTreeSet<_>>().len();
        assert!(countries(&current["country"]) > countries(&reference["country"]), "a country opens");
        let changes = world.truth().changes;
        assert!(changes.iter().any(|change| change.cause.contains("PT")));
    }
}

#[test]
fn nights_are_never_silent_for_as_long_as_a_stuck_source() {
    let (mut world, mut longest) = (world(7, 180, 350, &[]), 0);
    let arrivals: Vec<Instant> = all(&mut world, Stream::Payments).into_iter().flat_map(|d| d.arrivals).collect();
    for pair in arrivals.windows(2) {
        longest = longest.max((pair[1] - pair[0]).0);
    }
    assert!(longest < 4 * Span::HOUR.0, "{} without an arrival", Span(longest));
}
