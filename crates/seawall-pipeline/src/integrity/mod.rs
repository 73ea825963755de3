//! Does what was kept agree: the log with the tables, the tables with the catalog's records, the features with both?
//!
//! The crates that know a format check their files ([`seawall_base::integrity`]); here their contents are compared.
//! [`ledger`] compares table versions with the catalog's records, [`tally`] walks the log once and says what tables and
//! counts must be, [`recompute`] folds the rows of a view anew and compares the state with the checkpoint's. Nothing is
//! changed. Everything may be looked at while a server runs, in this order: catalog, tables, log.

mod gather;
mod ledger;
mod recompute;
mod tally;
#[cfg(test)]
mod tests;

pub use gather::{Gather, Gathered};
pub use ledger::{TableFacts, VersionRows, check_ledger};
pub use recompute::{check_view, in_schema, plan_of};
pub use tally::Tally;
