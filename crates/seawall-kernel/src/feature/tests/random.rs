//! Random histories, told in random pieces, with restarts in between: live state, complete state and sweep against the
//! oracle, to the bit.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use seawall_base::declare::{Aggregation, Feature, Measure, Part, WindowEdge};
use seawall_base::{Cut, FeatureStatus, Instant, Offset, Partition, Span};

use super::fixture::{Payment, Plain, batch, feature, key, own, plain_row, plan};
use super::oracle::{self, Decision};
use super::stepwise;
use crate::feature::sweep::positions::Positions;
use crate::feature::{Decisions, Retention, SweepOptions, ViewPlan, ViewState, explain, sweep, sweep_with};

const WINDOWS: [&str; 11] = ["1us", "30s", "60s", "90s", "1h", "3h", "13h", "25h", "2d", "13d", "15d"];

fn column(name: &str) -> String {
    name.to_owned()
}

fn aggregation() -> impl Strategy<Value = Aggregation> {
    let number = prop_oneof![Just("x"), Just("x"), Just("n"), Just("d")];
    let any = prop_oneof![Just("x"), Just("n"), Just("d"), Just("s"), Just("b")];
    (0..18, number, any, prop_oneof![Just(0.0), Just(0.5), Just(0.9), Just(1.0)]).prop_map(|(which, number, any, q)| {
        match which {
            0 => Aggregation::Count { column: None },
            1 => Aggregation::Count { column: Some(column(any)) },
            2 => Aggregation::Sum { column: column(number) },
            3 => Aggregation::Mean { column: column(number) },
            4 => Aggregation::Min { column: column(any) },
            5 => Aggregation::Max { column: column(any) },
            6 => Aggregation::Variance { column: column(number) },
            7 => Aggregation::First { column: column(any) },
            8 => Aggregation::Last { column: column(any) },
            9 => Aggregation::Distinct { column: column(any), exact: q > 0.5 },
            16 => Aggregation::MostFrequent { column: column(any) },
            10 => Aggregation::Quantile { column: column(number), q },
            11 => Aggregation::Latest { column: column(any) },
            12 => Aggregation::StdDev { column: column(number) },
            13 => Aggregation::Rate { column: (q > 0.0).then(|| column(number)), per: Span::HOUR },
            14 => {
                let of = Measure::Sum { column: column(number) };
                let to = if q > 0.5 { Measure::Sum { column: column("x") } } else { Measure::Count { column: None } };
                let filter = (q == 0.5 || q == 1.0).then(|| column("b"));
                Aggregation::Ratio { of: Part { measure: of, filter }, to: Part { measure: to, filter: None } }
            }
            15 => Aggregation::TimeSinceFirst,
            _ => Aggregation::TimeSince,
        }
    })
}

fn features() -> impl Strategy<Value = Vec<Feature>> {
    let edge = prop_oneof![
        4 => Just(WindowEdge::Exact),
        4 => Just(WindowEdge::Sawtooth),
        1 => Just(WindowEdge::Lifetime)
    ];
    let one = (aggregation(), 0..WINDOWS.len(), edge, any::<bool>(), prop::bool::weighted(0.3));
    prop::collection::vec(one, 1..7).prop_map(|parts| {
        let mut features = Vec::new();
        for (index, (aggregation, window, edge, bounded, filtered)) in parts.into_iter().enumerate() {
            let is_of_one_row = aggregation.is_of_one_row();
            let needs_beginning = is_of_one_row || matches!(aggregation, Aggregation::Rate { .. });
            let edge = if edge == WindowEdge::Lifetime && needs_beginning { WindowEdge::Exact } else { edge };
            let has_window = edge != WindowEdge::Lifetime && (bounded || !is_of_one_row);
            let may_filter = !matches!(aggregation, Aggregation::Ratio { .. });
            let window = has_window.then_some(WINDOWS[window]);
            let filter = (filtered && may_filter).then(|| column("b"));
            features.push(Feature { filter, ..feature(&format!("f{index}"), aggregation, window, edge) });
        }
        features
    })
}

/// Instants around the epoch that crowd on boundaries.
fn moment() -> impl Strategy<Value = i64> {
    let step = prop_oneof![
        3 => (-16i64..16).prop_map(|d| d * Span::DAY.0),
        3 => (-40i64..40).prop_map(|h| h * Span::HOUR.0),
        4 => (-150i64..150).prop_map(|m| m * Span::MINUTE.0),
    ];
    let offset = prop_oneof![Just(0), Just(-1), Just(1), Just(30 * Span::SECOND.0), -Span::HOUR.0..Span::HOUR.0];
    (step, offset).prop_map(|(step, offset)| step + offset)
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -100.0..100.0,
        2 => prop::sample::select(vec![0.1, 0.2, 0.3, -0.0, 1e308, -1e308, f64::MAX, -f64::MAX, 5e-324, -5e-324, 1e-310]),
        2 => any::<f64>().prop_filter("finite", |x| x.is_finite()),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
    ]
}

fn payment() -> impl Strategy<Value = Payment> {
    let key = (0u8..20, prop_oneof![9 => Just(Some("a")), 3 => Just(Some("b")), 1 => Just(None)], 0i64..2);
    let times = (prop::option::weighted(0.97, moment()), moment(), any::<bool>(), 0i64..2 * Span::HOUR.0);
    let small = prop_oneof![-5i64..5, -(1i64 << 40)..1i64 << 40];
    let values = (
        prop::option::weighted(0.9, float()),
        prop::option::weighted(0.9, small),
        prop::option::weighted(0.9, -10i128.pow(19)..10i128.pow(19)),
        prop::option::weighted(0.9, "[a-c]{0,2}"),
        prop::option::weighted(0.9, any::<bool>()),
    );
    (key, times, values, 0..2).prop_map(
        |((id, card, shop), (at, available, soon, delay), (x, n, d, s, b), partition)| {
            let available = if soon { at.unwrap_or(0) + delay } else { available };
            Payment {
                id: (id > 0).then(|| format!("r{id}")),
                card: card.map(str::to_owned),
                shop: Some(shop),
                at,
                x,
                n,
                d,
                s,
                b,
                available,
                partition,
                lsn: 0,
            }
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Receive(Vec<Payment>),
    Advance(i64),
    Restart,
    Ask { shop: Option<i64>, behind: i64, own: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let behind = prop_oneof![
        Just(0),
        Just(Span::HOUR.0),
        Just(-1),
        0..Span::HOUR.0,
        -Span::DAY.0..0,
        Just(-3 * Span::DAY.0),
        Just(Span::HOUR.0 + 1)
    ];
    prop_oneof![
        4 => prop::collection::vec(payment(), 0..8).prop_map(Step::Receive),
        3 => moment().prop_map(Step::Advance),
        1 => Just(Step::Restart),
        6 => (prop::option::weighted(0.95, 0i64..2), behind, 0u8..24)
            .prop_map(|(shop, behind, own)| Step::Ask { shop, behind, own }),
    ]
}

fn number(rows: &mut [Payment], ends: &mut [i64; 2]) {
    for row in rows {
        let end = &mut ends[row.partition as usize];
        row.lsn = *end;
        *end += 1;
    }
}

fn cut_of(ends: [i64; 2]) -> Cut {
    [(Partition(0), Offset(ends[0] as u64)), (Partition(1), Offset(ends[1] as u64))].into_iter().collect()
}

fn expected(history: &[Payment], decision: &Decision, features: &[Feature]) -> (Vec<Plain>, Vec<FeatureStatus>) {
    features.iter().map(|feature| oracle::answer(history, decision, feature)).unzip()
}

fn decisions(plan: &ViewPlan, list: &[Decision]) -> Decisions {
    Decisions {
        keys: list.iter().map(|d| key(plan, d.card.as_deref(), d.shop)).collect(),
        at: list.iter().map(|d| Instant(d.at)).collect(),
        known: list.iter().map(|d| Instant(d.known)).collect(),
        own: list.iter().map(|d| own(d.own.as_deref())).collect(),
        cuts: list.iter().map(|d| d.cut.clone().map(Arc::new)).collect(),
    }
}

/// One run of the state machine under random steps.
struct Run {
    plan: Arc<ViewPlan>,
    features: Vec<Feature>,
    live: ViewState,
    all: ViewState,
    history: Vec<Payment>,
    ends: [i64; 2],
    asked: Vec<Decision>,
}

impl Run {
    fn new(features: Vec<Feature>) -> Run {
        let plan = plan(features.clone());
        let live = ViewState::new(Arc::clone(&plan), Retention::Live);
        let all = ViewState::new(Arc::clone(&plan), Retention::All);
        Run { plan, features, live, all, history: Vec::new(), ends: [0; 2], asked: Vec::new() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Receive(mut rows) => {
                number(&mut rows, &mut self.ends);
                self.live.receive(&batch(&rows)).unwrap();
                self.all.receive(&batch(&rows)).unwrap();
                self.history.extend(rows);
            }
            Step::Advance(known) => {
                self.live.advance(Instant(known)).unwrap();
                self.all.advance(Instant(known)).unwrap();
            }
            Step::Restart => {
                self.live = restarted(&self.plan, Retention::Live, &self.live);
                self.all = restarted(&self.plan, Retention::All, &self.all);
            }
            Step::Ask { shop, behind, own } => self.ask(shop, behind, own),
        }
    }

    fn ask(&mut self, shop: Option<i64>, behind: i64, own_id: u8) {
        let known = self.all.known();
        if known == Instant::MIN {
            return;
        }
        let decision = Decision {
            card: Some("a".into()),
            shop,
            at: known.0 - behind,
            known: known.0,
            cut: Some(cut_of(self.ends)),
            own: (own_id < 20).then(|| format!("r{own_id}")),
        };
        let expected = expected(&self.history, &decision, &self.features);
        let keys = [key(&self.plan, decision.card.as_deref(), shop)];
        let own = [own(decision.own.as_deref())];
        let (rows, status) = self.all.values(&keys, &[Instant(decision.at)], &own).unwrap();
        assert_eq!((plain_row(&rows, 0), status[0].clone()), expected, "complete state, {decision:?}");
        // A state that was just written and read holds no more than its horizon; the running one may lag behind it.
        let fresh = restarted(&self.plan, Retention::Live, &self.live);
        for state in [&self.live, &fresh] {
            let answer = state.values(&keys, &[Instant(decision.at)], &own);
            self.check_live(
                &decision,
                answer.map(|(rows, status)| (plain_row(&rows, 0), status[0].clone())),
                &expected,
            );
        }
        self.asked.push(decision);
    }

    fn check_live(
        &self,
        decision: &Decision,
        answer: Result<(Vec<Plain>, Vec<FeatureStatus>), seawall_base::Error>,
        expected: &(Vec<Plain>, Vec<FeatureStatus>),
    ) {
        let too_old = decision.known - decision.at > Span::HOUR.0;
        match answer {
            Ok(answer) => {
                assert!(!too_old, "answered too late, {decision:?}");
                assert_eq!(answer, *expected, "live state, {decision:?}");
            }
            Err(error) if too_old => assert_eq!(error.code(), "SW0320"),
            Err(error) => {
                assert_eq!(error.code(), "SW0321");
                let head = Instant(decision.known - Span::HOUR.0).floor(Span::MINUTE).0;
                let old = |r: &Payment| {
                    let known = r.available < decision.known && r.card == decision.card && r.shop == decision.shop;
                    known && r.id == decision.own && r.at.is_some_and(|at| at < head)
                };
                assert!(self.history.iter().any(old), "refused without an old own row, {decision:?}");
            }
        }
    }

    fn finish(self) {
        // The states hold what any other order and batching of the same rows would have made.
        for (retention, state) in [(Retention::All, &self.all), (Retention::Live, &self.live)] {
            let mut again = ViewState::new(Arc::clone(&self.plan), retention);
            again.advance(state.known()).unwrap();
            for row in self.history.iter().rev() {
                again.receive(&batch(std::slice::from_ref(row))).unwrap();
            }
            assert_eq!(again.encode(), state.encode(), "{retention:?}");
        }
        let history: Vec<_> = self.history.chunks(3).map(batch).collect();
        let swept = sweep(&self.plan, &history, &decisions(&self.plan, &self.asked)).unwrap();
        for (index, decision) in self.asked.iter().enumerate() {
            let expected = expected(&self.history, decision, &self.features).0;
            assert_eq!(plain_row(&swept, index), expected, "sweep, {decision:?}");
        }
    }
}

fn restarted(plan: &Arc<ViewPlan>, retention: Retention, state: &ViewState) -> ViewState {
    let bytes = state.encode();
    let again = ViewState::decode(Arc::clone(plan), retention, &bytes).unwrap();
    assert_eq!(again.encode(), bytes);
    assert_eq!(again.pending_rows(), state.pending_rows());
    assert_eq!(again.newest_folded(), state.newest_folded());
    again
}

fn any_decision() -> impl Strategy<Value = Decision> {
    let card = prop_oneof![8 => Just(Some("a".to_owned())), 1 => Just(Some("b".to_owned())), 1 => Just(None)];
    (card, 0i64..2, moment(), moment(), (0u64..40, 0u64..40), 0u8..24).prop_map(|(card, shop, at, known, ends, own)| {
        Decision {
            card,
            shop: Some(shop),
            at,
            known,
            cut: Some([(Partition(0), Offset(ends.0)), (Partition(1), Offset(ends.1))].into_iter().collect()),
            own: (own < 20).then(|| format!("r{own}")),
        }
    })
}

/// Every way to divide the work gives what one entity state after the other gives.
fn check_columns(plan: &Arc<ViewPlan>, history: &[Payment], asked: &[Decision], options: SweepOptions) {
    let batches: Vec<_> = history.chunks(options.chunk_rows + 2).map(batch).collect();
    let decisions = decisions(plan, asked);
    let expected = stepwise::sweep(plan, &batches, &decisions).unwrap();
    let swept = sweep_with(plan, &batches, &decisions, options).unwrap();
    assert_eq!(swept.schema(), expected.schema());
    for (row, decision) in asked.iter().enumerate() {
        assert_eq!(plain_row(&swept, row), plain_row(&expected, row), "{decision:?}");
    }
}

fn options() -> impl Strategy<Value = SweepOptions> {
    (1usize..4, prop_oneof![Just(1usize), Just(7), Just(1_000)], prop_oneof![Just(1usize), Just(10), Just(10_000)])
        .prop_map(|(workers, chunk_rows, range_rows)| SweepOptions { workers, chunk_rows, range_rows })
}

proptest! {
    #[test]
    fn columns_give_what_entity_states_give(
        features in features(),
        mut history in prop::collection::vec(payment(), 0..60),
        mut asked in prop::collection::vec(any_decision(), 1..40),
        with_cuts: bool,
        options in options(),
    ) {
        number(&mut history, &mut [0; 2]);
        if !with_cuts {
            asked.iter_mut().for_each(|decision| decision.cut = None);
        }
        check_columns(&plan(features), &history, &asked, options);
    }

    #[test]
    fn a_row_that_is_read_twice_counts_once(
        features in features(),
        mut history in prop::collection::vec(payment(), 1..20),
        asked in prop::collection::vec(any_decision(), 1..10),
        options in options(),
    ) {
        number(&mut history, &mut [0; 2]);
        history.extend(history.clone());
        check_columns(&plan(features), &history, &asked, options);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Long histories of one entity, whose windows are made of blocks.
    #[test]
    fn blocks_give_what_tiles_give(
        features in features(),
        mut history in prop::collection::vec(payment(), 300..1_500),
        mut asked in prop::collection::vec(any_decision(), 1..40),
        (with_cuts, prompt) in any::<(bool, bool)>(),
        options in options(),
    ) {
        number(&mut history, &mut [0; 2]);
        for row in &mut history {
            (row.card, row.shop) = (Some("a".to_owned()), Some(1));
            row.id = row.id.take().map(|id| format!("{id}{}", if row.lsn % 3 == 0 { "" } else { "x" }));
            if prompt {
                row.available = row.at.unwrap_or(0);
            }
        }
        for decision in &mut asked {
            (decision.card, decision.shop) = (Some("a".to_owned()), Some(1));
            match &mut decision.cut {
                Some(cut) if with_cuts => *cut = cut.iter().map(|(p, end)| (p, Offset(end.0 * 20))).collect(),
                cut => *cut = None,
            }
        }
        check_columns(&plan(features), &history, &asked, options);
    }

    #[test]
    fn positions_are_found(
        end in 1usize..9_000,
        members in prop::collection::btree_set(0usize..9_000, 0..200),
        full in 0usize..9_000,
        asked in prop::collection::vec((0usize..9_000, 0usize..9_000), 1..20),
    ) {
        check_positions(end, members.into_iter().chain(full..full + 300).filter(|at| *at < end).collect(), &asked);
    }
}

fn check_positions(end: usize, members: BTreeSet<usize>, asked: &[(usize, usize)]) {
    let mut positions = Positions::default();
    // What was there before leaves nothing behind.
    positions.reset(70_000);
    positions.insert(69_999);
    positions.reset(end);
    members.iter().for_each(|member| positions.insert(*member));
    for (from, until) in asked {
        let (from, until) = (*from.min(until).min(&end), *from.max(until).min(&end));
        assert_eq!(positions.last_before(until), members.range(..until).next_back().copied());
        let mut found = Vec::new();
        positions.runs(from, until, |first, end| found.extend(first..end));
        assert_eq!(found, members.range(from..until).copied().collect::<Vec<_>>());
        assert!(from == end || positions.contains(from) == members.contains(&from));
    }
}

proptest! {
    #[test]
    fn every_way_to_a_value_gives_the_same_bits(features in features(), steps in prop::collection::vec(step(), 1..30)) {
        let mut run = Run::new(features);
        for step in steps {
            run.take(step);
        }
        run.finish();
    }

    #[test]
    fn a_sweep_answers_any_order_of_knowledge_and_cuts(
        features in features(),
        mut history in prop::collection::vec(payment(), 0..40),
        mut asked in prop::collection::vec(any_decision(), 1..12),
        with_cuts: bool,
    ) {
        let mut ends = [0; 2];
        number(&mut history, &mut ends);
        if !with_cuts {
            asked.iter_mut().for_each(|decision| decision.cut = None);
        }
        let plan = plan(features.clone());
        let batches: Vec<_> = history.chunks(7).map(batch).collect();
        let swept = sweep(&plan, &batches, &decisions(&plan, &asked)).unwrap();
        prop_assert_eq!(swept.num_rows(), asked.len());
        for (index, decision) in asked.iter().enumerate() {
            let (values, status) = expected(&history, decision, &features);
            prop_assert_eq!(plain_row(&swept, index), values, "{:?}", decision);
            let Some(entity) = key(&plan, decision.card.as_deref(), decision.shop) else { continue };
            let explained = explain(
                &plan, &batches, "f0", &entity, Instant(decision.at), Instant(decision.known),
                decision.cut.as_ref(), own(decision.own.as_deref()),
            ).unwrap();
            prop_assert_eq!(explained.status, status[0]);
        }
    }
}
