//! `quality`: how good what came in was, over time, and which rules it broke.

use clap::{Args, ValueEnum};
use seawall_base::error::Result;
use seawall_base::{Clock, Error, Span, SystemClock};
use seawall_catalog::policy::Action;
use seawall_catalog::{PeriodQuality, RuleFailures, TABLE_MODE};
use seawall_server::http::{QUALITY_LAST_DEFAULT, quality_json};
use serde_json::json;

use crate::assemble::datasets_of;
use crate::cli::Global;
use crate::output::{Exit, count, print_json};

/// Rules told per period in text, the most broken first; JSON has all.
const RULES_TOLD: usize = 3;

/// Quality over time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall quality
  seawall quality payments --by hour --last 2d
  seawall query \"select hour, score from system.quality_scores where dataset = 'payments' order by hour\"")]
pub struct Quality {
    /// Only this dataset
    dataset: Option<String>,
    /// Length of a period
    #[arg(long, value_enum, default_value = "day")]
    by: By,
    /// How far back, for example 36h or 30d
    #[arg(long, value_name = "SPAN", default_value_t = QUALITY_LAST_DEFAULT)]
    last: Span,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Hour,
    Day,
}

impl Quality {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let of = self.dataset.as_deref();
        installation.permit(Action::ReadMetadata, of.unwrap_or("quality")).await?;
        let active = installation.active().await?;
        if let Some(name) = of {
            let datasets = datasets_of(&active.project.contracts);
            if !datasets.iter().any(|dataset| dataset.name == name) {
                let known: Vec<String> = datasets.into_iter().map(|dataset| dataset.name).collect();
                return Err(Error::not_found("SW0813", format!("there is no dataset {name:?}"))
                    .hint(format!("the datasets are {}", known.join(", "))));
            }
        }
        let step = match self.by {
            By::Hour => Span::HOUR,
            By::Day => Span::DAY,
        };
        let from = (SystemClock.now() - self.last).floor(step);
        let hours = installation.catalog.quality_over_time(of, from).await?;
        let periods = PeriodQuality::merge(hours, step)?;
        if global.json() {
            print_json(&json!({"periods": periods.iter().map(quality_json).collect::<Vec<_>>()}))?;
        } else {
            print(&periods, self.last);
        }
        Ok(Exit::Ok)
    }
}

fn print(periods: &[PeriodQuality], last: Span) {
    if periods.is_empty() {
        println!("no row came in within {last}; look further back with --last");
        return;
    }
    let wide = periods.iter().map(|period| period.dataset.len()).max().unwrap_or_default().max("dataset".len());
    println!("{:<wide$}  {:<20}  {:>14}  {:>8}  broken most", "dataset", "from", "received", "good");
    for period in periods {
        let good = period.score().map_or_else(|| "-".to_owned(), percent);
        let from = period.from.to_string();
        println!(
            "{:<wide$}  {from:<20}  {:>14}  {good:>8}  {}",
            period.dataset,
            count(period.counts.received),
            broken(period)
        );
    }
}

/// A share in percent; never 100 % while a row failed.
fn percent(share: f64) -> String {
    let rounded = format!("{:.2} %", share * 100.0);
    if share < 1.0 && rounded.starts_with("100") { "<100 %".to_owned() } else { rounded }
}

/// The most broken rules of a period.
fn broken(period: &PeriodQuality) -> String {
    let mut rules: Vec<&RuleFailures> = period.rules.iter().filter(|rule| rule.rows > 0).collect();
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.rows));
    let more = rules.len().saturating_sub(RULES_TOLD);
    let told = rules.into_iter().take(RULES_TOLD).map(|rule| {
        let about =
            rule.column.as_deref().map_or_else(|| rule.rule.clone(), |column| format!("{} {column}", rule.rule));
        match rule.mode.as_str() {
            TABLE_MODE => format!("{about} (table)"),
            mode => format!("{about} {} ({mode})", count(rule.rows)),
        }
    });
    let mut told: Vec<String> = told.collect();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told.join(", ")
}
