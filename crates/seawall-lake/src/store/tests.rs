use futures::TryStreamExt;

use super::*;

fn location(folder: &FilePath, name: &str) -> Path {
    Path::from_absolute_path(folder.join(name)).unwrap()
}

async fn read(store: &DurableLocal, location: &Path) -> Vec<u8> {
    store.get(location).await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn of_two_creators_the_second_is_told_and_nothing_is_left_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableLocal::new();
    let at = location(folder.path(), "a/b/0.json");
    let create = || PutOptions::from(PutMode::Create);
    store.put_opts(&at, PutPayload::from_static(b"one"), create()).await.unwrap();
    let second = store.put_opts(&at, PutPayload::from_static(b"two"), create()).await.unwrap_err();
    assert!(matches!(second, Error::AlreadyExists { .. }), "{second:?}");
    assert_eq!(read(&store, &at).await, b"one");
    let listed: Vec<ObjectMeta> = store.list(Some(&location(folder.path(), "a"))).try_collect().await.unwrap();
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn an_upload_shows_its_target_only_when_complete() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableLocal::new();
    let at = location(folder.path(), "big.parquet");
    let mut upload = store.put_multipart(&at).await.unwrap();
    upload.put_part(PutPayload::from_static(b"first ")).await.unwrap();
    upload.put_part(PutPayload::from_static(b"second")).await.unwrap();
    assert!(!folder.path().join("big.parquet").exists());
    upload.complete().await.unwrap();
    assert_eq!(read(&store, &at).await, b"first second");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn copies_renames_and_deletes_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let store = DurableLocal::new();
    let (a, b, c) = (location(folder.path(), "a"), location(folder.path(), "b"), location(folder.path(), "c"));
    store.put(&a, PutPayload::from_static(b"x")).await.unwrap();
    store.copy(&a, &b).await.unwrap();
    assert!(store.copy_if_not_exists(&a, &b).await.is_err());
    store.rename(&b, &c).await.unwrap();
    assert_eq!(read(&store, &c).await, b"x");
    assert!(store.head(&b).await.is_err());
    store.delete(&c).await.unwrap();
    assert!(matches!(store.delete(&c).await.unwrap_err(), Error::NotFound { .. }));
}

/// Where a child works while its system calls are watched.
const WATCHED: &str = "SEAWALL_WATCHED_FOLDER";

/// What is done under watch; run by [`every_write_is_synced_in_the_right_order`].
#[tokio::test]
#[ignore = "a part of another test"]
async fn watched_writes() {
    let Ok(folder) = std::env::var(WATCHED) else { return };
    let (folder, store) = (PathBuf::from(folder), DurableLocal::new());
    let at = |name: &str| location(&folder, name);
    let payload = || PutPayload::from_static(b"bytes");
    store.put_opts(&at("new/deep/created"), payload(), PutMode::Create.into()).await.unwrap();
    store.put(&at("new/overwritten"), payload()).await.unwrap();
    store.put(&at("new/overwritten"), payload()).await.unwrap();
    let mut upload = store.put_multipart(&at("other/deep/uploaded")).await.unwrap();
    upload.put_part(payload()).await.unwrap();
    upload.complete().await.unwrap();
    store.copy(&at("new/overwritten"), &at("copies/copied")).await.unwrap();
    store.rename(&at("copies/copied"), &at("copies/renamed")).await.unwrap();
    store.delete(&at("new/overwritten")).await.unwrap();
}

/// The calls of `strace` that matter, in order: a word and its paths.
fn calls(trace: &str) -> Vec<(&str, Vec<String>)> {
    let mut calls = Vec::new();
    for line in trace.lines().filter(|line| line.ends_with("= 0")) {
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        let Some((word, rest)) = call.split_once('(') else { continue };
        let quoted = rest.split('"').skip(1).step_by(2).map(str::to_owned);
        let described =
            rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path.to_owned());
        let paths: Vec<String> = if word.contains("sync") { described.into_iter().collect() } else { quoted.collect() };
        calls.push((word, paths));
    }
    calls
}

/// Every name appears after its bytes were synced, and every change of a folder is followed by a sync of the folder.
#[test]
fn every_write_is_synced_in_the_right_order() {
    let folder = tempfile::tempdir().unwrap();
    let (root, trace) = (folder.path().join("root"), folder.path().join("trace"));
    std::fs::create_dir(&root).unwrap();
    let watched = std::process::Command::new("strace")
        .args([
            "-f",
            "-y",
            "-e",
            "trace=fsync,fdatasync,link,linkat,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat",
        ])
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::watched_writes", "--ignored"])
        .env(WATCHED, &root)
        .output();
    let Ok(watched) = watched else { return eprintln!("SKIPPED: there is no strace to watch system calls with") };
    if !watched.status.success() && String::from_utf8_lossy(&watched.stderr).contains("ptrace") {
        return eprintln!("SKIPPED: this user may not watch system calls");
    }
    assert!(watched.status.success(), "{}", String::from_utf8_lossy(&watched.stdout));
    let trace = std::fs::read_to_string(trace).unwrap();
    let inside = root.to_str().unwrap();
    let calls = calls(&trace);
    let synced =
        |at: usize, path: &str| calls[..at].iter().any(|(word, paths)| word.contains("sync") && paths[0] == path);
    let synced_after = |at: usize, path: &str| {
        let parent = FilePath::new(path).parent().unwrap().to_str().unwrap();
        calls[at..].iter().any(|(word, paths)| word.contains("sync") && paths[0] == parent)
    };
    let mut names = std::collections::BTreeSet::new();
    for (at, (word, paths)) in calls.iter().enumerate() {
        if word.contains("sync") || !paths.last().is_some_and(|path| path.starts_with(inside)) {
            continue;
        }
        let path = paths.last().unwrap();
        assert!(synced_after(at, path), "{word} of {path} is not followed by a sync of its folder");
        if word.starts_with("link") || (word.starts_with("rename") && !path.ends_with(".uploading")) {
            assert!(synced(at, &paths[0]), "{path} gets its name before its bytes are synced");
            names.insert(path.strip_prefix(inside).unwrap().to_owned());
        }
    }
    let expected =
        ["/copies/copied", "/copies/renamed", "/new/deep/created", "/new/overwritten", "/other/deep/uploaded"];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), expected, "everything was watched");
}
