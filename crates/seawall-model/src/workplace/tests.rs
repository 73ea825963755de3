use std::process::{Command, Stdio};

use super::*;

fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn folders_are_apart_and_vanish() {
    let root = tempfile::tempdir().unwrap();
    let workplace = Workplace::open(&root.path().join("a/work")).unwrap();
    let (one, two) = (workplace.folder().unwrap(), workplace.folder().unwrap());
    assert_ne!(one.path(), two.path());
    fs::write(one.path().join("file"), "x").unwrap();
    drop(one);
    assert_eq!(names(&root.path().join("a/work")), ["training-1"]);
    drop(two);
    assert_eq!(names(&root.path().join("a/work")), Vec::<String>::new());
}

#[test]
fn opening_removes_what_nobody_holds() {
    let root = tempfile::tempdir().unwrap();
    let held = Workplace::open(root.path()).unwrap().folder().unwrap();
    fs::create_dir_all(root.path().join("training-7/out")).unwrap();
    fs::create_dir(root.path().join("other")).unwrap();
    fs::write(root.path().join("training-8"), "a file").unwrap();
    Workplace::open(root.path()).unwrap();
    assert_eq!(names(root.path()), ["other", "training-0", "training-8"]);
    drop(held);
}

#[cfg(target_os = "linux")]
#[test]
fn opening_stops_what_a_killed_process_left_running() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("training-3");
    fs::create_dir(&folder).unwrap();
    let mut left = Command::new("/bin/sh")
        .args(["-c", "sleep 1000"])
        .env("SEAWALL_JOB", job(&folder))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // The mark is there once the shell has been started, which `spawn` waits for.
    Workplace::open(root.path()).unwrap();
    assert!(!left.wait().unwrap().success());
    assert!(!folder.exists());
}
