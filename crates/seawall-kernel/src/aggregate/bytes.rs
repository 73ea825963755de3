//! Little-endian bytes, written without bounds and read with them: no length in the input is believed before the bytes
//! it promises have been seen.

use seawall_base::Error;
use seawall_base::error::Result;

/// Appends numbers and strings to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.u64(value as u64);
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Seven bits per byte, lowest first, the eighth bit says that more follow.
    pub(crate) fn varint(&mut self, mut value: u128) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A signed number as a varint, small magnitudes short.
    pub(crate) fn zigzag(&mut self, value: i128) {
        self.varint(((value << 1) ^ (value >> 127)) as u128);
    }

    pub(crate) fn len(&mut self, value: usize) {
        self.varint(value as u128);
    }

    /// A length and that many bytes.
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.len(value.len());
        self.0.extend_from_slice(value);
    }
}

/// Takes numbers and strings from the front of a buffer.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        if count > self.0.len() {
            return Err(garbage("it ends too early"));
        }
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0u8; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        Ok(self.u64()? as i64)
    }

    pub(crate) fn u128(&mut self) -> Result<u128> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    pub(crate) fn varint(&mut self) -> Result<u128> {
        if let Some(short) = self.short_varint() {
            return Ok(u128::from(short));
        }
        let mut value = 0u128;
        for shift in (0..128).step_by(7) {
            let byte = self.u8()?;
            let low = u128::from(byte & 0x7f);
            if shift == 126 && low > 0b11 {
                return Err(garbage("a number is longer than 128 bits"));
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(garbage("a number is longer than 128 bits"))
    }

    /// A number of at most 56 bits, taken; otherwise nothing is.
    fn short_varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (index, byte) in self.0.iter().take(8).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn zigzag(&mut self) -> Result<i128> {
        let value = self.varint()?;
        Ok(((value >> 1) as i128) ^ -((value & 1) as i128))
    }

    /// A count of things that take at least one byte each, so it can be no greater than the bytes that are left.
    pub(crate) fn len(&mut self) -> Result<usize> {
        let value = self.varint()?;
        match usize::try_from(value) {
            Ok(value) if value <= self.0.len() => Ok(value),
            _ => Err(garbage("a count exceeds the bytes that are left")),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let count = self.len()?;
        self.take(count)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|e| garbage("a text is not UTF-8").because(e))
    }
}

/// The error for bytes that no state encodes to.
pub(crate) fn garbage(what: &str) -> Error {
    Error::corrupt("SW0330", format!("an encoded feature state cannot be read: {what}"))
        .hint("discard it and rebuild the state from the table or from an older checkpoint and the log")
}
