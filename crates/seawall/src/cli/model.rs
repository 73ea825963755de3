//! `model`, `train`, `champion`, `approve`, `promote`: models, what was decided about them, and by whom.

use std::sync::Arc;

use clap::{Args, Subcommand};
use seawall_base::error::Result;
use seawall_base::watch::{Decision, DecisionKind, Evaluation};
use seawall_base::{Error, Instant, SystemClock};
use seawall_catalog::decisions::Proposal;
use seawall_catalog::models::ModelVersion;
use seawall_catalog::policy::Action;
use seawall_pipeline::Pipeline;
use seawall_pipeline::pipeline::Options;
use serde_json::{Value, json};

use crate::assemble::Installation;
use crate::cli::Global;
use crate::client::Running;
use crate::output::{Exit, count, print_json};

/// Models.
#[derive(Debug, Subcommand)]
pub enum Model {
    /// Every declared model with its champion
    #[command(after_help = "Example:\n  seawall model list")]
    List,
    /// Versions, aliases and what a model waits for
    #[command(after_help = "Example:\n  seawall model show fraud")]
    Show {
        /// The model
        name: String,
    },
    /// Every decision with its signal, its reason and what was rejected
    #[command(after_help = "Example:\n  seawall model decisions fraud --output json")]
    Decisions {
        /// The model
        name: String,
    },
    /// The model card of a version, as Markdown
    #[command(after_help = "Example:\n  seawall model card fraud@2 > card.md")]
    Card {
        /// NAME@VERSION; the champion without a version
        model: String,
    },
    /// Build the training set again at its pinned versions, train again, and compare digests
    #[command(after_help = "Example:\n  seawall model reproduce fraud@2\n\nExits with 1 when a digest differs.")]
    Reproduce {
        /// NAME@VERSION; the champion without a version
        model: String,
    },
    /// What the retraining policy would have decided, month by month
    #[command(after_help = "\
Example:
  seawall model months late --from 2014-05-01T00:00:00Z

Trains on everything before --from, then evaluates, detects, decides and retrains at the end of every month.")]
    Months(super::backtest::Months),
    /// What ignoring availability claims, and what it then serves
    #[command(after_help = "\
Example:
  seawall model leak late --from 2014-05-01T00:00:00Z

Trains once on what was known and once on everything (`known: ignore`), and scores what was really served.")]
    Leak(super::backtest::Leak),
}

/// Train a model now.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  seawall train fraud\n\nProposes the new version or holds it back; exits with 1 when the training failed, 4 when approvals are missing."
)]
pub struct Train {
    /// The model
    name: String,
}

/// Who is champion, or was.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  seawall champion fraud --at 2026-04-01T00:00:00Z")]
pub struct Champion {
    /// The model
    name: String,
    /// The present when absent, RFC 3339
    #[arg(long)]
    at: Option<Instant>,
}

/// Approve or refuse what is proposed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall approve                                     lists what waits
  SEAWALL_TOKEN=sw_... seawall approve DEC-3 --reason 'better on every slice'
  seawall approve DEC-3 --reject --reason 'the slice DE is worse'

Who requested a proposal cannot approve it; the approval binds to the hash that is shown.")]
pub struct Approve {
    /// The proposal; lists them when absent
    decision: Option<String>,
    /// Why
    #[arg(long, default_value = "approved on the command line")]
    reason: String,
    /// Refuse instead
    #[arg(long)]
    reject: bool,
}

/// Promote an approved proposal.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  seawall promote DEC-3\n\nThe last approval promotes by itself; this is for a promotion that was cut off."
)]
pub struct Promote {
    /// The proposal
    decision: String,
}

impl Model {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        match self {
            Model::List => list(global).await,
            Model::Show { name } => show(global, name).await,
            Model::Decisions { name } => decisions(global, name).await,
            Model::Card { model } => card(global, model).await,
            Model::Reproduce { model } => reproduce(global, model).await,
            Model::Months(command) => command.run(global).await,
            Model::Leak(command) => command.run(global).await,
        }
    }
}

/// The models of the applied project.
fn declared(active: &seawall_catalog::ActiveProject) -> &[seawall_base::declare::Model] {
    &active.project.models
}

async fn check_declared(installation: &Installation, name: &str) -> Result<()> {
    let active = installation.active().await?;
    if declared(&active).iter().any(|model| model.name == name) {
        return Ok(());
    }
    let known: Vec<&str> = declared(&active).iter().map(|model| model.name.as_str()).collect();
    Err(Error::not_found("SW0836", format!("there is no model {name:?}")).hint(match known.is_empty() {
        true => "declare one with `kind: model`, then apply".to_owned(),
        false => format!("declared models: {}", known.join(", ")),
    }))
}

async fn list(global: &Global) -> Result<Exit> {
    let installation = global.open().await?;
    installation.permit(Action::ReadMetadata, "models").await?;
    let active = installation.active().await?;
    let mut models = Vec::new();
    for model in declared(&active) {
        let aliases = installation.catalog.aliases(&model.name).await?;
        let versions = installation.catalog.model_versions(&model.name).await?;
        models.push(json!({
            "name": model.name, "training_set": model.training_set, "owner": model.owner,
            "aliases": aliases, "versions": versions.len(),
        }));
        if !global.json() {
            let champion =
                aliases.champion.map_or("no champion yet".to_owned(), |version| format!("champion @{version}"));
            let owner = model.owner.as_deref().unwrap_or("nobody");
            println!("{:<20} {champion:<18} {} versions, owned by {owner}", model.name, versions.len());
        }
    }
    if global.json() {
        print_json(&json!({"models": models}))?;
    } else if models.is_empty() {
        println!("the project declares no model; `seawall schema` writes what one may say");
    }
    Ok(Exit::Ok)
}

async fn show(global: &Global, name: &str) -> Result<Exit> {
    let installation = global.open().await?;
    installation.permit(Action::ReadMetadata, name).await?;
    check_declared(&installation, name).await?;
    let catalog = &installation.catalog;
    let aliases = catalog.aliases(name).await?;
    let versions = catalog.model_versions(name).await?;
    let open: Vec<Proposal> =
        catalog.open_proposals().await?.into_iter().filter(|open| open.decision.model == name).collect();
    let last = catalog.decisions(Some(name)).await?.pop();
    if global.json() {
        print_json(&json!({
            "model": name, "aliases": aliases, "versions": versions, "proposals": open, "last_decision": last,
        }))?;
        return Ok(Exit::Ok);
    }
    println!("{name}");
    if versions.is_empty() {
        println!("  not trained yet: `seawall train {name}`, or its policy trains when enough outcomes are final");
    }
    for version in &versions {
        let marks = [(aliases.champion, "champion"), (aliases.challenger, "challenger"), (aliases.former, "former")];
        let marks: Vec<&str> =
            marks.iter().filter(|(one, _)| *one == Some(version.version)).map(|(_, mark)| *mark).collect();
        println!("  @{:<4} {:<22} {}", version.version, marks.join(", "), version_line(version));
    }
    for proposal in &open {
        println!("  {}", proposal_line(proposal));
    }
    if let Some(last) = last {
        println!("  last decision: {}", decision_line(&last));
    }
    Ok(Exit::Ok)
}

fn version_line(version: &ModelVersion) -> String {
    format!(
        "trained {} on {} decisions ({} positive), {}, digest {}",
        day(version.trained_at),
        count(version.rows),
        count(version.positives),
        auc_text(&version.evaluation),
        version.digest.short()
    )
}

fn auc_text(evaluation: &Evaluation) -> String {
    match evaluation.auc() {
        Some(auc) => format!("AUC {:.3} ({:.3} to {:.3})", auc.value, auc.low, auc.high),
        None => "no AUC".to_owned(),
    }
}

pub(super) fn day(at: Instant) -> String {
    at.to_string().chars().take(10).collect()
}

/// A decision in one line.
pub(super) fn decision_line(decision: &Decision) -> String {
    let version = decision.version.map_or(String::new(), |version| format!(" @{version}"));
    format!(
        "{:<7} {}  {:<15} {}{version}: {}",
        decision.id,
        day(decision.at),
        decision.kind.as_str(),
        decision.model,
        decision.reason
    )
}

fn proposal_line(proposal: &Proposal) -> String {
    let decision = &proposal.decision;
    let given: Vec<String> = proposal.given.iter().map(|one| format!("{} ({})", one.principal, one.fills)).collect();
    format!(
        "{} proposes {}@{}: approved by {}; waits for {}; binds {}",
        decision.id,
        decision.model,
        decision.version.unwrap_or(0),
        if given.is_empty() { "nobody".to_owned() } else { given.join(", ") },
        if proposal.missing.is_empty() { "nobody".to_owned() } else { proposal.missing.join(", ") },
        decision.binds.short()
    )
}

async fn decisions(global: &Global, name: &str) -> Result<Exit> {
    let installation = global.open().await?;
    installation.permit(Action::ReadMetadata, name).await?;
    check_declared(&installation, name).await?;
    let decisions = installation.catalog.decisions(Some(name)).await?;
    if global.json() {
        print_json(&json!({"model": name, "decisions": decisions}))?;
        return Ok(Exit::Ok);
    }
    if decisions.is_empty() {
        println!("nothing was decided about {name} yet");
    }
    for decision in &decisions {
        print_decision(decision);
    }
    Ok(Exit::Ok)
}

/// A decision with its signal, comparison and what was rejected.
pub(super) fn print_decision(decision: &Decision) {
    println!("{}", decision_line(decision));
    if let Some(signal) = decision.trigger.as_ref().and_then(|trigger| trigger.signal.as_ref()) {
        let interval = signal.interval.map_or(String::new(), |(low, high)| format!(" ({low:.3} to {high:.3})"));
        println!("          signal: {} {:.3}{interval}, limit {:.3}", signal.metric, signal.value, signal.limit);
    }
    if let Some(comparison) = &decision.comparison {
        println!(
            "          champion {}; challenger {}; on {} decisions from {} to {}",
            auc_text(&comparison.champion),
            auc_text(&comparison.challenger),
            count(comparison.challenger.rows),
            day(comparison.window.from),
            day(comparison.window.to)
        );
    }
    for rejected in &decision.rejected {
        println!("          not {}: {}", rejected.what, rejected.why);
    }
}

async fn named_version(installation: &Installation, text: &str) -> Result<(String, u32)> {
    if let Some((name, version)) = text.split_once('@') {
        let version = version.parse().map_err(|_| {
            Error::invalid("SW0847", format!("{text:?} is not NAME@VERSION")).hint("write for example fraud@2")
        })?;
        check_declared(installation, name).await?;
        return Ok((name.to_owned(), version));
    }
    check_declared(installation, text).await?;
    let champion = installation.catalog.aliases(text).await?.champion.ok_or_else(|| {
        Error::not_found("SW0834", format!("model {text:?} has no champion yet")).hint("name a version: NAME@VERSION")
    })?;
    Ok((text.to_owned(), champion))
}

async fn card(global: &Global, model: &str) -> Result<Exit> {
    let installation = global.open().await?;
    installation.permit(Action::ReadMetadata, model).await?;
    let (name, version) = named_version(&installation, model).await?;
    match global.json() {
        true => print_json(&installation.catalog.model_card(&name, version).await?)?,
        false => println!("{}", installation.catalog.model_card_text(&name, version).await?),
    }
    Ok(Exit::Ok)
}

async fn reproduce(global: &Global, model: &str) -> Result<Exit> {
    let installation = global.open().await?;
    let (name, version) = named_version(&installation, model).await?;
    let answer = match Running::find(&installation.settings.data) {
        Some(running) => {
            running.post(&format!("/v1/models/{name}/versions/{version}/reproduce"), "application/json", b"")?
        }
        None => {
            let permit = installation.permit(Action::TrainModel, &name).await?;
            let pipeline = started(&installation).await?;
            let reproduced = pipeline.reproduce(&permit, &name, version).await?;
            pipeline.stop().await?;
            as_value(&reproduced)?
        }
    };
    let same = answer["digest_kept"] == answer["digest_rebuilt"] && answer["content_kept"] == answer["content_rebuilt"];
    if global.json() {
        let mut answer = answer;
        answer["same"] = json!(same);
        print_json(&answer)?;
    } else {
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        println!("{name}@{version}");
        println!("  training set   kept {}   built again   {}", text("content_kept"), text("content_rebuilt"));
        println!("  model          kept {}   trained again {}", text("digest_kept"), text("digest_rebuilt"));
        println!("{}", if same { "the same, bit for bit" } else { "NOT the same" });
    }
    Ok(if same { Exit::Ok } else { Exit::Breach })
}

pub(super) async fn started(installation: &Installation) -> Result<Pipeline> {
    installation.start(Arc::new(SystemClock), Options::default()).await
}

fn as_value<T: serde::Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| Error::internal("SW0893", "cannot encode the answer").because(e))
}

impl Train {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        check_declared(&installation, &self.name).await?;
        let attempt = match Running::find(&installation.settings.data) {
            Some(running) => running.post(&format!("/v1/models/{}/train", self.name), "application/json", b"")?,
            None => {
                installation.permit(Action::TrainModel, &self.name).await?;
                let pipeline = started(&installation).await?;
                let attempt = pipeline.train_by_hand(&installation.principal().await?, &self.name).await?;
                pipeline.stop().await?;
                as_value(&attempt)?
            }
        };
        let decision: Decision = serde_json::from_value(attempt["decision"].clone())
            .map_err(|e| Error::internal("SW0893", "cannot read the decision").because(e))?;
        let waits = installation.catalog.open_proposals().await?.iter().any(|open| open.decision.id == decision.id);
        match global.json() {
            true => print_json(&attempt)?,
            false => {
                print_decision(&decision);
                if waits {
                    println!("          waits for approvals: `seawall approve {}`", decision.id);
                }
            }
        }
        Ok(match decision.kind {
            DecisionKind::TrainingFailed => Exit::Breach,
            _ if waits => Exit::Waiting,
            _ => Exit::Ok,
        })
    }
}

impl Champion {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        installation.permit(Action::ReadMetadata, &self.name).await?;
        check_declared(&installation, &self.name).await?;
        let aliases = installation.catalog.aliases(&self.name).await?;
        let at = self.at.or(aliases.champion_since).unwrap_or(Instant::MAX);
        let reign = installation.catalog.champion_at(&self.name, at).await?;
        if global.json() {
            print_json(&json!({"model": self.name, "at": self.at.map(|at| at.to_string()), "champion": reign}))?;
            return Ok(Exit::Ok);
        }
        let Some(reign) = reign else {
            println!("{} had no champion then", self.name);
            return Ok(Exit::Ok);
        };
        let until = reign.until.map_or("now".to_owned(), |until| until.to_string());
        println!("{}@{} from {} to {until}", self.name, reign.version, reign.from);
        print_decision(&reign.decision);
        if let Some(proposal) = &reign.proposal {
            print_decision(proposal);
        }
        for approval in &reign.approvals {
            println!("          approved by {} as {}: {}", approval.principal, approval.fills, approval.reason);
        }
        Ok(Exit::Ok)
    }
}

impl Approve {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let Some(id) = &self.decision else { return self.list(global, &installation).await };
        let open = installation.catalog.open_proposals().await?;
        let proposal = open.into_iter().find(|proposal| proposal.decision.id == *id).ok_or_else(|| {
            Error::not_found("SW0848", format!("{id} is no open proposal")).hint("`seawall approve` lists what waits")
        })?;
        let answer = match (Running::find(&installation.settings.data), self.reject) {
            (Some(running), false) => {
                let body = json!({"binds": proposal.decision.binds, "reason": self.reason}).to_string();
                running.post(&format!("/v1/decisions/{id}/approve"), "application/json", body.as_bytes())?
            }
            (Some(running), true) => {
                let body = json!({"reason": self.reason}).to_string();
                running.post(&format!("/v1/decisions/{id}/reject"), "application/json", body.as_bytes())?
            }
            (None, reject) => self.decide_here(&installation, &proposal, reject).await?,
        };
        if global.json() {
            print_json(&answer)?;
        } else if self.reject {
            println!("{id} is refused: {}", self.reason);
        } else if answer["complete"] == json!(true) {
            println!(
                "{id} is approved; {}@{} is champion",
                proposal.decision.model,
                proposal.decision.version.unwrap_or(0)
            );
        } else {
            println!("{id} still waits for {}", answer["proposal"]["missing"]);
        }
        Ok(if !self.reject && answer["complete"] != json!(true) { Exit::Waiting } else { Exit::Ok })
    }

    async fn decide_here(&self, installation: &Installation, proposal: &Proposal, reject: bool) -> Result<Value> {
        let catalog = &installation.catalog;
        let (id, binds) = (&proposal.decision.id, proposal.decision.binds);
        let principal = installation.principal().await?;
        let permit = installation.permit(Action::ApproveDecision, id).await?;
        if reject {
            return as_value(&catalog.reject(&permit, &principal, id, &self.reason).await?);
        }
        let state = catalog.approve(&permit, &principal, &principal.groups, id, binds, &self.reason).await?;
        let promoted = match state.complete {
            true => {
                let permit = catalog.system_permit(Action::PromoteModel, id);
                Some(catalog.promote(&permit, id, seawall_base::Clock::now(&SystemClock)).await?)
            }
            false => None,
        };
        Ok(json!({"proposal": state.proposal, "complete": state.complete, "promoted": promoted}))
    }

    async fn list(&self, global: &Global, installation: &Installation) -> Result<Exit> {
        installation.permit(Action::ReadMetadata, "proposals").await?;
        let open = installation.catalog.open_proposals().await?;
        if global.json() {
            print_json(&json!({"proposals": open}))?;
        } else if open.is_empty() {
            println!("nothing waits for an approval");
        } else {
            for proposal in &open {
                println!("{}", proposal_line(proposal));
                print_decision(&proposal.decision);
            }
        }
        Ok(Exit::Ok)
    }
}

impl Promote {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let permit = installation.permit(Action::PromoteModel, &self.decision).await?;
        let now = seawall_base::Clock::now(&SystemClock);
        let decision = installation.catalog.promote(&permit, &self.decision, now).await?;
        match global.json() {
            true => print_json(&json!({"promoted": decision}))?,
            false => print_decision(&decision),
        }
        Ok(Exit::Ok)
    }
}
