//! The skew certificate: signed claims that verify without Seawall's data.

use seawall_base::engine::PinnedInput;
use seawall_base::error::Result;
use seawall_base::{Error, Hash, Instant};
use seawall_catalog::{Catalog, signing};
use serde::{Deserialize, Serialize};

use super::SkewReport;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// `skew`.
    pub kind: String,
    /// Version of this format.
    pub version: u32,
    /// The training set, or the feature service as `NAME@VERSION`.
    pub training_set: String,
    /// Revision of the project.
    pub revision: String,
    /// Hash of the training set and its feature views.
    pub definition: Hash,
    /// Version of the aggregation core.
    pub core_version: u32,
    /// When it was made, on the pipeline's clock.
    pub made_at: Instant,
    /// Tables read, with versions and cuts; the recorded vectors first.
    pub inputs: Vec<PinnedInput>,
    /// Content hash of the training set compared with; a feature service has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_content: Option<Hash>,
    /// Content hash of the recorded feature values.
    pub served_content: Hash,
    /// Content hash of the refolded feature values; equal to `served_content` exactly when no bit differs.
    pub refolded_content: Hash,
    /// The counts.
    pub report: SkewReport,
}

/// Claims with an Ed25519 signature over their compact JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// What is claimed.
    pub claims: Claims,
    /// Hexadecimal public key of the installation that signed.
    pub public_key: String,
    /// Hexadecimal signature.
    pub signature: String,
}

impl Certificate {
    pub(super) fn sign(claims: Claims, catalog: &Catalog) -> Result<Certificate> {
        let key = catalog.signing_key()?;
        let signature = key.sign(&signed_bytes(&claims)?);
        Ok(Certificate { claims, public_key: signing::hex(key.public_key()), signature: signing::hex(&signature) })
    }
}

/// Checks a certificate offline: the signature, that counts and content hashes agree, and, when given, that it was
/// signed by `expected_key` (hexadecimal). Says what is wrong.
pub fn verify_certificate(certificate: &Certificate, expected_key: Option<&str>) -> Result<()> {
    let forged = |what: &str| {
        Error::corrupt("SW0861", format!("the certificate does not verify: {what}"))
            .hint("ask its issuer for the original file and for the installation's public key")
    };
    if expected_key.is_some_and(|key| !key.eq_ignore_ascii_case(&certificate.public_key)) {
        return Err(forged("another key signed it"));
    }
    let public_key = signing::unhex(&certificate.public_key)?;
    let signature = signing::unhex(&certificate.signature)?;
    let signed = signed_bytes(&certificate.claims)?;
    signing::verify_signature(&public_key, &signed, &signature)
        .map_err(|error| forged("its signature does not fit its claims").because(error))?;
    let claims = &certificate.claims;
    let equal = claims.served_content == claims.refolded_content;
    if equal != claims.report.holds() {
        return Err(forged("its counts contradict its content hashes"));
    }
    if claims.report.mismatched > claims.report.replayed
        || claims.report.parity_differing > claims.report.parity_compared
    {
        return Err(forged("its counts contradict each other"));
    }
    Ok(())
}

fn signed_bytes(claims: &Claims) -> Result<Vec<u8>> {
    serde_json::to_vec(claims).map_err(|e| Error::internal("SW0801", "cannot encode claims").because(e))
}
