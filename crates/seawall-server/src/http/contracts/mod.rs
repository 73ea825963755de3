//! Contracts over HTTP: what `seawall contract` does, for contracts that are posted and for those in force. Nothing is
//! stored.
//!
//! Every handler goes the same way: the caller may read the metadata of `contracts`, or of the dataset that it names; its
//! body is read into room of its own; the work waits for its turn among [`ContractJobs`].

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use seawall_base::Error;
use seawall_base::error::Result;
use seawall_catalog::ActiveProject;
use seawall_catalog::policy::Action;
use seawall_catalog::project::{self, Form, Linted, owner_of};
use seawall_catalog::revision::{Compared, predecessor};
use seawall_kernel::contract::{Contract, Lost};
use serde_json::{Value, json};

use super::error::Failure;
use crate::App;

mod asked;
mod jobs;
mod posted;
pub(super) mod rows;

use asked::Asked;
pub use jobs::ContractJobs;
use posted::{Posted, part};

/// What policies call the contracts as a whole.
const CONTRACTS: &str = "contracts";
/// Bytes of JSON Schema or SQL that are made a contract.
const IMPORTED_BYTES_MAX: usize = 1 << 20;
/// What messages call a posted contract.
const POSTED: &str = "contract.odcs.yaml";

/// `POST /v1/contracts/lint`: every problem of a contract, or what of it is executed.
pub(super) async fn lint(State(app): State<App>, request: Request) -> Result<Json<Value>, Failure> {
    let mut posted = Posted::read(&app, CONTRACTS, request).await?;
    let variables = posted.asked.variables()?;
    let linting = app.contracts.run(move |_| {
        let whole = posted.whole()?;
        posted.asked.end()?;
        Ok(match project::lint(FilePath::new(POSTED), whole.text()?, &variables) {
            Ok(linted) => linted.to_json(),
            Err(problems) => {
                let mut report = problems.to_json();
                report["ok"] = false.into();
                report
            }
        })
    });
    Ok(Json(linting.await?))
}

/// `POST /v1/contracts/diff`: a contract against the one in force that it would take the place of, or against the part
/// `old` of the body.
pub(super) async fn diff(State(app): State<App>, request: Request) -> Result<Json<Value>, Failure> {
    let mut posted = Posted::read(&app, CONTRACTS, request).await?;
    let variables = posted.asked.variables()?;
    let catalog = &app.pipeline.parts().catalog;
    let active = catalog.active().await?;
    let edges = match &active {
        Some(active) => catalog.lineage_of(active.revision).await?,
        None => Vec::new(),
    };
    let comparing = app.contracts.run(move |_| {
        let (old, new) = match posted.has_parts() {
            true => {
                let mut parts = posted.parts()?;
                (Some(part(&mut parts, "old")?), part(&mut parts, "new")?)
            }
            false => (None, posted.whole()?),
        };
        posted.asked.end()?;
        let new = sound(new.text()?, &variables)?.contract;
        let old = match &old {
            Some(old) => sound(old.text()?, &variables)?.contract,
            None => replaced(active.as_ref(), &new)?.clone(),
        };
        let downstream = active.as_ref().map(|active| (&active.project, edges.as_slice()));
        Ok(Compared::new(&old, &new, downstream).to_json())
    });
    Ok(Json(comparing.await?))
}

/// `POST /v1/contracts/export?form=...`: a posted contract in another form.
pub(super) async fn export_posted(State(app): State<App>, request: Request) -> Result<Response, Failure> {
    let mut posted = Posted::read(&app, CONTRACTS, request).await?;
    let variables = posted.asked.variables()?;
    let wanted = Wanted::of(&mut posted.asked, &posted.headers)?;
    let exporting = app.contracts.run(move |_| {
        let whole = posted.whole()?;
        posted.asked.end()?;
        wanted.written(&sound(whole.text()?, &variables)?.contract)
    });
    Ok(exporting.await?.into_response())
}

/// `POST /v1/contracts/import?form=...&name=...`: a contract made of JSON Schema or SQL.
pub(super) async fn import(State(app): State<App>, request: Request) -> Result<Json<Value>, Failure> {
    let mut posted = Posted::read(&app, CONTRACTS, request).await?;
    let form: Form = posted.asked.one("form")?.unwrap_or_default().parse()?;
    let name = posted.asked.one("name")?.ok_or_else(|| {
        Error::invalid("SW0896", "the contract needs a name").hint("say name=NAME: it becomes the id of the contract")
    })?;
    let importing = app.contracts.run(move |_| {
        let whole = posted.whole()?;
        posted.asked.end()?;
        if whole.bytes.len() > IMPORTED_BYTES_MAX {
            let message =
                format!("the body has {} bytes; at most {IMPORTED_BYTES_MAX} are imported", whole.bytes.len());
            return Err(Error::invalid("SW0256", message).hint("use `seawall contract import`"));
        }
        let (contract, lost) = project::import_contract(&project::identifier(&name), form, whole.text()?)?;
        Ok(json!({"contract": project::contract_yaml(&contract)?, "lost": lost}))
    });
    Ok(Json(importing.await?))
}

/// `GET /v1/contracts`: those in force.
pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, Failure> {
    let active = in_force(&app, &headers).await?;
    let contracts: Vec<Value> = active.project.contracts.iter().map(about).collect();
    Ok(Json(json!({"revision": active.revision.to_string(), "contracts": contracts})))
}

/// `GET /v1/contracts/{contract}`: one in force, by `id` or `id@major`.
pub(super) async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let active = in_force(&app, &headers).await?;
    let contract = named(&active.project.contracts, &name)?;
    let mut told = about(contract);
    told["contract"] = json!(contract);
    Ok(Json(told))
}

/// `GET /v1/contracts/{contract}/export?form=...`: one in force in another form.
pub(super) async fn export(
    State(app): State<App>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let mut asked = Asked::of(request.uri())?;
    let wanted = Wanted::of(&mut asked, request.headers())?;
    asked.end()?;
    let active = in_force(&app, request.headers()).await?;
    let contract = named(&active.project.contracts, &name)?.clone();
    let exporting = app.contracts.run(move |_| wanted.written(&contract));
    Ok(exporting.await?.into_response())
}

/// The project in force, for a caller who may read about contracts.
async fn in_force(app: &App, headers: &HeaderMap) -> Result<ActiveProject> {
    let catalog = &app.pipeline.parts().catalog;
    app.access.permit(catalog, headers, Action::ReadMetadata, CONTRACTS).await?;
    catalog.active().await?.ok_or_else(nothing_applied)
}

fn nothing_applied() -> Error {
    Error::not_found("SW0897", "nothing was applied yet, so no contract is in force").hint("run `seawall apply`")
}

fn about(contract: &Contract) -> Value {
    json!({
        "id": contract.id(),
        "version": contract.version(),
        "status": contract.status,
        "owner": owner_of(contract),
        "datasets": contract.object_names(),
    })
}

/// The contract that `name` means: `id@major`, or `id` for the newest.
fn named<'c>(contracts: &'c [Contract], name: &str) -> Result<&'c Contract> {
    let newest = |id: &str| contracts.iter().filter(|contract| contract.id == id).max_by_key(|one| one.major());
    let versioned = || {
        let (id, major) = name.rsplit_once('@')?;
        let major: u32 = major.parse().ok()?;
        contracts.iter().find(|contract| contract.id == id && contract.major() == Some(major))
    };
    newest(name).or_else(versioned).ok_or_else(|| {
        let named = |contract: &Contract| match contract.major() {
            Some(major) => format!("{}@{major}", contract.id),
            None => contract.id.clone(),
        };
        let known: Vec<String> = contracts.iter().map(named).collect();
        Error::not_found("SW0251", format!("no contract {name:?} is in force"))
            .hint(format!("contracts in force: {}", known.join(", ")))
    })
}

/// The contract in force that `new` would take the place of.
fn replaced<'a>(active: Option<&'a ActiveProject>, new: &Contract) -> Result<&'a Contract> {
    let active = active.ok_or_else(nothing_applied)?;
    let contracts = &active.project.contracts;
    predecessor(contracts, &new.id, new.major()).ok_or_else(|| {
        let known: Vec<&str> = contracts.iter().map(|contract| contract.id.as_str()).collect();
        Error::not_found("SW0251", format!("no contract {:?} of such a version is in force", new.id)).hint(format!(
            "contracts in force: {}; two versions can be compared as the parts `old` and `new`",
            known.join(", ")
        ))
    })
}

/// A posted contract, if nothing is wrong with it.
///
/// # Errors
/// SW0257 with the first problem.
fn sound(text: &str, variables: &BTreeMap<String, String>) -> Result<Linted> {
    project::lint(FilePath::new(POSTED), text, variables).map_err(|problems| {
        let errors = problems.error_count();
        let is_error = |one: &&project::Diagnostic| one.severity == project::Severity::Error;
        let first = problems.iter().find(is_error).map_or_else(String::new, |one| {
            format!(": line {}, column {}: [{}] {}", one.line, one.column, one.code, one.message)
        });
        let count = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
        Error::invalid("SW0257", format!("the contract has {count}{first}"))
            .hint("post it to /v1/contracts/lint, which tells every problem with line, column and remedy")
    })
}

/// How a contract is wanted.
struct Wanted {
    form: Form,
    object: Option<String>,
    /// As it is, because the caller accepts its media type.
    is_bare: bool,
}

/// A contract in another form.
struct Written {
    form: Form,
    text: String,
    lost: Vec<Lost>,
    is_bare: bool,
}

impl Wanted {
    fn of(asked: &mut Asked, headers: &HeaderMap) -> Result<Wanted> {
        let form: Form = asked.one("form")?.unwrap_or_default().parse()?;
        Ok(Wanted { form, object: asked.one("object")?, is_bare: accepts(headers, form.media_type()) })
    }

    fn written(self, contract: &Contract) -> Result<Written> {
        let (text, lost) = project::export_contract(contract, self.form, self.object.as_deref())?;
        Ok(Written { form: self.form, text, lost, is_bare: self.is_bare })
    }
}

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        if self.is_bare {
            return ([(header::CONTENT_TYPE, self.form.media_type())], self.text).into_response();
        }
        Json(json!({"form": self.form.as_str(), "text": self.text, "lost": self.lost})).into_response()
    }
}

/// Whether a caller names `media` among what it accepts.
fn accepts(headers: &HeaderMap, media: &str) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges = accepted.flat_map(|value| value.split(','));
    ranges.any(|range| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media))
}
