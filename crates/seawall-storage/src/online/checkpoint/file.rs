//! State files: an encoded view state in checksummed blocks.
//!
//! A header of 64 bytes, little-endian, then blocks of up to 1 MiB, each followed by its CRC32C (4 bytes):
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `SWSTATE_` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | block length in bytes, 1,048,576; only the last block is shorter |
//! | 16 | 8 | length of the state in bytes |
//! | 24 | 32 | BLAKE3 of the state |
//! | 56 | 4 | zero |
//! | 60 | 4 | CRC32C of bytes 0 to 60 |

use std::borrow::Cow;
use std::path::Path;

use seawall_base::Hash;
use seawall_base::error::Result;

use super::error;

const MAGIC: [u8; 8] = *b"SWSTATE_";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
const BLOCK_BYTES: usize = 1 << 20;
const CRC_BYTES: usize = 4;

/// The file of a state with this hash, piece by piece: a state may be as large as memory allows, so there is no second copy.
pub(super) fn pieces(state: &[u8], hash: Hash) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
    header.extend_from_slice(&(state.len() as u64).to_le_bytes());
    header.extend_from_slice(&hash.0);
    header.extend_from_slice(&[0; 4]);
    let crc = crc32c::crc32c(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    let crc_of = |block: &[u8]| Cow::Owned(crc32c::crc32c(block).to_le_bytes().to_vec());
    let blocks = state.chunks(BLOCK_BYTES).flat_map(move |block| [Cow::Borrowed(block), crc_of(block)]);
    std::iter::once(Cow::Owned(header)).chain(blocks)
}

/// The state in a file, in the file's own memory; every byte of the file is checked.
pub(super) fn decode(path: &Path, mut file: Vec<u8>) -> Result<Vec<u8>> {
    let header = file.first_chunk::<HEADER_BYTES>().ok_or_else(|| error::damaged(path, "it ends within its header"))?;
    if header[..8] != MAGIC || crc32c::crc32c(&header[..60]) != number(&header[60..]) {
        return Err(error::damaged(path, "its header is not what was written"));
    }
    if number(&header[8..12]) != VERSION {
        return Err(error::other_version(path, number(&header[8..12])));
    }
    let length = u64::from_le_bytes(header[16..24].try_into().expect("eight bytes"));
    let hash: [u8; 32] = header[24..56].try_into().expect("thirty-two bytes");
    let (mut at, mut end) = (HEADER_BYTES, 0);
    while at < file.len() {
        let block = &file[at..file.len().min(at + BLOCK_BYTES + CRC_BYTES)];
        let checked = block.split_last_chunk::<CRC_BYTES>();
        let Some((data, _)) = checked.filter(|(data, crc)| crc32c::crc32c(data) == number(&crc[..])) else {
            return Err(error::damaged(path, format!("the block at byte {at} is not what was written")));
        };
        let (data, block) = (data.len(), block.len());
        file.copy_within(at..at + data, end);
        end += data;
        at += block;
    }
    file.truncate(end);
    if file.len() as u64 != length || Hash::of(&file).0 != hash {
        return Err(error::damaged(path, format!("it should hold a state of {length} bytes")));
    }
    Ok(file)
}

/// The little-endian number in four bytes.
fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}
