//! What is told of services.

use seawall_base::declare::LogShare;

use super::share_text;

#[test]
fn a_share_is_told_as_it_was_declared() {
    let told: Vec<String> = [0, 1, 10_000, 125_000, 999_999, 1_000_000].map(|m| share_text(LogShare(m))).into();
    assert_eq!(told, ["none", "0.0001%", "1%", "12.5%", "99.9999%", "all"]);
}
