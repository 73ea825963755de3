use std::io::Write;

use super::super::{INFLIGHT_BYTES_MAX, Room};
use super::*;

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

fn zstd(bytes: &[u8]) -> Bytes {
    ::zstd::encode_all(bytes, 3).unwrap().into()
}

fn unpacked(encoding: Encoding, packed: Bytes) -> Result<Bytes> {
    let room = Room::default();
    let mut taken = room.take("ada", packed.len()).unwrap();
    let unpacked = decompress(encoding, packed, &mut taken);
    assert!(room.taken() <= INFLIGHT_BYTES_MAX);
    unpacked
}

#[test]
fn what_was_packed_is_unpacked() {
    for bytes in [vec![], b"{\"a\": 1}\n".to_vec(), b"abc".repeat(100_000)] {
        assert_eq!(unpacked(Encoding::Gzip, gzip(&bytes)).unwrap(), bytes);
        assert_eq!(unpacked(Encoding::Zstd, zstd(&bytes)).unwrap(), bytes);
        assert_eq!(unpacked(Encoding::Identity, bytes.clone().into()).unwrap(), bytes);
    }
    let two_members: Bytes = [gzip(b"a"), gzip(b"b")].concat().into();
    assert_eq!(unpacked(Encoding::Gzip, two_members).unwrap(), "ab");
}

#[test]
fn bombs_end_at_the_limit() {
    let zeros = vec![0; BODY_BYTES_MAX + 1];
    assert_eq!(unpacked(Encoding::Gzip, gzip(&zeros)).unwrap_err().code(), "SW0889");
    assert_eq!(unpacked(Encoding::Zstd, zstd(&zeros)).unwrap_err().code(), "SW0889");
    let room = Room::new(1 << 20);
    let mut taken = room.take("ada", 100).unwrap();
    assert_eq!(decompress(Encoding::Zstd, zstd(&zeros), &mut taken).unwrap_err().code(), "SW0884");
    drop(taken);
    assert_eq!(room.taken(), 0);
}

#[test]
fn damaged_and_cut_off_bodies_are_refused() {
    let bytes = b"some text that is long enough to be cut".repeat(10);
    for (encoding, packed) in [(Encoding::Gzip, gzip(&bytes)), (Encoding::Zstd, zstd(&bytes))] {
        for end in [1, packed.len() / 2, packed.len() - 1] {
            assert_eq!(unpacked(encoding, packed.slice(..end)).unwrap_err().code(), "SW0888", "{encoding:?} {end}");
        }
        assert_eq!(unpacked(encoding, Bytes::from_static(b"not packed at all")).unwrap_err().code(), "SW0888");
    }
}

#[test]
fn large_windows_are_refused() {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&b"window".repeat(1000)).unwrap();
    let packed: Bytes = encoder.finish().unwrap().into();
    assert_eq!(unpacked(Encoding::Zstd, packed).unwrap_err().code(), "SW0888");
}

#[test]
fn only_known_encodings_are_read() {
    assert_eq!(Encoding::parse(" GZip ").unwrap(), Encoding::Gzip);
    assert_eq!(Encoding::parse("").unwrap(), Encoding::Identity);
    assert_eq!(Encoding::parse("br").unwrap_err().code(), "SW1206");
}
