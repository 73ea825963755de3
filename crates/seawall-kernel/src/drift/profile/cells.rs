//! The population stability index of two rows of counts.
//!
//! Two things make the textbook's index unreliable, and are mended here: bins in which hardly a row is expected (they
//! are joined with their neighbours), and bins that are empty on one side (half a row is added to each side, and no
//! share counts as less than [`FLOOR`]). So the index of samples without drift follows its distribution from 30 rows
//! on, and a single row of a kind never seen before cannot raise it beyond any tolerance.

/// Least share that a bin is taken to have on either side.
pub const FLOOR: f64 = 0.001;
/// Least number of rows expected in a bin, on both sides.
const EXPECTED_MIN: f64 = 3.0;
/// Rows added to each bin on each side.
const ADDED: f64 = 0.5;

/// Joins bins, given as counts of reference and window, until each is large enough. Bins that the reference does not
/// have are joined with each other only: what is new must not hide in what is known. Bins without rows are left out.
pub(super) fn groups(cells: &[(u64, u64)], n: u64, m: u64) -> Vec<(u64, u64)> {
    let share = |count: u64| count as f64 / n.max(1) as f64;
    let smaller = n.min(m) as f64;
    let mut unseen = (0, 0);
    let mut known: Vec<(u64, u64)> = Vec::with_capacity(cells.len());
    let mut open = (0, 0);
    for cell in cells {
        if share(cell.0) < FLOOR {
            unseen = add(unseen, *cell);
            continue;
        }
        open = add(open, *cell);
        if share(open.0) * smaller >= EXPECTED_MIN {
            known.push(std::mem::take(&mut open));
        }
    }
    match known.last_mut() {
        Some(last) => *last = add(*last, open),
        None => known.push(open),
    }
    known.push(unseen);
    known.retain(|group| *group != (0, 0));
    known
}

fn add(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0 + b.0, a.1 + b.1)
}

/// The index of groups of bins, for `n` and `m` values in all.
pub(super) fn psi(groups: &[(u64, u64)], n: u64, m: u64) -> f64 {
    if n == 0 || m == 0 || groups.len() < 2 {
        return 0.0;
    }
    let added = ADDED * groups.len() as f64;
    let share = |count: u64, all: u64| ((count as f64 + ADDED) / (all as f64 + added)).max(FLOOR);
    let terms = groups.iter().map(|(reference, window)| {
        let (p, q) = (share(*reference, n), share(*window, m));
        (q - p) * (q / p).ln()
    });
    terms.sum()
}
