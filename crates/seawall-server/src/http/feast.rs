//! `POST /get-online-features`: the wire protocol of Feast's feature server, so that its clients can ask Seawall by changing
//! one URL.
//!
//! Columns instead of rows: entities come as one array per join key, and each feature goes out as one array of values and
//! one of statuses. Feast tells when each value happened; a windowed value has no such instant, so the epoch stands there,
//! which is what Feast itself sends for what has none. What is asked for this way is not recorded.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use seawall_base::declare::FeatureView;
use seawall_base::error::Result;
use seawall_base::{Error, FeatureStatus, VersionedName};
use seawall_catalog::policy::Action;
use seawall_pipeline::revision::Revision;
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
    /// All features of a training set.
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
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| bad_json(&error, EXAMPLE))?;
    app.access.permit(&app.pipeline.parts().catalog, &headers, Action::ServeFeatures, "views").await?;
    let revision = app.pipeline.revision();
    let (views, wanted) = resolve(&revision, &asked)?;
    let rows = rows_of(&asked.entities)?;
    check_size(rows.len(), wanted.len())?;
    let entities = entities_of_all(&revision, &views, &rows)?;
    let ids: Vec<VersionedName> = views.iter().map(|view| view.id()).collect();
    let now = app.pipeline.parts().clock.now();
    let served = app.pipeline.serve_views(&ids, &entities, now).await?;

    let mut out = Vec::with_capacity(ROOM.min(256 + rows.len() * wanted.len() * 48));
    out.extend_from_slice(b"{\"metadata\":{\"feature_names\":");
    let keys = asked.entities.keys().map(String::as_str);
    let names: Vec<&str> = keys.chain(wanted.iter().map(|wanted| wanted.name.as_str())).collect();
    write_value(&names, &mut out);
    out.extend_from_slice(b"},\"results\":[");
    for (index, values) in asked.entities.values().enumerate() {
        begin_result(index, &mut out);
        write_value(values, &mut out);
        end_result(std::iter::repeat_n("PRESENT", rows.len()), &mut out);
    }
    for (index, wanted) in wanted.iter().enumerate() {
        begin_result(asked.entities.len() + index, &mut out);
        let view = &served.views[wanted.view];
        write_column(&view.values, wanted.feature, &mut out)?;
        end_result(view.status.iter().map(|row| told(row[wanted.feature])), &mut out);
    }
    out.extend_from_slice(b"]}");
    Ok(json_response(out))
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
        FeatureStatus::Null => "NULL_VALUE",
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
                (0..view.features.len()).for_each(|feature| want(view, feature));
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
