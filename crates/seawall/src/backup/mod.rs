//! Backups of a data folder: what is read in which order, so that what is restored agrees; and restoring it.

pub mod place;
mod restore;
mod take;

pub use restore::{Wanted, restore};
pub use take::{Stats, take};

/// The newest valid checkpoint of the features may lie beside; it is made of tables and log.
const ONLINE: &str = "online";
const LOG: &str = "log";
const TABLES: &str = "tables";
const CATALOG: &str = "catalog";
const STATE: &str = "state";
