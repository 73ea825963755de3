//! Backups: taken while a server runs, restored to equal answers, at a moment, and damaged ones found.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::integrity::{data, features, filled, now, verify};
use crate::s3_server::S3Server;
use crate::support::{Project, Said, Server, run, run_in, seawall};

fn create(project: &Project, to: &Path) -> Said {
    project.run(&["backup", "create", "--to", to.to_str().unwrap(), "--output", "json"])
}

fn on(project: &Project, folder: &Path, arguments: &[&str]) -> Said {
    let mut all = vec!["-C", project.path().to_str().unwrap(), "--data-dir", folder.to_str().unwrap()];
    all.extend(arguments);
    run(&all)
}

fn restore(project: &Project, from: &Path, to: &Path, more: &[&str]) -> Said {
    let mut arguments = vec!["restore", "--from", from.to_str().unwrap(), "--output", "json"];
    arguments.extend(more);
    on(project, to, &arguments)
}

fn ids(project: &Project, folder: &Path) -> Vec<String> {
    let sql = "select event_id from events order by _lsn";
    let rows = on(project, folder, &["query", sql, "--output", "json"]).expect(0).json();
    rows["rows"].as_array().unwrap().iter().map(|row| row["event_id"].as_str().unwrap().to_owned()).collect()
}

fn send(server: &Server, id: &str) {
    let event = json!({"event_id": id, "happened_at": now(server), "user_id": "u1", "amount": 2.0});
    let (status, receipt) = server.post("/v1/datasets/events/events", &format!("{event}\n"));
    assert_eq!((status, &receipt["counts"]["accepted"]), (200, &json!(1)), "{receipt}");
}

fn serve_on(project: &Project, folder: &Path) -> Server {
    project.serve(&["--data-dir", folder.to_str().unwrap()])
}

#[test]
fn a_backup_of_a_running_server_is_restored_to_equal_answers() {
    let project = filled();
    let place = tempfile::tempdir().unwrap();
    let (kept, restored) = (place.path().join("kept"), place.path().join("restored"));
    let server = project.serve(&[]);
    send(&server, "before");
    let first = create(&project, &kept).expect(0).json();
    send(&server, "after");
    server.folded();
    let second = create(&project, &kept).expect(0).json();
    let (all, new) = (second["stats"]["bytes"].as_u64().unwrap(), second["stats"]["new_bytes"].as_u64().unwrap());
    assert!(new < all / 10, "the second backup adds little: {new} of {all}");
    let expected = features(&server);
    server.terminate();

    let told = restore(&project, &kept, &restored, &[]).expect(0).json();
    assert_eq!((&told["restored"]["backup"], &told["restored"]["findings"]), (&second["backup"], &json!([])));
    on(&project, &restored, &["verify", "data"]).expect(0);
    let server = serve_on(&project, &restored);
    assert_eq!(features(&server), expected);
    send(&server, "goes-on");
    server.terminate();
    let mut all = ids(&project, &data(&project));
    all.push("goes-on".into());
    assert_eq!(ids(&project, &restored), all);

    let other = place.path().join("first");
    restore(&project, &kept, &other, &["--id", first["backup"].as_str().unwrap()]).expect(0);
    serve_on(&project, &other).terminate();
    let old = ids(&project, &other);
    assert!(old.contains(&"before".to_owned()) && !old.contains(&"after".to_owned()), "{old:?}");

    let refused = restore(&project, &kept, &restored, &[]);
    assert!(refused.code == 2 && refused.stdout.contains("SW1427"), "{}", refused.stdout);
    let runs = on(&project, &other, &["query", "select kind from system.maintenance", "--output", "json"]).expect(0);
    assert!(runs.stdout.contains("restore"), "{}", runs.stdout);
}

#[test]
fn a_moment_between_two_backups_is_restored_from_the_log() {
    let project = filled();
    let place = tempfile::tempdir().unwrap();
    let kept = place.path().join("kept");
    let server = project.serve(&[]);
    send(&server, "one");
    create(&project, &kept).expect(0);
    send(&server, "two");
    std::thread::sleep(Duration::from_millis(20));
    let moment = now(&server);
    std::thread::sleep(Duration::from_millis(20));
    send(&server, "three");
    create(&project, &kept).expect(0);
    server.terminate();
    let restored = place.path().join("restored");
    let told = restore(&project, &kept, &restored, &["--at", &moment]).expect(0).json();
    assert_eq!(told["restored"]["entries_since"], json!(1), "{told}");
    serve_on(&project, &restored).terminate();
    let found = ids(&project, &restored);
    assert!(found.contains(&"two".to_owned()) && !found.contains(&"three".to_owned()), "{found:?}");
    on(&project, &restored, &["verify", "data"]).expect(0);
    let early = restore(&project, &kept, &place.path().join("early"), &["--at", "2020-01-01T00:00:00Z"]);
    assert!(early.stdout.contains("SW1428"), "{}", early.stdout);
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(all_files(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

#[test]
fn a_damaged_backup_is_found_and_never_put_in_place() {
    let project = filled();
    let place = tempfile::tempdir().unwrap();
    let (kept, restored) = (place.path().join("kept"), place.path().join("restored"));
    create(&project, &kept).expect(0);
    let check = || run(&["backup", "verify", "--from", kept.to_str().unwrap(), "--output", "json"]);
    check().expect(0);
    for (i, path) in all_files(&kept).into_iter().enumerate() {
        let whole = fs::read(&path).unwrap();
        if whole.is_empty() {
            continue;
        }
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        fs::write(&path, &flipped).unwrap();
        check().expect(1);
        if i % 5 == 0 {
            let refused = restore(&project, &kept, &restored, &[]);
            assert!(refused.code != 0 && !restored.exists(), "{}", refused.stdout);
        }
        fs::write(&path, &whole).unwrap();
    }
    check().expect(0);
    restore(&project, &kept, &restored, &[]).expect(0);
}

/// Killed at any moment, a backup leaves earlier ones whole and the next one goes through; so does a restore.
#[test]
fn a_killed_backup_or_restore_is_finished_by_the_next_one() {
    let project = filled();
    let place = tempfile::tempdir().unwrap();
    let kept = place.path().join("kept");
    let to = kept.to_str().unwrap().to_owned();
    let killed = |arguments: &[&str], wait_ms: u64| {
        let mut child = seawall().arg("-C").arg(project.path()).args(arguments).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        child.kill().unwrap();
        child.wait().unwrap();
    };
    for wait_ms in (0..600).step_by(60) {
        killed(&["backup", "create", "--to", &to], wait_ms);
        create(&project, &kept).expect(0);
        run(&["backup", "verify", "--from", &to]).expect(0);
        assert!(!kept.join("tmp").exists());
    }
    let expected = ids(&project, &data(&project));
    for wait_ms in (0..900).step_by(90) {
        let restored = place.path().join("restored");
        let shown = restored.to_str().unwrap().to_owned();
        killed(&["--data-dir", &shown, "restore", "--from", &to], wait_ms);
        if !restored.exists() {
            restore(&project, &kept, &restored, &[]).expect(0);
        }
        on(&project, &restored, &["verify", "data"]).expect(0);
        assert_eq!(ids(&project, &restored), expected);
        fs::remove_dir_all(&restored).unwrap();
    }
    verify(&project).expect(0);
}

/// The same in a bucket: nothing but addresses and the environment differ.
#[test]
fn backups_in_a_bucket_are_restored_and_damage_is_found() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let bucket = runtime.block_on(S3Server::start());
    let place = tempfile::tempdir().unwrap();
    let project = filled();
    let told = |folder: &Path, arguments: &[&str]| {
        let mut all = vec!["-C", project.path().to_str().unwrap(), "--data-dir", folder.to_str().unwrap()];
        all.extend(arguments);
        all.extend(["--output", "json"]);
        run_in(&bucket.environment(), &all)
    };
    let at = "s3://backups/shop";
    let own = data(&project);
    let missing = told(&own, &["backup", "list", "--from", at]);
    assert!(missing.stdout.contains("SW1420"), "{}", missing.stdout);

    let server = project.serve(&[]);
    send(&server, "before");
    let first = told(&own, &["backup", "create", "--to", at]).expect(0).json();
    send(&server, "after");
    server.folded();
    let second = told(&own, &["backup", "create", "--to", at]).expect(0).json();
    let (all, new) = (second["stats"]["bytes"].as_u64().unwrap(), second["stats"]["new_bytes"].as_u64().unwrap());
    assert!(new < all / 10, "the second backup adds little: {new} of {all}");
    let expected = features(&server);
    server.terminate();
    let passing = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("backup");
    assert!(!std::fs::read_dir(&own).unwrap().flatten().any(|entry| passing(&entry)), "nothing stays on its way");
    let listed = told(&own, &["backup", "list", "--from", at]).expect(0).json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2, "{listed}");
    told(&own, &["backup", "verify", "--from", at]).expect(0);

    let restored = place.path().join("restored");
    told(&restored, &["restore", "--from", at]).expect(0);
    let server = serve_on(&project, &restored);
    assert_eq!(features(&server), expected);
    server.terminate();
    assert_eq!(ids(&project, &restored), ids(&project, &own));

    let flip = || {
        for piece in bucket.keys().into_iter().filter(|key| key.contains("/pieces/")) {
            bucket.alter(&piece, |bytes| bytes[0] ^= 1);
        }
    };
    flip();
    let found = told(&own, &["backup", "verify", "--from", at]).expect(1).json();
    assert!(!found["findings"].as_array().unwrap().is_empty(), "{found}");
    let damaged = place.path().join("damaged");
    let refused = told(&damaged, &["restore", "--from", at]);
    assert!(refused.code != 0 && refused.stdout.contains("SW1421"), "{}", refused.stdout);
    assert!(!damaged.exists(), "a damaged backup is put in place");
    flip();
    let pruned = told(&own, &["backup", "prune", "--from", at, "--keep", "1"]).expect(0).json();
    assert_eq!(pruned["removed"], json!([first["backup"]]), "{pruned}");
    told(&own, &["backup", "verify", "--from", at]).expect(0);
}
