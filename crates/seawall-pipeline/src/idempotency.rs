//! Idempotency: requests that were answered before, by the key that their producer gave them.
//!
//! The frame of a request holds its key and its answer, so that this index is a function of the log: a restart rebuilds
//! it. It keeps where the answer stands, not the answer. A key is remembered for [`HORIZON`] after the request's
//! arrival, as far as [`KEYS_PER_SCOPE_MAX`] and [`KEYS_MAX`] allow; who sends the most keys is the first to have its
//! oldest ones forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Hash, Instant, Offset, Span};
use seawall_catalog::Counts;
use serde::{Deserialize, Serialize, Serializer};

use crate::frame::Answer;

#[cfg(test)]
mod tests;

/// How long a key is remembered.
pub const HORIZON: Span = Span::DAY;
/// Keys that are remembered of one producer and dataset.
pub const KEYS_PER_SCOPE_MAX: usize = 1 << 16;
/// Keys that are remembered altogether.
pub const KEYS_MAX: usize = 1 << 20;
/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 255;

/// The key that a producer gives a request, with the hash of what it sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    key: String,
    body: Hash,
}

impl RequestKey {
    /// A key of 1 to [`KEY_BYTES_MAX`] visible ASCII characters, for a request with this body.
    pub fn new(key: &str, body: Hash) -> Result<RequestKey> {
        let wellformed = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        if !wellformed {
            return Err(Error::invalid("SW1203", "the idempotency key is not usable").hint(format!(
                "send 1 to {KEY_BYTES_MAX} visible ASCII characters that are unique per request, for example a UUID"
            )));
        }
        Ok(RequestKey { key: key.to_owned(), body })
    }

    /// The answer's record for the log, still without what was told.
    pub(crate) fn answered(&self, producer: &str, at: Instant) -> Answer {
        Answer {
            producer: producer.to_owned(),
            key: self.key.clone(),
            body: self.body,
            at,
            rows: Vec::new(),
            warnings: Vec::new(),
            unknown_columns: Vec::new(),
        }
    }
}

/// An answer that was given: where it stands in the log, and what stands for it when that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Hash of the dataset's name.
    dataset: u64,
    /// First half of the hash of the request's body.
    body: u128,
    /// When the request arrived.
    at: Instant,
    /// Ordinal of its log entry.
    pub entry: u64,
    /// The offset after its last row.
    pub end: Offset,
    /// What became of its rows.
    pub counts: Counts,
}

/// The answers that were given within the horizon. A checkpoint holds them as a list of [`Kept`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "Vec<Kept>")]
pub struct Answers {
    given: HashMap<u128, Given>,
    /// Keys by scope, oldest first.
    scopes: BTreeMap<u128, VecDeque<u128>>,
    /// Scopes by how many keys they have.
    sizes: BTreeSet<(usize, u128)>,
    /// Greatest numbers of keys, of one scope and altogether.
    limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    scope_keys_max: usize,
    keys_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { scope_keys_max: KEYS_PER_SCOPE_MAX, keys_max: KEYS_MAX }
    }
}

/// One answer in a checkpoint. Hashes are written as two numbers of 64 bits, the upper half first: JSON has no larger ones.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    scope: [u64; 2],
    key: [u64; 2],
    dataset: u64,
    body: [u64; 2],
    at: Instant,
    entry: u64,
    end: Offset,
    counts: Counts,
}

impl Serialize for Answers {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let kept = self.scopes.iter().flat_map(|(scope, keys)| {
            keys.iter().filter_map(|key| {
                let Given { dataset, body, at, entry, end, counts } = *self.given.get(key)?;
                let (scope, key, body) = (halves(*scope), halves(*key), halves(body));
                Some(Kept { scope, key, dataset, body, at, entry, end, counts })
            })
        });
        serializer.collect_seq(kept)
    }
}

impl From<Vec<Kept>> for Answers {
    fn from(list: Vec<Kept>) -> Answers {
        let mut answers = Answers::default();
        for Kept { scope, key, dataset, body, at, entry, end, counts } in list {
            let key = whole(key);
            answers.given.insert(key, Given { dataset, body: whole(body), at, entry, end, counts });
            answers.change(whole(scope), |keys| keys.push_back(key));
        }
        answers
    }
}

fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}

fn whole([upper, lower]: [u64; 2]) -> u128 {
    u128::from(upper) << 64 | u128::from(lower)
}

impl Answers {
    /// The answer that `producer` got for this request to `dataset` before, if one is remembered.
    ///
    /// # Errors
    /// `SW1204` when the key was given to another request.
    pub fn find(&self, dataset: &str, producer: &str, request: &RequestKey, now: Instant) -> Result<Option<Given>> {
        let Some(given) = self.given.get(&id(dataset, producer, &request.key)) else { return Ok(None) };
        if now - given.at > HORIZON {
            return Ok(None);
        }
        if given.body == request.body.low128() {
            return Ok(Some(*given));
        }
        let message = format!("the idempotency key {:?} was used for another request to {dataset}", request.key);
        Err(Error::new(ErrorKind::Invalid, "SW1204", message)
            .hint("nothing of this request was kept; give every batch a key of its own, and repeat a batch unchanged"))
    }

    /// Remembers the answer in the frame of log entry `entry`, which ends at `end`.
    pub fn note(&mut self, dataset: &str, answer: &Answer, counts: Counts, entry: u64, end: Offset) {
        let scope = Hash::of_parts([dataset.as_bytes(), answer.producer.as_bytes()]).low128();
        let id = id(dataset, &answer.producer, &answer.key);
        self.forget_before(scope, answer.at);
        let dataset = name_hash(dataset);
        let given = Given { dataset, body: answer.body.low128(), at: answer.at, entry, end, counts };
        // A key that comes again after the horizon takes its new place.
        if self.given.insert(id, given).is_some() {
            self.change(scope, |keys| keys.retain(|known| *known != id));
        }
        self.change(scope, |keys| keys.push_back(id));
        while self.scopes.get(&scope).is_some_and(|keys| keys.len() > self.limits.scope_keys_max) {
            self.forget_oldest(scope);
        }
        while self.given.len() > self.limits.keys_max {
            let Some((_, largest)) = self.sizes.last().copied() else { break };
            self.forget_oldest(largest);
        }
    }

    /// Forgets the requests to `dataset` that took rows in behind `kept_end`.
    pub fn withdraw(&mut self, dataset: &str, kept_end: u64) {
        let dataset = name_hash(dataset);
        let is_withdrawn = |given: &Given| given.dataset == dataset && given.end.0 > kept_end;
        self.given.retain(|_, given| !is_withdrawn(given));
        let scopes: Vec<u128> = self.scopes.keys().copied().collect();
        let mut kept = std::mem::take(&mut self.given);
        for scope in scopes {
            self.change(scope, |keys| keys.retain(|key| kept.contains_key(key)));
        }
        std::mem::swap(&mut self.given, &mut kept);
    }

    /// Keys that are remembered.
    pub fn len(&self) -> usize {
        self.given.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    fn forget_before(&mut self, scope: u128, now: Instant) {
        while let Some(id) = self.scopes.get(&scope).and_then(|keys| keys.front()).copied() {
            if self.given.get(&id).is_some_and(|given| now - given.at <= HORIZON) {
                break;
            }
            self.forget_oldest(scope);
        }
    }

    fn forget_oldest(&mut self, scope: u128) {
        let mut oldest = None;
        self.change(scope, |keys| oldest = keys.pop_front());
        if let Some(id) = oldest {
            self.given.remove(&id);
        }
    }

    /// Changes a scope's keys and keeps `sizes` in step.
    fn change(&mut self, scope: u128, change: impl FnOnce(&mut VecDeque<u128>)) {
        let keys = self.scopes.entry(scope).or_default();
        let before = keys.len();
        change(keys);
        let after = keys.len();
        self.sizes.remove(&(before, scope));
        if after == 0 {
            self.scopes.remove(&scope);
        } else {
            self.sizes.insert((after, scope));
        }
    }
}

fn name_hash(dataset: &str) -> u64 {
    Hash::of(dataset.as_bytes()).low128() as u64
}

fn id(dataset: &str, producer: &str, key: &str) -> u128 {
    Hash::of_parts([dataset.as_bytes(), producer.as_bytes(), key.as_bytes()]).low128()
}
