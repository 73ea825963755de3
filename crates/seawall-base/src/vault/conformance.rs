//! What every [`Vault`] promises, as one suite that runs on each implementation. It panics with the broken promise as text.

use super::Vault;

/// Runs the whole suite on `vault`, which must be empty.
pub fn check_all(vault: &dyn Vault) {
    check_objects(vault);
    check_lists(vault);
    check_creators(vault);
    check_locks(vault);
}

fn check_objects(vault: &dyn Vault) {
    assert_eq!(vault.read("a/one").expect("reading answers"), None, "what was never written is not there");
    assert!(vault.create("a/one", b"first").expect("creating answers"), "a free name is taken");
    assert!(!vault.create("a/one", b"second").expect("creating answers"), "a name is taken once");
    assert_eq!(vault.read("a/one").expect("reading answers").as_deref(), Some(&b"first"[..]), "and nothing is changed");
    vault.replace("a/one", b"third").expect("replacing succeeds");
    assert_eq!(vault.read("a/one").expect("reading answers").as_deref(), Some(&b"third"[..]));
    for content in [&b"secret"[..], b"another"] {
        vault.replace_secret("keys", content).expect("replacing succeeds");
        assert_eq!(vault.read("keys").expect("reading answers").as_deref(), Some(content));
    }
    vault.replace("empty", b"").expect("replacing succeeds");
    assert_eq!(vault.read("empty").expect("reading answers").as_deref(), Some(&b""[..]), "nothing is an object, too");
    for _ in 0..2 {
        vault.remove("a/one").expect("removing succeeds, whether something is there or not");
        assert_eq!(vault.read("a/one").expect("reading answers"), None);
    }
}

fn check_lists(vault: &dyn Vault) {
    assert!(vault.list("none").expect("listing answers").is_empty(), "a folder without objects is empty");
    for number in 0..20 {
        vault.replace(&format!("list/{}/{number:02}", number % 3), &vec![0; number]).expect("replacing succeeds");
    }
    vault.replace("lists", b"no part of the folder").expect("replacing succeeds");
    let mut listed = vault.list("list").expect("listing answers");
    listed.sort();
    let mut expected: Vec<(String, u64)> =
        (0..20u64).map(|number| (format!("list/{}/{number:02}", number % 3), number)).collect();
    expected.sort();
    assert_eq!(listed, expected, "every object below the folder, with its length, and no other");
}

/// Of those who create an object at the same time one succeeds, and its bytes are there.
fn check_creators(vault: &dyn Vault) {
    for round in 0..4 {
        let name = format!("race/{round}");
        let won: Vec<u8> = std::thread::scope(|scope| {
            let create = |creator: u8| {
                let name = &name;
                scope.spawn(move || vault.create(name, &[creator; 9]).expect("creating answers").then_some(creator))
            };
            let creators: Vec<_> = (0..4).map(create).collect();
            creators.into_iter().filter_map(|creator| creator.join().expect("no creator dies")).collect()
        });
        assert_eq!(won.len(), 1, "one creator succeeds");
        assert_eq!(vault.read(&name).expect("reading answers"), Some(vec![won[0]; 9]), "and its bytes are there");
    }
}

fn check_locks(vault: &dyn Vault) {
    let held = vault.lock("one").expect("nobody holds the lock");
    let refused = vault.lock("two").expect_err("a lock is held once");
    assert_eq!(refused.code(), "SW1430", "{refused}");
    held.check().expect("nobody has taken it");
    drop(held);
    vault.lock("three").expect("a lock that was dropped is free").check().expect("and held again");
}
