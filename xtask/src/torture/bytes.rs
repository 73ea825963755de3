//! Every byte: in one file of each kind one byte after the other flips, and `verify data` must tell it.
//!
//! Each worker has a copy of the data folder and one process of `verify data --again`, which checks the whole folder anew
//! for each flip; nothing is kept between two checks. The flip is undone, and a check in between must find nothing, or a
//! finding would prove nothing. A byte of which `verify data` says nothing goes to a server of its own, like any damage:
//! each of its answers must be what it was. How many bytes of which files were flipped stands in the notes, so that the
//! scorecard says what was covered and what was not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bench::{Bench, Installation, Trials};
use super::book::Findings;
use super::damage::{Act, Damage, KINDS, Kind, bit};
use super::whole::{Verdict, Whole};

/// Flips that a worker makes before results are counted and kept.
const FLIPS_PER_WORKER: usize = 128;

/// One byte of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flip {
    /// The kind of the file.
    pub kind: Kind,
    /// Where the byte lies in it.
    pub byte: u64,
}

/// What is known of a kind after some flips.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Coverage {
    /// The file, within the data folder.
    file: String,
    /// Its length.
    length: u64,
    /// Bytes of it that are to be flipped.
    wanted: u64,
    /// Bytes that were.
    flipped: u64,
    /// Flips that `verify data` told.
    told: u64,
    /// Flips that it did not tell, and that a server told, or that changed none of its answers.
    harmless: u64,
}

/// Coverage of each kind, by name; kept beside the row, so that a long form goes on with it.
type Covered = BTreeMap<String, Coverage>;

/// Flips bytes until the plan, or the goal, is reached.
pub fn run(bench: &Bench, trials: &mut Trials<'_>) -> Result<()> {
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|kind| bench.part.is_none_or(|part| part == kind.name)).collect();
    let kept = trials.kept.as_ref().map(|row| row.with_file_name("long-bytes-kinds.json"));
    let (plan, fresh) = plan(bench, &kinds, trials.goal)?;
    let mut covered = match &kept {
        Some(kept) if trials.row.trials > 0 => read_covered(kept)?,
        Some(_) | None => fresh,
    };
    let done = usize::try_from(trials.row.trials).unwrap_or(usize::MAX).min(plan.len());
    let mut rest = &plan[done..];
    while let Some(first) = rest.first() {
        if !trials.wanted() {
            break;
        }
        // A folder has one history.
        let same = rest.iter().take_while(|flip| flip.kind.history == first.kind.history).count();
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let left = usize::try_from(trials.goal - trials.row.trials).unwrap_or(usize::MAX);
        let (now, later) = rest.split_at(same.min(workers * FLIPS_PER_WORKER).min(left));
        rest = later;
        let whole = Whole::at(bench, first.kind.history)?;
        let told = whole.told_by_verify(bench, now, workers)?;
        count(bench, &whole, now, &told, &mut covered, trials)?;
        trials.row.notes = covered.iter().map(|(kind, coverage)| coverage.note(kind)).collect();
        if let Some(kept) = &kept {
            let text = serde_json::to_string_pretty(&covered).expect("coverage has only string keys");
            fs::write(kept, text).with_context(|| format!("writing {}", kept.display()))?;
        }
    }
    Ok(())
}

/// Counts flips; those of which `verify data` said nothing are asked about first.
fn count(
    bench: &Bench,
    whole: &Whole,
    flips: &[Flip],
    told: &[bool],
    covered: &mut Covered,
    trials: &mut Trials<'_>,
) -> Result<()> {
    let unseen = flips.iter().zip(told).filter(|(_, told)| !**told);
    let unseen: Vec<Damage> = unseen.map(|(flip, _)| Damage { kind: flip.kind, act: flip.act() }).collect();
    let mut answered = whole.answered(bench, &unseen)?.into_iter();
    for (flip, told) in flips.iter().zip(told) {
        let mut findings = Findings::default();
        let coverage = covered.get_mut(flip.kind.name).context("every kind of the plan has its coverage")?;
        coverage.flipped += 1;
        if *told {
            coverage.told += 1;
        } else if let Some(Verdict::Silent(how)) = answered.next() {
            findings.deceive(format!("{} after {:?}: {how}", flip.kind.name, flip.act()));
        } else {
            coverage.harmless += 1;
        }
        trials.done(&findings);
    }
    Ok(())
}

/// Every byte of a file of each kind, or `goal` of them, spread evenly; and what is to be covered.
fn plan(bench: &Bench, kinds: &[Kind], goal: u64) -> Result<(Vec<Flip>, Covered)> {
    let (mut plan, mut covered) = (Vec::new(), Covered::new());
    let share = goal.div_ceil(kinds.len().max(1) as u64);
    let mut lengths = Vec::new();
    for kind in kinds {
        let whole = Whole::at(bench, kind.history)?;
        let file = whole.file(*kind)?;
        let length = fs::metadata(&file).context("looking at a file to be damaged")?.len();
        let wanted = length.min(kind.bytes_max);
        let file = file.strip_prefix(&whole.folder).context("a file of the data folder")?.display().to_string();
        covered.insert(kind.name.to_owned(), Coverage { file, length, wanted, ..Coverage::default() });
        lengths.push((*kind, wanted));
    }
    let all: u64 = lengths.iter().map(|(_, wanted)| wanted).sum();
    for (kind, wanted) in lengths {
        let step = if all <= goal { 1 } else { wanted.div_ceil(share.max(1)).max(1) };
        plan.extend((0..wanted).step_by(usize::try_from(step)?).map(|byte| Flip { kind, byte }));
    }
    Ok((plan, covered))
}

fn read_covered(kept: &Path) -> Result<Covered> {
    let text = fs::read_to_string(kept).with_context(|| format!("reading {}", kept.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", kept.display()))
}

impl Flip {
    fn act(self) -> Act {
        Act::Flip { byte: self.byte }
    }
}

impl Coverage {
    fn note(&self, kind: &str) -> String {
        let Coverage { file, length, wanted, flipped, told, harmless } = self;
        let part = match (flipped == length, wanted == length) {
            (true, _) => format!("every one of its {length} bytes"),
            (false, true) => format!("{flipped} of its {length} bytes"),
            (false, false) => format!("{flipped} of its first {wanted} bytes (it has {length})"),
        };
        format!("{kind} ({file}): {part}; {told} told by `verify data`, {harmless} told by a server or without effect")
    }
}

impl Whole {
    /// Which of these flips `verify data` tells, in their order.
    fn told_by_verify(&self, bench: &Bench, flips: &[Flip], workers: usize) -> Result<Vec<bool>> {
        let share = flips.len().div_ceil(workers).max(1);
        std::thread::scope(|scope| {
            let work = |(number, flips)| scope.spawn(move || self.work(bench, number, flips));
            let running: Vec<_> = flips.chunks(share).enumerate().map(work).collect();
            let mut told = Vec::with_capacity(flips.len());
            for worker in running {
                told.extend(worker.join().map_err(|_| anyhow!("a worker died"))??);
            }
            Ok(told)
        })
    }

    fn work(&self, bench: &Bench, number: usize, flips: &[Flip]) -> Result<Vec<bool>> {
        let installation = self.copied(bench, &format!("flipped-{number}"))?;
        let mut verifier = Verifier::start(&installation)?;
        let mut told = Vec::with_capacity(flips.len());
        ensure!(verifier.is_whole()?, "`verify data` complains of an undamaged folder");
        for flip in flips {
            let inside = self.file(flip.kind)?;
            let inside = inside.strip_prefix(&self.folder).context("a file of the data folder")?;
            let undo = Undo::flip(&installation.launch.data.join(inside), flip.byte)?;
            let whole = verifier.is_whole();
            told.push(!whole.with_context(|| format!("{} with byte {} flipped", flip.kind.name, flip.byte))?);
            undo.undo()?;
        }
        ensure!(verifier.is_whole()?, "a flip was not undone");
        Ok(told)
    }
}

/// A flipped byte.
struct Undo {
    file: File,
    path: PathBuf,
    byte: u64,
    was: u8,
}

impl Undo {
    /// Flips a bit where the file lies.
    fn flip(path: &Path, byte: u64) -> Result<Undo> {
        let shown = || format!("flipping a bit of {}", path.display());
        let file = File::options().read(true).write(true).open(path).with_context(shown)?;
        let mut was = [0];
        file.read_exact_at(&mut was, byte).with_context(shown)?;
        file.write_all_at(&[was[0] ^ bit(byte)], byte).with_context(shown)?;
        Ok(Undo { file, path: path.to_owned(), byte, was: was[0] })
    }

    fn undo(self) -> Result<()> {
        let Undo { file, path, byte, was } = self;
        file.write_all_at(&[was], byte).with_context(|| format!("undoing a flip of {}", path.display()))
    }
}

/// A process that checks a data folder whenever it is asked.
struct Verifier {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Verifier {
    fn start(installation: &Installation) -> Result<Verifier> {
        let mut command = installation.launch.command(&["verify", "data", "--again", "--output", "json"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("starting `verify data`")?;
        let questions = child.stdin.take().expect("it was asked for");
        let answers = BufReader::new(child.stdout.take().expect("it was asked for"));
        Ok(Verifier { child, questions, answers })
    }

    /// Whether the folder is whole now. A process that ends instead of answering is a bug: no byte on a disk may do that.
    fn is_whole(&mut self) -> Result<bool> {
        self.questions.write_all(b"\n").and_then(|()| self.questions.flush()).context("asking `verify data`")?;
        let mut line = String::new();
        self.answers.read_line(&mut line).context("reading the answer of `verify data`")?;
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("`verify data --again` answered {line:?}"))?;
        answer["whole"].as_bool().with_context(|| format!("`verify data --again` answered {line:?}"))
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
