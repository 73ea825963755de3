//! What a vacuum left readable: the file `_seawall/horizon.json` of a table.
//!
//! It is written before anything is removed. So a version that is given up is refused by name, instead of being found
//! damaged, also when the process died in the middle of a vacuum.

use std::collections::BTreeSet;

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use seawall_base::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::log::{self, Log};
use crate::codes;

/// Which versions can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Horizon {
    pub format: u32,
    /// From this version on all of them.
    pub readable_from: u64,
    /// Older ones that are pinned.
    pub pinned: BTreeSet<u64>,
}

impl Default for Horizon {
    fn default() -> Self {
        Horizon { format: 1, readable_from: 0, pinned: BTreeSet::new() }
    }
}

impl Horizon {
    /// Whether a version is kept.
    pub(crate) fn shows(&self, version: u64) -> bool {
        version >= self.readable_from || self.pinned.contains(&version)
    }
}

impl Log {
    fn horizon_path(&self) -> Path {
        self.home.table(&self.table).join("_seawall").join("horizon.json")
    }

    /// The horizon of a table; everything is readable when there was no vacuum yet.
    pub(crate) async fn horizon(&self) -> Result<Horizon> {
        let path = self.horizon_path();
        let reading = |e| log::storage(&format!("reading the horizon of table {}", self.table), e);
        self.home.refuse_link(&self.table, &path)?;
        let bytes = match self.store().get(&path).await {
            Ok(found) => found.bytes().await.map_err(reading)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(Horizon::default()),
            Err(e) => return Err(reading(e)),
        };
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::corrupt(codes::LOG_BROKEN, format!("the horizon {path} of table {} cannot be read", self.table))
                .because(e)
                .hint("it says which versions a vacuum gave up: restore it from a backup, or vacuum the table again")
        })
    }

    pub(crate) async fn set_horizon(&self, horizon: &Horizon) -> Result<()> {
        let bytes = serde_json::to_vec(horizon).expect("a horizon is made of numbers");
        let put = self.store().put(&self.horizon_path(), PutPayload::from(bytes)).await;
        put.map(|_| ()).map_err(|e| log::storage(&format!("writing the horizon of table {}", self.table), e))
    }
}
