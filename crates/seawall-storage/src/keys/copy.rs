//! Copies of a ring elsewhere: one file, replaced as a whole, so that the keys in it belong together.
//!
//! A copy lies beside backups, not in them: a backup that kept the keys as they were would bring back what was erased
//! since. So there is only the newest one, and an erasure replaces it too.

use std::path::Path;

use seawall_base::error::Result;
use seawall_base::{Error, durable};

use super::installation::{self, Installation};
use super::{READS_MAX, file, replace, unavailable};

const MAGIC: &[u8; 8] = b"SWKEYCPY";
const VERSION: u32 = 1;

/// A copy of the ring in `folder`; none when there is no ring. Works beside the ring's owner.
pub fn copy(folder: &Path) -> Result<Option<Vec<u8>>> {
    let mut failure = None;
    for _ in 0..READS_MAX {
        if !file::path(folder).exists() {
            return Ok(None);
        }
        // Between the two reads an erasure may have replaced both.
        match read_both(folder) {
            Ok((key, ring)) => return Ok(Some(encode(&key, &ring))),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| Error::internal("SW1606", "the key ring was never read")))
}

/// Makes `folder` the ring of the copy `bytes`, which was read from `from`. The folder must not hold a ring yet.
pub fn restore(from: &str, bytes: &[u8], folder: &Path) -> Result<()> {
    let (key, ring) = read_copy(from, bytes)?;
    durable::create_dir_all(folder).map_err(|e| unavailable("create", folder, e))?;
    replace(&folder.join(installation::NAME), key)?;
    replace(&file::path(folder), ring)
}

/// Whether the copy `bytes`, which was read from `from`, can be restored.
pub fn check_copy(from: &str, bytes: &[u8]) -> Result<()> {
    let (key, ring) = read_copy(from, bytes)?;
    let from = Path::new(from);
    file::parse(from, ring, &mut Installation::parse(from, key)?).map(|_| ())
}

/// The installation key and the ring of a copy.
fn read_copy<'a>(from: &str, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8])> {
    parts(bytes).ok_or_else(|| {
        Error::corrupt("SW1607", format!("the copy of the keys {from} is not what was written"))
            .in_file(from, None)
            .hint("`seawall backup create` writes it anew while the data folder is there; without any copy personal fields cannot be opened")
    })
}

fn read_both(folder: &Path) -> Result<(Vec<u8>, Vec<u8>)> {
    let read = |path: &Path| std::fs::read(path).map_err(|e| unavailable("read", path, e));
    let key = read(&folder.join(installation::NAME))?;
    let ring = read(&file::path(folder))?;
    // They belong together when the one opens the other.
    file::parse(&file::path(folder), &ring, &mut Installation::parse(&folder.join(installation::NAME), &key)?)?;
    Ok((key, ring))
}

fn encode(key: &[u8], ring: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    for part in [key, ring] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let rest = body.strip_prefix(MAGIC)?.strip_prefix(&VERSION.to_le_bytes())?;
    let (key, rest) = take(rest)?;
    let (ring, rest) = take(rest)?;
    rest.is_empty().then_some((key, ring))
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}
