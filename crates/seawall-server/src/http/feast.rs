//! `POST /get-online-features`: the wire protocol of Feast's feature server, so that its clients can ask Seawall by changing
//! one URL.
//!
//! Columns instead of rows: entities come as one array per join key, and each feature goes out as one array of values and
//! one of statuses. Feast tells when each value happened; a windowed value has no such instant, so the epoch stands there,
//! which is what Feast itself sends for what has none. Of what is asked for this way, the vectors of feature services are
//! recorded, as the service says.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use seawall_base::declare::FeatureView;
use seawall_base::error::Result;
use seawall_base::{Error, FeatureStatus, VersionedName};
use seawall_catalog::policy::Action;
use seawall_pipeline::revision::Revision;
use seawall_pipeline::service::ServedService;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{Failure, bad_json};
use super::features::{check_size, entities_of_all, find_view};
use super::served::{json_response, write_column, write_text, write_value};
use crate::App;

#[cfg(test)]
mod tests;

const EXAMPLE: &str = r#"{"features": ["card:n_1h"], "entities": {"card_id": ["c1", "c2"]}}"#;
/// Stands for an instant that is not known.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// Bytes that are made room for before an answer is written; a longer one grows.
const ROOM: usize = 1 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// `VIEW:FEATURE`, `VIEW@VERSION:FEATURE`, or Feast's `VIEW@vVERSION:FEATURE`.
    #[serde(default)]
    features: Vec<String>,
    /// All features of a feature service; of a training set, when there is no service of that name.
    feature_service: Option<String>,
    /// An array per join key.
    entities: Map<String, Value>,
    /// Names features `VIEW__FEATURE` in the answer.
    #[serde(default)]
    full_feature_names: bool,
}

/// A feature that is asked for: the place of its view among those that are served, and its place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    view: usize,
    feature: usize,
    name: String,
}

pub(super) async fn serve(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    let began = app.pipeline.answer_begins();
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| bad_json(&error, EXAMPLE))?;
    let revision = app.pipeline.revision();
    let service = match (&asked.feature_service, asked.features.as_slice()) {
        (Some(name), []) if !revision.training_sets.contains_key(name) || revision.service(name).is_ok() => {
            Some(revision.service(name)?)
        }
        (_, _) => None,
    };
    let resource = service.map_or_else(|| "views".to_owned(), |service| service.service.name.clone());
    app.access.permit(&app.pipeline.parts().catalog, &headers, Action::ServeFeatures, &resource).await?;
    let rows = rows_of(&asked.entities)?;
    let told = match service {
        Some(service) => {
            let told = told_of_service(&app, &asked, service, &rows).await?;
            app.pipeline.answered(service, began);
            told
        }
        None => told_of_views(&app, &revision, &asked, &rows).await?,
    };
    Ok(json_response(told))
}

async fn told_of_views(app: &App, revision: &Revision, asked: &Asked, rows: &[Map<String, Value>]) -> Result<Vec<u8>> {
    let (views, wanted) = resolve(revision, asked)?;
    check_size(rows.len(), wanted.len())?;
    let entities = entities_of_all(revision, &views, rows)?;
    let ids: Vec<VersionedName> = views.iter().map(|view| view.id()).collect();
    let now = app.pipeline.parts().clock.now();
    let served = app.pipeline.serve_views(&ids, &entities, now).await?;
    let columns = wanted.iter().map(|wanted| Column {
        name: wanted.name.clone(),
        values: &served.views[wanted.view].values,
        status: &served.views[wanted.view].status,
        place: wanted.feature,
    });
    write_answer(asked, rows.len(), &columns.collect::<Vec<_>>())
}

async fn told_of_service(
    app: &App,
    asked: &Asked,
    service: &Arc<ServedService>,
    rows: &[Map<String, Value>],
) -> Result<Vec<u8>> {
    let names = service.set.feature_columns();
    check_size(rows.len(), names.len())?;
    let request = super::features::rows_of(&service.set.spine, rows)?;
    let now = app.pipeline.parts().clock.now();
    let answer = app.pipeline.serve_service(service, request, now).await?;
    let (values, _) = super::services::features_of(service, &answer)?;
    let short = |name: &String| match name.split_once("__") {
        Some((_, feature)) if !asked.full_feature_names => feature.to_owned(),
        Some(_) | None => name.clone(),
    };
    let columns = names.iter().enumerate().map(|(place, name)| Column {
        name: short(name),
        values: &values,
        status: &answer.status,
        place,
    });
    write_answer(asked, rows.len(), &columns.collect::<Vec<_>>())
}

/// A column of the answer: where its values and their statuses stand.
struct Column<'a> {
    name: String,
    values: &'a RecordBatch,
    status: &'a [Vec<FeatureStatus>],
    /// Among the values, and in each row of statuses.
    place: usize,
}

fn write_answer(asked: &Asked, rows: usize, columns: &[Column<'_>]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(ROOM.min(256 + rows * columns.len() * 48));
    out.extend_from_slice(b"{\"metadata\":{\"feature_names\":");
    let keys = asked.entities.keys().map(String::as_str);
    let names: Vec<&str> = keys.chain(columns.iter().map(|column| column.name.as_str())).collect();
    write_value(&names, &mut out);
    out.extend_from_slice(b"},\"results\":[");
    for (index, values) in asked.entities.values().enumerate() {
        begin_result(index, &mut out);
        write_value(values, &mut out);
        end_result(std::iter::repeat_n("PRESENT", rows), &mut out);
    }
    for (index, column) in columns.iter().enumerate() {
        begin_result(asked.entities.len() + index, &mut out);
        write_column(column.values, column.place, &mut out)?;
        end_result(column.status.iter().map(|row| told(row[column.place])), &mut out);
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

fn begin_result(index: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(if index == 0 { b"{\"values\":" } else { b",{\"values\":" });
}

fn end_result<'a>(statuses: impl ExactSizeIterator<Item = &'a str>, out: &mut Vec<u8>) {
    let rows = statuses.len();
    out.extend_from_slice(b",\"statuses\":");
    write_texts(statuses, out);
    out.extend_from_slice(b",\"event_timestamps\":");
    write_texts(std::iter::repeat_n(EPOCH, rows), out);
    out.push(b'}');
}

fn write_texts<'a>(texts: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(text, out);
    }
    out.push(b']');
}

/// A status in Feast's words.
fn told(status: FeatureStatus) -> &'static str {
    match status {
        FeatureStatus::Present => "PRESENT",
        FeatureStatus::Null | FeatureStatus::MissingInput => "NULL_VALUE",
        FeatureStatus::NotFound => "NOT_FOUND",
        FeatureStatus::OutsideTtl => "OUTSIDE_MAX_AGE",
    }
}

/// The views to serve, each once, and the features of them in the order in which they are asked for.
fn resolve<'a>(revision: &'a Revision, asked: &Asked) -> Result<(Vec<&'a FeatureView>, Vec<Wanted>)> {
    let mut views: Vec<&FeatureView> = Vec::new();
    let mut wanted = Vec::new();
    let mut want = |view: &'a FeatureView, feature: usize| {
        let place = views.iter().position(|known| std::ptr::eq(*known, view)).unwrap_or_else(|| {
            views.push(view);
            views.len() - 1
        });
        let name = &view.features[feature].name;
        let name = if asked.full_feature_names { format!("{}__{name}", view.name) } else { name.clone() };
        wanted.push(Wanted { view: place, feature, name });
    };
    match (&asked.feature_service, asked.features.as_slice()) {
        (Some(service), []) => {
            for reference in &revision.training_set(service)?.training_set.features {
                let view = find_view(&revision.views, &reference.view)?;
                let place = |name: &str| view.features.iter().position(|known| known.name == name);
                let taken = reference.narrow(view).features;
                taken.iter().filter_map(|feature| place(&feature.name)).for_each(|feature| want(view, feature));
            }
        }
        (None, [_, ..]) => {
            let mut named = BTreeSet::new();
            for reference in &asked.features {
                let (view, feature) = find_feature(&revision.views, reference)?;
                if !named.insert((view.id(), feature)) {
                    return Err(Error::invalid("SW0886", format!("feature {reference} is named twice"))
                        .hint("name each feature once"));
                }
                want(view, feature);
            }
        }
        (Some(_), [_, ..]) | (None, []) => {
            return Err(Error::invalid("SW0886", "name either features or a feature_service")
                .hint(format!("send for example {EXAMPLE}")));
        }
    }
    Ok((views, wanted))
}

/// The feature that a reference names; without a version it is the newest one of its view.
fn find_feature<'a>(views: &'a [FeatureView], reference: &str) -> Result<(&'a FeatureView, usize)> {
    let unreadable = || {
        Error::invalid("SW0886", format!("{reference:?} names no feature"))
            .hint("write VIEW:FEATURE or VIEW@VERSION:FEATURE, for example card:n_1h")
    };
    let (view, feature) = reference.split_once(':').ok_or_else(unreadable)?;
    let view = match view.split_once('@') {
        Some((name, version)) => {
            let version = version.strip_prefix('v').unwrap_or(version).parse().map_err(|_| unreadable())?;
            find_view(views, &VersionedName { name: name.to_owned(), version })?
        }
        None => match views.iter().filter(|known| known.name == view).max_by_key(|known| known.version) {
            Some(newest) => newest,
            None => find_view(views, &VersionedName { name: view.to_owned(), version: 1 })?,
        },
    };
    let place = view.features.iter().position(|known| known.name == feature).ok_or_else(|| {
        let names: Vec<&str> = view.features.iter().map(|known| known.name.as_str()).collect();
        Error::not_found("SW0340", format!("{} has no feature {feature}", view.id()))
            .hint(format!("its features are {}", names.join(", ")))
    })?;
    Ok((view, place))
}

/// One object per decision, from one array per join key.
fn rows_of(entities: &Map<String, Value>) -> Result<Vec<Map<String, Value>>> {
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    for (index, (name, values)) in entities.iter().enumerate() {
        let unfit = |what: &str| {
            Error::invalid("SW0886", format!("entities.{name} {what}")).hint(format!("send for example {EXAMPLE}"))
        };
        let values = values.as_array().ok_or_else(|| unfit("is no array"))?;
        if index == 0 {
            rows.resize_with(values.len(), Map::new);
        }
        if values.len() != rows.len() {
            return Err(unfit(&format!("has {} values, the one before {}", values.len(), rows.len())));
        }
        for (row, value) in rows.iter_mut().zip(values) {
            row.insert(name.clone(), value.clone());
        }
    }
    Ok(rows)
}
