//! Where an installation's tables lie: in its data folder, or in a bucket that the first command named.
//!
//! The place is kept in the data folder (`tables.location`), so that every later command finds the same tables, and one
//! that names another place is refused instead of beginning tables anew there.

use std::collections::BTreeMap;
use std::path::Path;

use seawall_base::error::Result;
use seawall_base::{Error, durable};
use seawall_lake::store::{Home, Patience};

/// The file that keeps the place.
const FILE: &str = "tables.location";

/// The home of the tables of `data`; `named` is what the command or the environment says.
pub fn home(data: &Path, named: Option<&str>) -> Result<Home> {
    let folder = data.join("tables");
    let file = data.join(FILE);
    let kept = match std::fs::read_to_string(&file) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(e.into()),
    };
    let address = match (kept, named.map(str::trim).filter(|named| !named.is_empty())) {
        // Once rows were taken in there were tables: a folder that is missing is away.
        (None, None) if data.join("log").join("epoch").exists() => return Home::expected_folder(&folder),
        (None, None) => return Home::folder(&folder),
        (Some(kept), None) => kept,
        (Some(kept), Some(named)) if kept == named => kept,
        (Some(kept), Some(named)) => return Err(elsewhere(&format!("at {kept}"), named)),
        (None, Some(named)) if folder.exists() => return Err(elsewhere("in the data folder", named)),
        (None, Some(named)) => {
            let home = open(named)?;
            durable::write_atomic(&file, format!("{named}\n").as_bytes())?;
            return Ok(home);
        }
    };
    open(&address)
}

/// Whether the tables of `data` lie in a bucket.
pub fn is_elsewhere(data: &Path) -> bool {
    data.join(FILE).exists()
}

fn open(address: &str) -> Result<Home> {
    Home::s3(address, &environment(), Patience::default())
}

/// The environment's variables. Those that are no text cannot be settings of a store.
pub fn environment() -> BTreeMap<String, String> {
    let variables = std::env::vars_os();
    variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

fn elsewhere(kept: &str, named: &str) -> Error {
    Error::invalid("SW0534", format!("the tables of this data folder lie {kept}, not at {named}"))
        .hint("leave --tables and SEAWALL_TABLES away, or begin with an empty data folder")
}
