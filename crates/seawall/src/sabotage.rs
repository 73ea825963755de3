//! A binary for `cargo xtask torture` alone: it has the planted bug that the environment names.

use seawall_base::sabotage::{Bug, plant};

#[cfg(not(debug_assertions))]
compile_error!("the feature `sabotage` needs debug assertions: a binary that is shipped has no planted bugs");

/// What names the bug.
const VARIABLE: &str = "SEAWALL_SABOTAGE";

/// Plants the bug that the environment names, and says so.
pub fn obey() {
    let Ok(name) = std::env::var(VARIABLE) else { return };
    let bug: Bug = serde_json::from_value(name.as_str().into()).expect("SEAWALL_SABOTAGE names a planted bug");
    plant(bug);
    eprintln!("sabotage: this process has the bug {name} on purpose");
}
