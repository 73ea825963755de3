//! How far a derived dataset is, as the log tells it.
//!
//! The order keeps one [`Progress`] per derived dataset. Every frame that a run appends carries a [`Step`]; noting the
//! steps of a log in order gives the progress again, after any crash. A restore that takes rows of the dataset back takes
//! the progress back with them: for that, the steps of the last frames are remembered with where they end.

use std::collections::{BTreeMap, VecDeque};

use seawall_base::{Cut, Hash, Instant, Offset, Partition, TableSnapshot, TableVersion};
use seawall_catalog::Counts;
use serde::{Deserialize, Serialize};

use crate::frame::Restore;

/// Steps that are remembered of a dataset, so that a restore can take progress back.
pub const MARKS_MAX: usize = 256;

/// A table as a run reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The table.
    pub table: String,
    /// Its version.
    pub version: TableVersion,
    /// The cut of that version.
    pub cut: Cut,
    /// Its rows.
    pub rows: u64,
}

impl Input {
    /// The table as `snapshot` shows it.
    pub fn of(table: &str, snapshot: &TableSnapshot) -> Input {
        let TableSnapshot { version, cut, rows, .. } = snapshot;
        Input { table: table.to_owned(), version: *version, cut: cut.clone(), rows: *rows }
    }

    /// Whether both show the same rows: a version that only merged files does.
    fn shows_same(&self, other: &Input) -> bool {
        self.table == other.table && self.cut == other.cut && self.rows == other.rows
    }
}

/// What a frame says of the run that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Name of the transform.
    pub transform: String,
    /// Hash of its definition.
    pub definition: Hash,
    /// With this frame, everything is made of the rows of this table before this cut. Only of a row-wise transform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
    /// Set in the last frame of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}

/// Rows of an input that a row-wise transform is done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The input.
    pub table: String,
    /// Its rows before this cut.
    pub cut: Cut,
}

/// A run that came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it began.
    #[serde(with = "seawall_base::time::text")]
    pub started_at: Instant,
    /// When it ended.
    #[serde(with = "seawall_base::time::text")]
    pub ended_at: Instant,
    /// The revision that declares the transform.
    pub revision: Hash,
    /// What it read.
    pub inputs: Vec<Input>,
    /// What became of it.
    #[serde(flatten)]
    pub made: Made,
}

/// Rows of a run. A run that was cut off and made again tells of what the last attempt did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Rows that were read of the inputs.
    pub rows_read: u64,
    /// Rows that the SQL made.
    pub rows_made: u64,
    /// Of these, rows that the table holds already as they are; they were not handed to the gate.
    pub unchanged: u64,
    /// Of these, rows that the quarantine holds already as they are; they were not handed to the gate.
    pub known_in_quarantine: u64,
    /// Keys that the table holds and the result no longer has. Of a changelog they are deleted, of any other dataset their
    /// rows stay.
    pub vanished: u64,
    /// What the gate said of the others.
    pub counts: Counts,
}

/// How far a derived dataset is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Of each input that a row-wise transform read: everything before the cut is done.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub done: BTreeMap<String, Cut>,
    /// The steps with a cut, oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    marks: VecDeque<Mark>,
    /// Whether older marks were forgotten.
    #[serde(default)]
    has_forgotten: bool,
    /// Whether a restore went back further than the marks: what is done is not known any more.
    #[serde(default)]
    pub is_lost: bool,
    /// Whether the inputs or the table lost rows since the last run.
    #[serde(default)]
    is_stale: bool,
    /// The definition of the last run that came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    definition: Option<Hash>,
    /// That run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Run>,
}

/// A step with the offset after its frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    end: Offset,
    done: Done,
}

impl Progress {
    /// Takes note of a step whose frame ends at `end`.
    pub fn note(&mut self, step: &Step, end: Offset) {
        if let Some(done) = &step.done {
            self.done.insert(done.table.clone(), done.cut.clone());
            // Of frames without rows, the last one counts.
            if self.marks.back().is_some_and(|mark| mark.end == end && mark.done.table == done.table) {
                self.marks.pop_back();
            }
            self.marks.push_back(Mark { end, done: done.clone() });
            if self.marks.len() > MARKS_MAX {
                self.marks.pop_front();
                self.has_forgotten = true;
            }
        }
        if let Some(run) = &step.run {
            self.last = Some(run.clone());
            self.definition = Some(step.definition);
            (self.is_stale, self.is_lost) = (false, false);
        }
    }

    /// Takes note of a restore: rows of `dataset`, which this is the progress of, may be gone, or rows that it was made of.
    pub fn withdraw(&mut self, dataset: &str, restore: &Restore) {
        let reads = |table: &String| self.last.iter().flat_map(|run| &run.inputs).any(|input| input.table == *table);
        self.is_stale |= restore.tables.keys().any(reads);
        let Some(restored) = restore.tables.get(dataset) else { return };
        self.is_stale = true;
        while self.marks.back().is_some_and(|mark| mark.end.0 > restored.kept_end) {
            self.marks.pop_back();
        }
        for (table, cut) in &mut self.done {
            let newest = self.marks.iter().rev().find(|mark| mark.done.table == *table);
            self.is_lost |= newest.is_none() && self.has_forgotten;
            *cut = newest.map(|mark| mark.done.cut.clone()).unwrap_or_default();
        }
    }

    /// Whether a transform is to run: over inputs that show other rows than those of its last run, or with another
    /// definition, or because rows were taken back.
    pub fn is_due(&self, definition: Hash, inputs: &[Input]) -> bool {
        let Some(last) = self.last.as_ref().filter(|_| !self.is_stale) else { return true };
        let same = |(known, now): (&Input, &Input)| known.shows_same(now);
        self.definition != Some(definition)
            || last.inputs.len() != inputs.len()
            || !last.inputs.iter().zip(inputs).all(same)
    }
}

/// What is done of an input once everything is made of its rows up to (`partition`, `offset`): rows are read in this order.
pub fn done_with(after: &Cut, until: &Cut, partition: Partition, offset: Offset) -> Cut {
    let mut done = after.clone();
    for (earlier, end) in until.iter().filter(|(earlier, _)| *earlier < partition) {
        done.advance(earlier, end);
    }
    done.advance(partition, Offset(offset.0 + 1));
    done
}
