//! A bad network between producers and server: requests that never arrive, answers that never come back.

use std::time::Duration;

use anyhow::Result;

use super::bench::{Bench, Trials};
use super::book::Findings;
use super::produce::{Load, Producers};
use super::proxy::Proxy;
use super::session::Session;

const TRIALS_PER_SESSION: u64 = 10;
/// How long producers work through one proxy.
const RUN: Duration = Duration::from_millis(2_500);

/// Runs producers through bad networks until there were enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        let load = Load { producers: 6, batch_max: 60, request_max: Duration::from_millis(1_000), ..Load::default() };
        let mut session = Session::begin(bench, trials, load)?;
        let mut findings = Findings::default();
        let Some(server) = session.start(&mut findings)? else {
            trials.done(&findings);
            continue;
        };
        for number in 1..=TRIALS_PER_SESSION {
            let proxy = Proxy::start(&server.url, session.draw.next())?;
            let producers = Producers::start(&proxy.url, &session.books, session.load, number);
            std::thread::sleep(RUN);
            findings.join(producers.stop().findings);
            drop(proxy);
            findings.join(session.audit_running(&server));
            trials.done(&std::mem::take(&mut findings));
            if !trials.wanted() {
                break;
            }
        }
        server.kill()?;
        session.end(trials);
    }
    Ok(())
}
