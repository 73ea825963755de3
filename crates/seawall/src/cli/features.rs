//! `features`: values of the present or of a moment, and the rows behind a number.

use std::sync::Arc;

use clap::{Args, Subcommand};
use seawall_base::error::Result;
use seawall_base::{Error, Instant, SystemClock, VersionedName};
use seawall_pipeline::Pipeline;
use seawall_pipeline::pipeline::Options;
use seawall_pipeline::revision::Revision;
use seawall_pipeline::service::ServedService;
use seawall_server::App;
use seawall_server::auth::Access;
use serde_json::{Map, Value, json};

use crate::cli::Global;
use crate::output::{Exit, print_json};

/// Features.
#[derive(Debug, Subcommand)]
pub enum Features {
    /// What the views compute: windows, hops, the error of a sawtooth window
    #[command(after_help = "Example:\n  seawall features list")]
    List,
    /// Values of one entity
    #[command(after_help = "\
Examples:
  seawall features get card --entity card_id=c42
  seawall features get card@1 --entity card_id=c42 --at 2026-02-01T12:00:00Z

Without --at the online store answers for the present. A moment of the past is answered from the tables, as it was
known then.")]
    Get(Get),
    /// The vector of a feature service
    #[command(after_help = "\
Examples:
  seawall features vector fraud --value card_id=c42 --value amount=12.5
  seawall features vector fraud@1 --value card_id=c42 --at 2026-02-01T12:00:00Z

What the service says is recorded, as if a client had asked. `features list` tells what a request takes.")]
    Vector(Vector),
    /// The rows behind a number, and why other rows are not
    #[command(
        after_help = "Example:\n  seawall features explain card.n_1h --entity card_id=c42 --at 2026-02-01T12:00:00Z"
    )]
    Explain(Explain),
}

/// Values of one entity.
#[derive(Debug, Args)]
pub struct Get {
    /// The view; its newest version unless one is given
    view: String,
    /// COLUMN=VALUE for each entity column
    #[arg(long, required = true, value_parser = super::name_and_value)]
    entity: Vec<(String, String)>,
    /// Decision time, RFC 3339
    #[arg(long)]
    at: Option<Instant>,
}

/// The vector of a feature service.
#[derive(Debug, Args)]
pub struct Vector {
    /// The service, NAME or NAME@VERSION
    service: String,
    /// NAME=VALUE for each entity and each value of the request
    #[arg(long, required = true, value_parser = super::name_and_value)]
    value: Vec<(String, String)>,
    /// Decision time, RFC 3339; the present when absent
    #[arg(long)]
    at: Option<Instant>,
}

/// The rows behind a number.
#[derive(Debug, Args)]
pub struct Explain {
    /// VIEW.FEATURE; the view's newest version unless VIEW@VERSION.FEATURE
    feature: String,
    /// COLUMN=VALUE for each entity column
    #[arg(long, required = true, value_parser = super::name_and_value)]
    entity: Vec<(String, String)>,
    /// Decision time, RFC 3339; the present when absent
    #[arg(long)]
    at: Option<Instant>,
}

impl Features {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        match self {
            Features::List => list(global).await,
            Features::Get(get) => get.run(global).await,
            Features::Vector(vector) => vector.run(global).await,
            Features::Explain(explain) => explain.run(global).await,
        }
    }
}

async fn list(global: &Global) -> Result<Exit> {
    let installation = global.open().await?;
    let active = installation.active().await?;
    let settings = crate::assemble::declared(&active, &installation.settings.project)?;
    let engine: Arc<dyn seawall_base::Engine> = installation.engine.clone();
    let revision = Revision::compile(&settings, &engine).await?;
    let mut views = Vec::new();
    for view in &revision.views {
        let dataset = &revision.dataset(&view.from)?.dataset;
        let computed = seawall_base::Computed::compile(engine.as_ref(), dataset, &[view]).await?;
        let plan = seawall_kernel::feature::ViewPlan::compile(view, &computed.extended(dataset))?;
        views.push((view, plan.describe()));
    }
    if global.json() {
        let json: Vec<Value> = views
            .iter()
            .map(|(view, features)| json!({"view": view.id(), "entity": view.entity, "from": view.from, "features": features}))
            .collect();
        let services: Vec<Value> = revision.services.values().map(|service| service_json(service)).collect();
        print_json(&json!({"views": json, "services": services}))?;
        return Ok(Exit::Ok);
    }
    for (view, features) in views {
        println!("{} of {} over {}", view.id(), view.entity.join(", "), view.from);
        for feature in features {
            let error = feature
                .sawtooth_error
                .map_or_else(String::new, |error| format!("; the window reaches back up to {error} further"));
            let hop = feature.hop.map_or_else(String::new, |hop| format!(", hop {hop}"));
            println!("  {}: {}{hop}{error}", feature.name, feature.text);
        }
    }
    for service in revision.services.values() {
        let request: Vec<String> =
            fields(&service.set.spine.schema).iter().map(|(name, of)| format!("{name} ({of})")).collect();
        println!("{} asked with {}", service.service.id(), request.join(", "));
        for column in service.set.feature_columns() {
            let derived = service.service.derived.iter().find(|derived| derived.name == column);
            println!("  {column}{}", derived.map_or_else(String::new, |derived| format!(": {}", derived.sql)));
        }
    }
    Ok(Exit::Ok)
}

fn service_json(service: &ServedService) -> Value {
    let request: Map<String, Value> =
        fields(&service.set.spine.schema).into_iter().map(|(name, of)| (name, json!(of))).collect();
    let derived: Map<String, Value> =
        service.service.derived.iter().map(|derived| (derived.name.clone(), json!(derived.sql))).collect();
    json!({
        "service": service.service.id(),
        "request": request,
        "features": service.set.feature_columns(),
        "derived": derived,
        "budget": service.service.budget.map(|budget| budget.to_string()),
    })
}

fn fields(schema: &arrow::datatypes::Schema) -> Vec<(String, String)> {
    schema.fields().iter().map(|field| (field.name().clone(), field.data_type().to_string())).collect()
}

impl Get {
    async fn run(&self, global: &Global) -> Result<Exit> {
        let answer = Asked::new(global).await?;
        let view = answer.view(&self.view)?;
        let mut body = Map::new();
        body.insert("views".into(), json!([view]));
        body.insert("rows".into(), json!([answer.entity(&view, &self.entity)?]));
        if let Some(at) = self.at {
            body.insert("at".into(), json!(at.to_string()));
        }
        let answered = answer.post("/v1/features", &Value::Object(body)).await?;
        let answered = &answered["views"][0];
        if global.json() {
            print_json(answered)?;
            return Ok(Exit::Ok);
        }
        println!(
            "{view} known at {}, from the {}",
            text(&answered["known_at"]),
            match text(&answered["source"]) {
                "online" => "online store",
                _ => "tables",
            }
        );
        for (i, (name, value)) in answered["rows"][0].as_object().into_iter().flatten().enumerate() {
            println!("  {name:<24} {:<24} {}", plain(value), text(&answered["status"][0][i]));
        }
        Ok(Exit::Ok)
    }
}

impl Vector {
    async fn run(&self, global: &Global) -> Result<Exit> {
        let asked = Asked::new(global).await?;
        let service = asked.revision.service(&self.service)?.clone();
        let schema = &service.set.spine.schema;
        let mut row = Map::new();
        for (name, value) in &self.value {
            let field = schema.field_with_name(name).map_err(|_| {
                let known: Vec<String> = fields(schema).into_iter().map(|(name, _)| name).collect();
                Error::invalid("SW0894", format!("a request of {} has no {name:?}", service.service.id()))
                    .hint(format!("it has {}", known.join(", ")))
            })?;
            row.insert(name.clone(), typed(field.data_type(), value));
        }
        let mut body = json!({"service": service.service.id(), "rows": [row]});
        if let Some(at) = self.at {
            body["at"] = json!(at.to_string());
        }
        let answered = asked.post("/v1/features", &body).await?;
        if global.json() {
            print_json(&answered)?;
            return Ok(Exit::Ok);
        }
        println!("{} known at {}", service.service.id(), text(&answered["known_at"]));
        for (i, (name, value)) in answered["rows"][0].as_object().into_iter().flatten().enumerate() {
            println!("  {name:<24} {:<24} {}", plain(value), text(&answered["status"][0][i]));
        }
        Ok(Exit::Ok)
    }
}

/// A value as a command line gives it, in the type of its column.
fn typed(data_type: &arrow::datatypes::DataType, value: &str) -> Value {
    match data_type {
        arrow::datatypes::DataType::Utf8 => json!(value),
        _ => serde_json::from_str(value).unwrap_or_else(|_| json!(value)),
    }
}

impl Explain {
    async fn run(&self, global: &Global) -> Result<Exit> {
        let (view, feature) = self.feature.split_once('.').ok_or_else(|| {
            Error::invalid("SW0908", format!("{:?} is not VIEW.FEATURE", self.feature)).hint("for example card.n_1h")
        })?;
        let asked = Asked::new(global).await?;
        let view = asked.view(view)?;
        let mut body = Map::new();
        body.insert("view".into(), json!(view));
        body.insert("feature".into(), json!(feature));
        body.insert("entity".into(), asked.entity(&view, &self.entity)?);
        if let Some(at) = self.at {
            body.insert("at".into(), json!(at.to_string()));
        }
        let explained = asked.post("/v1/features/explain", &Value::Object(body)).await?;
        if global.json() {
            print_json(&explained)?;
            return Ok(Exit::Ok);
        }
        println!("{}", crate::output::explanation(&view.to_string(), feature, &explained));
        Ok(Exit::Ok)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whoever answers: the running server, or the same handlers in this process.
struct Asked {
    views: Vec<(VersionedName, Vec<String>, seawall_base::Dataset)>,
    revision: Arc<Revision>,
    by: By,
}

enum By {
    Server(crate::client::Running),
    Here(Box<App>),
}

impl Asked {
    async fn new(global: &Global) -> Result<Asked> {
        let installation = global.open().await?;
        let active = installation.active().await?;
        let declared = crate::assemble::declared(&active, &installation.settings.project)?;
        let engine: Arc<dyn seawall_base::Engine> = installation.engine.clone();
        let by = match crate::client::Running::find(&installation.settings.data) {
            Some(running) => By::Server(running),
            None => {
                let pipeline = installation.start(Arc::new(SystemClock), Options::default()).await?;
                By::Here(Box::new(App::new(Arc::new(pipeline), Access::Open(installation.principal().await?))))
            }
        };
        let revision = match &by {
            By::Here(app) => app.pipeline.revision(),
            By::Server(_) => Arc::new(Revision::compile(&declared, &engine).await?),
        };
        let mut views = Vec::new();
        for view in &revision.views {
            views.push((view.id(), view.entity.clone(), revision.dataset(&view.from)?.dataset.clone()));
        }
        Ok(Asked { views, revision, by })
    }

    fn view(&self, text: &str) -> Result<VersionedName> {
        let known = || self.views.iter().map(|(id, ..)| id.to_string()).collect::<Vec<_>>().join(", ");
        let found = self.views.iter().map(|(id, ..)| id).filter(|id| id.to_string() == text || id.name == text).max();
        found.cloned().ok_or_else(|| {
            Error::not_found("SW0824", format!("there is no feature view {text:?}"))
                .hint(format!("feature views: {}", known()))
        })
    }

    /// The entity as JSON, each value in its column's type.
    fn entity(&self, view: &VersionedName, given: &[(String, String)]) -> Result<Value> {
        let (_, entity, dataset) =
            self.views.iter().find(|(id, ..)| id == view).expect("the view was found in this list before");
        let mut object = Map::new();
        for column in entity {
            let (_, value) = given.iter().find(|(name, _)| name == column).ok_or_else(|| {
                Error::invalid("SW0870", format!("the entity's key lacks {column:?}")).hint(format!(
                    "give --entity {}",
                    entity.iter().map(|c| format!("{c}=VALUE")).collect::<Vec<_>>().join(" --entity ")
                ))
            })?;
            object.insert(column.clone(), typed(dataset.schema.field_with_name(column)?.data_type(), value));
        }
        if let Some((unknown, _)) = given.iter().find(|(name, _)| !entity.contains(name)) {
            return Err(Error::invalid("SW0894", format!("{view} has no entity column {unknown:?}"))
                .hint(format!("its entity columns: {}", entity.join(", "))));
        }
        Ok(Value::Object(object))
    }

    async fn post(self, path: &str, body: &Value) -> Result<Value> {
        match self.by {
            By::Server(running) => running.post(path, "application/json", body.to_string().as_bytes()),
            By::Here(app) => {
                let answer = seawall_server::http::answer(&app, path, body).await;
                match Arc::try_unwrap(app.pipeline) {
                    Ok(pipeline) => Pipeline::stop(pipeline).await?,
                    Err(_) => return Err(Error::internal("SW0909", "the pipeline is still in use")),
                }
                answer
            }
        }
    }
}
