//! Texts in CSV files that stand for a missing value, such as `NA`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use seawall_base::error::Result;

/// Texts that programs write for a missing value.
const KNOWN: [&str; 7] = ["NA", "N/A", "n/a", "NULL", "null", "None", "\\N"];

/// The known texts that appear in a column whose other values are all numbers: there they can mean nothing else. In a
/// column of words the same text may be a word, such as the country code of Namibia.
pub(super) fn detect(batches: &[RecordBatch]) -> Vec<String> {
    let columns = batches.first().map_or(0, RecordBatch::num_columns);
    let mut found = Vec::new();
    for column in 0..columns {
        let texts: Vec<&StringArray> =
            batches.iter().filter_map(|batch| batch.column(column).as_string_opt::<i32>()).collect();
        let values = || texts.iter().flat_map(|array| array.iter()).flatten().filter(|value| !value.is_empty());
        let mut others = values().filter(|value| !KNOWN.contains(value)).peekable();
        let are_numbers = others.peek().is_some() && others.all(|value| value.trim().parse::<f64>().is_ok());
        if are_numbers {
            found.extend(KNOWN.into_iter().filter(|known| values().any(|value| value == *known)));
        }
    }
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(str::to_owned).collect()
}

/// The batches with null in the place of these texts.
pub(super) fn replace(batches: &[RecordBatch], nulls: &[String]) -> Result<Vec<RecordBatch>> {
    let mut replaced = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| without(column, nulls)).collect();
        let fields: Vec<_> =
            batch.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        replaced.push(RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns)?);
    }
    Ok(replaced)
}

fn without(column: &ArrayRef, nulls: &[String]) -> ArrayRef {
    if *column.data_type() != DataType::Utf8 {
        return Arc::clone(column);
    }
    let values = column.as_string::<i32>().iter();
    let kept: StringArray = values.map(|value| value.filter(|value| !nulls.iter().any(|null| null == value))).collect();
    Arc::new(kept)
}
