use axum::http::{HeaderMap, HeaderValue};
use seawall_base::Span;

use super::{HEADER, timeout};

#[track_caller]
fn check(sent: Option<&str>, expected: Result<Option<Span>, &'static str>) {
    let mut headers = HeaderMap::new();
    if let Some(sent) = sent {
        headers.insert(HEADER, HeaderValue::from_str(sent).unwrap());
    }
    assert_eq!(timeout(&headers).map_err(|error| error.code()), expected, "{sent:?}");
}

#[test]
fn a_deadline_is_whole_milliseconds() {
    check(None, Ok(None));
    check(Some("1500"), Ok(Some(Span(1_500_000))));
    check(Some(" 1 "), Ok(Some(Span(1_000))));
    check(Some("86400000"), Ok(Some(Span::DAY)));
    for refused in ["0", "-5", "1.5", "2s", "", "86400001", "99999999999999999999", "ä"] {
        check(Some(refused), Err("SW1306"));
    }
}
