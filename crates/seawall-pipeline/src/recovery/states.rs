//! The folders with the checkpoints of the order and of the monitor.

use std::path::Path;

use parking_lot::Mutex;
use seawall_base::error::Result;
use seawall_base::{Error, Span};
use seawall_storage::state::Folder;
use tracing::warn;

use super::checkpoint::{Body, Keys};
use crate::dedup::DedupIndex;

/// The checkpoints of a pipeline's states, owned by this process.
#[derive(Debug)]
pub struct States {
    pub(super) order: Mutex<Folder>,
    pub(crate) monitor: Mutex<Folder>,
}

impl States {
    /// Opens the folder, creating it when it is missing. Damaged checkpoints are said; the states are made without them.
    /// Blocks on the disk.
    pub fn open(folder: &Path) -> Result<States> {
        let open = |name: &str, format| {
            let (state, damages) = Folder::open(&folder.join(name), format)?;
            for damage in damages {
                warn!(code = damage.code(), %damage, "a checkpoint is damaged");
            }
            Ok::<_, Error>(Mutex::new(state))
        };
        Ok(States { order: open("order", "seawall order")?, monitor: open("monitor", "seawall monitor")? })
    }

    /// The newest checkpoint of the order, with its number; none when there is none left.
    pub(super) fn newest_order(&self) -> Option<(u64, Result<Body>)> {
        let newest = self.order.lock().checkpoints().into_iter().next()?;
        let damaged =
            |e| Error::corrupt("SW0442", "a checkpoint of the order is not what this program writes").because(e);
        Some((newest.number, serde_json::from_str(&newest.body).map_err(damaged)))
    }

    pub(super) fn forget_newest_order(&self) {
        self.order.lock().forget_newest();
    }

    pub(super) fn read_keys(&self, keys: &Keys, horizon: Option<Span>) -> Result<DedupIndex> {
        keys.read(&self.order.lock(), horizon)
    }
}
