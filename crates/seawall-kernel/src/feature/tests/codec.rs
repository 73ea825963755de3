//! Encoded states: canonical, bound to their definition, and harmless when damaged.

use std::sync::Arc;

use proptest::prelude::*;
use seawall_base::declare::{Aggregation, WindowEdge};
use seawall_base::{ErrorKind, Instant, Span};

use super::fixture::{Payment, batch, feature, key, plan};
use crate::feature::encode::seal;
use crate::feature::{Retention, ViewPlan, ViewState};

fn every_aggregate() -> Arc<ViewPlan> {
    let column = |name: &str| name.to_owned();
    let windowed = [
        Aggregation::Count { column: None },
        Aggregation::Sum { column: column("d") },
        Aggregation::Mean { column: column("x") },
        Aggregation::Variance { column: column("x") },
        Aggregation::Min { column: column("s") },
        Aggregation::Max { column: column("n") },
        Aggregation::First { column: column("s") },
        Aggregation::Last { column: column("x") },
        Aggregation::Distinct { column: column("n"), exact: false },
        Aggregation::Quantile { column: column("x"), q: 0.5 },
    ];
    let mut features = Vec::new();
    for (index, aggregation) in windowed.into_iter().enumerate() {
        features.push(feature(&format!("f{index}"), aggregation, Some("13d"), WindowEdge::Sawtooth));
    }
    features.push(feature("latest", Aggregation::Latest { column: column("s") }, None, WindowEdge::Sawtooth));
    plan(features)
}

fn filled(retention: Retention) -> ViewState {
    let plan = every_aggregate();
    let mut state = ViewState::new(plan, retention);
    state.advance("2026-01-10T00:00:00Z".parse().unwrap()).unwrap();
    let mut rows = Vec::new();
    for lsn in 0..40 {
        let mut row = Payment::at(lsn, "2026-01-01T00:00:00Z").x(1e300 / (lsn as f64 - 3.5)).n(lsn * 7);
        let at = row.at.unwrap() + lsn * 6 * Span::HOUR.0;
        row.at = Some(at);
        row.available = at;
        row.shop = Some(lsn % 3);
        row.d = Some(i128::from(lsn) * 1_000);
        row.s = (lsn % 5 > 0).then(|| format!("s{lsn}"));
        rows.push(row);
    }
    state.receive(&batch(&rows)).unwrap();
    assert!(state.pending_rows() > 0 && state.entities() == 3);
    state
}

#[test]
fn a_state_comes_back_as_it_was() {
    for retention in [Retention::All, Retention::Live] {
        let state = filled(retention);
        let bytes = state.encode();
        let again = ViewState::decode(every_aggregate(), retention, &bytes).unwrap();
        assert_eq!(again.encode(), bytes);
        assert_eq!((again.known(), again.newest_folded()), (state.known(), state.newest_folded()));
        assert_eq!((again.next_pending(), again.pending_rows()), (state.next_pending(), state.pending_rows()));
        let keys = [key(state.plan(), Some("c"), Some(1))];
        let now = [Instant(state.known().0)];
        assert_eq!(again.values(&keys, &now, &[None]).unwrap(), state.values(&keys, &now, &[None]).unwrap());
    }
}

#[test]
fn a_state_of_another_definition_is_refused() {
    let bytes = filled(Retention::Live).encode();
    let other = plan(vec![feature("n", Aggregation::Count { column: None }, Some("13d"), WindowEdge::Sawtooth)]);
    for (plan, retention) in [(other, Retention::Live), (every_aggregate(), Retention::All)] {
        let error = ViewState::decode(plan, retention, &bytes).unwrap_err();
        assert_eq!((error.code(), error.kind()), ("SW0331", ErrorKind::Conflict));
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = filled(Retention::Live).encode();
    let body = &bytes[..bytes.len() - 16];
    for length in 0..body.len() {
        // Sealed again, so that the checksum does not hide what the reader does.
        let error = ViewState::decode(every_aggregate(), Retention::Live, &seal(body[..length].to_vec())).unwrap_err();
        assert_eq!(error.code(), "SW0330", "cut at {length}");
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0u32..8) {
        let mut bytes = filled(Retention::Live).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let error = ViewState::decode(every_aggregate(), Retention::Live, &bytes).unwrap_err();
        prop_assert_eq!(error.code(), "SW0330");
    }

    #[test]
    fn sealed_garbage_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        tail in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let bytes = filled(Retention::Live).encode();
        let mut body = bytes[..bytes.len() - 16].to_vec();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.extend(tail);
        if let Ok(mut state) = ViewState::decode(every_aggregate(), Retention::Live, &seal(body)) {
            let keys: Vec<_> = (0..3).map(|shop| key(state.plan(), Some("c"), Some(shop))).collect();
            let now = vec![Instant(state.known().0); 3];
            let _ = state.values(&keys, &now, &[None; 3]);
            let _ = state.advance(Instant(state.known().0.saturating_add(Span::DAY.0)));
            state.encode();
            state.memory_bytes();
        }
    }
}
