//! Certificates verify as they were issued, and not after any byte was touched.

use std::sync::OnceLock;

use proptest::prelude::*;
use seawall_base::ErrorKind;

use super::*;
use crate::fixtures::Fixture;

fn records() -> Vec<(String, Value)> {
    let score: Value = serde_json::from_str("0.12345678901234568").unwrap();
    vec![
        ("decision".to_owned(), json!({"id": "DEC-3", "reason": "größer \"besser\"\n\\", "score": score})),
        ("served vector".to_owned(), json!([1, -2.5e-7, null, true, {"z": 1, "a": {"y": [], "x": {}}}])),
        ("model version".to_owned(), json!({"records": [], "version": 18446744073709551615u64, "empty": ""})),
    ]
}

async fn issued(records: Vec<(String, Value)>) -> Result<Value> {
    let fixture = Fixture::in_memory().await;
    let certificate = fixture.catalog.decision_certificate(&fixture.permit(Action::VerifySkew), records).await;
    let events = fixture.events().await;
    assert_eq!(events.len(), usize::from(certificate.is_ok()), "{events:?}");
    certificate
}

/// Bytes of a certificate, and where its records lie.
type Form = (Vec<u8>, Vec<Range<usize>>);

/// The two forms of one certificate, each with where its records lie, found by their text.
fn forms() -> &'static [Form; 2] {
    static FORMS: OnceLock<[Form; 2]> = OnceLock::new();
    FORMS.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let certificate = runtime.block_on(issued(records())).unwrap();
        let spans = |file: &str, write: fn(&Value) -> String| {
            let place = |record: &Value| {
                let text = write(record);
                let start = file.find(&text).unwrap();
                start..start + text.len()
            };
            certificate["records"].as_array().unwrap().iter().map(place).collect::<Vec<_>>()
        };
        let compact = certificate.to_string();
        let indented = serde_json::to_string_pretty(&certificate).unwrap() + "\n";
        let in_compact = spans(&compact, |record| record.to_string());
        let in_indented =
            spans(&indented, |record| serde_json::to_string_pretty(record).unwrap().replace('\n', "\n    "));
        [(compact.into_bytes(), in_compact), (indented.into_bytes(), in_indented)]
    })
}

/// Checks that a file with one other byte is refused and, if the byte lies in a record, that the record is named.
fn check_flip(file: &[u8], spans: &[Range<usize>], at: usize, mask: u8) {
    let mut touched = file.to_vec();
    touched[at] ^= mask;
    let context = || format!("byte {at} is {:?}: {}", char::from(touched[at]), String::from_utf8_lossy(&touched));
    let error = verify_decision_certificate(&touched).expect_err(&context());
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", context());
    let is_json = serde_json::from_slice::<Value>(&touched).is_ok();
    if let Some(i) = spans.iter().position(|span| span.contains(&at))
        && is_json
    {
        assert!(error.message().starts_with(&format!("record {} (", i + 1)), "{error}\n{}", context());
    }
}

#[test]
fn both_forms_verify_and_name_their_records() {
    for (file, _) in forms() {
        assert!(is_decision_certificate(file));
        let names = verify_decision_certificate(file).unwrap();
        assert_eq!(names, ["decision", "served vector", "model version"]);
    }
    assert!(!is_decision_certificate(b"{}"));
    assert!(!is_decision_certificate(b"[1]"));
}

#[test]
fn every_bit_of_every_byte_counts() {
    for (file, spans) in forms() {
        for at in 0..file.len() {
            for bit in 0..8 {
                check_flip(file, spans, at, 1 << bit);
            }
        }
    }
}

proptest! {
    #[test]
    fn no_byte_can_become_another(form in 0..2usize, place in 0.0..1.0f64, mask in 1..=255u8) {
        let (file, spans) = &forms()[form];
        let at = ((file.len() as f64 * place) as usize).min(file.len() - 1);
        check_flip(file, spans, at, mask);
    }

    #[test]
    fn no_byte_can_be_added_or_removed(form in 0..2usize, place in 0.0..1.0f64, byte in any::<u8>()) {
        let (file, _) = &forms()[form];
        let at = ((file.len() as f64 * place) as usize).min(file.len() - 1);
        let mut longer = file.clone();
        longer.insert(at, byte);
        prop_assert!(verify_decision_certificate(&longer).is_err());
        let mut shorter = file.clone();
        shorter.remove(at);
        let only_ends_the_line = at == file.len() - 1 && file[at] == b'\n';
        prop_assert_eq!(verify_decision_certificate(&shorter).is_ok(), only_ends_the_line);
    }
}

#[test]
fn a_touched_record_is_named_with_what_is_wrong() {
    let (file, _) = &forms()[0];
    let text = String::from_utf8(file.clone()).unwrap();
    let check = |from: &str, to: &str, code: &str, message: &str| {
        assert!(text.contains(from), "{from}");
        let error = verify_decision_certificate(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!((error.code(), error.message().starts_with(message)), (code, true), "{error}");
    };
    check("\"DEC-3\"", "\"DEC-4\"", "SW1131", "record 1 (decision) does not have the hash it was signed with");
    check("\"version\":18", "\"version\":17", "SW1131", "record 3 (model version) does not have the hash");
    check("\"body\":[", "\"more\":1,\"body\":[", "SW1131", "record 2 (served vector) does not have the fields");
    check("568}", "567}", "SW1131", "record 1 (decision) does not have the hash");
    check("-certificate-1", "-certificate-2", "SW1130", "this is no decision certificate: it has another format");
    check("\"issued_at\":\"2", "\"issued_at\":\"3", "SW1132", "the certificate does not verify: its signature");
    check("\"issued_at\"", "\"more\":1,\"issued_at\"", "SW1130", "this is no decision certificate: it does not have");
}

#[test]
fn records_cannot_be_removed_or_moved() {
    let certificate: Value = serde_json::from_slice(&forms()[0].0).unwrap();
    let check = |change: fn(&mut Vec<Value>), code: &str| {
        let mut changed = certificate.clone();
        change(changed["records"].as_array_mut().unwrap());
        assert_eq!(verify_decision_certificate(changed.to_string().as_bytes()).unwrap_err().code(), code);
    };
    check(|records| records.swap(0, 1), "SW1132");
    check(|records| drop(records.pop()), "SW1132");
    check(|records| records.push(records[0].clone()), "SW1132");
    check(|records| records.clear(), "SW1130");
}

#[tokio::test]
async fn the_expected_key_must_have_signed() {
    let certificate = issued(records()).await.unwrap();
    let other = {
        let clock = std::sync::Arc::new(seawall_base::DrivenClock::starting_at(crate::fixtures::START));
        let rng = std::sync::Arc::new(seawall_base::SeededRng::new(77));
        Catalog::in_memory(clock, rng).await.unwrap()
    };
    let file = certificate.to_string();
    let key = certificate["public_key"].as_str().unwrap();
    verify_decision_certificate_of(file.as_bytes(), key).unwrap();
    let other = hex(other.signing_key().unwrap().public_key());
    let refused = verify_decision_certificate_of(file.as_bytes(), &other).unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Corrupt, "SW1132"));
}

#[tokio::test]
async fn what_could_not_be_read_again_is_not_signed() {
    assert_eq!(issued(Vec::new()).await.unwrap_err().code(), "SW1134");
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(issued(vec![("deep".to_owned(), deep)]).await.unwrap_err().code(), "SW1134");
    let fixture = Fixture::in_memory().await;
    let refused = fixture.catalog.decision_certificate(&fixture.permit(Action::Ingest), records()).await.unwrap_err();
    assert_eq!(refused.code(), "SW0611");
}

#[test]
fn the_canonical_form_does_not_depend_on_the_order_of_keys() {
    let one = json!({"b": 1, "a": [{"d": 2, "c": 3}], "é": "\u{1}"});
    let other = json!({"é": "\u{1}", "a": [{"c": 3, "d": 2}], "b": 1});
    assert_eq!(record_hash("x", &one), record_hash("x", &other));
    assert_ne!(record_hash("x", &one), record_hash("y", &one));
    let mut text = String::new();
    write_canonical(&one, &mut text);
    assert_eq!(text, r#"{"a":[{"c":3,"d":2}],"b":1,"é":"\u0001"}"#);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_numbers_and_texts_can_be_certified(numbers in prop::collection::vec(any::<f64>(), 0..6), name in ".*", text in ".*") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let record = json!({"numbers": numbers, name.clone(): text});
        let certificate = runtime.block_on(issued(vec![(name.clone(), record)])).unwrap();
        prop_assert_eq!(verify_decision_certificate(certificate.to_string().as_bytes()).unwrap(), [name]);
    }
}
