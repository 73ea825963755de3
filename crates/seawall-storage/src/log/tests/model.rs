//! Random histories against a vector.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append {
        rows: u32,
        length: usize,
    },
    AppendTogether {
        lengths: Vec<usize>,
    },
    Read {
        from: u64,
        entries_max: usize,
    },
    Reopen,
    /// The process dies: the next opening sees what lies in the folder, end mark or not.
    Kill,
    Retire {
        entry: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![0..200usize, 0..3_000usize, 3_900..9_000usize];
    let step = prop_oneof![
        4 => (0..5u32, length.clone()).prop_map(|(rows, length)| Step::Append { rows, length }),
        2 => prop::collection::vec(length, 1..12).prop_map(|lengths| Step::AppendTogether { lengths }),
        3 => (0..120u64, 0..20usize).prop_map(|(from, entries_max)| Step::Read { from, entries_max }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => (0..120u64).prop_map(|entry| Step::Retire { entry }),
    ];
    prop::collection::vec(step, 1..40)
}

async fn run(steps: Vec<Step>) {
    let root = scratch();
    let mut folder = root.path().join("0");
    let mut log = open(&folder);
    let mut oracle: Vec<(u32, Bytes)> = Vec::new();
    let mut retired = 0u64;
    for (i, step) in steps.into_iter().enumerate() {
        match step {
            Step::Append { rows, length } => {
                let payload = Bytes::from(vec![i as u8; length]);
                let first: u64 = oracle.iter().map(|(rows, _)| u64::from(*rows)).sum();
                let appended = log.append(rows, payload.clone()).await.unwrap();
                assert_eq!((appended.entry, appended.first), (oracle.len() as u64, Offset(first)));
                oracle.push((rows, payload));
            }
            Step::AppendTogether { lengths } => {
                let payloads: Vec<Bytes> =
                    lengths.into_iter().map(|length| Bytes::from(vec![!(i as u8); length])).collect();
                // Polled in order, so they enter the queue in order.
                let appends = payloads.iter().map(|payload| log.append(1, payload.clone()));
                let appended = join_all(appends).await;
                for (appended, payload) in appended.into_iter().zip(payloads) {
                    assert_eq!(appended.entry, oracle.len() as u64);
                    oracle.push((1, payload));
                }
            }
            Step::Read { from, entries_max } => check_read(&log, &oracle, retired, from, entries_max).await,
            Step::Reopen => {
                drop(log);
                log = open(&folder);
            }
            Step::Kill => {
                let copy = root.path().join(format!("{}", i + 1));
                copy_folder(&folder, &copy);
                drop(log);
                folder = copy;
                log = open(&folder);
            }
            Step::Retire { entry } => {
                log.retire(entry).await.unwrap();
                let first = log.extent().first_entry;
                assert!((retired..=retired.max(entry)).contains(&first), "{first} of {entry}");
                retired = first;
            }
        }
        assert_eq!(log.durable_end().0, oracle.len() as u64);
    }
    let rows: u64 = oracle.iter().map(|(rows, _)| u64::from(*rows)).sum();
    assert_eq!(log.durable_end().1, Offset(rows));
    for from in retired..oracle.len() as u64 {
        check_read(&log, &oracle, retired, from, 3).await;
    }
}

async fn check_read(log: &DurableLog, oracle: &[(u32, Bytes)], retired: u64, from: u64, entries_max: usize) {
    let read = log.read(from, entries_max).await;
    if from < retired && from < oracle.len() as u64 && entries_max > 0 {
        assert_eq!(read.unwrap_err().code(), "SW0409");
        return;
    }
    let read = read.unwrap();
    let expected: Vec<_> = oracle.iter().skip(from as usize).take(entries_max).collect();
    assert!(read.len() <= expected.len() && read.is_empty() == expected.is_empty());
    for (entry, (rows, payload)) in read.iter().zip(expected) {
        assert_eq!((entry.rows, &entry.payload), (*rows, payload));
    }
}

/// Polls all futures in order until each is done.
async fn join_all<F: Future<Output = seawall_base::error::Result<seawall_base::Appended>>>(
    futures: impl Iterator<Item = F>,
) -> Vec<seawall_base::Appended> {
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, done) in &mut futures {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(appended) => *done = Some(appended.unwrap()),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    futures.into_iter().map(|(_, done)| done.unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_history_reads_like_a_vector(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(steps));
    }
}
