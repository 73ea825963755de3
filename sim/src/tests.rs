use crate::simulate;

#[test]
fn no_seed_loses_or_doubles_a_row() {
    for seed in 1..=25 {
        let outcome = simulate(seed, 120).unwrap();
        assert_eq!(outcome.findings, crate::Findings::default(), "seed {seed}");
        assert!(outcome.acknowledged > 0, "seed {seed} acknowledged nothing");
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let of = |seed| simulate(seed, 150).unwrap().trace;
    for seed in 100..106 {
        assert_eq!(of(seed), of(seed), "seed {seed}");
    }
    assert_ne!(of(100), of(101));
}
