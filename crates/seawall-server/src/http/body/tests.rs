use std::convert::Infallible;
use std::io;

use futures::stream;

use super::*;
use crate::ingest::Room;

const IMPATIENT: Patience =
    Patience { pause_max: Duration::from_millis(20), body_time_max: Duration::from_millis(200) };

fn chunks(pieces: &[&'static str]) -> Body {
    let pieces: Vec<Result<Bytes, Infallible>> =
        pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect();
    Body::from_stream(stream::iter(pieces))
}

struct Read {
    read: Result<Bytes>,
    counted: String,
}

async fn read_with(room: &Room, body: Body, stated: Option<u64>) -> Read {
    let counters = Counters::default();
    let mut taken = room.take("ada", stated.unwrap_or(0) as usize).unwrap();
    let read = read(body, stated, IMPATIENT, &mut taken, &counters).await;
    let mut counted = String::new();
    counters.render(&mut counted, 0);
    Read { read, counted }
}

#[track_caller]
fn check_cut_off(read: &Read, code: &str, reason: &str) {
    assert_eq!(read.read.as_ref().unwrap_err().code(), code);
    let line = format!("seawall_ingest_cut_off_total{{reason=\"{reason}\"}} 1");
    assert!(read.counted.contains(&line), "{}", read.counted);
}

#[tokio::test]
async fn pieces_become_one_body() {
    for stated in [Some(6), None] {
        let room = Room::default();
        let read = read_with(&room, chunks(&["ab", "", "cdef"]), stated).await;
        assert_eq!(read.read.unwrap(), "abcdef");
        assert_eq!(room.taken(), 0, "room is given back");
    }
    assert_eq!(read_with(&Room::default(), Body::empty(), None).await.read.unwrap(), "");
}

#[tokio::test]
async fn who_stops_in_the_middle_is_cut_off() {
    let stalled = stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"ab"))]).chain(stream::pending());
    check_cut_off(&read_with(&Room::default(), Body::from_stream(stalled), Some(4)).await, "SW1202", "slow");
}

#[tokio::test]
async fn who_drips_is_cut_off_by_the_whole_time() {
    let drip = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Some((Ok::<_, io::Error>(Bytes::from_static(b"x")), ()))
    });
    check_cut_off(&read_with(&Room::default(), Body::from_stream(drip), Some(1_000)).await, "SW1202", "slow");
}

#[tokio::test]
async fn a_connection_that_breaks_is_cut_off() {
    let broken = stream::iter([Ok(Bytes::from_static(b"ab")), Err(io::Error::other("reset"))]);
    check_cut_off(&read_with(&Room::default(), Body::from_stream(broken), Some(4)).await, "SW1205", "broken");
}

#[tokio::test]
async fn a_reader_that_is_dropped_counts_as_broken() {
    let counters = Counters::default();
    let mut room = Room::default().take("ada", 4).unwrap();
    let never = Body::from_stream(stream::pending::<Result<Bytes, io::Error>>());
    {
        let reading = read(never, Some(4), Patience::default(), &mut room, &counters);
        assert!(reading.now_or_never().is_none());
    }
    let mut counted = String::new();
    counters.render(&mut counted, 0);
    assert!(counted.contains("{reason=\"broken\"} 1"), "{counted}");
}

#[tokio::test]
async fn chunks_beyond_what_was_stated_need_room_and_end_at_the_limit() {
    let endless = || stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from(vec![b'x'; 1 << 20])));
    let small = Room::new(4 << 20);
    check_cut_off(&read_with(&small, Body::from_stream(endless()), None).await, "SW0884", "busy");
    assert_eq!(small.taken(), 0);
    check_cut_off(&read_with(&Room::default(), Body::from_stream(endless()), None).await, "SW0889", "oversized");
}
