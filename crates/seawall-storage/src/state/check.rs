//! Reading the checkpoints of a state without owning them, whatever the state is of.

use std::fs;
use std::path::Path;

use seawall_base::{Checked, Damage, Finding, Hash, Severity};

use super::manifest::{self, FileRef};

/// How often a checkpoint is read again when it was replaced meanwhile.
const READINGS_MAX: usize = 5;

/// Checks the newest checkpoint in `folder`: its manifest and every file that this names. A folder without one is a state
/// that is made of the log by the next start. `object` is what findings are about. Blocks on the disk.
pub fn check(folder: &Path, object: &str) -> Checked {
    let mut checked = Checked::default();
    for _ in 0..READINGS_MAX {
        let Some(number) = newest(folder) else { return Checked::default() };
        checked = check_one(folder, number, object);
        if checked.is_whole() || newest(folder) == Some(number) {
            break;
        }
    }
    checked
}

/// The names of the files of the newest checkpoint in `folder`, its manifest last; none when there is none that can be read.
pub fn newest_files(folder: &Path) -> Option<Vec<String>> {
    let name = manifest::name(newest(folder)?);
    let files = manifest::files_of(&fs::read(folder.join(&name)).ok()?).ok()?;
    Some(files.into_iter().map(|file| file.name).chain([name]).collect())
}

fn newest(folder: &Path) -> Option<u64> {
    let entries = fs::read_dir(folder).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| manifest::number_of(&name)).max()
}

fn check_one(folder: &Path, number: u64, object: &str) -> Checked {
    let path = folder.join(manifest::name(number));
    let finding = |damage, what: String, file: &Path| {
        let means = "the next start goes on from the checkpoint before, or from the log, and takes longer";
        Finding::new(object, damage, Severity::High, what, means).in_file(file, None)
    };
    let mut checked = Checked::default();
    let files = match fs::read(&path) {
        Ok(bytes) => {
            checked.bytes += bytes.len() as u64;
            manifest::files_of(&bytes).map_err(|what| (Damage::Altered, what.to_owned()))
        }
        Err(e) => Err((Damage::Unreadable, e.to_string())),
    };
    let files = match files {
        Ok(files) => files,
        Err((damage, what)) => {
            checked.findings.push(finding(damage, what, &path));
            return checked;
        }
    };
    for FileRef { name, bytes, hash } in files {
        let path = folder.join(&name);
        match fs::read(&path) {
            Ok(content) => {
                checked.bytes += content.len() as u64;
                if content.len() as u64 != bytes || Hash::of(&content) != hash {
                    let what = "it is not the file that the checkpoint names".to_owned();
                    checked.findings.push(finding(Damage::Altered, what, &path));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let what = "a checkpoint names it, but it is missing".to_owned();
                checked.findings.push(finding(Damage::Missing, what, &path));
            }
            Err(e) => checked.findings.push(finding(Damage::Unreadable, e.to_string(), &path)),
        }
    }
    checked
}
