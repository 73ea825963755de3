use super::*;

#[test]
fn calls_that_were_interrupted_are_put_together_again() {
    let text = "\
10 pwrite64(7<\\x2f\\x64\\x2f\\x6c\\x6f\\x67\\x2f\\x73>, \"\\x41\\x42\", 2, 64) = 2
11 fdatasync(7</d/log/s> <unfinished ...>
10 sendto(9<socket:[5]>, \"\\x48\", 1, MSG_NOSIGNAL, NULL, 0) = 1
11 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)
12 --- SIGTERM {si_signo=SIGTERM} ---
12 linkat(AT_FDCWD, \"\\x61\", AT_FDCWD, \"\\x62\", 0) = 0
13 +++ exited with 0 +++
";
    let calls = read(text).unwrap();
    let names: Vec<(&str, i64, usize, usize)> =
        calls.iter().map(|call| (call.name.as_str(), call.result, call.begun, call.ended)).collect();
    assert_eq!(names, [("pwrite64", 2, 0, 0), ("fdatasync", -1, 1, 3), ("sendto", 1, 2, 2), ("linkat", 0, 5, 5)]);
    assert_eq!(calls[0].path.as_deref(), Some("/d/log/s"));
    assert_eq!(calls[0].strings(), [b"AB".to_vec()]);
    assert_eq!(calls[1].path.as_deref(), Some("/d/log/s"));
    assert_eq!(calls[3].path, None);
    assert_eq!(calls[3].paths(), ["a", "b"]);
}
