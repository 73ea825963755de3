//! Power cuts: the data folder lies on a file system of its own, in an image; at a moment the image is copied, and the
//! copy holds exactly what the disk held. What the server had acknowledged by then must be in it.
//!
//! The model: a disk that keeps every write it was given, in the order of its flushes. Pages that the kernel had not
//! written yet are gone, which is what a missing fsync loses.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::audit::audit_server;
use super::bench::{Bench, Trials, execute};
use super::book::{Book, Findings};
use super::produce::Load;
use super::server::{Launch, START_MAX, Signal, Started};
use super::session::Session;

const CUTS_PER_SESSION: u64 = 25;
/// Room for several segments of the log, and tables.
const IMAGE_BYTES: u64 = 768 << 20;

/// Cuts the power until that happened often enough.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    while trials.wanted() {
        // Slow, because a session goes on for minutes and every image is audited whole.
        let load = Load { batch_max: 10, pause: Duration::from_millis(60), ..Load::default() };
        let mut session = Session::begin(bench, trials, load)?;
        let disk = Disk::create(session.installation.folder(), "disk")?;
        session.installation.launch.data = disk.mount.join("data");
        // By the binary itself: a copy of ours would not be synced.
        let (code, said, _) = session.installation.launch.run(&["apply", "--output", "json"])?;
        anyhow::ensure!(code == 0, "applying the project on the disk failed: {said}");
        cut_often(&mut session, &disk, trials)?;
        session.end(trials);
    }
    Ok(())
}

/// Takes image after image of one running server, restarting it when it has lived long enough to have history.
fn cut_often(session: &mut Session, disk: &Disk, trials: &mut Trials<'_>) -> Result<()> {
    let mut findings = Findings::default();
    let Some(server) = session.start(&mut findings)? else {
        trials.done(&findings);
        return Ok(());
    };
    let producers = session.produce(&server);
    for _ in 0..CUTS_PER_SESSION {
        std::thread::sleep(delay(session));
        server.signal(Signal::Stop)?;
        // The books first: whatever is acknowledged in them was acknowledged before the image is taken.
        let books = session.books.read();
        let image = session.installation.folder().join("cut.img");
        execute(Command::new("cp").arg("--sparse=always").arg(&disk.image).arg(&image))?;
        server.signal(Signal::Continue)?;
        findings.join(recover(session, &image, &books)?);
        trials.done(&findings);
        findings = Findings::default();
        if !trials.wanted() {
            break;
        }
    }
    server.kill()?;
    // A receipt that was wrong is found by other harnesses, too; here only what a cut leaves counts.
    drop(producers.stop());
    Ok(())
}

/// Mostly short, so that many moments of work are met; sometimes beyond the journal's five seconds and the kernel's
/// thirty, when it writes back pages that nobody synced.
fn delay(session: &mut Session) -> Duration {
    let milliseconds = match session.draw.below(20) {
        0 => session.draw.below(35_000),
        1..=3 => session.draw.below(8_000),
        _ => session.draw.below(1_500),
    };
    Duration::from_millis(milliseconds)
}

/// Starts a server on what the disk held, and audits it.
fn recover(session: &Session, image: &Path, books: &[Book]) -> Result<Findings> {
    let mut findings = Findings::default();
    let disk = Disk::mounted(image.to_owned(), session.installation.folder().join("cut"))?;
    let launch = Launch { data: disk.mount.join("data"), ..session.installation.launch.clone() };
    match launch.spawn()?.listening(START_MAX)? {
        Started::Listening(server) => {
            match audit_server(&server, books) {
                Ok(found) => findings.join(found),
                Err(error) => findings.deceive(format!("after the cut the audit fails: {error:#}")),
            }
            server.kill()?;
        }
        Started::Ended(status) => findings.deceive(format!("after the cut the server does not start: {status}")),
    }
    Ok(findings)
}

/// A mounted image; unmounted and removed when dropped.
struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    fn create(folder: &Path, name: &str) -> Result<Disk> {
        let image = folder.join(format!("{name}.img"));
        let file = File::create(&image).with_context(|| format!("creating {}", image.display()))?;
        file.set_len(IMAGE_BYTES).with_context(|| format!("sizing {}", image.display()))?;
        execute(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))?;
        Disk::mounted(image, folder.join(name))
    }

    /// Mounting replays the journal, as a machine that boots does.
    fn mounted(image: PathBuf, mount: PathBuf) -> Result<Disk> {
        std::fs::create_dir_all(&mount).with_context(|| format!("creating {}", mount.display()))?;
        execute(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount))?;
        Ok(Disk { image, mount })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = execute(Command::new("umount").arg(&self.mount)) {
            eprintln!("{error:#}");
        }
        let _ = std::fs::remove_file(&self.image);
    }
}
