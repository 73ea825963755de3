//! An entity of one row answers, is refused, is trimmed and encodes as the same entity that is not packed.

use proptest::prelude::*;
use seawall_base::declare::{Aggregation, WindowEdge};
use seawall_base::error::Result;
use seawall_base::{FeatureStatus, Instant, Span};

use super::fixture::{Payment, batch, feature, own, plan};
use crate::aggregate::Scalar;
use crate::feature::Retention;
use crate::feature::entity::EntityState;
use crate::feature::row::Read;
use crate::feature::single::Single;

const KNOWN: Instant = Instant(1_800_000_000_000_000);

type Told = Vec<(Option<Scalar>, FeatureStatus)>;

fn told(
    tell: impl FnOnce(&mut dyn FnMut(Option<Scalar>, FeatureStatus)) -> Result<()>,
) -> std::result::Result<Told, String> {
    let mut all = Vec::new();
    tell(&mut |value, status| all.push((value, status))).map_err(|error| error.to_string())?;
    Ok(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn packing_changes_nothing(
        minutes_ago in prop_oneof![-90_i64..200, -5_000_i64..200_000],
        (at_minutes_ago, moved_hours) in (-10_i64..70, 0_i64..100),
        has_key in any::<bool>(),
        asking in 0_u8..4,
        value in proptest::option::of(0_i64..9),
    ) {
        let latest = |name, ttl| feature(name, Aggregation::Latest { column: "n".into() }, ttl, WindowEdge::Exact);
        let plan = plan(vec![
            latest("ever", None),
            latest("short", Some("1h")),
            feature("age", Aggregation::TimeSince, Some("30d"), WindowEdge::Exact),
        ]);
        let ago = |minutes: i64| Instant(KNOWN.0 - minutes * Span::MINUTE.0);
        let mut row = Payment::at(7, "2027-01-15T08:00:00Z");
        (row.at, row.available, row.n) = (Some(ago(minutes_ago).0), ago(minutes_ago.max(0)).0, value);
        row.id = has_key.then(|| "r7".to_owned());
        let read = Read::new(&plan, &batch(&[row]), |_| true).unwrap();
        let (_, order, kept) = read.iter().next().unwrap();
        let asks = match asking {
            0 => None,
            1 => own(Some("r7")),
            2 => own(Some("other")),
            _ => own(Some("r7")).map(|key| key ^ 1 << 100),
        };

        let before = plan.horizon(KNOWN, Retention::Live);
        let single = Single::first(&before, order, kept);
        let mut whole = EntityState::default();
        whole.fold(&plan, &before, order, kept).unwrap();
        prop_assert_eq!(Single::of(&whole).unwrap().pack(), single.pack());

        let packed = single.pack();
        let single = Single::unpack(&packed);
        let horizon = plan.horizon(KNOWN + Span(Span::HOUR.0 * moved_hours), Retention::Live);
        prop_assert_eq!(single.needs_trim(&horizon), whole.needs_trim(&horizon));
        let at = Instant(ago(at_minutes_ago).0 + moved_hours * Span::HOUR.0);
        for trimmed in [false, true] {
            let (mut as_whole, mut as_single) = (single.to_state(), single.pack());
            if trimmed {
                as_whole.trim(&horizon);
                as_single = Single::of(&as_whole).unwrap().pack();
            }
            let of_whole = told(|out| as_whole.tell(&plan, &horizon, at, asks, |value, status| {
                out(value.to_scalar(), status);
                Ok(())
            }));
            let of_single = told(|out| Single::unpack(&as_single).tell(&plan, &horizon, at, asks, |value, status| {
                out(value.to_scalar(), status);
                Ok(())
            }));
            prop_assert_eq!(of_single, of_whole);
        }
    }
}
