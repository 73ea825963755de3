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

use std::path::Path;

use seawall_base::Hash;
use seawall_base::error::Result;

use super::error;

const MAGIC: [u8; 8] = *b"SWSTATE_";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
const BLOCK_BYTES: usize = 1 << 20;
const CRC_BYTES: usize = 4;

/// The file of a state with this hash.
pub(super) fn encode(state: &[u8], hash: Hash) -> Vec<u8> {
    let blocks = state.len().div_ceil(BLOCK_BYTES);
    let mut file = Vec::with_capacity(HEADER_BYTES + state.len() + blocks * CRC_BYTES);
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
    file.extend_from_slice(&(state.len() as u64).to_le_bytes());
    file.extend_from_slice(&hash.0);
    file.extend_from_slice(&[0; 4]);
    let crc = crc32c::crc32c(&file);
    file.extend_from_slice(&crc.to_le_bytes());
    for block in state.chunks(BLOCK_BYTES) {
        file.extend_from_slice(block);
        file.extend_from_slice(&crc32c::crc32c(block).to_le_bytes());
    }
    file
}

/// The state in a file; every byte of the file is checked.
pub(super) fn decode(path: &Path, file: &[u8]) -> Result<Vec<u8>> {
    let header = file.get(..HEADER_BYTES).ok_or_else(|| error::damaged(path, "it ends within its header"))?;
    if header[..8] != MAGIC || crc32c::crc32c(&header[..60]) != number(&header[60..]) {
        return Err(error::damaged(path, "its header is not what was written"));
    }
    if number(&header[8..12]) != VERSION {
        return Err(error::other_version(path, number(&header[8..12])));
    }
    let length = u64::from_le_bytes(header[16..24].try_into().expect("eight bytes"));
    let mut state = Vec::with_capacity(file.len());
    let mut at = HEADER_BYTES;
    for block in file[HEADER_BYTES..].chunks(BLOCK_BYTES + CRC_BYTES) {
        let checked = block.split_last_chunk::<CRC_BYTES>();
        let Some((data, _)) = checked.filter(|(data, crc)| crc32c::crc32c(data) == number(&crc[..])) else {
            return Err(error::damaged(path, format!("the block at byte {at} is not what was written")));
        };
        state.extend_from_slice(data);
        at += block.len();
    }
    if state.len() as u64 != length || Hash::of(&state).0 != header[24..56] {
        return Err(error::damaged(path, format!("it should hold a state of {length} bytes")));
    }
    Ok(state)
}

/// The little-endian number in four bytes.
fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}
