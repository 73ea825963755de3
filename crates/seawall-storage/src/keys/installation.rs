//! The installation key: wraps the keys of the ring in their file, and changes whenever one of them is destroyed.
//!
//! `installation.key` is one line of text, readable by its owner only: `seawall-installation-key-v2`, the key of the
//! subjects' hashes, which never changes, and the installation key, each as 64 hexadecimal digits; then the CRC32C of the
//! line before it, 8 digits. While the installation key changes there are two, the old one first.
//!
//! Nothing else tells whether the key of the hashes is what it was: with another one no subject would be known any more,
//! and an erasure would find no key to destroy. Version 1 has no checksum; whoever opens it to write replaces it.

use std::path::Path;

use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Rng};

use super::{replace, unavailable};

/// Its file in the folder of keys.
pub(super) const NAME: &str = "installation.key";
const FORMAT: &str = "seawall-installation-key-v2";
/// Without a checksum.
const FORMAT_UNCHECKED: &str = "seawall-installation-key-v1";

/// The installation key, or both while it changes.
pub(super) struct Installation {
    index: [u8; 32],
    /// The one that is used last; not empty.
    keys: Vec<[u8; 32]>,
    /// Whether the file has a checksum.
    is_checked: bool,
}

impl Installation {
    pub(super) fn load_or_create(folder: &Path, rng: &dyn Rng) -> Result<Installation> {
        let path = folder.join(NAME);
        if path.exists() {
            return Installation::load(folder);
        }
        if super::file::path(folder).exists() {
            let message = format!("{} is missing, so the keys beside it cannot be opened", path.display());
            return Err(Error::corrupt("SW1602", message)
                .hint("put the folder `keys` back as it was, from the data folder or a backup of it"));
        }
        let created = Installation { index: random_key(rng), keys: vec![random_key(rng)], is_checked: true };
        created.store(folder)?;
        Ok(created)
    }

    pub(super) fn load(folder: &Path) -> Result<Installation> {
        let path = folder.join(NAME);
        let text = std::fs::read(&path).map_err(|e| unavailable("read", &path, e))?;
        refuse_shared(&path)?;
        Installation::parse(&path, &text)
    }

    /// The keys that were read from `path`.
    pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Installation> {
        let damaged = || {
            Error::corrupt("SW1602", format!("{} is not what was written", path.display()))
                .hint("put the folder `keys` back as it was, from the data folder or a backup of it")
        };
        let text = std::str::from_utf8(text).map_err(|_| damaged())?;
        let is_checked = !text.starts_with(FORMAT_UNCHECKED);
        let line = match is_checked {
            true => checked_line(text).ok_or_else(damaged)?,
            false => text,
        };
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some(if is_checked { FORMAT } else { FORMAT_UNCHECKED }) {
            return Err(damaged());
        }
        let keys: Option<Vec<[u8; 32]>> = words.map(key_of).collect();
        match keys.as_deref() {
            Some([index, keys @ ..]) if (1..=2).contains(&keys.len()) => {
                Ok(Installation { index: *index, keys: keys.to_vec(), is_checked })
            }
            _ => Err(damaged()),
        }
    }

    /// Gives the file a checksum, when it is older than these.
    pub(super) fn checked(&mut self, folder: &Path) -> Result<()> {
        if self.is_checked {
            return Ok(());
        }
        self.is_checked = true;
        self.store(folder)
    }

    /// The key of the subjects' hashes.
    pub(super) fn index(&self) -> [u8; 32] {
        self.index
    }

    /// The key in use.
    pub(super) fn key(&self) -> &[u8; 32] {
        self.keys.last().expect("there is at least one")
    }

    /// Which key it is, without telling it.
    pub(super) fn id(&self) -> u64 {
        id_of(self.key())
    }

    /// Uses the key with this id; false when there is none.
    pub(super) fn choose(&mut self, id: u64) -> bool {
        let Some(at) = self.keys.iter().position(|key| id_of(key) == id) else { return false };
        let chosen = self.keys.remove(at);
        self.keys.push(chosen);
        true
    }

    /// Begins to use a new key; the old one stays on the disk until [`Installation::settle`].
    pub(super) fn begin_change(&mut self, folder: &Path, rng: &dyn Rng) -> Result<()> {
        self.keys.push(random_key(rng));
        self.store(folder)
    }

    /// Gives up the key that is not used, durably.
    pub(super) fn settle(&mut self, folder: &Path) -> Result<()> {
        if self.keys.len() < 2 {
            return Ok(());
        }
        self.keys.drain(..self.keys.len() - 1);
        self.store(folder)
    }

    fn store(&self, folder: &Path) -> Result<()> {
        let mut line = format!("{FORMAT} {}", hex(&self.index));
        for key in &self.keys {
            line.push(' ');
            line.push_str(&hex(key));
        }
        line.push_str(&checksum_of(&line));
        line.push('\n');
        replace(&folder.join(NAME), line.as_bytes())
    }
}

/// The line without its checksum; none when that is not the line's.
fn checked_line(text: &str) -> Option<&str> {
    let text = text.strip_suffix('\n')?;
    let (line, _) = text.rsplit_once(' ')?;
    (text[line.len()..] == checksum_of(line)).then_some(line)
}

/// How a line ends.
fn checksum_of(line: &str) -> String {
    format!(" {:08x}", crc32c::crc32c(line.as_bytes()))
}

/// Others must not be able to read the key.
fn refuse_shared(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path).map_err(|e| unavailable("look at", path, e))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let message = format!("{} can be read by others (mode {mode:o})", path.display());
    Err(Error::new(ErrorKind::Denied, "SW1601", message).hint(format!("run `chmod 600 {}`", path.display())))
}

fn id_of(key: &[u8; 32]) -> u64 {
    let hash = blake3::hash(key);
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}

fn random_key(rng: &dyn Rng) -> [u8; 32] {
    let mut key = [0; 32];
    rng.fill(&mut key);
    key
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key_of(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}
