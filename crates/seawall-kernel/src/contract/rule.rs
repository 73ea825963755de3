//! Compiled columns and rules: what the gate executes.

use std::collections::HashSet;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::clock::Clock;
use super::format::StringFormat;
use super::pattern::Matcher;
use super::verdict::Mode;

/// What a rule is judged on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Each row on its own, or against the other rows of its batch.
    Row,
    /// A batch as a whole, by counting.
    Batch,
}

/// Whose reading of the standard is followed where its text and a common tool differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Compat {
    /// The text: `mustBeBetween` excludes its bounds, `duplicateValues` counts rows that repeat a value.
    #[default]
    Text,
    /// `seawall.compat: datacontract-cli`: bounds are included, `duplicateValues` counts the values that repeat.
    DatacontractCli,
}

/// A rule that the gate executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// Name in reasons and warnings.
    pub rule: String,
    /// Column, with a path into nested ones; none for rules about whole rows or batches.
    pub column: Option<String>,
    /// What happens when it is broken.
    pub mode: Mode,
    /// What it is judged on.
    pub level: Level,
    /// What must hold, for people: `must be at most 50000`.
    pub description: String,
}

/// A rule of the contract that the gate does not execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotExecuted {
    /// Its id, name, metric or kind.
    pub rule: String,
    /// Column that it is about, if any.
    pub column: Option<String>,
    /// Where it stands in the contract, `schema/0/quality/1`.
    pub path: String,
    /// Why it is not executed.
    pub reason: String,
}

/// Number of a rule within its gate.
pub(super) type RuleId = usize;

/// A column, a field or the elements of an array.
#[derive(Debug)]
pub(super) struct Column {
    /// Name in the dataset.
    pub name: String,
    /// Name in the source when it differs.
    pub physical_name: Option<String>,
    /// Name with the path that leads to it, for messages.
    pub path: String,
    /// Whether values must not be shown.
    pub personal: bool,
    /// Type.
    pub kind: Kind,
    /// The rule that a value fits its type.
    pub type_rule: RuleId,
    /// Checks in the order of the contract.
    pub checks: Vec<(RuleId, Check)>,
}

/// The types that a contract can ask for.
#[derive(Debug)]
pub(super) enum Kind {
    Utf8,
    Int64,
    Float64,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Boolean,
    Date(Clock),
    Timestamp(Clock),
    /// Time of day, kept as text in ISO 8601.
    Time(Clock),
    Struct(Vec<Column>),
    List(Box<Column>),
    /// Kept as a list of objects with a key and a value; the column is that object.
    Map(Box<Column>),
    /// What the contract does not describe: kept as JSON text.
    Json(JsonKind),
}

/// What JSON the text of a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonKind {
    Any,
    Object,
    Array,
}

impl Kind {
    /// The Arrow type in which values are kept.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Kind::Utf8 | Kind::Time(_) | Kind::Json(_) => DataType::Utf8,
            Kind::Int64 => DataType::Int64,
            Kind::Float64 => DataType::Float64,
            Kind::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Kind::Boolean => DataType::Boolean,
            Kind::Date(_) => DataType::Date32,
            Kind::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Struct(fields) => DataType::Struct(struct_fields(fields)),
            Kind::List(element) | Kind::Map(element) => {
                DataType::List(Field::new("element", element.kind.data_type(), true).into())
            }
        }
    }

    /// What a value of this type is called in messages.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Kind::Utf8 => "a string",
            Kind::Int64 => "an integer",
            Kind::Float64 => "a number",
            Kind::Decimal { .. } => "a decimal number",
            Kind::Boolean => "true or false",
            Kind::Date(_) => "a date like 2014-01-31",
            Kind::Timestamp(_) => "a timestamp like 2014-01-31T08:05:00Z",
            Kind::Time(_) => "a time like 08:05:00",
            Kind::Struct(_) => "an object",
            Kind::List(_) | Kind::Json(JsonKind::Array) => "an array",
            Kind::Map(_) => "a map",
            Kind::Json(JsonKind::Object) => "an object",
            Kind::Json(JsonKind::Any) => "any value",
        }
    }
}

impl Kind {
    /// What a value of this type must be: `a date like 2014-01-31`, `a date of the form dd/MM/yyyy`.
    pub(super) fn description(&self) -> String {
        let form = match self {
            Kind::Date(clock) => clock.form.as_ref().map(|form| format!("a date of the form {}", form.written())),
            Kind::Timestamp(clock) => {
                clock.form.as_ref().map(|form| format!("a timestamp of the form {}", form.written()))
            }
            Kind::Time(clock) => clock.form.as_ref().map(|form| format!("a time of the form {}", form.written())),
            _ => None,
        };
        form.unwrap_or_else(|| self.noun().to_owned())
    }
}

/// Nested fields are nullable in Arrow; the gate checks `required` ones itself.
pub(super) fn struct_fields(fields: &[Column]) -> Fields {
    fields.iter().map(|field| Field::new(&field.name, field.kind.data_type(), true)).collect()
}

/// One check of a column. Null passes every check but the first two.
#[derive(Debug)]
pub(super) enum Check {
    /// Null fails.
    NotNull,
    /// Null and the marker values fail.
    NotMissing(Allowed),
    /// Least number of characters.
    MinLength(usize),
    /// Greatest number of characters.
    MaxLength(usize),
    /// A match must occur.
    Pattern(Matcher),
    /// Well-known format.
    Format(StringFormat),
    /// Least value of an integer, date (days), timestamp (us) or time of day (ns).
    AtLeast(i64),
    /// Greatest value of the same.
    AtMost(i64),
    /// Integer divisor.
    MultipleOf(i64),
    /// Bounds of an f64; `true` makes the bound itself fail.
    FloatAtLeast(f64, bool),
    FloatAtMost(f64, bool),
    FloatMultipleOf(f64),
    /// Fits 32 bits.
    FloatFits32,
    /// Bounds of a decimal in units of its scale.
    DecimalAtLeast(i128),
    DecimalAtMost(i128),
    DecimalMultipleOf(i128),
    /// NaN and infinities fail.
    Finite,
    /// One of the values.
    OneOf(Allowed),
    MinItems(usize),
    MaxItems(usize),
    UniqueItems,
    /// Keys of a map.
    UniqueKeys,
    /// A vector of length 1, give or take.
    Normalized(f64),
    /// A vector element without a fraction.
    Whole,
    MinProperties(usize),
    MaxProperties(usize),
}

/// A set of scalar values of one column's type.
#[derive(Debug)]
pub(super) enum Allowed {
    Strings(HashSet<String>),
    /// Integers, days, microseconds.
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Decimals(Vec<i128>),
    Booleans(Vec<bool>),
}

/// Columns whose values must differ together.
#[derive(Debug)]
pub(super) struct Uniqueness {
    pub rule: RuleId,
    /// Indices of top-level columns.
    pub columns: Vec<usize>,
}

/// A condition on a count.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Threshold {
    Equals(f64),
    Differs(f64),
    Above(f64),
    AtLeast(f64),
    Below(f64),
    AtMost(f64),
    /// Strictly between the two.
    Between(f64, f64),
    /// Anywhere but strictly between the two.
    Outside(f64, f64),
    /// Between the two, which are included: [`Compat::DatacontractCli`].
    Within(f64, f64),
    /// Below the lesser or above the greater.
    Beyond(f64, f64),
}

impl Threshold {
    /// Whether `value` satisfies the condition.
    pub(super) fn holds(&self, value: f64) -> bool {
        match *self {
            Threshold::Equals(limit) => value == limit,
            Threshold::Differs(limit) => value != limit,
            Threshold::Above(limit) => value > limit,
            Threshold::AtLeast(limit) => value >= limit,
            Threshold::Below(limit) => value < limit,
            Threshold::AtMost(limit) => value <= limit,
            Threshold::Between(low, high) => low < value && value < high,
            Threshold::Outside(low, high) => !(low < value && value < high),
            Threshold::Within(low, high) => low <= value && value <= high,
            Threshold::Beyond(low, high) => value < low || high < value,
        }
    }

    /// The condition in words: `must be at most 3`.
    pub(super) fn words(&self) -> String {
        match self {
            Threshold::Equals(limit) => format!("must be {limit}"),
            Threshold::Differs(limit) => format!("must not be {limit}"),
            Threshold::Above(limit) => format!("must be greater than {limit}"),
            Threshold::AtLeast(limit) => format!("must be at least {limit}"),
            Threshold::Below(limit) => format!("must be less than {limit}"),
            Threshold::AtMost(limit) => format!("must be at most {limit}"),
            Threshold::Between(low, high) => format!("must be greater than {low} and less than {high}"),
            Threshold::Outside(low, high) => format!("must not be between {low} and {high}"),
            Threshold::Within(low, high) => format!("must be from {low} to {high}"),
            Threshold::Beyond(low, high) => format!("must be less than {low} or greater than {high}"),
        }
    }

    /// Whether of all counts from 0 only 0 satisfies the condition, so that every offending row is a breach by itself.
    pub(super) fn tolerates_only_zero(&self, percent: bool) -> bool {
        if percent {
            return matches!(*self, Threshold::Equals(0.0) | Threshold::AtMost(0.0));
        }
        match *self {
            Threshold::Equals(limit) => limit == 0.0,
            Threshold::AtMost(limit) => (0.0..1.0).contains(&limit),
            Threshold::Below(limit) => limit > 0.0 && limit <= 1.0,
            Threshold::Between(low, high) => low < 0.0 && high > 0.0 && high <= 1.0,
            Threshold::Within(low, high) => low <= 0.0 && (0.0..1.0).contains(&high),
            Threshold::Differs(_) | Threshold::Above(_) | Threshold::AtLeast(_) => false,
            Threshold::Outside(..) | Threshold::Beyond(..) => false,
        }
    }

    /// Whether no value from 0 up can satisfy the condition.
    pub(super) fn impossible(&self) -> bool {
        match *self {
            Threshold::Equals(limit) | Threshold::AtMost(limit) => limit < 0.0,
            Threshold::Below(limit) => limit <= 0.0,
            Threshold::Between(low, high) => high <= low || high <= 0.0,
            Threshold::Within(low, high) => high < low || high < 0.0,
            Threshold::Differs(_) | Threshold::Above(_) | Threshold::AtLeast(_) => false,
            Threshold::Outside(..) | Threshold::Beyond(..) => false,
        }
    }
}

/// A batch rule over the offending rows of a check or of a uniqueness.
#[derive(Debug)]
pub(super) struct Limit {
    pub threshold: Threshold,
    pub percent: bool,
}

impl Limit {
    /// What is compared when `offending` of `rows` rows offend.
    pub(super) fn value(&self, offending: u64, rows: u64) -> f64 {
        match (self.percent, rows) {
            (true, 0) => 0.0,
            (true, rows) => offending as f64 * 100.0 / rows as f64,
            (false, _) => offending as f64,
        }
    }
}
