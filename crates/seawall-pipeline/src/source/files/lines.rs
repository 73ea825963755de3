//! Physical lines of a text file, with their numbers and a limit on their length.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

use super::RECORD_BYTES_MAX;

/// One physical line.
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes with the line terminator, or the beginning of them when the line is too long.
    pub(super) bytes: Vec<u8>,
    /// Whether the line is longer than [`RECORD_BYTES_MAX`].
    pub(super) too_long: bool,
}

impl Line {
    /// The line without its terminator, `\n` or `\r\n`.
    pub(super) fn body(&self) -> &[u8] {
        let body = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        body.strip_suffix(b"\r").unwrap_or(body)
    }

    /// The terminator.
    pub(super) fn terminator(&self) -> &[u8] {
        &self.bytes[self.body().len()..]
    }

    /// Whether there is nothing on the line but blanks.
    pub(super) fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

/// The lines of an input; lines can be put back. A byte order mark at the start is dropped.
pub(super) struct Lines {
    input: Box<dyn BufRead + Send>,
    last_number: u64,
    put_back: VecDeque<Line>,
}

impl Lines {
    pub(super) fn new(input: Box<dyn BufRead + Send>) -> Self {
        Lines { input, last_number: 0, put_back: VecDeque::new() }
    }

    /// The next line, or none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.put_back.pop_front() {
            return Ok(Some(line));
        }
        let mut bytes = Vec::new();
        self.input.by_ref().take(RECORD_BYTES_MAX as u64 + 1).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let too_long = bytes.len() > RECORD_BYTES_MAX;
        if too_long && bytes.last() != Some(&b'\n') {
            self.input.skip_until(b'\n')?;
        }
        self.last_number += 1;
        if self.last_number == 1 && bytes.starts_with(b"\xEF\xBB\xBF") {
            bytes.drain(..3);
        }
        Ok(Some(Line { number: self.last_number, bytes, too_long }))
    }

    /// Makes `lines` the next ones again, in their order.
    pub(super) fn put_back(&mut self, lines: Vec<Line>) {
        for line in lines.into_iter().rev() {
            self.put_back.push_front(line);
        }
    }
}
