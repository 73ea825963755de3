//! A subject's key and what it does: AES-256-GCM-SIV, which stays safe should a nonce ever come twice.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use seawall_base::Error;
use seawall_base::error::Result;

use super::KeyNumber;

/// Bytes that a seal adds.
pub const TAG_BYTES: usize = 16;

/// One subject's key.
#[derive(Clone)]
pub struct SubjectKey {
    number: KeyNumber,
    secret: [u8; 32],
}

impl std::fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SubjectKey({})", self.number.0)
    }
}

impl Drop for SubjectKey {
    fn drop(&mut self) {
        // Keeps the compiler from leaving the write out because nobody reads it.
        self.secret = std::hint::black_box([0; 32]);
    }
}

impl SubjectKey {
    pub(super) fn new(number: KeyNumber, secret: [u8; 32]) -> SubjectKey {
        SubjectKey { number, secret }
    }

    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Its number in the ring.
    pub fn number(&self) -> KeyNumber {
        self.number
    }

    /// Seals what `bytes` hold from `from` on, in place, and appends the tag.
    pub fn seal(&self, nonce: [u8; 12], about: &[u8], bytes: &mut Vec<u8>, from: usize) -> Result<()> {
        let tag = cipher(&self.secret)?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut bytes[from..])
            .map_err(|e| Error::internal("SW1606", "a field could not be sealed").because(e))?;
        bytes.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens a seal in place: what was sealed, without the tag. `Corrupt` when it is not what this key sealed.
    pub fn open<'b>(&self, nonce: [u8; 12], about: &[u8], sealed: &'b mut [u8]) -> Result<&'b mut [u8]> {
        let opened = cipher(&self.secret)?.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(about), sealed);
        opened.map_err(|_| {
            let message = format!("a sealed field is not what key {} sealed", self.number.0);
            Error::corrupt("SW1605", message).hint(
                "the folder `keys` belongs to another log, or the bytes were changed; `seawall verify data` tells more",
            )
        })
    }
}

pub(super) fn cipher(secret: &[u8; 32]) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM_SIV, secret);
    let key = key.map_err(|e| Error::internal("SW1606", "a key cannot be used").because(e))?;
    Ok(LessSafeKey::new(key))
}
