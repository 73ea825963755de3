//! Preallocated files, for logs.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::sync_all;

/// Zeros are written in pieces of this size.
pub(super) const ZEROS_BYTES: usize = 1 << 20;

/// Creates `path`, replacing what was there, with `bytes` zero bytes that occupy the disk, and syncs its content.
///
/// Later writes inside it change neither its length nor its extents, so that [`super::sync_data`] is enough for them.
/// The folder entry is not synced: the file is meant to be renamed into place by [`super::rename_synced`].
pub fn create_zeroed(path: &Path, bytes: u64) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0u8; ZEROS_BYTES];
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(ZEROS_BYTES as u64);
        file.write_all(&zeros[..piece as usize])?;
        left -= piece;
    }
    sync_all(&file)?;
    Ok(file)
}
