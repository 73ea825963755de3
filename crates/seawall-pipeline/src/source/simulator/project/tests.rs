//! The demo's project: it parses, it describes the streams, and its gate agrees with the truth.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use arrow::array::AsArray;
use seawall_base::declare::Connector;
use seawall_base::{Instant, Span};
use seawall_catalog::project::{LoadOptions, Loaded, parse_sources};
use seawall_kernel::contract::{Gate, Input, compile};

use super::super::{Counts, DEFAULT_START, Fault, Options, Reason, Stream, World};
use super::project;

fn options(days: i64, payments_per_day: u32) -> Options {
    let length = Span(days * Span::DAY.0);
    Options { seed: 9, start: DEFAULT_START, length, payments_per_day, faults: Fault::ALL.to_vec() }
}

fn parsed(options: &Options) -> Loaded {
    let files: Vec<(PathBuf, String)> =
        project(options).into_iter().map(|(path, text)| (PathBuf::from(path), text)).collect();
    parse_sources(&files, LoadOptions::default()).unwrap_or_else(|diagnostics| panic!("{diagnostics:?}"))
}

fn gate(loaded: &Loaded, stream: &str) -> Gate {
    let contract = loaded.project.contracts.iter().find(|contract| contract.id() == stream).unwrap();
    compile(contract, Some(stream)).unwrap()
}

#[test]
fn the_project_parses_and_names_the_same_world() {
    for options in [options(30, 500), Options { faults: Vec::new(), ..options(90, 2_000) }] {
        let loaded = parsed(&options);
        assert_eq!(loaded.project.sources.len(), 2);
        for source in &loaded.project.sources {
            let Connector::Simulator(declared) = &source.connector else { panic!("{source:?}") };
            let (stream, named) = Options::of(declared).unwrap();
            assert_eq!(format!("{stream:?}").to_lowercase(), source.name);
            assert_eq!(named, options);
        }
        assert_eq!(loaded.project.feature_views.len(), 3);
        assert_eq!(loaded.project.training_sets.len(), 1);
        assert!(loaded.project.other.is_empty());
    }
}

#[test]
fn contracts_have_the_shape_of_the_streams() {
    let loaded = parsed(&options(30, 500));
    for (stream, name) in [(Stream::Payments, "payments"), (Stream::Chargebacks, "chargebacks")] {
        let gate = gate(&loaded, name);
        let shape = |schema: &arrow::datatypes::Schema| -> Vec<_> {
            schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
        };
        assert_eq!(shape(&gate.dataset().schema), shape(&stream.schema()));
        assert!(gate.not_executed().is_empty(), "{:?}", gate.not_executed());
    }
    assert_eq!(gate(&loaded, "payments").dataset().personal, ["card_id", "customer_email"]);
    assert_eq!(gate(&loaded, "payments").dedup_horizon(), Some(Span(7 * Span::DAY.0)));
}

/// What the gate makes of the payments, with a deduplication that remembers everything.
fn gated(world: &mut World, gate: &Gate) -> Counts {
    let mut counts = Counts::default();
    let mut known: HashMap<String, u64> = HashMap::new();
    for delivered in world.deliveries(Stream::Payments, Instant::MIN) {
        let rows = &delivered.rows;
        counts.received += rows.num_rows() as u64;
        let verdict = gate.check(rows, Input::Typed, delivered.arrivals[0]);
        assert!(verdict.halt.is_none());
        assert_eq!(verdict.rejected.is_some(), delivered.malformed, "{:?}", verdict.rejected);
        if delivered.malformed {
            counts.rejected += rows.num_rows() as u64;
            continue;
        }
        for quarantined in &verdict.quarantined {
            assert_eq!(quarantined.reasons.len(), 1, "{:?}", quarantined.reasons);
            *counts.quarantined.entry(reason(&quarantined.reasons[0].rule)).or_default() += 1;
        }
        let keys = rows.column_by_name("payment_id").unwrap().as_string::<i32>();
        let amounts = rows.column_by_name("amount_eur").unwrap().as_primitive::<arrow::datatypes::Float64Type>();
        for row in verdict.accepted_rows.iter().map(|row| *row as usize) {
            let content = amounts.value(row).to_bits();
            match known.insert(keys.value(row).to_owned(), content) {
                None => counts.accepted += 1,
                Some(before) if before == content => counts.deduplicated += 1,
                Some(before) => {
                    known.insert(keys.value(row).to_owned(), before);
                    *counts.quarantined.entry(Reason::KeyConflict).or_default() += 1;
                }
            }
        }
    }
    counts
}

/// The reason that the gate's rule stands for.
fn reason(rule: &str) -> Reason {
    let reasons = [Reason::CardRequired, Reason::AmountMaximum, Reason::ChannelEnum, Reason::KeyConflict];
    reasons.into_iter().find(|reason| reason.rule() == rule).unwrap_or_else(|| panic!("unexpected rule {rule}"))
}

#[test]
fn the_gate_agrees_with_the_truth() {
    let options = options(30, 1_000);
    let gate = gate(&parsed(&options), "payments");
    let mut world = World::new(options).unwrap();
    assert_eq!(gated(&mut world, &gate), world.truth().payments);
}

#[test]
fn every_chargeback_passes_its_gate() {
    let options = options(90, 500);
    let gate = gate(&parsed(&options), "chargebacks");
    let mut world = World::new(options).unwrap();
    let mut accepted = 0;
    for delivered in world.deliveries(Stream::Chargebacks, Instant::MIN) {
        let verdict = gate.check(&delivered.rows, Input::Typed, delivered.arrivals[0]);
        assert!(verdict.quarantined.is_empty() && verdict.warnings.is_empty(), "{verdict:?}");
        accepted += verdict.accepted.num_rows() as u64;
    }
    assert_eq!(accepted, world.truth().chargebacks.accepted);
}

#[test]
fn a_path_is_named_once() {
    let files = project(&Options::default());
    let by_path: BTreeMap<_, _> = files.iter().cloned().collect();
    assert_eq!(by_path.len(), files.len());
    assert!(by_path.keys().all(|path| !path.starts_with('/') && !path.contains("..")));
}
