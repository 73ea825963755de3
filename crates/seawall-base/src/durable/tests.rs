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

#[test]
fn removed_files_are_gone_in_every_folder_and_missing_ones_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a/1", "b/2", "a/3", "b/none"].map(|name| folder.path().join(name));
    for path in &paths[..3] {
        create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"content").unwrap();
    }
    assert_eq!(remove_files(&paths).unwrap(), [true, true, true, false]);
    assert!(paths.iter().all(|path| !path.exists()));
    assert!(remove_files(&[folder.path().join("a")]).is_err(), "a folder is no file");
}

#[test]
fn of_two_creators_one_wins_and_the_file_keeps_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00.json");
    write_new(&path, b"first").unwrap();
    let second = write_new(&path, b"second").unwrap_err();
    assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"first");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    fs::write(folder.path().join("staged"), b"third").unwrap();
    rename_synced(&folder.path().join("staged"), &path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"third");
}

#[test]
fn a_private_file_is_created_once_and_only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    create_private(&path, b"first").unwrap();
    create_private(&path, b"second").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"first");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_zeroed_file_has_its_full_length_and_appears_by_rename() {
    let folder = tempfile::tempdir().unwrap();
    let spare = folder.path().join("spare");
    let target = folder.path().join("target");
    let length = 3 * segment::ZEROS_BYTES + 17;
    create_zeroed(&spare, length as u64).unwrap();
    rename_synced(&spare, &target).unwrap();
    assert!(!spare.exists());
    let content = fs::read(&target).unwrap();
    assert_eq!(content.len(), length);
    assert!(content.iter().all(|byte| *byte == 0));
}

#[test]
fn a_file_that_many_write_is_always_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.json");
    write_shared(&path, &[0; 4096]).unwrap();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=4u8)
            .map(|byte| {
                let path = &path;
                scope.spawn(move || {
                    (0..25).for_each(|_| write_shared(path, &vec![byte; 4096 * usize::from(byte)]).unwrap())
                })
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            let found = fs::read(&path).unwrap();
            assert!(found.iter().all(|byte| *byte == found[0]), "two writers met in one file");
            assert_eq!(found.len(), 4096 * usize::from(found[0]).max(1), "a file was cut short");
        }
    });
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
}
