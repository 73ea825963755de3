//! Identity and order: partitions, offsets, cuts, row ids and versioned names.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// One totally ordered stream of rows. Partition 0 is the live log; every bulk load is a partition of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub u32);

impl Partition {
    /// The live log of the embedded form.
    pub const LIVE: Partition = Partition(0);
}

/// Position of a row within its partition, also called LSN. The first row has offset 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

/// A row's identity, kept by every rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowId {
    /// The stream.
    pub partition: Partition,
    /// The place in it.
    pub offset: Offset,
}

/// `0:17`: partition, colon, offset. Parsed back by [`RowId::from_str`].
impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition.0, self.offset.0)
    }
}

impl FromStr for RowId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid("SW1501", format!("{text:?} does not name a row"))
                .hint("a row reads partition:offset, for example 0:1200")
        };
        let (partition, offset) = text.split_once(':').ok_or_else(bad)?;
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(partition) || !is_number(offset) {
            return Err(bad());
        }
        // Tables keep both as signed numbers.
        let partition: i32 = partition.parse().map_err(|_| bad())?;
        let offset: i64 = offset.parse().map_err(|_| bad())?;
        Ok(RowId { partition: Partition(partition as u32), offset: Offset(offset as u64) })
    }
}

/// End offset per partition: the rows `r` with `r.offset < cut[r.partition]` are within the cut.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cut(BTreeMap<Partition, Offset>);

impl Cut {
    /// The cut before every row.
    pub fn empty() -> Self {
        Cut::default()
    }

    /// A cut of one partition.
    pub fn of(partition: Partition, end: Offset) -> Self {
        Cut(BTreeMap::from([(partition, end)]))
    }

    /// End offset of `partition`; 0 when the cut has no row of it.
    pub fn end(&self, partition: Partition) -> Offset {
        self.0.get(&partition).copied().unwrap_or_default()
    }

    /// Moves the end of `partition` forward; an older end changes nothing.
    pub fn advance(&mut self, partition: Partition, end: Offset) {
        let current = self.0.entry(partition).or_default();
        *current = (*current).max(end);
    }

    /// The least cut that covers both.
    pub fn join(&mut self, other: &Cut) {
        for (partition, end) in &other.0 {
            self.advance(*partition, *end);
        }
    }

    /// Whether `row` lies within.
    pub fn contains(&self, row: RowId) -> bool {
        row.offset < self.end(row.partition)
    }

    /// Whether every row of `other` lies within.
    pub fn covers(&self, other: &Cut) -> bool {
        other.0.iter().all(|(partition, end)| self.end(*partition) >= *end)
    }

    /// The partitions and their ends, ordered.
    pub fn iter(&self) -> impl Iterator<Item = (Partition, Offset)> + '_ {
        self.0.iter().map(|(partition, end)| (*partition, *end))
    }
}

impl FromIterator<(Partition, Offset)> for Cut {
    fn from_iter<I: IntoIterator<Item = (Partition, Offset)>>(ends: I) -> Self {
        Cut(ends.into_iter().collect())
    }
}

/// `0:1200,3:88`: partition, colon, end offset; ordered; empty for the empty cut. Parsed back by [`Cut::from_str`].
impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (partition, end)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}:{}", partition.0, end.0)?;
        }
        Ok(())
    }
}

impl FromStr for Cut {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid("SW0105", format!("{text:?} is not a cut"))
                .hint("a cut reads partition:end,partition:end, for example 0:1200")
        };
        let mut cut = Cut::empty();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (partition, end) = part.split_once(':').ok_or_else(bad)?;
            let partition = Partition(partition.parse().map_err(|_| bad())?);
            cut.advance(partition, Offset(end.parse().map_err(|_| bad())?));
        }
        Ok(cut)
    }
}

/// `card@1`: a name with its version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionedName {
    /// The name, without the version.
    pub name: String,
    /// The version, from 1.
    pub version: u32,
}

impl fmt::Display for VersionedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

impl FromStr for VersionedName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid("SW0106", format!("{text:?} is not a name with a version"))
                .hint("write NAME@VERSION, for example card@1")
        };
        let (name, version) = text.split_once('@').ok_or_else(bad)?;
        let version: u32 = version.parse().map_err(|_| bad())?;
        if name.is_empty() || version == 0 {
            return Err(bad());
        }
        Ok(VersionedName { name: name.to_owned(), version })
    }
}

impl Serialize for VersionedName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VersionedName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|e: Error| serde::de::Error::custom(format!("{e}; {}", e.remedy().unwrap_or_default())))
    }
}

/// What the rest of Seawall needs to know of a dataset: its columns, its key and its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Name of the dataset, also of its table.
    pub name: String,
    /// The contract's columns, without the system columns.
    pub schema: SchemaRef,
    /// Columns of the primary key in key order; empty when the contract declares none.
    pub primary_key: Vec<String>,
    /// Column of the event time (`Timestamp(us, UTC)`), when the contract names one.
    pub event_time: Option<String>,
    /// Columns with personal data: kept out of statistics, partition paths and logs.
    pub personal: Vec<String>,
    /// Column that tells whom the personal data of a row is about; absent when the contract names none.
    pub subject: Option<String>,
    /// Column that says what a row does to the row of its key, [`UPSERT`] or [`DELETE`]: then the newest row of a key
    /// stands. Absent for a dataset whose rows stand for ever.
    pub changelog: Option<String>,
}

/// The word of a changelog for a row that takes the place of the one before.
pub const UPSERT: &str = "upsert";
/// The word of a changelog for a row that takes the one before away.
pub const DELETE: &str = "delete";

impl Dataset {
    /// The schema of the dataset's table: the contract's columns, then [`crate::column::SYSTEM`]. The contract's columns
    /// are nullable in the table: what must not be null is the gate's business, and may change with the contract.
    pub fn table_schema(&self) -> SchemaRef {
        use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
        let mut fields: Vec<Arc<Field>> = self.schema.fields().iter().map(nullable).collect();
        fields.push(Arc::new(Field::new(crate::column::PARTITION, DataType::Int32, false)));
        fields.push(Arc::new(Field::new(crate::column::LSN, DataType::Int64, false)));
        fields.push(Arc::new(Field::new(crate::column::ARRIVAL, instant.clone(), false)));
        fields.push(Arc::new(Field::new(crate::column::AVAILABLE_AT, instant, false)));
        Arc::new(Schema::new(fields))
    }
}
