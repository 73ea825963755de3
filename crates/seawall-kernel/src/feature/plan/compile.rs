//! From a declaration to a plan: every mistake in it is found here, before a row is read.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use seawall_base::declare::{Aggregation, Feature, FeatureView, Measure, Part, WindowEdge};
use seawall_base::error::Result;
use seawall_base::{Dataset, Error, Span};

use super::super::key::not_a_key;
use super::{Compute, InputColumn, Reach, Slot, ViewPlan};
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
        let filter = match &feature.filter {
            Some(name) => Some(self.filter(feature, name)?),
            None => None,
        };
        if let Some(window) = feature.window {
            self.check_window(feature, window)?;
        }
        let ttl = feature.window;
        match &feature.aggregation {
            Aggregation::Latest { column } => {
                let column = self.input(feature, column)?;
                let data_type = self.columns[column].data_type.clone();
                let compute = match filter {
                    None => Compute::Latest { column, ttl },
                    Some(_) => {
                        let slot = self.slot(Kind::Newest, Some(column), filter);
                        Compute::OneRow { slot, is_age: false, ttl }
                    }
                };
                Ok((compute, data_type))
            }
            Aggregation::TimeSince if filter.is_none() => Ok((Compute::TimeSince { ttl }, DataType::Float64)),
            Aggregation::TimeSince => {
                let slot = self.slot(Kind::Newest, None, filter);
                Ok((Compute::OneRow { slot, is_age: true, ttl }, DataType::Float64))
            }
            Aggregation::TimeSinceFirst => {
                let slot = self.slot(Kind::Oldest, None, filter);
                Ok((Compute::OneRow { slot, is_age: true, ttl: None }, DataType::Float64))
            }
            Aggregation::Ratio { of, to } => {
                let (of, to) = (self.part(feature, of)?, self.part(feature, to)?);
                Ok((Compute::Ratio { of, to, reach: self.reach(feature)? }, DataType::Float64))
            }
            Aggregation::Rate { column, per } => self.rate(feature, column.as_deref(), filter, *per),
            _ => self.windowed(feature, filter),
        }
    }

    fn windowed(&mut self, feature: &Feature, filter: Option<usize>) -> Result<(Compute, DataType)> {
        let column = match feature.aggregation.columns().first() {
            Some(name) => Some(self.input(feature, name)?),
            None => None,
        };
        let reach = self.reach(feature)?;
        let (kind, finish, data_type) = self.aggregation(feature, column)?;
        let slot = self.slot(kind, column, filter);
        Ok((Compute::Window { slot, finish, reach }, data_type))
    }

    fn rate(
        &mut self,
        feature: &Feature,
        column: Option<&str>,
        filter: Option<usize>,
        per: Span,
    ) -> Result<(Compute, DataType)> {
        let reach = self.reach(feature)?;
        if reach == Reach::Lifetime || per <= Span::ZERO {
            let message = format!("feature {} of {} is no rate", feature.name, self.view.id());
            return Err(Error::invalid("SW0302", message)
                .hint("a rate has a window with a beginning, and a unit of time: per: 1h"));
        }
        let slot = match column {
            None => self.slot(Kind::Rows, None, filter),
            Some(name) => {
                let column = self.number(feature, name)?;
                self.slot(Kind::Sum, Some(column), filter)
            }
        };
        Ok((Compute::Rate { slot, per, reach }, DataType::Float64))
    }

    /// The accumulator of one side of a ratio.
    fn part(&mut self, feature: &Feature, part: &Part) -> Result<usize> {
        let filter = match &part.filter {
            Some(name) => Some(self.filter(feature, name)?),
            None => None,
        };
        Ok(match &part.measure {
            Measure::Count { column: None } => self.slot(Kind::Rows, None, filter),
            Measure::Count { column: Some(name) } => {
                let column = self.input(feature, name)?;
                self.slot(Kind::Count, Some(column), filter)
            }
            Measure::Sum { column } => {
                let column = self.number(feature, column)?;
                self.slot(Kind::Sum, Some(column), filter)
            }
        })
    }

    fn reach(&self, feature: &Feature) -> Result<Reach> {
        match (feature.edge, feature.window) {
            (WindowEdge::Lifetime, _) => Ok(Reach::Lifetime),
            (edge, Some(window)) => Ok(Reach::Since { window, edge }),
            (_, None) => {
                let message = format!("feature {} of {} has no window", feature.name, self.view.id());
                Err(Error::invalid("SW0302", message).hint("add one, for example window: 24h, or window: lifetime"))
            }
        }
    }

    /// The input column that decides whether a row counts.
    fn filter(&mut self, feature: &Feature, name: &str) -> Result<usize> {
        let column = self.input(feature, name)?;
        let found = &self.columns[column];
        if found.class == Class::Boolean {
            return Ok(column);
        }
        let message = format!("feature {} of {}: `{name}` is {}", feature.name, self.view.id(), found.data_type);
        Err(Error::invalid("SW0309", message).hint("`where` is a condition: compare, for example `amount > 100`"))
    }

    /// An input column of numbers.
    fn number(&mut self, feature: &Feature, name: &str) -> Result<usize> {
        let column = self.input(feature, name)?;
        self.check_number(feature, &self.columns[column])?;
        Ok(column)
    }

    fn check_number(&self, feature: &Feature, column: &InputColumn) -> Result<()> {
        if column.class.is_number() {
            return Ok(());
        }
        let what = format!("feature {} of {}", feature.name, self.view.id());
        let message = format!("{what} needs a number, but {} is {}", column.name, column.data_type);
        Err(Error::invalid("SW0301", message).hint("count, distinct, min, max, first, last and latest take any type"))
    }

    fn aggregation(&self, feature: &Feature, column: Option<usize>) -> Result<(Kind, Finish, DataType)> {
        let Some(column) = column.map(|column| &self.columns[column]) else {
            return Ok((Kind::Rows, Finish::Count, DataType::Int64));
        };
        let scale = column.class.scale();
        let same = column.data_type.clone();
        if needs_numbers(&feature.aggregation) {
            self.check_number(feature, column)?;
        }
        Ok(match &feature.aggregation {
            Aggregation::Count { .. } => (Kind::Count, Finish::Count, DataType::Int64),
            Aggregation::Sum { .. } => match column.class {
                Class::Float => (Kind::Sum, Finish::SumOfFloats, DataType::Float64),
                Class::Decimal { scale } => (Kind::Sum, Finish::SumOfDecimals, DataType::Decimal128(38, scale)),
                _ => (Kind::Sum, Finish::SumOfIntegers, DataType::Int64),
            },
            Aggregation::Mean { .. } => (Kind::Sum, Finish::Mean { scale }, DataType::Float64),
            Aggregation::Variance { .. } => (Kind::Moments, Finish::Variance { scale }, DataType::Float64),
            Aggregation::StdDev { .. } => (Kind::Moments, Finish::StdDev { scale }, DataType::Float64),
            Aggregation::Min { .. } => (Kind::Min, Finish::Held, same),
            Aggregation::Max { .. } => (Kind::Max, Finish::Held, same),
            Aggregation::First { .. } => (Kind::First, Finish::Held, same),
            Aggregation::Last { .. } => (Kind::Last, Finish::Held, same),
            Aggregation::Distinct { exact: false, .. } => (Kind::Distinct, Finish::Distinct, DataType::Int64),
            Aggregation::Distinct { exact: true, .. } => (Kind::Counts, Finish::DistinctExact, DataType::Int64),
            Aggregation::MostFrequent { .. } => (Kind::Counts, Finish::MostFrequent, same),
            Aggregation::Quantile { q, .. } => {
                if !(0.0..=1.0).contains(q) {
                    let message = format!("feature {} of {}: q is {q}", feature.name, self.view.id());
                    return Err(Error::invalid("SW0306", message).hint("q lies between 0 and 1, for example 0.95"));
                }
                (Kind::Quantile, Finish::Quantile { q: *q }, DataType::Float64)
            }
            Aggregation::Latest { .. }
            | Aggregation::TimeSince
            | Aggregation::TimeSinceFirst
            | Aggregation::Ratio { .. }
            | Aggregation::Rate { .. } => {
                let message = format!("feature {} of {} is no plain aggregate", feature.name, self.view.id());
                return Err(Error::internal("SW0307", message));
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

    fn slot(&mut self, kind: Kind, column: Option<usize>, filter: Option<usize>) -> usize {
        let class = column.map_or(Class::Integer, |column| self.columns[column].class);
        let aggregate = Aggregate { kind, scale: class.scale() };
        let same = |slot: &Slot| slot.aggregate == aggregate && slot.column == column && slot.filter == filter;
        self.slots.iter().position(same).unwrap_or_else(|| {
            self.slots.push(Slot { aggregate, column, filter, class, levels: [false; 3], places: [0; 3] });
            self.slots.len() - 1
        })
    }
}

fn needs_numbers(aggregation: &Aggregation) -> bool {
    match aggregation {
        Aggregation::Sum { .. }
        | Aggregation::Mean { .. }
        | Aggregation::Variance { .. }
        | Aggregation::StdDev { .. }
        | Aggregation::Rate { .. }
        | Aggregation::Quantile { .. } => true,
        Aggregation::Count { .. }
        | Aggregation::Min { .. }
        | Aggregation::Max { .. }
        | Aggregation::First { .. }
        | Aggregation::Last { .. }
        | Aggregation::Distinct { .. }
        | Aggregation::MostFrequent { .. }
        | Aggregation::Latest { .. }
        | Aggregation::Ratio { .. }
        | Aggregation::TimeSince
        | Aggregation::TimeSinceFirst => false,
    }
}

/// Chooses the levels of each slot by its longest window and gives each a place in the tiles.
fn place(slots: &mut [Slot], features: &[Compute]) -> [Vec<usize>; 3] {
    for feature in features {
        for (slot, reach) in feature.slots() {
            for level in Level::ALL {
                let worth_it = match reach {
                    Reach::Lifetime => true,
                    Reach::Since { window, .. } => window.0 >= TILES_PER_WINDOW_MIN * level.span().0,
                };
                slots[slot].levels[level as usize] |= level == Level::Minute || worth_it;
            }
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
