//! What `run` and `status` say of transforms.

use seawall_base::error::Result;
use seawall_catalog::Catalog;
use seawall_pipeline::transform::{State, Status};
use serde_json::{Value, json};

use crate::output::count;

/// How transforms stand: as the running server tells, or as their runs are recorded.
pub(super) async fn state(catalog: &Catalog, names: &[String], server: Option<&Value>) -> Result<Vec<Value>> {
    if let Some(told) = server.and_then(|server| server["transforms"].as_array()) {
        return Ok(told.clone());
    }
    let runs = catalog.newest_transform_runs().await?;
    let mut states = Vec::with_capacity(names.len());
    for name in names {
        let of_it: Vec<Value> = runs.iter().filter(|run| run.transform == *name).map(|run| json!(run)).collect();
        let failure = of_it.last().filter(|run| run["outcome"] == "failed");
        let last = of_it.iter().rfind(|run| run["outcome"] == "done").map(|run| run["detail"].clone());
        let state = match (failure, &last) {
            (Some(_), _) => "failed",
            (None, Some(_)) => "stopped",
            (None, None) => "never_ran",
        };
        states.push(json!({"transform": name, "state": state, "last_run": last, "failure": failure}));
    }
    Ok(states)
}

/// One line per transform, and one more for what a person should know.
pub(super) fn lines(transform: &Value) -> Vec<String> {
    let name = transform["transform"].as_str().unwrap_or_default();
    let run = &transform["last_run"];
    let number = |value: &Value| count(value.as_u64().unwrap_or_default());
    let state = transform["state"].as_str().unwrap_or_default().replace('_', " ");
    let mut lines = Vec::new();
    if run.is_object() {
        let inputs = run["inputs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let inputs: Vec<String> = inputs
            .iter()
            .map(|input| format!("{} at {}", input["table"].as_str().unwrap_or_default(), input["version"]))
            .collect();
        let counts = &run["counts"];
        lines.push(format!(
            "{name}: {state}; last run {} over {}: {} rows read, {} made, {} accepted, {} quarantined, {} unchanged",
            run["ended_at"].as_str().unwrap_or_default(),
            inputs.join(", "),
            number(&run["rows_read"]),
            number(&run["rows_made"]),
            number(&counts["accepted"]),
            number(&counts["quarantined"]),
            number(&run["unchanged"]),
        ));
        if run["vanished"].as_u64().is_some_and(|rows| rows > 0) {
            let vanished = number(&run["vanished"]);
            lines.push(format!(
                "    {vanished} keys vanished from the result: deleted from a changelog, kept in any other dataset"
            ));
        }
    } else {
        lines.push(format!("{name}: {state}"));
    }
    let failure = &transform["failure"];
    if let (Some(code), Some(message)) = (failure["code"].as_str(), failure["message"].as_str()) {
        let tried = failure["attempts"].as_u64().unwrap_or(1);
        lines.push(format!("    [{code}] {message} (tried {tried} times)"));
        lines.extend(failure["hint"].as_str().map(|hint| format!("    {hint}")));
    }
    lines
}

/// Whether any transform of a run failed.
pub(super) fn has_failed(statuses: &[Status]) -> bool {
    statuses.iter().any(|status| status.state == State::Failed)
}
