use super::*;
use crate::torture::trace;

/// A trace with each line's strings in hex, as `strace` writes it.
fn traced(lines: &[&str]) -> Vec<Call> {
    let hexed: Vec<String> = lines.iter().map(|line| hexed(line)).collect();
    trace::read(&hexed.join("\n")).unwrap()
}

fn hexed(line: &str) -> String {
    // Quotes within a string are written as apostrophes here.
    let hex = |part: &str| part.replace('\'', "\"").bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let parts = line
        .split('"')
        .enumerate()
        .map(|(at, part)| if at % 2 == 1 { format!("\"{}\"", hex(part)) } else { part.to_owned() });
    parts.collect()
}

fn check(lines: &[&str], expected: &[&str]) {
    let audited = audit(&traced(lines), Path::new("/d"), &["n1".to_owned()]);
    let found = &audited.findings.examples;
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found}");
    }
}

const ASKED: &str = r#"1 recvfrom(9<socket:[5]>, "POST n1", 99, 0, NULL, NULL) = 7"#;
const LOGGED: &str = r#"2 pwrite64(7</d/log/s>, "..n1..", 6, 64) = 6"#;
const SYNCED: &str = "2 fdatasync(7</d/log/s>) = 0";
const ANSWERED: &str = r#"1 sendto(9<socket:[5]>, "HTTP/1.1 200 OK", 15, 0, NULL, 0) = 15"#;

#[test]
fn an_answer_follows_its_sync() {
    check(&[ASKED, LOGGED, SYNCED, ANSWERED], &[]);
    check(&[ASKED, LOGGED, ANSWERED, SYNCED], &["before a sync"]);
    check(&[ASKED, SYNCED, LOGGED, ANSWERED], &["before a sync"]);
    check(&[ASKED, ANSWERED, LOGGED, SYNCED], &["before it was written"]);
    let failed = "2 fdatasync(7</d/log/s>) = -1 EIO (Input/output error) (INJECTED)";
    check(&[ASKED, LOGGED, failed, ANSWERED], &["before a sync"]);
    check(&[ASKED, LOGGED, failed, SYNCED, ANSWERED], &["had failed"]);
    // The next group's failure is none of this one's.
    check(&[ASKED, LOGGED, SYNCED, failed, ANSWERED], &[]);
}

#[test]
fn a_name_follows_the_bytes_and_its_folder_follows_the_name() {
    let wrote = r#"3 write(8</d/x.tmp>, "abc", 3) = 3"#;
    let bytes = "3 fsync(8</d/x.tmp>) = 0";
    let renamed = r#"3 rename("/d/x.tmp", "/d/x") = 0"#;
    let folder = "3 fsync(8</d>) = 0";
    check(&[wrote, bytes, renamed, folder], &[]);
    check(&[wrote, renamed, bytes, folder], &["before its bytes"]);
    check(&[wrote, bytes, folder, renamed], &["folder of /d/x"]);
    check(&[wrote, bytes, renamed, r#"3 rename("/e/y.tmp", "/d/y") = 0"#, folder], &["folder of /d/x"]);
}

#[test]
fn a_commit_follows_its_data_files() {
    let data = r#"3 linkat(AT_FDCWD, "/d/t/p#0", AT_FDCWD, "/d/t/p", 0) = 0"#;
    let folder = "3 fsync(8</d/t>) = 0";
    let commit = r#"4 linkat(AT_FDCWD, "/d/t/_delta_log/1.json#0", AT_FDCWD, "/d/t/_delta_log/1.json", 0) = 0"#;
    let log = "4 fsync(8</d/t/_delta_log>) = 0";
    let written = r#"4 write(8</d/t/_delta_log/1.json#0>, "{'add':{'path':'p'}}", 20) = 20"#;
    let synced = "4 fsync(8</d/t/_delta_log/1.json#0>) = 0";
    check(&[data, folder, written, synced, commit, log], &[]);
    check(&[written, synced, commit, log, data, folder], &["before /d/t/p was there"]);
    check(&[data, written, synced, commit, log, folder], &["before the folder of /d/t/p"]);
}
