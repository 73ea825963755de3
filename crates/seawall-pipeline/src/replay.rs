//! Driven time: rows enter in availability order on a simulated clock, and the rows of every training set are served
//! at their decision time.
//!
//! The period is cut into slices by time. In each slice the rows that become available in it enter, then the
//! decisions that fall into it are served, each knowing exactly what was available before it; rows of the slice that
//! become available later wait in the online store. So the length of a slice changes no value. A killed replay goes
//! on where its log ends: every frame carries the position of its source.

mod stream;

use std::collections::BTreeMap;

use seawall_base::error::Result;
use seawall_base::{DrivenClock, Error, ErrorKind, Instant, Permit, Span};
use seawall_catalog::Counts;
use serde::Serialize;

use crate::frame::Position;
use crate::gate::Incoming;
use crate::pipeline::{PendingReceipt, Pipeline};
use crate::retrainer::Approver;
use crate::training::BuiltTrainingSet;
use crate::verify::SkewReport;
use stream::DecisionList;
pub use stream::Stream;

/// Slices between two checkpoints of the online store.
const SLICES_PER_CHECKPOINT: usize = 256;
/// Frames that may wait for the disk within a slice.
const PENDING_FRAMES_MAX: usize = 64;

/// Settings of a replay.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rows and decisions per slice, about.
    pub slice_rows: usize,
    /// Who approves what is proposed, where nobody sits at a keyboard.
    pub approvers: Vec<Approver>,
}

impl Default for Options {
    fn default() -> Self {
        Options { slice_rows: 4096, approvers: Vec::new() }
    }
}

/// Told after every slice.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Progress {
    /// The simulated clock.
    pub now: Instant,
    /// When the replay began and ends, in simulated time.
    pub period: (Instant, Instant),
    /// Rows that entered.
    pub rows: u64,
    /// Rows that will have entered in the end.
    pub rows_total: u64,
    /// Decisions served.
    pub decisions: u64,
}

/// What a replay did: facts on the simulated clock, the same for the same input.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// Per dataset.
    pub datasets: BTreeMap<String, Counts>,
    /// Per training set.
    pub training_sets: BTreeMap<String, TrainingFacts>,
    /// Served against recomputed values, over all training sets.
    pub skew: SkewReport,
    /// Beginning and end, in simulated time.
    #[serde(serialize_with = "as_text")]
    pub period: (Instant, Instant),
}

fn as_text<S: serde::Serializer>(period: &(Instant, Instant), serializer: S) -> Result<S::Ok, S::Error> {
    (period.0.to_string(), period.1.to_string()).serialize(serializer)
}

/// A training set as the replay built it.
#[derive(Debug, Clone, Serialize)]
pub struct TrainingFacts {
    /// Rows.
    pub rows: u64,
    /// Rows with a final label.
    pub labelled: u64,
    /// Decisions served online.
    pub served: u64,
    /// Where it is kept, and its fingerprint.
    #[serde(flatten)]
    pub built: BuiltTrainingSet,
}

/// Drives `streams` through the pipeline, serves every decision, builds the training sets and verifies them.
pub async fn replay(
    pipeline: &Pipeline,
    permit: &Permit,
    clock: &DrivenClock,
    streams: &[Stream],
    options: Options,
    progress: &(dyn Fn(&Progress) + Send + Sync),
) -> Result<Facts> {
    let decisions = stream::decisions(pipeline, streams).await?;
    let tick = pipeline.revision().tick;
    let boundaries = boundaries(streams, &decisions, options.slice_rows, tick);
    let (Some(first), Some(last)) = (boundaries.first().copied(), boundaries.last().copied()) else {
        return Err(Error::invalid("SW0850", "there is nothing to replay")
            .hint("a replay needs a source of kind `files` with `history: true`, or `simulator`"));
    };
    let mut driver = Driver::resume(pipeline, permit, streams, &decisions).await?;
    for (number, slice) in boundaries.windows(2).enumerate() {
        clock.advance_to(slice[0]);
        driver.enter(slice[1]).await?;
        driver.derive().await?;
        driver.decide(slice[1]).await?;
        clock.advance_to(slice[1]);
        if slice[1].floor(tick) == slice[1] {
            pipeline.control(slice[1], &options.approvers).await?;
        }
        if (number + 1) % SLICES_PER_CHECKPOINT == 0 {
            pipeline.parts.online.checkpoint().await?;
        }
        progress(&driver.progress(slice[1], (first, last)));
    }
    pipeline.control(last, &options.approvers).await?;
    pipeline.catch_up().await?;
    pipeline.parts.online.checkpoint().await?;
    conclude(pipeline, permit, &decisions, (first, last)).await
}

/// One slice of a world that goes on: the rows of `streams`, which arrive at `from <= t < until`, enter, their decisions
/// are served, and everything is looked at.
pub async fn slice(
    pipeline: &Pipeline,
    permit: &Permit,
    clock: &DrivenClock,
    streams: &[Stream],
    from: Instant,
    until: Instant,
    approvers: &[Approver],
) -> Result<()> {
    let decisions = stream::decisions(pipeline, streams).await?;
    let mut driver = Driver::resume(pipeline, permit, streams, &decisions).await?;
    clock.advance_to(from);
    driver.enter(until).await?;
    driver.derive().await?;
    driver.decide(until).await?;
    clock.advance_to(until);
    pipeline.control(until, approvers).await?;
    // The streams of a slice are never resumed.
    let mut order = pipeline.order.lock().await;
    for stream in streams {
        order.positions.retain(|id, _| !id.contains(stream.id.as_str()));
    }
    Ok(())
}

async fn conclude(
    pipeline: &Pipeline,
    permit: &Permit,
    decisions: &[DecisionList],
    period: (Instant, Instant),
) -> Result<Facts> {
    let mut training_sets = BTreeMap::new();
    let mut skew = SkewReport::default();
    for list in decisions {
        let name = &list.training_set;
        let (built, rows) = pipeline.build_training_set(permit, name, period.1).await?;
        let report = pipeline.verify_skew(permit, name, &rows).await?;
        skew.add(&report.total);
        let facts = TrainingFacts {
            rows: built.fingerprint.rows,
            labelled: built.fingerprint.labelled,
            served: list.at.len() as u64,
            built,
        };
        training_sets.insert(name.clone(), facts);
    }
    let accounting = pipeline.accounting().await;
    let revision = pipeline.revision();
    let declared = accounting.counts.into_iter().filter(|(name, _)| revision.datasets.contains_key(name));
    Ok(Facts { datasets: declared.collect(), training_sets, skew, period })
}

/// Times at which slices begin and end: every tick of control between the first and the last row, every `slice_rows`-th
/// time of all rows and decisions, and one after the last.
fn boundaries(streams: &[Stream], decisions: &[DecisionList], slice_rows: usize, tick: Span) -> Vec<Instant> {
    let mut times: Vec<i64> = Vec::new();
    for stream in streams {
        times.extend(stream.rows().map(|(enters, _)| enters.0));
    }
    for list in decisions {
        times.extend(list.at.iter().map(|at| at.0));
    }
    times.sort_unstable();
    let mut boundaries: Vec<Instant> = times.iter().step_by(slice_rows.max(1)).copied().map(Instant).collect();
    if let (Some(first), Some(last)) = (times.first(), times.last()) {
        let mut at = Instant(*first).floor(tick) + tick;
        while at.0 <= *last {
            boundaries.push(at);
            at = at + tick;
        }
        boundaries.push(Instant(last.saturating_add(1)));
    }
    boundaries.sort_unstable();
    boundaries.dedup();
    boundaries
}

/// Where the replay is.
struct Driver<'a> {
    pipeline: &'a Pipeline,
    permit: &'a Permit,
    streams: &'a [Stream],
    decisions: &'a [DecisionList],
    /// Rows of each stream that entered.
    entered: Vec<usize>,
    /// Decisions of each training set that were served.
    served: Vec<usize>,
    /// Per training set, decisions that each model has predicted where fewer than were served: a crash came between.
    behind: Vec<BTreeMap<String, usize>>,
}

impl<'a> Driver<'a> {
    async fn resume(
        pipeline: &'a Pipeline,
        permit: &'a Permit,
        streams: &'a [Stream],
        decisions: &'a [DecisionList],
    ) -> Result<Driver<'a>> {
        let positions = pipeline.order.lock().await.positions.clone();
        let position = |stream: &str| positions.get(stream).map_or(0, |position| *position as usize);
        let entered = |stream: &Stream| if stream.entered { stream.len() } else { position(&stream.id) };
        let mut driver = Driver {
            pipeline,
            permit,
            streams,
            decisions,
            entered: streams.iter().map(entered).collect(),
            served: decisions.iter().map(|list| position(&list.id)).collect(),
            behind: vec![BTreeMap::new(); decisions.len()],
        };
        for (number, list) in decisions.iter().enumerate() {
            for model in pipeline.revision().models.values() {
                let predicted = positions.get(&predictions_of(&model.model.name, list)).copied().unwrap_or(0) as usize;
                if predicted > 0 && predicted < driver.served[number] {
                    driver.behind[number].insert(model.model.name.clone(), predicted);
                }
            }
        }
        for (number, stream) in streams.iter().enumerate() {
            if !stream.entered && !positions.contains_key(&stream.id) && !stream.broken.is_empty() {
                driver.enter_broken(number).await?;
            }
        }
        Ok(driver)
    }

    async fn enter_broken(&mut self, number: usize) -> Result<()> {
        let stream = &self.streams[number];
        let Some(chunk) = stream.chunks.first() else { return Ok(()) };
        let incoming = Incoming {
            mapped: true,
            broken: stream.broken.clone(),
            position: Some(Position { stream: stream.id.clone(), rows: 0 }),
            ..Incoming::new(chunk.rows.slice(0, 0), chunk.input)
        };
        self.pipeline.ingest(self.permit, &stream.source, incoming).await?;
        Ok(())
    }

    /// Lets every row enter that becomes available before `until`: rows of live sources in the order of their arrival,
    /// across sources; rows of the past, whose arrival is the present, source by source.
    async fn enter(&mut self, until: Instant) -> Result<()> {
        let mut pending: Vec<PendingReceipt> = Vec::new();
        while let Some((number, end)) = self.next_run(until) {
            self.enter_run(number, end, until, &mut pending).await?;
            if pending.len() >= PENDING_FRAMES_MAX {
                settle(&mut pending).await?;
            }
        }
        settle(&mut pending).await?;
        self.pipeline.catch_up_features().await
    }

    /// Makes what transforms make of the rows that entered. One that fails stops the replay, which goes on from there once
    /// it is repaired: decisions would be served without rows that were known.
    async fn derive(&self) -> Result<()> {
        let looked = self.pipeline.derive_all().await?;
        let Some(name) = looked.failed.first() else { return self.pipeline.catch_up_features().await };
        let statuses = self.pipeline.transforms().await?;
        let failure = statuses.into_iter().find(|one| one.transform == *name).and_then(|one| one.failure);
        let (code, why) = failure.map(|failure| (failure.code, failure.message)).unwrap_or_default();
        Err(Error::new(ErrorKind::Invalid, "SW1915", format!("transform {name} failed: [{code}] {why}"))
            .hint("repair it, apply, and replay again: it goes on where it stopped"))
    }

    /// The stream whose next row enters first, and the position up to which its rows enter before any other stream's.
    fn next_run(&self, until: Instant) -> Option<(usize, usize)> {
        let next = |number: usize| self.streams[number].enters(self.entered[number]).filter(|time| *time < until);
        let live = || (0..self.streams.len()).filter(|number| !self.streams[*number].history);
        let order = |number: usize| next(number).map(|time| (time, number));
        let Some((_, first)) = live().filter_map(order).min() else {
            // Rows of the past arrive at the end of the slice, after every live row of it.
            let mut history = (0..self.streams.len()).filter(|number| self.streams[*number].history);
            return history.find(|n| next(*n).is_some()).map(|n| (n, self.streams[n].position_at(until)));
        };
        let others = live().filter(|number| *number != first).filter_map(order).min();
        let end = match others {
            // Rows that arrive at the same instant enter in the order of the streams.
            Some((time, other)) if other < first => self.streams[first].position_at(time),
            Some((time, _)) => self.streams[first].position_at(time + Span(1)),
            None => self.streams[first].position_at(until),
        };
        Some((first, end.max(self.entered[first] + 1)))
    }

    async fn enter_run(
        &mut self,
        number: usize,
        end: usize,
        until: Instant,
        pending: &mut Vec<PendingReceipt>,
    ) -> Result<()> {
        let stream = &self.streams[number];
        for part in stream.parts(self.entered[number], end) {
            let arrivals = match stream.history {
                true => vec![until - Span(1); part.rows.num_rows()],
                false => part.enters.to_vec(),
            };
            self.entered[number] += part.rows.num_rows();
            let incoming = Incoming {
                mapped: true,
                arrivals: Some(arrivals),
                position: Some(Position { stream: stream.id.clone(), rows: self.entered[number] as u64 }),
                files: if self.entered[number] == stream.len() { stream.files.clone() } else { Vec::new() },
                ..Incoming::new(part.rows, part.input)
            };
            pending.push(self.pipeline.begin_ingest(self.permit, &stream.source, incoming).await?);
        }
        Ok(())
    }

    /// Serves every decision before `until`, each at its own time, in the order of time across training sets: what one
    /// decision makes known must not be known to an earlier one.
    async fn decide(&mut self, until: Instant) -> Result<()> {
        loop {
            let next = |number: usize| self.decisions[number].at.get(self.served[number]).copied();
            let waiting = || (0..self.decisions.len()).filter_map(|number| next(number).map(|at| (at, number)));
            let Some((at, first)) = waiting().min() else { return Ok(()) };
            if at >= until {
                return Ok(());
            }
            let others = waiting().filter(|(_, number)| *number != first).map(|(at, _)| at + Span(1)).min();
            self.decide_run(first, others.map_or(until, |other| other.min(until))).await?;
        }
    }

    async fn decide_run(&mut self, number: usize, until: Instant) -> Result<()> {
        self.predict_what_is_behind(number).await?;
        let list = &self.decisions[number];
        let from = self.served[number];
        let to = list.at.partition_point(|at| *at < until);
        let position = Position { stream: list.id.clone(), rows: to as u64 };
        let decisions = list.decisions(from..to, Some(position))?;
        let answer = self.pipeline.serve(self.permit, &list.training_set, &decisions).await?;
        for model in self.pipeline.revision().models.values() {
            if model.model.training_set == list.training_set {
                let position = Position { stream: predictions_of(&model.model.name, list), rows: to as u64 };
                self.pipeline.record_predictions(self.permit, model, &answer, Some(position)).await?;
            }
        }
        self.served[number] = to;
        Ok(())
    }

    /// Predicts decisions whose vectors were recorded before a crash and whose predictions were not.
    async fn predict_what_is_behind(&mut self, number: usize) -> Result<()> {
        let list = &self.decisions[number];
        for (name, from) in std::mem::take(&mut self.behind[number]) {
            let revision = self.pipeline.revision();
            let model = revision.model(&name)?;
            let to = self.served[number];
            let decisions = list.decisions(from..to, None)?;
            let answer = self.pipeline.answer_again(&list.training_set, &decisions).await?;
            let position = Position { stream: predictions_of(&name, list), rows: to as u64 };
            self.pipeline.record_predictions(self.permit, model, &answer, Some(position)).await?;
        }
        Ok(())
    }

    fn progress(&self, now: Instant, period: (Instant, Instant)) -> Progress {
        Progress {
            now,
            period,
            rows: self.entered.iter().map(|rows| *rows as u64).sum(),
            rows_total: self.streams.iter().map(|stream| stream.len() as u64).sum(),
            decisions: self.served.iter().map(|served| *served as u64).sum(),
        }
    }
}

/// Name under which the log remembers how many decisions a model has predicted.
fn predictions_of(model: &str, list: &DecisionList) -> String {
    format!("predictions of {model} for {}", list.id)
}

async fn settle(pending: &mut Vec<PendingReceipt>) -> Result<()> {
    for receipt in pending.drain(..) {
        receipt.durable().await?;
    }
    Ok(())
}
