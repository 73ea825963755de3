//! Reading rows: every value that comes back from disk is checked, and a wrong one is `Corrupt`, never a panic.

use std::str::FromStr;

use seawall_base::{Error, Hash, Instant, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;

use super::{Row, classify};

/// Adds what was being done to a failure of the database.
pub(crate) trait DuringResult<T> {
    /// Turns the failure into the workspace's error; `doing` is a phrase such as `reading the audit ledger`.
    fn during(self, doing: &str) -> Result<T>;
}

impl<T> DuringResult<T> for Result<T, sqlx::Error> {
    fn during(self, doing: &str) -> Result<T> {
        self.map_err(|failure| classify(doing, failure))
    }
}

/// Typed access to the columns of a row.
pub(crate) trait Fields {
    /// A text.
    fn text(&self, column: &str) -> Result<String>;
    /// A text that may be null.
    fn text_maybe(&self, column: &str) -> Result<Option<String>>;
    /// A number.
    fn int(&self, column: &str) -> Result<i64>;
    /// A number that may be null.
    fn int_maybe(&self, column: &str) -> Result<Option<i64>>;
    /// A number that cannot be negative.
    fn count(&self, column: &str) -> Result<u64>;
    /// A version of a model.
    fn version(&self, column: &str) -> Result<u32>;
    /// A version of a model that may be null.
    fn version_maybe(&self, column: &str) -> Result<Option<u32>>;
    /// An instant.
    fn instant(&self, column: &str) -> Result<Instant>;
    /// A hash.
    fn hash(&self, column: &str) -> Result<Hash>;
    /// A text in a type's own notation.
    fn parsed<T: FromStr<Err = Error>>(&self, column: &str) -> Result<T>;
    /// A text that holds JSON.
    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T>;
}

impl Fields for Row {
    fn text(&self, column: &str) -> Result<String> {
        // Asked for a text, the driver makes an empty one of null.
        self.text_maybe(column)?.ok_or_else(|| damaged(column, "null"))
    }

    fn text_maybe(&self, column: &str) -> Result<Option<String>> {
        self.try_get(column).during("reading a text of the catalog")
    }

    fn int(&self, column: &str) -> Result<i64> {
        self.int_maybe(column)?.ok_or_else(|| damaged(column, "null"))
    }

    fn int_maybe(&self, column: &str) -> Result<Option<i64>> {
        self.try_get(column).during("reading a number of the catalog")
    }

    fn count(&self, column: &str) -> Result<u64> {
        let value = self.int(column)?;
        u64::try_from(value).map_err(|_| damaged(column, &value.to_string()))
    }

    fn version(&self, column: &str) -> Result<u32> {
        self.version_maybe(column)?.ok_or_else(|| damaged(column, "null"))
    }

    fn version_maybe(&self, column: &str) -> Result<Option<u32>> {
        let Some(value) = self.int_maybe(column)? else { return Ok(None) };
        u32::try_from(value).map(Some).map_err(|_| damaged(column, &value.to_string()))
    }

    fn instant(&self, column: &str) -> Result<Instant> {
        Ok(Instant(self.int(column)?))
    }

    fn hash(&self, column: &str) -> Result<Hash> {
        self.parsed(column)
    }

    fn parsed<T: FromStr<Err = Error>>(&self, column: &str) -> Result<T> {
        let text = self.text(column)?;
        text.parse().map_err(|e: Error| damaged(column, &text).because(e))
    }

    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|e| damaged(column, "JSON").because(e))
    }
}

/// A count as the database keeps it; counts beyond `i64::MAX` do not exist in practice and are refused.
pub(crate) fn stored(count: u64) -> Result<i64> {
    i64::try_from(count).map_err(|e| Error::invalid("SW0605", format!("{count} is too large to be kept")).because(e))
}

/// A value as JSON text that reads back. JSON has no infinite and undefined numbers, and instants after the year 9999
/// have no text: such a value (SW1101) is refused when it comes, so that no reader finds it damaged later.
pub(crate) fn stored_json<T: Serialize + DeserializeOwned>(what: &str, value: &T) -> Result<String> {
    let text = serde_json::to_string(value)
        .map_err(|e| Error::internal("SW0606", format!("writing {what} as JSON failed")).because(e))?;
    let back: std::result::Result<T, _> = serde_json::from_str(&text);
    back.map_err(|e| {
        Error::invalid("SW1101", format!("{what} holds a value that cannot be kept"))
            .because(e)
            .hint("numbers must be finite and instants lie before the year 10000")
    })?;
    Ok(text)
}

fn damaged(column: &str, value: &str) -> Error {
    Error::corrupt("SW0603", format!("the catalog holds {value:?} in column {column}, which cannot be read"))
        .hint("stop writing and restore the catalog from its newest backup")
}
