//! Rows and contracts: hold posted rows to a contract, infer a contract from them, and generate rows that obey one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use seawall_base::declare::FileFormat;
use seawall_base::error::Result;
use seawall_base::{Error, Instant};
use seawall_catalog::project::{self, LintedObject, Sample};
use seawall_kernel::contract::{Contract, Gate, GenerateOptions, Generator, NotExecuted, Reason, Stuck, Violation};
use seawall_pipeline::judge::{Bounds, Judge, Judgement, Stop, ask_table_rules, unasked_table_rules};
use seawall_pipeline::revision::DatasetGate;
use seawall_pipeline::source::files::{self, Content};
use serde_json::{Value, json};

use super::asked::Asked;
use super::jobs::Job;
use super::posted::{Part, Posted, part};
use super::{CONTRACTS, accepts, in_force, named, sound};
use crate::App;
use crate::http::error::Failure;

/// Rows that are held to a contract.
const JUDGED_ROWS_MAX: u64 = 1_000_000;
/// Bytes of decoded rows in memory.
const DECODED_BYTES_MAX: u64 = 256 << 20;
/// Bad rows that an answer tells when the request does not say how many.
const BAD_ROWS_DEFAULT: u64 = 20;
/// Bad rows that an answer tells.
const BAD_ROWS_MAX: u64 = 1_000;
/// Rows that are looked at to infer a contract.
const SAMPLE_ROWS_MAX: u64 = 100_000;
/// Rows that are generated when the request does not say how many.
const GENERATED_ROWS_DEFAULT: u64 = 100;
/// Rows that are generated.
const GENERATED_ROWS_MAX: u64 = 100_000;
/// Bytes of rows in an answer.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The latest instant that a generated event has when the request does not say it.
const UNTIL_DEFAULT: &str = "2026-01-01T00:00:00Z";
/// The media type of rows, one JSON object a line.
const NDJSON: &str = "application/x-ndjson";
/// What messages call posted rows.
const BODY: &str = "the body";

/// `POST /v1/contracts/test`: the part `rows` held to the part `contract`.
pub(in crate::http) async fn test_posted(State(app): State<App>, request: Request) -> Result<Json<Value>, Failure> {
    let mut posted = Posted::read(&app, CONTRACTS, request).await?;
    let variables = posted.asked.variables()?;
    let how = How::of(&mut posted.asked)?;
    let object = posted.asked.one("object")?;
    let job = app.contracts.begin().await?;
    let now = app.pipeline.parts().clock.now();
    let judging = job.blocking(move |stop| {
        let mut parts = posted.parts()?;
        let contract = part(&mut parts, "contract")?;
        let rows = part(&mut parts, "rows")?;
        let format = posted.asked.format(&rows.media, rows.file.as_deref())?;
        posted.asked.end()?;
        let object = sound(contract.text()?, &variables)?.take_object(object.as_deref())?;
        judge(Rules::Posted(Box::new(object)), rows, format, how, now, stop)
    });
    let judged = judging.await?;
    Ok(Json(finish(&app, &job, judged).await))
}

/// `POST /v1/datasets/{dataset}/test`: rows held to the contract of a dataset, without being taken in.
pub(in crate::http) async fn test(
    State(app): State<App>,
    Path(dataset): Path<String>,
    request: Request,
) -> Result<Json<Value>, Failure> {
    let mut posted = Posted::read(&app, &dataset, request).await?;
    let how = How::of(&mut posted.asked)?;
    let rules = Rules::InForce(app.pipeline.revision().dataset(&dataset)?.clone());
    let job = app.contracts.begin().await?;
    let now = app.pipeline.parts().clock.now();
    let judging = job.blocking(move |stop| {
        let rows = posted.whole()?;
        let format = posted.asked.format(&rows.media, None)?;
        posted.asked.end()?;
        judge(rules, rows, format, how, now, stop)
    });
    let judged = judging.await?;
    Ok(Json(finish(&app, &job, judged).await))
}

/// `POST /v1/contracts/infer`: a first contract out of rows, with the profile of their columns.
pub(in crate::http) async fn infer(State(app): State<App>, request: Request) -> Result<Json<Value>, Failure> {
    let mut posted = Posted::read(&app, CONTRACTS, request).await?;
    let asked = &mut posted.asked;
    let name = asked.one("name")?.ok_or_else(|| {
        Error::invalid("SW0896", "the contract needs a name").hint("say name=NAME: it becomes the id of the contract")
    })?;
    let (key, time, null) = (asked.many("key"), asked.one("time")?, asked.many("null"));
    let rows = asked.up_to("rows", SAMPLE_ROWS_MAX, SAMPLE_ROWS_MAX)?;
    let inferring = app.contracts.run(move |stop| {
        let whole = posted.whole()?;
        let format = posted.asked.format(&whole.media, None)?;
        posted.asked.end()?;
        let content = Content::Bytes(BODY.into(), whole.bytes);
        let batches = files::sample_within(&content, format, rows as usize, DECODED_BYTES_MAX)?;
        stop.check()?;
        let sample = Sample { batches, format, path: BODY.to_owned(), null_values: null };
        let name = project::identifier(&name);
        Ok(project::infer_contract(&name, &sample, &key, time.as_deref())?.to_json(&name))
    });
    Ok(Json(inferring.await?))
}

/// `POST /v1/contracts/generate`: rows that obey a posted contract.
pub(in crate::http) async fn generate_posted(State(app): State<App>, request: Request) -> Result<Response, Failure> {
    let mut posted = Posted::read(&app, CONTRACTS, request).await?;
    let variables = posted.asked.variables()?;
    let wanted = Wanted::of(&mut posted.asked, &posted.headers)?;
    let generating = app.contracts.run(move |stop| {
        let whole = posted.whole()?;
        posted.asked.end()?;
        wanted.generated(&sound(whole.text()?, &variables)?.contract, stop)
    });
    Ok(generating.await?.into_response())
}

/// `GET /v1/contracts/{contract}/generate`: rows that obey a contract in force.
pub(in crate::http) async fn generate(
    State(app): State<App>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let mut asked = Asked::of(request.uri())?;
    let wanted = Wanted::of(&mut asked, request.headers())?;
    asked.end()?;
    let active = in_force(&app, request.headers()).await?;
    let contract = named(&active.project.contracts, &name)?.clone();
    let generating = app.contracts.run(move |stop| wanted.generated(&contract, stop));
    Ok(generating.await?.into_response())
}

/// How rows are held to a contract.
struct How {
    null_values: Vec<String>,
    bad_rows_max: usize,
    is_strict: bool,
}

impl How {
    fn of(asked: &mut Asked) -> Result<How> {
        Ok(How {
            null_values: asked.many("null"),
            bad_rows_max: asked.up_to("rows", BAD_ROWS_DEFAULT, BAD_ROWS_MAX)? as usize,
            is_strict: asked.flag("strict")?,
        })
    }
}

/// What rows are held to.
enum Rules {
    Posted(Box<LintedObject>),
    InForce(Arc<DatasetGate>),
}

impl Rules {
    fn gate(&self) -> &Gate {
        match self {
            Rules::Posted(object) => &object.gate,
            Rules::InForce(dataset) => &dataset.gate,
        }
    }

    fn name(&self) -> &str {
        match self {
            Rules::Posted(object) => &object.name,
            Rules::InForce(dataset) => &dataset.dataset.name,
        }
    }

    /// The rules that nobody executes, with their lines where there is a text.
    fn not_executed(&self) -> Vec<(NotExecuted, Option<usize>)> {
        match self {
            Rules::Posted(object) => {
                object.not_executed.iter().map(|(rule, line)| (rule.clone(), Some(*line))).collect()
            }
            Rules::InForce(dataset) => dataset.gate.not_executed().iter().map(|rule| (rule.clone(), None)).collect(),
        }
    }
}

/// What is known before the rules about the whole table are asked.
struct Judged {
    rules: Rules,
    is_strict: bool,
    began: Instant,
    judgement: Judgement,
    bad_rows: BadRows,
    accepted: Option<RecordBatch>,
}

/// The first bad rows.
struct BadRows {
    rows: Vec<Value>,
    rows_max: usize,
    bytes: usize,
    is_truncated: bool,
}

impl BadRows {
    fn new(rows_max: usize) -> BadRows {
        BadRows { rows: Vec::new(), rows_max, bytes: 0, is_truncated: false }
    }

    fn add(&mut self, row: u64, reasons: &[Reason], raw: &dyn Fn() -> String) {
        if self.rows.len() >= self.rows_max || self.bytes >= ANSWER_BYTES_MAX {
            self.is_truncated = true;
            return;
        }
        let raw = raw();
        self.bytes += raw.len();
        let raw: Value = serde_json::from_str(&raw).unwrap_or(Value::String(raw));
        self.rows.push(json!({"row": row, "reasons": reasons, "raw": raw}));
    }
}

fn judge(rules: Rules, rows: Part, format: FileFormat, how: How, now: Instant, stop: &Stop) -> Result<Judged> {
    let content = Content::Bytes(BODY.into(), rows.bytes);
    let judge = Judge {
        gate: rules.gate(),
        content: &content,
        format,
        null_values: &how.null_values,
        wants_rows: how.bad_rows_max > 0,
        bounds: Bounds { rows_max: JUDGED_ROWS_MAX, bytes_max: DECODED_BYTES_MAX, workers: 1, stop: stop.clone() },
    };
    let mut bad_rows = BadRows::new(how.bad_rows_max);
    let judgement = judge.run(now, |row, reasons, raw| {
        bad_rows.add(row, reasons, raw);
        Ok(())
    })?;
    let accepted = judge.accepted()?;
    Ok(Judged { is_strict: how.is_strict, began: now, judgement, bad_rows, accepted, rules })
}

/// Asks the rules about the whole table, and tells everything.
async fn finish(app: &App, job: &Job, judged: Judged) -> Value {
    let Judged { rules, is_strict, began, mut judgement, bad_rows, accepted } = judged;
    let gate = rules.gate();
    judgement.table_rules = match &app.contracts.engine {
        Some(engine) => {
            let asked = job.within(ask_table_rules(gate, accepted, engine.as_ref())).await;
            asked.unwrap_or_else(|error| unasked_table_rules(gate, &error.to_string()))
        }
        None => unasked_table_rules(gate, "this process has no engine for rules about whole tables"),
    };
    judgement.took_ms = (app.pipeline.parts().clock.now() - began).0 / 1_000;
    let mut told = judgement.to_json(rules.name(), &rules.not_executed(), is_strict);
    told["bad_rows"] = bad_rows.rows.into();
    told["bad_rows_truncated"] = bad_rows.is_truncated.into();
    told
}

/// Which rows are wanted.
struct Wanted {
    options: GenerateOptions,
    object: Option<String>,
    /// Rows alone, one a line, because the caller accepts that.
    is_bare: bool,
}

/// Rows that obey a contract, but for the known violations.
struct Generated {
    object: String,
    seed: u64,
    rows: Vec<Value>,
    violations: Vec<Violation>,
    is_bare: bool,
}

impl Wanted {
    fn of(asked: &mut Asked, headers: &HeaderMap) -> Result<Wanted> {
        let violations = asked.one("violations")?.map_or(Ok(0.0), |text| {
            GenerateOptions::share(&text).ok_or_else(|| {
                Error::invalid("SW0896", format!("violations={text:?} is no share"))
                    .hint("write violations=1%25 or 0.01")
            })
        })?;
        let until: Instant = match asked.read("until", UNTIL_DEFAULT)? {
            Some(until) => until,
            None => UNTIL_DEFAULT.parse()?,
        };
        let options = GenerateOptions {
            rows: asked.up_to("rows", GENERATED_ROWS_DEFAULT, GENERATED_ROWS_MAX)?,
            violations,
            seed: asked.read("seed", "7")?.unwrap_or(0),
            until,
        };
        Ok(Wanted { options, object: asked.one("object")?, is_bare: accepts(headers, NDJSON) })
    }

    fn generated(self, contract: &Contract, stop: &Stop) -> Result<Generated> {
        let stuck = |why: Stuck| Error::invalid("SW1710", why.message).hint(why.hint);
        let mut generator = Generator::new(contract, self.object.as_deref(), self.options).map_err(stuck)?;
        let object = generator.gate().dataset().name.clone();
        let (mut rows, mut violations, mut bytes) = (Vec::new(), Vec::new(), 0);
        loop {
            stop.check()?;
            let chunk = generator.chunk().map_err(stuck)?;
            if chunk.rows.is_empty() {
                break;
            }
            bytes += chunk.rows.iter().map(|row| row.to_string().len()).sum::<usize>();
            if bytes > ANSWER_BYTES_MAX {
                return Err(Error::invalid("SW0829", format!("the rows take more than {ANSWER_BYTES_MAX} bytes"))
                    .hint("ask for fewer rows"));
            }
            rows.extend(chunk.rows);
            violations.extend(chunk.violations);
        }
        Ok(Generated { object, seed: self.options.seed, rows, violations, is_bare: self.is_bare })
    }
}

impl IntoResponse for Generated {
    fn into_response(self) -> Response {
        if self.is_bare {
            let mut text = String::new();
            for row in &self.rows {
                text.push_str(&row.to_string());
                text.push('\n');
            }
            return ([(header::CONTENT_TYPE, NDJSON)], text).into_response();
        }
        let mut rules: BTreeMap<(&str, Option<&str>), u64> = BTreeMap::new();
        for one in &self.violations {
            *rules.entry((&one.rule, one.column.as_deref())).or_default() += 1;
        }
        let rules = rules.iter().map(|((rule, column), rows)| json!({"rule": rule, "column": column, "rows": rows}));
        Json(json!({
            "object": self.object,
            "seed": self.seed,
            "rules": rules.collect::<Vec<_>>(),
            "violations": self.violations,
            "rows": self.rows,
        }))
        .into_response()
    }
}
