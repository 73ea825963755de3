//! Counting; what is recorded is tested with real services, where the binary runs.

use seawall_base::Span;

use super::{ANSWER_TIMES_US, ServiceCounters};

#[test]
fn an_answer_is_counted_under_the_first_bound_that_it_keeps() {
    let counters = ServiceCounters::default();
    for took in [0, 250, 251, 1_000_000, 1_000_001] {
        counters.answered(Span(took), Some(Span(251)));
    }
    let counts = counters.counts();
    let mut expected = vec![0; ANSWER_TIMES_US.len() + 1];
    (expected[0], expected[1]) = (2, 1);
    (expected[ANSWER_TIMES_US.len() - 1], expected[ANSWER_TIMES_US.len()]) = (1, 1);
    assert_eq!(counts.times, expected);
    assert_eq!((counts.answers, counts.over_budget, counts.time_us), (5, 2, 2_000_502));
}

#[test]
fn without_a_budget_nothing_is_over_it() {
    let counters = ServiceCounters::default();
    counters.answered(Span(i64::MAX), None);
    assert_eq!((counters.counts().answers, counters.counts().over_budget), (1, 0));
}
