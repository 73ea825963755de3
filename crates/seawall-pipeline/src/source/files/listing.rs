//! Which files a declaration names, and what is in them: a path or one `*` pattern, sizes and content hashes.

use std::fs::{File, Metadata};
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use seawall_base::declare::{FileFormat, Files};
use seawall_base::error::Result;
use seawall_base::{Error, Hash};

use super::{FileToRead, cannot_read};

/// The files that `files` names, ordered by name, each with its size and content hash.
///
/// The path is a file, or a folder with a last part such as `*.csv`; relative paths start at `project_folder`. Hidden
/// files are passed over. A folder without a matching file gives an empty list; a path that does not exist is an error.
pub fn list(files: &Files, project_folder: &Path) -> Result<Vec<FileToRead>> {
    let mut found = Vec::new();
    for path in paths(files, project_folder)? {
        found.push(hashed(path)?);
    }
    Ok(found)
}

/// The format that a path's extension stands for.
pub fn format_of(path: &Path) -> Result<FileFormat> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "csv" => Ok(FileFormat::Csv),
        "ndjson" | "jsonl" => Ok(FileFormat::Ndjson),
        "parquet" | "pq" => Ok(FileFormat::Parquet),
        _ => Err(Error::invalid("SW0703", format!("the name of {} does not tell its format", path.display()))
            .hint("rename it to end in .csv, .ndjson, .jsonl or .parquet")),
    }
}

/// The single file that `files` names; patterns are refused.
pub(super) fn the_one_file(files: &Files, project_folder: &Path) -> Result<PathBuf> {
    if files.path.contains('*') {
        return Err(Error::invalid("SW0702", format!("{:?} names many files where one is wanted", files.path))
            .hint("write the path of one file"));
    }
    let path = project_folder.join(&files.path);
    regular_file(&path)?;
    Ok(path)
}

/// The metadata of `path`, which must exist and be a regular file: reading a pipe or a device could wait forever.
pub(super) fn regular_file(path: &Path) -> Result<Metadata> {
    let metadata = std::fs::metadata(path).map_err(|e| missing_or_unreadable(path, e))?;
    if metadata.is_file() {
        return Ok(metadata);
    }
    let what = if metadata.is_dir() { "a folder" } else { "not a regular file" };
    Err(Error::invalid("SW0702", format!("{} is {what}", path.display()))
        .hint("name a file, or the files of a folder by a last part such as *.csv"))
}

fn paths(files: &Files, project_folder: &Path) -> Result<Vec<PathBuf>> {
    let path = project_folder.join(&files.path);
    if !files.path.contains('*') {
        regular_file(&path)?;
        return Ok(vec![path]);
    }
    let (folder, prefix, suffix) = pattern(&path)?;
    let entries = std::fs::read_dir(folder).map_err(|e| missing_or_unreadable(folder, e))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| cannot_read(folder, e))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let long_enough = name.len() >= prefix.len() + suffix.len();
        let matches = long_enough && name.starts_with(prefix) && name.ends_with(suffix);
        if matches && !name.starts_with('.') && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Folder, prefix and suffix of a pattern: one `*`, in the last part only.
fn pattern(path: &Path) -> Result<(&Path, &str, &str)> {
    let last = path.file_name().and_then(|name| name.to_str());
    let parts = last.and_then(|name| name.split_once('*'));
    match (path.parent(), parts) {
        (Some(folder), Some((prefix, suffix))) if !suffix.contains('*') && !folder.to_string_lossy().contains('*') => {
            Ok((folder, prefix, suffix))
        }
        _ => Err(Error::invalid("SW0702", format!("{} is not a pattern that Seawall reads", path.display()))
            .hint("use one * in the last part, for example data/*.csv")),
    }
}

fn hashed(path: PathBuf) -> Result<FileToRead> {
    regular_file(&path)?;
    let file = File::open(&path).map_err(|e| cannot_read(&path, e))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(|e| cannot_read(&path, e))?;
    let bytes = hasher.count();
    Ok(FileToRead { path, bytes, hash: Hash(*hasher.finalize().as_bytes()) })
}

fn missing_or_unreadable(path: &Path, error: std::io::Error) -> Error {
    if error.kind() != IoErrorKind::NotFound {
        return cannot_read(path, error);
    }
    Error::not_found("SW0701", format!("there is no {}", path.display())).hint(remedy_for_missing(path))
}

/// Names the first part of the path that does not exist, which is usually the mistake.
fn remedy_for_missing(path: &Path) -> String {
    let existing = path.ancestors().skip(1).find(|ancestor| ancestor.is_dir());
    match existing {
        Some(folder) if path.parent() == Some(folder) => {
            format!(
                "{} exists but has no such file; check the name, or set the variable in it with --set",
                folder.display()
            )
        }
        Some(folder) => {
            format!("the path exists only up to {}; check it, or set the variable in it with --set", folder.display())
        }
        None => {
            "check the path, or set the variable in it with --set; relative paths start at the project folder".into()
        }
    }
}
