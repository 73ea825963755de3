use super::*;

#[test]
fn quantiles_are_values_that_were_measured() {
    let hundred: Vec<i64> = (1..=100).collect();
    assert_eq!([0.0, 0.5, 0.99, 0.991, 1.0].map(|q| quantile(&hundred, q)), [1, 50, 99, 100, 100].map(Some));
    assert_eq!((quantile(&[7], 0.99), quantile(&[], 0.5)), (Some(7), None));
}

#[test]
fn an_open_loop_is_due_by_the_clock_alone() {
    let began = Instant(1_000);
    let open = Schedule { began, counted_from: began, end: began, rate: Some(2_000.0) };
    assert_eq!(open.due(3, Instant(99_999)), Instant(2_500));
    let closed = Schedule { rate: None, ..open };
    assert_eq!(closed.due(3, Instant(99_999)), Instant(99_999));
}

#[test]
fn rates_have_bounds() {
    assert!(rate("0.5").is_ok() && rate("0").is_err() && rate("-1").is_err() && rate("nan").is_err());
    assert!(rate("fast").is_err() && rate("1e7").is_err());
}
