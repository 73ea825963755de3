//! Reading backups back: to check them, and to restore their files.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use seawall_base::error::Result;
use seawall_base::{Checked, Damage, Error, ErrorKind, Finding, Hash, Severity, durable};

use super::manifest::{KeptFile, Manifest};
use super::store::{Store, unavailable};
use super::take::add_zeros;

/// Reads every piece of a backup and compares every file's hash; `read` is told the bytes of each file. Blocks on the disk.
pub fn check(store: &Store, manifest: &Manifest, read: &mut dyn FnMut(&str, u64)) -> Checked {
    let mut checked = Checked::default();
    for file in &manifest.files {
        let mut bytes = 0;
        let outcome = pieces_of(store, file, &mut |piece| {
            bytes += piece.len() as u64;
            Ok(())
        });
        read(&file.path, bytes);
        checked.bytes += bytes;
        if let Err(error) = outcome {
            let damage = if error.kind() == ErrorKind::Corrupt { Damage::Altered } else { Damage::Unreadable };
            let means = format!("{} cannot be restored from this backup", file.path);
            let object = format!("backup {}", manifest.id);
            let found = Finding::of_error(object, damage, Severity::Critical, &error, means);
            checked.findings.push(found.remedy("seawall backup create"));
        }
    }
    checked
}

/// Writes a file of a backup below `folder`, durably, with its hash checked. Blocks on the disk.
pub fn write_file(store: &Store, file: &KeptFile, folder: &Path) -> Result<()> {
    let path = folder.join(&file.path);
    let failed = |e| unavailable("write", &path, e);
    if let Some(parent) = path.parent() {
        durable::create_dir_all(parent).map_err(failed)?;
    }
    let mut options = File::options();
    let mut written = options.write(true).create(true).truncate(true).mode(file.mode).open(&path).map_err(failed)?;
    pieces_of(store, file, &mut |piece| written.write_all(piece).map_err(failed))?;
    // What the pieces do not cover is zeros, which a log expects to be there and allocated.
    let covered = written.metadata().map_err(failed)?.len();
    let mut left = file.bytes.saturating_sub(covered);
    let zeros = vec![0u8; 1 << 20];
    while left > 0 {
        let some = left.min(zeros.len() as u64);
        written.write_all(&zeros[..some as usize]).map_err(failed)?;
        left -= some;
    }
    durable::sync_all(&written).map_err(failed)?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(file.mode)).map_err(failed)?;
    durable::sync_parent(&path).map_err(failed)
}

/// Hands the pieces of a file to `take`; fails when one is damaged, or together they are not the file.
fn pieces_of(store: &Store, file: &KeptFile, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut whole = blake3::Hasher::new();
    let mut covered = 0;
    for piece in &file.pieces {
        let bytes = store.piece(*piece)?;
        whole.update(&bytes);
        covered += bytes.len() as u64;
        take(&bytes)?;
    }
    add_zeros(&mut whole, file.bytes.saturating_sub(covered));
    if covered <= file.bytes && Hash(*whole.finalize().as_bytes()) == file.hash {
        return Ok(());
    }
    let message = format!("the pieces of {} are not together the file that was backed up", file.path);
    Err(Error::corrupt("SW1424", message).hint("use another backup"))
}
