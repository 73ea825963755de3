//! Columns of a batch into the contract's types, losslessly or with a fault per cell.
//!
//! A cell that does not fit becomes null and a finding. A column whose type can never fit is an error for the whole
//! batch. Columns that have the right type already are shared, not copied.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray,
    StringBuilder, StructArray, UInt32Array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::{cast, is_null, nullif, take};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, Field, Fields, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt64Type,
};

use super::check;
use super::clock::Clock;
use super::instant::Zone;
use super::json::parse;
use super::json::stage::{Builder, Staged, Staging};
use super::origin::Origin;
use super::raw;
use super::rule::{Column, JsonKind, Kind, RuleId, struct_fields};
use super::text::{self, Fault};

/// How the cells of a batch are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Columns have types, which must fit the contract's without loss.
    Typed,
    /// String columns hold text that is parsed into the contract's types; other columns are treated as typed.
    Text,
}

/// What becomes of texts that arrive with a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    /// They are unpacked.
    Plain,
    /// They keep it: checks are asked once per distinct text.
    Encoded,
}

/// Cells that break one rule.
#[derive(Debug)]
pub(super) struct Finding<'c> {
    pub rule: RuleId,
    /// The column; none for rules about several.
    pub column: Option<&'c Column>,
    /// Row and, within `source`, cell; ascending by row. Of the elements of one row only the first.
    pub hits: Vec<Hit>,
    /// For elements of lists, where each hit stands; empty for columns.
    pub places: Vec<String>,
    /// Where the offending values stand.
    pub source: Option<ArrayRef>,
    pub note: Note,
}

/// One offending cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub row: u32,
    pub cell: u32,
    /// Further elements of the row that offend in the same way.
    pub more: u32,
}

/// What the messages of a finding say.
#[derive(Debug)]
pub(super) enum Note {
    /// The rule's description.
    Limit,
    /// One fault per hit: the value does not fit its type.
    Faults(Vec<Fault>),
    /// The pattern took too many steps.
    PatternBudget,
}

/// Converts columns and runs their checks, collecting findings.
pub(super) struct Conversion<'c> {
    pub zone: &'c Zone,
    pub texts: Texts,
    pub findings: Vec<Finding<'c>>,
    /// Fields of nested objects that the contract does not know.
    pub unknown: Vec<String>,
}

/// Cells that failed, with their faults, ascending.
type Failed = Vec<(u32, Fault)>;
/// Outcome of a conversion; the error says what type stands where another was wanted.
type Converted = Result<(ArrayRef, Failed), String>;

impl<'c> Conversion<'c> {
    /// Converts `array`, whose cells belong to the rows that `origin` tells (cell `i` to row `i` without), and runs the
    /// column's checks. `live` tells which cells exist at all: those of null objects do not.
    pub(super) fn column(
        &mut self,
        column: &'c Column,
        array: &ArrayRef,
        input: Input,
        origin: Option<&Origin<'_>>,
        live: Option<&NullBuffer>,
    ) -> Result<ArrayRef, String> {
        let (converted, failed) = self.convert(column, array, input, origin)?;
        let mut failed_cells = None;
        if !failed.is_empty() {
            let mut bits = vec![false; array.len()];
            failed.iter().for_each(|(cell, _)| bits[*cell as usize] = true);
            failed_cells = Some(BooleanBuffer::from(bits));
            let mut faults = Vec::new();
            let mut hits = Vec::new();
            for (cell, fault) in failed {
                if push_hit(&mut hits, cell, origin) {
                    faults.push(fault);
                }
            }
            self.push(column.type_rule, column, array, hits, Note::Faults(faults), origin);
        }
        for (rule, check) in &column.checks {
            let outcome = check::run(check, &converted, live, failed_cells.as_ref());
            self.note(*rule, column, &converted, origin, outcome.fails, Note::Limit);
            self.note(*rule, column, &converted, origin, outcome.over_budget, Note::PatternBudget);
        }
        Ok(converted)
    }

    fn note(
        &mut self,
        rule: RuleId,
        column: &'c Column,
        source: &ArrayRef,
        origin: Option<&Origin<'_>>,
        fails: Option<BooleanBuffer>,
        note: Note,
    ) {
        let Some(fails) = fails else { return };
        let mut hits = Vec::new();
        for cell in fails.set_indices_u32() {
            push_hit(&mut hits, cell, origin);
        }
        self.push(rule, column, source, hits, note, origin);
    }

    fn push(
        &mut self,
        rule: RuleId,
        column: &'c Column,
        source: &ArrayRef,
        hits: Vec<Hit>,
        note: Note,
        origin: Option<&Origin<'_>>,
    ) {
        if hits.is_empty() {
            return;
        }
        let places = match origin {
            Some(origin) => hits.iter().map(|hit| origin.located(&column.path, hit.cell)).collect(),
            None => Vec::new(),
        };
        let source = Some(Arc::clone(source));
        self.findings.push(Finding { rule, column: Some(column), hits, places, source, note });
    }

    fn convert(
        &mut self,
        column: &'c Column,
        array: &ArrayRef,
        input: Input,
        origin: Option<&Origin<'_>>,
    ) -> Converted {
        if let DataType::Dictionary(_, values) = array.data_type() {
            if self.texts == Texts::Encoded
                && matches!(column.kind, Kind::Utf8)
                && check::encoded_texts(array).is_some()
            {
                return Ok((Arc::clone(array), Vec::new()));
            }
            let plain = cast(array, values).map_err(|e| e.to_string())?;
            return self.convert(column, &plain, input, origin);
        }
        if array.data_type() == &DataType::Null {
            return Ok((new_null_array(&column.kind.data_type(), array.len()), Vec::new()));
        }
        let is_text = matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let is_kept_as_text = matches!(column.kind, Kind::Utf8 | Kind::Time(_) | Kind::Json(_));
        if is_text && (input == Input::Text || is_kept_as_text) {
            let text = cast(array, &DataType::Utf8).map_err(|e| e.to_string())?;
            return self.parse(column, &text, origin);
        }
        match (&column.kind, array.data_type()) {
            (Kind::Struct(fields), DataType::Struct(_)) => self.structs(column, fields, array.as_struct(), origin),
            (Kind::List(element) | Kind::Map(element), DataType::List(_)) => {
                self.lists(column, element, array.as_list(), origin)
            }
            (Kind::Map(element), DataType::Map(..)) => {
                self.lists(column, element, &entries_of(array.as_map())?, origin)
            }
            (Kind::Json(kind), _) => json_texts(*kind, array),
            (Kind::List(element), DataType::LargeList(field) | DataType::FixedSizeList(field, _)) => {
                let plain = cast(array, &DataType::List(Arc::clone(field))).map_err(|e| e.to_string())?;
                self.lists(column, element, plain.as_list(), origin)
            }
            (Kind::Timestamp(clock), DataType::Timestamp(unit, zone)) => {
                timestamps(array, *unit, zone.is_some(), clock.zone.as_ref().unwrap_or(self.zone))
            }
            _ => scalars(&column.kind, array),
        }
        .map_err(|reason| match reason.is_empty() {
            true => format!("{} has type {}; {} is wanted", column.path, array.data_type(), column.kind.noun()),
            false => reason,
        })
    }

    fn parse(&mut self, column: &'c Column, array: &ArrayRef, origin: Option<&Origin<'_>>) -> Converted {
        let text = array.as_string::<i32>();
        let zone = self.zone;
        Ok(match &column.kind {
            Kind::Utf8 => (Arc::clone(array), Vec::new()),
            Kind::Int64 => cells::<Int64Type>(text, |i| text::integer(text.value(i))),
            Kind::Float64 => cells::<Float64Type>(text, |i| text::number(text.value(i))),
            Kind::Decimal { precision, scale } => {
                let (values, failed) =
                    primitive::<Decimal128Type>(text, |i| text::decimal(text.value(i), *precision, *scale));
                (decimals(values, *precision, *scale), failed)
            }
            Kind::Boolean => booleans(text),
            Kind::Date(clock) => cells::<Date32Type>(text, |i| clock.date(text.value(i))),
            Kind::Timestamp(clock) => {
                let (values, failed) =
                    primitive::<TimestampMicrosecondType>(text, |i| clock.timestamp(text.value(i), zone));
                (Arc::new(values.with_timezone("UTC")), failed)
            }
            Kind::Time(clock) => times(clock, text),
            Kind::Json(kind) => json_cells(*kind, text),
            Kind::Struct(_) | Kind::List(_) | Kind::Map(_) => return self.nested_text(column, text, origin),
        })
    }

    /// Objects and arrays in text are JSON; once typed, what is within them is checked as in a typed column.
    fn nested_text(&mut self, column: &'c Column, text: &StringArray, origin: Option<&Origin<'_>>) -> Converted {
        let mut builder = Builder::new(&column.kind);
        let mut failed = Vec::new();
        for cell in 0..text.len() {
            let mut staged = Staged::Null;
            if text.is_valid(cell) {
                match self.stage_cell(column, text.value(cell)) {
                    Ok(value) => staged = value,
                    Err(fault) => failed.push((cell as u32, fault)),
                }
            }
            builder.append(staged);
        }
        let typed = builder.finish(text.len());
        let (checked, _) = self.convert(column, &typed, Input::Typed, origin)?;
        Ok((checked, failed))
    }

    fn stage_cell<'t>(&mut self, column: &'c Column, text: &'t str) -> Result<Staged<'t>, Fault> {
        let json = parse::parse(text).map_err(|_| Fault::Json)?;
        let unknown = &mut self.unknown;
        let mut note_unknown = |path: &str| {
            if !unknown.iter().any(|known| known == path) && unknown.len() < 100 {
                unknown.push(path.to_owned());
            }
        };
        let mut staging =
            Staging { zone: self.zone, misfits: Vec::new(), steps: Vec::new(), unknown: &mut note_unknown };
        let staged = staging.stage(column, json);
        match staging.misfits.first() {
            Some(misfit) => Err(misfit.fault),
            None => Ok(staged),
        }
    }

    fn structs(
        &mut self,
        column: &'c Column,
        fields: &'c [Column],
        array: &StructArray,
        origin: Option<&Origin<'_>>,
    ) -> Converted {
        let mut children = Vec::with_capacity(fields.len());
        for field in fields {
            let child = match array.column_by_name(&field.name) {
                Some(child) if array.null_count() > 0 => {
                    nullif(child, &is_null(array).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?
                }
                Some(child) => Arc::clone(child),
                None => new_null_array(&field.kind.data_type(), array.len()),
            };
            children.push(self.column(field, &child, Input::Typed, origin, array.nulls())?);
        }
        for name in array.column_names() {
            let path = format!("{}.{name}", column.path);
            if !fields.iter().any(|field| field.name == name) && !self.unknown.contains(&path) {
                self.unknown.push(path);
            }
        }
        let nulls = array.nulls().cloned();
        let converted = StructArray::try_new_with_length(struct_fields(fields), children, nulls, array.len())
            .map_err(|e| e.to_string())?;
        Ok((Arc::new(converted), Vec::new()))
    }

    fn lists(
        &mut self,
        column: &'c Column,
        element: &'c Column,
        array: &ListArray,
        above: Option<&Origin<'_>>,
    ) -> Converted {
        let elements = array.values().len();
        let mut indices: Vec<u32> = Vec::with_capacity(elements);
        let (mut rows, mut lists) = (Vec::with_capacity(elements), Vec::with_capacity(elements));
        let mut starts: Vec<u32> = Vec::with_capacity(array.len());
        let mut lengths: Vec<usize> = Vec::with_capacity(array.len());
        for at in 0..array.len() {
            let before = indices.len();
            starts.push(before as u32);
            if array.is_valid(at) {
                let (start, end) = (array.value_offsets()[at], array.value_offsets()[at + 1]);
                indices.extend((start..end).map(|i| i as u32));
                rows.resize(indices.len(), row_of(at as u32, above));
                lists.resize(indices.len(), at as u32);
            }
            lengths.push(indices.len() - before);
        }
        let values = match indices.len() == array.values().len() {
            true => Arc::clone(array.values()),
            false => take(array.values(), &UInt32Array::from(indices), None).map_err(|e| e.to_string())?,
        };
        let is_map = matches!(column.kind, Kind::Map(_)) && !column.personal;
        let keys = values.as_struct_opt().filter(|_| is_map).and_then(|entries| entries.column_by_name("key").cloned());
        let origin = Origin { rows, lists, starts, keys, above };
        let values = self.column(element, &values, Input::Typed, Some(&origin), None)?;
        let field = Arc::new(Field::new("element", element.kind.data_type(), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let converted =
            ListArray::try_new(field, offsets, values, array.nulls().cloned()).map_err(|e| e.to_string())?;
        Ok((Arc::new(converted), Vec::new()))
    }
}

fn row_of(cell: u32, origin: Option<&Origin<'_>>) -> u32 {
    origin.map_or(cell, |origin| origin.rows[cell as usize])
}

/// Adds a hit, or counts it to the one before when that is of the same row; whether it was added.
fn push_hit(hits: &mut Vec<Hit>, cell: u32, origin: Option<&Origin<'_>>) -> bool {
    let row = row_of(cell, origin);
    match hits.last_mut() {
        Some(last) if last.row == row => {
            last.more += 1;
            false
        }
        _ => {
            hits.push(Hit { row, cell, more: 0 });
            true
        }
    }
}

/// Scalars of other types; the error is empty when the type can never fit.
fn scalars(kind: &Kind, array: &ArrayRef) -> Converted {
    use DataType as T;
    let same = || Ok((Arc::clone(array), Vec::new()));
    let widened = |to: &DataType| Ok((cast(array, to).map_err(|e| e.to_string())?, Vec::new()));
    match (kind, array.data_type()) {
        (Kind::Int64, T::Int64) | (Kind::Float64, T::Float64) => same(),
        (Kind::Boolean, T::Boolean) | (Kind::Date(_), T::Date32) => same(),
        (Kind::Int64, T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 | T::UInt32) => widened(&T::Int64),
        (Kind::Float64, T::Float16 | T::Float32) => widened(&T::Float64),
        (Kind::Float64, T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 | T::UInt32) => widened(&T::Float64),
        (Kind::Int64, T::UInt64) => {
            let values = array.as_primitive::<UInt64Type>();
            let too_big = Fault::OutOfRange("a 64-bit integer");
            Ok(cells::<Int64Type>(values, |i| i64::try_from(values.value(i)).map_err(|_| too_big)))
        }
        (Kind::Float64, T::Int64) => {
            let values = array.as_primitive::<Int64Type>();
            Ok(cells::<Float64Type>(values, |i| exact_float(i128::from(values.value(i)))))
        }
        (Kind::Float64, T::UInt64) => {
            let values = array.as_primitive::<UInt64Type>();
            Ok(cells::<Float64Type>(values, |i| exact_float(i128::from(values.value(i)))))
        }
        (Kind::Decimal { precision, scale }, T::Decimal128(p, s)) if p <= precision && s == scale => {
            Ok((decimals(array.as_primitive::<Decimal128Type>().clone(), *precision, *scale), Vec::new()))
        }
        (Kind::Decimal { precision, scale }, _) => decimal_cells(array, *precision, *scale),
        (Kind::Date(_), T::Date64) => {
            let values = array.as_primitive::<Date64Type>();
            Ok(cells::<Date32Type>(values, |i| whole_days(values.value(i))))
        }
        (Kind::Time(_), T::Time32(_) | T::Time64(_)) => {
            let text = cast(array, &T::Utf8).map_err(|e| e.to_string())?;
            Ok((text, Vec::new()))
        }
        _ => Err(String::new()),
    }
}

fn exact_float(value: i128) -> Result<f64, Fault> {
    let float = value as f64;
    if float as i128 == value { Ok(float) } else { Err(Fault::Lossy("a 64-bit number")) }
}

fn whole_days(milliseconds: i64) -> Result<i32, Fault> {
    const DAY_MS: i64 = 86_400_000;
    if milliseconds % DAY_MS != 0 {
        return Err(Fault::Lossy("a date"));
    }
    i32::try_from(milliseconds / DAY_MS).map_err(|_| Fault::OutOfRange("a date"))
}

fn decimal_cells(array: &ArrayRef, precision: u8, scale: i8) -> Converted {
    use DataType as T;
    let (values, failed) = match array.data_type() {
        T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) => {
            let from = array.data_type().clone();
            let (T::Decimal32(_, s) | T::Decimal64(_, s) | T::Decimal128(_, s)) = from else {
                return Err(String::new());
            };
            let wide = cast(array, &T::Decimal128(38, s)).map_err(|e| e.to_string())?;
            let wide = wide.as_primitive::<Decimal128Type>();
            primitive::<Decimal128Type>(wide, |i| text::rescale(wide.value(i), i32::from(s), precision, scale))
        }
        T::Decimal256(_, s) => {
            let wide = array.as_primitive::<Decimal256Type>();
            primitive::<Decimal128Type>(wide, |i| {
                let digits = wide.value(i).to_i128().ok_or(Fault::OutOfRange("the decimal"))?;
                text::rescale(digits, i32::from(*s), precision, scale)
            })
        }
        T::UInt64 => {
            let wide = array.as_primitive::<UInt64Type>();
            primitive::<Decimal128Type>(wide, |i| text::rescale(i128::from(wide.value(i)), 0, precision, scale))
        }
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => {
            let wide = cast(array, &T::Int64).map_err(|e| e.to_string())?;
            let wide = wide.as_primitive::<Int64Type>();
            primitive::<Decimal128Type>(wide, |i| text::rescale(i128::from(wide.value(i)), 0, precision, scale))
        }
        _ => return Err(String::new()),
    };
    Ok((decimals(values, precision, scale), failed))
}

fn timestamps(array: &ArrayRef, unit: TimeUnit, zoned: bool, zone: &Zone) -> Converted {
    let too_far = Fault::OutOfRange("a timestamp");
    let local = |us: i64| if zoned { Ok(us) } else { zone.instant(us) };
    let (values, failed) = match unit {
        TimeUnit::Microsecond if zoned => (array.as_primitive::<TimestampMicrosecondType>().clone(), Vec::new()),
        TimeUnit::Microsecond => {
            let values = array.as_primitive::<TimestampMicrosecondType>();
            primitive::<TimestampMicrosecondType>(values, |i| local(values.value(i)))
        }
        TimeUnit::Second => {
            let values = array.as_primitive::<TimestampSecondType>();
            primitive(values, |i| local(values.value(i).checked_mul(1_000_000).ok_or(too_far)?))
        }
        TimeUnit::Millisecond => {
            let values = array.as_primitive::<TimestampMillisecondType>();
            primitive(values, |i| local(values.value(i).checked_mul(1_000).ok_or(too_far)?))
        }
        TimeUnit::Nanosecond => {
            let values = array.as_primitive::<TimestampNanosecondType>();
            primitive(values, |i| match values.value(i) % 1_000 {
                0 => local(values.value(i) / 1_000),
                _ => Err(Fault::Nanoseconds),
            })
        }
    };
    let values: PrimitiveArray<TimestampMicrosecondType> = values;
    Ok((Arc::new(values.with_timezone("UTC")), failed))
}

fn decimals(values: PrimitiveArray<Decimal128Type>, precision: u8, scale: i8) -> ArrayRef {
    let typed = values.with_precision_and_scale(precision, scale);
    Arc::new(typed.expect("compiling the contract checked precision and scale"))
}

fn cells<T: ArrowPrimitiveType>(
    source: &dyn Array,
    read: impl Fn(usize) -> Result<T::Native, Fault>,
) -> (ArrayRef, Failed) {
    let (values, failed) = primitive::<T>(source, read);
    (Arc::new(values), failed)
}

/// One value per valid cell of `source`; a cell that cannot be read becomes null.
fn primitive<T: ArrowPrimitiveType>(
    source: &dyn Array,
    read: impl Fn(usize) -> Result<T::Native, Fault>,
) -> (PrimitiveArray<T>, Failed) {
    let mut values: Vec<T::Native> = Vec::with_capacity(source.len());
    let mut failed = Vec::new();
    for cell in 0..source.len() {
        if source.is_null(cell) {
            values.push(T::Native::default());
            continue;
        }
        match read(cell) {
            Ok(value) => values.push(value),
            Err(fault) => {
                failed.push((cell as u32, fault));
                values.push(T::Native::default());
            }
        }
    }
    let nulls = without(source.nulls(), source.len(), &failed);
    (PrimitiveArray::new(values.into(), nulls), failed)
}

/// The valid cells that did not fail.
fn without(nulls: Option<&NullBuffer>, length: usize, failed: &Failed) -> Option<NullBuffer> {
    if failed.is_empty() {
        return nulls.cloned();
    }
    let mut kept = vec![true; length];
    failed.iter().for_each(|(cell, _)| kept[*cell as usize] = false);
    NullBuffer::union(nulls, Some(&NullBuffer::from(kept)))
}

fn booleans(text: &StringArray) -> (ArrayRef, Failed) {
    let mut failed = Vec::new();
    let mut values = Vec::with_capacity(text.len());
    for cell in 0..text.len() {
        let read = if text.is_null(cell) { Ok(false) } else { text::boolean(text.value(cell)) };
        values.push(read.unwrap_or_else(|fault| {
            failed.push((cell as u32, fault));
            false
        }));
    }
    let nulls = without(text.nulls(), text.len(), &failed);
    (Arc::new(BooleanArray::new(values.into(), nulls)), failed)
}

/// Times of day stay text once they read well.
fn times(clock: &Clock, text: &StringArray) -> (ArrayRef, Failed) {
    texts(text, |value| clock.time(value))
}

/// Each cell as the text that is kept of it; a cell that cannot be read becomes null.
fn texts<'t>(text: &'t StringArray, read: impl Fn(&'t str) -> Result<Cow<'t, str>, Fault>) -> (ArrayRef, Failed) {
    let mut failed = Vec::new();
    let mut kept = StringBuilder::with_capacity(text.len(), text.values().len());
    for cell in 0..text.len() {
        if text.is_null(cell) {
            kept.append_null();
            continue;
        }
        match read(text.value(cell)) {
            Ok(value) => kept.append_value(value),
            Err(fault) => {
                failed.push((cell as u32, fault));
                kept.append_null();
            }
        }
    }
    (Arc::new(kept.finish()), failed)
}

/// Text cells that hold JSON stay as they are; a cell of any value that is no JSON is a string.
fn json_cells(kind: JsonKind, text: &StringArray) -> (ArrayRef, Failed) {
    texts(text, |value| match (kind, parse::parse(value)) {
        (JsonKind::Object, Ok(parse::Json::Object(_))) | (JsonKind::Array, Ok(parse::Json::Array(_))) => {
            Ok(Cow::Borrowed(value))
        }
        (JsonKind::Any, Ok(_)) => Ok(Cow::Borrowed(value)),
        (JsonKind::Any, Err(_)) => Ok(Cow::Owned(serde_json::Value::from(value).to_string())),
        (JsonKind::Object, Ok(_)) => Err(Fault::NotA("an object")),
        (JsonKind::Array, Ok(_)) => Err(Fault::NotA("an array")),
        (JsonKind::Object | JsonKind::Array, Err(_)) => Err(Fault::Json),
    })
}

/// Cells of any type as JSON text.
fn json_texts(kind: JsonKind, array: &ArrayRef) -> Converted {
    let is_object = matches!(array.data_type(), DataType::Struct(_) | DataType::Map(..));
    let is_array =
        matches!(array.data_type(), DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..));
    let fits = match kind {
        JsonKind::Any => true,
        JsonKind::Object => is_object,
        JsonKind::Array => is_array,
    };
    if !fits {
        return Err(String::new());
    }
    let mut kept = StringBuilder::new();
    for cell in 0..array.len() {
        kept.append_option(array.is_valid(cell).then(|| raw::cell_json(array.as_ref(), cell)));
    }
    Ok((Arc::new(kept.finish()), Vec::new()))
}

/// The entries of a map as objects with a key and a value.
fn entries_of(map: &MapArray) -> Result<ListArray, String> {
    let names = ["key", "value"];
    let columns = map.entries().columns();
    let fields: Fields =
        names.iter().zip(columns).map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    let entries = StructArray::try_new(fields.clone(), columns.to_vec(), None).map_err(|e| e.to_string())?;
    let field = Arc::new(Field::new("element", DataType::Struct(fields), true));
    ListArray::try_new(field, map.offsets().clone(), Arc::new(entries), map.nulls().cloned()).map_err(|e| e.to_string())
}
