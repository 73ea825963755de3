//! What is written down comes back equal, and goes on as if it had never been written.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;
use seawall_base::declare::Monitor as Rules;
use seawall_base::{Dataset, Offset, Span, column};
use seawall_catalog::project::{LoadOptions, parse_sources};
use seawall_catalog::{Counts, RuleFailures};
use seawall_kernel::contract;

use super::*;
use crate::frame::{Frame, Header};
use crate::source::simulator::{DEFAULT_START, Options, project};

fn payments() -> Dataset {
    let options =
        Options { seed: 9, start: DEFAULT_START, length: Span::DAY, payments_per_day: 10, faults: Vec::new() };
    let texts: Vec<_> = project(&options).into_iter().map(|(path, text)| (PathBuf::from(path), text)).collect();
    let loaded = parse_sources(&texts, LoadOptions::default()).unwrap();
    let declared = loaded.project.contracts.iter().find(|contract| contract.id() == "payments").unwrap();
    contract::compile(declared, Some("payments")).unwrap().dataset().clone()
}

/// Payments that arrive after `hours`, or a batch that is rejected.
fn frame(hours: i64, amounts: &[f64]) -> Frame {
    let arrival = DEFAULT_START + Span(hours * Span::HOUR.0);
    let instants = || -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(vec![arrival.0; amounts.len()]).with_timezone("UTC"))
    };
    let fields = vec![
        Field::new("currency", DataType::Utf8, true),
        Field::new("amount_eur", DataType::Float64, true),
        Field::new(column::ARRIVAL, crate::instant_type(), false),
        Field::new(column::AVAILABLE_AT, crate::instant_type(), false),
    ];
    let currencies: Vec<&str> = amounts.iter().map(|amount| if *amount > 50.0 { "EUR" } else { "SEK" }).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(currencies)),
        Arc::new(Float64Array::from(amounts.to_vec())),
        instants(),
        instants(),
    ];
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let received = rows.num_rows().max(1) as u64;
    let rejected = u64::from(amounts.is_empty());
    let counts = Counts { received, accepted: received - rejected, rejected, ..Counts::default() };
    let broken =
        RuleFailures { rule: "maximum".into(), column: Some("amount_eur".into()), mode: "quarantine".into(), rows: 3 };
    let header = Header {
        dataset: "payments".into(),
        source: format!("source {}", hours % 3),
        permit: "permit".into(),
        counts,
        rules: if hours % 2 == 0 { vec![broken] } else { Vec::new() },
        position: None,
        files: Vec::new(),
        load: None,
        halt: None,
        restore: None,
        departure: None,
        arrival: None,
        answer: None,
        derived: None,
        erased: None,
    };
    Frame { header, accepted: (!amounts.is_empty()).then_some(rows), quarantined: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn sums_go_on_from_a_checkpoint(
        frames in prop::collection::vec((0i64..40, prop::collection::vec(any::<f64>(), 0..6)), 1..30),
        written_after in 0usize..30,
    ) {
        let dataset = payments();
        let rules = Rules { by: vec!["currency".into()], ..Rules::of("payments") };
        let (mut straight, mut interrupted) = (DatasetWatch::default(), DatasetWatch::default());
        let mut hours = 0;
        for (i, (passed, amounts)) in frames.iter().enumerate() {
            hours += passed;
            let frame = frame(hours, amounts);
            for watch in [&mut straight, &mut interrupted] {
                watch.fold(&frame, Offset(i as u64), &dataset, &rules, DEFAULT_START).unwrap();
            }
            if i == written_after {
                let json = serde_json::to_vec(&interrupted).unwrap();
                interrupted = serde_json::from_slice(&json).unwrap();
            }
        }
        // NaN differs from itself, so what is compared is what would be written.
        let written = |watch: &DatasetWatch| serde_json::to_string(watch).unwrap();
        prop_assert_eq!(written(&interrupted), written(&straight));
    }
}

#[test]
fn keys_of_128_bits_and_odd_floats_come_back() {
    for probability in [f64::INFINITY, -0.0, 0.1 + 0.2, f64::MIN_POSITIVE / 2.0] {
        let bits = probability.to_bits();
        let text = format!(
            r#"{{"predictions":{{"-5":[{{"key":{max},"version":3,"probability":{bits},"slices":[null,"a"]}}]}},
                "outcomes":[[{max},[7,true]],[0,[-1,null]]],"decisions":{{"-1":4}}}}"#,
            max = u128::MAX,
        );
        let watch: PerformanceWatch = serde_json::from_str(&text).unwrap();
        let again = serde_json::to_string(&watch).unwrap();
        assert!(again.contains(&u128::MAX.to_string()) && again.contains(&bits.to_string()), "{again}");
        assert_eq!(serde_json::from_str::<PerformanceWatch>(&again).unwrap(), watch);
    }
}
