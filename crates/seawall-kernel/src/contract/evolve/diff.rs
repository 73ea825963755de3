//! Two contracts, key by key: objects by name, columns by name, rules by what they are called.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::compile_for_test;
use super::super::model::{Contract, CustomProperty, SchemaObject, custom};
use super::super::verdict::Mode;
use super::bound::Turn;
use super::{ChangeKind, guarantee, property, schema_change};

/// Whom a change breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breaks {
    /// It is compatible.
    Nobody,
    /// Rows that were accepted may be stopped.
    Producers,
    /// Readers may meet what they were promised never to meet, or miss what was there.
    Consumers,
    /// Producers and consumers.
    Both,
}

impl Breaks {
    /// Whether producers have to act.
    pub fn producers(self) -> bool {
        matches!(self, Breaks::Producers | Breaks::Both)
    }

    /// Whether consumers have to act.
    pub fn consumers(self) -> bool {
        matches!(self, Breaks::Consumers | Breaks::Both)
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Breaks::Nobody => "compatible",
            Breaks::Producers => "breaks producers",
            Breaks::Consumers => "breaks consumers",
            Breaks::Both => "breaks producers and consumers",
        }
    }
}

/// One difference between two versions of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractChange {
    /// The object; absent for what is said of the contract as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The column, with a path into nested ones (`lines[].price`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The key that differs: `maximum`, `enum`, `quality.total`.
    pub key: String,
    /// What it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What it becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
    /// Whom it breaks.
    pub breaks: Breaks,
    /// How far it asks the version to move.
    pub needs: Bump,
    /// Why, for people.
    pub why: String,
}

impl ContractChange {
    /// Where: `orders.amount maximum`.
    pub fn place(&self) -> String {
        let mut place = self.object.clone().unwrap_or_default();
        if let Some(column) = &self.column {
            place.push('.');
            place.push_str(column);
        }
        if place.is_empty() { self.key.clone() } else { format!("{place} {}", self.key) }
    }
}

/// How far a version moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bump {
    /// Not at all, or backwards.
    None,
    /// The third number.
    Patch,
    /// The second number.
    Minor,
    /// The first number.
    Major,
}

/// What differs between two versions of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContractDiff {
    /// Version before.
    pub from: String,
    /// Version after.
    pub to: String,
    /// Every difference, in the order of the contracts.
    pub changes: Vec<ContractChange>,
    /// How far the version has to move for these changes.
    pub needs: Bump,
    /// How far it moves.
    pub moves: Bump,
}

impl ContractDiff {
    /// The changes that break somebody.
    pub fn breaking(&self) -> impl Iterator<Item = &ContractChange> {
        self.changes.iter().filter(|change| change.breaks != Breaks::Nobody)
    }

    /// Whether the version moves as far as the changes ask for.
    pub fn is_versioned(&self) -> bool {
        self.moves >= self.needs
    }
}

/// Where a change is.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub object: Option<String>,
    pub column: Option<String>,
}

impl Place {
    /// A column or a part of one within this place.
    pub(super) fn at(&self, column: String) -> Place {
        Place { object: self.object.clone(), column: Some(column) }
    }
}

/// The changes found so far.
#[derive(Default)]
pub(super) struct Found {
    pub changes: Vec<ContractChange>,
}

impl Found {
    pub(super) fn add(
        &mut self,
        place: &Place,
        key: &str,
        values: (Option<Value>, Option<Value>),
        breaks: Breaks,
        why: &str,
    ) {
        let needs = if breaks == Breaks::Nobody { Bump::Minor } else { Bump::Major };
        self.changes.push(ContractChange {
            object: place.object.clone(),
            column: place.column.clone(),
            key: key.to_owned(),
            from: values.0,
            to: values.1,
            breaks,
            needs,
            why: why.to_owned(),
        });
    }

    /// A key that promises nothing.
    pub(super) fn describe(&mut self, place: &Place, key: &str, values: (Option<Value>, Option<Value>)) {
        self.add(place, key, values, Breaks::Nobody, "it describes and promises nothing");
        if let Some(added) = self.changes.last_mut() {
            added.needs = Bump::Patch;
        }
    }

    /// A limit that lets more or less through than it did.
    pub(super) fn turned(&mut self, place: &Place, key: &str, values: (Option<Value>, Option<Value>), turn: Turn) {
        match turn {
            Turn::Same => {}
            Turn::Looser => {
                self.add(
                    place,
                    key,
                    values,
                    Breaks::Nobody,
                    "every row that was accepted is; consumers may meet new values",
                );
            }
            Turn::Tighter => {
                self.add(place, key, values, Breaks::Producers, "rows that were accepted may be stopped");
            }
        }
    }

    /// Keys that the gate does not read.
    pub(super) fn descriptive(&mut self, place: &Place, old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for key in keys.into_iter().filter(|key| old.get(*key) != new.get(*key)) {
            let values = (old.get(key).cloned(), new.get(key).cloned());
            match key.as_str() {
                "servers" => self.add(place, key, values, Breaks::Nobody, "where other systems find the data"),
                "embeddingModel" | "embeddingModelVersion" | "distanceMetric" => {
                    self.add(place, key, values, Breaks::Consumers, "the same numbers mean something else");
                }
                _ => self.describe(place, key, values),
            }
        }
    }
}

/// A value as JSON, for the report.
pub(super) fn json<T: Serialize>(value: &T) -> Option<Value> {
    serde_json::to_value(value).ok().filter(|value| !value.is_null())
}

/// Everything that differs from `old` to `new`.
pub fn diff(old: &Contract, new: &Contract) -> ContractDiff {
    let mut found = Found::default();
    let whole = Place::default();
    if old.id != new.id {
        let why = "sources name the contract by its id";
        found.add(&whole, "id", (json(&old.id), json(&new.id)), Breaks::Both, why);
    }
    for (key, old, new) in [("name", &old.name, &new.name), ("status", &old.status, &new.status)] {
        if old != new {
            found.describe(&whole, key, (json(old), json(new)));
        }
    }
    if old.api_version != new.api_version {
        found.describe(&whole, "apiVersion", (json(&old.api_version), json(&new.api_version)));
    }
    if old.roles != new.roles {
        found.describe(&whole, "roles", (json(&old.roles), json(&new.roles)));
    }
    found.descriptive(&whole, &old.other, &new.other);
    custom_properties(&whole, &old.custom_properties, &new.custom_properties, &mut found);
    guarantee::service_levels(old, new, &mut found);
    for before in &old.schema {
        let place = Place { object: Some(before.name.clone()), column: None };
        match new.schema.iter().find(|after| after.name == before.name) {
            Some(after) => object(&place, before, after, (old, new), &mut found),
            None => found.add(&place, "object", (json(&before.name), None), Breaks::Both, "the dataset is gone"),
        }
    }
    for after in new.schema.iter().filter(|after| !old.schema.iter().any(|before| before.name == after.name)) {
        let place = Place { object: Some(after.name.clone()), column: None };
        found.add(&place, "object", (None, json(&after.name)), Breaks::Nobody, "a new dataset");
    }
    let needs = found.changes.iter().map(|change| change.needs).max().unwrap_or(Bump::None);
    ContractDiff {
        from: old.version.clone(),
        to: new.version.clone(),
        changes: found.changes,
        needs,
        moves: bump(&old.version, &new.version),
    }
}

fn object(place: &Place, old: &SchemaObject, new: &SchemaObject, contracts: (&Contract, &Contract), found: &mut Found) {
    property::key(place, old, new, found);
    property::list(place, "", &old.properties, &new.properties, found);
    guarantee::rules(place, &old.quality, &new.quality, found);
    guarantee::relationships(place, &old.relationships, &new.relationships, found);
    custom_properties(place, &old.custom_properties, &new.custom_properties, found);
    found.descriptive(place, &old.other, &new.other);
    // Whatever the keys say: a table that cannot follow breaks everybody.
    let compiled = |contract: &Contract| compile_for_test(contract, Some(&old.name)).ok();
    let (Some(before), Some(after)) = (compiled(contracts.0), compiled(contracts.1)) else { return };
    for change in schema_change(before.dataset(), after.dataset()).into_iter().filter(|change| !change.compatible) {
        let column = Some(&change.column).filter(|column| !column.is_empty());
        let is_told = |known: &super::ContractChange| {
            known.object == place.object
                && known.breaks != Breaks::Nobody
                && column.is_none_or(|column| known.column.as_ref() == Some(column))
        };
        if !found.changes.iter().any(is_told) {
            let place = Place { object: place.object.clone(), column: column.cloned() };
            let (key, breaks, why) = match change.kind {
                ChangeKind::BecameNullable => {
                    ("required", Breaks::Consumers, "consumers may meet null where there was none")
                }
                ChangeKind::BecameRequired => ("required", Breaks::Producers, "rows without a value may be stopped"),
                ChangeKind::AddedNullable
                | ChangeKind::AddedRequired
                | ChangeKind::Removed
                | ChangeKind::Retyped { .. }
                | ChangeKind::KeyChanged { .. }
                | ChangeKind::EventTimeChanged { .. }
                | ChangeKind::BecamePersonal
                | ChangeKind::NoLongerPersonal => ("type", Breaks::Both, "the table cannot follow"),
            };
            found.add(&place, key, (None, None), breaks, why);
        }
    }
}

/// The properties that Seawall reads, and the others.
pub(super) fn custom_properties(place: &Place, old: &[CustomProperty], new: &[CustomProperty], found: &mut Found) {
    let names: BTreeSet<&str> = old.iter().chain(new).map(|one| one.property.as_str()).collect();
    for name in names {
        let (before, after) = (custom(old, name), custom(new, name));
        if before == after {
            continue;
        }
        let (breaks, why) = match name {
            "seawall.changelog" => (Breaks::Both, "the newest row of a key stands, or no longer does"),
            "seawall.eventTime" => (Breaks::Both, "another column says when it happened"),
            "seawall.zone" => (Breaks::Both, "local times mean other instants"),
            "seawall.compat" => (Breaks::Both, "rules count differently"),
            "seawall.mode" => mode_change(mode_of(before), mode_of(after)),
            "seawall.haltAbove" if after.is_none() => (Breaks::Nobody, "no share of bad rows halts the dataset"),
            "seawall.haltAbove" => (Breaks::Producers, "another share of bad rows halts the dataset"),
            "seawall.dedupHorizon" => (Breaks::Nobody, "keys are remembered for another time"),
            "seawall.permits" => (Breaks::Nobody, "it is checked against the lineage of the project"),
            "seawall.personal" => (Breaks::Consumers, "what is personal is masked and kept apart"),
            _ => {
                found.describe(place, name, (before.cloned(), after.cloned()));
                continue;
            }
        };
        found.add(place, name, (before.cloned(), after.cloned()), breaks, why);
    }
}

fn mode_of(value: Option<&Value>) -> Option<Mode> {
    value.and_then(Value::as_str).and_then(Mode::parse)
}

/// Rules that stop more break producers, rules that let more pass break consumers. Rules about rows quarantine unless
/// something else is said.
pub(super) fn mode_change(old: Option<Mode>, new: Option<Mode>) -> (Breaks, &'static str) {
    let (old, new) = (old.unwrap_or(Mode::Quarantine), new.unwrap_or(Mode::Quarantine));
    match old.cmp(&new) {
        std::cmp::Ordering::Less => (Breaks::Producers, "a breach does more than it did"),
        std::cmp::Ordering::Greater => (Breaks::Consumers, "a breach does less than it did"),
        std::cmp::Ordering::Equal => (Breaks::Nobody, "a breach does what it did"),
    }
}

fn bump(old: &str, new: &str) -> Bump {
    let parts = |version: &str| -> [u64; 3] {
        let mut parts = version.trim_start_matches('v').split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
        [parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0)]
    };
    let (old, new) = (parts(old), parts(new));
    match (0..3).find(|at| old[*at] != new[*at]) {
        Some(at) if new[at] > old[at] => [Bump::Major, Bump::Minor, Bump::Patch][at],
        Some(_) | None => Bump::None,
    }
}
