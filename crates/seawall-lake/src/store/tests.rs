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
