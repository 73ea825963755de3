//! Reading files into a backup.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind as Io, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use seawall_base::error::Result;
use seawall_base::vault::Lock;
use seawall_base::{Hash, Instant, Offset};

use super::manifest::{About, Damaged, KeptFile, Manifest};
use super::store::{PIECE_BYTES, Store, unavailable};

/// A file to take.
#[derive(Debug, Clone)]
pub struct Item {
    /// Path in the data folder, its parts separated by `/`.
    pub path: String,
    /// Where to read it.
    pub from: PathBuf,
    /// Bytes to take from its beginning; all of them when absent. The rest is restored as zeros.
    pub prefix: Option<u64>,
    /// What the file must be, when that is on record: length and hash.
    pub expected: Option<(u64, Hash)>,
    /// Whether a file of this name never changes once it is there.
    pub is_immutable: bool,
}

impl Item {
    /// A file that is taken as a whole and may change later.
    pub fn whole(path: impl Into<String>, from: PathBuf) -> Item {
        Item { path: path.into(), from, prefix: None, expected: None, is_immutable: false }
    }
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in the backup.
    Kept,
    /// It is not there any more.
    Gone,
    /// It is not what it must be; an earlier backup's copy was used where there is a right one.
    Damaged,
}

/// A backup in the making.
pub struct Taking<'a> {
    store: &'a Store,
    lock: Box<dyn Lock>,
    /// Pieces that are kept, with their lengths.
    there: BTreeMap<Hash, u64>,
    before: BTreeMap<String, KeptFile>,
    files: BTreeMap<String, KeptFile>,
    damaged: BTreeMap<String, Damaged>,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were new to the store.
    pub new_bytes: u64,
}

impl<'a> Taking<'a> {
    /// Begins a backup on top of `before`, the newest one, in a store that is locked.
    pub fn begin(store: &'a Store, before: Option<&Manifest>, lock: Box<dyn Lock>) -> Result<Taking<'a>> {
        let before = before.map(|manifest| &manifest.files[..]).unwrap_or_default();
        let before = before.iter().map(|file| (file.path.clone(), file.clone())).collect();
        let (files, damaged) = (BTreeMap::new(), BTreeMap::new());
        Ok(Taking { store, lock, there: store.pieces()?, before, files, damaged, read_bytes: 0, new_bytes: 0 })
    }

    /// Whether a file with this path is in the backup already.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Takes bytes that lie in no file of their own.
    pub fn take_bytes(&mut self, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let mut pieces = Vec::new();
        for piece in bytes.chunks(PIECE_BYTES) {
            pieces.push(self.keep(piece)?);
        }
        let (hash, length) = (Hash::of(bytes), bytes.len() as u64);
        let file = KeptFile { path: path.to_owned(), bytes: length, mode, hash, pieces, modified_ns: 0 };
        self.files.insert(file.path.clone(), file);
        Ok(())
    }

    /// Takes a file. Blocks on the disk.
    pub fn take(&mut self, item: &Item) -> Result<Taken> {
        self.lock.check()?;
        let failed = |e| unavailable("read", &item.from, e);
        let file = match File::open(&item.from) {
            Ok(file) => file,
            Err(e) if e.kind() == Io::NotFound => return Ok(Taken::Gone),
            Err(e) => return Err(failed(e)),
        };
        let metadata = file.metadata().map_err(failed)?;
        let modified_ns =
            u64::try_from(i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()));
        let modified_ns = if item.is_immutable { modified_ns.unwrap_or(0) } else { 0 };
        if let Some(known) = self.known(item, metadata.len(), modified_ns) {
            self.files.insert(item.path.clone(), known);
            return Ok(Taken::Kept);
        }
        let mode = metadata.permissions().mode() & 0o7777;
        let kept = self.read(item, file, metadata.len(), mode, modified_ns)?;
        match item.expected.filter(|expected| *expected != (kept.bytes, kept.hash)) {
            None => {
                self.files.insert(item.path.clone(), kept);
                Ok(Taken::Kept)
            }
            Some(expected) => Ok(self.take_earlier(item, expected)),
        }
    }

    /// The file as the backup before has it, when it cannot have changed since and its pieces are still there.
    fn known(&self, item: &Item, bytes: u64, modified_ns: u64) -> Option<KeptFile> {
        let known = self.before.get(&item.path)?;
        let same = modified_ns != 0 && known.modified_ns == modified_ns && known.bytes == bytes;
        let right = item.expected.is_none_or(|expected| expected == (known.bytes, known.hash));
        (same && right && self.is_there(known)).then(|| known.clone())
    }

    fn is_there(&self, file: &KeptFile) -> bool {
        file.pieces.iter().all(|piece| self.there.contains_key(piece))
    }

    /// Uses the right copy of an earlier backup in the place of a damaged file; notes the damage in any case.
    fn take_earlier(&mut self, item: &Item, expected: (u64, Hash)) -> Taken {
        let right = self.before.get(&item.path).filter(|known| expected == (known.bytes, known.hash)).cloned();
        let right = right.filter(|known| self.is_there(known));
        let what = match &right {
            Some(_) => "it is not what was written; the copy of the backup before was used",
            None => "it is not what was written, and no earlier backup has it",
        };
        let damaged = Damaged { path: item.path.clone(), what: what.to_owned() };
        self.damaged.insert(item.path.clone(), damaged);
        self.files.extend(right.map(|known| (item.path.clone(), known)));
        Taken::Damaged
    }

    fn read(&mut self, item: &Item, file: File, length: u64, mode: u32, modified_ns: u64) -> Result<KeptFile> {
        let failed = |e| unavailable("read", &item.from, e);
        let mut left = item.prefix.unwrap_or(length).min(length);
        let mut whole = blake3::Hasher::new();
        let mut pieces = Vec::new();
        let mut reader = file;
        while left > 0 {
            let mut piece = Vec::new();
            let wanted = left.min(PIECE_BYTES as u64);
            let read = (&mut reader).take(wanted).read_to_end(&mut piece).map_err(failed)? as u64;
            if read == 0 {
                break;
            }
            left -= read;
            self.read_bytes += read;
            whole.update(&piece);
            pieces.push(self.keep(&piece)?);
        }
        let covered = item.prefix.unwrap_or(length).min(length) - left;
        add_zeros(&mut whole, length - covered);
        let hash = Hash(*whole.finalize().as_bytes());
        Ok(KeptFile { path: item.path.clone(), bytes: length, mode, hash, pieces, modified_ns })
    }

    fn keep(&mut self, piece: &[u8]) -> Result<Hash> {
        let (hash, length) = (Hash::of(piece), piece.len() as u64);
        // Also when nothing is new: a lease that nobody looks after ends.
        self.lock.check()?;
        if self.there.get(&hash) != Some(&length) {
            self.store.keep(hash, piece)?;
            self.there.insert(hash, length);
            self.new_bytes += length;
        }
        Ok(hash)
    }

    /// Makes the backup valid and returns it.
    pub fn finish(self, taken_at: Instant, elapsed_ms: u64, entries: u64, end: Offset) -> Result<Manifest> {
        let about = About { taken_at, elapsed_ms, entries, end };
        // Whoever prunes would not know yet that these pieces are needed.
        self.lock.check()?;
        let manifest = Manifest::new(about, self.files.into_values().collect(), self.damaged.into_values().collect());
        self.store.finish(&manifest)?;
        Ok(manifest)
    }
}

/// Hashes zeros, as a restore writes them.
pub(super) fn add_zeros(hasher: &mut blake3::Hasher, mut count: u64) {
    let zeros = [0u8; 64 << 10];
    while count > 0 {
        let some = count.min(zeros.len() as u64);
        hasher.update(&zeros[..some as usize]);
        count -= some;
    }
}

/// Removes what an earlier attempt left in a folder for temporary files.
pub fn clear(folder: &std::path::Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != Io::NotFound => Err(unavailable("clear", folder, e)),
        Ok(()) | Err(_) => Ok(()),
    }
}
