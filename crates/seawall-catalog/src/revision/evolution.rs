//! Whether the contracts of a project may take the place of the active ones.
//!
//! Compatible changes always may. A change that breaks producers or consumers needs a new major version of the contract;
//! one that changes the shape of rows also needs an adapter: a source whose map makes rows of the new shape out of what
//! producers of the old one still send. A contract whose status says that it is being drafted promises nothing yet. A
//! column whose type the table cannot follow is refused in any case.

use seawall_base::{Error, Result};
use seawall_kernel::contract::{self, Change, ChangeKind, Contract, ContractChange, Gate};

use super::compared::predecessor;
use crate::project::model::Project;

/// Statuses of contracts that promise nothing yet.
const DRAFTS: [&str; 3] = ["proposed", "draft", "development"];
/// Keys that say which columns a row has and how they are read: what a map can adapt.
const SHAPE: [&str; 12] = [
    "property",
    "properties",
    "logicalType",
    "physicalType",
    "physicalName",
    "required",
    "primaryKey",
    "format",
    "timezone",
    "defaultTimezone",
    "dimensions",
    "type",
];
/// Says that every producer sends the new shape already.
const ADAPTER: &str = "seawall.adapter";

/// Two versions of the contract of one dataset.
struct Pair<'a> {
    dataset: &'a str,
    old: &'a Contract,
    new: &'a Contract,
}

/// Refuses the contracts of `next` when one of them breaks with those of `active`: SW0912 without a new major version or
/// when the table cannot follow, SW1701 without an adapter.
pub fn expect_compatible(active: &Project, next: &Project) -> Result<()> {
    for new in &next.contracts {
        for object in new.objects() {
            let describes = |old: &&Contract| old.objects().iter().any(|other| other.name == object.name);
            let Some(old) = active.contracts.iter().find(describes) else { continue };
            expect_one(&Pair { dataset: &object.name, old, new }, active, next)?;
        }
    }
    Ok(())
}

/// What differs in the contract `id@major` of `next`, when `active` has one of the same id.
pub(super) fn changes_of(active: Option<&Project>, next: &Project, name: &str) -> Vec<ContractChange> {
    let named = |contract: &&Contract| super::plan::contract_name(contract) == name;
    let Some(new) = next.contracts.iter().find(named) else { return Vec::new() };
    let old = active.and_then(|project| predecessor(&project.contracts, &new.id, new.major()));
    old.map(|old| contract::diff(old, new).changes).unwrap_or_default()
}

fn expect_one(pair: &Pair<'_>, active: &Project, next: &Project) -> Result<()> {
    let compiled = |contract: &Contract| -> Option<Gate> { contract::compile(contract, Some(pair.dataset)).ok() };
    let (Some(before), Some(after)) = (compiled(pair.old), compiled(pair.new)) else { return Ok(()) };
    let changes = contract::schema_change(before.dataset(), after.dataset());
    let retyped = |change: &&Change| !change.compatible && matches!(change.kind, ChangeKind::Retyped { .. });
    if let Some(change) = changes.iter().find(retyped) {
        return Err(table_cannot_follow(pair.dataset, change));
    }
    if pair.old.status.as_deref().is_some_and(|status| DRAFTS.contains(&status)) {
        return Ok(());
    }
    let diff = contract::diff(pair.old, pair.new);
    let concerns = |change: &&ContractChange| {
        change.key != "id" && change.object.as_deref().is_none_or(|name| name == pair.dataset)
    };
    let breaking: Vec<&ContractChange> = diff.breaking().filter(concerns).collect();
    if pair.new.major() <= pair.old.major() && !breaking.is_empty() {
        return Err(needs_major(pair, &breaking));
    }
    let shape = |change: &&&ContractChange| change.breaks.producers() && SHAPE.contains(&change.key.as_str());
    match breaking.iter().find(shape) {
        Some(change) if !is_adapted(pair, active, next) => Err(needs_adapter(pair, change)),
        Some(_) | None => Ok(()),
    }
}

/// Whether producers of the old shape have a way in: a map that is new, or nobody who needs one.
fn is_adapted(pair: &Pair<'_>, active: &Project, next: &Project) -> bool {
    let feeds = |project: &'_ Project| project.sources.iter().any(|source| source.dataset == pair.dataset);
    let said = pair.new.custom_properties.iter().find(|one| one.property == ADAPTER);
    let is_waived = said.is_some_and(|one| one.value == "none");
    let is_known = |name: &str, map: &str| {
        active.sources.iter().any(|source| source.name == name && source.map.as_deref() == Some(map))
    };
    let mut adapters = next.sources.iter().filter(|source| source.dataset == pair.dataset);
    let has_adapter = adapters.any(|source| source.map.as_deref().is_some_and(|map| !is_known(&source.name, map)));
    is_waived || has_adapter || !feeds(active)
}

fn table_cannot_follow(dataset: &str, change: &Change) -> Error {
    let ChangeKind::Retyped { from, to } = &change.kind else {
        return Error::internal("SW0606", format!("{change:?} is no change of a type"));
    };
    let message = format!(
        "dataset {dataset} changes in a way that no table follows: column {} turns from {from} into {to}",
        change.column
    );
    Error::invalid("SW0912", message)
        .hint("give the column of another type another name, or the rows a dataset of their own")
}

fn needs_major(pair: &Pair<'_>, breaking: &[&ContractChange]) -> Error {
    let named: Vec<String> = breaking.iter().take(3).map(|change| sentence(change)).collect();
    let more = match breaking.len().saturating_sub(3) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let message = format!("dataset {} changes in a way that breaks: {}{more}", pair.dataset, named.join("; "));
    let next = pair.old.major().unwrap_or(0) + 1;
    Error::invalid("SW0912", message).hint(format!(
        "give contract {} the version {next}.0.0 and name it {}@{next} in its sources; `seawall contract diff applied FILE` shows every change",
        pair.new.id, pair.new.id
    ))
}

fn needs_adapter(pair: &Pair<'_>, change: &ContractChange) -> Error {
    let message = format!(
        "dataset {} has a new shape and no adapter for those who send the old one: {}",
        pair.dataset,
        sentence(change)
    );
    Error::invalid("SW1701", message).hint(format!(
        "add a source with a `map` from the old shape to {}@{}; when every producer has moved, say so in the contract: customProperties {{property: {ADAPTER}, value: none}}",
        pair.new.id,
        pair.new.major().unwrap_or(0)
    ))
}

/// For example `payments.amount maximum: <= 5 -> <= 3 (breaks producers: ...)`.
pub(super) fn sentence(change: &ContractChange) -> String {
    let shown = |value: &Option<serde_json::Value>| match value {
        None => "nothing".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) if value.is_object() => "another rule".to_owned(),
        Some(value) => value.to_string(),
    };
    let values = match (&change.from, &change.to) {
        (None, None) => String::new(),
        (None, Some(_)) if change.key == "property" => " is new".to_owned(),
        (Some(_), None) if change.key == "property" => " is gone".to_owned(),
        (from, to) => format!(": {} -> {}", shown(from), shown(to)),
    };
    let place = if change.key == "property" { change.place().replace(" property", "") } else { change.place() };
    format!("{place}{values} ({}: {})", change.breaks.words(), change.why)
}
