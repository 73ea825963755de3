//! `explain`: what an error code means, and what a prediction rests on.

use std::path::PathBuf;

use clap::Args;
use seawall_base::Error;
use seawall_base::error::Result;
use seawall_catalog::policy::Action;
use seawall_catalog::project;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::cli::model::started;
use crate::client::Running;
use crate::output::{Exit, print_json};

/// Explain an error code, or a prediction.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall explain SW0202
  seawall explain prediction p-0123456789abcdef
  seawall explain prediction p-0123456789abcdef --certificate proof.json")]
pub struct Explain {
    /// An error code, or `prediction`
    what: String,
    /// The prediction's id
    id: Option<String>,
    /// Write the account as a signed certificate, which `seawall verify certificate` checks offline
    #[arg(long, value_name = "FILE", requires = "id")]
    certificate: Option<PathBuf>,
}

impl Explain {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        match (self.what.as_str(), &self.id) {
            ("prediction", Some(id)) => self.prediction(global, id).await,
            ("prediction", None) => Err(Error::invalid("SW0835", "no prediction is named")
                .hint("`seawall query \"select prediction_id from MODEL__predictions limit 5\"` lists some")),
            (code, _) => explain_code(global, code),
        }
    }

    async fn prediction(&self, global: &Global, id: &str) -> Result<Exit> {
        let installation = global.open().await?;
        let answer = match Running::find(&installation.settings.data) {
            Some(running) => running.get(&format!("/v1/predictions/{id}"))?,
            None => {
                let permit = installation.permit(Action::ReadRows, id).await?;
                let pipeline = started(&installation).await?;
                let account = pipeline.account_of(&permit, id).await;
                pipeline.stop().await?;
                let account = account?;
                let permit = installation.permit(Action::ReadRows, id).await?;
                let certificate = installation.catalog.decision_certificate(&permit, account.records.clone()).await?;
                json!({"account": account, "certificate": certificate})
            }
        };
        if let Some(file) = &self.certificate {
            let text = serde_json::to_string_pretty(&answer["certificate"])
                .map_err(|e| Error::internal("SW0893", "cannot encode the certificate").because(e))?;
            std::fs::write(file, text)?;
        }
        match global.json() {
            true => print_json(&answer["account"])?,
            false => print_account(&answer["account"]),
        }
        if let Some(file) = &self.certificate {
            eprintln!("certificate written to {}; check it with `seawall verify certificate`", file.display());
        }
        Ok(Exit::Ok)
    }
}

fn explain_code(global: &Global, code: &str) -> Result<Exit> {
    let code = code.to_ascii_uppercase();
    let text = project::explain(&code).ok_or_else(|| {
        Error::not_found("SW0903", format!("there is no error code {code:?}"))
            .hint("codes read SW and four digits; every error prints its own")
    })?;
    match global.json() {
        true => print_json(&json!({"code": code, "text": text}))?,
        false => println!("{}", text.trim_end()),
    }
    Ok(Exit::Ok)
}

fn print_account(account: &Value) {
    let record = |name: &str| {
        let records = account["records"].as_array().into_iter().flatten();
        records.clone().find(|pair| pair[0] == name).map_or(&Value::Null, |pair| &pair[1])
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let prediction = record("prediction");
    println!(
        "{} by {}@{}",
        text(&account["prediction_id"]),
        text(&account["model"]),
        text(&prediction["model_version"])
    );
    println!("  at {}, knowing what was available before {}", text(&prediction["_at"]), text(&prediction["_known_at"]));
    println!("  probability {}  ({})", text(&prediction["probability"]), text(&prediction["status"]));
    println!("  reasons {}", text(&prediction["reasons"]));
    println!("\ninputs");
    for feature in record("features").as_array().into_iter().flatten() {
        let of = match feature["reads"].as_array() {
            Some(reads) => reads.iter().map(text).collect::<Vec<_>>().join(", "),
            None => format!("{} events", feature["events"]),
        };
        println!("  {:<28} {:<20} of {of}", text(&feature["feature"]), text(&feature["value"]));
        for event in feature["first_events"].as_array().into_iter().flatten().take(3) {
            println!(
                "      {}:{}  {}  {}",
                event["row"]["partition"],
                event["row"]["offset"],
                text(&event["event_time"]),
                text(&event["value"])
            );
        }
    }
    let version = record("model_version");
    println!("\nmodel {}@{}  digest {}", text(&version["model"]), version["version"], text(&version["digest"]));
    println!(
        "  trained {} on {} decisions; training set content {} at revision {}",
        text(&version["trained_at"]),
        version["rows"],
        text(&version["fingerprint"]["content"]),
        text(&version["fingerprint"]["revision"])
    );
    let decision = record("decision");
    println!("\nchampion since {}", text(&decision["since"]));
    println!("  {}: {}", text(&decision["proposed_by"]["id"]), text(&decision["proposed_by"]["reason"]));
    println!("  policy {}", text(&decision["promoted_by"]["policy"]));
    for approval in decision["approvals"].as_array().into_iter().flatten() {
        println!(
            "  approved by {} as {}: {}",
            text(&approval["principal"]),
            text(&approval["fills"]),
            text(&approval["reason"])
        );
    }
}
