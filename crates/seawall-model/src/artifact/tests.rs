use proptest::prelude::*;

use super::*;

fn artifact() -> Artifact {
    Artifact {
        kind: Kind::Boosting,
        inputs: vec![
            Input { name: "amount".to_owned(), kind: InputKind::Numeric },
            Input {
                name: "kind".to_owned(),
                kind: InputKind::Categorical { categories: vec!["line\nbreak".to_owned(), "é".to_owned()] },
            },
        ],
        calibration: Calibrator::Platt { slope: 0.1 + 0.2, intercept: -1e-17 },
        payload: Bytes::from_static(b"\n\x00payload"),
    }
}

#[test]
fn reads_back_to_the_bit() {
    let bytes = artifact().encode();
    assert_eq!(Artifact::decode(&bytes).unwrap(), artifact());
    let line = String::from_utf8_lossy(&bytes[..bytes.iter().position(|b| *b == b'\n').unwrap()]).into_owned();
    assert!(line.starts_with(r#"{"format":"seawall model","version":1,"kind":"boosting","inputs":[{"name":"amount","#));
    assert!(line.ends_with(
        r#""calibration":{"method":"platt","slope":0.30000000000000004,"intercept":-1e-17},"payload_bytes":9}"#
    ));
}

#[test]
fn refuses_what_is_not_whole() {
    let bytes = artifact().encode();
    for end in 0..bytes.len() {
        let error = Artifact::decode(&bytes.slice(..end)).unwrap_err();
        assert_eq!(error.code(), "SW1012", "cut at {end}");
    }
}

#[test]
fn refuses_other_versions_and_senseless_headers() {
    let check = |from: &str, to: &str| {
        let text = String::from_utf8(artifact().encode().to_vec()).unwrap().replacen(from, to, 1);
        assert_eq!(Artifact::decode(&Bytes::from(text)).unwrap_err().code(), "SW1012", "{to}");
    };
    check(r#""version":1"#, r#""version":2,"more":1"#);
    check("seawall model", "other model");
    check(r#""kind":"boosting""#, r#""kind":"magic""#);
    check(r#""kind":"boosting""#, r#""extra":1,"kind":"boosting""#);
    check(r#""name":"kind""#, r#""name":"amount""#);
    check("é", r"line\nbreak");
    check(r#""slope":0.30000000000000004"#, r#""slope":1e999"#);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(at in 0usize..400, with: u8) {
        let mut bytes = artifact().encode().to_vec();
        let at = at % bytes.len();
        bytes[at] = with;
        let _ = Artifact::decode(&Bytes::from(bytes));
    }
}
