//! Parity: builds and runs the fuzzer of served values, `seawall-parity` in `sim/`.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

/// Runs it with `arguments`; its JSON goes to standard output, and it exits with 1 when a value differs.
pub fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let line = ["run", "--quiet", "--release", "-p", "seawall-sim", "--bin", "seawall-parity", "--"];
    let status = Command::new(cargo).current_dir(root).args(line).args(arguments).status();
    let status = status.context("running cargo")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
