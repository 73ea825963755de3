//! The least of HTTP/1.1 that a load generator needs: where an answer ends.

use std::io::{Read, Write};
use std::net::TcpStream;

#[cfg(test)]
mod tests;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Bytes that are read at once at least.
const READ_BYTES: usize = 64 << 10;

/// Status, where the body begins, and its length; none while the head is incomplete.
pub(super) fn parse_head(answer: &[u8]) -> Option<(u16, usize, usize)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })?;
    Some((status, end + 4, length))
}

/// An answer, in the connection's buffer.
pub(super) struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'a [u8],
}

/// A connection that is kept open, with one request at a time.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to `host`, which is `HOST:PORT`.
    pub fn open(host: &str) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: vec![0; READ_BYTES] })
    }

    /// Sends a whole request and reads its answer, whose length must be stated.
    pub fn exchange(&mut self, request: &[u8]) -> std::io::Result<Answer<'_>> {
        self.stream.write_all(request)?;
        let (mut filled, mut stated) = (0, None);
        loop {
            if filled == self.buffer.len() {
                if filled >= ANSWER_BYTES_MAX {
                    return Err(std::io::Error::other("the answer is too long"));
                }
                self.buffer.resize(filled * 2, 0);
            }
            match self.stream.read(&mut self.buffer[filled..])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
            stated = stated.or_else(|| parse_head(&self.buffer[..filled]));
            let Some((status, begin, length)) = stated else { continue };
            if filled >= begin + length {
                return Ok(Answer { status, body: &self.buffer[begin..begin + length] });
            }
        }
    }
}
