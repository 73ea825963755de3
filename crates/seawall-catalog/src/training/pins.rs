//! Versions of tables that something on record is bound to, and that must stay readable.

use std::collections::{BTreeMap, BTreeSet};

use seawall_base::engine::PinnedInput;
use seawall_base::{Error, Result, TableName, TableVersion};
use serde_json::Value;

use super::{all_builds, all_certificates};
use crate::catalog::Catalog;

/// Pinned versions by table.
pub type Pins = BTreeMap<String, BTreeSet<TableVersion>>;

impl Catalog {
    /// The versions that built training sets hold or were made of, and those that certificates vouch for. A record that
    /// cannot be read is an error: what it pins would be given up.
    pub async fn pinned_versions(&self) -> Result<Pins> {
        let mut reader = self.read().await?;
        let mut pins = Pins::new();
        for build in all_builds(&mut reader).await? {
            let own = TableName::training_set(&build.name)?;
            pins.entry(own.as_str().to_owned()).or_default().insert(build.table_version);
            add_inputs(&mut pins, build.fingerprint.inputs);
        }
        for certificate in all_certificates(&mut reader).await? {
            let claims = certificate.body.get("claims").unwrap_or(&certificate.body);
            add_inputs(&mut pins, certified_inputs(claims, &certificate.kind)?);
        }
        Ok(pins)
    }
}

fn add_inputs(pins: &mut Pins, inputs: Vec<PinnedInput>) {
    for input in inputs {
        pins.entry(input.table).or_default().insert(input.version);
    }
}

/// The inputs that a certificate names; none when its kind has none.
fn certified_inputs(claims: &Value, kind: &str) -> Result<Vec<PinnedInput>> {
    let Some(inputs) = claims.get("inputs") else { return Ok(Vec::new()) };
    serde_json::from_value(inputs.clone()).map_err(|e| {
        Error::corrupt("SW0672", format!("the inputs of a certificate of kind {kind} cannot be read")).because(e)
    })
}
