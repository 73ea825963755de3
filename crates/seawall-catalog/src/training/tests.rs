//! Builds and certificates on record.

use seawall_base::engine::PinnedInput;
use seawall_base::{Cut, Offset, Partition};

use super::*;
use crate::fixtures::{Fixture, START, on_both};

fn fingerprint(content: &[u8]) -> Fingerprint {
    Fingerprint {
        training_set: "fraud".to_owned(),
        inputs: vec![PinnedInput {
            table: "payments".to_owned(),
            version: TableVersion(4),
            cut: Cut::of(Partition::LIVE, Offset(1200)),
        }],
        definitions: vec![("card@1".to_owned(), Hash::of(b"card"))],
        revision: Hash::of(b"revision").to_string(),
        core_version: 1,
        built_at: START,
        rows: 1000,
        labelled: 900,
        content: Hash::of(content),
        stopped: 0,
    }
}

#[tokio::test]
async fn a_build_is_recorded_once_with_its_whole_fingerprint() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::BuildTrainingSet);
        let record = async |version: u64, content: &[u8]| {
            fixture.catalog.record_training_set(&permit, "fraud", TableVersion(version), &fingerprint(content)).await
        };
        record(1, b"one").await.unwrap();
        record(1, b"one").await.unwrap();
        record(2, b"two").await.unwrap();
        let refused = record(1, b"two").await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "SW0670"));
        let builds = fixture.catalog.training_sets("fraud").await.unwrap();
        assert_eq!(builds.iter().map(|build| build.table_version.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((&builds[1].fingerprint, builds[1].permit.as_str()), (&fingerprint(b"two"), permit.id()));
        assert!(fixture.catalog.training_sets("other").await.unwrap().is_empty());
        assert_eq!(fixture.events().await, ["training_set_built"; 2]);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_keeps_its_bytes() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::VerifySkew);
        // Key order and floats are part of what was hashed and signed.
        let body: Value = serde_json::from_str(r#"{"z":1,"a":0.1234567890123456789,"m":[1e-7,5e300]}"#).unwrap();
        let hash = Hash::of(body.to_string().as_bytes());
        fixture.catalog.record_certificate(&permit, "skew", "fraud", &body, hash).await.unwrap();
        fixture.catalog.record_certificate(&permit, "skew", "fraud", &body, hash).await.unwrap();
        let refused = fixture.catalog.record_certificate(&permit, "skew", "other", &body, hash).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "SW0671"));
        let kept = fixture.catalog.certificates().await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].kind.as_str(), kept[0].subject.as_str(), kept[0].hash), ("skew", "fraud", hash));
        assert_eq!(Hash::of(kept[0].body.to_string().as_bytes()), hash);
    })
    .await;
}

#[tokio::test]
async fn other_permits_record_nothing() {
    let fixture = Fixture::in_memory().await;
    let permit = fixture.permit(Action::Ingest);
    let build = fixture.catalog.record_training_set(&permit, "fraud", TableVersion(1), &fingerprint(b"one")).await;
    assert_eq!(build.unwrap_err().code(), "SW0611");
    let certificate = fixture.catalog.record_certificate(&permit, "skew", "fraud", &json!({}), Hash::of(b"x")).await;
    assert_eq!(certificate.unwrap_err().code(), "SW0611");
    assert!(fixture.events().await.is_empty());
}

#[tokio::test]
async fn builds_and_certificates_pin_the_versions_that_they_name() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::BuildTrainingSet);
        fixture.catalog.record_training_set(&permit, "fraud", TableVersion(3), &fingerprint(b"one")).await.unwrap();
        let permit = fixture.permit(Action::VerifySkew);
        let inputs = json!([{"table": "payments", "version": 9, "cut": {"0": 12}}]);
        let body = json!({"claims": {"inputs": inputs}, "signature": "x"});
        fixture.catalog.record_certificate(&permit, "skew", "fraud", &body, Hash::of(b"a")).await.unwrap();
        let without = json!({"claims": {"months": 3}});
        fixture.catalog.record_certificate(&permit, "other", "fraud", &without, Hash::of(b"b")).await.unwrap();
        let pins = fixture.catalog.pinned_versions().await.unwrap();
        let versions = |table: &str| pins[table].iter().map(|version| version.0).collect::<Vec<_>>();
        assert_eq!(versions("payments"), [4, 9]);
        assert_eq!(versions("fraud__training_set"), [3]);
        assert_eq!(pins.len(), 2);
        let damaged = json!({"claims": {"inputs": "gone"}});
        fixture.catalog.record_certificate(&permit, "skew", "fraud", &damaged, Hash::of(b"c")).await.unwrap();
        let refused = fixture.catalog.pinned_versions().await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Corrupt, "SW0672"), "nothing is unpinned by accident");
    })
    .await;
}
