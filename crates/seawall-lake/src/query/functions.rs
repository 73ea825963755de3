//! SQL functions for local times: `local_to_instant` and `instant_to_local`.
//!
//! Sources write local times: `2014-03-09T02:30:00` in `America/Los_Angeles`. That one never existed (the clocks went
//! from two to three), and `2014-11-02T01:30:00` existed twice. The rule is the same everywhere: a time in a gap has no
//! instant and becomes null, one that existed twice is the earlier instant, an unknown zone is an error. Text that is
//! no local time (`2014-02-30T00:00:00`, `24:61`) becomes null, as a time in a gap does.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use seawall_base::error::Error;

use crate::codes;
use crate::types;

const LOCAL: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const MICROS_PER_SECOND: i64 = 1_000_000;

/// Seawall's SQL functions.
pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![Arc::new(ScalarUDF::from(LocalToInstant::new())), Arc::new(ScalarUDF::from(InstantToLocal::new()))]
}

/// `local_to_instant(local, zone)`: the instant at which the clocks of `zone` show `local`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalToInstant {
    signature: Signature,
}

impl LocalToInstant {
    fn new() -> Self {
        LocalToInstant { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for LocalToInstant {
    fn name(&self) -> &str {
        "local_to_instant"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(types::instant_type())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [local, zone] = given else {
            return plan_err!("local_to_instant takes a local time and a zone, not {} arguments", given.len());
        };
        let local = match local {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 | DataType::Null => LOCAL,
            DataType::Timestamp(_, Some(_)) => {
                return plan_err!("the first argument of local_to_instant is an instant already; it has a zone");
            }
            other => return plan_err!("the first argument of local_to_instant is a timestamp or text, not {other}"),
        };
        Ok(vec![local, zone_type("local_to_instant", zone)?])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (local, zone) = arguments(&args)?;
        let mut zones = Zones::default();
        let mut instants: Vec<Option<i64>> = Vec::with_capacity(local.len());
        for row in 0..local.len() {
            let Some(zone) = zones.at(&zone, row)? else {
                instants.push(None);
                continue;
            };
            instants.push(local_time(&local, row).and_then(|time| instant_of(time, zone)));
        }
        let instants: ArrayRef = Arc::new(TimestampMicrosecondArray::from(instants).with_timezone("UTC"));
        answer(&args, instants)
    }
}

/// `instant_to_local(instant, zone)`: what the clocks of `zone` show at `instant`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct InstantToLocal {
    signature: Signature,
}

impl InstantToLocal {
    fn new() -> Self {
        InstantToLocal { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for InstantToLocal {
    fn name(&self) -> &str {
        "instant_to_local"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(LOCAL)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [instant, zone] = given else {
            return plan_err!("instant_to_local takes an instant and a zone, not {} arguments", given.len());
        };
        let instant = match instant {
            DataType::Timestamp(_, Some(_)) | DataType::Null => types::instant_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => types::instant_type(),
            other => return plan_err!("the first argument of instant_to_local is an instant with a zone, not {other}"),
        };
        Ok(vec![instant, zone_type("instant_to_local", zone)?])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (instant, zone) = arguments(&args)?;
        let instants = instant.as_primitive::<TimestampMicrosecondType>();
        let mut zones = Zones::default();
        let mut locals: Vec<Option<i64>> = Vec::with_capacity(instants.len());
        for row in 0..instants.len() {
            let zone = zones.at(&zone, row)?;
            let local = zone.filter(|_| instants.is_valid(row)).and_then(|zone| local_of(instants.value(row), zone));
            locals.push(local);
        }
        let locals: ArrayRef = Arc::new(TimestampMicrosecondArray::from(locals));
        answer(&args, locals)
    }
}

fn zone_type(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Ok(DataType::Utf8),
        other => plan_err!("the second argument of {function} is the name of a zone, not {other}"),
    }
}

/// Both arguments as columns; one literal row stays one row when both are literals.
fn arguments(args: &ScalarFunctionArgs) -> Result<(ArrayRef, ArrayRef)> {
    let [first, second] = args.args.as_slice() else {
        return exec_err!("a function of two arguments got {}", args.args.len());
    };
    let rows = if all_literals(args) { 1 } else { args.number_rows };
    Ok((first.to_array(rows)?, second.to_array(rows)?))
}

fn all_literals(args: &ScalarFunctionArgs) -> bool {
    args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
}

fn answer(args: &ScalarFunctionArgs, column: ArrayRef) -> Result<ColumnarValue> {
    if all_literals(args) {
        let value = datafusion::common::ScalarValue::try_from_array(&column, 0)?;
        return Ok(ColumnarValue::Scalar(value));
    }
    Ok(ColumnarValue::Array(column))
}

/// The zones of one call, each looked up once.
#[derive(Default)]
struct Zones {
    known: HashMap<String, TimeZone>,
}

impl Zones {
    /// The zone that a row names; none when it names none.
    fn at(&mut self, names: &ArrayRef, row: usize) -> Result<Option<&TimeZone>> {
        let names: &StringArray = names.as_string();
        if names.is_null(row) {
            return Ok(None);
        }
        let name = names.value(row);
        if !self.known.contains_key(name) {
            let zone = TimeZone::get(name).map_err(|e| {
                let unknown = Error::invalid(codes::ZONE_UNKNOWN, format!("{name:?} is no time zone"));
                let hint = "name a zone of the IANA database, for example America/Los_Angeles, Europe/Berlin or UTC";
                DataFusionError::External(Box::new(unknown.because(e).hint(hint)))
            })?;
            self.known.insert(name.to_owned(), zone);
        }
        Ok(self.known.get(name))
    }
}

fn local_time(column: &ArrayRef, row: usize) -> Option<DateTime> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).trim().parse().ok(),
        _ => civil_of(column.as_primitive::<TimestampMicrosecondType>().value(row)),
    }
}

/// A local timestamp counts microseconds as if its zone were UTC.
fn civil_of(micros: i64) -> Option<DateTime> {
    let timestamp = jiff::Timestamp::from_microsecond(micros).ok()?;
    Some(jiff::tz::Offset::UTC.to_datetime(timestamp))
}

fn instant_of(local: DateTime, zone: &TimeZone) -> Option<i64> {
    let offset = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Fold { before, .. } => before,
        AmbiguousOffset::Gap { .. } => return None,
    };
    Some(offset.to_timestamp(local).ok()?.as_microsecond())
}

fn local_of(micros: i64, zone: &TimeZone) -> Option<i64> {
    let timestamp = jiff::Timestamp::from_microsecond(micros).ok()?;
    let offset_s = i64::from(zone.to_offset(timestamp).seconds());
    micros.checked_add(offset_s * MICROS_PER_SECOND)
}

#[cfg(test)]
mod tests;
