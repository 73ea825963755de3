//! The catalog's Ed25519 key: signs certificates and checkpoints, so that others can verify them offline.
//!
//! The key is made on first use and lies beside the database as `signing.key`, one line of text, readable by its owner
//! only; a key that others may read is refused. It is no part of a database backup: back it up apart, or verify old
//! signatures with the public key that stands in every certificate.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use seawall_base::{Error, ErrorKind, Result, Rng, durable};

use crate::catalog::Catalog;

#[cfg(test)]
mod tests;

/// The key's file in the catalog's folder.
const KEY_FILE: &str = "signing.key";
/// First word of the key file: algorithm and format.
const KEY_FORMAT: &str = "seawall-ed25519-v1";
/// Bytes of an Ed25519 seed and of a public key.
const KEY_BYTES: usize = 32;

/// An Ed25519 key pair. Its secret half leaves it only into the key file.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Ed25519KeyPair>,
}

impl SigningKey {
    fn from_seed(seed: &[u8]) -> Result<SigningKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|e| Error::corrupt("SW0650", "the signing key cannot be used").because(e))?;
        Ok(SigningKey { pair: Arc::new(pair) })
    }

    /// The 32 bytes of the public key.
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The 64 bytes of the signature of `bytes`.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", hex(self.public_key()))
    }
}

impl Catalog {
    /// The catalog's signing key, made on first use. Of two processes that make it at once both get the same.
    pub fn signing_key(&self) -> Result<SigningKey> {
        let mut held = self.inner.key.lock().expect("no holder of this lock panics");
        if let Some(key) = held.as_ref() {
            return Ok(key.clone());
        }
        let key = match &self.inner.folder {
            Some(folder) => load_or_create(&folder.join(KEY_FILE), self.inner.rng.as_ref())?,
            None => SigningKey::from_seed(&new_seed(self.inner.rng.as_ref()))?,
        };
        *held = Some(key.clone());
        Ok(key)
    }

    /// Signs `bytes` with the catalog's key.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(self.signing_key()?.sign(bytes))
    }
}

/// Verifies an Ed25519 signature without any catalog; `Invalid` (SW0652) when it is not this key's over these bytes.
pub fn verify_signature(public_key: &[u8], bytes: &[u8], signature: &[u8]) -> Result<()> {
    UnparsedPublicKey::new(&ED25519, public_key).verify(bytes, signature).map_err(|_| {
        let message = "the signature does not belong to these bytes and this key";
        Error::invalid("SW0652", message).hint("compare the public key with that of the catalog that signed")
    })
}

fn load_or_create(file: &Path, rng: &dyn Rng) -> Result<SigningKey> {
    match load(file) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        answer => return answer,
    }
    let content = format!("{KEY_FORMAT} {}\n", hex(&new_seed(rng)));
    durable::create_private(file, content.as_bytes())?;
    // Another process may have been faster: its key counts.
    load(file)
}

/// Where the signing key of the catalog in `folder` lies.
pub(crate) fn key_file(folder: &Path) -> std::path::PathBuf {
    folder.join(KEY_FILE)
}

pub(crate) fn load(file: &Path) -> Result<SigningKey> {
    use std::os::unix::fs::PermissionsExt;
    let unreadable = |e: std::io::Error| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, "SW0653", format!("reading the signing key {}", file.display())).because(e)
    };
    let mode = std::fs::metadata(file).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        let message = format!("the signing key {} may be read by others (mode {:o})", file.display(), mode & 0o777);
        let hint = format!("if nobody copied it: chmod 600 {}; else remove it, a new one is made", file.display());
        return Err(Error::new(ErrorKind::Denied, "SW0651", message).hint(hint));
    }
    let content = std::fs::read_to_string(file).map_err(unreadable)?;
    let damaged = || {
        Error::corrupt("SW0650", format!("the signing key {} cannot be read", file.display()))
            .hint("restore it from a backup, or remove it: a new key is made, old signatures stay verifiable")
    };
    let seed = content.trim_end().strip_prefix(KEY_FORMAT).map(str::trim_start).ok_or_else(damaged)?;
    let seed = unhex(seed).map_err(|_| damaged())?;
    if seed.len() != KEY_BYTES {
        return Err(damaged());
    }
    SigningKey::from_seed(&seed)
}

fn new_seed(rng: &dyn Rng) -> [u8; KEY_BYTES] {
    let mut seed = [0u8; KEY_BYTES];
    rng.fill(&mut seed);
    seed
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// Hexadecimal digits as bytes; `Invalid` (SW0654) for anything else.
pub fn unhex(text: &str) -> Result<Vec<u8>> {
    let bad = || Error::invalid("SW0654", "expected pairs of hexadecimal digits");
    if !text.len().is_multiple_of(2) {
        return Err(bad());
    }
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.as_bytes().chunks_exact(2) {
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or_else(bad);
        bytes.push((digit(pair[0])? << 4) | digit(pair[1])?);
    }
    Ok(bytes)
}
