//! Who answers for a contract, and how confidential its columns are: what policies and reports ask of contracts.

use seawall_kernel::contract::{Contract, Property, SchemaObject};
use serde_json::Value;

/// Extensions under which a contract can name its owner.
const OWNER_PROPERTIES: [&str; 2] = ["seawall.owner", "owner"];

/// Classification and tags of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnLabels {
    /// The column.
    pub column: String,
    /// Its classification as it is written, or that of the first of its parts that has one.
    pub classification: Option<String>,
    /// Its tags and those of its parts, without repetitions.
    pub tags: Vec<String>,
}

/// Who answers for the datasets of a contract: the custom property `seawall.owner` or `owner`, else the name of the
/// team, else the member of the team whose role is owner and who has not left.
pub fn owner_of(contract: &Contract) -> Option<String> {
    let extension = |name: &&str| {
        let found = contract.custom_properties.iter().find(|custom| custom.property == **name)?;
        text(Some(&found.value))
    };
    let declared = OWNER_PROPERTIES.iter().find_map(extension);
    declared.or_else(|| team_owner(contract.other.get("team")?))
}

/// A team as v3.1 and v3.2 write it (`{name, members}`), or as v3.0 does (a list of members).
fn team_owner(team: &Value) -> Option<String> {
    let members = match team {
        Value::Array(members) => members.as_slice(),
        _ => team.get("members").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default(),
    };
    let is_owner = |member: &&Value| {
        let role = member.get("role").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        let has_left = member.get("dateOut").is_some_and(|date| !date.is_null());
        role.contains("owner") && !has_left
    };
    let of_member = |member: &Value| text(member.get("username")).or_else(|| text(member.get("name")));
    text(team.get("name")).or_else(|| members.iter().find(is_owner).and_then(of_member))
}

/// Classification and tags of every column of an object, in the order of the contract. Columns without a name, which no
/// sound contract has, are left out.
pub fn column_labels(object: &SchemaObject) -> Vec<ColumnLabels> {
    let mut columns = Vec::with_capacity(object.properties.len());
    for property in &object.properties {
        let Some(column) = property.name.clone() else { continue };
        let mut labels = ColumnLabels { column, classification: None, tags: Vec::new() };
        collect(property, &mut labels);
        columns.push(labels);
    }
    columns
}

/// Adds what a property and its parts say, the outermost first.
fn collect(property: &Property, labels: &mut ColumnLabels) {
    if labels.classification.is_none() {
        labels.classification = property.classification.clone();
    }
    let tags = property.other.get("tags").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for tag in tags.iter().filter_map(Value::as_str) {
        if !labels.tags.iter().any(|known| known == tag) {
            labels.tags.push(tag.to_owned());
        }
    }
    for part in property.properties.iter().chain(property.items.as_deref()) {
        collect(part, labels);
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
