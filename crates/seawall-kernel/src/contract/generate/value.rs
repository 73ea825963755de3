//! Values that a column should accept: proposals, which the gate judges.

use seawall_base::Instant;
use serde_json::{Map, Number, Value, json};

use super::super::instant::{self, Zone};
use super::super::model::{Bound, EnumValue, LogicalTypeOptions, Property};
use super::super::text;
use super::dice::Dice;
use super::pattern::Texts;
use super::{Stuck, faulty};

/// How far back events go.
const DAYS: i64 = 30;
const SECOND_US: i64 = 1_000_000;
const DAY_S: i64 = 86_400;
/// Draws until a text has the length that it should have.
const DRAWS_MAX: usize = 200;
const SYLLABLES: [&str; 12] = ["ka", "lo", "mi", "ne", "ro", "sa", "ti", "vu", "da", "be", "fi", "go"];

/// A column with its way to make values.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub name: String,
    pub property: Property,
    texts: Option<Texts>,
    is_unique: bool,
    /// How many values were drawn: what tells unique ones apart.
    drawn: u64,
    until: Instant,
}

impl Column {
    pub(super) fn of(property: &Property, is_unique: bool, until: Instant) -> Column {
        let pattern = property.logical_type_options.as_ref().and_then(|options| options.pattern.as_deref());
        Column {
            name: property.name.clone().unwrap_or_default(),
            texts: pattern.and_then(Texts::of),
            property: property.clone(),
            is_unique,
            drawn: 0,
            until,
        }
    }

    /// The next value; null now and then where it may be.
    pub(super) fn draw(&mut self, dice: &mut Dice) -> Result<Value, Stuck> {
        self.drawn += 1;
        let property = &self.property;
        let must = property.required == Some(true) || property.primary_key == Some(true) || self.is_unique;
        // A rule about missing values counts them, so none are made.
        if !must && property.quality.is_empty() && dice.once_in(20) {
            return Ok(Value::Null);
        }
        self.value(dice).ok_or_else(|| {
            Stuck::new(
                format!("no value is found for the column {}", self.name),
                "give it `examples` that obey its rules, or `enum`",
            )
        })
    }

    fn value(&self, dice: &mut Dice) -> Option<Value> {
        if let Some(value) = listed(&self.property, dice) {
            return Some(value);
        }
        let logical = logical(&self.property);
        let none = LogicalTypeOptions::default();
        let options = self.property.logical_type_options.as_ref().unwrap_or(&none);
        match logical {
            "string" => self.text(options, dice).map(Value::String),
            "integer" => Some(json!(integer(options, self.is_unique.then_some(self.drawn), dice))),
            "number" => number(&self.property, options, dice),
            "boolean" => Some(json!(dice.once_in(2))),
            "date" | "timestamp" | "time" => moment(logical, options, self.until, dice),
            "object" => self.fields(&self.property.properties, options, dice),
            "array" => self.items(options, dice),
            "map" => self.entries(dice),
            "vector" => Some(vector(options, dice)),
            _ => None,
        }
    }

    fn inner(&self, property: &Property) -> Column {
        Column::of(property, false, self.until)
    }

    fn text(&self, options: &LogicalTypeOptions, dice: &mut Dice) -> Option<String> {
        let least = options.min_length.unwrap_or(0) as usize;
        let most = options.max_length.map_or(usize::MAX, |most| most as usize);
        for _ in 0..DRAWS_MAX {
            let text = match (&self.texts, options.format.as_deref()) {
                (Some(texts), _) => texts.draw(dice),
                (None, Some(format)) => Some(formatted(format, self.drawn, dice)),
                (None, None) => Some(self.word(least, most, dice)),
            };
            if let Some(text) = text.filter(|text| (least..=most).contains(&text.chars().count())) {
                return Some(text);
            }
        }
        None
    }

    fn word(&self, least: usize, most: usize, dice: &mut Dice) -> String {
        let number = |n: u64| format!("{}-{n:06}", self.name.get(..1).unwrap_or("v"));
        let mut word = match self.is_unique {
            true => number(self.drawn),
            false => (0..2 + dice.below(2)).filter_map(|_| dice.pick(&SYLLABLES).copied()).collect(),
        };
        if word.len() > most {
            word = if self.is_unique { base36(self.drawn) } else { word.chars().take(most).collect() };
        }
        while word.chars().count() < least {
            word.push('a');
        }
        word
    }

    fn fields(&self, fields: &[Property], options: &LogicalTypeOptions, dice: &mut Dice) -> Option<Value> {
        let mut values = Map::new();
        let required = options.required.clone().unwrap_or_default();
        for field in fields {
            let name = field.name.clone()?;
            let mut column = self.inner(field);
            let must = required.contains(&name) || options.min_properties.is_some();
            let value = if must { column.value(dice)? } else { column.draw(dice).ok()? };
            values.insert(name, value);
        }
        Some(Value::Object(values))
    }

    fn items(&self, options: &LogicalTypeOptions, dice: &mut Dice) -> Option<Value> {
        let items = self.property.items.as_ref()?;
        let least = options.min_items.unwrap_or(0);
        let most = options.max_items.unwrap_or(least + 3).min(least + 3);
        let count = dice.within(least as i64, most as i64);
        let column = self.inner(items);
        let mut values: Vec<Value> = Vec::new();
        for _ in 0..count {
            for _ in 0..DRAWS_MAX {
                let value = column.value(dice)?;
                if options.unique_items != Some(true) || !values.contains(&value) {
                    values.push(value);
                    break;
                }
            }
        }
        Some(Value::Array(values))
    }

    fn entries(&self, dice: &mut Dice) -> Option<Value> {
        let map = self.property.map.as_ref()?;
        let (keys, values) = (self.inner(&map.key), self.inner(&map.value));
        let mut entries = Map::new();
        for _ in 0..dice.below(3) {
            let key = match keys.value(dice)? {
                Value::String(text) => text,
                other => other.to_string(),
            };
            entries.insert(key, values.value(dice)?);
        }
        Some(Value::Object(entries))
    }
}

/// The logical type, or the one that the physical type stands for.
pub(super) fn logical(property: &Property) -> &str {
    let physical = property.physical_type.as_deref().unwrap_or_default();
    property
        .logical_type
        .as_deref()
        .unwrap_or_else(|| super::super::compile::logical_of_physical(physical).unwrap_or("string"))
}

/// A value that the contract lists: of the enum, of valid values, of examples.
fn listed(property: &Property, dice: &mut Dice) -> Option<Value> {
    if let Some(allowed) = &property.allowed {
        return dice.pick(allowed).map(EnumValue::value).cloned();
    }
    let valid = property.quality.iter().find_map(|rule| {
        let arguments = rule.arguments.as_ref().and_then(|arguments| arguments.valid_values.as_ref());
        arguments.or(rule.valid_values.as_ref())
    });
    if let Some(valid) = valid {
        return dice.pick(valid).cloned();
    }
    let is_guessed = faulty::needs_examples(property);
    let examples = property.other.get("examples").and_then(Value::as_array).filter(|_| is_guessed)?;
    dice.pick(examples).cloned()
}

/// The bounds of whole numbers, both included.
pub(super) fn whole_bounds(options: &LogicalTypeOptions) -> (Option<i64>, Option<i64>) {
    let whole = |bound: &Option<Bound>| match bound {
        Some(Bound::Number(number)) => number.as_i64().or_else(|| number.as_f64().map(|value| value.ceil() as i64)),
        _ => None,
    };
    let is_flag = |bound: &Option<Bound>| matches!(bound, Some(Bound::Flag(true)));
    let least = whole(&options.minimum).map(|low| low + i64::from(is_flag(&options.exclusive_minimum)));
    let most = whole(&options.maximum).map(|high| high - i64::from(is_flag(&options.exclusive_maximum)));
    let low = [least, whole(&options.exclusive_minimum).map(|low| low + 1)].into_iter().flatten().max();
    let high = [most, whole(&options.exclusive_maximum).map(|high| high - 1)].into_iter().flatten().min();
    (low, high)
}

fn integer(options: &LogicalTypeOptions, unique: Option<u64>, dice: &mut Dice) -> i64 {
    let (low, high) = whole_bounds(options);
    let step = options.multiple_of.as_ref().and_then(Number::as_i64).unwrap_or(1).max(1);
    let low = low.unwrap_or(match high {
        Some(high) if high < 1 => high.saturating_sub(1_000_000),
        _ => i64::from(unique.is_some()),
    });
    let high = high.unwrap_or(low.saturating_add(1_000_000_000));
    let first = low.div_euclid(step) + i64::from(low.rem_euclid(step) != 0);
    let last = high.div_euclid(step);
    let at = match unique {
        Some(n) => first.saturating_add(i64::try_from(n - 1).unwrap_or(i64::MAX)).min(last),
        // Small numbers are more usual than great ones.
        None => dice.within(first, last.min(first.saturating_add(1_000)).max(first)),
    };
    at.saturating_mul(step)
}

/// A number within its bounds; with as many decimals as its type has, or two.
fn number(property: &Property, options: &LogicalTypeOptions, dice: &mut Dice) -> Option<Value> {
    let physical = property.physical_type.as_deref().unwrap_or_default();
    let scale = physical.split_once(',').and_then(|(_, rest)| rest.trim_end_matches(')').trim().parse::<u32>().ok());
    let unit = 10f64.powi(scale.unwrap_or(2).min(9) as i32);
    let value = |bound: &Option<Bound>| match bound {
        Some(Bound::Number(number)) => number.as_f64(),
        _ => None,
    };
    let low = [value(&options.minimum), value(&options.exclusive_minimum)].into_iter().flatten().reduce(f64::max);
    let high = [value(&options.maximum), value(&options.exclusive_maximum)].into_iter().flatten().reduce(f64::min);
    let low = low.unwrap_or_else(|| high.map_or(0.0, |high| high.min(0.0) - if high <= 0.0 { 1_000.0 } else { 0.0 }));
    let high = high.unwrap_or(low + 1_000.0);
    let step = options.multiple_of.as_ref().and_then(Number::as_f64).unwrap_or(1.0 / unit);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    let drawn = dice.within(first, last.max(first)) as f64 * step;
    let rounded = (drawn * unit).round() / unit;
    let chosen = if options.multiple_of.is_some() { drawn } else { rounded };
    Number::from_f64(chosen).map(Value::Number)
}

fn formatted(format: &str, drawn: u64, dice: &mut Dice) -> String {
    let word = |dice: &mut Dice| (0..3).filter_map(|_| dice.pick(&SYLLABLES).copied()).collect::<String>();
    match format {
        "email" => format!("{}{drawn}@example.org", word(dice)),
        "uuid" => {
            let (a, b) = (dice.below(u64::MAX), dice.below(u64::MAX));
            let hex = format!("{a:016x}{b:016x}");
            [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
        }
        "uri" => format!("https://example.org/{}/{drawn}", word(dice)),
        "hostname" => format!("{}{drawn}.example.org", word(dice)),
        "ipv4" => format!("10.{}.{}.{}", dice.below(256), dice.below(256), dice.below(256)),
        "ipv6" => format!("2001:db8::{:x}:{:x}", dice.below(65_536), dice.below(65_536)),
        "byte" => (0..4).filter_map(|_| dice.pick(&["QUJD", "eHl6", "MTIz", "c2Vh"]).copied()).collect(),
        _ => word(dice),
    }
}

fn base36(mut n: u64) -> String {
    let digits: Vec<char> = ('0'..='9').chain('a'..='z').collect();
    let mut text = Vec::new();
    loop {
        text.push(digits[(n % 36) as usize]);
        n /= 36;
        if n == 0 {
            return text.iter().rev().collect();
        }
    }
}

fn vector(options: &LogicalTypeOptions, dice: &mut Dice) -> Value {
    let dimensions = options.dimensions.unwrap_or(1) as usize;
    if options.normalized == Some(true) {
        let hot = dice.below(dimensions as u64) as usize;
        return json!((0..dimensions).map(|at| i32::from(at == hot)).collect::<Vec<_>>());
    }
    let most = if options.element_type.as_deref() == Some("binary") { 1 } else { 100 };
    json!((0..dimensions).map(|_| dice.within(0, most)).collect::<Vec<_>>())
}

/// A date, timestamp or time within its bounds, in the column's form.
fn moment(logical: &str, options: &LogicalTypeOptions, until: Instant, dice: &mut Dice) -> Option<Value> {
    let day_us = DAY_S * SECOND_US;
    let seconds = |text: &str| {
        let utc = Zone::utc();
        let days = |days: i32| i64::from(days) * DAY_S;
        let instant = || instant::timestamp(text, &utc).map(|at| at.div_euclid(SECOND_US));
        match logical {
            "time" => text::time_of_day(text).map(|at| at.div_euclid(SECOND_US)).ok(),
            _ => text::date(text).map(days).or_else(|_| instant()).ok(),
        }
    };
    let bound = |inclusive: &Option<Bound>, exclusive: &Option<Bound>, inwards: i64| {
        let text = |bound: &Option<Bound>| match bound {
            Some(Bound::Text(text)) => seconds(text),
            _ => None,
        };
        let step = if logical == "date" { DAY_S } else { 1 };
        text(inclusive).or_else(|| text(exclusive).map(|at| at + inwards * step))
    };
    let low = bound(&options.minimum, &options.exclusive_minimum, 1);
    let high = bound(&options.maximum, &options.exclusive_maximum, -1);
    let latest = if logical == "time" { DAY_S - 1 } else { until.0.div_euclid(SECOND_US) };
    let high = high.unwrap_or(low.map_or(latest, |low| low.max(latest)));
    let low = low.unwrap_or(if logical == "time" { 0 } else { high - DAYS * DAY_S });
    let at = dice.within(low, high.max(low));
    let at = if logical == "date" { at.div_euclid(DAY_S) * DAY_S } else { at };
    let shown = Instant(at.checked_mul(SECOND_US)?).to_string();
    let (date, time) = (shown.get(..10)?, shown.get(11..19)?);
    let text = match (options.format.as_deref(), logical) {
        (Some(form), _) => printed(form, date, time)?,
        (None, "date") => date.to_owned(),
        (None, "time") => Instant(at.rem_euclid(DAY_S) * SECOND_US + day_us).to_string().get(11..19)?.to_owned(),
        (None, _) if options.timezone == Some(false) => format!("{date}T{time}"),
        (None, _) => format!("{date}T{time}Z"),
    };
    Some(Value::String(text))
}

/// A date and a time in a form of the JDK; none for letters that are rarely written.
fn printed(form: &str, date: &str, time: &str) -> Option<String> {
    let (year, month, day) = (date.get(..4)?, date.get(5..7)?, date.get(8..10)?);
    let (hour, minute, second) = (time.get(..2)?, time.get(3..5)?, time.get(6..8)?);
    let plain = |text: &str| text.trim_start_matches('0').to_owned();
    let letters: Vec<char> = form.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while let Some(c) = letters.get(at).copied() {
        let count = letters[at..].iter().take_while(|other| **other == c).count();
        at += count;
        match (c, count) {
            ('\'', _) => {
                let end = letters[at..].iter().position(|other| *other == '\'')?;
                out.extend(&letters[at..at + end]);
                at += end + 1;
            }
            ('y' | 'u' | 'Y', 2) => out.push_str(&year[2..]),
            ('y' | 'u' | 'Y', _) => out.push_str(year),
            ('M', 1) => out.push_str(&plain(month)),
            ('M', 2) => out.push_str(month),
            ('d' | 'D', 1) => out.push_str(&plain(day)),
            ('d' | 'D', 2) => out.push_str(day),
            ('H', 2) => out.push_str(hour),
            ('m', 2) => out.push_str(minute),
            ('s', 2) => out.push_str(second),
            ('S', _) => out.extend(std::iter::repeat_n('0', count)),
            ('X' | 'Z', _) => out.push('Z'),
            ('T', _) => out.push('T'),
            (c, count) if !c.is_ascii_alphabetic() => out.extend(std::iter::repeat_n(c, count)),
            _ => return None,
        }
    }
    Some(out)
}
