//! A TCP proxy that behaves like a bad network: slow, cutting connections with a reset, swallowing what was sent.
//!
//! Faults are drawn per connection, from a seed. Bytes are never changed: TCP promises that much.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use super::seeded::Seeded;

/// Bytes that are moved at once.
const PIECE_BYTES: usize = 2_048;
/// How long a half-open connection is kept before it is dropped.
const HALF_OPEN: Duration = Duration::from_millis(700);
/// How long a read waits before it looks whether the proxy is to stop.
const POLL: Duration = Duration::from_millis(100);

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// Every piece is late by so much.
    Slow(Duration),
    /// Reset after so many bytes of the request.
    CutRequest(usize),
    /// Reset after so many bytes of the answer: the server took the events, and nobody hears of it.
    CutAnswer(usize),
    /// The request arrives; the answer never does, and the connection stays open for a while.
    HalfOpen,
}

/// A listening proxy; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where producers connect.
    pub url: String,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens, and passes connections on to `server`.
    pub fn start(server: &str, seed: u64) -> Result<Proxy> {
        let target: SocketAddr =
            server.trim_start_matches("http://").parse().context("reading the server's address")?;
        let listener = TcpListener::bind("127.0.0.1:0").context("listening as a proxy")?;
        let url = format!("http://{}", listener.local_addr().context("finding the proxy's address")?);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        listener.set_nonblocking(true).context("listening as a proxy")?;
        std::thread::spawn(move || accept(&listener, target, seed, &stopped));
        Ok(Proxy { url, stop })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, seed: u64, stop: &Arc<AtomicBool>) {
    let mut draw = Seeded::new(seed, 77);
    while !stop.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((client, _)) => {
                let (weather, stop) = (weather(&mut draw), stop.clone());
                // A failed connection is what the proxy is for.
                std::thread::spawn(move || drop(connection(client, target, weather, &stop)));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn weather(draw: &mut Seeded) -> Weather {
    match draw.below(5) {
        0 => Weather::CutRequest(1 + draw.below(20_000) as usize),
        1 => Weather::CutAnswer(draw.below(3_000) as usize),
        2 => Weather::HalfOpen,
        _ => Weather::Slow(Duration::from_millis(draw.below(30))),
    }
}

fn connection(client: TcpStream, target: SocketAddr, weather: Weather, stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    let server = TcpStream::connect(target)?;
    for stream in [&client, &server] {
        // Accepted sockets inherit nothing on Linux, but say it all the same.
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(POLL))?;
        stream.set_nodelay(true)?;
    }
    let (there, back) = match weather {
        Weather::Slow(late) => (Way::all(late), Way::all(late)),
        Weather::CutRequest(bytes) => (Way::cut(bytes), Way::all(Duration::ZERO)),
        Weather::CutAnswer(bytes) => (Way::all(Duration::ZERO), Way::cut(bytes)),
        Weather::HalfOpen => (Way::all(Duration::ZERO), Way { swallow: true, ..Way::all(Duration::ZERO) }),
    };
    let (from, to, stopped) = (client.try_clone()?, server.try_clone()?, stop.clone());
    let upstream = std::thread::spawn(move || carry(from, to, there, &stopped));
    carry(server, client, back, stop);
    let _ = upstream.join();
    Ok(())
}

/// How bytes go one way.
#[derive(Debug, Clone, Copy)]
struct Way {
    late: Duration,
    bytes_max: usize,
    swallow: bool,
}

impl Way {
    fn all(late: Duration) -> Way {
        Way { late, bytes_max: usize::MAX, swallow: false }
    }

    fn cut(bytes_max: usize) -> Way {
        Way { late: Duration::ZERO, bytes_max, swallow: false }
    }
}

/// Carries bytes until either side ends, then ends both.
fn carry(mut from: TcpStream, mut to: TcpStream, way: Way, stop: &AtomicBool) {
    let mut piece = [0; PIECE_BYTES];
    let mut left = way.bytes_max;
    let mut waited = Duration::ZERO;
    while !stop.load(Ordering::SeqCst) {
        let length = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                waited += POLL;
                if way.swallow && waited > HALF_OPEN {
                    break;
                }
                continue;
            }
            Err(_) => break,
        };
        std::thread::sleep(way.late);
        let kept = length.min(left);
        if !way.swallow && to.write_all(&piece[..kept]).is_err() {
            break;
        }
        left -= kept;
        if left == 0 {
            break;
        }
    }
    // Unread bytes make the kernel send a reset instead of an orderly end.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
