use std::fs;

use super::*;
use crate::store::Store;

const AT: Instant = Instant(7_000_000);

#[test]
fn a_retired_model_is_missing_for_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (models, archive) = (folder.path().join("models"), folder.path().join("archive"));
    let store = Store::open(&models).unwrap();
    let (moved, removed) = (store.write(b"moved").unwrap(), store.write(b"removed").unwrap());
    retire(&models, moved, Some(&archive), AT).unwrap();
    retire(&models, removed, None, AT).unwrap();
    retire(&models, removed, Some(&archive), Instant(9)).unwrap();
    let to = archive.join(format!("{moved}.model"));
    assert_eq!(fs::read(&to).unwrap(), b"moved");
    assert_eq!(retired(&models, moved), Some(Retired { at: AT, to: Some(to) }));
    assert_eq!(retired(&models, removed), Some(Retired { at: AT, to: None }));
    assert_eq!((check::kept(&models).unwrap(), notes(&models).unwrap().len()), (Vec::new(), 2));
    for digest in [moved, removed] {
        let error = store.read(digest).unwrap_err();
        assert!(error.code() == "SW1010" && error.to_string().contains("retired"), "{error}");
        assert!(check::check(&models, digest, "m @1").findings.is_empty());
    }
    let unknown = Hash::of(b"other");
    assert_eq!(check::check(&models, unknown, "m @1").findings.len(), 1);
    // What is trained again is there again.
    assert_eq!(store.write(b"removed").unwrap(), removed);
    assert_eq!(store.read(removed).unwrap(), &b"removed"[..]);
}

#[test]
fn a_damaged_model_is_not_moved() {
    let folder = tempfile::tempdir().unwrap();
    let digest = Store::open(folder.path()).unwrap().write(b"whole").unwrap();
    let path = check::path(folder.path(), digest);
    fs::write(&path, b"other").unwrap();
    let error = retire(folder.path(), digest, Some(&folder.path().join("archive")), AT).unwrap_err();
    assert_eq!(error.code(), "SW1011");
    assert!(path.exists() && retired(folder.path(), digest).is_none());
}
