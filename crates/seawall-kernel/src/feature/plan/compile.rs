//! From a declaration to a plan: every mistake in it is found here, before a row is read.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use seawall_base::declare::{Aggregation, Feature, FeatureView};
use seawall_base::error::Result;
use seawall_base::{Dataset, Error, Span};

use super::super::key::not_a_key;
use super::{Compute, InputColumn, Slot, ViewPlan};
use crate::aggregate::{Aggregate, Class, Finish, Kind};
use crate::window::Level;

/// From how many tiles on a longer level is worth its memory.
const TILES_PER_WINDOW_MIN: i64 = 2;
/// Longest window; keeps every computation with tile numbers far from overflow.
const WINDOW_MAX: Span = Span(100 * 366 * Span::DAY.0);

impl ViewPlan {
    /// Compiles `view` against the dataset that it reads. Refuses unknown columns, types that an aggregation does not
    /// admit, missing or impossible windows and quantiles, and an event time that is not `Timestamp(us, UTC)`.
    pub fn compile(view: &FeatureView, dataset: &Dataset) -> Result<ViewPlan> {
        check_names(view, dataset)?;
        check_time(view, dataset)?;
        let entity = entity_fields(view, dataset)?;
        let mut compiler = Compiler { view, dataset, columns: Vec::new(), slots: Vec::new() };
        let mut features = Vec::with_capacity(view.features.len());
        let mut fields = Vec::with_capacity(view.features.len());
        for feature in &view.features {
            let (compute, data_type) = compiler.feature(feature)?;
            features.push(compute);
            fields.push(Field::new(&feature.name, data_type, true));
        }
        let mut slots = compiler.slots;
        let columns = compiler.columns;
        let levels = place(&mut slots, &features);
        Ok(ViewPlan {
            view: view.clone(),
            dataset: dataset.name.clone(),
            primary_key: dataset.primary_key.clone(),
            entity,
            columns,
            slots,
            features,
            levels,
            output: Arc::new(Schema::new(fields)),
        })
    }
}

fn check_names(view: &FeatureView, dataset: &Dataset) -> Result<()> {
    if view.from != dataset.name {
        let message = format!("{} reads {}, but was compiled against {}", view.id(), view.from, dataset.name);
        return Err(Error::internal("SW0307", message));
    }
    if view.entity.is_empty() || view.features.is_empty() {
        let message = format!("{} needs at least one entity column and one feature", view.id());
        return Err(Error::invalid("SW0304", message));
    }
    for (index, feature) in view.features.iter().enumerate() {
        if view.features[..index].iter().any(|other| other.name == feature.name) {
            return Err(Error::invalid("SW0304", format!("{} declares {} twice", view.id(), feature.name)));
        }
    }
    for (index, name) in view.entity.iter().enumerate() {
        if view.entity[..index].contains(name) {
            return Err(Error::invalid("SW0304", format!("{} names entity column {name} twice", view.id())));
        }
    }
    Ok(())
}

fn check_time(view: &FeatureView, dataset: &Dataset) -> Result<()> {
    let field = field(view, dataset, &view.time, "event time")?;
    match field.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Ok(()),
        other => {
            let message = format!("event time {} of {} is {other}, not Timestamp(us, UTC)", view.time, view.id());
            Err(Error::invalid("SW0303", message)
                .hint("make it a timestamp with a zone in the contract, or name another column"))
        }
    }
}

fn entity_fields(view: &FeatureView, dataset: &Dataset) -> Result<Vec<FieldRef>> {
    let mut fields = Vec::with_capacity(view.entity.len());
    for name in &view.entity {
        let field = field(view, dataset, name, "entity")?;
        match Class::of(field.data_type()) {
            None | Some(Class::Float) => return Err(not_a_key(name, field.data_type())),
            Some(_) => fields.push(field),
        }
    }
    Ok(fields)
}

fn field(view: &FeatureView, dataset: &Dataset, name: &str, role: &str) -> Result<FieldRef> {
    let found = dataset.schema.fields().iter().find(|field| field.name() == name);
    found.cloned().ok_or_else(|| {
        let columns: Vec<&str> = dataset.schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::invalid("SW0300", format!("{role} of {}: {} has no column {name}", view.id(), dataset.name))
            .hint(format!("its columns are {}", columns.join(", ")))
    })
}

struct Compiler<'a> {
    view: &'a FeatureView,
    dataset: &'a Dataset,
    columns: Vec<InputColumn>,
    slots: Vec<Slot>,
}

impl Compiler<'_> {
    fn feature(&mut self, feature: &Feature) -> Result<(Compute, DataType)> {
        let column = match feature.aggregation.column() {
            Some(name) => Some(self.input(feature, name)?),
            None => None,
        };
        if let Some(window) = feature.window {
            self.check_window(feature, window)?;
        }
        match (&feature.aggregation, column) {
            (Aggregation::Latest { .. }, Some(column)) => {
                let data_type = self.columns[column].data_type.clone();
                Ok((Compute::Latest { column, ttl: feature.window }, data_type))
            }
            (Aggregation::TimeSince, _) => Ok((Compute::TimeSince { ttl: feature.window }, DataType::Float64)),
            _ => self.windowed(feature, column),
        }
    }

    fn windowed(&mut self, feature: &Feature, column: Option<usize>) -> Result<(Compute, DataType)> {
        let Some(window) = feature.window else {
            let message = format!("feature {} of {} has no window", feature.name, self.view.id());
            return Err(Error::invalid("SW0302", message).hint("add one, for example window: 24h"));
        };
        let (kind, finish, data_type) = self.aggregation(feature, column)?;
        let class = column.map_or(Class::Integer, |column| self.columns[column].class);
        let slot = self.slot(Aggregate { kind, scale: class.scale() }, column, class);
        Ok((Compute::Window { slot, finish, window, edge: feature.edge }, data_type))
    }

    fn aggregation(&self, feature: &Feature, column: Option<usize>) -> Result<(Kind, Finish, DataType)> {
        let Some(column) = column.map(|column| &self.columns[column]) else {
            return Ok((Kind::Rows, Finish::Count, DataType::Int64));
        };
        let scale = column.class.scale();
        let same = column.data_type.clone();
        if needs_numbers(&feature.aggregation) && !column.class.is_number() {
            let what = format!("feature {} of {}", feature.name, self.view.id());
            let message = format!("{what} needs a number, but {} is {}", column.name, column.data_type);
            return Err(Error::invalid("SW0301", message)
                .hint("count, distinct, min, max, first, last and latest take any type"));
        }
        Ok(match &feature.aggregation {
            Aggregation::Count { .. } | Aggregation::TimeSince => (Kind::Count, Finish::Count, DataType::Int64),
            Aggregation::Sum { .. } => match column.class {
                Class::Float => (Kind::Sum, Finish::SumOfFloats, DataType::Float64),
                Class::Decimal { scale } => (Kind::Sum, Finish::SumOfDecimals, DataType::Decimal128(38, scale)),
                _ => (Kind::Sum, Finish::SumOfIntegers, DataType::Int64),
            },
            Aggregation::Mean { .. } => (Kind::Sum, Finish::Mean { scale }, DataType::Float64),
            Aggregation::Variance { .. } => (Kind::Moments, Finish::Variance { scale }, DataType::Float64),
            Aggregation::Min { .. } => (Kind::Min, Finish::Held, same),
            Aggregation::Max { .. } => (Kind::Max, Finish::Held, same),
            Aggregation::First { .. } => (Kind::First, Finish::Held, same),
            Aggregation::Last { .. } | Aggregation::Latest { .. } => (Kind::Last, Finish::Held, same),
            Aggregation::Distinct { .. } => (Kind::Distinct, Finish::Distinct, DataType::Int64),
            Aggregation::Quantile { q, .. } => {
                if !(0.0..=1.0).contains(q) {
                    let message = format!("feature {} of {}: q is {q}", feature.name, self.view.id());
                    return Err(Error::invalid("SW0306", message).hint("q lies between 0 and 1, for example 0.95"));
                }
                (Kind::Quantile, Finish::Quantile { q: *q }, DataType::Float64)
            }
        })
    }

    fn check_window(&self, feature: &Feature, window: Span) -> Result<()> {
        if window > Span::ZERO && window <= WINDOW_MAX {
            return Ok(());
        }
        let message = format!("feature {} of {} has a window of {window}", feature.name, self.view.id());
        Err(Error::invalid("SW0302", message).hint("a window is longer than nothing and at most 36600d"))
    }

    fn input(&mut self, feature: &Feature, name: &str) -> Result<usize> {
        if let Some(known) = self.columns.iter().position(|column| column.name == name) {
            return Ok(known);
        }
        let field = field(self.view, self.dataset, name, &format!("feature {}", feature.name))?;
        let Some(class) = Class::of(field.data_type()) else {
            let message = format!("feature {} of {} cannot read {name}", feature.name, self.view.id());
            return Err(Error::invalid("SW0301", format!("{message}: {} is not supported", field.data_type())));
        };
        self.columns.push(InputColumn { name: name.to_owned(), data_type: field.data_type().clone(), class });
        Ok(self.columns.len() - 1)
    }

    fn slot(&mut self, aggregate: Aggregate, column: Option<usize>, class: Class) -> usize {
        let same = |slot: &Slot| slot.aggregate == aggregate && slot.column == column;
        self.slots.iter().position(same).unwrap_or_else(|| {
            self.slots.push(Slot { aggregate, column, class, levels: [false; 3], places: [0; 3] });
            self.slots.len() - 1
        })
    }
}

fn needs_numbers(aggregation: &Aggregation) -> bool {
    match aggregation {
        Aggregation::Sum { .. }
        | Aggregation::Mean { .. }
        | Aggregation::Variance { .. }
        | Aggregation::Quantile { .. } => true,
        Aggregation::Count { .. }
        | Aggregation::Min { .. }
        | Aggregation::Max { .. }
        | Aggregation::First { .. }
        | Aggregation::Last { .. }
        | Aggregation::Distinct { .. }
        | Aggregation::Latest { .. }
        | Aggregation::TimeSince => false,
    }
}

/// Chooses the levels of each slot by its longest window and gives each a place in the tiles.
fn place(slots: &mut [Slot], features: &[Compute]) -> [Vec<usize>; 3] {
    for feature in features {
        let Compute::Window { slot, window, .. } = feature else { continue };
        for level in Level::ALL {
            let worth_it = window.0 >= TILES_PER_WINDOW_MIN * level.span().0;
            slots[*slot].levels[level as usize] |= level == Level::Minute || worth_it;
        }
    }
    let mut levels = [const { Vec::new() }; 3];
    for (index, slot) in slots.iter_mut().enumerate() {
        for (level, members) in levels.iter_mut().enumerate() {
            if slot.levels[level] {
                slot.places[level] = members.len();
                members.push(index);
            }
        }
    }
    levels
}
