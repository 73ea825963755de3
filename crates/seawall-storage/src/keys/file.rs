//! The file of the ring: a header, then a record per key. Its layout is described to the byte in `docs/formats.md`.

use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{Aad, Nonce};
use seawall_base::error::Result;
use seawall_base::{Error, Instant, Rng};

use super::installation::Installation;
use super::seal::{SubjectKey, TAG_BYTES, cipher};
use super::{Key, KeyNumber, Subject, unavailable};

/// Its name in the folder of keys.
pub(super) const NAME: &str = "ring";
const MAGIC: &[u8; 8] = b"SWKEYRNG";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
/// Bytes of a record.
pub(super) const RECORD_BYTES: usize = 104;
/// Of a record: kind, number, subject and instant, which the wrapping covers too.
const FRONT_BYTES: usize = 40;
const KIND_KEPT: u32 = 1;
const KIND_DESTROYED: u32 = 2;

pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// What the file begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// Random identity of the ring.
    pub ring: u64,
    /// How often it was written anew.
    pub generation: u64,
    /// Id of the installation key that wraps the keys.
    pub wrapped_by: u64,
}

/// One key.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub number: KeyNumber,
    /// Absent for a destroyed key.
    pub subject: Option<Subject>,
    pub key: Key,
}

/// The file, read.
pub(super) struct Contents {
    pub header: Header,
    pub records: Vec<Record>,
    /// Where the last whole record ends.
    pub end: u64,
}

/// The whole file.
pub(super) fn encode(
    header: Header,
    records: &[Record],
    installation: &Installation,
    rng: &dyn Rng,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + records.len() * RECORD_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(RECORD_BYTES as u32).to_le_bytes());
    for number in [header.ring, header.generation, header.wrapped_by] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.resize(HEADER_BYTES - 4, 0);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    for record in records {
        put(&mut bytes, record, installation, rng)?;
    }
    Ok(bytes)
}

/// Appends a record.
pub(super) fn put(out: &mut Vec<u8>, record: &Record, installation: &Installation, rng: &dyn Rng) -> Result<()> {
    let from = out.len();
    let (kind, instant) = match &record.key {
        Key::Kept(_) => (KIND_KEPT, Instant(0)),
        Key::Destroyed(at) => (KIND_DESTROYED, *at),
    };
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&0u32.to_le_bytes());
    out.extend_from_slice(&record.number.0.to_le_bytes());
    out.extend_from_slice(&record.subject.map_or([0; 16], |subject| subject.0));
    out.extend_from_slice(&instant.0.to_le_bytes());
    if let Key::Kept(key) = &record.key {
        let mut nonce = [0; 12];
        rng.fill(&mut nonce);
        let mut wrapped = *key.secret();
        let tag = cipher(installation.key())?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&out[from..]), &mut wrapped)
            .map_err(|e| Error::internal("SW1606", "a key could not be wrapped").because(e))?;
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&wrapped);
        out.extend_from_slice(tag.as_ref());
    }
    out.resize(from + RECORD_BYTES - 4, 0);
    let checksum = crc32c::crc32c(&out[from..]);
    out.extend_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Reads the file with the installation key that it names. A torn end is left out: no key in it was ever used.
pub(super) fn read(path: &Path, installation: &mut Installation) -> Result<Contents> {
    let bytes = std::fs::read(path).map_err(|e| unavailable("read", path, e))?;
    parse(path, &bytes, installation)
}

/// Like [`read`], of bytes that were read from `path`.
pub(super) fn parse(path: &Path, bytes: &[u8], installation: &mut Installation) -> Result<Contents> {
    let damaged = |what: String| {
        Error::corrupt("SW1602", format!("the key ring {} {what}", path.display()))
            .in_file(path, None)
            .hint("put the folder `keys` back as it was, from the data folder or a backup of it")
    };
    let header = read_header(bytes).map_err(damaged)?;
    if !installation.choose(header.wrapped_by) {
        return Err(damaged("is wrapped by another installation key than the one beside it".to_owned()));
    }
    let records = &bytes[HEADER_BYTES..];
    let whole = records.chunks_exact(RECORD_BYTES);
    let count = whole.clone().take_while(|record| is_whole(record)).count();
    if whole.clone().skip(count).any(is_whole) || !is_torn(&records[count * RECORD_BYTES..]) {
        return Err(damaged(format!("is damaged at record {count}")));
    }
    let mut read = Vec::with_capacity(count);
    for (at, record) in whole.take(count).enumerate() {
        read.push(read_record(record, at as u64, installation).map_err(damaged)?);
    }
    Ok(Contents { header, records: read, end: (HEADER_BYTES + count * RECORD_BYTES) as u64 })
}

fn read_header(bytes: &[u8]) -> std::result::Result<Header, String> {
    let header = bytes.get(..HEADER_BYTES).ok_or("is cut off")?;
    if header.get(..8) != Some(MAGIC) || checksum_of(header) != stored_checksum(header) {
        return Err("has a damaged header".to_owned());
    }
    if u32_at(header, 8) != VERSION || u32_at(header, 12) != RECORD_BYTES as u32 {
        return Err(format!("has version {}, which this Seawall does not know", u32_at(header, 8)));
    }
    Ok(Header { ring: u64_at(header, 16), generation: u64_at(header, 24), wrapped_by: u64_at(header, 32) })
}

/// Whether a crash can have left these bytes at the end of the ring: part of a record, or one whose end was not written, so
/// that zeros are in its place. A record that was synced has its checksum, and damage to it is no crash.
fn is_torn(end: &[u8]) -> bool {
    match end.split_at_checked(RECORD_BYTES - 4) {
        Some((_, rest)) if end.len() >= RECORD_BYTES => rest.iter().all(|byte| *byte == 0),
        Some(_) | None => true,
    }
}

fn is_whole(record: &[u8]) -> bool {
    checksum_of(record) == stored_checksum(record) && u32_at(record, 0) != 0
}

fn read_record(record: &[u8], number: u64, installation: &Installation) -> std::result::Result<Record, String> {
    if u64_at(record, 8) != number {
        return Err(format!("has key {} in the place of key {number}", u64_at(record, 8)));
    }
    let (front, wrapped) = record.split_at(FRONT_BYTES);
    let number = KeyNumber(number);
    match u32_at(record, 0) {
        KIND_DESTROYED => {
            let at = Instant(u64_at(record, 32) as i64);
            Ok(Record { number, subject: None, key: Key::Destroyed(at) })
        }
        KIND_KEPT => {
            let refused = || format!("has a key {} that the installation key does not open", number.0);
            let mut subject = [0; 16];
            subject.copy_from_slice(&front[16..32]);
            let mut nonce = [0; 12];
            nonce.copy_from_slice(&wrapped[..12]);
            let mut secret = [0; 32 + TAG_BYTES];
            secret.copy_from_slice(&wrapped[12..12 + 32 + TAG_BYTES]);
            let cipher = cipher(installation.key()).map_err(|_| refused())?;
            let opened = cipher.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(front), &mut secret);
            let opened: &[u8; 32] = opened.map_err(|_| refused())?.first_chunk().ok_or_else(refused)?;
            let key = Key::Kept(SubjectKey::new(number, *opened));
            Ok(Record { number, subject: Some(Subject(subject)), key })
        }
        kind => Err(format!("has a record of kind {kind}, which this Seawall does not know")),
    }
}

fn checksum_of(block: &[u8]) -> u32 {
    crc32c::crc32c(&block[..block.len() - 4])
}

fn stored_checksum(block: &[u8]) -> u32 {
    u32_at(block, block.len() - 4)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("blocks have a fixed length"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("blocks have a fixed length"))
}
