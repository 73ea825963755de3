//! How fast: run by hand with `cargo test -p seawall-kernel timing -- --ignored --nocapture`.

use std::sync::Arc;

use seawall_base::declare::{Aggregation, WindowEdge};
use seawall_base::{Instant, Span};

use super::fixture::{Payment, batch, feature, key, own, plan};
use crate::feature::{Decisions, Retention, ViewState, sweep};

const ROWS: i64 = 100_000;
const ENTITIES: i64 = 1_000;

#[test]
#[ignore = "prints timings"]
#[expect(clippy::disallowed_methods, reason = "measures real time")]
fn timing_of_folding_values_and_sweep() {
    let x = || "x".to_owned();
    let plan = plan(vec![
        feature("n_1h", Aggregation::Count { column: None }, Some("1h"), WindowEdge::Sawtooth),
        feature("sum_24h", Aggregation::Sum { column: x() }, Some("24h"), WindowEdge::Sawtooth),
        feature("mean_30d", Aggregation::Mean { column: x() }, Some("30d"), WindowEdge::Sawtooth),
        feature("max_7d", Aggregation::Max { column: x() }, Some("7d"), WindowEdge::Sawtooth),
        feature("country", Aggregation::Latest { column: "s".into() }, Some("30d"), WindowEdge::Sawtooth),
    ]);
    let start = "2026-01-01T00:00:00Z".parse::<Instant>().unwrap();
    let spacing = 30 * Span::DAY.0 / ROWS;
    let rows: Vec<Payment> = (0..ROWS)
        .map(|lsn| {
            let at = start.0 + lsn * spacing;
            let base = Payment::at(lsn, "2026-01-01T00:00:00Z").x((lsn * 7919 % 100_003) as f64 / 100.0);
            Payment {
                shop: Some(lsn * 7919 % ENTITIES),
                at: Some(at),
                available: at + Span::SECOND.0,
                s: Some("DE".into()),
                ..base
            }
        })
        .collect();
    let batches: Vec<_> = rows.chunks(1_000).map(batch).collect();
    let end = Instant(start.0 + ROWS * spacing) + Span::MINUTE;

    let began = std::time::Instant::now();
    let mut live = ViewState::new(Arc::clone(&plan), Retention::Live);
    for (index, batch) in batches.iter().enumerate() {
        live.advance(Instant(start.0 + (index as i64 + 1) * 1_000 * spacing)).unwrap();
        live.receive(batch).unwrap();
    }
    live.advance(end).unwrap();
    let folding = began.elapsed();
    println!("fold: {:.0} rows/s", ROWS as f64 / folding.as_secs_f64());
    println!("memory: {} bytes per entity", live.memory_bytes() / live.entities());

    let keys: Vec<_> = (0..ENTITIES).map(|shop| key(&plan, Some("c"), Some(shop))).collect();
    let (at, nobody) = (vec![end; keys.len()], vec![None; keys.len()]);
    let began = std::time::Instant::now();
    for _ in 0..10 {
        live.values(&keys, &at, &nobody).unwrap();
    }
    let vectors = 10.0 * keys.len() as f64;
    println!("values: {:.0} vectors/s of 5 features", vectors / began.elapsed().as_secs_f64());

    let began = std::time::Instant::now();
    let bytes = live.encode();
    println!("encode: {:.0} ms, {} bytes", began.elapsed().as_secs_f64() * 1e3, bytes.len());
    let began = std::time::Instant::now();
    ViewState::decode(Arc::clone(&plan), Retention::Live, &bytes).unwrap();
    println!("decode: {:.0} ms", began.elapsed().as_secs_f64() * 1e3);

    let decisions = Decisions {
        keys: rows.iter().map(|row| key(&plan, Some("c"), row.shop)).collect(),
        at: rows.iter().map(|row| Instant(row.at.unwrap())).collect(),
        known: rows.iter().map(|row| Instant(row.at.unwrap())).collect(),
        own: rows.iter().map(|row| own(row.id.as_deref())).collect(),
        cuts: None,
    };
    let began = std::time::Instant::now();
    sweep(&plan, &batches, &decisions).unwrap();
    println!("sweep: {:.0} decisions/s over {ROWS} rows", ROWS as f64 / began.elapsed().as_secs_f64());
}
