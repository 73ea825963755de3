use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

#[test]
fn a_head_is_complete_or_nothing() {
    assert_eq!(parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n"), None);
    assert_eq!(parse_head(b"HTTP/1.1 429 Busy\r\ncontent-length: 3\r\n\r\nabc"), Some((429, 40, 3)));
    assert_eq!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), None);
}

#[test]
fn answers_longer_than_the_buffer_are_read_to_their_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let lengths = [5, 3 * READ_BYTES, 1];
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for length in lengths {
            stream.read_exact(&mut [0; 4]).unwrap();
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").unwrap();
            stream.write_all(&vec![b'x'; length]).unwrap();
        }
    });
    let mut connection = Connection::open(&host).unwrap();
    for length in lengths {
        let answer = connection.exchange(b"ask!").unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, length));
        assert!(answer.body.iter().all(|byte| *byte == b'x'));
    }
    server.join().unwrap();
    assert!(connection.exchange(b"ask!").is_err(), "the server has gone");
}
