//! Relationships: values that must exist elsewhere, as questions in SQL when the other side is an object of the same
//! contract.

use super::super::model::{Contract, Property, Relationship, SchemaObject};
use super::super::rule::Threshold;
use super::super::table_rule::{Expected, TableRule, identifier};
use super::super::verdict::Mode;
use super::Compiler;

/// Columns of one object of the contract.
struct Side<'c> {
    object: &'c SchemaObject,
    columns: Vec<&'c str>,
}

impl Compiler {
    pub(super) fn relationships(&mut self, contract: &Contract, object: &SchemaObject, path: &str) {
        for (i, relationship) in object.relationships.iter().enumerate() {
            let json = format!("{path}/relationships/{i}");
            let from: Vec<String> = relationship.from.as_ref().map(|from| from.all().to_vec()).unwrap_or_default();
            self.relationship(contract, object, relationship, from, json);
        }
        for (i, property) in object.properties.iter().enumerate() {
            let name = property.name.as_deref().unwrap_or_default();
            for (j, relationship) in property.relationships.iter().enumerate() {
                let json = format!("{path}/properties/{i}/relationships/{j}");
                let from = vec![format!("{}.{name}", object.name)];
                self.relationship(contract, object, relationship, from, json);
            }
            self.nested_relationships(property, &format!("{path}/properties/{i}"), name);
        }
    }

    fn nested_relationships(&mut self, property: &Property, json: &str, path: &str) {
        for (i, field) in property.properties.iter().enumerate() {
            let json = format!("{json}/properties/{i}");
            let path = format!("{path}.{}", field.name.as_deref().unwrap_or_default());
            for j in 0..field.relationships.len() {
                let reason = "values within objects are not compared with other tables";
                self.skip(&format!("{json}/relationships/{j}"), "foreign_key", Some(&path), reason);
            }
            self.nested_relationships(field, &json, &path);
        }
    }

    fn relationship(
        &mut self,
        contract: &Contract,
        object: &SchemaObject,
        relationship: &Relationship,
        from: Vec<String>,
        json: String,
    ) {
        let to: Vec<String> = relationship.to.as_ref().map(|to| to.all().to_vec()).unwrap_or_default();
        let own = resolve(contract, &from);
        let other = resolve(contract, &to);
        let column = own.as_ref().ok().filter(|own| own.columns.len() == 1).map(|own| own.columns[0].to_owned());
        let sides = own.and_then(|own| Ok((own, other?)));
        match sides {
            Ok((own, _)) if own.object.name != object.name => {
                let reason = format!("it is about {}, not about {}", own.object.name, object.name);
                self.skip(&json, "foreign_key", column.as_deref(), reason);
            }
            Ok((own, other)) if own.columns.len() != other.columns.len() => {
                let message = "the relationship has not as many columns on both sides";
                self.problem(&json, "SW0213", message, "write as many columns under `from` as under `to`");
            }
            Ok((own, other)) => {
                let rule = foreign_key(&own, &other, column, json);
                self.table_rules.push(rule);
            }
            Err(reason) => self.skip(&json, "foreign_key", column.as_deref(), reason),
        }
    }
}

fn foreign_key(own: &Side<'_>, other: &Side<'_>, column: Option<String>, path: String) -> TableRule {
    let pairs = || own.columns.iter().zip(&other.columns);
    let matches: Vec<String> =
        pairs().map(|(from, to)| format!("r.{} = t.{}", identifier(to), identifier(from))).collect();
    // As in SQL, a reference with a null in it refers to nothing and breaks nothing.
    let present: Vec<String> = own.columns.iter().map(|from| format!("t.{} IS NOT NULL", identifier(from))).collect();
    let sql = format!(
        "SELECT count(*) FROM {} t WHERE {} AND NOT EXISTS (SELECT 1 FROM {} r WHERE {})",
        identifier(&own.object.name),
        present.join(" AND "),
        identifier(&other.object.name),
        matches.join(" AND ")
    );
    let described: Vec<String> = other.columns.iter().map(|column| format!("{}.{column}", other.object.name)).collect();
    TableRule {
        rule: "foreign_key".to_owned(),
        column,
        path,
        mode: Mode::Warn,
        description: format!("{} must exist in {}", own.columns.join(", "), described.join(", ")),
        sql,
        tables: vec![other.object.name.clone()],
        expected: Expected::Number(Threshold::Equals(0.0)),
    }
}

/// The object and the columns that `references` name; the error says what they do not lead to.
fn resolve<'c>(contract: &'c Contract, references: &[String]) -> Result<Side<'c>, String> {
    let mut found: Option<Side<'c>> = None;
    for reference in references {
        let (object, column) = resolve_one(contract, reference)?;
        match &mut found {
            None => found = Some(Side { object, columns: vec![column] }),
            Some(side) if side.object.name == object.name => side.columns.push(column),
            Some(_) => return Err("its columns belong to several objects".to_owned()),
        }
    }
    found.ok_or_else(|| "it names no column".to_owned())
}

fn resolve_one<'c>(contract: &'c Contract, reference: &str) -> Result<(&'c SchemaObject, &'c str), String> {
    if reference.contains('#') {
        return Err(format!("{reference:?} is in another contract"));
    }
    let parts: Vec<&str> = match reference.contains('/') {
        true => reference.trim_start_matches('/').split('/').collect(),
        false => reference.split('.').collect(),
    };
    let (object, column) = match parts.as_slice() {
        ["schema", object, "properties", column] => (*object, *column),
        [object, column] => (*object, *column),
        _ => return Err(format!("{reference:?} does not lead to a column of an object")),
    };
    let by_id = parts.len() == 4;
    let id = |other: &std::collections::BTreeMap<String, serde_json::Value>| {
        other.get("id").and_then(serde_json::Value::as_str).map(str::to_owned)
    };
    let has_object = |o: &&SchemaObject| if by_id { id(&o.other).as_deref() == Some(object) } else { o.name == object };
    let object = contract
        .schema
        .iter()
        .find(has_object)
        .ok_or_else(|| format!("{reference:?} leads nowhere: the contract has no such object"))?;
    let has_column = |p: &&Property| {
        if by_id { id(&p.other).as_deref() == Some(column) } else { p.name.as_deref() == Some(column) }
    };
    let property = object.properties.iter().find(has_column).and_then(|property| property.name.as_deref());
    let column =
        property.ok_or_else(|| format!("{reference:?} leads nowhere: {} has no such property", object.name))?;
    Ok((object, column))
}
