//! Every backup gives back the files as they were, adds only what is new, and shows every damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use seawall_base::{Instant, Offset};

use super::*;

type Tree = BTreeMap<String, Vec<u8>>;

fn write_tree(folder: &Path, tree: &Tree) {
    for (path, content) in tree {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn take(store: &Store, folder: &Path, tree: &Tree, at: i64) -> (Manifest, u64) {
    let (before, errors) = store.backups().unwrap();
    assert!(errors.is_empty());
    let mut taking = Taking::begin(store, before.last(), store.lock("backup").unwrap()).unwrap();
    for path in tree.keys() {
        let item = Item { is_immutable: path.starts_with("fixed"), ..Item::whole(path.clone(), folder.join(path)) };
        assert_eq!(taking.take(&item).unwrap(), Taken::Kept);
    }
    let new_bytes = taking.new_bytes;
    (taking.finish(Instant(at), 1, 0, Offset(0)).unwrap(), new_bytes)
}

fn restored(store: &Store, manifest: &Manifest) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = Tree::new();
    for file in &manifest.files {
        write_file(store, file, folder.path()).unwrap();
        tree.insert(file.path.clone(), fs::read(folder.path().join(&file.path)).unwrap());
    }
    tree
}

fn findings(store: &Store, manifest: &Manifest) -> usize {
    check(store, manifest, &mut |_, _| ()).findings.len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Files come and change between backups; each backup restores its own moment, and the same files cost nothing.
    #[test]
    fn every_backup_restores_its_moment(
        moments in prop::collection::vec(
            prop::collection::btree_map("(fixed|log|a/b)/[a-c]", prop::collection::vec(any::<u8>(), 0..300), 1..5),
            1..5,
        ),
    ) {
        let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(kept.path()).unwrap();
        let mut taken = Vec::new();
        let mut tree = Tree::new();
        for (at, changes) in moments.iter().enumerate() {
            // What is fixed never changes once it is there.
            let changes = changes.iter().filter(|(path, _)| !path.starts_with("fixed") || !tree.contains_key(*path));
            let changes: Tree = changes.map(|(path, content)| (path.clone(), content.clone())).collect();
            write_tree(folder.path(), &changes);
            tree.extend(changes);
            let (manifest, _) = take(&store, folder.path(), &tree, at as i64 + 1);
            taken.push((manifest, tree.clone()));
            let (_, new_bytes) = take(&store, folder.path(), &tree, at as i64 + 1);
            prop_assert_eq!(new_bytes, 0);
        }
        for (manifest, tree) in &taken {
            prop_assert_eq!(&restored(&store, manifest), tree);
            prop_assert_eq!(findings(&store, manifest), 0);
        }
    }
}

#[test]
fn a_prefix_is_restored_with_zeros_behind_it() {
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(kept.path()).unwrap();
    fs::write(folder.path().join("segment"), vec![7u8; 10_000]).unwrap();
    let mut taking = Taking::begin(&store, None, store.lock("backup").unwrap()).unwrap();
    let item = Item { prefix: Some(4_000), ..Item::whole("segment", folder.path().join("segment")) };
    taking.take(&item).unwrap();
    assert_eq!(taking.read_bytes, 4_000);
    let manifest = taking.finish(Instant(1), 1, 0, Offset(0)).unwrap();
    let tree = restored(&store, &manifest);
    assert_eq!(tree["segment"], [vec![7u8; 4_000], vec![0u8; 6_000]].concat());
}

#[test]
fn a_damaged_file_is_named_and_its_earlier_copy_is_used() {
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(kept.path()).unwrap();
    let path = folder.path().join("part");
    fs::write(&path, b"rows").unwrap();
    let expected = Some((4, seawall_base::Hash::of(b"rows")));
    let item = Item { expected, is_immutable: true, ..Item::whole("part", path.clone()) };
    let mut taking = Taking::begin(&store, None, store.lock("backup").unwrap()).unwrap();
    assert_eq!(taking.take(&item).unwrap(), Taken::Kept);
    let first = taking.finish(Instant(1), 1, 0, Offset(0)).unwrap();
    fs::write(&path, b"rowz").unwrap();
    let mut taking = Taking::begin(&store, Some(&first), store.lock("backup").unwrap()).unwrap();
    assert_eq!(taking.take(&item).unwrap(), Taken::Damaged);
    let second = taking.finish(Instant(2), 1, 0, Offset(0)).unwrap();
    assert_eq!(second.damaged[0].path, "part");
    assert_eq!(restored(&store, &second)["part"], b"rows");
    let mut taking = Taking::begin(&store, None, store.lock("backup").unwrap()).unwrap();
    assert_eq!(taking.take(&item).unwrap(), Taken::Damaged);
    let third = taking.finish(Instant(3), 1, 0, Offset(0)).unwrap();
    assert!(third.files.is_empty() && third.damaged.len() == 1);
}

#[test]
fn every_changed_byte_of_a_backup_is_found() {
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(kept.path()).unwrap();
    let tree = Tree::from([("a".to_owned(), b"some bytes".to_vec()), ("b".to_owned(), b"others".to_vec())]);
    write_tree(folder.path(), &tree);
    let (manifest, _) = take(&store, folder.path(), &tree, 1);
    for file in &manifest.files {
        let path = kept.path().join(Store::piece_name(file.pieces[0]));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(findings(&store, &manifest), 1, "{} byte {at}", file.path);
            assert!(write_file(&store, file, &folder.path().join("out")).is_err());
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(findings(&store, &manifest), 1);
        fs::write(&path, &whole).unwrap();
    }
    let path = kept.path().join("backups").join(format!("{}.json", manifest.id));
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let (read, errors) = store.backups().unwrap();
        assert_eq!((read.len(), errors.len()), (0, 1), "byte {at} of the manifest");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(store.backups().unwrap().0, [manifest]);
}

#[test]
fn removed_backups_give_back_only_what_nobody_names() {
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(kept.path()).unwrap();
    let mut tree = Tree::from([("a".to_owned(), b"shared".to_vec()), ("b".to_owned(), b"old".to_vec())]);
    write_tree(folder.path(), &tree);
    let (first, _) = take(&store, folder.path(), &tree, 1);
    tree.insert("b".to_owned(), b"newer".to_vec());
    write_tree(folder.path(), &tree);
    let (second, _) = take(&store, folder.path(), &tree, 2);
    assert_eq!(store.remove(&[first.id]).unwrap(), 3);
    assert_eq!(restored(&store, &second), tree);
    assert_eq!(store.remove(&[]).unwrap(), 0);
}

#[test]
fn a_manifest_that_leads_out_of_the_folder_is_refused() {
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(kept.path()).unwrap();
    fs::write(folder.path().join("a"), b"x").unwrap();
    for path in ["../a", "/etc/a", "a/../../b", ""] {
        let mut taking = Taking::begin(&store, None, store.lock("backup").unwrap()).unwrap();
        taking.take(&Item::whole(path, folder.path().join("a"))).unwrap();
        let manifest = taking.finish(Instant(1), 1, 0, Offset(0)).unwrap();
        assert_eq!(store.backups().unwrap().1.len(), 1, "{path:?}");
        store.remove(&[]).unwrap_err();
        fs::remove_file(kept.path().join("backups").join(format!("{}.json", manifest.id))).unwrap();
    }
}
