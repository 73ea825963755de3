//! Manifests: a line with the BLAKE3 hash of the rest, in hexadecimal digits, then JSON.

use std::path::Path;

use seawall_base::error::Result;
use seawall_base::{Hash, durable};
use serde::{Deserialize, Serialize};

use super::error;

const VERSION: u32 = 1;
const HASH_DIGITS: usize = 64;

/// What makes one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub number: u64,
    pub body: String,
    pub files: Vec<FileRef>,
}

/// A file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRef {
    pub name: String,
    pub bytes: u64,
    /// BLAKE3 of its content.
    pub hash: Hash,
}

/// The JSON of a manifest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: String,
    version: u32,
    number: u64,
    files: Vec<FileRef>,
    body: String,
}

/// File name of manifest `number`.
pub(super) fn name(number: u64) -> String {
    format!("manifest-{number:012}")
}

/// The number in a manifest's file name; none for other files.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("manifest-")?;
    (digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

impl Manifest {
    /// Reads a manifest; fails with `SW0431` unless it is as it was written, `SW0432` when another program wrote it.
    pub fn read(path: &Path, format: &str, number: u64) -> Result<Manifest> {
        let bytes = std::fs::read(path).map_err(|e| error::io("read", path, e))?;
        let (hash, json) = split(&bytes).ok_or_else(|| error::damaged(path, "it does not begin with a hash"))?;
        if Hash::of(json).to_string().as_bytes() != hash {
            return Err(error::damaged(path, "its hash does not match its content"));
        }
        let written: serde_json::Value =
            serde_json::from_slice(json).map_err(|e| error::damaged(path, format!("it is not JSON ({e})")))?;
        let version = written.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(VERSION)) {
            return Err(error::other_version(path, version));
        }
        let written: Written =
            serde_json::from_value(written).map_err(|e| error::damaged(path, format!("it is not a manifest ({e})")))?;
        if written.format != format || written.number != number {
            let what = format!("it holds checkpoint {} of a {:?}", written.number, written.format);
            return Err(error::damaged(path, what));
        }
        if let Some(file) = written.files.iter().find(|file| !is_plain(&file.name)) {
            return Err(error::damaged(path, format!("{:?} leads out of the folder", file.name)));
        }
        Ok(Manifest { number, body: written.body, files: written.files })
    }

    /// Writes the manifest atomically.
    pub fn write(&self, folder: &Path, format: &str) -> Result<()> {
        let path = folder.join(name(self.number));
        let written = Written {
            format: format.to_owned(),
            version: VERSION,
            number: self.number,
            files: self.files.clone(),
            body: self.body.clone(),
        };
        let json = serde_json::to_vec(&written).expect("a manifest has only string keys");
        let mut bytes = Hash::of(&json).to_string().into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&json);
        durable::write_atomic(&path, &bytes).map_err(|e| error::io("write", &path, e))
    }
}

/// The files that the manifest with these bytes names, whatever state it is of; what is wrong with it otherwise.
pub(super) fn files_of(bytes: &[u8]) -> Result<Vec<FileRef>, &'static str> {
    let (hash, json) = split(bytes).ok_or("the manifest does not begin with a hash")?;
    if Hash::of(json).to_string().as_bytes() != hash {
        return Err("the manifest's hash does not match its content");
    }
    let written: Written = serde_json::from_slice(json).map_err(|_| "the manifest cannot be read")?;
    match written.version == VERSION && written.files.iter().all(|file| is_plain(&file.name)) {
        true => Ok(written.files),
        false => Err("the manifest is of another version, or leads out of the folder"),
    }
}

/// The digits of the hash, and what follows their line feed.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (hash, rest) = bytes.split_at_checked(HASH_DIGITS)?;
    Some((hash, rest.strip_prefix(b"\n")?))
}

fn is_plain(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|plain| plain == name)
}
