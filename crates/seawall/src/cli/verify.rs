//! `verify`: the proofs of no skew, certificates checked offline, and the check of the data.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Instant, SystemClock};
use seawall_catalog::certificate::{
    is_decision_certificate, verify_decision_certificate, verify_decision_certificate_of,
};
use seawall_catalog::policy::Action;
use seawall_pipeline::pipeline::Options;
use seawall_pipeline::verify::{Certificate, SkewReport, verify_certificate};
use serde_json::json;

use crate::cli::Global;
use crate::output::{Exit, count, print_json, report};

/// Proofs.
#[derive(Debug, Subcommand)]
pub enum Verify {
    /// Refold every served vector from the lake and compare bits; compare with today's training rows
    #[command(after_help = "\
Examples:
  seawall verify skew fraud --certificate fraud.certificate.json
  seawall verify skew fraud@1

Of a feature service every recorded vector is refolded; there are no training rows to compare with.")]
    Skew {
        /// The training set, or a feature service as NAME@VERSION; every one that records when absent
        training_set: Option<String>,
        /// Write the certificate to this file (with one training set)
        #[arg(long, value_name = "FILE", requires = "training_set")]
        certificate: Option<PathBuf>,
        /// Build the training rows compared with as of this instant, RFC 3339
        #[arg(long)]
        at: Option<Instant>,
    },
    /// Check every file that was kept: log, tables, catalog, features, models; 1 when something is damaged
    #[command(after_help = "\
Examples:
  seawall -C shop verify data
  seawall --data-dir /srv/shop verify data --output json
  seawall --data-dir /srv/shop verify data --again < requests    one line of JSON per line that comes

Nothing is changed. A server may run on the folder, or none; the project's declarations are not needed.")]
    Data {
        /// Check again for every line on standard input, answer each with one line of JSON, and end with the input
        #[arg(long)]
        again: bool,
    },
    /// Check a certificate without any data
    #[command(after_help = "Example:\n  seawall verify certificate fraud.certificate.json --key 9f3c...")]
    Certificate {
        /// The file
        file: PathBuf,
        /// Public key of the installation that must have signed it, hexadecimal
        #[arg(long)]
        key: Option<String>,
    },
}

impl Verify {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        match self {
            Verify::Skew { training_set, certificate, at } => {
                skew(global, training_set.as_deref(), certificate.as_ref(), *at).await
            }
            Verify::Data { again: false } => super::verify_data::run(global).await,
            Verify::Data { again: true } => super::verify_data::again(global).await,
            Verify::Certificate { file, key } => check_certificate(global, file, key.as_deref()),
        }
    }
}

async fn skew(global: &Global, only: Option<&str>, file: Option<&PathBuf>, at: Option<Instant>) -> Result<Exit> {
    let installation = global.open().await?;
    // Policies speak of a service by its name, whichever version is verified.
    let resource = only.map_or("*", |text| text.split_once('@').map_or(text, |(name, _)| name));
    let permit = installation.permit(Action::VerifySkew, resource).await?;
    let pipeline = installation.start(Arc::new(SystemClock), Options::default()).await?;
    let names = match only {
        Some(name) => vec![name.to_owned()],
        None => {
            let revision = pipeline.revision();
            let services = revision.services.values().filter(|service| !service.service.log.is_none());
            let services = services.map(|service| service.service.id().to_string());
            revision.training_set_names().into_iter().chain(services).collect()
        }
    };
    let mut total = SkewReport::default();
    let mut certificates = Vec::new();
    for name in names {
        let verified = match name.contains('@') {
            true => pipeline.verify_service(&permit, &name).await?,
            false => pipeline.verify_skew_as_of(&permit, &name, at).await?,
        };
        total.add(&verified.total);
        certificates.push(verified.certificate);
    }
    pipeline.stop().await?;
    if let (Some(file), Some(certificate)) = (file, certificates.first()) {
        let text = serde_json::to_string_pretty(certificate)
            .map_err(|e| Error::internal("SW0801", "cannot encode a certificate").because(e))?;
        std::fs::write(file, text + "\n")?;
    }
    if global.json() {
        print_json(&json!({"skew": total, "certificates": certificates}))?;
    } else {
        println!("replay: {} vectors refolded, {} mismatched", count(total.replayed), count(total.mismatched));
        println!("parity: {} compared, {} differing", count(total.parity_compared), count(total.parity_differing));
        for (cause, vectors) in &total.parity_causes {
            println!("  {cause}: {}", count(*vectors));
        }
        println!(
            "{} erased, {} unrecorded, {} under other definitions",
            count(total.erased),
            count(total.unrecorded),
            count(total.other_definition)
        );
        for certificate in &certificates {
            println!("certificate for {} signed by {}", certificate.claims.training_set, certificate.public_key);
        }
    }
    Ok(if total.holds() { Exit::Ok } else { Exit::Breach })
}

fn check_certificate(global: &Global, file: &PathBuf, key: Option<&str>) -> Result<Exit> {
    let bytes = std::fs::read(file)
        .map_err(|e| Error::not_found("SW0907", format!("cannot read {}", file.display())).because(e))?;
    if is_decision_certificate(&bytes) {
        return check_decision(global, &bytes, key);
    }
    let certificate: Certificate = serde_json::from_slice(&bytes)
        .map_err(|e| Error::corrupt("SW0861", "the file is not a skew certificate").because(e))?;
    verify_certificate(&certificate, key)?;
    let claims = &certificate.claims;
    if global.json() {
        print_json(&json!({"valid": true, "signed_by": certificate.public_key, "claims": claims}))?;
        return Ok(Exit::Ok);
    }
    println!("the certificate is intact, signed by {}", certificate.public_key);
    println!(
        "{} at {}: {} served vectors refolded, {} mismatched; {} compared with training rows, {} differing",
        claims.training_set,
        claims.made_at,
        count(claims.report.replayed),
        count(claims.report.mismatched),
        count(claims.report.parity_compared),
        count(claims.report.parity_differing)
    );
    if key.is_none() {
        println!("note: compare the key with the installation's own; --key does it here");
    }
    Ok(Exit::Ok)
}

/// Checks the certificate of a prediction's account; one that does not hold is a breach that names the record.
fn check_decision(global: &Global, bytes: &[u8], key: Option<&str>) -> Result<Exit> {
    let checked = match key {
        Some(key) => verify_decision_certificate_of(bytes, key),
        None => verify_decision_certificate(bytes),
    };
    let records = match checked {
        Ok(records) => records,
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            report(&error, global.output);
            return Ok(Exit::Breach);
        }
        Err(error) => return Err(error),
    };
    let certificate: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|e| Error::corrupt("SW0861", "the file is not a certificate").because(e))?;
    let signer = certificate["public_key"].as_str().unwrap_or_default();
    if global.json() {
        print_json(&json!({"valid": true, "signed_by": signer, "records": records}))?;
        return Ok(Exit::Ok);
    }
    println!("the certificate is intact, signed by {signer}");
    for record in &records {
        println!("  {record}: as it was signed");
    }
    if key.is_none() {
        println!("note: compare the key with the installation's own; --key does it here");
    }
    Ok(Exit::Ok)
}
