//! `quarantine`: rows that the gate stopped; looked at, mended, released or discarded.
//!
//! Looking needs no pipeline and goes on beside a running server. Letting rows leave is decided by whoever runs the
//! pipeline: the server, or this process while none runs.

use std::sync::Arc;

use clap::{Args, Subcommand};
use seawall_base::error::Result;
use seawall_base::{Error, RowId, SystemClock};
use seawall_catalog::DepartureRecord;
use seawall_catalog::policy::Action;
use seawall_pipeline::Pipeline;
use seawall_pipeline::pipeline::Options;
use seawall_pipeline::quarantine::Window;
use seawall_pipeline::quarantine::look::Shown;
use seawall_server::App;
use seawall_server::auth::Access;
use seawall_server::http::json_rows;
use serde_json::{Map, Value, json};

use crate::assemble::Installation;
use crate::cli::Global;
use crate::client::Running;
use crate::output::{Exit, count, print_json};

/// Rows that left which are told one by one; of more only their number is.
const ROWS_TOLD_MAX: usize = 50;

/// Rows that the gate stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  seawall quarantine list payments --rule maximum
  seawall quarantine show payments 0:17
  seawall quarantine release payments 0:17 --reason 'the bound was wrong'")]
pub struct Quarantine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The rows that are in quarantine, newest first, with their reasons
    #[command(after_help = "Example:\n  seawall quarantine list payments --rule maximum --limit 20")]
    List {
        /// The dataset
        dataset: String,
        /// Rows shown at most
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Only rows that break this rule
        #[arg(long)]
        rule: Option<String>,
    },
    /// One row: every reason with value, limit and remedy, the row as it came, and whether it left
    #[command(after_help = "Example:\n  seawall quarantine show payments 0:17")]
    Show {
        /// The dataset
        dataset: String,
        /// The row, PARTITION:OFFSET
        row: RowId,
    },
    /// Give values to rows and let them into the table, if the gate lets them
    #[command(after_help = "\
Examples:
  seawall quarantine fix payments 0:17 --set amount=499.9 --reason 'cents were sent for euros'
  seawall quarantine fix payments --all --rule enum --set channel=web --reason 'renamed by the producer'
  seawall quarantine fix payments 0:18 --row '{\"payment_id\": \"p9\", \"amount\": 5}' --reason 'the line was cut off'

A value is JSON; what is no JSON is text: --set id='\"5\"' is the text 5, --set note=null takes the value away.")]
    Fix(Fix),
    /// Let rows into the table, if the gate of today's contract lets them
    #[command(after_help = "\
Examples:
  seawall quarantine release payments 0:17 0:18 --reason 'the bound was wrong'
  seawall quarantine release payments --all --rule maximum --dry-run

A released row is available from its release on. Rows that the gate stops again stay, and exit code 1 tells.")]
    Release(Leave),
    /// Give rows up: they leave the quarantine for ever, with a record of who and why
    #[command(after_help = "Example:\n  seawall quarantine discard payments 0:17 --reason 'sent by a test'")]
    Discard(Leave),
    /// What left: who let it, when and why
    #[command(after_help = "Example:\n  seawall quarantine history payments --output json")]
    History {
        /// The dataset
        dataset: String,
    },
    /// Let a halted dataset go on
    #[command(after_help = "Example:\n  seawall quarantine resume payments")]
    Resume {
        /// The dataset
        dataset: String,
    },
}

/// Which rows leave, and why.
#[derive(Debug, Args)]
struct Leave {
    /// The dataset
    dataset: String,
    /// The rows, PARTITION:OFFSET
    rows: Vec<RowId>,
    /// Every row that is in quarantine
    #[arg(long, conflicts_with = "rows")]
    all: bool,
    /// With --all: only rows that break this rule
    #[arg(long, requires = "all")]
    rule: Option<String>,
    /// Why; kept with the record
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Tell what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct Fix {
    #[command(flatten)]
    leave: Leave,
    /// COLUMN=VALUE, for each column to mend
    #[arg(long, value_parser = super::name_and_value, conflicts_with = "row")]
    set: Vec<(String, String)>,
    /// The whole row as a JSON object, for a line that could not be read
    #[arg(long)]
    row: Option<String>,
}

impl Quarantine {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        match &self.command {
            Command::List { dataset, limit, rule } => list(global, dataset, *limit, rule.as_deref()).await,
            Command::Show { dataset, row } => show(global, dataset, *row).await,
            Command::Fix(fix) => leave(global, &fix.leave, "fix", fix.body()?).await,
            Command::Release(asked) => leave(global, asked, "release", asked.body()).await,
            Command::Discard(asked) => leave(global, asked, "discard", asked.body()).await,
            Command::History { dataset } => history(global, dataset).await,
            Command::Resume { dataset } => {
                super::move_rows::resume(global, dataset).await?;
                match global.json() {
                    true => print_json(&json!({"dataset": dataset, "halted": false}))?,
                    false => println!("dataset {dataset} goes on"),
                }
                Ok(Exit::Ok)
            }
        }
    }
}

impl Leave {
    /// The request as the server takes it.
    fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        let rows: Vec<String> = self.rows.iter().map(ToString::to_string).collect();
        body.insert("rows".into(), json!(rows));
        body.insert("all".into(), json!(self.all));
        body.insert("dry_run".into(), json!(self.dry_run));
        body.insert("reason".into(), json!(self.reason.as_deref().unwrap_or_default()));
        if let Some(rule) = &self.rule {
            body.insert("rule".into(), json!(rule));
        }
        body
    }
}

impl Fix {
    fn body(&self) -> Result<Map<String, Value>> {
        let mut body = self.leave.body();
        if !self.set.is_empty() {
            let value = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
            let set: Map<String, Value> = self.set.iter().map(|(name, text)| (name.clone(), value(text))).collect();
            body.insert("set".into(), Value::Object(set));
        }
        if let Some(text) = &self.row {
            let row: Map<String, Value> = serde_json::from_str(text).map_err(|e| {
                Error::invalid("SW1507", "what --row gives is no JSON object")
                    .because(e)
                    .hint("write --row '{\"id\": 1}'")
            })?;
            body.insert("row".into(), Value::Object(row));
        }
        Ok(body)
    }
}

fn window<'a>(installation: &'a Installation, permit: &'a seawall_base::Permit) -> Window<'a> {
    Window { engine: installation.engine.as_ref(), catalog: &installation.catalog, permit }
}

async fn list(global: &Global, dataset: &str, limit: usize, rule: Option<&str>) -> Result<Exit> {
    let installation = global.open().await?;
    let permit = installation.permit(Action::ReadRows, dataset).await?;
    let result = window(&installation, &permit).open_rows(dataset, rule, Some(limit)).await?;
    let mut rows = Vec::new();
    for batch in &result.batches {
        rows.extend(json_rows(batch)?);
    }
    if global.json() {
        print_json(&json!({"dataset": dataset, "rows": rows, "truncated": result.truncated}))?;
        return Ok(Exit::Ok);
    }
    match (rows.is_empty(), rule) {
        (true, Some(rule)) => println!("no row in the quarantine of {dataset} breaks {rule}"),
        (true, None) => println!("the quarantine of {dataset} is empty"),
        (false, _) => {}
    }
    for row in &rows {
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        println!("{}:{}  arrived {}", row["_partition"], row["_lsn"], text("_arrival"));
        for reason in reasons(row)? {
            let of = |key: &str| reason[key].as_str().unwrap_or_default().to_owned();
            println!("    {}: {}", of("rule"), of("message"));
        }
        println!("    {}", text("_raw"));
    }
    if result.truncated {
        eprintln!("only the newest {limit} rows are shown; --limit shows more");
    }
    Ok(Exit::Ok)
}

/// The reasons of a listed row; none when a policy does not show them.
fn reasons(row: &Value) -> Result<Vec<Value>> {
    let Some(text) = row.get("_reasons").and_then(Value::as_str) else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|e| Error::corrupt("SW0802", "quarantine reasons are damaged").because(e))
}

async fn show(global: &Global, dataset: &str, row: RowId) -> Result<Exit> {
    let installation = global.open().await?;
    let permit = installation.permit(Action::ReadRows, dataset).await?;
    let shown = window(&installation, &permit).show(dataset, row).await?;
    if global.json() {
        return print_json(&shown).map(|()| Exit::Ok);
    }
    print!("{}", text_of(&shown));
    Ok(Exit::Ok)
}

/// A row as people see it.
fn text_of(shown: &Shown) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let state = if shown.open { "in quarantine" } else { "left quarantine" };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "row {} of {}, {state}", shown.row, shown.dataset);
    let _ = writeln!(text, "  arrived {} from source {}", shown.arrived_at, shown.source);
    let _ = writeln!(text, "  stopped by contract {}", shown.contract);
    for reason in &shown.reasons {
        let column = reason.column.as_deref().unwrap_or("the row");
        let _ = writeln!(text, "\n  {} of {column} ({})", reason.rule, reason.mode);
        let _ = writeln!(text, "      {}", reason.message);
        let _ = writeln!(text, "      {}", reason.remedy);
    }
    match &shown.raw {
        Value::String(line) => {
            let _ = writeln!(text, "\n  the line as it came:\n      {line}");
        }
        row => {
            let _ = writeln!(text, "\n  the row as it came:\n      {row}");
        }
    }
    for departure in &shown.departures {
        let _ = writeln!(text, "\n  {}", line_of(departure));
    }
    text
}

fn line_of(departure: &DepartureRecord) -> String {
    let outcome = departure.outcome.as_str();
    let mut line = format!("{outcome} {} by {}: {}", departure.left_at, departure.by, departure.reason);
    if let Some(row) = departure.released_as {
        line.push_str(&format!(" (row {row} of the table, gated by {})", departure.contract));
    }
    if !departure.changed.is_empty() {
        line.push_str(&format!("; mended: {}", departure.changed.join(", ")));
    }
    if let Some(at) = departure.withdrawn_at {
        line.push_str(&format!("; back in quarantine since the rollback of {at}"));
    }
    line
}

async fn history(global: &Global, dataset: &str) -> Result<Exit> {
    let installation = global.open().await?;
    installation.permit(Action::ReadMetadata, dataset).await?;
    let departures = installation.catalog.departure_history(dataset).await?;
    if global.json() {
        return print_json(&json!({"dataset": dataset, "departures": departures})).map(|()| Exit::Ok);
    }
    if departures.is_empty() {
        println!("nothing has left the quarantine of {dataset}");
    }
    for departure in &departures {
        println!("{}  {}", departure.row, line_of(departure));
    }
    Ok(Exit::Ok)
}

async fn leave(global: &Global, asked: &Leave, verb: &str, body: Map<String, Value>) -> Result<Exit> {
    let path = format!("/v1/datasets/{}/quarantine/{verb}", asked.dataset);
    let left = post(global, &path, &Value::Object(body)).await?;
    let number = |key: &str| left[key].as_u64().unwrap_or_default();
    let exit = if number("stays") > 0 { Exit::Breach } else { Exit::Ok };
    if global.json() {
        return print_json(&left).map(|()| exit);
    }
    let rows = left["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    // Of many rows only those are told that somebody has to look at.
    let told = |row: &&Value| rows.len() <= ROWS_TOLD_MAX || row["fate"] == "stays";
    rows.iter().filter(told).for_each(tell);
    if number("rows_omitted") > 0 {
        println!("... and {} more", count(number("rows_omitted")));
    }
    let would = if asked.dry_run { "would be " } else { "" };
    let (outcome, done) = match verb {
        "discard" => ("discarded", number("discarded")),
        _ => ("released", number("released")),
    };
    println!(
        "{} {would}{outcome}, {} stay, {} had left before",
        count(done),
        count(number("stays")),
        count(number("left_before"))
    );
    if left["in_tables"] == false {
        eprintln!("tables are away: this is in the log, and tables show it once they are back");
    }
    Ok(exit)
}

fn tell(row: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match row["fate"].as_str().unwrap_or_default() {
        "released" => println!("{}  released as row {}", text(&row["row"]), text(&row["released_as"])),
        "discarded" => println!("{}  discarded", text(&row["row"])),
        "would" => println!("{}  would leave", text(&row["row"])),
        "left_before" => println!("{}  left before: {}", text(&row["row"]), text(&row["left"])),
        _ => {
            println!("{}  stays", text(&row["row"]));
            for reason in row["reasons"].as_array().into_iter().flatten() {
                println!("    {}: {}", text(&reason["rule"]), text(&reason["message"]));
                println!("        {}", text(&reason["remedy"]));
            }
        }
    }
}

/// Asks the running server, or a pipeline of this process while none runs.
async fn post(global: &Global, path: &str, body: &Value) -> Result<Value> {
    if let Some(running) = Running::find(&global.settings().data) {
        return running.post(path, "application/json", body.to_string().as_bytes());
    }
    let installation = global.open().await?;
    let principal = installation.principal().await?;
    let pipeline = Arc::new(installation.start(Arc::new(SystemClock), Options::default()).await?);
    let app = App::new(pipeline, Access::Open(principal));
    let answer = seawall_server::http::answer(&app, path, body).await;
    match Arc::try_unwrap(app.pipeline) {
        Ok(pipeline) => Pipeline::stop(pipeline).await?,
        Err(_) => return Err(Error::internal("SW0909", "the pipeline is still in use")),
    }
    answer
}
