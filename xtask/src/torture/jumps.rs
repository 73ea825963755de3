//! Clock jumps: the machine's wall clock leaps forwards and backwards under a running server, and between two runs.
//!
//! `libfaketime` gives the process a wall clock that a file controls; its monotonic clock stays true, as the kernel's
//! does when somebody sets the time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::bench::{Bench, Trials};
use super::book::Findings;
use super::produce::Load;
use super::session::Session;

/// Where distributions keep the library.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];
/// Leaps, as the library reads them: hours, a day, a leap second, years, both ways.
const LEAPS: [&str; 8] = ["+3600", "-3600", "+86400", "-86400", "+1", "-1", "+3650d", "-300d"];
const TRIALS_PER_SESSION: u64 = 10;

/// The library; none when it is not installed.
pub fn library() -> Option<&'static str> {
    LIBRARIES.into_iter().find(|library| Path::new(library).exists())
}

/// Lets the clock leap until there were enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    let library = library().context("libfaketime is gone")?;
    while trials.wanted() {
        let mut session = Session::begin(bench, trials, Load::default())?;
        let clock: PathBuf = session.installation.folder().join("clock");
        set(&clock, "+0")?;
        let environment = [
            ("LD_PRELOAD", library.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        session.installation.launch.environment.extend(environment.map(|(name, value)| (name.to_owned(), value)));
        for number in 1..=TRIALS_PER_SESSION {
            let mut findings = Findings::default();
            let Some(server) = session.start(&mut findings)? else {
                trials.done(&findings);
                break;
            };
            let producers = session.produce(&server);
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(session.draw.below(500)));
                set(&clock, LEAPS[session.draw.below(LEAPS.len() as u64) as usize])?;
            }
            std::thread::sleep(Duration::from_millis(300));
            findings.join(producers.stop().findings);
            server.kill()?;
            // Features of the present depend on the clock by design; the audit is made in the true present.
            set(&clock, "+0")?;
            let last = number == TRIALS_PER_SESSION || trials.is_last();
            if last || trials.until_found || number % 3 == 0 {
                findings.join(session.audit()?);
            }
            trials.done(&findings);
            if last || !trials.wanted() {
                break;
            }
        }
        session.end(trials);
    }
    Ok(())
}

fn set(clock: &Path, leap: &str) -> Result<()> {
    // Replaced in one step: the library reads it at any moment.
    let temporary = clock.with_extension("tmp");
    fs::write(&temporary, format!("{leap}\n")).with_context(|| format!("writing {}", temporary.display()))?;
    fs::rename(&temporary, clock).with_context(|| format!("replacing {}", clock.display()))
}
