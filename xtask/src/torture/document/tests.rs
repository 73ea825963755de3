use super::*;

#[test]
fn the_page_says_what_the_kept_scorecards_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository");
    let page = fs::read_to_string(root.join("docs/reliability.md")).expect("the page");
    let cards = scorecards(root).expect("the scorecards");
    assert!(!cards.is_empty());
    assert!(page == render(&cards), "run `cargo xtask torture --document`");
}

#[test]
fn numbers_are_grouped() {
    let texts = [0, 12, 123, 1_234, 123_456, 1_234_567].map(thousands);
    assert_eq!(texts, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
}
