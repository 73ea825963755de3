use super::*;

#[test]
fn a_folder_is_a_vault() {
    let folder = tempfile::tempdir().unwrap();
    conformance::check_all(&Folder::open(&folder.path().join("new")).unwrap());
}
