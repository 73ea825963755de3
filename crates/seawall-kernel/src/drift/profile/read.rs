//! Reading columns as numbers or as texts, and numbers in JSON.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

/// How a column can be profiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Number,
}

impl Kind {
    /// None for types that cannot be profiled.
    pub(super) fn of(data_type: &DataType) -> Option<Kind> {
        match data_type {
            DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Kind::Text),
            DataType::Dictionary(_, values) => Kind::of(values),
            other if other.is_integer() => Some(Kind::Integer),
            other if other.is_floating() || other.is_decimal() => Some(Kind::Number),
            _ => None,
        }
    }
}

/// The numbers of a column without nulls and NaN; none at all of a column that holds no numbers.
pub(in super::super) fn numbers(column: &dyn Array) -> Vec<f64> {
    if matches!(Kind::of(column.data_type()), None | Some(Kind::Text)) {
        return Vec::new();
    }
    let Ok(cast) = cast(column, &DataType::Float64) else { return Vec::new() };
    let cast = cast.as_primitive::<Float64Type>();
    cast.iter().flatten().filter(|value| !value.is_nan()).collect()
}

/// A column as text.
pub(super) struct Content(Option<ArrayRef>);

impl Content {
    /// No texts at all of a column that cannot be profiled.
    pub(super) fn texts(column: &dyn Array) -> Content {
        Content(Kind::of(column.data_type()).and_then(|_| cast(column, &DataType::Utf8).ok()))
    }

    /// How often each text occurs, nulls left out.
    pub(super) fn counts(&self) -> HashMap<&str, u64> {
        let mut counts = HashMap::new();
        let texts = self.0.iter().flat_map(|array| array.as_string::<i32>().iter().flatten());
        for text in texts {
            *counts.entry(text).or_insert(0) += 1;
        }
        counts
    }
}

/// A double as text.
pub(super) mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:?}"))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Doubles as texts.
pub(super) mod texts {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| format!("{value:?}")))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}
