//! Answers as columns: what decisions are answered goes straight into the arrays of a batch, one value after the other.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, Int64Builder, StringBuilder};
use arrow::datatypes::DataType;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use seawall_base::FeatureStatus;
use seawall_base::error::Result;

use super::plan::ViewPlan;
use crate::aggregate::{Scalar, Value, overflow, to_array};

/// The features of a view, growing by a row per decision.
pub(crate) struct Columns<'a> {
    plan: &'a ViewPlan,
    columns: Vec<Growing>,
    status: Vec<Vec<FeatureStatus>>,
}

enum Growing {
    Int(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    /// Types that are made of these in the end.
    Other(Vec<Option<Scalar>>),
}

impl<'a> Columns<'a> {
    /// No rows yet, and room for some.
    pub fn new(plan: &'a ViewPlan, rows: usize) -> Self {
        let columns = plan.output_schema().fields().iter().map(|field| Growing::new(field.data_type(), rows)).collect();
        Columns { plan, columns, status: Vec::with_capacity(rows) }
    }

    /// Begins the next row; each of its features is told once, in order.
    pub fn row(&mut self) -> impl FnMut(Value<'_>, FeatureStatus) -> Result<()> {
        self.status.push(Vec::with_capacity(self.columns.len()));
        let status = self.status.last_mut().expect("one was just pushed");
        let mut columns = self.columns.iter_mut();
        move |value, is| {
            status.push(is);
            columns.next().expect("a row has as many values as the view has features").push(value)
        }
    }

    /// The batch in the view's schema, and the status of each value.
    pub fn finish(self) -> Result<(RecordBatch, Vec<Vec<FeatureStatus>>)> {
        let schema = self.plan.output_schema();
        let options = RecordBatchOptions::new().with_row_count(Some(self.status.len()));
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (column, field) in self.columns.into_iter().zip(schema.fields()) {
            arrays.push(column.finish(field.data_type())?);
        }
        Ok((RecordBatch::try_new_with_options(schema, arrays, &options)?, self.status))
    }
}

impl Growing {
    fn new(data_type: &DataType, rows: usize) -> Growing {
        match data_type {
            DataType::Int64 => Growing::Int(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Growing::Float(Float64Builder::with_capacity(rows)),
            DataType::Utf8 => Growing::Text(StringBuilder::with_capacity(rows, 8 * rows)),
            _ => Growing::Other(Vec::with_capacity(rows)),
        }
    }

    fn push(&mut self, value: Value<'_>) -> Result<()> {
        match (self, value) {
            (Growing::Int(out), Value::Int(value)) => {
                out.append_value(i64::try_from(value).map_err(|_| overflow("64-bit integer"))?);
            }
            (Growing::Int(out), _) => out.append_null(),
            (Growing::Float(out), Value::Float(value)) => out.append_value(value),
            (Growing::Float(out), _) => out.append_null(),
            (Growing::Text(out), Value::Text(value)) => out.append_value(value),
            (Growing::Text(out), _) => out.append_null(),
            (Growing::Other(out), value) => out.push(value.to_scalar()),
        }
        Ok(())
    }

    fn finish(self, data_type: &DataType) -> Result<ArrayRef> {
        Ok(match self {
            Growing::Int(mut values) => Arc::new(values.finish()),
            Growing::Float(mut values) => Arc::new(values.finish()),
            Growing::Text(mut values) => Arc::new(values.finish()),
            Growing::Other(values) => to_array(&values, data_type)?,
        })
    }
}
