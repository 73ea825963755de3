//! Filling a view with the rows of its past.
//!
//! Rows are read without a lock, most of the work, and folded in pieces that hold it for milliseconds: requests, live rows
//! and checkpoints go on in between. A row of the past and a live row are told apart by what the view had received when
//! the filling began, so it does not matter in which order they are folded. The view's cut moves when the last piece is
//! in; until then it is refused to everybody who asks, and left out of checkpoints, so a crash begins the filling anew.

use arrow::record_batch::RecordBatch;
use seawall_base::error::Result;
use seawall_base::online::Filling;
use seawall_base::{Cut, VersionedName};
use seawall_kernel::feature::{ReadRows, Retention, ViewState};

use super::core::{Core, Identified, Received, State, View};
use super::error;

/// Rows that are folded under one lock.
const PIECE_ROWS: usize = 4_096;

/// How far a filling has come.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    /// Tells this filling from any other.
    number: u64,
    rows: u64,
    rows_total: u64,
}

impl Core {
    pub fn backfill(&self, id: &VersionedName, rows: &[RecordBatch], until: &Cut) -> Result<()> {
        let mut identified = Vec::with_capacity(rows.len());
        for batch in rows {
            identified.push(Identified::new(batch, until)?);
        }
        let rows_total = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        let number = self.number();
        let received = self.begin_filling(id, Progress { number, rows: 0, rows_total })?;
        let filled = self.fill(id, number, &identified, &received);
        let mut state = self.state.write();
        let cut = state.cut.clone();
        let view = being_filled(&mut state, id, number)?;
        view.filling = None;
        view.changed = self.number();
        match &filled {
            Ok(()) => view.received.past_until(until),
            // A part of its past is in it, and nobody can say which.
            Err(_) => view.begin_anew(&cut),
        }
        filled
    }

    pub fn filling(&self) -> Vec<Filling> {
        let state = self.state.read();
        let told = |(id, view): (&VersionedName, &View)| {
            let Progress { rows, rows_total, .. } = view.filling.clone()?;
            Some(Filling { view: id.clone(), rows, rows_total })
        };
        state.views.iter().filter_map(told).collect()
    }

    fn begin_filling(&self, id: &VersionedName, progress: Progress) -> Result<Received> {
        let mut state = self.state.write();
        let view = state.views.get_mut(id).ok_or_else(|| error::unknown_view(id))?;
        if view.filling.is_some() {
            return Err(error::being_filled(id));
        }
        view.filling = Some(progress);
        Ok(view.received.clone())
    }

    fn fill(&self, id: &VersionedName, number: u64, rows: &[Identified<'_>], received: &Received) -> Result<()> {
        let plan = self.state.read().views.get(id).ok_or_else(|| error::unknown_view(id))?.state.plan().clone();
        for batch in rows {
            let Some(fresh) = batch.without(received)? else { continue };
            for begin in (0..fresh.num_rows()).step_by(PIECE_ROWS) {
                let piece = fresh.slice(begin, PIECE_ROWS.min(fresh.num_rows() - begin));
                let read = ReadRows::new(&plan, &piece)?;
                let mut state = self.state.write();
                let view = being_filled(&mut state, id, number)?;
                view.state.take(read)?;
                if let Some(progress) = &mut view.filling {
                    progress.rows += piece.num_rows() as u64;
                }
            }
        }
        Ok(())
    }
}

impl View {
    /// Forgets every row, and awaits those within the store's cut again.
    fn begin_anew(&mut self, store: &Cut) {
        self.state = ViewState::new(self.state.plan().clone(), Retention::Live);
        self.received = Received { cut: Cut::empty(), gap: None };
        self.received.open_gap(store);
    }
}

/// The view, when it is still the one that this filling began with.
fn being_filled<'a>(state: &'a mut State, id: &VersionedName, number: u64) -> Result<&'a mut View> {
    let view = state.views.get_mut(id).filter(|view| view.filling.as_ref().is_some_and(|f| f.number == number));
    view.ok_or_else(|| error::unknown_view(id))
}
