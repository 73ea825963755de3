//! Why a value is what it is: the rows that made it, and the rows nearby that did not, each with its reason.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use seawall_base::error::Result;
use seawall_base::{Cut, Error, FeatureStatus, Instant, RowId, Span};
use serde::Serialize;

use super::entity::{EntityState, TRUE};
use super::key::EntityKey;
use super::plan::{Compute, Horizon, ViewPlan};
use super::row::{Read, Row};
use super::state::check_decisions;
use crate::aggregate::{Kind, RowOrder, Scalar, Value, to_array};
use crate::window::Level;

/// Most rows that an explanation lists.
const ROWS_MAX: usize = 1_000;

/// A value with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Name of the feature.
    pub feature: String,
    /// The value as text; none for null.
    pub value: Option<String>,
    /// What the value is.
    pub status: FeatureStatus,
    /// First instant inside the window; none when it has no beginning.
    pub from: Option<Instant>,
    /// Last instant inside the window: the decision time.
    pub until: Instant,
    /// Rows of the entity in and near the window, in the total order; the newest when there are too many.
    pub rows: Vec<ExplainedRow>,
    /// How many rows near the window are not listed.
    pub rows_left_out: usize,
}

/// A row and whether it counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedRow {
    /// Identity.
    pub row: RowId,
    /// When it happened.
    pub event_time: Instant,
    /// When it could first be known.
    pub available_at: Instant,
    /// The feature's column as text, `null` for null; empty when the feature reads no column.
    pub value: String,
    /// Whether the value was computed from it.
    pub included: bool,
    /// Why, or why not.
    pub why: &'static str,
}

/// Explains the value of `feature` for the entity `key` at T = `at`, K = `known`, within `cut` (all rows when absent),
/// leaving out the row with key hash `own`. `history` as for [`super::sweep`].
#[expect(clippy::too_many_arguments, reason = "a decision has this many parts")]
pub fn explain(
    plan: &Arc<ViewPlan>,
    history: &[RecordBatch],
    feature: &str,
    key: &EntityKey,
    at: Instant,
    known: Instant,
    cut: Option<&Cut>,
    own: Option<u128>,
) -> Result<Explanation> {
    check_decisions(plan, 1, 1, &[own])?;
    let Some(index) = plan.view().features.iter().position(|f| f.name == feature) else {
        let names: Vec<&str> = plan.view().features.iter().map(|f| f.name.as_str()).collect();
        return Err(Error::not_found("SW0340", format!("{} has no feature {feature}", plan.view().id()))
            .hint(format!("its features are {}", names.join(", "))));
    };
    let mut rows: Vec<Row> = Vec::new();
    for batch in history {
        let read = Read::new(plan, batch, |other| other == key)?;
        rows.extend(read.iter().map(|(_, order, row)| Row { order, body: row.to_body() }));
    }
    rows.sort_unstable_by_key(|row| row.order);

    let decision = Decision { compute: &plan.features()[index], at, known, cut, own };
    let mut state = EntityState::default();
    let horizon = Horizon::everything();
    for row in rows.iter().filter(|row| decision.hidden(row).is_none()) {
        state.fold(plan, &horizon, row.order, row.body.as_ref())?;
    }
    let (value, status) = state.answer(plan, &horizon, at, own)?.swap_remove(index);
    let (rows, rows_left_out) = decision.explain_rows(plan, &rows)?;
    Ok(Explanation {
        feature: feature.to_owned(),
        value: value_text(plan, index, value)?,
        status,
        from: decision.compute.first_inside(at),
        until: at,
        rows,
        rows_left_out,
    })
}

fn value_text(plan: &ViewPlan, index: usize, value: Option<Scalar>) -> Result<Option<String>> {
    if value.is_none() {
        return Ok(None);
    }
    let array = to_array(&[value], plan.output_schema().field(index).data_type())?;
    Ok(Some(array_value_to_string(&array, 0)?))
}

struct Decision<'a> {
    compute: &'a Compute,
    at: Instant,
    known: Instant,
    cut: Option<&'a Cut>,
    own: Option<u128>,
}

impl Decision<'_> {
    /// Why a row is not visible, whenever it happened.
    fn hidden(&self, row: &Row) -> Option<&'static str> {
        if self.cut.is_some_and(|cut| !cut.contains(row.order.row())) {
            return Some("after the cut");
        }
        if row.order.available_at >= self.known {
            return Some("not yet available");
        }
        if self.own.is_some() && row.body.own == self.own {
            return Some("the asking row itself");
        }
        None
    }

    fn explain_rows(&self, plan: &ViewPlan, rows: &[Row]) -> Result<(Vec<ExplainedRow>, usize)> {
        let hops = self.compute.slots().into_iter().filter_map(|(_, reach)| reach.hop());
        let margin = hops.map(Level::span).max().unwrap_or(Span::HOUR).max(Span::HOUR);
        let from = self.compute.first_inside(self.at).map_or(Instant::MIN, |first| first - margin);
        let until = self.at + margin;
        let near: Vec<&Row> = rows.iter().filter(|row| (from..=until).contains(&row.order.event_time)).collect();
        let mut chosen = None;
        for row in rows.iter().filter(|row| self.hidden(row).is_none() && row.order.event_time <= self.at) {
            if self.passes(plan, row)? && (chosen.is_none() || !self.is_of_first(plan)) {
                chosen = Some(row.order);
            }
        }
        let left_out = near.len().saturating_sub(ROWS_MAX);
        let mut explained = Vec::with_capacity(near.len() - left_out);
        for row in &near[left_out..] {
            explained.push(self.explain_row(plan, row, chosen)?);
        }
        Ok((explained, left_out))
    }

    /// Whether the feature is about the first row, not the newest.
    fn is_of_first(&self, plan: &ViewPlan) -> bool {
        let mut slots = self.compute.slots().into_iter();
        slots.any(|(slot, _)| plan.slots()[slot].aggregate.kind == Kind::Oldest)
    }

    /// Whether the row passes a filter of the feature, or meets one of its sides that has none.
    fn passes(&self, plan: &ViewPlan, row: &Row) -> Result<bool> {
        let slots = self.compute.slots();
        let mut passes = slots.is_empty();
        for (slot, _) in slots {
            passes |= match plan.slots()[slot].filter {
                None => true,
                Some(filter) => row.body.as_ref().value(filter)? == TRUE,
            };
        }
        Ok(passes)
    }

    fn explain_row(&self, plan: &ViewPlan, row: &Row, chosen: Option<RowOrder>) -> Result<ExplainedRow> {
        let column = match self.compute {
            Compute::Latest { column, .. } => Some(*column),
            _ => self.compute.slots().first().and_then(|(slot, _)| plan.slots()[*slot].column),
        };
        let value = match column {
            None => None,
            Some(column) => Some(row.body.as_ref().value(column)?),
        };
        let (included, why) = self.verdict(plan, row, value, chosen)?;
        Ok(ExplainedRow {
            row: row.order.row(),
            event_time: row.order.event_time,
            available_at: row.order.available_at,
            value: match (column, value) {
                (Some(_), Some(Value::Null)) => "null".to_owned(),
                (Some(column), Some(value)) => {
                    let array = to_array(&[value.to_scalar()], &plan.columns()[column].data_type)?;
                    array_value_to_string(&array, 0)?
                }
                _ => String::new(),
            },
            included,
            why,
        })
    }

    fn verdict(
        &self,
        plan: &ViewPlan,
        row: &Row,
        value: Option<Value<'_>>,
        chosen: Option<RowOrder>,
    ) -> Result<(bool, &'static str)> {
        if let Some(why) = self.hidden(row) {
            return Ok((false, why));
        }
        if row.order.event_time > self.at {
            return Ok((false, "after the decision time"));
        }
        let first = self.compute.first_inside(self.at);
        if first.is_some_and(|first| row.order.event_time < first) {
            return Ok((false, "before the window"));
        }
        if !self.passes(plan, row)? {
            return Ok((false, "its `where` is not true"));
        }
        Ok(match self.compute {
            Compute::Window { .. } | Compute::Rate { .. } if value == Some(Value::Null) => {
                (false, "in the window, but null")
            }
            Compute::Window { .. } | Compute::Rate { .. } | Compute::Ratio { .. } => (true, "in the window"),
            Compute::Latest { .. } | Compute::TimeSince { .. } | Compute::OneRow { .. } => {
                match (chosen == Some(row.order), self.is_of_first(plan)) {
                    (true, false) => (true, "the newest row"),
                    (true, true) => (true, "the first row"),
                    (false, false) => (false, "not the newest row"),
                    (false, true) => (false, "not the first row"),
                }
            }
        })
    }
}
