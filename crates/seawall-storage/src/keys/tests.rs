use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use seawall_base::SeededRng;

use super::*;

const NONCE: [u8; 12] = [7; 12];

fn open(folder: &Path) -> Result<KeyRing> {
    KeyRing::open(folder, Arc::new(SeededRng::new(1)))
}

fn subjects(ring: &KeyRing, ids: &[&str]) -> Vec<Subject> {
    ids.iter().map(|id| ring.subject("customer_id", id)).collect()
}

fn sealed(key: &SubjectKey, text: &[u8]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    key.seal(NONCE, b"about", &mut bytes, 0).unwrap();
    bytes
}

fn kept(ring: &KeyRing, number: KeyNumber) -> SubjectKey {
    match ring.key(number).unwrap() {
        Key::Kept(key) => key,
        Key::Destroyed(at) => panic!("destroyed at {at}"),
    }
}

#[tokio::test]
async fn keys_survive_and_open_what_they_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let ring = open(folder.path()).unwrap();
    let ids = subjects(&ring, &["ada", "bob", "ada"]);
    let keys = ring.ensure(&ids).await.unwrap();
    assert_eq!(keys[0].number(), keys[2].number());
    assert_ne!(keys[0].number(), keys[1].number());
    let sealed = sealed(&keys[0], b"ada@example.org");
    drop(ring);
    let ring = open(folder.path()).unwrap();
    assert_eq!(ring.ensure(&ids).await.unwrap()[1].number(), keys[1].number());
    let mut bytes = sealed.clone();
    assert_eq!(kept(&ring, keys[0].number()).open(NONCE, b"about", &mut bytes).unwrap(), b"ada@example.org");
    let mut bytes = sealed.clone();
    let error = kept(&ring, keys[1].number()).open(NONCE, b"about", &mut bytes).unwrap_err();
    assert_eq!(error.code(), "SW1605");
    let mut bytes = sealed;
    assert_eq!(kept(&ring, keys[0].number()).open(NONCE, b"other", &mut bytes).unwrap_err().code(), "SW1605");
}

#[tokio::test]
async fn destroyed_keys_are_gone_from_every_file_and_their_subjects_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    let ring = open(folder.path()).unwrap();
    let ids = subjects(&ring, &["ada", "bob"]);
    let keys = ring.ensure(&ids).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::copy(folder.path().join("ring"), copy.path().join("ring")).unwrap();
    let at = Instant(5_000_000);
    assert_eq!(ring.destroy(&ids[..1], at).unwrap(), [keys[0].number()]);
    assert_eq!(ring.destroy(&ids[..1], at).unwrap(), []);
    assert_eq!(ring.count(), Count { kept: 1, destroyed: 1 });
    assert!(matches!(ring.key(keys[0].number()).unwrap(), Key::Destroyed(then) if then == at));
    let again = ring.ensure(&ids).await.unwrap();
    assert_eq!(again[0].number(), KeyNumber(2));
    assert_eq!(again[1].number(), keys[1].number());
    drop(ring);
    let ring = open(folder.path()).unwrap();
    assert!(matches!(ring.key(keys[0].number()).unwrap(), Key::Destroyed(then) if then == at));
    assert_eq!(kept(&ring, KeyNumber(2)).secret(), again[0].secret());
    assert_eq!(ring.count(), Count { kept: 2, destroyed: 1 });
    // An earlier copy of the ring is of no use beside the key of afterwards.
    fs::copy(folder.path().join("installation.key"), copy.path().join("installation.key")).unwrap();
    assert_eq!(open(copy.path()).unwrap_err().code(), "SW1602");
}

#[tokio::test]
async fn others_see_what_the_owner_made() {
    let folder = tempfile::tempdir().unwrap();
    let ring = open(folder.path()).unwrap();
    let other = KeyRing::look(folder.path(), Arc::new(SeededRng::new(2))).unwrap();
    let ids = subjects(&ring, &["ada"]);
    assert_eq!(subjects(&other, &["ada"]), ids);
    let keys = ring.ensure(&ids).await.unwrap();
    assert_eq!(kept(&other, keys[0].number()).secret(), keys[0].secret());
    assert_eq!(other.key(KeyNumber(9)).unwrap_err().code(), "SW1604");
    assert_eq!(other.destroy(&ids, Instant(0)).unwrap_err().code(), "SW0400");
    assert_eq!(open(folder.path()).unwrap_err().code(), "SW0400");
}

#[tokio::test]
async fn concurrent_callers_get_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let ring = open(folder.path()).unwrap();
    let mut tasks = Vec::new();
    for caller in 0..32 {
        let ring = ring.clone();
        let ids = subjects(&ring, &["shared", &format!("own {caller}")]);
        tasks.push(tokio::spawn(async move { ring.ensure(&ids).await.unwrap()[0].number() }));
    }
    let mut numbers = HashSet::new();
    for task in tasks {
        numbers.insert(task.await.unwrap());
    }
    assert_eq!(numbers.len(), 1);
    drop(ring);
    assert_eq!(open(folder.path()).unwrap().count(), Count { kept: 33, destroyed: 0 });
}

/// A change of the installation key that stops after each of its steps leaves a ring that opens, and one key in the end.
#[tokio::test]
async fn a_crash_during_an_erasure_leaves_the_keys_of_before_or_of_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let ring = open(folder.path()).unwrap();
    let ids = subjects(&ring, &["ada", "bob"]);
    ring.ensure(&ids).await.unwrap();
    drop(ring);
    let path = |name: &str| folder.path().join(name);
    let before = (fs::read(path("ring")).unwrap(), fs::read_to_string(path("installation.key")).unwrap());
    let ring = open(folder.path()).unwrap();
    ring.destroy(&ids[..1], Instant(1)).unwrap();
    drop(ring);
    let after = (fs::read(path("ring")).unwrap(), fs::read_to_string(path("installation.key")).unwrap());
    let words = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (words(&before.1), words(&after.1));
    let both = with_checksum(&format!("{} {} {} {}", old[0], old[1], old[2], new[2]));
    for (ring, kept) in [(&before.0, 2), (&after.0, 1)] {
        fs::write(path("ring"), ring).unwrap();
        fs::write(path("installation.key"), &both).unwrap();
        assert_eq!(open(folder.path()).unwrap().count().kept, kept);
        let settled = fs::read_to_string(path("installation.key")).unwrap();
        assert_eq!(settled.split_ascii_whitespace().count(), 4);
    }
}

#[tokio::test]
async fn a_torn_end_is_left_out_and_damage_before_it_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let ring = open(folder.path()).unwrap();
    ring.ensure(&subjects(&ring, &["ada", "bob", "cleo"])).await.unwrap();
    drop(ring);
    let path = folder.path().join("ring");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 30]).unwrap();
    let ring = open(folder.path()).unwrap();
    assert_eq!(ring.count().kept, 2);
    let keys = ring.ensure(&subjects(&ring, &["dora"])).await.unwrap();
    assert_eq!(keys[0].number(), KeyNumber(2));
    drop(ring);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() - file::RECORD_BYTES {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(open(folder.path()).unwrap_err().code(), "SW1602", "byte {at}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(open(folder.path()).unwrap().count().kept, 3);
}

#[tokio::test]
async fn the_files_are_private_and_tell_no_subject() {
    let folder = tempfile::tempdir().unwrap();
    let ring = open(folder.path()).unwrap();
    ring.ensure(&subjects(&ring, &["ada@example.org"])).await.unwrap();
    drop(ring);
    for name in ["ring", "installation.key"] {
        let path = folder.path().join(name);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(3).any(|window| window == b"ada"), "{name}");
    }
    let key = folder.path().join("installation.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(open(folder.path()).unwrap_err().code(), "SW1601");
    fs::remove_file(&key).unwrap();
    assert_eq!(open(folder.path()).unwrap_err().code(), "SW1602");
}

#[tokio::test]
async fn a_copy_restores_the_ring_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, shown) = (folder.path().join("keys"), "the copy");
    assert_eq!(copy(&keys).unwrap(), None);
    let ring = open(&keys).unwrap();
    let ids = subjects(&ring, &["ada", "bob"]);
    let made = ring.ensure(&ids).await.unwrap();
    let before = copy(&keys).unwrap().unwrap();
    check_copy(shown, &before).unwrap();
    restore(shown, &before, &folder.path().join("first")).unwrap();
    assert_eq!(open(&folder.path().join("first")).unwrap().count(), Count { kept: 2, destroyed: 0 });
    ring.destroy(&ids[..1], Instant(1)).unwrap();
    let after = copy(&keys).unwrap().unwrap();
    restore(shown, &after, &folder.path().join("second")).unwrap();
    let second = open(&folder.path().join("second")).unwrap();
    assert_eq!(second.count(), Count { kept: 1, destroyed: 1 });
    assert_eq!(kept(&second, made[1].number()).secret(), made[1].secret());
    for at in 0..after.len() {
        let mut bytes = after.clone();
        bytes[at] ^= 1;
        assert_eq!(check_copy(shown, &bytes).unwrap_err().code(), "SW1607", "byte {at}");
        let refused = restore(shown, &bytes, &folder.path().join("third")).unwrap_err();
        assert_eq!(refused.code(), "SW1607", "byte {at}");
    }
    assert!(!folder.path().join("third").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Against a plain map: whatever is made, destroyed and reopened, each subject has the key that it should.
    #[test]
    fn the_ring_is_a_map(steps in prop::collection::vec((0u8..6, 0u8..4), 1..24)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut ring = open(folder.path()).unwrap();
        let mut expected: HashMap<u8, KeyNumber> = HashMap::new();
        let mut made = 0;
        for (id, what) in steps {
            let subject = ring.subject("k", &id.to_string());
            match what {
                0 => {
                    let destroyed = ring.destroy(&[subject], Instant(1)).unwrap();
                    prop_assert_eq!(destroyed, expected.remove(&id).into_iter().collect::<Vec<_>>());
                }
                1 => {
                    drop(ring);
                    ring = open(folder.path()).unwrap();
                }
                _ => {
                    let number = runtime.block_on(ring.ensure(&[subject])).unwrap()[0].number();
                    let known = *expected.entry(id).or_insert_with(|| { made += 1; KeyNumber(made - 1) });
                    prop_assert_eq!(number, known);
                }
            }
            let count = Count { kept: expected.len() as u64, destroyed: made - expected.len() as u64 };
            prop_assert_eq!(ring.count(), count);
        }
    }
}

fn with_checksum(line: &str) -> String {
    format!("{line} {:08x}\n", crc32c::crc32c(line.as_bytes()))
}

/// A bit that flips in any byte, or a file that ends anywhere, is told by whoever opens the ring, or makes no difference:
/// neither to the keys nor to who has which. What is cut off at the end looks like what a crash leaves.
#[tokio::test]
async fn damage_anywhere_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let ring = open(folder.path()).unwrap();
    let ids = subjects(&ring, &["ada", "bob", "cleo"]);
    ring.ensure(&ids).await.unwrap();
    ring.destroy(&ids[1..2], Instant(7)).unwrap();
    drop(ring);
    let state = |ring: &KeyRing| {
        let secret = |number| match ring.key(KeyNumber(number)).unwrap() {
            Key::Kept(key) => Some(*key.secret()),
            Key::Destroyed(_) => None,
        };
        (subjects(ring, &["ada", "bob", "cleo"]), [0, 1, 2].map(secret))
    };
    let look = || KeyRing::look(folder.path(), Arc::new(SeededRng::new(2)));
    let before = state(&look().unwrap());
    for name in ["ring", "installation.key"] {
        let path = folder.path().join(name);
        let whole = fs::read(&path).unwrap();
        for byte in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[byte] ^= 1 << bit;
                fs::write(&path, &damaged).unwrap();
                match look() {
                    Ok(ring) => assert_eq!(state(&ring), before, "bit {bit} of byte {byte} of {name} in silence"),
                    Err(error) => assert_eq!(error.code(), "SW1602", "{error}"),
                }
            }
        }
        fs::write(&path, whole).unwrap();
    }
}

/// A crash may leave zeros where a record was to be; a record that was written whole is never taken for that.
#[tokio::test]
async fn zeros_at_the_end_are_torn_and_a_flipped_bit_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let ring = open(folder.path()).unwrap();
    ring.ensure(&subjects(&ring, &["ada", "bob"])).await.unwrap();
    drop(ring);
    let path = folder.path().join("ring");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&path, &flipped).unwrap();
    assert_eq!(open(folder.path()).unwrap_err().code(), "SW1602");
    assert_eq!(fs::read(&path).unwrap(), flipped, "what is damaged is left as it is");
    let mut torn = whole.clone();
    let from = whole.len() - 50;
    torn[from..].fill(0);
    fs::write(&path, &torn).unwrap();
    assert_eq!(open(folder.path()).unwrap().count().kept, 1);
}

/// A file of the first format is read, and has a checksum once it was opened to write.
#[tokio::test]
async fn an_older_installation_key_gets_a_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let ring = open(folder.path()).unwrap();
    let ids = subjects(&ring, &["ada"]);
    ring.ensure(&ids).await.unwrap();
    drop(ring);
    let path = folder.path().join("installation.key");
    let now = fs::read_to_string(&path).unwrap();
    let words: Vec<&str> = now.split_ascii_whitespace().collect();
    fs::write(&path, format!("seawall-installation-key-v1 {} {}\n", words[1], words[2])).unwrap();
    let looked = KeyRing::look(folder.path(), Arc::new(SeededRng::new(2))).unwrap();
    assert!(looked.has(ids[0]));
    drop(open(folder.path()).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), now);
}
