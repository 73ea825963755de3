//! What becomes of a call to a port: a function of the seed, the place and the number of the call there.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Where faults come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An append to the log.
    LogAppend,
    /// An append to a table.
    TableAppend,
    /// A look at the newest version of a table.
    TableSnapshot,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It does what it should.
    Done,
    /// It fails, and has done nothing.
    Refused,
    /// It has done everything, and fails: the answer is lost.
    DoneAndFailed,
    /// The process dies before it.
    DiesBefore,
    /// The process dies after it, before anybody hears of it.
    DiesAfter,
}

/// Decides, and keeps a hash of everything that happened.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: BTreeMap<Place, u64>,
    /// Chance of a fault in a hundred calls, by place.
    storm: BTreeMap<Place, u64>,
    dead: bool,
    traces: BTreeMap<&'static str, blake3::Hasher>,
    injected: u64,
}

impl Faults {
    /// No storm yet.
    pub fn new(seed: u64) -> Faults {
        Faults { seed, inner: Mutex::default() }
    }

    /// From now on a call at `place` fails with this chance in a hundred.
    pub fn storm(&self, place: Place, percent: u64) {
        self.inner.lock().storm.insert(place, percent);
    }

    /// Ends every storm.
    pub fn calm(&self) {
        self.inner.lock().storm.clear();
    }

    /// What becomes of the next call at `place`.
    pub fn next(&self, place: Place) -> Fate {
        let mut inner = self.inner.lock();
        let number = inner.calls.entry(place).or_default();
        *number += 1;
        let drawn = draw(self.seed, place, *number);
        let percent = inner.storm.get(&place).copied().unwrap_or(0);
        let fate = if drawn % 100 < percent { kind(place, drawn / 100) } else { Fate::Done };
        inner.injected += u64::from(fate != Fate::Done);
        inner.dead |= fate == Fate::DiesBefore || (fate == Fate::DiesAfter);
        fate
    }

    /// Whether the process is to die now; asking revives it.
    pub fn take_death(&self) -> bool {
        std::mem::take(&mut self.inner.lock().dead)
    }

    /// Whether the process is to die now.
    pub fn is_dead(&self) -> bool {
        self.inner.lock().dead
    }

    /// Adds to the history. Each `line` of events is ordered in itself; two lines may run side by side.
    pub fn trace(&self, line: &'static str, what: &str) {
        let mut inner = self.inner.lock();
        let hasher = inner.traces.entry(line).or_default();
        hasher.update(what.as_bytes());
        hasher.update(b"\n");
    }

    /// The hash of the whole history.
    pub fn hash(&self) -> String {
        let inner = self.inner.lock();
        let mut all = blake3::Hasher::new();
        for (line, hasher) in &inner.traces {
            all.update(line.as_bytes());
            all.update(hasher.finalize().as_bytes());
        }
        all.finalize().to_hex().to_string()
    }

    /// Calls that did not simply do what they should.
    pub fn injected(&self) -> u64 {
        self.inner.lock().injected
    }
}

fn draw(seed: u64, place: Place, number: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&[place as u8]);
    hasher.update(&number.to_le_bytes());
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("eight bytes"))
}

fn kind(place: Place, drawn: u64) -> Fate {
    let kinds: &[Fate] = match place {
        Place::LogAppend => &[Fate::Refused, Fate::DoneAndFailed, Fate::DiesBefore, Fate::DiesAfter],
        Place::TableAppend => {
            &[Fate::Refused, Fate::Refused, Fate::DoneAndFailed, Fate::DoneAndFailed, Fate::DiesBefore, Fate::DiesAfter]
        }
        Place::TableSnapshot => &[Fate::Refused],
    };
    kinds[(drawn % kinds.len() as u64) as usize]
}
