//! Backups: files cut into pieces that are kept by their hash, and a manifest per backup that says which pieces make
//! which file.
//!
//! A piece is kept once, whichever files and backups have it, so a backup adds only what is new. The manifest is written
//! last: a backup that was cut off is none, and its pieces serve the next one. What a backup consists of, and in which
//! order it is read so that its parts agree, is decided by whoever takes it; here are the parts that know no format:
//! [`store`] keeps pieces in a vault (a folder, or a bucket), [`manifest`] describes backups, [`take`] reads files into them, [`verify`] reads them back.

mod manifest;
mod moment;
mod store;
mod take;
#[cfg(test)]
mod tests;
mod verify;

pub use manifest::{Damaged, KeptFile, Manifest};
pub use moment::arrival_of;
pub use store::{PIECE_BYTES, Store};
pub use take::{Item, Taken, Taking, clear};
pub use verify::{check, write_file};
