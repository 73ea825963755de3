//! Answering requests: which K each decision has, which rows that makes visible, and the values.

use std::ops::Range;
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use seawall_base::error::Result;
use seawall_base::{Cut, FeatureRequest, Instant, ServedFeatures, ViewRequest, ViewValues};
use seawall_kernel::feature::{EntityKey, ViewPlan, entity_keys};

use super::core::{Core, State, View};
use super::{DECISION_LAG_MAX, error};

impl Core {
    /// Serves a request. Decisions that make no waiting row visible share the state with other requests; otherwise the
    /// request has it alone.
    pub fn serve(&self, request: &FeatureRequest) -> Result<ServedFeatures> {
        check_shape(request)?;
        {
            let state = self.state.read();
            let views = find_all(&state, request)?;
            let served = Served::prepare(self, &state, &views, request)?;
            if !served.needs_advance(&views) {
                return served.answer_as_is(self, &views, request);
            }
        }
        let mut state = self.state.write();
        let served = Served::prepare(self, &state, &find_all(&state, request)?, request)?;
        served.answer(self, &mut state, request)
    }
}

/// The keys of a request's decisions, for one view or for several of the same entity.
type Keys = Arc<[Option<EntityKey>]>;

/// What is decided before a value is computed; nothing has changed yet.
struct Served {
    known_at: Vec<Instant>,
    cut: Cut,
    /// The entities asked for, per view.
    keys: Vec<Keys>,
}

impl Served {
    fn prepare(core: &Core, state: &State, views: &[&View], request: &FeatureRequest) -> Result<Self> {
        let cut = common_cut(state, views, request)?;
        let known_at = known_at(core.known(), &request.now);
        for (at, known) in request.at.iter().zip(&known_at) {
            if *at < *known - DECISION_LAG_MAX {
                return Err(error::too_old(*at, *known));
            }
        }
        Ok(Served { known_at, cut, keys: keys(views, request)? })
    }

    fn needs_advance(&self, views: &[&View]) -> bool {
        let Some(last) = self.known_at.last() else { return false };
        views.iter().any(|view| view.needs_advance(*last))
    }

    fn answer_as_is(self, core: &Core, views: &[&View], request: &FeatureRequest) -> Result<ServedFeatures> {
        let all = 0..request.at.len();
        let mut answered = Vec::with_capacity(request.views.len());
        for ((view, asked), keys) in views.iter().zip(&request.views).zip(&self.keys) {
            answered.push(values(view, request, asked, keys, all.clone())?);
        }
        Ok(self.finish(core, answered))
    }

    fn answer(self, core: &Core, state: &mut State, request: &FeatureRequest) -> Result<ServedFeatures> {
        // Raised first: when a value fails, the rows folded for it were visible at a K that no later K falls behind.
        core.raise_known(self.known_at.last().copied().unwrap_or(Instant::MIN));
        let mut views = Vec::with_capacity(request.views.len());
        for (asked, keys) in request.views.iter().zip(&self.keys) {
            let view = state.views.get_mut(&asked.view).ok_or_else(|| error::unknown_view(&asked.view))?;
            views.push(values_as_known(view, request, asked, keys, &self.known_at)?);
        }
        Ok(self.finish(core, views))
    }

    fn finish(self, core: &Core, views: Vec<ViewValues>) -> ServedFeatures {
        core.raise_known(self.known_at.last().copied().unwrap_or(Instant::MIN));
        ServedFeatures { views, known_at: self.known_at, cut: self.cut }
    }
}

/// The keys for each view. Views of the same entity are often asked for together, with the very same columns.
fn keys(views: &[&View], request: &FeatureRequest) -> Result<Vec<Keys>> {
    let mut found: Vec<Keys> = Vec::with_capacity(views.len());
    for (index, (view, asked)) in views.iter().zip(&request.views).enumerate() {
        let same = (0..index).rev().find(|other| {
            has_same_columns(&request.views[*other].entities, &asked.entities)
                && has_same_types(views[*other].state.plan(), view.state.plan())
        });
        found.push(match same {
            Some(other) => found[other].clone(),
            None => entity_keys(view.state.plan(), &asked.entities)?.into(),
        });
    }
    Ok(found)
}

fn has_same_columns(a: &RecordBatch, b: &RecordBatch) -> bool {
    a.num_columns() == b.num_columns() && a.columns().iter().zip(b.columns()).all(|(a, b)| Arc::ptr_eq(a, b))
}

fn has_same_types(a: &ViewPlan, b: &ViewPlan) -> bool {
    let (a, b) = (a.entity_fields(), b.entity_fields());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.data_type() == b.data_type())
}

/// K of each decision: what the clock showed, but never before the K of an earlier decision. Rows are folded only when
/// they are available before some K, so K is also beyond every folded row.
fn known_at(before: Instant, now: &[Instant]) -> Vec<Instant> {
    let mut known = before;
    let mut known_at = Vec::with_capacity(now.len());
    for shown in now {
        known = known.max(*shown);
        known_at.push(known);
    }
    known_at
}

/// The values of a view for decisions with growing K: one computation per run of decisions that see the same rows.
fn values_as_known(
    view: &mut View,
    request: &FeatureRequest,
    asked: &ViewRequest,
    keys: &[Option<EntityKey>],
    known_at: &[Instant],
) -> Result<ViewValues> {
    let mut runs = Vec::new();
    let mut begin = 0;
    for (decision, known) in known_at.iter().enumerate() {
        if view.needs_advance(*known) {
            if begin < decision {
                runs.push(values(view, request, asked, keys, begin..decision)?);
            }
            view.state.advance(*known)?;
            begin = decision;
        }
    }
    runs.push(values(view, request, asked, keys, begin..known_at.len())?);
    join(view, runs)
}

fn values(
    view: &View,
    request: &FeatureRequest,
    asked: &ViewRequest,
    keys: &[Option<EntityKey>],
    decisions: Range<usize>,
) -> Result<ViewValues> {
    let at = &request.at[decisions.clone()];
    let own = &asked.own[decisions.clone()];
    let (values, status) = view.state.values(&keys[decisions], at, own)?;
    Ok(ViewValues { values, status })
}

fn join(view: &View, mut runs: Vec<ViewValues>) -> Result<ViewValues> {
    if runs.len() == 1
        && let Some(only) = runs.pop()
    {
        return Ok(only);
    }
    let schema = view.state.plan().output_schema();
    let values = concat_batches(&schema, runs.iter().map(|run| &run.values))?;
    Ok(ViewValues { values, status: runs.into_iter().flat_map(|run| run.status).collect() })
}

fn find_all<'a>(state: &'a State, request: &FeatureRequest) -> Result<Vec<&'a View>> {
    let find = |asked: &ViewRequest| state.views.get(&asked.view).ok_or_else(|| error::unknown_view(&asked.view));
    request.views.iter().map(find).collect()
}

/// The cut that all requested views share. None of them may lack rows within the store's cut, and none may have seen
/// rows that another has not.
fn common_cut(state: &State, views: &[&View], request: &FeatureRequest) -> Result<Cut> {
    let mut common: Option<(&ViewRequest, &Cut)> = None;
    for (asked, view) in request.views.iter().zip(views) {
        let received = &view.received;
        if received.is_behind(&state.cut) {
            return Err(error::behind(&asked.view, &received.cut, &state.cut));
        }
        match common {
            None => common = Some((asked, &received.cut)),
            Some((_, cut)) if cut.covers(&received.cut) && received.cut.covers(cut) => {}
            Some((other, _)) => return Err(error::apart(&asked.view, &other.view)),
        }
    }
    Ok(common.map_or_else(|| state.cut.clone(), |(_, cut)| cut.clone()))
}

fn check_shape(request: &FeatureRequest) -> Result<()> {
    let decisions = request.at.len();
    if request.now.len() != decisions {
        let what = format!("{} clock readings for {decisions} decisions", request.now.len());
        return Err(error::bad_request(what));
    }
    if !request.now.is_sorted() {
        return Err(error::bad_request("the clock readings of a request go backwards"));
    }
    for asked in &request.views {
        if asked.entities.num_rows() != decisions || asked.own.len() != decisions {
            let (entities, own) = (asked.entities.num_rows(), asked.own.len());
            let what = format!("{}: {entities} entities and {own} own rows for {decisions} decisions", asked.view);
            return Err(error::bad_request(what));
        }
    }
    Ok(())
}
