//! What the server that runs on a data folder says of itself: how fresh tables are, and how what it depends on is.

use serde_json::Value;

use crate::client::Running;

/// The server's status; none when no server runs, or when it does not tell the holder of this token.
pub(super) fn ask(running: Option<&Running>) -> Option<Value> {
    running.and_then(|running| running.get("/v1/status").ok())
}

/// What a person reads in `status`: how far tables and features lag, and every dependency that is not well.
pub(super) fn lines(status: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (stage, what) in [("tables", "tables"), ("features", "features")] {
        lines.extend(lag(&status[stage]).map(|lag| format!("{what} {lag}")));
    }
    if status["progress"]["tables_attached"] == false {
        lines.push("tables were away when the server started; it takes them as soon as they are there".to_owned());
    }
    let services = status["feature_services"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.extend(services.iter().filter_map(service));
    let dependencies = status["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let unwell: Vec<String> = dependencies.iter().filter_map(unwell).collect();
    match unwell.is_empty() {
        true => lines.push("everything that the server depends on answers".to_owned()),
        false => lines.extend(unwell),
    }
    lines
}

/// A feature service that is too slow, or whose vectors could not all be recorded.
fn service(service: &Value) -> Option<String> {
    let name = service["service"].as_str()?;
    let count = |key: &str| service["counts"][key].as_u64().unwrap_or_default();
    let (over, lost) = (count("over_budget"), count("shed") + count("failed"));
    let mut told = Vec::new();
    if over > 0 {
        let budget = service["budget"].as_str().unwrap_or_default();
        told.push(format!("{over} of {} answers took longer than {budget}", count("answers")));
    }
    if lost > 0 {
        told.push(format!("{lost} vectors could not be recorded"));
    }
    (!told.is_empty()).then(|| format!("feature service {name}: {}", told.join("; ")))
}

/// How far an answer lags, when that is more than it should.
pub(super) fn lag(fresh: &Value) -> Option<String> {
    let seconds = fresh["staleness_ms"].as_u64()?.div_ceil(1_000);
    let cut = fresh["cut"].as_str().unwrap_or_default();
    fresh["degraded"]
        .as_bool()?
        .then(|| format!("lag {seconds} s behind what was acknowledged, they hold everything before {cut}"))
}

fn unwell(dependency: &Value) -> Option<String> {
    let state = dependency["state"].as_str().filter(|state| *state != "closed")?;
    let name = dependency["name"].as_str()?;
    let seconds = |key: &str| dependency[key].as_u64().map(|milliseconds| milliseconds.div_ceil(1_000));
    let mut line = format!("{name} is away ({})", state.replace('_', " "));
    if let Some(away) = seconds("away_for_ms") {
        line += &format!(", for {away} s");
    }
    if let Some(retry) = seconds("retry_in_ms") {
        line += &format!(", tried again in {retry} s");
    }
    if let Some(message) = dependency["last_error"]["message"].as_str() {
        let code = dependency["last_error"]["code"].as_str().unwrap_or_default();
        line += &format!(": [{code}] {message}");
    }
    Some(line)
}

#[cfg(test)]
mod tests;
