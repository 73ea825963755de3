//! One check over one column: a bitmap of the cells that fail.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, TypedDictionaryArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};

use super::clock;
use super::content;
use super::pattern::{Matcher, Searched};
use super::rule::{Allowed, Check};

/// Sets up to this size are searched one by one, which is faster than hashing.
const SCANNED_MAX: usize = 8;

/// Cells that fail; none at all when absent.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub fails: Option<BooleanBuffer>,
    /// Cells for which a pattern took too many steps.
    pub over_budget: Option<BooleanBuffer>,
}

/// Runs `check` over `array`, which has the column's type. Null cells pass, but for the checks about null; those skip
/// the cells that do not exist (`live`) or that did not fit their type (`failed`).
pub(super) fn run(
    check: &Check,
    array: &ArrayRef,
    live: Option<&NullBuffer>,
    failed: Option<&BooleanBuffer>,
) -> Outcome {
    if let Some(texts) = encoded_texts(array) {
        return once_per_text(check, array, texts, live, failed);
    }
    let fails = match check {
        Check::NotNull => return Outcome { fails: nulls(array, live, failed), over_budget: None },
        Check::NotMissing(markers) => {
            let marked = mask(array, one_of(array, markers));
            let missing = nulls(array, live, failed);
            return Outcome { fails: Some(missing.map_or(marked.clone(), |null| &null | &marked)), over_budget: None };
        }
        Check::Pattern(matcher) => return pattern(array, matcher),
        Check::MinLength(least) => strings(array, |text| text.len() < *least || characters_below(text, *least)),
        Check::MaxLength(most) => strings(array, |text| text.len() > *most && text.chars().count() > *most),
        Check::Format(format) => strings(array, |text| !format.matches(text)),
        Check::AtLeast(least) => integers(array, |value| value < *least),
        Check::AtMost(most) => integers(array, |value| value > *most),
        Check::MultipleOf(divisor) => integers(array, |value| value % *divisor != 0),
        Check::FloatAtLeast(least, false) => floats(array, |value| value < *least),
        Check::FloatAtLeast(least, true) => floats(array, |value| value <= *least),
        Check::FloatAtMost(most, false) => floats(array, |value| value > *most),
        Check::FloatAtMost(most, true) => floats(array, |value| value >= *most),
        Check::FloatMultipleOf(divisor) => floats(array, |value| value.is_finite() && !is_multiple(value, *divisor)),
        Check::FloatFits32 => floats(array, |value| value.is_finite() && !(value as f32).is_finite()),
        Check::DecimalAtLeast(least) => decimals(array, |value| value < *least),
        Check::DecimalAtMost(most) => decimals(array, |value| value > *most),
        Check::DecimalMultipleOf(divisor) => decimals(array, |value| value % *divisor != 0),
        Check::Finite => floats(array, |value| !value.is_finite()),
        Check::OneOf(allowed) => !&one_of(array, allowed),
        Check::MinItems(least) => lists(array, |list, at| (list.value_length(at) as usize) < *least),
        Check::MaxItems(most) => lists(array, |list, at| list.value_length(at) as usize > *most),
        Check::UniqueItems => lists(array, |list, at| has_duplicates(list.value(at).as_ref())),
        Check::UniqueKeys => lists(array, |list, at| {
            list.value(at).as_struct_opt().is_some_and(|entries| has_duplicates(entries.column(0).as_ref()))
        }),
        Check::Normalized(tolerance) => lists(array, |list, at| !has_length_one(list.value(at).as_ref(), *tolerance)),
        Check::Whole => floats(array, |value| value.is_finite() && value.fract() != 0.0),
        Check::MinProperties(least) => properties(array, |count| count < *least),
        Check::MaxProperties(most) => properties(array, |count| count > *most),
    };
    Outcome { fails: Some(mask(array, fails)), over_budget: None }
}

/// Texts with a dictionary, when every text that is named is there.
pub(super) fn encoded_texts(array: &ArrayRef) -> Option<TypedDictionaryArray<'_, Int32Type, StringArray>> {
    let texts = array.as_dictionary_opt::<Int32Type>()?.downcast_dict::<StringArray>()?;
    (texts.values().null_count() == 0).then_some(texts)
}

/// Asks a check of each distinct text instead of each cell.
fn once_per_text(
    check: &Check,
    array: &ArrayRef,
    texts: TypedDictionaryArray<'_, Int32Type, StringArray>,
    live: Option<&NullBuffer>,
    failed: Option<&BooleanBuffer>,
) -> Outcome {
    let keys = texts.keys();
    let spread = |of_texts: BooleanBuffer| match of_texts.has_true() {
        false => none(array),
        true => BooleanBuffer::collect_bool(keys.len(), |i| keys.is_valid(i) && of_texts.value(keys.value(i) as usize)),
    };
    let texts: ArrayRef = Arc::new(texts.values().clone());
    match check {
        Check::NotNull => Outcome { fails: nulls(array, live, failed), over_budget: None },
        Check::NotMissing(markers) => {
            let marked = spread(one_of(&texts, markers));
            let missing = nulls(array, live, failed);
            Outcome { fails: Some(missing.map_or(marked.clone(), |null| &null | &marked)), over_budget: None }
        }
        _ => {
            let Outcome { fails, over_budget } = run(check, &texts, None, None);
            Outcome { fails: fails.map(spread), over_budget: over_budget.map(spread) }
        }
    }
}

/// Leaves out the cells that are null.
fn mask(array: &ArrayRef, cells: BooleanBuffer) -> BooleanBuffer {
    match array.nulls() {
        Some(valid) => &cells & valid.inner(),
        None => cells,
    }
}

fn nulls(array: &ArrayRef, live: Option<&NullBuffer>, failed: Option<&BooleanBuffer>) -> Option<BooleanBuffer> {
    let valid = array.nulls().filter(|valid| valid.null_count() > 0)?;
    let mut cells = !valid.inner();
    if let Some(live) = live {
        cells = &cells & live.inner();
    }
    if let Some(failed) = failed {
        cells = &cells & &!failed;
    }
    Some(cells)
}

fn none(array: &ArrayRef) -> BooleanBuffer {
    BooleanBuffer::new_unset(array.len())
}

fn strings(array: &ArrayRef, fails: impl Fn(&str) -> bool) -> BooleanBuffer {
    let Some(text) = array.as_string_opt::<i32>() else { return none(array) };
    BooleanBuffer::collect_bool(text.len(), |i| text.is_valid(i) && fails(text.value(i)))
}

fn characters_below(text: &str, least: usize) -> bool {
    // A character takes at most four bytes, so long texts need no counting.
    text.len() < least.saturating_mul(4) && text.chars().count() < least
}

/// Integers, days, microseconds, or nanoseconds of a time of day.
fn integers(array: &ArrayRef, fails: impl Fn(i64) -> bool) -> BooleanBuffer {
    match array.data_type() {
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>().values();
            BooleanBuffer::collect_bool(values.len(), |i| fails(values[i]))
        }
        DataType::Timestamp(..) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            BooleanBuffer::collect_bool(values.len(), |i| fails(values[i]))
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().values();
            BooleanBuffer::collect_bool(values.len(), |i| fails(i64::from(values[i])))
        }
        // A text that is no time at all has failed its type already.
        _ => strings(array, |text| clock::kept_time(text).is_ok_and(&fails)),
    }
}

fn floats(array: &ArrayRef, fails: impl Fn(f64) -> bool) -> BooleanBuffer {
    let Some(values) = array.as_primitive_opt::<Float64Type>() else { return none(array) };
    let values = values.values();
    BooleanBuffer::collect_bool(values.len(), |i| fails(values[i]))
}

fn decimals(array: &ArrayRef, fails: impl Fn(i128) -> bool) -> BooleanBuffer {
    let Some(values) = array.as_primitive_opt::<Decimal128Type>() else { return none(array) };
    let values = values.values();
    BooleanBuffer::collect_bool(values.len(), |i| fails(values[i]))
}

/// Whether `value / divisor` is whole, up to the rounding of the division.
pub(super) fn is_multiple(value: f64, divisor: f64) -> bool {
    let quotient = value / divisor;
    let nearest = quotient.round();
    (quotient - nearest).abs() <= nearest.abs().max(1.0) * 4.0 * f64::EPSILON
}

fn one_of(array: &ArrayRef, allowed: &Allowed) -> BooleanBuffer {
    match allowed {
        Allowed::Strings(set) if set.len() <= SCANNED_MAX => {
            let few: Vec<&str> = set.iter().map(String::as_str).collect();
            strings(array, |text| few.contains(&text))
        }
        Allowed::Strings(set) => strings(array, |text| set.contains(text)),
        Allowed::Integers(values) => integers(array, |value| values.binary_search(&value).is_ok()),
        Allowed::Floats(values) => floats(array, |value| values.contains(&value)),
        Allowed::Decimals(values) => decimals(array, |value| values.binary_search(&value).is_ok()),
        Allowed::Booleans(values) => match array.as_boolean_opt() {
            Some(cells) => BooleanBuffer::collect_bool(cells.len(), |i| values.contains(&cells.value(i))),
            None => none(array),
        },
    }
}

fn pattern(array: &ArrayRef, matcher: &Matcher) -> Outcome {
    let Some(text) = array.as_string_opt::<i32>() else { return Outcome::default() };
    let Searched { matched, over_budget } = matcher.search(text);
    let over_budget = (!over_budget.is_empty()).then(|| {
        let mut cells = vec![false; text.len()];
        over_budget.iter().for_each(|i| cells[*i] = true);
        BooleanBuffer::from(cells)
    });
    Outcome { fails: Some(mask(array, !&matched)), over_budget }
}

fn lists(array: &ArrayRef, fails: impl Fn(&ListArray, usize) -> bool) -> BooleanBuffer {
    let Some(list) = array.as_list_opt::<i32>() else { return none(array) };
    BooleanBuffer::collect_bool(list.len(), |i| list.is_valid(i) && fails(list, i))
}

fn has_length_one(elements: &dyn Array, tolerance: f64) -> bool {
    let Some(values) = elements.as_primitive_opt::<Float64Type>() else { return true };
    let square: f64 = values.iter().flatten().map(|value| value * value).sum();
    (square.sqrt() - 1.0).abs() <= tolerance
}

fn has_duplicates(elements: &dyn Array) -> bool {
    if elements.len() < 2 {
        return false;
    }
    let mut seen: HashSet<Vec<u8>> = HashSet::with_capacity(elements.len());
    for i in 0..elements.len() {
        let mut bytes = Vec::new();
        if elements.is_valid(i) {
            content::push_value(&mut bytes, elements, i);
        }
        if !seen.insert(bytes) {
            return true;
        }
    }
    false
}

/// Counts the fields of an object that are not null.
fn properties(array: &ArrayRef, fails: impl Fn(usize) -> bool) -> BooleanBuffer {
    let Some(object) = array.as_struct_opt() else { return none(array) };
    BooleanBuffer::collect_bool(object.len(), |i| {
        fails(object.columns().iter().filter(|child| child.is_valid(i)).count())
    })
}
