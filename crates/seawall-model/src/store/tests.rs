use super::*;

#[test]
fn keeps_bytes_under_their_digest() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a/models")).unwrap();
    let digest = store.write(b"model").unwrap();
    assert_eq!(digest, Hash::of(b"model"));
    assert_eq!(store.write(b"model").unwrap(), digest, "keeping twice is keeping once");
    assert_eq!(store.read(digest).unwrap(), "model");
    let names: Vec<String> = std::fs::read_dir(folder.path().join("a/models"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, [format!("{digest}.model")]);
}

#[test]
fn notices_changed_and_absent_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = store.write(b"model").unwrap();
    std::fs::write(store.path(digest), b"modem").unwrap();
    let error = store.read(digest).unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Corrupt, "SW1011"));
    let error = store.read(Hash::of(b"other")).unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::NotFound, "SW1010"));
    store.write(b"model").unwrap();
    assert_eq!(store.read(digest).unwrap(), "model", "keeping it again repairs it");
}
