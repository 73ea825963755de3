//! Who may write a log: the lock that keeps a second process out, and the epoch that numbers its owners.
//!
//! The file `lock` is empty and held with an exclusive lock of the operating system while the log is open. The file
//! `epoch` (64 bytes, little-endian) is replaced atomically when the log is created (epoch 0), on every opening, and
//! whenever a segment is added or retired:
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `SWEPOCH_` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | partition |
//! | 16 | 8 | the log's id: random, made when the log is created |
//! | 24 | 8 | epoch: 0 while the log is being created, 1 for the first opening, one more for each further one |
//! | 32 | 8 | number of the first segment: those before were retired |
//! | 40 | 8 | ordinal of the first entry in it |
//! | 48 | 8 | number of the last segment; one more may exist when the process died right after adding it |
//! | 56 | 4 | zero |
//! | 60 | 4 | CRC32C of bytes 0 to 60 |

use std::path::{Path, PathBuf};

use seawall_base::error::Result;
use seawall_base::{OsRng, Partition, Rng, durable};

use super::error;
use super::frame::{LogId, u32_at, u64_at};

const MAGIC: [u8; 8] = *b"SWEPOCH_";
const VERSION: u32 = 1;
const BYTES: usize = 64;

/// The content of the epoch file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    pub partition: Partition,
    pub id: LogId,
    pub epoch: u64,
    pub first_segment: u64,
    pub first_entry: u64,
    pub last_segment: u64,
}

/// Path of the epoch file.
pub(super) fn epoch_path(folder: &Path) -> PathBuf {
    folder.join("epoch")
}

impl Epoch {
    /// The epoch of a log that is being created.
    pub fn first(partition: Partition) -> Epoch {
        let mut id = [0; 8];
        OsRng.fill(&mut id);
        Epoch {
            partition,
            id: LogId(u64::from_le_bytes(id)),
            epoch: 0,
            first_segment: 0,
            first_entry: 0,
            last_segment: 0,
        }
    }

    /// Reads the folder's epoch file; none when there is no such file.
    pub fn read(folder: &Path) -> Result<Option<Epoch>> {
        let path = epoch_path(folder);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(error::io("read", &path, e)),
        };
        Self::decode(&path, &bytes).map(Some)
    }

    /// Replaces the folder's epoch file durably.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        durable::write_atomic(&epoch_path(folder), &self.encode())
    }

    pub(super) fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.partition.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.id.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_segment.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_entry.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.last_segment.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<Epoch> {
        if bytes.len() != BYTES || bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(error::damaged(path, 0, "the epoch file is not what was written"));
        }
        if u32_at(bytes, 8) != VERSION {
            return Err(error::other_version(path, u32_at(bytes, 8)));
        }
        Ok(Epoch {
            partition: Partition(u32_at(bytes, 12)),
            id: LogId(u64_at(bytes, 16)),
            epoch: u64_at(bytes, 24),
            first_segment: u64_at(bytes, 32),
            first_entry: u64_at(bytes, 40),
            last_segment: u64_at(bytes, 48),
        })
    }
}
