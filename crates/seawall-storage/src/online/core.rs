//! The state of an online store: its views, their cuts, and what is known. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use seawall_base::declare::FeatureView;
use seawall_base::error::Result;
use seawall_base::{Cut, Dataset, Hash, Instant, Offset, Partition, RowId, VersionedName, column};
use seawall_kernel::feature::{ReadRows, Retention, ViewPlan, ViewState};

use super::error;
use super::fill::Progress;

/// A store's state with its locks; see the module's page for their order.
pub(super) struct Core {
    receiving: Mutex<()>,
    pub(super) state: RwLock<State>,
    /// Numbers fillings and changes.
    numbers: AtomicU64,
    /// K of the newest decision, in microseconds.
    known: AtomicI64,
}

/// What the store keeps.
#[derive(Default)]
pub(super) struct State {
    pub cut: Cut,
    pub views: BTreeMap<VersionedName, View>,
    /// States of a checkpoint whose views were not defined yet.
    pub restored: BTreeMap<VersionedName, Restored>,
}

/// One view.
pub(super) struct View {
    pub definition: Hash,
    pub state: ViewState,
    pub received: Received,
    /// The number of the last change of the rows it holds.
    pub changed: u64,
    /// Present while rows of the past are taken in.
    pub filling: Option<Progress>,
}

/// Which rows a view has received: those within `cut`, and those of the gap's far side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    pub cut: Cut,
    pub gap: Option<Gap>,
}

/// The rows between two cuts, received live while those before `from` are still awaited from a backfill.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Gap {
    pub from: Cut,
    pub to: Cut,
}

/// A view's state as a checkpoint holds it.
#[derive(Debug, Clone)]
pub(super) struct Restored {
    pub definition: Hash,
    pub received: Received,
    pub bytes: Vec<u8>,
}

/// A view at one moment, for a checkpoint.
pub(super) struct Moment {
    /// The number of its last change.
    pub changed: u64,
    pub received: Received,
    /// Absent when it has not changed.
    pub restored: Option<Restored>,
}

/// What one view of a store takes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ViewStats {
    /// The view.
    pub view: VersionedName,
    /// The dataset that it is over.
    pub dataset: String,
    /// Entities with at least one visible row.
    pub entities: usize,
    /// Rows that wait until they are available.
    pub pending_rows: usize,
    /// Estimated memory.
    pub bytes: usize,
    /// Rows within it were received.
    pub cut: Cut,
    /// Whether rows of the past are still awaited.
    pub backfilling: bool,
}

impl Core {
    /// A store with the state of a checkpoint; an empty one has known nothing yet.
    pub fn new(cut: Cut, known: Instant, restored: BTreeMap<VersionedName, Restored>) -> Self {
        Core {
            receiving: Mutex::new(()),
            state: RwLock::new(State { cut, views: BTreeMap::new(), restored }),
            numbers: AtomicU64::new(0),
            known: AtomicI64::new(known.0),
        }
    }

    /// An empty store.
    pub fn empty() -> Self {
        Self::new(Cut::empty(), Instant::MIN, BTreeMap::new())
    }

    /// K of the newest decision.
    pub fn known(&self) -> Instant {
        Instant(self.known.load(Ordering::SeqCst))
    }

    /// Makes `known` known; an earlier instant changes nothing.
    pub fn raise_known(&self, known: Instant) {
        self.known.fetch_max(known.0, Ordering::SeqCst);
    }

    pub fn define(&self, view: &FeatureView, dataset: &Dataset) -> Result<()> {
        let (id, definition) = (view.id(), view.definition_hash());
        let plan = Arc::new(ViewPlan::compile(view, dataset)?);
        let _receiving = self.receiving.lock();
        let mut state = self.state.write();
        if let Some(kept) = state.views.get_mut(&id) {
            if kept.definition != definition {
                return Err(error::other_definition(&id));
            }
            // Columns of the dataset got wider: what was computed holds, and is answered in the wider types.
            if kept.state.plan().output_schema() != plan.output_schema() {
                kept.state = ViewState::decode(plan, Retention::Live, &kept.state.encode())?;
                kept.changed = self.number();
            }
            return Ok(());
        }
        let (view_state, mut received) = match state.restored.get(&id) {
            None => (ViewState::new(plan, Retention::Live), Received { cut: Cut::empty(), gap: None }),
            Some(kept) if kept.definition != definition => return Err(error::other_definition(&id)),
            Some(kept) => (ViewState::decode(plan, Retention::Live, &kept.bytes)?, kept.received.clone()),
        };
        received.open_gap(&state.cut);
        state.restored.remove(&id);
        state.views.insert(id, View { definition, state: view_state, received, changed: self.number(), filling: None });
        Ok(())
    }

    pub fn forget(&self, view: &VersionedName) -> Result<()> {
        let _receiving = self.receiving.lock();
        let mut state = self.state.write();
        let kept = state.views.remove(view).is_some();
        let restored = state.restored.remove(view).is_some();
        if kept || restored { Ok(()) } else { Err(error::unknown_view(view)) }
    }

    pub fn receive(&self, dataset: &str, rows: &RecordBatch, until: &Cut) -> Result<()> {
        let rows = Identified::new(rows, until)?;
        let _receiving = self.receiving.lock();
        // Reading is most of the work; requests go on meanwhile. Folding and the cut's move are one step for them.
        let fresh = self.read_fresh(dataset, &rows)?;
        let mut state = self.state.write();
        for (id, rows) in fresh {
            if let Some(view) = state.views.get_mut(&id) {
                view.changed = self.number();
                view.state.take(rows)?;
            }
        }
        state.views.values_mut().for_each(|view| view.received.live_until(until));
        state.cut.join(until);
        Ok(())
    }

    /// The rows that each view of `dataset` has not received yet.
    fn read_fresh(&self, dataset: &str, rows: &Identified<'_>) -> Result<Vec<(VersionedName, ReadRows)>> {
        let mut views = Vec::new();
        for (id, view) in &self.state.read().views {
            if view.state.plan().dataset() == dataset {
                views.push((id.clone(), view.state.plan().clone(), view.received.clone()));
            }
        }
        let mut fresh = Vec::with_capacity(views.len());
        for (id, plan, received) in views {
            if let Some(rows) = rows.without(&received)? {
                fresh.push((id, ReadRows::new(&plan, &rows)?));
            }
        }
        Ok(fresh)
    }

    pub fn advance(&self, known: Instant) -> Result<()> {
        let mut state = self.state.write();
        // Raised first, so that no decision is answered at an earlier K from what is folded here.
        self.raise_known(known);
        state.views.values_mut().try_for_each(|view| view.state.advance(known))
    }

    pub fn stats(&self) -> Vec<ViewStats> {
        let state = self.state.read();
        let stats = |(id, view): (&VersionedName, &View)| ViewStats {
            view: id.clone(),
            dataset: view.state.plan().dataset().to_owned(),
            entities: view.state.entities(),
            pending_rows: view.state.pending_rows(),
            bytes: view.state.memory_bytes(),
            cut: view.received.cut.clone(),
            backfilling: view.received.is_behind(&state.cut),
        };
        state.views.iter().map(stats).collect()
    }

    /// The views that are kept, those in restored checkpoints that were not defined yet, and the store's cut.
    pub fn kept(&self) -> (Vec<VersionedName>, Vec<VersionedName>, Cut) {
        let state = self.state.read();
        (state.views.keys().cloned().collect(), state.restored.keys().cloned().collect(), state.cut.clone())
    }

    /// A view at this moment, encoded unless it has not changed since `written`; none when it is not kept any more, or is
    /// being filled: a part of its past has no cut. Live rows wait meanwhile; requests that make no row visible go on.
    pub fn moment(&self, id: &VersionedName, written: Option<u64>) -> Result<Option<Moment>> {
        let _receiving = self.receiving.lock();
        let known = self.known();
        let mut state = self.state.write();
        let Some(view) = state.views.get_mut(id).filter(|view| view.filling.is_none()) else { return Ok(None) };
        let (definition, received, changed) = (view.definition, view.received.clone(), view.changed);
        if written == Some(changed) {
            return Ok(Some(Moment { changed, received, restored: None }));
        }
        view.advance_if_needed(known)?;
        let state = RwLockWriteGuard::downgrade(state);
        let bytes = state.views.get(id).map(|view| view.state.encode());
        let restored = bytes.map(|bytes| Restored { definition, received: received.clone(), bytes });
        Ok(Some(Moment { changed, received, restored }))
    }

    /// A number that was never given before.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

impl View {
    /// Whether advancing to `known` can change anything: a row becomes visible, or an hour has passed and memory can be
    /// given back.
    pub fn needs_advance(&self, known: Instant) -> bool {
        let visible = self.state.next_pending().is_some_and(|next| next < known);
        visible || self.state.known() + super::DECISION_LAG_MAX <= known
    }

    pub fn advance_if_needed(&mut self, known: Instant) -> Result<()> {
        if self.needs_advance(known) { self.state.advance(known) } else { Ok(()) }
    }
}

impl Received {
    fn contains(&self, row: RowId) -> bool {
        let beyond_gap = |gap: &Gap| gap.to.contains(row) && !gap.from.contains(row);
        self.cut.contains(row) || self.gap.as_ref().is_some_and(beyond_gap)
    }

    /// Whether rows within `store`, the store's cut, are missing.
    pub fn is_behind(&self, store: &Cut) -> bool {
        self.gap.is_some() || !self.cut.covers(store)
    }

    /// Begins to receive at the store's cut, with a gap when rows before it are missing.
    pub fn open_gap(&mut self, store: &Cut) {
        if self.gap.is_none() && !self.cut.covers(store) {
            self.gap = Some(Gap { from: store.clone(), to: store.clone() });
        }
    }

    /// Live rows up to `until` were received.
    fn live_until(&mut self, until: &Cut) {
        match &mut self.gap {
            Some(gap) => gap.to.join(until),
            None => self.cut.join(until),
        }
    }

    /// Rows of the past up to `until` were received, which may close the gap.
    pub fn past_until(&mut self, until: &Cut) {
        self.cut.join(until);
        if let Some(gap) = self.gap.take_if(|gap| self.cut.covers(&gap.from)) {
            self.cut.join(&gap.to);
        }
    }
}

/// Rows whose identities have been checked.
pub(super) struct Identified<'a> {
    rows: &'a RecordBatch,
    partitions: &'a [i32],
    offsets: &'a [i64],
}

impl<'a> Identified<'a> {
    pub fn new(rows: &'a RecordBatch, until: &Cut) -> Result<Self> {
        if rows.num_rows() == 0 {
            return Ok(Identified { rows, partitions: &[], offsets: &[] });
        }
        let find = |name: &str| rows.column_by_name(name).filter(|array| array.null_count() == 0);
        let partitions = find(column::PARTITION).and_then(|array| array.as_primitive_opt::<Int32Type>());
        let offsets = find(column::LSN).and_then(|array| array.as_primitive_opt::<Int64Type>());
        let (Some(partitions), Some(offsets)) = (partitions, offsets) else {
            return Err(error::bad_rows("the rows have no usable _partition and _lsn columns"));
        };
        let identified = Identified { rows, partitions: partitions.values(), offsets: offsets.values() };
        for i in 0..rows.num_rows() {
            let id = identified.id(i)?;
            if !until.contains(id) {
                let what = format!("row {} of partition {} is not within {until}", id.offset.0, id.partition.0);
                return Err(error::bad_rows(what));
            }
        }
        Ok(identified)
    }

    fn id(&self, row: usize) -> Result<RowId> {
        let (partition, offset) = (self.partitions[row], self.offsets[row]);
        match (u32::try_from(partition), u64::try_from(offset)) {
            (Ok(partition), Ok(offset)) => Ok(RowId { partition: Partition(partition), offset: Offset(offset) }),
            _ => Err(error::bad_rows(format!("({partition}, {offset}) identifies no row"))),
        }
    }

    /// The rows not received yet; none when there are none.
    pub fn without(&self, received: &Received) -> Result<Option<RecordBatch>> {
        let mut fresh = Vec::with_capacity(self.partitions.len());
        for row in 0..self.partitions.len() {
            fresh.push(!received.contains(self.id(row)?));
        }
        match fresh.iter().filter(|fresh| **fresh).count() {
            0 => Ok(None),
            count if count == fresh.len() => Ok(Some(self.rows.clone())),
            _ => Ok(Some(filter_record_batch(self.rows, &BooleanArray::from(fresh))?)),
        }
    }
}
