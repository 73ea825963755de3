//! What a vacuum left readable: the file `_seawall/horizon.json` of a table.
//!
//! It is written before anything is removed. So a version that is given up is refused by name, instead of being found
//! damaged, also when the process died in the middle of a vacuum.

use std::collections::BTreeSet;

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use seawall_base::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{DeltaStore, Handle};
use crate::codes;
use crate::table::log;

/// Which versions can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Horizon {
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
    pub(super) fn shows(&self, version: u64) -> bool {
        version >= self.readable_from || self.pinned.contains(&version)
    }
}

impl DeltaStore {
    fn horizon_path(&self, handle: &Handle) -> Path {
        self.home.table(handle.name.as_str()).join("_seawall").join("horizon.json")
    }

    /// The horizon of a table; everything is readable when there was no vacuum yet.
    pub(super) async fn horizon(&self, handle: &Handle) -> Result<Horizon> {
        let path = self.horizon_path(handle);
        let reading = |e| log::storage(&format!("reading the horizon of table {}", handle.name), e);
        self.home.refuse_link(handle.name.as_str(), &path)?;
        let bytes = match self.home.store().get(&path).await {
            Ok(found) => found.bytes().await.map_err(reading)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(Horizon::default()),
            Err(e) => return Err(reading(e)),
        };
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::corrupt(codes::LOG_BROKEN, format!("the horizon {path} of table {} cannot be read", handle.name))
                .because(e)
                .hint("it says which versions a vacuum gave up: restore it from a backup, or vacuum the table again")
        })
    }

    pub(super) async fn set_horizon(&self, handle: &Handle, horizon: &Horizon) -> Result<()> {
        let bytes = serde_json::to_vec(horizon).expect("a horizon is made of numbers");
        let put = self.home.store().put(&self.horizon_path(handle), PutPayload::from(bytes)).await;
        put.map(|_| ()).map_err(|e| log::storage(&format!("writing the horizon of table {}", handle.name), e))
    }
}
