//! `logicalTypeOptions` and `enum` into checks.

use serde_json::{Number, Value};

use super::super::clock::{Clock, kept_time};
use super::super::format::StringFormat;
use super::super::instant;
use super::super::model::{Bound, LogicalTypeOptions, Property};
use super::super::pattern::Matcher;
use super::super::rule::{Allowed, Check, Kind, Level, RuleId};
use super::super::text::{self, power_of_ten};
use super::super::verdict::Mode;
use super::Compiler;
use super::column::Place;

/// Keys of `logicalTypeOptions` that describe without limiting.
const DESCRIBING_KEYS: &[&str] = &["distanceMetric", "embeddingModel", "embeddingModelVersion"];
/// How far the length of a normalized vector may be from 1: rounding of 32 bits, and of fewer.
const LENGTH_TOLERANCE: f64 = 1e-4;
const COARSE_LENGTH_TOLERANCE: f64 = 2e-2;

type Checks = Vec<(RuleId, Check)>;

/// One side of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Low,
    High,
}

impl Compiler {
    pub(super) fn options(&mut self, property: &Property, kind: &Kind, place: Place<'_>, checks: &mut Checks) {
        let Some(options) = &property.logical_type_options else { return };
        let json = format!("{}/logicalTypeOptions", place.json);
        let place = Place { json: &json, ..place };
        self.inapplicable(property, options, kind, place);
        self.other_options(options, place);
        self.string_options(options, kind, place, checks);
        self.bounds(options, kind, place, checks);
        self.multiple_of(options, kind, place, checks);
        self.counts(options, kind, place, checks);
        if let Some(format) = &options.format {
            self.format(format, kind, place, checks);
        }
    }

    fn add(&mut self, checks: &mut Checks, name: &str, place: Place<'_>, description: String, check: Check) -> RuleId {
        let mode = place.mode.unwrap_or(Mode::Quarantine);
        let rule = self.rule(name, Some(place.path), mode, Level::Row, description);
        checks.push((rule, check));
        rule
    }

    fn inapplicable(&mut self, property: &Property, options: &LogicalTypeOptions, kind: &Kind, place: Place<'_>) {
        let ordered = matches!(
            kind,
            Kind::Int64 | Kind::Float64 | Kind::Decimal { .. } | Kind::Date(_) | Kind::Timestamp(_) | Kind::Time(_)
        );
        let is_string = matches!(kind, Kind::Utf8);
        let is_list = matches!(kind, Kind::List(_));
        let is_object = matches!(kind, Kind::Struct(_));
        let is_number = matches!(kind, Kind::Int64 | Kind::Float64 | Kind::Decimal { .. });
        let is_clock = matches!(kind, Kind::Timestamp(_) | Kind::Time(_));
        let is_vector = property.logical_type.as_deref() == Some("vector");
        // The standard gives these types no options of their own, and leaves open what stands there.
        let is_open = matches!(kind, Kind::Boolean | Kind::Map(_) | Kind::Json(_));
        let formatted = is_string || ordered;
        let given = [
            ("minLength", options.min_length.is_some(), is_string),
            ("maxLength", options.max_length.is_some(), is_string),
            ("pattern", options.pattern.is_some(), is_string),
            ("format", options.format.is_some(), formatted),
            ("minimum", options.minimum.is_some(), ordered),
            ("maximum", options.maximum.is_some(), ordered),
            ("exclusiveMinimum", options.exclusive_minimum.is_some(), ordered),
            ("exclusiveMaximum", options.exclusive_maximum.is_some(), ordered),
            ("multipleOf", options.multiple_of.is_some(), is_number),
            ("minItems", options.min_items.is_some(), is_list),
            ("maxItems", options.max_items.is_some(), is_list),
            ("uniqueItems", options.unique_items.is_some(), is_list),
            ("dimensions", options.dimensions.is_some(), is_vector),
            ("elementType", options.element_type.is_some(), is_vector),
            ("normalized", options.normalized.is_some(), is_vector),
            ("timezone", options.timezone.is_some(), is_clock),
            ("defaultTimezone", options.default_timezone.is_some(), is_clock),
            ("minProperties", options.min_properties.is_some(), is_object),
            ("maxProperties", options.max_properties.is_some(), is_object),
            ("required", options.required.is_some(), is_object),
        ];
        for (name, is_given, applies) in given {
            if is_given && !applies && is_open {
                let reason = format!("{name} is not executed on {}", kind.noun());
                self.skip(&format!("{}/{name}", place.json), name, Some(place.path), reason);
            } else if is_given && !applies {
                let message = format!("{name} does not apply to {}, which is {}", place.path, kind.noun());
                self.problem(&format!("{}/{name}", place.json), "SW0204", message, "remove it or change logicalType");
            }
        }
    }

    fn other_options(&mut self, options: &LogicalTypeOptions, place: Place<'_>) {
        self.unknown_keys(place.json, &options.other, DESCRIBING_KEYS);
    }

    fn string_options(&mut self, options: &LogicalTypeOptions, kind: &Kind, place: Place<'_>, checks: &mut Checks) {
        if !matches!(kind, Kind::Utf8) {
            return;
        }
        if let (Some(least), Some(most)) = (options.min_length, options.max_length)
            && least > most
        {
            self.problem(&format!("{}/minLength", place.json), "SW0205", "minLength exceeds maxLength", "");
        }
        if let Some(least) = options.min_length {
            let description = format!("must have at least {least} characters");
            self.add(checks, "minLength", place, description, Check::MinLength(clamp(least)));
        }
        if let Some(most) = options.max_length {
            let description = format!("must have at most {most} characters");
            self.add(checks, "maxLength", place, description, Check::MaxLength(clamp(most)));
        }
        if let Some(pattern) = &options.pattern
            && let Some(matcher) = self.matcher(pattern, &format!("{}/pattern", place.json))
        {
            self.add(checks, "pattern", place, format!("must match {pattern}"), Check::Pattern(matcher));
        }
    }

    /// Compiles a pattern or reports why it does not compile.
    pub(super) fn matcher(&mut self, pattern: &str, json: &str) -> Option<Matcher> {
        match Matcher::compile(pattern) {
            Ok(matcher) => Some(matcher),
            Err(error) => {
                let detail = error.lines().last().unwrap_or_default().to_owned();
                let message = format!("the pattern {pattern:?} does not compile: {detail}");
                self.problem(json, "SW0206", message, "patterns are regular expressions of ECMA-262");
                None
            }
        }
    }

    fn bounds(&mut self, options: &LogicalTypeOptions, kind: &Kind, place: Place<'_>, checks: &mut Checks) {
        let sides = [
            (Side::Low, "minimum", &options.minimum, "exclusiveMinimum", &options.exclusive_minimum),
            (Side::High, "maximum", &options.maximum, "exclusiveMaximum", &options.exclusive_maximum),
        ];
        let first = checks.len();
        for (side, name, inclusive, exclusive_name, exclusive) in sides {
            let flagged = match exclusive {
                Some(Bound::Flag(flag)) => {
                    if inclusive.is_none() {
                        let message = format!("{exclusive_name} is a flag, but there is no {name}");
                        let at = format!("{}/{exclusive_name}", place.json);
                        self.problem(&at, "SW0205", message, "since v3.1 it is the bound itself");
                    }
                    *flag
                }
                Some(Bound::Number(_) | Bound::Text(_)) | None => false,
            };
            if let Some(bound) = inclusive {
                let rule = if flagged { exclusive_name } else { name };
                self.bound(bound, kind, side, flagged, rule, place, checks);
            }
            if let Some(bound @ (Bound::Number(_) | Bound::Text(_))) = exclusive {
                self.bound(bound, kind, side, true, exclusive_name, place, checks);
            }
        }
        if is_empty_range(&checks[first..]) {
            self.problem(place.json, "SW0205", format!("no value of {} lies within its bounds", place.path), "");
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one bound is described by all of these")]
    fn bound(
        &mut self,
        bound: &Bound,
        kind: &Kind,
        side: Side,
        exclusive: bool,
        name: &str,
        place: Place<'_>,
        checks: &mut Checks,
    ) {
        let compiled = match bound {
            Bound::Number(number) => number_bound(number, kind, side, exclusive),
            Bound::Text(text) => self.text_bound(text, kind, side, exclusive),
            Bound::Flag(_) => None,
        };
        let shown = match bound {
            Bound::Number(number) => number.to_string(),
            Bound::Text(text) => text.clone(),
            Bound::Flag(flag) => flag.to_string(),
        };
        let Some(check) = compiled else {
            let message = format!("{shown:?} is no bound for {}, which is {}", place.path, kind.noun());
            let hint = "use a number for numbers, text in the column's own form for dates and times";
            self.problem(&format!("{}/{name}", place.json), "SW0205", message, hint);
            return;
        };
        let words = match (side, exclusive) {
            (Side::Low, false) => "must be at least",
            (Side::Low, true) => "must be greater than",
            (Side::High, false) => "must be at most",
            (Side::High, true) => "must be less than",
        };
        self.add(checks, name, place, format!("{words} {shown}"), check);
    }

    /// A bound in the column's own form, or in ISO 8601.
    fn text_bound(&self, text: &str, kind: &Kind, side: Side, exclusive: bool) -> Option<Check> {
        let value = match kind {
            Kind::Date(clock) => i64::from(clock.date(text).or_else(|_| text::date(text)).ok()?),
            Kind::Timestamp(clock) => self.instant_of(text, clock)?,
            Kind::Time(clock) => match clock.time(text) {
                Ok(time) => kept_time(&time).ok()?,
                Err(_) => text::time_of_day(text).ok()?,
            },
            _ => return None,
        };
        let step = i64::from(exclusive);
        Some(match side {
            Side::Low => Check::AtLeast(value.saturating_add(step)),
            Side::High => Check::AtMost(value.saturating_sub(step)),
        })
    }

    fn instant_of(&self, text: &str, clock: &Clock) -> Option<i64> {
        let zone = clock.zone.as_ref().unwrap_or(&self.zone);
        let iso = || instant::timestamp(text, zone);
        let midnight = || text::date(text).and_then(|days| zone.instant(i64::from(days) * instant::DAY_US));
        clock.timestamp(text, &self.zone).or_else(|_| iso()).or_else(|_| midnight()).ok()
    }

    fn multiple_of(&mut self, options: &LogicalTypeOptions, kind: &Kind, place: Place<'_>, checks: &mut Checks) {
        let Some(divisor) = &options.multiple_of else { return };
        let parts = text::decimal_parts(&divisor.to_string()).ok().filter(|(digits, _)| *digits > 0);
        let check = parts.and_then(|(digits, scale)| match kind {
            Kind::Int64 => {
                let divisor = text::rescale(digits, scale, 18, 0).ok()?;
                Some(Check::MultipleOf(i64::try_from(divisor).ok()?))
            }
            Kind::Float64 => Some(Check::FloatMultipleOf(divisor.as_f64()?)),
            Kind::Decimal { scale: to, .. } => {
                Some(Check::DecimalMultipleOf(text::rescale(digits, scale, 38, *to).ok()?))
            }
            _ => None,
        });
        match check {
            Some(check) => {
                self.add(checks, "multipleOf", place, format!("must be a multiple of {divisor}"), check);
            }
            None if matches!(kind, Kind::Int64 | Kind::Float64 | Kind::Decimal { .. }) => {
                let message = format!("{} cannot be a multiple of {divisor}", place.path);
                let hint = "use a positive divisor that the column's type can hold";
                self.problem(&format!("{}/multipleOf", place.json), "SW0205", message, hint);
            }
            None => {}
        }
    }

    fn counts(&mut self, options: &LogicalTypeOptions, kind: &Kind, place: Place<'_>, checks: &mut Checks) {
        let is_list = matches!(kind, Kind::List(_));
        let is_object = matches!(kind, Kind::Struct(_));
        if let Some(least) = options.min_items.filter(|_| is_list) {
            let description = format!("must have at least {least} items");
            self.add(checks, "minItems", place, description, Check::MinItems(clamp(least)));
        }
        if let Some(most) = options.max_items.filter(|_| is_list) {
            let description = format!("must have at most {most} items");
            self.add(checks, "maxItems", place, description, Check::MaxItems(clamp(most)));
        }
        if options.unique_items == Some(true) && is_list {
            self.add(checks, "uniqueItems", place, "must not repeat an item".to_owned(), Check::UniqueItems);
        }
        if let Some(dimensions) = options.dimensions.filter(|_| is_list) {
            let description = format!("must have {dimensions} elements");
            let rule = self.add(checks, "dimensions", place, description, Check::MinItems(clamp(dimensions)));
            checks.push((rule, Check::MaxItems(clamp(dimensions))));
        }
        if options.normalized == Some(true) && is_list {
            let is_coarse = matches!(options.element_type.as_deref(), Some("float16" | "bfloat16" | "int8" | "uint8"));
            let tolerance = if is_coarse { COARSE_LENGTH_TOLERANCE } else { LENGTH_TOLERANCE };
            let description = "must have length 1".to_owned();
            self.add(checks, "normalized", place, description, Check::Normalized(tolerance));
        }
        if let Some(least) = options.min_properties.filter(|_| is_object) {
            let description = format!("must have at least {least} fields");
            self.add(checks, "minProperties", place, description, Check::MinProperties(clamp(least)));
        }
        if let Some(most) = options.max_properties.filter(|_| is_object) {
            let description = format!("must have at most {most} fields");
            self.add(checks, "maxProperties", place, description, Check::MaxProperties(clamp(most)));
        }
    }

    fn format(&mut self, format: &str, kind: &Kind, place: Place<'_>, checks: &mut Checks) {
        let json = format!("{}/format", place.json);
        match kind {
            Kind::Utf8 => match (StringFormat::named(format), format) {
                (Some(known), _) => {
                    let description = format!("must be of format {format}");
                    self.add(checks, "format", place, description, Check::Format(known));
                }
                (None, "password" | "binary") => {
                    self.skip(&json, "format", Some(place.path), "every string has this format");
                }
                // The standard names formats by way of example, so another one is no mistake.
                (None, _) => {
                    let reason = format!("Seawall does not know the format {format:?} of strings");
                    self.skip(&json, "format", Some(place.path), reason);
                }
            },
            Kind::Int64 => match integer_range(format) {
                Some((least, most)) => {
                    let description = format!("must fit {format}");
                    let rule = self.add(checks, "format", place, description, Check::AtLeast(least));
                    checks.push((rule, Check::AtMost(most)));
                }
                None => {
                    let hint = "use i8, i16, i32, i64, i128, u8, u16, u32, u64 or u128";
                    self.problem(&json, "SW0204", format!("{format:?} is no format of integers"), hint);
                }
            },
            Kind::Float64 if format == "f32" => {
                self.add(checks, "format", place, "must fit f32".to_owned(), Check::FloatFits32);
            }
            Kind::Float64 | Kind::Decimal { .. } => {
                if !matches!(format, "f32" | "f64") {
                    let message = format!("{format:?} is no format of numbers");
                    self.problem(&json, "SW0204", message, "use f32 or f64");
                } else if matches!(kind, Kind::Decimal { .. }) {
                    self.skip(&json, "format", Some(place.path), "physicalType makes the number an exact decimal");
                }
            }
            // The form of dates and times belongs to their type.
            Kind::Date(_) | Kind::Timestamp(_) | Kind::Time(_) => {}
            Kind::Boolean | Kind::Struct(_) | Kind::List(_) | Kind::Map(_) | Kind::Json(_) => {}
        }
    }

    pub(super) fn enumeration(&mut self, property: &Property, kind: &Kind, place: Place<'_>, checks: &mut Checks) {
        let Some(entries) = &property.allowed else { return };
        let json = format!("{}/enum", place.json);
        let values: Vec<&Value> = entries.iter().map(|entry| entry.value()).collect();
        match allowed(&values, kind, &self.zone) {
            Ok(set) if !values.is_empty() => {
                self.add(checks, "enum", place, format!("must be one of {}", listed(&values)), Check::OneOf(set));
            }
            Ok(_) => self.problem(&json, "SW0204", "the enum is empty", "list the allowed values or remove it"),
            Err(value) => {
                let message = format!("{value} cannot be a value of {}, which is {}", place.path, kind.noun());
                self.problem(&json, "SW0204", message, "write values in the column's own type");
            }
        }
    }
}

/// The values in words, not too many of them.
pub(super) fn listed(values: &[&Value]) -> String {
    const LISTED_MAX: usize = 8;
    let mut words: Vec<String> = values.iter().take(LISTED_MAX).map(|value| value.to_string()).collect();
    if values.len() > LISTED_MAX {
        words.push(format!("{} more", values.len() - LISTED_MAX));
    }
    words.join(", ")
}

/// The values as a set of the column's type; the first one that has another type is the error. Null is left out.
pub(super) fn allowed(values: &[&Value], kind: &Kind, zone: &instant::Zone) -> Result<Allowed, Value> {
    let present: Vec<&Value> = values.iter().copied().filter(|value| !value.is_null()).collect();
    fn each<T>(values: &[&Value], read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Value> {
        values.iter().map(|value| read(value).ok_or_else(|| (*value).clone())).collect()
    }
    let sorted = |mut values: Vec<i64>| {
        values.sort_unstable();
        values
    };
    Ok(match kind {
        Kind::Utf8 | Kind::Time(_) => {
            let strings = each(&present, |value| value.as_str().map(str::to_owned))?;
            Allowed::Strings(strings.into_iter().collect())
        }
        Kind::Int64 => Allowed::Integers(sorted(each(&present, Value::as_i64)?)),
        Kind::Date(clock) => {
            let days = |value: &Value| Some(i64::from(clock.date(value.as_str()?).ok()?));
            Allowed::Integers(sorted(each(&present, days)?))
        }
        Kind::Timestamp(clock) => {
            let instants = |value: &Value| clock.timestamp(value.as_str()?, zone).ok();
            Allowed::Integers(sorted(each(&present, instants)?))
        }
        Kind::Float64 => Allowed::Floats(each(&present, Value::as_f64)?),
        Kind::Decimal { precision, scale } => {
            let decimal = |value: &Value| match value {
                Value::Number(number) => text::decimal(&number.to_string(), *precision, *scale).ok(),
                _ => None,
            };
            let mut digits = each(&present, decimal)?;
            digits.sort_unstable();
            Allowed::Decimals(digits)
        }
        Kind::Boolean => Allowed::Booleans(each(&present, Value::as_bool)?),
        Kind::Struct(_) | Kind::List(_) | Kind::Map(_) | Kind::Json(_) => {
            return Err(present.first().map_or(Value::Null, |value| (*value).clone()));
        }
    })
}

fn number_bound(number: &Number, kind: &Kind, side: Side, exclusive: bool) -> Option<Check> {
    let whole = |scale: i8| {
        let (digits, from) = text::decimal_parts(&number.to_string()).ok()?;
        Some(step_inside(digits, from, scale, side, exclusive))
    };
    let clamped = |value: i128| value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    Some(match (kind, side) {
        (Kind::Int64, Side::Low) => Check::AtLeast(clamped(whole(0)?)),
        (Kind::Int64, Side::High) => Check::AtMost(clamped(whole(0)?)),
        (Kind::Float64, Side::Low) => Check::FloatAtLeast(number.as_f64()?, exclusive),
        (Kind::Float64, Side::High) => Check::FloatAtMost(number.as_f64()?, exclusive),
        (Kind::Decimal { scale, .. }, Side::Low) => Check::DecimalAtLeast(whole(*scale)?),
        (Kind::Decimal { scale, .. }, Side::High) => Check::DecimalAtMost(whole(*scale)?),
        _ => return None,
    })
}

/// The outermost whole number of units of `10^-scale` that the bound `digits / 10^from` lets pass.
fn step_inside(digits: i128, from: i32, scale: i8, side: Side, exclusive: bool) -> i128 {
    let shift = i32::from(scale) - from;
    let (floor, exact) = if shift >= 0 {
        let factor = power_of_ten(shift).unwrap_or(i128::MAX);
        (digits.saturating_mul(factor), true)
    } else {
        match power_of_ten(-shift) {
            Some(divisor) => (digits.div_euclid(divisor), digits.rem_euclid(divisor) == 0),
            None => (if digits < 0 { -1 } else { 0 }, digits == 0),
        }
    };
    match (side, exclusive) {
        (Side::Low, false) => floor + i128::from(!exact),
        (Side::Low, true) => floor.saturating_add(1),
        (Side::High, false) => floor,
        (Side::High, true) => floor.saturating_sub(i128::from(exact)),
    }
}

fn is_empty_range(checks: &[(RuleId, Check)]) -> bool {
    let mut integers = (i128::MIN, i128::MAX);
    let (mut low, mut high, mut open) = (f64::NEG_INFINITY, f64::INFINITY, false);
    for (_, check) in checks {
        match check {
            Check::AtLeast(least) => integers.0 = integers.0.max(i128::from(*least)),
            Check::AtMost(most) => integers.1 = integers.1.min(i128::from(*most)),
            Check::DecimalAtLeast(least) => integers.0 = integers.0.max(*least),
            Check::DecimalAtMost(most) => integers.1 = integers.1.min(*most),
            Check::FloatAtLeast(least, exclusive) => {
                low = low.max(*least);
                open |= *exclusive;
            }
            Check::FloatAtMost(most, exclusive) => {
                high = high.min(*most);
                open |= *exclusive;
            }
            _ => {}
        }
    }
    integers.0 > integers.1 || low > high || (low == high && open)
}

fn integer_range(format: &str) -> Option<(i64, i64)> {
    Some(match format {
        "i8" => (i64::from(i8::MIN), i64::from(i8::MAX)),
        "i16" => (i64::from(i16::MIN), i64::from(i16::MAX)),
        "i32" => (i64::from(i32::MIN), i64::from(i32::MAX)),
        "i64" | "i128" => (i64::MIN, i64::MAX),
        "u8" => (0, i64::from(u8::MAX)),
        "u16" => (0, i64::from(u16::MAX)),
        "u32" => (0, i64::from(u32::MAX)),
        "u64" | "u128" => (0, i64::MAX),
        _ => return None,
    })
}

fn clamp(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
