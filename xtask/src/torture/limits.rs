//! Limits of the process: too few descriptors for its connections, and a file size that ends a segment early.
//!
//! The server refuses what it cannot do, keeps what it acknowledged, and takes events again once the pressure ends.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use super::bench::{Bench, Trials};
use super::book::Findings;
use super::clock::Stopwatch;
use super::produce::Load;
use super::server::{START_MAX, Server, Started};
use super::session::Session;

/// Descriptors beyond those of a server at rest, drawn up to here.
const DESCRIPTORS: (u64, u64) = (64, 160);
/// Idle connections that somebody holds open.
const CONNECTIONS: usize = 260;
/// A server without descriptors accepts nobody; its queue of connections fills up.
const CONNECT_MAX: Duration = Duration::from_millis(20);
/// Within this, events are acknowledged once connections are let go.
const RESUME_MAX: Duration = Duration::from_secs(5);

/// Starves servers of descriptors until there were enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        let mut session = Session::begin(bench, trials, Load::default())?;
        let mut findings = Findings::default();
        let descriptors = DESCRIPTORS.0 + session.draw.below(DESCRIPTORS.1 - DESCRIPTORS.0);
        let mut launch = session.installation.launch.clone();
        launch.wrap = vec!["prlimit".into(), format!("--nofile={descriptors}"), "--".into()];
        match launch.spawn()?.listening(START_MAX)? {
            Started::Listening(server) => {
                session.check_start(&server, &mut findings)?;
                starve(&mut session, &server, &mut findings)?;
                findings.join(session.audit_running(&server));
                server.kill()?;
            }
            // Too few even to start is said, and nothing is broken by it.
            Started::Ended(_) => {}
        }
        findings.join(session.audit()?);
        trials.done(&findings);
        session.end(trials);
    }
    Ok(())
}

fn starve(session: &mut Session, server: &Server, findings: &mut Findings) -> Result<()> {
    let producers = session.produce(server);
    std::thread::sleep(Duration::from_millis(400));
    let address: SocketAddr = server.url.trim_start_matches("http://").parse().context("reading the address")?;
    let connect = |_| TcpStream::connect_timeout(&address, CONNECT_MAX).ok();
    let held: Vec<TcpStream> = (0..CONNECTIONS).filter_map(connect).collect();
    std::thread::sleep(Duration::from_millis(1_200));
    drop(held);
    let before = session.books.acknowledged();
    let watch = Stopwatch::start();
    while session.books.acknowledged() <= before + 1 && watch.elapsed() < RESUME_MAX {
        std::thread::sleep(Duration::from_millis(20));
    }
    if session.books.acknowledged() <= before + 1 {
        findings.deceive(format!("no event is acknowledged within {RESUME_MAX:?} after the connections ended"));
    }
    findings.join(producers.stop().findings);
    Ok(())
}
