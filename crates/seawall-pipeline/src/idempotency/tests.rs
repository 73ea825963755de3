use proptest::prelude::*;

use super::*;

fn request(key: &str, body: u8) -> RequestKey {
    RequestKey::new(key, Hash::of(&[body])).unwrap()
}

fn note(answers: &mut Answers, producer: &str, request: &RequestKey, at: i64, entry: u64) {
    let answer = request.answered(producer, Instant(at));
    answers.note("events", &answer, Counts::default(), entry, Offset(entry * 10));
}

fn small(scope_keys_max: usize, keys_max: usize) -> Answers {
    Answers { limits: Limits { scope_keys_max, keys_max }, ..Answers::default() }
}

#[test]
fn keys_are_scoped_by_producer_and_dataset() {
    let mut answers = Answers::default();
    note(&mut answers, "ada", &request("k", 1), 0, 7);
    let find =
        |dataset: &str, producer: &str, body: u8| answers.find(dataset, producer, &request("k", body), Instant(1));
    assert_eq!(find("events", "ada", 1).unwrap().unwrap().entry, 7);
    assert_eq!(find("events", "bob", 2).unwrap(), None);
    assert_eq!(find("orders", "ada", 2).unwrap(), None);
    assert_eq!(find("events", "ada", 2).unwrap_err().code(), "SW1204");
}

#[test]
fn a_key_is_free_again_after_the_horizon() {
    let mut answers = Answers::default();
    note(&mut answers, "ada", &request("k", 1), 0, 7);
    let late = Instant(HORIZON.0);
    assert!(answers.find("events", "ada", &request("k", 1), late).unwrap().is_some());
    let later = Instant(HORIZON.0 + 1);
    assert_eq!(answers.find("events", "ada", &request("k", 2), later).unwrap(), None);
    note(&mut answers, "ada", &request("k", 2), later.0, 9);
    assert_eq!(answers.find("events", "ada", &request("k", 2), later).unwrap().unwrap().entry, 9);
    assert_eq!(answers.len(), 1);
}

#[test]
fn the_greediest_producer_forgets_first() {
    let mut answers = small(100, 10);
    note(&mut answers, "modest", &request("mine", 1), 0, 0);
    for i in 0..50 {
        note(&mut answers, "greedy", &request(&format!("k{i}"), 1), 1 + i, 1 + i as u64);
    }
    assert_eq!(answers.len(), 10);
    assert!(answers.find("events", "modest", &request("mine", 1), Instant(60)).unwrap().is_some());
    assert!(answers.find("events", "greedy", &request("k49", 1), Instant(60)).unwrap().is_some());
    assert!(answers.find("events", "greedy", &request("k0", 1), Instant(60)).unwrap().is_none());
}

#[test]
fn withdrawn_requests_may_be_sent_again() {
    let mut answers = Answers::default();
    note(&mut answers, "ada", &request("kept", 1), 0, 1);
    note(&mut answers, "ada", &request("gone", 1), 0, 2);
    answers.withdraw("orders", 0);
    assert_eq!(answers.len(), 2);
    answers.withdraw("events", 10);
    assert!(answers.find("events", "ada", &request("kept", 1), Instant(1)).unwrap().is_some());
    assert!(answers.find("events", "ada", &request("gone", 2), Instant(1)).unwrap().is_none());
    note(&mut answers, "ada", &request("gone", 2), 2, 3);
    assert_eq!(answers.len(), 2);
}

#[test]
fn unusable_keys_are_refused() {
    for key in ["", "with space", "line\nfeed", "umlaut-\u{e4}", &"x".repeat(KEY_BYTES_MAX + 1)] {
        assert_eq!(RequestKey::new(key, Hash::of(b"")).unwrap_err().code(), "SW1203", "{key:?}");
    }
    RequestKey::new(&"x".repeat(KEY_BYTES_MAX), Hash::of(b"")).unwrap();
}

/// What is remembered, written down the simple way: a list in order of arrival.
#[derive(Default)]
struct Oracle {
    list: Vec<(usize, u8, u8, i64, u64)>,
}

impl Oracle {
    fn note(&mut self, producer: usize, key: u8, body: u8, at: i64, entry: u64, scope_keys_max: usize) {
        self.list.retain(|one| one.0 != producer || (at - one.3 <= HORIZON.0 && one.1 != key));
        self.list.push((producer, key, body, at, entry));
        while self.list.iter().filter(|one| one.0 == producer).count() > scope_keys_max {
            let oldest = self.list.iter().position(|one| one.0 == producer).unwrap();
            self.list.remove(oldest);
        }
    }

    fn find(&self, producer: usize, key: u8, now: i64) -> Option<(u8, u64)> {
        let known = self.list.iter().find(|one| one.0 == producer && one.1 == key)?;
        (now - known.3 <= HORIZON.0).then_some((known.2, known.4))
    }
}

proptest! {
    #[test]
    fn the_index_agrees_with_a_list(
        steps in prop::collection::vec((0usize..3, 0u8..6, 0u8..2, 0i64..HORIZON.0 / 3), 1..80),
        scope_keys_max in 1usize..5,
    ) {
        let mut answers = small(scope_keys_max, KEYS_MAX);
        let mut oracle = Oracle::default();
        let mut now = 0;
        for (entry, (producer, key, body, pause)) in steps.into_iter().enumerate() {
            now += pause;
            let (name, request) = (format!("p{producer}"), request(&format!("k{key}"), body));
            let found = answers.find("events", &name, &request, Instant(now));
            match oracle.find(producer, key, now) {
                None => {
                    prop_assert!(found.unwrap().is_none());
                    note(&mut answers, &name, &request, now, entry as u64);
                    oracle.note(producer, key, body, now, entry as u64, scope_keys_max);
                }
                Some((known, at)) if known == body => prop_assert_eq!(found.unwrap().unwrap().entry, at),
                Some(_) => prop_assert_eq!(found.unwrap_err().code(), "SW1204"),
            }
        }
    }
}
