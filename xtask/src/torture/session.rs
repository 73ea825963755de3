//! A session: one data folder through many starts, with the books of everything that was sent to it.
//!
//! Damage can pile up in a session, which is why harnesses keep one for many trials.

use anyhow::Result;

use super::audit::{audit_counts, audit_server};
use super::bench::{Bench, Installation, Trials};
use super::book::Findings;
use super::clock::now_s;
use super::produce::{Books, Load, Producers};
use super::seeded::Seeded;
use super::server::{START_MAX, Server, Started, log_epoch};

/// One data folder and its books.
pub struct Session {
    /// Where the data lies and how the binary is run.
    pub installation: Installation,
    /// What was sent and acknowledged.
    pub books: Books,
    /// The session's choices.
    pub draw: Seeded,
    /// What producers send.
    pub load: Load,
    epoch: u64,
    round: u64,
    failed_before: u64,
}

impl Session {
    /// A session for the next trials: its seed follows from how many there were.
    pub fn begin(bench: &Bench, trials: &Trials<'_>, load: Load) -> Result<Session> {
        let seed = bench.seed + trials.row.trials;
        let name = format!("{}-{seed}", trials.row.name);
        Ok(Session {
            installation: bench.installation(&name)?,
            books: Books::new(seed, now_s(), load.producers),
            draw: Seeded::new(seed, 1),
            load,
            epoch: 0,
            round: 0,
            failed_before: trials.row.failed,
        })
    }

    /// Lets the log roll and be given up all the time: small segments, and a checkpoint as often as one may be written.
    pub fn tighten(&mut self) {
        let arguments = ["--log-segment-kib", "16", "--checkpoint-interval", "100ms"];
        self.installation.launch.serve = arguments.map(str::to_owned).to_vec();
    }

    /// Starts the server and checks what it recovered; none when it does not start, which is a finding.
    pub fn start(&mut self, findings: &mut Findings) -> Result<Option<Server>> {
        match self.installation.launch.spawn()?.listening(START_MAX)? {
            Started::Listening(server) => {
                self.check_start(&server, findings)?;
                Ok(Some(server))
            }
            Started::Ended(status) => {
                findings.deceive(format!("the server does not start: {status}"));
                Ok(None)
            }
        }
    }

    /// What a start must have recovered: every acknowledged row, and an epoch of its own.
    pub fn check_start(&mut self, server: &Server, findings: &mut Findings) -> Result<()> {
        audit_counts(server, &self.books.read(), findings)?;
        let epoch = log_epoch(&self.installation.launch.data)?;
        if epoch <= self.epoch {
            findings.deceive(format!("two openings of the log have the epoch {epoch}"));
        }
        self.epoch = epoch;
        Ok(())
    }

    /// Starts producers, whose choices differ from those of earlier rounds.
    pub fn produce(&mut self, server: &Server) -> Producers {
        self.round += 1;
        Producers::start(&server.url, &self.books, self.load, self.round)
    }

    /// Starts the server as it is meant to run, audits everything, and kills it.
    pub fn audit(&mut self) -> Result<Findings> {
        let mut findings = Findings::default();
        let Some(server) = self.start(&mut findings)? else { return Ok(findings) };
        findings.join(self.audit_running(&server));
        server.kill()?;
        Ok(findings)
    }

    /// Audits a running server; an audit that cannot be made is a finding.
    pub fn audit_running(&self, server: &Server) -> Findings {
        audit_server(server, &self.books.read()).unwrap_or_else(|error| {
            let mut findings = Findings::default();
            findings.deceive(format!("the audit fails: {error:#}"));
            findings
        })
    }

    /// Counts what was acknowledged; keeps the data folder when something was wrong.
    pub fn end(mut self, trials: &mut Trials<'_>) {
        trials.row.acknowledged += self.books.acknowledged();
        if trials.row.failed > self.failed_before && !trials.until_found {
            self.installation.keep();
        }
    }
}
