//! Who can see and do what, and how a change of policies alters it.

use std::collections::{BTreeMap, BTreeSet};

use seawall_base::grant::{Comparison, Literal, Mask, Predicate, TableGrant};

use super::decide::Subject;
use super::grants::{is_visible, sights};
use super::mask;
use super::set::PolicySet;
use super::shape::TableKind;
use super::{Action, Principal};

#[cfg(test)]
mod tests;

/// What a principal can do and see.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// Who.
    pub principal: Principal,
    /// Rights on things that no policy names.
    pub rights: BTreeSet<Action>,
    /// Every table but the catalog's own, by name.
    pub tables: BTreeMap<String, TableAccess>,
}

/// What a principal can do and see of one table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableAccess {
    /// Rights on the table.
    pub rights: BTreeSet<Action>,
    /// Rows and values that are shown, given a right to see the table.
    pub grant: TableGrant,
}

/// What a change of policies means for one principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessChange {
    /// Who.
    pub principal: Principal,
    /// What it can do or see afterwards and could not before, one sentence each.
    pub gains: Vec<String>,
    /// What it could do or see before and cannot afterwards.
    pub loses: Vec<String>,
}

impl PolicySet {
    /// What `principal` can do and see.
    pub fn access_of(&self, principal: &Principal) -> Access {
        let compiled = self.inner.as_ref();
        let subject = Subject::of(principal);
        let held = |resource: &str| -> BTreeSet<Action> {
            Action::ALL.into_iter().filter(|action| compiled.allows(&subject, *action, resource)).collect()
        };
        let mut grants = sights(compiled, &subject);
        let mut tables = BTreeMap::new();
        for table in compiled.shape.tables.iter().filter(|table| table.kind != TableKind::System) {
            let mut rights = held(&table.name);
            rights.retain(|action| !action.shows_rows() || is_visible(compiled, &subject, *action, table));
            let grant = grants.remove(&table.name).unwrap_or_default();
            tables.insert(table.name.clone(), TableAccess { rights, grant });
        }
        Access { principal: principal.clone(), rights: held(""), tables }
    }
}

/// What each of `principals` gains and loses when `new` takes the place of `old`; who neither gains nor loses is left
/// out. Tables that only one of the sets knows are not compared.
pub fn access_diff(old: &PolicySet, new: &PolicySet, principals: &[Principal]) -> Vec<AccessChange> {
    let mut changes = Vec::new();
    for principal in principals {
        let (before, after) = (old.access_of(principal), new.access_of(principal));
        let mut change = AccessChange { principal: principal.clone(), gains: Vec::new(), loses: Vec::new() };
        change.gains.extend(after.rights.difference(&before.rights).map(|right| right.to_string()));
        change.loses.extend(before.rights.difference(&after.rights).map(|right| right.to_string()));
        for (name, was) in &before.tables {
            let Some(is) = after.tables.get(name) else { continue };
            let mut table = Comparing { name, change: &mut change };
            table.rights(&was.rights, &is.rights, &before.rights, &after.rights);
            if was.rights.iter().chain(&is.rights).any(|right| right.shows_rows()) {
                table.rows(was.grant.rows.as_ref(), is.grant.rows.as_ref());
                table.masks(&was.grant.masks, &is.grant.masks);
            }
        }
        if !change.gains.is_empty() || !change.loses.is_empty() {
            changes.push(change);
        }
    }
    changes
}

/// One table, before and after.
struct Comparing<'a> {
    name: &'a str,
    change: &'a mut AccessChange,
}

impl Comparing<'_> {
    /// Rights on this table, unless the same right changed everywhere.
    fn rights(
        &mut self,
        was: &BTreeSet<Action>,
        is: &BTreeSet<Action>,
        was_held: &BTreeSet<Action>,
        is_held: &BTreeSet<Action>,
    ) {
        for right in is.difference(was).filter(|right| was_held.contains(right) || !is_held.contains(right)) {
            self.change.gains.push(format!("{right} on {}", self.name));
        }
        for right in was.difference(is).filter(|right| is_held.contains(right) || !was_held.contains(right)) {
            self.change.loses.push(format!("{right} on {}", self.name));
        }
    }

    fn rows(&mut self, was: Option<&Predicate>, is: Option<&Predicate>) {
        if was == is {
            return;
        }
        let name = self.name;
        let rows = |filter: &Predicate| format!("rows of {name} where {}", described(filter));
        match (was, is) {
            (Some(was), None) => self.change.gains.push(format!("all rows of {name}, so far {}", described(was))),
            (None, Some(is)) => self.change.loses.push(format!("rows of {name} other than {}", described(is))),
            (Some(was), Some(is)) => {
                let none = Predicate::Constant(false);
                if *is != none {
                    self.change.gains.push(rows(is));
                }
                if *was != none {
                    self.change.loses.push(rows(was));
                }
            }
            (None, None) => {}
        }
    }

    fn masks(&mut self, was: &BTreeMap<String, Mask>, is: &BTreeMap<String, Mask>) {
        let columns: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for column in columns {
            let name = self.name;
            match (was.get(column), is.get(column)) {
                (Some(mask), None) => {
                    self.change.gains.push(format!("{name}.{column} as it is, so far {}", mask::name(mask)));
                }
                (None, Some(mask)) => {
                    self.change.loses.push(format!("{name}.{column} as it is, from now on {}", mask::name(mask)));
                }
                (Some(was), Some(is)) if was != is => {
                    let text = format!("{name}.{column} by {}, so far {}", mask::name(is), mask::name(was));
                    let gains = mask::rank(is) > mask::rank(was);
                    let list = if gains { &mut self.change.gains } else { &mut self.change.loses };
                    list.push(text);
                }
                _ => {}
            }
        }
    }
}

/// A filter in words, close to SQL.
pub(super) fn described(filter: &Predicate) -> String {
    let joined = |parts: &[Predicate], word: &str| {
        let parts: Vec<String> = parts.iter().map(described).collect();
        format!("({})", parts.join(word))
    };
    match filter {
        Predicate::Constant(true) => "all".to_owned(),
        Predicate::Constant(false) => "none".to_owned(),
        Predicate::Compare { column, operator, literal } => format!("{column} {} {}", sign(*operator), text(literal)),
        Predicate::OneOf { column, literals } => {
            let literals: Vec<String> = literals.iter().map(text).collect();
            format!("{column} in ({})", literals.join(", "))
        }
        Predicate::Present(column) => format!("{column} is not null"),
        Predicate::Like { column, parts } => format!("{column} like {:?}", parts.join("*")),
        Predicate::Not(inner) => format!("not {}", described(inner)),
        Predicate::All(parts) => joined(parts, " and "),
        Predicate::Any(parts) => joined(parts, " or "),
        Predicate::OrElse(inner, _) => described(inner),
    }
}

fn sign(operator: Comparison) -> &'static str {
    match operator {
        Comparison::Equal => "=",
        Comparison::NotEqual => "<>",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

fn text(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => format!("{text:?}"),
        Literal::Integer(number) => number.to_string(),
        Literal::Bool(value) => value.to_string(),
    }
}
