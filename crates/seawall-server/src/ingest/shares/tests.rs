use super::*;

fn name(number: usize) -> Arc<str> {
    format!("p{number}").into()
}

/// Lets `producer` take as much as it gets, in steps of `step`.
fn fill(shares: &mut Shares, producer: &Arc<str>, step: usize) {
    while shares.take(producer, step) {}
}

#[test]
fn one_producer_gets_half_and_the_next_a_third() {
    let mut shares = Shares::new(1_200);
    fill(&mut shares, &name(0), 1);
    assert_eq!(shares.of("p0"), 600);
    fill(&mut shares, &name(1), 1);
    assert_eq!(shares.of("p1"), 300);
    shares.give_back(&name(0), 300);
    fill(&mut shares, &name(1), 1);
    assert_eq!((shares.of("p0"), shares.of("p1"), shares.taken()), (300, 450, 750));
}

#[test]
fn the_largest_request_fits_when_nobody_else_is_there() {
    let mut shares = Shares::new(super::super::INFLIGHT_BYTES_MAX);
    assert!(shares.take(&name(0), super::super::BODY_BYTES_MAX + super::super::REQUEST_BYTES));
}

#[test]
fn a_newcomer_is_let_in_however_greedy_the_others_are() {
    let mut shares = Shares::new(1 << 20);
    for greedy in 0..100 {
        fill(&mut shares, &name(greedy), 64);
    }
    assert!(shares.take(&name(100), 1_000));
}

proptest::proptest! {
    #[test]
    fn the_sum_is_right_and_never_above_the_limit(
        steps in proptest::collection::vec((0usize..4, 1usize..400, proptest::bool::ANY), 1..200),
    ) {
        let mut shares = Shares::new(1_000);
        let mut held: Vec<(usize, usize)> = Vec::new();
        for (producer, amount, gives) in steps {
            match held.iter().position(|(holder, _)| *holder == producer) {
                Some(at) if gives => {
                    let (_, amount) = held.remove(at);
                    shares.give_back(&name(producer), amount);
                }
                _ => {
                    if shares.take(&name(producer), amount) {
                        held.push((producer, amount));
                    }
                }
            }
            let sum: usize = held.iter().map(|(_, amount)| amount).sum();
            proptest::prop_assert_eq!(shares.taken(), sum);
            proptest::prop_assert!(sum <= 1_000);
            // Whoever has nothing gets a half of what is free.
            let free = 1_000 - sum;
            let newcomer = name(9);
            proptest::prop_assert!(free < 2 || shares.take(&newcomer, free / 2));
            if free >= 2 {
                shares.give_back(&newcomer, free / 2);
            }
        }
        for (producer, amount) in held {
            shares.give_back(&name(producer), amount);
        }
        proptest::prop_assert_eq!((shares.taken(), shares.of.len()), (0, 0));
    }
}
