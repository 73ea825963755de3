//! The texts that were read and places in them: file, byte range, line and column.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// One file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Path relative to the project's folder.
    pub path: PathBuf,
    /// Its content.
    pub text: Arc<str>,
}

impl SourceFile {
    /// Line and column of a byte, both from 1; columns count characters, as editors do.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let before = &self.text[..floor_char(&self.text, byte)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

/// A byte range of one of the files, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Index of the file in the list that was parsed.
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Place {
    /// The range of bytes.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// The part of this place that begins `offset` bytes into it and is `length` bytes long.
    pub fn part(self, offset: usize, length: usize) -> Place {
        let start = (self.start + offset).min(self.end);
        Place { start, end: (start + length).min(self.end), ..self }
    }
}

/// The greatest character boundary of `text` that is not after `byte`.
pub(crate) fn floor_char(text: &str, byte: usize) -> usize {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
