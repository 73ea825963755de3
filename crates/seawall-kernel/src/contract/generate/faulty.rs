//! Ways to break a rule: values that are tried on the gate, and the ones that broke exactly one rule.

use serde_json::{Map, Value, json};

use super::super::model::{LogicalTypeOptions, Property};
use super::dice::Dice;
use super::value::{logical, whole_bounds};

/// A way to break one rule.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    how: How,
    /// The rule that is broken.
    pub rule: String,
    /// The column of the reason.
    pub column: Option<String>,
}

#[derive(Debug, Clone)]
enum How {
    /// A column gets a value.
    Value { column: String, value: Value },
    /// The key of an earlier row is repeated.
    Key(Vec<String>),
}

impl Recipe {
    pub(super) fn of_value(column: &str, value: Value, rule: &str, reason_column: Option<String>) -> Recipe {
        let how = How::Value { column: column.to_owned(), value };
        Recipe { how, rule: rule.to_owned(), column: reason_column }
    }

    pub(super) fn of_key(key: &[String], column: Option<String>) -> Recipe {
        Recipe { how: How::Key(key.to_vec()), rule: "key_conflict".to_owned(), column }
    }

    /// Whether it repeats the key of an earlier row.
    pub(super) fn repeats(&self) -> bool {
        matches!(self.how, How::Key(_))
    }

    /// Rule and column of the reason that the gate gives.
    pub(super) fn reason(&self) -> (String, Option<String>) {
        (self.rule.clone(), self.column.clone())
    }

    /// Makes `row` break the rule.
    pub(super) fn spoil(&self, row: &mut Map<String, Value>, earlier: Option<&Map<String, Value>>, _dice: &mut Dice) {
        match &self.how {
            How::Value { column, value } => {
                row.insert(column.clone(), value.clone());
            }
            How::Key(key) => {
                for column in key {
                    let value = earlier.and_then(|earlier| earlier.get(column)).cloned();
                    row.insert(column.clone(), value.unwrap_or(Value::Null));
                }
            }
        }
    }
}

/// Whether values of a property can only be guessed, so that its examples are better.
pub(super) fn needs_examples(property: &Property) -> bool {
    let has_pattern = |options: &LogicalTypeOptions| options.pattern.is_some() || options.format.is_some();
    let is_open = matches!(logical(property), "string" | "date" | "timestamp" | "time");
    let counts = property.quality.iter().any(|rule| rule.arguments.as_ref().is_some_and(|a| a.pattern.is_some()));
    is_open && (property.logical_type_options.as_ref().is_some_and(has_pattern) || counts)
}

/// Values that may break a rule of a column.
pub(super) fn candidates(property: &Property, dice: &mut Dice) -> Vec<Value> {
    let none = LogicalTypeOptions::default();
    let options = property.logical_type_options.as_ref().unwrap_or(&none);
    let mut values = vec![Value::Null];
    match logical(property) {
        "string" => texts(options, dice, &mut values),
        "integer" => {
            let (low, high) = whole_bounds(options);
            values.extend(low.map(|low| json!(low.saturating_sub(1))));
            values.extend(high.map(|high| json!(high.saturating_add(1))));
            values.extend([json!("seven"), json!(1.5), json!(low.unwrap_or(0) + 1), json!(300), json!(70_000)]);
        }
        "number" => {
            let bounds = [&options.minimum, &options.maximum, &options.exclusive_minimum, &options.exclusive_maximum];
            for bound in bounds.into_iter().flatten() {
                if let super::super::model::Bound::Number(number) = bound {
                    let value = number.as_f64().unwrap_or(0.0);
                    values.extend([json!(value - 1.0), json!(value), json!(value + 1.0)]);
                }
            }
            values.extend([json!("much"), json!(0.125), json!(0.3)]);
        }
        "boolean" => values.push(json!("perhaps")),
        "date" | "timestamp" | "time" => values.extend([
            json!("someday"),
            json!("1900-01-01"),
            json!("2999-12-31"),
            json!("1900-01-01T00:00:00Z"),
            json!("2999-12-31T00:00:00Z"),
            json!("2024-01-01T00:00:00"),
            json!("25:61:00"),
        ]),
        "array" | "vector" => arrays(property, options, dice, &mut values),
        "object" => {
            values.push(json!({}));
            for field in &property.properties {
                nested(property, field, dice, &mut values);
            }
        }
        _ => values.push(json!("no map")),
    }
    for rule in &property.quality {
        let missing = rule.arguments.as_ref().and_then(|arguments| arguments.missing_values.clone());
        values.extend(missing.into_iter().flatten());
    }
    values
}

fn texts(options: &LogicalTypeOptions, dice: &mut Dice, values: &mut Vec<Value>) {
    let of_length = |length: u64| json!("q".repeat(length.min(100_000) as usize));
    values.extend(options.min_length.map(|least| of_length(least.saturating_sub(1))));
    values.extend(options.max_length.map(|most| of_length(most.saturating_add(1))));
    let between = options.min_length.unwrap_or(1).max(1)..=options.max_length.unwrap_or(12).max(1);
    for text in ["~", "?", "zz", "ZZZ", "-", "no such thing", "0"] {
        let mut padded = text.to_owned();
        while (padded.chars().count() as u64) < *between.start() {
            padded.push('~');
        }
        values.push(json!(padded.chars().take(*between.end() as usize).collect::<String>()));
    }
    values.push(json!(dice.within(10, 99)));
}

fn arrays(property: &Property, options: &LogicalTypeOptions, dice: &mut Dice, values: &mut Vec<Value>) {
    values.extend([json!([]), json!("no list")]);
    let good = |dice: &mut Dice| {
        let items = property.items.as_deref()?;
        let mut column = super::value::Column::of(items, false, seawall_base::Instant(1_700_000_000_000_000));
        column.property.required = Some(true);
        column.draw(dice).ok()
    };
    let several = |count: u64, dice: &mut Dice| {
        let items: Vec<Value> = (0..count.min(1_000)).filter_map(|_| good(dice)).collect();
        json!(items)
    };
    values.extend(options.max_items.map(|most| several(most + 1, dice)));
    values.extend(options.min_items.map(|least| several(least.saturating_sub(1), dice)));
    if let Some(one) = good(dice) {
        values.push(json!([one.clone(), one]));
    }
    if let Some(items) = property.items.as_deref() {
        let least = options.min_items.unwrap_or(1).max(1);
        for bad in candidates(items, dice) {
            let mut list: Vec<Value> = (1..least).filter_map(|_| good(dice)).collect();
            list.push(bad);
            values.push(json!(list));
        }
    }
    if let Some(dimensions) = options.dimensions {
        values.push(json!(vec![0; dimensions.saturating_sub(1).min(10_000) as usize]));
    }
}

/// An object whose one field has a bad value, and whose other fields have good ones.
fn nested(object: &Property, field: &Property, dice: &mut Dice, values: &mut Vec<Value>) {
    let Some(name) = field.name.clone() else { return };
    let mut column = super::value::Column::of(object, true, seawall_base::Instant(1_700_000_000_000_000));
    for bad in candidates(field, dice) {
        if let Ok(Value::Object(mut fields)) = column.draw(dice) {
            fields.insert(name.clone(), bad);
            values.push(Value::Object(fields));
        }
    }
}
