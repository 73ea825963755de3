use std::collections::BTreeMap;

use seawall_base::ErrorKind;
use tempfile::TempDir;

use super::*;

const FORMAT: &str = "test state";

fn open(root: &TempDir) -> (Folder, Vec<seawall_base::Error>) {
    Folder::open(&root.path().join("state"), FORMAT).unwrap()
}

fn file(folder: &Folder, n: usize, content: &[u8]) -> NewFile {
    NewFile { name: folder.name(n), content: content.to_vec() }
}

/// Every file of the folder but the lock.
fn files(root: &TempDir) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(root.path().join("state")).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| !path.ends_with("lock")).map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// Three checkpoints: `one` with a file, `two` that uses it and has another, `three` that uses only the other.
fn three(root: &TempDir) -> (String, String) {
    let (mut folder, damages) = open(root);
    assert!(damages.is_empty() && folder.checkpoints().is_empty());
    let first = file(&folder, 0, b"first");
    folder.write("one".into(), &[], vec![first.clone()]).unwrap();
    let second = file(&folder, 0, b"second");
    folder.write("two".into(), std::slice::from_ref(&first.name), vec![second.clone()]).unwrap();
    folder.write("three".into(), std::slice::from_ref(&second.name), vec![]).unwrap();
    (first.name, second.name)
}

#[test]
fn the_two_newest_checkpoints_stay_with_their_files() {
    let root = tempfile::tempdir().unwrap();
    let (first, second) = three(&root);
    let (mut folder, damages) = open(&root);
    assert!(damages.is_empty());
    let bodies: Vec<_> = folder.checkpoints().into_iter().map(|c| (c.number, c.body)).collect();
    assert_eq!(bodies, [(3, "three".to_owned()), (2, "two".to_owned())]);
    assert_eq!((folder.read(&first).unwrap(), folder.read(&second).unwrap()), (b"first".to_vec(), b"second".to_vec()));
    assert_eq!(files(&root).len(), 4);
    folder.write("four".into(), &[], vec![]).unwrap();
    assert_eq!(folder.read(&first).unwrap_err().code(), "SW0431", "no kept checkpoint names it any more");
    assert_eq!(files(&root).len(), 3);
    let unknown = folder.write("five".into(), &[first], vec![]).unwrap_err();
    assert_eq!((unknown.code(), folder.checkpoints()[0].body.as_str()), ("SW0431", "four"));
}

#[test]
fn a_flipped_bit_or_a_lost_file_is_never_taken_for_a_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    three(&root);
    let whole = files(&root);
    for (path, content) in &whole {
        for at in 0..=content.len() {
            let mut damaged = content.clone();
            match damaged.get_mut(at) {
                Some(byte) => *byte ^= 1 << (at % 8),
                None => damaged.truncate(at - 1),
            }
            fs::write(path, damaged).unwrap();
            check_damaged(&root, path, at);
        }
        fs::remove_file(path).unwrap();
        check_damaged(&root, path, usize::MAX);
        for (path, content) in &whole {
            fs::write(path, content).unwrap();
        }
    }
}

/// Whatever is offered is one of the three checkpoints, whole; what is damaged is said.
fn check_damaged(root: &TempDir, path: &Path, at: usize) {
    let (mut folder, damages) = open(root);
    let is_manifest = path.file_name().unwrap().to_str().unwrap().starts_with("manifest");
    let what = format!("{} byte {at}", path.display());
    assert_eq!(damages.len(), usize::from(is_manifest && at != usize::MAX), "{what}");
    assert!(damages.iter().all(|damage| damage.kind() == ErrorKind::Corrupt && damage.remedy().is_some()));
    let mut usable = 0;
    while let Some(newest) = folder.checkpoints().first() {
        assert!(["two", "three"].contains(&newest.body.as_str()), "{what}");
        let named: Vec<String> = folder.kept[0].files.iter().map(|file| file.name.clone()).collect();
        let contents: Vec<_> = named.iter().map(|name| folder.read(name)).collect();
        usable += usize::from(contents.iter().all(Result::is_ok));
        for content in contents.into_iter().flatten() {
            assert!(content == b"first" || content == b"second", "{what}");
        }
        folder.forget_newest();
    }
    assert!(usable <= 1 || is_manifest || path.ends_with("state-000000000001-000000.bin"), "{what}: {usable}");
}

#[test]
fn a_crash_leaves_the_checkpoint_before() {
    let root = tempfile::tempdir().unwrap();
    let (mut folder, _) = open(&root);
    let first = file(&folder, 0, b"first");
    folder.write("one".into(), &[], vec![first.clone()]).unwrap();
    let before = files(&root);
    let second = file(&folder, 0, b"second");
    folder.write("two".into(), &[first.name], vec![second]).unwrap();
    let after = files(&root);
    drop(folder);
    let added: Vec<_> = after.iter().filter(|(path, _)| !before.contains_key(*path)).collect();
    assert_eq!(added.len(), 2, "a file and a manifest");
    // The power fails before the manifest has its name: its file, or half of it under its temporary name, is there.
    let (_, content) = added.iter().find(|(path, _)| path.to_str().unwrap().contains("state-")).unwrap();
    for name in ["state-000000000002-000000.bin", "state-000000000002-000000.bin.tmp", "manifest-000000000002.tmp"] {
        for path in after.keys() {
            fs::remove_file(path).ok();
        }
        for (path, content) in &before {
            fs::write(path, content).unwrap();
        }
        fs::write(root.path().join("state").join(name), &content[..3]).unwrap();
        let (folder, damages) = open(&root);
        assert!(damages.is_empty(), "{name}");
        assert_eq!(folder.checkpoints().into_iter().map(|c| c.body).collect::<Vec<_>>(), ["one"], "{name}");
        drop(folder);
        assert_eq!(files(&root), before, "leftovers of {name} are gone");
    }
}

#[test]
fn states_of_another_kind_or_version_are_refused() {
    let root = tempfile::tempdir().unwrap();
    three(&root);
    let (folder, damages) = Folder::open(&root.path().join("state"), "other state").unwrap();
    assert!(folder.checkpoints().is_empty());
    assert_eq!(damages.iter().map(|damage| damage.code()).collect::<Vec<_>>(), ["SW0431", "SW0431"]);
    assert_eq!(files(&root).len(), 4, "nothing is removed of what could not be read");
    drop(folder);
    let path = root.path().join("state").join(manifest::name(4));
    let json = br#"{"format":"test state","version":2}"#;
    fs::write(&path, [format!("{}\n", Hash::of(json)).as_bytes(), json].concat()).unwrap();
    let (mut folder, damages) = open(&root);
    assert_eq!(damages.iter().map(|damage| damage.code()).collect::<Vec<_>>(), ["SW0432"]);
    assert_eq!(folder.checkpoints()[0].body, "three");
    folder.write("five".into(), &[], vec![]).unwrap();
    assert_eq!(folder.checkpoints()[0].number, 5, "a number is never used again");
}
