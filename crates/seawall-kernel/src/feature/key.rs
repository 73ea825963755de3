//! Keys: an unambiguous typed encoding of the values that identify an entity or a row.
//!
//! Each component is a type tag and a self-delimiting value, so `(1, 23)` is not `(12, 3)` and `"1"` is not `1`. Integers
//! of any width are equal when their numbers are. Floats identify nothing: two of them may print alike and differ.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash as HashInto, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::record_batch::RecordBatch;
use foldhash::quality::FixedState;
use seawall_base::error::Result;
use seawall_base::{Error, Hash};

use super::plan::ViewPlan;
use crate::aggregate::bytes::{Reader, Writer, garbage};
use crate::aggregate::{Class, Column, Value};

/// Longest encoding that a key holds itself.
const INLINE_BYTES: usize = 22;

/// Key of an entity: the typed encoding of its columns in key order. Ordered by bytes.
#[derive(Clone)]
pub struct EntityKey(Encoding);

/// Most keys are short, and a store holds one per entity and view.
#[derive(Clone)]
enum Encoding {
    Short { length: u8, bytes: [u8; INLINE_BYTES] },
    Long(Arc<[u8]>),
}

impl EntityKey {
    fn new(encoding: &[u8]) -> Self {
        if encoding.len() > INLINE_BYTES {
            return EntityKey(Encoding::Long(encoding.into()));
        }
        let mut bytes = [0; INLINE_BYTES];
        bytes[..encoding.len()].copy_from_slice(encoding);
        EntityKey(Encoding::Short { length: encoding.len() as u8, bytes })
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Encoding::Short { length, bytes } => &bytes[..usize::from(*length)],
            Encoding::Long(bytes) => bytes,
        }
    }

    /// Estimated bytes beside the key's own.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Encoding::Short { .. } => 0,
            Encoding::Long(bytes) => bytes.len() + 16,
        }
    }

    /// Reads an encoding back, when it is one of components of these classes.
    pub(crate) fn from_bytes(bytes: &[u8], classes: &[Class]) -> Result<Self> {
        let mut from = Reader(bytes);
        for class in classes {
            let known = from.u8()? == tag(*class);
            let value = Value::decode(&mut from)?;
            if !known || value == Value::Null || !value.fits(*class) {
                return Err(garbage("a key is not of its view's types"));
            }
        }
        if from.0.is_empty() { Ok(EntityKey::new(bytes)) } else { Err(garbage("a key is too long")) }
    }
}

impl PartialEq for EntityKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for EntityKey {}

impl PartialOrd for EntityKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EntityKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl HashInto for EntityKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// `(SEA, 12)`.
impl fmt::Display for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut from = Reader(self.as_bytes());
        let mut separator = "(";
        while from.u8().is_ok() {
            match Value::decode(&mut from) {
                Ok(Value::Int(value)) => write!(f, "{separator}{value}")?,
                Ok(Value::Text(value)) => write!(f, "{separator}{value}")?,
                Ok(Value::Float(_) | Value::Null) | Err(_) => write!(f, "{separator}?")?,
            }
            separator = ", ";
        }
        f.write_str(")")
    }
}

impl fmt::Debug for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityKey{self}")
    }
}

/// The 128-bit hash of each row's `columns`: BLAKE3 over the typed encoding, and 1 where that is zero; none where a
/// component is null. It says
/// which row of a dataset is which, so that a decision can leave out its own.
pub fn key_hashes(rows: &RecordBatch, columns: &[String]) -> Result<Vec<Option<u128>>> {
    let mut components = Vec::with_capacity(columns.len());
    for name in columns {
        components.push(Component::new(name, &batch_column(rows, name)?)?);
    }
    let mut hashes = Vec::with_capacity(rows.num_rows());
    let mut bytes = Writer::default();
    for row in 0..rows.num_rows() {
        bytes.0.clear();
        hashes.push(encode(&components, row, &mut bytes).then(|| Hash::of(&bytes.0).low128().max(1)));
    }
    Ok(hashes)
}

/// The entity of each row. `rows` has exactly the view's entity columns in key order, whatever their names; none where a
/// component is null: such a row asks for no entity, and all its features are null.
pub fn entity_keys(plan: &ViewPlan, rows: &RecordBatch) -> Result<Vec<Option<EntityKey>>> {
    let wanted = plan.entity_fields();
    if rows.num_columns() != wanted.len() {
        let message = format!("{} needs {} entity columns, not {}", plan.view().id(), wanted.len(), rows.num_columns());
        return Err(Error::invalid("SW0312", message));
    }
    let columns: Vec<ArrayRef> = rows.columns().to_vec();
    keys_of(plan, &columns, rows.num_rows())
}

/// The entity of each of `rows` rows, from the entity columns in key order.
pub(crate) fn keys_of(plan: &ViewPlan, columns: &[ArrayRef], rows: usize) -> Result<Vec<Option<EntityKey>>> {
    let columns = KeyColumns::new(plan, columns)?;
    let mut keys = Vec::with_capacity(rows);
    let mut bytes = Writer::default();
    for row in 0..rows {
        keys.push(columns.encode(row, &mut bytes).then(|| EntityKey::new(&bytes.0)));
    }
    Ok(keys)
}

/// The entity columns of some rows.
pub(crate) struct KeyColumns(Vec<Component>);

impl KeyColumns {
    /// The entity columns in key order; refuses types other than the plan's.
    pub fn new(plan: &ViewPlan, columns: &[ArrayRef]) -> Result<Self> {
        let mut components = Vec::with_capacity(columns.len());
        for (field, array) in plan.entity_fields().iter().zip(columns) {
            let component = Component::new(field.name(), &flat(array)?)?;
            if Class::of(field.data_type()) != Some(component.class) {
                let types = format!("{}, but is given as {}", field.data_type(), array.data_type());
                let message = format!("entity column {} of {} is {types}", field.name(), plan.view().id());
                return Err(Error::invalid("SW0312", message).hint("cast the column to the view's type"));
            }
            components.push(component);
        }
        Ok(KeyColumns(components))
    }

    /// Replaces the bytes of `out` by the row's [`EntityKey`]; false when the row has none. One buffer serves all rows of
    /// a history, most of which belong to entities that nobody keeps.
    pub fn encode(&self, row: usize, out: &mut Writer) -> bool {
        out.0.clear();
        encode(&self.0, row, out)
    }
}

/// The share, of so many, that each row's entity falls into; none for a row without one. `columns` are the view's entity
/// columns in key order. Rows of one entity fall into one share, whatever batches they are in, so shares of a history can
/// be swept one after the other.
pub fn entity_shares(plan: &ViewPlan, columns: &[ArrayRef], shares: u32) -> Result<Vec<Option<u32>>> {
    let keys = KeyColumns::new(plan, columns)?;
    let rows = columns.first().map_or(0, |column| column.len());
    let mut key = Writer::default();
    let mut found = Vec::with_capacity(rows);
    for row in 0..rows {
        found.push(keys.encode(row, &mut key).then(|| {
            let mut hasher = FixedState::default().build_hasher();
            hasher.write(&key.0);
            (hasher.finish() % u64::from(shares.max(1))) as u32
        }));
    }
    Ok(found)
}

/// One column of a key.
struct Component {
    class: Class,
    values: Column,
}

impl Component {
    fn new(name: &str, array: &ArrayRef) -> Result<Self> {
        match Class::of(array.data_type()) {
            Some(Class::Float) | None => Err(not_a_key(name, array.data_type())),
            Some(class) => Ok(Component { class, values: Column::new(array)? }),
        }
    }
}

/// The error for a key column whose type cannot identify anything.
pub(crate) fn not_a_key(name: &str, data_type: &DataType) -> Error {
    Error::invalid("SW0305", format!("column {name} of type {data_type} cannot be part of a key"))
        .hint("use text, integers, decimals, booleans, dates or timestamps")
}

/// Appends the encoding of a row; false, with half of it written, when a component is null.
fn encode(components: &[Component], row: usize, out: &mut Writer) -> bool {
    for component in components {
        let value = component.values.value(row);
        if value == Value::Null {
            return false;
        }
        out.u8(tag(component.class));
        value.encode(out);
    }
    true
}

/// Distinguishes values that share a representation.
fn tag(class: Class) -> u8 {
    match class {
        Class::Boolean => 1,
        Class::Integer => 2,
        Class::Float => 3,
        Class::Text => 4,
        Class::Date => 5,
        Class::Timestamp(TimeUnit::Second) => 6,
        Class::Timestamp(TimeUnit::Millisecond) => 7,
        Class::Timestamp(TimeUnit::Microsecond) => 8,
        Class::Timestamp(TimeUnit::Nanosecond) => 9,
        // Scales lie within -38..=38.
        Class::Decimal { scale } => (scale as u8).wrapping_add(128),
    }
}

/// The named column, dictionaries resolved.
pub(crate) fn batch_column(rows: &RecordBatch, name: &str) -> Result<ArrayRef> {
    let absent = || Error::invalid("SW0310", format!("the rows have no column {name}"));
    flat(rows.column_by_name(name).ok_or_else(absent)?)
}

fn flat(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, values) => Ok(cast(array, values)?),
        _ => Ok(Arc::clone(array)),
    }
}
