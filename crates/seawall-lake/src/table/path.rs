//! Keeps every path of a table inside the table.
//!
//! A Delta log is data, and data may lie: `../x`, `%2e%2e/x`, `/etc/x` and `file:///etc/x` are all legal texts for the
//! path of a file. Each one is checked here before anything is opened.

use std::path::{Path as FilePath, PathBuf};

use object_store::path::Path;
use seawall_base::error::{Error, Result};

use crate::codes;

/// Rounds of percent-decoding after which a path must have settled.
const DECODINGS_MAX: usize = 4;

/// The decoded path of a data file, relative to its table's root; fails when it could lead anywhere else.
pub(crate) fn confine(table: &str, raw: &str) -> Result<String> {
    let escapes = |why: &str| {
        Error::corrupt(codes::PATH_ESCAPES, format!("the log of table {table} names the file {raw:?}, which {why}"))
            .hint("the log was tampered with, or written by a program that Seawall does not know: restore the table")
    };
    let mut path = raw.to_owned();
    check_inside(&path).map_err(escapes)?;
    let first_decoding = percent_decode(&path).map_err(escapes)?;
    for _ in 0..DECODINGS_MAX {
        let decoded = percent_decode(&path).map_err(escapes)?;
        if decoded == path {
            Path::parse(&first_decoding).map_err(|e| escapes("no object store accepts").because(e))?;
            return Ok(first_decoding);
        }
        check_inside(&decoded).map_err(escapes)?;
        path = decoded;
    }
    Err(escapes("is percent-encoded again and again"))
}

fn check_inside(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("is empty");
    }
    if path.starts_with('/') || path.contains('\\') {
        return Err("does not begin inside the table's folder");
    }
    if path.contains(':') {
        return Err("could be a URL");
    }
    if path.chars().any(char::is_control) {
        return Err("has control characters");
    }
    if path.split('/').any(|part| part == ".." || part == "." || part.is_empty()) {
        return Err("leaves the table's folder");
    }
    if path.starts_with("_delta_log/") || path.starts_with("_seawall/") {
        return Err("is a part of the log");
    }
    Ok(())
}

fn percent_decode(text: &str) -> Result<String, &'static str> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match (bytes[at], hex) {
            (b'%', Some(hex)) => {
                decoded.push(u8::from_str_radix(hex, 16).map_err(|_| "is not percent-encoded text")?);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).map_err(|_| "is not UTF-8")
}

/// Fails when `file`, which exists, is reached through a symbolic link that leads out of `root`.
pub(crate) fn confine_on_disk(table: &str, root: &FilePath, file: &FilePath) -> Result<PathBuf> {
    let root = root.canonicalize()?;
    let resolved = file.canonicalize()?;
    if !resolved.starts_with(&root) {
        let shown = file.display();
        return Err(Error::corrupt(
            codes::PATH_ESCAPES,
            format!("{shown} of table {table} is a link out of its folder"),
        )
        .hint("replace the link by the file it leads to, if that file belongs to the table"));
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests;
