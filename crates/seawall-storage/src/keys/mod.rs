//! The key ring: one key per subject, with which its personal fields are sealed, and which can be destroyed.
//!
//! Whoever holds a copy of the log, or of a backup of it, can read the fields of a subject only with the subject's key. So
//! destroying the key takes the fields out of every copy at once. The ring promises:
//!
//! - a key that [`KeyRing::ensure`] returned is durable: what is sealed with it can be opened after a power cut.
//! - a key that [`KeyRing::destroy`] destroyed is never given out again, and the files of the ring as they were before
//!   cannot be opened with those of afterwards: the installation key that wraps them changes too.
//! - a number of a key is never used twice. An unknown one is damage, never taken for a destroyed one.
//!
//! All keys are held in memory, about 120 bytes each, so that sealing asks nobody. The files are described in
//! `docs/formats.md`; a copy elsewhere ([`copy`]) must be replaced by whoever made it.

mod copy;
mod file;
mod installation;
mod seal;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Instant, Rng, durable};

pub use copy::{check_copy, copy, restore};
use file::{Contents, Record};
use installation::Installation;
pub use seal::{SubjectKey, TAG_BYTES};

use crate::folder_lock;

/// How often files that another process is replacing are read again.
const READS_MAX: usize = 5;
/// How often a key that is destroyed while it is asked for is made anew.
const ENSURES_MAX: usize = 5;

/// Number of a key: keys are counted from 0 in the order in which they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyNumber(pub u64);

/// A subject as the ring knows it: a keyed hash, so that the files do not tell who is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject([u8; 16]);

/// What became of a key.
#[derive(Debug, Clone)]
pub enum Key {
    /// It is there.
    Kept(SubjectKey),
    /// It was destroyed then.
    Destroyed(Instant),
}

/// What a ring holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// Keys that are there.
    pub kept: u64,
    /// Keys that were destroyed.
    pub destroyed: u64,
}

/// The keys of all subjects.
#[derive(Clone)]
pub struct KeyRing {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    rng: Arc<dyn Rng>,
    index: [u8; 32],
    known: RwLock<Known>,
    /// Subjects that wait for a key, of all callers: whoever writes next writes for all of them.
    waiting: Mutex<Vec<Subject>>,
    /// Absent when another process owns the folder.
    writer: Option<Mutex<Writer>>,
}

/// The keys that are durable.
#[derive(Default)]
struct Known {
    keys: Vec<Key>,
    numbers: HashMap<Subject, KeyNumber>,
}

struct Writer {
    file: File,
    end: u64,
    generation: u64,
    ring: u64,
    installation: Installation,
    /// Why nothing can be written any more: after a failed write the file may hold anything.
    poisoned: Option<String>,
    _lock: File,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Opens the ring in `folder`, making it when it is missing, and keeps other writers out.
    pub fn open(folder: &Path, rng: Arc<dyn Rng>) -> Result<KeyRing> {
        let lock = folder_lock::lock(folder)?;
        let mut installation = Installation::load_or_create(folder, rng.as_ref())?;
        let path = file::path(folder);
        if !path.exists() {
            let header = file::Header { ring: random_u64(rng.as_ref()), generation: 0, wrapped_by: installation.id() };
            replace(&path, &file::encode(header, &[], &installation, rng.as_ref())?)?;
        }
        let contents = file::read(&path, &mut installation)?;
        installation.settle(folder)?;
        installation.checked(folder)?;
        let ring = File::options().write(true).open(&path).map_err(|e| unavailable("open", &path, e))?;
        // What was torn by a crash was never used.
        ring.set_len(contents.end).map_err(|e| unavailable("shorten", &path, e))?;
        let header = contents.header;
        let index = installation.index();
        let writer = Writer {
            file: ring,
            end: contents.end,
            generation: header.generation,
            ring: header.ring,
            installation,
            poisoned: None,
            _lock: lock,
        };
        let (known, waiting) = (RwLock::new(Known::of(contents)), Mutex::default());
        let writer = Some(Mutex::new(writer));
        Ok(KeyRing { inner: Arc::new(Inner { folder: folder.to_owned(), rng, index, known, waiting, writer }) })
    }

    /// Looks at the ring in `folder` while another process may own it; an empty one when there is none.
    pub fn look(folder: &Path, rng: Arc<dyn Rng>) -> Result<KeyRing> {
        let (known, index) = read_known(folder)?;
        let (known, waiting) = (RwLock::new(known), Mutex::default());
        Ok(KeyRing { inner: Arc::new(Inner { folder: folder.to_owned(), rng, index, known, waiting, writer: None }) })
    }

    /// The subject of this kind with this id, such as `customer_id` and `c-17`.
    pub fn subject(&self, kind: &str, id: &str) -> Subject {
        let mut hasher = blake3::Hasher::new_keyed(&self.inner.index);
        hasher.update(&(kind.len() as u64).to_le_bytes());
        hasher.update(kind.as_bytes());
        hasher.update(id.as_bytes());
        let mut subject = [0; 16];
        subject.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Subject(subject)
    }

    /// The keys of subjects, in their order; new ones are made for those that have none, durably. Callers that wait at the
    /// same time share a sync.
    pub async fn ensure(&self, subjects: &[Subject]) -> Result<Vec<SubjectKey>> {
        for _ in 0..ENSURES_MAX {
            let missing = match self.find_all(subjects) {
                Ok(keys) => return Ok(keys),
                Err(missing) => missing,
            };
            let inner = self.inner.clone();
            let made = tokio::task::spawn_blocking(move || inner.make(missing));
            made.await.map_err(|e| Error::internal("SW1606", "making keys was cut off").because(e))??;
        }
        Err(Error::new(ErrorKind::Unavailable, "SW1603", "subjects are being erased as fast as their keys are made")
            .hint("send the rows again once the erasure has ended"))
    }

    /// The keys of subjects, or those subjects that have none.
    fn find_all(&self, subjects: &[Subject]) -> std::result::Result<Vec<SubjectKey>, Vec<Subject>> {
        let known = self.inner.known.read();
        let mut keys = Vec::with_capacity(subjects.len());
        let mut missing = Vec::new();
        for subject in subjects {
            match known.numbers.get(subject).and_then(|number| known.key(*number)) {
                Some(Key::Kept(key)) => keys.push(key.clone()),
                Some(Key::Destroyed(_)) | None => missing.push(*subject),
            }
        }
        if missing.is_empty() { Ok(keys) } else { Err(missing) }
    }

    /// What became of the key with this number; `Corrupt` when the ring never had it.
    pub fn key(&self, number: KeyNumber) -> Result<Key> {
        if let Some(key) = self.inner.known.read().key(number) {
            return Ok(key.clone());
        }
        if self.inner.writer.is_none() {
            // The owner may have made it since.
            let (known, _) = read_known(&self.inner.folder)?;
            *self.inner.known.write() = known;
        }
        self.inner.known.read().key(number).cloned().ok_or_else(|| {
            let folder = self.inner.folder.display();
            Error::corrupt("SW1604", format!("rows are sealed with key {}, which {folder} does not have", number.0))
                .hint("put the folder `keys` that belongs to this log back, from the data folder or a backup of it")
        })
    }

    /// Destroys the keys of subjects, durably; returns their numbers. Subjects without a key are passed over. Blocks on
    /// the disk, for as long as it takes to write the ring anew.
    pub fn destroy(&self, subjects: &[Subject], at: Instant) -> Result<Vec<KeyNumber>> {
        let inner = &self.inner;
        let mut writer = inner.writer()?.lock();
        writer.check()?;
        let mut known = Known::clone(&inner.known.read());
        let mut destroyed = Vec::new();
        for subject in subjects {
            if let Some(number) = known.numbers.remove(subject) {
                known.keys[number.0 as usize] = Key::Destroyed(at);
                destroyed.push(number);
            }
        }
        if destroyed.is_empty() {
            return Ok(destroyed);
        }
        let rewritten = writer.rewrite(&inner.folder, &known, inner.rng.as_ref());
        rewritten.inspect_err(|error| writer.poisoned = Some(error.to_string()))?;
        *inner.known.write() = known;
        Ok(destroyed)
    }

    /// Whether a subject has a key.
    pub fn has(&self, subject: Subject) -> bool {
        self.inner.known.read().numbers.contains_key(&subject)
    }

    /// How many keys there are.
    pub fn count(&self) -> Count {
        let known = self.inner.known.read();
        let kept = known.numbers.len() as u64;
        Count { kept, destroyed: known.keys.len() as u64 - kept }
    }

    /// Where the randomness of seals comes from.
    pub fn rng(&self) -> &dyn Rng {
        self.inner.rng.as_ref()
    }

    /// The subject in a form that can be put on record: whoever has the ring can tell whether it is a given one.
    pub fn mark(subject: Subject) -> String {
        subject.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Inner {
    fn writer(&self) -> Result<&Mutex<Writer>> {
        self.writer.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                "SW0400",
                format!("{} belongs to another process", self.folder.display()),
            )
            .hint("ask that process, or stop it first")
        })
    }

    /// Makes keys for `missing` and for whoever else waits. Blocks on the disk.
    fn make(&self, missing: Vec<Subject>) -> Result<()> {
        self.waiting.lock().extend(missing);
        let mut writer = self.writer()?.lock();
        writer.check()?;
        let waiting: HashSet<Subject> = self.waiting.lock().drain(..).collect();
        let known = self.known.read();
        let first = known.keys.len() as u64;
        let mut fresh: Vec<Subject> = waiting.into_iter().filter(|one| !known.numbers.contains_key(one)).collect();
        drop(known);
        fresh.sort_unstable();
        let mut records = Vec::with_capacity(fresh.len());
        for (number, subject) in (first..).zip(&fresh) {
            let mut secret = [0; 32];
            self.rng.fill(&mut secret);
            let number = KeyNumber(number);
            records.push(Record { number, subject: Some(*subject), key: Key::Kept(SubjectKey::new(number, secret)) });
        }
        if records.is_empty() {
            return Ok(());
        }
        let appended = writer.append(&records, self.rng.as_ref());
        appended.inspect_err(|error| writer.poisoned = Some(error.to_string()))?;
        let mut known = self.known.write();
        records.into_iter().for_each(|record| known.take(record));
        Ok(())
    }
}

impl Writer {
    fn check(&self) -> Result<()> {
        let Some(why) = &self.poisoned else { return Ok(()) };
        let message = format!("no key can be made or destroyed since the ring could not be written: {why}");
        Err(Error::new(ErrorKind::Unavailable, "SW1603", message)
            .hint("mend the disk and restart; what was acknowledged is sealed with keys that are there"))
    }

    fn append(&mut self, records: &[Record], rng: &dyn Rng) -> Result<()> {
        let mut bytes = Vec::with_capacity(records.len() * file::RECORD_BYTES);
        for record in records {
            file::put(&mut bytes, record, &self.installation, rng)?;
        }
        let failed = |e| Error::new(ErrorKind::Unavailable, "SW1603", "could not write keys").because(e);
        self.file.write_all_at(&bytes, self.end).map_err(failed)?;
        durable::sync_all(&self.file).map_err(failed)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Writes the whole ring under a new installation key. A crash in between leaves both installation keys and either
    /// ring; the next opening drops the one that is not used.
    fn rewrite(&mut self, folder: &Path, known: &Known, rng: &dyn Rng) -> Result<()> {
        let path = file::path(folder);
        self.installation.begin_change(folder, rng)?;
        let generation = self.generation + 1;
        let header = file::Header { ring: self.ring, generation, wrapped_by: self.installation.id() };
        let bytes = file::encode(header, &known.records(), &self.installation, rng)?;
        replace(&path, &bytes)?;
        self.installation.settle(folder)?;
        self.file = File::options().write(true).open(&path).map_err(|e| unavailable("open", &path, e))?;
        (self.end, self.generation) = (bytes.len() as u64, generation);
        Ok(())
    }
}

impl Known {
    fn of(contents: Contents) -> Known {
        let mut known = Known::default();
        contents.records.into_iter().for_each(|record| known.take(record));
        known
    }

    fn clone(known: &Known) -> Known {
        Known { keys: known.keys.clone(), numbers: known.numbers.clone() }
    }

    fn take(&mut self, record: Record) {
        debug_assert_eq!(record.number.0, self.keys.len() as u64, "keys are numbered without gaps");
        if let (Key::Kept(_), Some(subject)) = (&record.key, record.subject) {
            self.numbers.insert(subject, record.number);
        }
        self.keys.push(record.key);
    }

    fn key(&self, number: KeyNumber) -> Option<&Key> {
        self.keys.get(usize::try_from(number.0).ok()?)
    }

    fn records(&self) -> Vec<Record> {
        let subjects: HashMap<KeyNumber, Subject> = self.numbers.iter().map(|(one, number)| (*number, *one)).collect();
        let records = (0..).map(KeyNumber).zip(&self.keys);
        records
            .map(|(number, key)| Record { number, subject: subjects.get(&number).copied(), key: key.clone() })
            .collect()
    }
}

/// The keys and the key of the index, read without the lock.
fn read_known(folder: &Path) -> Result<(Known, [u8; 32])> {
    let path = file::path(folder);
    let mut failure = None;
    for _ in 0..READS_MAX {
        if !path.exists() {
            return Ok((Known::default(), [0; 32]));
        }
        // Between the two reads an erasure may have replaced both.
        let read = Installation::load(folder).and_then(|mut installation| {
            let contents = file::read(&path, &mut installation)?;
            Ok((Known::of(contents), installation.index()))
        });
        match read {
            Ok(known) => return Ok(known),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| Error::internal("SW1606", "the key ring was never read")))
}

fn random_u64(rng: &dyn Rng) -> u64 {
    let mut bytes = [0; 8];
    rng.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    durable::replace_private(path, bytes).map_err(|e| unavailable("write", path, e))
}

fn unavailable(what: &str, path: &Path, cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "SW1603", format!("could not {what} {}", path.display())).because(cause)
}
