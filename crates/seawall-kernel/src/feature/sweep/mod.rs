//! The sweep: the values that decisions in a history would have been served, one row per decision.
//!
//! A row is visible to a decision when `event_time <= T`, `available_at < K` and the cut contains it. The sweep works on
//! columns: it numbers the entities that are asked for ([`asked`]), reads the places of their rows in the total order
//! and brings each entity's rows together ([`rows`]), lets them become visible in the order of `(K, cut)` ([`visible`]),
//! and answers every decision from the rows between two binary searches ([`answer`], [`blocks`]). The accumulators are
//! those of serving, which are exact and order-free: however rows are grouped, no bit can differ.
//!
//! Entities are independent of one another, so ranges of them are worked on by several threads; how many changes nothing.

mod answer;
mod asked;
mod blocks;
mod output;
pub(super) mod positions;
mod rows;
mod visible;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use arrow::array::{Array, new_null_array};
use arrow::compute::interleave;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use seawall_base::error::Result;
use seawall_base::{Cut, Error, Instant};

use self::answer::{Answered, Recipe};
use self::asked::Asked;
use self::rows::{Chunk, EntityRanges, Rows};
use super::key::EntityKey;
use super::plan::ViewPlan;
use super::state::check_decisions;

/// Rows of the history that are read as one piece of work.
const CHUNK_ROWS: usize = 64 * 1024;
/// Rows that a range of entities has on average: few enough for a processor's cache, enough to be worth a piece of work.
const RANGE_ROWS: usize = 64 * 1024;

/// Decisions to answer; all lists that are not empty have the same length.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    /// Entity of each decision; none for a null key, whose features are all null.
    pub keys: Vec<Option<EntityKey>>,
    /// Decision time T.
    pub at: Vec<Instant>,
    /// K: rows with `available_at < known` are visible.
    pub known: Vec<Instant>,
    /// Key hash of the row that must not be seen, because it asks; empty when there are none.
    pub own: Vec<Option<u128>>,
    /// C: rows within the cut are visible; all rows when absent.
    pub cuts: Option<Vec<Arc<Cut>>>,
}

/// How a sweep divides its work; the answers are the same whatever it says.
#[derive(Debug, Clone, Copy)]
pub struct SweepOptions {
    /// Threads.
    pub workers: usize,
    /// Rows that are read as one piece of work.
    pub chunk_rows: usize,
    /// Rows of a range of entities, on average.
    pub range_rows: usize,
}

impl SweepOptions {
    /// On so many threads.
    pub fn on(workers: usize) -> Self {
        SweepOptions { workers, chunk_rows: CHUNK_ROWS, range_rows: RANGE_ROWS }
    }
}

/// The view's features for every decision, in the order of the decisions. `history` has at least the plan's input
/// columns, each row once, in any order and batching.
pub fn sweep(plan: &Arc<ViewPlan>, history: &[RecordBatch], decisions: &Decisions) -> Result<RecordBatch> {
    sweep_with(plan, history, decisions, SweepOptions::on(1))
}

/// The same, divided as `options` say.
pub fn sweep_with(
    plan: &Arc<ViewPlan>,
    history: &[RecordBatch],
    decisions: &Decisions,
    options: SweepOptions,
) -> Result<RecordBatch> {
    decisions.check(plan)?;
    let asked = Asked::of(&decisions.keys)?;
    let pieces = pieces(history, options.chunk_rows.max(1));
    let rows: usize = pieces.iter().map(RecordBatch::num_rows).sum();
    let ranges = EntityRanges::new(asked.entities(), rows.max(decisions.keys.len()) / options.range_rows.max(1));
    let with_own = decisions.own.iter().any(Option::is_some);
    let chunks = in_parallel(options.workers, pieces.len(), |piece| {
        Chunk::read(plan, &pieces[piece], piece, with_own, &asked, &ranges)
    })?;
    let recipe = Recipe::new(plan);
    let answered = in_parallel(options.workers, ranges.count(), |range| {
        let rows = Rows::gather(&chunks, range, ranges.entities(range), &recipe.gathered)?;
        answer::answer(plan, &recipe, &chunks, &rows, &asked, decisions)
    })?;
    assemble(plan, decisions.keys.len(), &answered, options.workers)
}

impl Decisions {
    fn cut(&self, index: usize) -> Option<&Arc<Cut>> {
        self.cuts.as_ref().map(|cuts| &cuts[index])
    }

    /// A decision's turn among those of its entity: `(K, cut)`, cuts so that those which cover each other follow one
    /// another.
    fn turn(&self, index: usize) -> (Instant, u128, usize) {
        let size = self.cut(index).map_or(0, |cut| cut.iter().map(|(_, end)| u128::from(end.0)).sum());
        (self.known[index], size, index)
    }

    /// The own row of a decision.
    fn own(&self, index: usize) -> Option<u128> {
        self.own.get(index).copied().flatten()
    }

    fn check(&self, plan: &ViewPlan) -> Result<()> {
        let count = self.keys.len();
        if !self.own.is_empty() {
            check_decisions(plan, count, self.at.len(), &self.own)?;
        }
        let cuts = self.cuts.as_ref().map_or(count, Vec::len);
        if self.at.len() != count || self.known.len() != count || cuts != count {
            let message = format!(
                "{count} decisions, {} times, {} known times and {cuts} cuts do not go together",
                self.at.len(),
                self.known.len()
            );
            return Err(Error::internal("SW0313", message));
        }
        Ok(())
    }
}

/// The batches, none longer than `rows`.
fn pieces(history: &[RecordBatch], rows: usize) -> Vec<RecordBatch> {
    let mut pieces = Vec::with_capacity(history.len());
    for batch in history {
        for from in (0..batch.num_rows()).step_by(rows) {
            pieces.push(batch.slice(from, rows.min(batch.num_rows() - from)));
        }
    }
    pieces
}

/// One row per decision, in the plan's output schema, out of the answers of the ranges.
fn assemble(plan: &ViewPlan, count: usize, answered: &[Answered], workers: usize) -> Result<RecordBatch> {
    let schema = plan.output_schema();
    // A null key names no entity, so not even a count is known.
    let mut places = vec![(answered.len(), 0); count];
    for (range, answers) in answered.iter().enumerate() {
        for (place, decision) in answers.decisions.iter().enumerate() {
            places[*decision as usize] = (range, place);
        }
    }
    let columns = in_parallel(workers, schema.fields().len(), |feature| {
        let nobody = new_null_array(schema.field(feature).data_type(), 1);
        let arrays = answered.iter().map(|answers| answers.columns[feature].as_ref());
        let arrays: Vec<&dyn Array> = arrays.chain([nobody.as_ref()]).collect();
        Ok(interleave(&arrays, &places)?)
    })?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// What `work` makes of each number below `count`, in order, on so many threads.
fn in_parallel<T: Send>(workers: usize, count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    if workers <= 1 || count <= 1 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take_turns = || {
        let mut done: Vec<(usize, Result<T>)> = Vec::new();
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= count || done.last().is_some_and(|(_, last)| last.is_err()) {
                return done;
            }
            done.push((turn, work(turn)));
        }
    };
    let mut done: Vec<(usize, Result<T>)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.min(count)).map(|_| scope.spawn(take_turns)).collect();
        let joined =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    });
    done.sort_unstable_by_key(|(turn, _)| *turn);
    done.into_iter().map(|(_, made)| made).collect()
}
