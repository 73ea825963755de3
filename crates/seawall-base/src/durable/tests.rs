use super::*;

#[test]
fn a_replaced_file_has_the_new_content_and_leaves_no_temporary() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/manifest.json");
    create_dir_all(path.parent().unwrap()).unwrap();
    write_atomic(&path, b"one").unwrap();
    write_atomic(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    remove_file(&path).unwrap();
    remove_file(&path).unwrap();
    assert!(!path.exists());
}
