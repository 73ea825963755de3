//! What the address of a request asks for: each key is read once, and one that nobody reads is an error.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;
use seawall_base::Error;
use seawall_base::declare::FileFormat;
use seawall_base::error::Result;
use seawall_pipeline::source::files::format_of;

/// Keys and values of a query string that were not read yet.
pub(super) struct Asked(Vec<(String, String)>);

impl Asked {
    /// Of an address.
    ///
    /// # Errors
    /// SW0896 when it is no list of keys and values.
    pub fn of(uri: &Uri) -> Result<Asked> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let pairs = pairs.map_err(|error| {
            Error::invalid("SW0896", "what stands behind the ? cannot be read")
                .because(error)
                .hint("write KEY=VALUE&...")
        })?;
        Ok(Asked(pairs.0))
    }

    /// Every value of `key`, in order; lists with commas are taken apart.
    pub fn many(&mut self, key: &str) -> Vec<String> {
        let (these, others) = std::mem::take(&mut self.0).into_iter().partition(|(name, _)| name == key);
        self.0 = others;
        let these: Vec<(String, String)> = these;
        these.iter().flat_map(|(_, value)| value.split(',')).map(str::to_owned).collect()
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// SW0896 when it stands there twice.
    pub fn one(&mut self, key: &str) -> Result<Option<String>> {
        let mut found = Vec::new();
        self.0.retain_mut(|(name, value)| {
            let is_other = name != key;
            if !is_other {
                found.push(std::mem::take(value));
            }
            is_other
        });
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(Error::invalid("SW0896", format!("{key} is given twice")).hint("give it once")),
        }
    }

    /// The value of `key`, read as something.
    ///
    /// # Errors
    /// SW0896 when it cannot be read; `such_as` is an example of what can.
    pub fn read<T: FromStr>(&mut self, key: &str, such_as: &str) -> Result<Option<T>> {
        let Some(text) = self.one(key)? else { return Ok(None) };
        let wrong = || {
            Error::invalid("SW0896", format!("{key}={text:?} cannot be read")).hint(format!("write {key}={such_as}"))
        };
        text.trim().parse().map(Some).map_err(|_| wrong())
    }

    /// A number that may not exceed `max`; `default` when it is not given.
    ///
    /// # Errors
    /// SW0896.
    pub fn up_to(&mut self, key: &str, default: u64, max: u64) -> Result<u64> {
        let number = self.read(key, &default.to_string())?.unwrap_or(default);
        if number > max {
            return Err(Error::invalid("SW0896", format!("{key}={number} is too much"))
                .hint(format!("ask for at most {max}; `seawall contract` has no such limit")));
        }
        Ok(number)
    }

    /// Whether `key` is true.
    ///
    /// # Errors
    /// SW0896 when it is neither true nor false.
    pub fn flag(&mut self, key: &str) -> Result<bool> {
        Ok(self.read(key, "true")?.unwrap_or(false))
    }

    /// The variables that a contract may name: `set=NAME=VALUE`, as often as there are variables.
    ///
    /// # Errors
    /// SW0896 when one has no value.
    pub fn variables(&mut self) -> Result<BTreeMap<String, String>> {
        let (these, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(|(name, _)| name == "set");
        self.0 = others;
        let mut variables = BTreeMap::new();
        for (_, text) in these {
            let (name, value) = text.split_once('=').ok_or_else(|| {
                Error::invalid("SW0896", format!("set={text:?} has no value")).hint("write set=NAME=VALUE")
            })?;
            variables.insert(name.to_owned(), value.to_owned());
        }
        Ok(variables)
    }

    /// The format of rows: the given one, or what their media type or the name of their file says.
    ///
    /// # Errors
    /// SW0890 when nothing says it.
    pub fn format(&mut self, media: &str, file: Option<&str>) -> Result<FileFormat> {
        let named = self.one("format")?;
        let by_name = match named.as_deref() {
            Some("ndjson" | "jsonl") => Some(FileFormat::Ndjson),
            Some("csv") => Some(FileFormat::Csv),
            Some("parquet") => Some(FileFormat::Parquet),
            Some(other) => {
                return Err(Error::invalid("SW0896", format!("{other:?} is no format of rows"))
                    .hint("use format=ndjson, csv or parquet"));
            }
            None => None,
        };
        let by_media = || match media {
            "application/x-ndjson" | "application/jsonl" => Some(FileFormat::Ndjson),
            "text/csv" => Some(FileFormat::Csv),
            "application/vnd.apache.parquet" | "application/x-parquet" => Some(FileFormat::Parquet),
            _ => None,
        };
        let by_file = || file.and_then(|name| format_of(std::path::Path::new(name)).ok());
        by_name.or_else(by_media).or_else(by_file).ok_or_else(|| {
            Error::invalid("SW0890", format!("the type {media:?} does not say in which format the rows are"))
                .hint("send application/x-ndjson, text/csv or application/vnd.apache.parquet, or say format=csv")
        })
    }

    /// Nothing else may be asked.
    ///
    /// # Errors
    /// SW0896 when something is.
    pub fn end(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(Error::invalid("SW0896", format!("nothing here reads {key:?}"))
                .hint("correct the key, or leave it out")),
        }
    }
}

#[cfg(test)]
mod tests;
