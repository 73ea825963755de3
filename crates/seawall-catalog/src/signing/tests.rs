//! Keys: made once, kept private, verified by anybody.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;
use seawall_base::{DrivenClock, Instant, SeededRng};

async fn open(folder: &Path, seed: u64) -> Catalog {
    let clock = Arc::new(DrivenClock::starting_at(Instant(0)));
    Catalog::open(folder, clock, Arc::new(SeededRng::new(seed))).await.unwrap()
}

#[tokio::test]
async fn a_key_is_made_once_and_only_its_owner_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), 1).await.signing_key().unwrap();
    let mode = std::fs::metadata(folder.path().join(KEY_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = open(folder.path(), 2).await.signing_key().unwrap();
    assert_eq!(first.public_key(), again.public_key());
    assert!(!format!("{first:?}").contains(&std::fs::read_to_string(folder.path().join(KEY_FILE)).unwrap()[19..60]));
}

#[tokio::test]
async fn a_key_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), 1).await.signing_key().unwrap();
    let file = folder.path().join(KEY_FILE);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(open(folder.path(), 1).await.signing_key().unwrap_err().code(), "SW0651");
}

#[tokio::test]
async fn a_damaged_key_is_an_error_and_is_kept() {
    let check = async |content: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(KEY_FILE);
        durable::create_private(&file, content.as_bytes()).unwrap();
        assert_eq!(open(folder.path(), 1).await.signing_key().unwrap_err().code(), "SW0650", "{content:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
    };
    check("").await;
    check("seawall-ed25519-v1 00ff").await;
    check("seawall-ed25519-v1 zz").await;
    check(&format!("seawall-ed25519-v2 {}", "0".repeat(64))).await;
}

#[test]
fn signatures_verify_only_for_their_bytes_and_key() {
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    let signature = key.sign(b"certificate");
    assert_eq!(signature.len(), 64);
    verify_signature(key.public_key(), b"certificate", &signature).unwrap();
    let refused = |key: &SigningKey, bytes: &[u8], signature: &[u8]| {
        assert_eq!(verify_signature(key.public_key(), bytes, signature).unwrap_err().code(), "SW0652");
    };
    refused(&other, b"certificate", &signature);
    refused(&key, b"certificatf", &signature);
    refused(&key, b"certificate", &signature[..63]);
    let mut bent = signature.clone();
    bent[10] ^= 1;
    refused(&key, b"certificate", &bent);
}

/// RFC 8032, section 7.1, test 2: others must be able to verify our signatures.
#[test]
fn keys_and_signatures_are_those_of_the_standard() {
    let seed = unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
    let key = SigningKey::from_seed(&seed).unwrap();
    assert_eq!(hex(key.public_key()), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    assert_eq!(
        hex(&key.sign(&[0x72])),
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    );
}

#[test]
fn hexadecimal_reads_back_and_nonsense_does_not() {
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(unhex(&hex(&bytes)).unwrap(), bytes);
    for text in ["0", "0g", "+1", "ä"] {
        assert_eq!(unhex(text).unwrap_err().code(), "SW0654", "{text:?}");
    }
}
