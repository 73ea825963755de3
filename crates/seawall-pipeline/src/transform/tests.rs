use std::collections::BTreeMap;

use proptest::prelude::*;
use seawall_base::{Cut, Hash, Instant, Offset, Partition, TableVersion};

use super::progress::{Done, Input, MARKS_MAX, Made, Progress, Run, Step, done_with};
use crate::frame::{Restore, Restored};

fn input(table: &str, version: u64, end: u64, rows: u64) -> Input {
    Input { table: table.into(), version: TableVersion(version), cut: Cut::of(Partition::LIVE, Offset(end)), rows }
}

fn step(done: Option<u64>, run: Option<Vec<Input>>) -> Step {
    let done = done.map(|end| Done { table: "t".into(), cut: Cut::of(Partition::LIVE, Offset(end)) });
    let (started_at, ended_at, revision) = (Instant(0), Instant(1), Hash::of(b"r"));
    let run = run.map(|inputs| Run { started_at, ended_at, revision, inputs, made: Made::default() });
    Step { transform: "x".into(), definition: Hash::of(b"d"), done, run }
}

fn restore(tables: &[(&str, u64)]) -> Restore {
    let restored = |kept_end: u64| Restored { kept_end, version_before: TableVersion(9) };
    let tables: BTreeMap<String, Restored> =
        tables.iter().map(|(name, end)| ((*name).to_owned(), restored(*end))).collect();
    Restore { at: Instant(0), reason: "test".into(), tables }
}

#[test]
fn a_transform_is_due_when_its_inputs_show_other_rows() {
    let mut progress = Progress::default();
    let definition = Hash::of(b"d");
    let now = [input("t", 3, 10, 8)];
    assert!(progress.is_due(definition, &now));
    progress.note(&step(Some(4), None), Offset(20));
    assert!(progress.is_due(definition, &now), "no run came to its end");
    progress.note(&step(Some(10), Some(now.to_vec())), Offset(20));
    assert!(!progress.is_due(definition, &now));
    assert!(!progress.is_due(definition, &[input("t", 4, 10, 8)]), "files were merged");
    assert!(progress.is_due(definition, &[input("t", 4, 10, 7)]), "a row was erased");
    assert!(progress.is_due(definition, &[input("t", 4, 12, 8)]), "rows came");
    assert!(progress.is_due(definition, &[now[0].clone(), input("u", 1, 1, 1)]));
    assert!(progress.is_due(Hash::of(b"other"), &now));
}

#[test]
fn a_restore_takes_progress_back_with_the_rows() {
    let mut progress = Progress::default();
    for (done, end) in [(5, 100), (9, 200), (14, 300)] {
        progress.note(&step(Some(done), None), Offset(end));
    }
    // A frame without rows ends where the one before does, and counts in its place.
    progress.note(&step(Some(20), Some(vec![input("t", 3, 20, 8)])), Offset(300));
    let done = |progress: &Progress| progress.done["t"].end(Partition::LIVE).0;
    assert_eq!(done(&progress), 20);

    let mut of_inputs = progress.clone();
    of_inputs.withdraw("made", &restore(&[("t", 12)]));
    assert!(of_inputs.is_due(Hash::of(b"d"), &[input("t", 3, 20, 8)]));
    assert_eq!(done(&of_inputs), 20, "the rows of the dataset stay, and so does what they were made of");

    let mut of_others = progress.clone();
    of_others.withdraw("made", &restore(&[("u", 12)]));
    assert!(!of_others.is_due(Hash::of(b"d"), &[input("t", 3, 20, 8)]));

    progress.withdraw("made", &restore(&[("made", 250)]));
    assert_eq!(done(&progress), 9);
    progress.withdraw("made", &restore(&[("made", 0)]));
    assert_eq!((done(&progress), progress.is_lost), (0, false), "everything is made again");
}

#[test]
fn what_was_forgotten_is_known_to_be() {
    let mut progress = Progress::default();
    for n in 1..=MARKS_MAX as u64 + 5 {
        progress.note(&step(Some(n), None), Offset(n * 10));
    }
    let mut near = progress.clone();
    near.withdraw("made", &restore(&[("made", 70)]));
    assert_eq!((near.done["t"].end(Partition::LIVE).0, near.is_lost), (7, false));
    progress.withdraw("made", &restore(&[("made", 30)]));
    assert!(progress.is_lost);
    progress.note(&step(Some(9), Some(vec![input("t", 3, 20, 8)])), Offset(9_000));
    assert!(!progress.is_lost, "a run that came to its end knows again");
}

proptest! {
    /// Noting the steps of a log again gives the same progress, wherever a checkpoint cut it: also through JSON.
    #[test]
    fn progress_is_a_function_of_the_log(steps in prop::collection::vec((0u64..50, any::<bool>(), 0u64..3), 0..40), cut in 0usize..40) {
        let mut whole = Progress::default();
        let mut resumed = Progress::default();
        let mut end = 0;
        for (at, (done, is_last, rows)) in steps.into_iter().enumerate() {
            end += rows;
            let step = step(Some(done), is_last.then(|| vec![input("t", done, done, done)]));
            whole.note(&step, Offset(end));
            resumed.note(&step, Offset(end));
            if at == cut {
                resumed = serde_json::from_str(&serde_json::to_string(&resumed).unwrap()).unwrap();
            }
        }
        prop_assert_eq!(whole, resumed);
    }

    /// What is done after a batch: every row up to its last one in the order of identity, and none behind it.
    #[test]
    fn done_covers_exactly_the_rows_up_to_the_last(
        after in prop::collection::btree_map(0u32..4, 0u64..6, 0..4),
        more in prop::collection::btree_map(0u32..4, 1u64..6, 1..4),
        pick in any::<prop::sample::Index>(),
    ) {
        let cut = |ends: &BTreeMap<u32, u64>| ends.iter().map(|(p, end)| (Partition(*p), Offset(*end))).collect::<Cut>();
        let after = cut(&after);
        let mut until = after.clone();
        more.iter().for_each(|(p, rows)| until.advance(Partition(*p), Offset(after.end(Partition(*p)).0 + rows)));
        let new: Vec<(u32, u64)> = until
            .iter()
            .flat_map(|(p, end)| (after.end(p).0..end.0).map(move |offset| (p.0, offset)))
            .collect();
        let last = new[pick.index(new.len())];
        let done = done_with(&after, &until, Partition(last.0), Offset(last.1));
        for row in &new {
            let is_done = done.end(Partition(row.0)).0 > row.1;
            prop_assert_eq!(is_done, *row <= last, "{:?} of {:?}", row, new);
        }
    }
}
