//! Rows as structs to columns in Arrow, one closure per column.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use seawall_base::{Instant, Result};

/// A record batch in the making, over `rows`.
pub(super) struct Columns<'a, T> {
    rows: &'a [T],
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl<'a, T> Columns<'a, T> {
    pub(super) fn of(rows: &'a [T]) -> Self {
        Columns { rows, fields: Vec::new(), arrays: Vec::new() }
    }

    pub(super) fn text(self, name: &str, value: impl Fn(&T) -> String) -> Self {
        let array = StringArray::from_iter_values(self.rows.iter().map(value));
        self.push(name, Arc::new(array), false)
    }

    pub(super) fn text_maybe(self, name: &str, value: impl Fn(&T) -> Option<String>) -> Self {
        let array: StringArray = self.rows.iter().map(value).collect();
        self.push(name, Arc::new(array), true)
    }

    pub(super) fn count(self, name: &str, value: impl Fn(&T) -> u64) -> Self {
        let array = UInt64Array::from_iter_values(self.rows.iter().map(value));
        self.push(name, Arc::new(array), false)
    }

    pub(super) fn count_maybe(self, name: &str, value: impl Fn(&T) -> Option<u64>) -> Self {
        let array: UInt64Array = self.rows.iter().map(value).collect();
        self.push(name, Arc::new(array), true)
    }

    pub(super) fn number_maybe(self, name: &str, value: impl Fn(&T) -> Option<f64>) -> Self {
        let array: Float64Array = self.rows.iter().map(value).collect();
        self.push(name, Arc::new(array), true)
    }

    pub(super) fn flag(self, name: &str, value: impl Fn(&T) -> bool) -> Self {
        let values: Vec<bool> = self.rows.iter().map(value).collect();
        self.push(name, Arc::new(BooleanArray::from(values)), false)
    }

    pub(super) fn instant(self, name: &str, value: impl Fn(&T) -> Instant) -> Self {
        let array = TimestampMicrosecondArray::from_iter_values(self.rows.iter().map(|row| value(row).0));
        self.push(name, Arc::new(array.with_timezone("UTC")), false)
    }

    pub(super) fn instant_maybe(self, name: &str, value: impl Fn(&T) -> Option<Instant>) -> Self {
        let array: TimestampMicrosecondArray = self.rows.iter().map(|row| value(row).map(|at| at.0)).collect();
        self.push(name, Arc::new(array.with_timezone("UTC")), true)
    }

    pub(super) fn finish(self) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(self.fields)), self.arrays, &options)?)
    }

    fn push(mut self, name: &str, array: ArrayRef, nullable: bool) -> Self {
        self.fields.push(Field::new(name, array.data_type().clone(), nullable));
        self.arrays.push(array);
        self
    }
}
