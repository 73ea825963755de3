//! `model months` and `model leak`: the policy run over history, and what a leak is worth.

use clap::Args;
use seawall_base::Instant;
use seawall_base::error::Result;
use seawall_base::watch::Estimate;
use seawall_catalog::policy::Action;
use serde_json::json;

use crate::cli::Global;
use crate::cli::model::started;
use crate::output::{Exit, count, print_json};
use crate::progress::Bar;

/// The policy, month by month.
#[derive(Debug, Args)]
pub struct Months {
    /// The model
    name: String,
    /// Decisions before this instant make the first champion, RFC 3339
    #[arg(long)]
    from: Instant,
}

/// The leak table.
#[derive(Debug, Args)]
pub struct Leak {
    /// The model
    name: String,
    /// Decisions before this instant are learned from, the others are held out, RFC 3339
    #[arg(long)]
    from: Instant,
}

impl Months {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let permit = installation.permit(Action::TrainModel, &self.name).await?;
        let pipeline = started(&installation).await?;
        let bar = Bar::new("months");
        let on_progress = |month: &str| bar.says(month);
        let test = pipeline.backtest(&permit, &self.name, self.from, &on_progress).await;
        bar.done();
        pipeline.stop().await?;
        let test = test?;
        if global.json() {
            print_json(&test)?;
            return Ok(Exit::Ok);
        }
        println!("{}: first champion from decisions before {}", test.model, test.from);
        println!("{:<9} {:>8}  {:<24} {:<24} decision", "month", "rows", "champion", "challenger");
        for (month, decision) in test.months.iter().zip(test.decisions.iter().skip(1)) {
            println!(
                "{:<9} {:>8}  {:<24} {:<24} {}: {}",
                month.month,
                count(month.rows),
                auc(month.auc_champion),
                auc(month.auc_challenger),
                decision.decision.as_str(),
                decision.reason
            );
            for rejected in &decision.rejected {
                println!("{:>20} not {}: {}", "", rejected.what, rejected.why);
            }
        }
        Ok(Exit::Ok)
    }
}

fn auc(estimate: Option<Estimate>) -> String {
    estimate.map_or("-".to_owned(), |auc| format!("{:.4} ({:.4}-{:.4})", auc.value, auc.low, auc.high))
}

impl Leak {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let permit = installation.permit(Action::TrainModel, &self.name).await?;
        let pipeline = started(&installation).await?;
        let table = pipeline.leak_table(&permit, &self.name, self.from).await;
        pipeline.stop().await?;
        let table = table?;
        if global.json() {
            print_json(&json!({"model": self.name, "leak": table}))?;
            return Ok(Exit::Ok);
        }
        println!("{:<10} {:>10} {:>10} {:>12} {:>10}", "known", "claimed", "served", "difference", "decisions");
        for line in &table {
            println!(
                "{:<10} {:>10.4} {:>10.4} {:>12.4} {:>10}",
                line.known,
                line.claimed,
                line.served,
                line.served - line.claimed,
                count(line.rows)
            );
        }
        println!(
            "claimed: AUC on the hold-out of its own training set; served: the same model on the vectors really served"
        );
        Ok(Exit::Ok)
    }
}
