//! The compiled feature view: which columns are read, what is accumulated at which level, what is kept how long.
//!
//! Features that accumulate the same of the same column share a slot, whatever their windows. A slot has tiles at the
//! minute, and at the hour and the day when its longest window has room for several of them.

mod compile;
mod describe;

use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, FieldRef, SchemaRef};
use seawall_base::declare::{FeatureView, WindowEdge};
use seawall_base::{Hash, Instant, Span, column};

pub use describe::FeatureDescription;

use super::state::Retention;
use crate::CORE_VERSION;
use crate::aggregate::{Aggregate, Class, Finish};
use crate::window::{Level, first_inside, hop};

/// How far behind `known` a decision time may lie online.
pub(crate) const DECISION_LAG_MAX: Span = Span::HOUR;

/// A column that features read.
#[derive(Debug, Clone)]
pub(crate) struct InputColumn {
    /// Its name in the dataset.
    pub name: String,
    /// Its declared type.
    pub data_type: DataType,
    /// What it holds.
    pub class: Class,
}

/// One aggregate over one column, shared by the features that need it.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// What is accumulated.
    pub aggregate: Aggregate,
    /// Of which input column; none for rows.
    pub column: Option<usize>,
    /// The input column that must be true for a row to count.
    pub filter: Option<usize>,
    /// What the column holds.
    pub class: Class,
    /// At which levels there are tiles.
    pub levels: [bool; 3],
    /// Where in a tile of each level the accumulator stands; meaningful where `levels` says so.
    pub places: [usize; 3],
}

/// How one feature is computed.
#[derive(Debug, Clone)]
pub(crate) enum Compute {
    /// Of the rows in a window.
    Window {
        /// The accumulator.
        slot: usize,
        /// What is made of it.
        finish: Finish,
        /// The window.
        reach: Reach,
    },
    /// Of the rows in a window, one accumulator over another.
    Ratio {
        /// What is divided.
        of: usize,
        /// By what.
        to: usize,
        /// The window.
        reach: Reach,
    },
    /// Of the rows in a window, per unit of time.
    Rate {
        /// The accumulator.
        slot: usize,
        /// The unit of time.
        per: Span,
        /// The window.
        reach: Reach,
    },
    /// Of the newest or the first row among those that pass a filter.
    OneRow {
        /// The accumulator, which holds the row.
        slot: usize,
        /// Whether its age is meant, or its value.
        is_age: bool,
        /// Time to live.
        ttl: Option<Span>,
    },
    /// A value of the newest row.
    Latest {
        /// Input column.
        column: usize,
        /// Time to live.
        ttl: Option<Span>,
    },
    /// The age of the newest row.
    TimeSince {
        /// Time to live.
        ttl: Option<Span>,
    },
}

/// The window of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Every row.
    Lifetime,
    /// The rows since a beginning.
    Since {
        /// Length of the window.
        window: Span,
        /// Where it begins.
        edge: WindowEdge,
    },
}

impl Reach {
    /// The first instant inside the window of a decision at `at`; none when it has no beginning.
    pub fn first_inside(&self, at: Instant) -> Option<Instant> {
        match self {
            Reach::Lifetime => None,
            Reach::Since { window, edge } => Some(first_inside(*edge, *window, at)),
        }
    }

    /// The time from the beginning of the window to a decision at `at`, in microseconds; zero when it has no beginning.
    pub fn length(&self, at: Instant) -> u128 {
        match self {
            Reach::Lifetime => 0,
            Reach::Since { window, edge: WindowEdge::Exact } => window.0.unsigned_abs().into(),
            Reach::Since { window, edge } => {
                (i128::from(at.0) - i128::from(first_inside(*edge, *window, at).0)).unsigned_abs()
            }
        }
    }

    /// By how much it advances, where that is no matter of rows.
    pub fn hop(&self) -> Option<Level> {
        match self {
            Reach::Lifetime | Reach::Since { edge: WindowEdge::Exact | WindowEdge::Lifetime, .. } => None,
            Reach::Since { window, edge: WindowEdge::Sawtooth } => Some(hop(*window)),
        }
    }
}

impl Compute {
    /// The first instant inside the window of a decision at `at`; none when the window has no beginning.
    pub fn first_inside(&self, at: Instant) -> Option<Instant> {
        match self {
            Compute::Window { reach, .. } | Compute::Ratio { reach, .. } | Compute::Rate { reach, .. } => {
                reach.first_inside(at)
            }
            Compute::Latest { ttl, .. } | Compute::TimeSince { ttl } | Compute::OneRow { ttl, .. } => {
                ttl.map(|ttl| first_inside(WindowEdge::Exact, ttl, at))
            }
        }
    }

    /// The accumulators that it merges, each over its window.
    pub fn slots(&self) -> Vec<(usize, Reach)> {
        match self {
            Compute::Window { slot, reach, .. } | Compute::Rate { slot, reach, .. } => vec![(*slot, *reach)],
            Compute::Ratio { of, to, reach } => vec![(*of, *reach), (*to, *reach)],
            Compute::OneRow { slot, .. } => vec![(*slot, Reach::Lifetime)],
            Compute::Latest { .. } | Compute::TimeSince { .. } => Vec::new(),
        }
    }
}

/// A feature view compiled against its dataset.
#[derive(Debug, Clone)]
pub struct ViewPlan {
    view: FeatureView,
    dataset: String,
    primary_key: Vec<String>,
    entity: Vec<FieldRef>,
    columns: Vec<InputColumn>,
    slots: Vec<Slot>,
    features: Vec<Compute>,
    levels: [Vec<usize>; 3],
    output: SchemaRef,
}

impl ViewPlan {
    /// The declaration.
    pub fn view(&self) -> &FeatureView {
        &self.view
    }

    /// Name of the dataset whose rows are aggregated.
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// One nullable field per feature, in declared order.
    pub fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }

    /// The dataset's fields of the entity columns, in key order.
    pub fn entity_fields(&self) -> &[FieldRef] {
        &self.entity
    }

    /// The columns of the dataset that the view needs: entity, time, values, what its expressions read, primary key and
    /// system columns, each once. Rows to be received or swept also have the computed columns, see
    /// [`seawall_base::Computed`].
    pub fn input_columns(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let values = self.columns.iter().flat_map(|column| match self.view.expression(&column.name) {
            Some(expression) => expression.columns.iter().map(String::as_str).collect(),
            None => vec![column.name.as_str()],
        });
        let entity = self.view.entity.iter().map(String::as_str);
        let key = self.primary_key.iter().map(String::as_str);
        for name in entity.chain([self.view.time.as_str()]).chain(values).chain(key).chain(column::SYSTEM) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    }

    pub(crate) fn primary_key(&self) -> &[String] {
        &self.primary_key
    }

    pub(crate) fn columns(&self) -> &[InputColumn] {
        &self.columns
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn features(&self) -> &[Compute] {
        &self.features
    }

    /// The slots with tiles at each level, in the order of a tile's accumulators.
    pub(crate) fn levels(&self) -> &[Vec<usize>; 3] {
        &self.levels
    }

    pub(crate) fn entity_classes(&self) -> Vec<Class> {
        self.entity.iter().filter_map(|field| Class::of(field.data_type())).collect()
    }

    /// Hash of everything that decides what a state's bytes mean. The precision of a decimal does not: a state holds
    /// its digits in units of the scale, so it goes on when the column gets wider.
    pub(crate) fn state_hash(&self) -> Hash {
        self.hash_with(|data_type| match data_type {
            DataType::Decimal128(_, scale) => DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale),
            other => other.clone(),
        })
    }

    /// The same as earlier releases wrote it, with the precision.
    pub(crate) fn earlier_state_hash(&self) -> Hash {
        self.hash_with(DataType::clone)
    }

    fn hash_with(&self, told: impl Fn(&DataType) -> DataType) -> Hash {
        let columns = self.columns.iter().map(|column| format!("{}: {}", column.name, told(&column.data_type)));
        let entity = self.entity.iter().map(|field| format!("{}: {}", field.name(), told(field.data_type())));
        let types: Vec<String> = entity.chain(columns).chain(self.primary_key.iter().cloned()).collect();
        Hash::of_json(&(CORE_VERSION, self.view.definition_hash(), types))
    }

    /// What a state that is known at `known` has to keep.
    pub(crate) fn horizon(&self, known: Instant, retention: Retention) -> Horizon {
        match retention {
            Retention::All => Horizon::everything(),
            Retention::Live => self.live_horizon(known - DECISION_LAG_MAX),
        }
    }

    fn live_horizon(&self, oldest_at: Instant) -> Horizon {
        let head = Level::Minute.tile(oldest_at);
        let mut rows_from = head;
        let mut tiles_from = [i64::MAX; 3];
        let mut windows_from = oldest_at;
        for feature in &self.features {
            for (slot, reach) in feature.slots() {
                let first = reach.first_inside(oldest_at).unwrap_or(Instant::MIN);
                windows_from = windows_from.min(first);
                let tail = match reach {
                    Reach::Lifetime => Level::Day,
                    Reach::Since { .. } => reach.hop().unwrap_or(Level::Minute),
                };
                if matches!(reach, Reach::Since { edge: WindowEdge::Exact, .. }) {
                    rows_from = rows_from.min(Level::Minute.tile(first));
                }
                for level in Level::ALL {
                    if self.slots[slot].levels[level as usize] {
                        let from = self.tiles_needed_from(slot, level, tail, first, oldest_at);
                        tiles_from[level as usize] = tiles_from[level as usize].min(from);
                    }
                }
            }
        }
        Horizon {
            oldest_at,
            head: minute_start(head),
            rows_from: minute_start(rows_from),
            tiles_from,
            keys_from_day: Level::Day.tile(windows_from),
        }
    }

    /// The minute from which on a window needs tiles of `level`: its whole length where they may cover its tail, else
    /// only since the last boundary of the next longer tiles.
    fn tiles_needed_from(&self, slot: usize, level: Level, tail: Level, first: Instant, oldest_at: Instant) -> i64 {
        if level >= tail {
            return Level::Minute.tile(first);
        }
        let longer = Level::ALL.into_iter().find(|l| *l > level && self.slots[slot].levels[*l as usize]);
        match longer {
            Some(longer) => longer.tile(oldest_at) * longer.minutes(),
            None => Level::Minute.tile(first),
        }
    }
}

/// What a state keeps; older rows and tiles can no longer matter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Horizon {
    /// Oldest decision time that is answered.
    pub oldest_at: Instant,
    /// Its minute: an own row before it is refused.
    pub head: Instant,
    /// Rows from here on are kept themselves.
    pub rows_from: Instant,
    /// Per level, tiles that begin at this minute or later are kept.
    pub tiles_from: [i64; 3],
    /// Key hashes of rows that are no longer kept themselves are kept from this day on.
    pub keys_from_day: i64,
}

impl Horizon {
    /// Drops nothing.
    pub fn everything() -> Self {
        Horizon {
            oldest_at: Instant::MIN,
            head: Instant::MIN,
            rows_from: Instant::MIN,
            tiles_from: [i64::MIN; 3],
            keys_from_day: i64::MIN,
        }
    }

    /// Whether the tile `number` of `level` is kept.
    pub fn keeps_tile(&self, level: Level, number: i64) -> bool {
        number * level.minutes() >= self.tiles_from[level as usize]
    }
}

/// The first instant of a minute, numbered from the epoch.
pub(crate) fn minute_start(minute: i64) -> Instant {
    Instant(minute.saturating_mul(Span::MINUTE.0))
}
