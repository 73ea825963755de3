//! What a backup consists of.

use std::path::Path;

use seawall_base::error::Result;
use seawall_base::{Error, Hash, Instant, Offset};
use serde::{Deserialize, Serialize};

const FORMAT: &str = "seawall backup";
const VERSION: u32 = 1;

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `seawall backup`.
    pub format: String,
    /// 1.
    pub version: u32,
    /// Its name: when it was taken, and a few digits of its content.
    pub id: String,
    /// The program that wrote it.
    pub written_by: String,
    /// When it began: everything that was acknowledged before is in it.
    pub taken_at: Instant,
    /// How long it took.
    pub elapsed_ms: u64,
    /// Entries of the log that are in it.
    pub entries: u64,
    /// Offset after the last row of the log that is in it.
    pub end: Offset,
    /// Its files, by path.
    pub files: Vec<KeptFile>,
    /// Files that were damaged when they were read, and are not in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<Damaged>,
    /// BLAKE3 of everything above as compact JSON.
    pub hash: Hash,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptFile {
    /// Path in the data folder, its parts separated by `/`.
    pub path: String,
    /// Length when restored. What the pieces do not cover is zeros.
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// BLAKE3 of the restored file.
    pub hash: Hash,
    /// Its pieces in order.
    pub pieces: Vec<Hash>,
    /// When the file was last changed, in nanoseconds since 1970: a file with the same length and instant is not read
    /// again by the next backup. 0 for a file that is always read.
    pub modified_ns: u64,
}

/// A file that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damaged {
    /// Path in the data folder.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

/// What a backup is about, besides its files.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    pub taken_at: Instant,
    pub elapsed_ms: u64,
    pub entries: u64,
    pub end: Offset,
}

impl Manifest {
    /// The manifest of these files, with its id and hash.
    pub(super) fn new(about: About, mut files: Vec<KeptFile>, damaged: Vec<Damaged>) -> Manifest {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let About { taken_at, elapsed_ms, entries, end } = about;
        let content = Hash::of_json(&files).to_string();
        let at = taken_at.to_string().replace(':', "-");
        let mut manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            id: format!("{at}-{}", &content[..8]),
            written_by: concat!("seawall/", env!("CARGO_PKG_VERSION")).to_owned(),
            taken_at,
            elapsed_ms,
            entries,
            end,
            files,
            damaged,
            hash: Hash([0; 32]),
        };
        manifest.hash = manifest.own_hash();
        manifest
    }

    fn own_hash(&self) -> Hash {
        Hash::of_json(&Manifest { hash: Hash([0; 32]), ..self.clone() })
    }

    /// The file with this path.
    pub fn file(&self, path: &str) -> Option<&KeptFile> {
        let at = self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()?;
        self.files.get(at)
    }

    /// Bytes that a restore writes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).expect("a manifest has only string keys");
        json.push(b'\n');
        json
    }

    pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Manifest> {
        let damaged = |what: String| {
            Error::corrupt("SW1423", format!("the manifest {} {what}", path.display()))
                .in_file(path, None)
                .hint("use another backup: `seawall backup list` shows those that can be read")
        };
        let manifest: Manifest =
            serde_json::from_slice(bytes).map_err(|e| damaged("cannot be read".to_owned()).because(e))?;
        if manifest.format != FORMAT || manifest.version != VERSION {
            return Err(damaged(format!("has version {}, which this Seawall does not know", manifest.version)));
        }
        if manifest.hash != manifest.own_hash() || manifest.encode() != bytes {
            return Err(damaged("is not what was written".to_owned()));
        }
        match manifest.files.iter().find(|file| !is_inside(&file.path)) {
            Some(file) => Err(damaged(format!("names {:?}, which leads out of the data folder", file.path))),
            None => Ok(manifest),
        }
    }
}

/// Whether a path stays inside of the folder that it starts from.
fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\\'))
}
