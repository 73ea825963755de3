use super::*;

#[test]
fn a_plain_name_and_an_encoded_blank_stay_inside() {
    assert_eq!(confine("t", "part-1.parquet").unwrap(), "part-1.parquet");
    assert_eq!(confine("t", "a%20b/part.parquet").unwrap(), "a b/part.parquet");
}

#[test]
fn every_known_escape_is_refused() {
    let escapes = [
        "",
        "../x.parquet",
        "a/../../x.parquet",
        "%2e%2e/x.parquet",
        "..%2fx.parquet",
        "..%252fx.parquet",
        "%252e%252e%252fx.parquet",
        "/abs/x.parquet",
        "%2fabs/x.parquet",
        "file:///abs/x.parquet",
        "file%3a///abs/x.parquet",
        "s3://bucket/x",
        "..\\x.parquet",
        "a//b",
        "./x",
        "a\0b",
        "_delta_log/00000000000000000000.json",
    ];
    for raw in escapes {
        let error = confine("t", raw).expect_err(raw);
        assert_eq!(error.code(), codes::PATH_ESCAPES, "{raw}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_is_let_through_stays_below_the_root(raw in "[a-z./%25e\\\\:]{0,24}") {
        if let Ok(path) = confine("t", &raw) {
            let joined = FilePath::new("/root").join(&path);
            proptest::prop_assert!(joined.starts_with("/root"));
            proptest::prop_assert!(joined.components().all(|part| part.as_os_str() != ".."));
        }
    }
}
