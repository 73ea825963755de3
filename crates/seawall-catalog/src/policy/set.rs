//! A policy set: the policies of a project, checked against its tables.
//!
//! Checking happens once, in [`PolicySet::compile`], and is strict: what Cedar's validator doubts, a table or a role that
//! does not exist, a policy that can never apply, a row policy that has no translation. A set that compiles is decided
//! by [`super::decide`] and never fails later.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cedar_policy::pst;
use cedar_policy::{
    ActionConstraint, Policy, PolicyId, PolicySet as CedarSet, Schema, ValidationMode, ValidationWarning, Validator,
};
use miette::Diagnostic;

use super::decide::Subject;
use super::filter::{self, Asker};
use super::shape::{self, READ_RAW, READ_ROW, ROW_PREFIX, Shape, TableKind, TableShape};
use super::source::{self, PolicyProblem, Statement};
use super::{Action, Principal, Role};

#[cfg(test)]
mod tests;

/// The policies that hold unless the project replaces them.
const DEFAULT_TEXT: &str = include_str!("default.cedar");
/// Name of the file that replaces them.
const DEFAULT_FILE: &str = "default.cedar";
/// What an owner must be able to do, or nobody could mend the policies.
const OWNERS_NEED: [Action; 3] = [Action::ApplyProject, Action::ManageTokens, Action::Administer];

/// The policies of a project, ready to decide. Clones share it.
#[derive(Clone)]
pub struct PolicySet {
    pub(super) inner: Arc<Compiled>,
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicySet({} policies)", self.inner.statements.len())
    }
}

pub(super) struct Compiled {
    pub(super) shape: Shape,
    pub(super) tables: BTreeMap<String, usize>,
    pub(super) schema: Schema,
    /// Policies that may decide on an action.
    pub(super) rights: CedarSet,
    /// Policies that may decide on a row.
    pub(super) rows: CedarSet,
    /// Policies that may decide on a column's values.
    pub(super) values: CedarSet,
    statements: BTreeMap<PolicyId, Statement>,
}

impl PolicySet {
    /// Checks `files` (path and text) against the tables of `shape`. They are added to the default policies, unless one
    /// of them is named `default.cedar`, which takes their place.
    ///
    /// Problems have the codes SW0613 (does not parse), SW0614 (does not fit the project), SW0615 (a row policy that
    /// cannot be a filter), SW0616 (masks) and SW0617 (owners would lock themselves out), in order of their places.
    pub fn compile(files: &[(String, String)], shape: &Shape) -> Result<PolicySet, Vec<PolicyProblem>> {
        let mut problems = Vec::new();
        let mut statements = Vec::new();
        if !files.iter().any(|(path, _)| replaces_default(path)) {
            statements = source::parse(DEFAULT_FILE, DEFAULT_TEXT, &mut problems);
        }
        for (path, text) in files {
            statements.extend(source::parse(path, text, &mut problems));
        }
        if !problems.is_empty() {
            return Err(sorted(problems));
        }
        let compiled = Compiled::new(statements, shape).map_err(|problem| vec![problem])?;
        compiled.check(&mut problems);
        if problems.is_empty() {
            return Ok(PolicySet { inner: Arc::new(compiled) });
        }
        Err(sorted(problems))
    }

    /// The default policies, for a project without tables.
    pub fn defaults() -> PolicySet {
        PolicySet::compile(&[], &Shape::default()).expect("the policies that are shipped compile")
    }

    /// The tables that the policies speak about.
    pub fn shape(&self) -> &Shape {
        &self.inner.shape
    }
}

const NEVER_APPLIES: &str = "this policy can never apply";

fn replaces_default(path: &str) -> bool {
    path.rsplit('/').next() == Some(DEFAULT_FILE)
}

fn sorted(mut problems: Vec<PolicyProblem>) -> Vec<PolicyProblem> {
    problems.sort();
    problems.dedup();
    // That a policy can never apply follows from what else is wrong on its line.
    let follows = |one: &PolicyProblem| {
        let beside = |other: &&PolicyProblem| other.file == one.file && other.line == one.line && *other != one;
        one.message == NEVER_APPLIES && problems.iter().any(|other| beside(&other) && other.message != NEVER_APPLIES)
    };
    problems.iter().filter(|one| !follows(one)).cloned().collect()
}

impl Compiled {
    fn new(statements: Vec<Statement>, shape: &Shape) -> Result<Compiled, PolicyProblem> {
        let whole = |message: String| PolicyProblem {
            file: String::new(),
            line: 1,
            column: 1,
            code: "SW0614",
            message,
            hint: None,
        };
        let schema =
            shape.schema().map_err(|cause| whole(format!("policies cannot speak of these tables: {cause}")))?;
        let chosen = |wanted: &[&str]| {
            let policies = statements.iter().map(|one| one.policy.clone()).filter(|policy| concerns(policy, wanted));
            CedarSet::from_policies(policies).map_err(|error| whole(error.to_string()))
        };
        let actions: Vec<&str> = Action::ALL.into_iter().map(Action::as_str).collect();
        let (rights, rows, values) = (chosen(&actions)?, chosen(&[READ_ROW])?, chosen(&[READ_RAW])?);
        let tables = shape.tables.iter().enumerate().map(|(at, table)| (table.name.clone(), at)).collect();
        let statements = statements.into_iter().map(|one| (one.policy.id().clone(), one)).collect();
        Ok(Compiled { shape: shape.clone(), tables, schema, rights, rows, values, statements })
    }

    pub(super) fn table(&self, name: &str) -> Option<&TableShape> {
        self.tables.get(name).and_then(|at| self.shape.tables.get(*at))
    }

    /// The policies of the whole set, ordered by id.
    pub(super) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.statements.values().map(|statement| &statement.policy)
    }

    fn check(&self, problems: &mut Vec<PolicyProblem>) {
        let before = problems.len();
        self.check_names(problems);
        self.check_types(problems);
        // Types that do not fit would be reported a second time, less clearly.
        if problems.len() == before {
            self.check_rows(problems);
            self.check_owners(problems);
        }
    }

    /// Cedar's validator, strict, on every kind of request.
    fn check_types(&self, problems: &mut Vec<PolicyProblem>) {
        let policies = match CedarSet::from_policies(self.policies().cloned()) {
            Ok(policies) => policies,
            Err(_) => return,
        };
        let result = Validator::new(self.schema.clone()).validate(&policies, ValidationMode::Strict);
        for error in result.validation_errors() {
            let Some(statement) = self.statements.get(error.policy_id()) else { continue };
            let message = bare(&error.to_string());
            let help = error.help().map(|help| help.to_string().replace("`e has", "`resource has"));
            let hint = self.hint_for(statement).or(help);
            problems.push(statement.problem("SW0614", source::label(error), message, hint));
        }
        for warning in result.validation_warnings() {
            let Some(statement) = self.statements.get(warning.policy_id()) else { continue };
            let Some(message) = doubt(warning) else { continue };
            let hint = "look for a misspelt table, column or value; a policy without effect protects nothing";
            let hint = self.hint_for(statement).unwrap_or_else(|| hint.to_owned());
            problems.push(statement.problem("SW0614", None, message, Some(hint)));
        }
    }

    /// Says so when a policy names a column that row policies cannot see.
    fn hint_for(&self, statement: &Statement) -> Option<String> {
        let mut named = Vec::new();
        each_part(&statement.policy, &mut |part| match part {
            pst::Expr::GetAttr { attr, .. } => named.push(attr.to_string()),
            pst::Expr::HasAttr { attrs, .. } => named.push(attrs.head.to_string()),
            _ => {}
        });
        let columns = self.shape.tables.iter().flat_map(|table| &table.columns);
        let unseen = columns
            .filter(|column| shape::row_attribute(&column.data_type).is_none())
            .find(|column| named.contains(&column.name))?;
        Some(format!(
            "row policies see text, truth values and whole numbers of at most 64 bits; {} is {}",
            unseen.name, unseen.data_type
        ))
    }

    /// Roles, tables and columns that are named must exist; rows have no names.
    fn check_names(&self, problems: &mut Vec<PolicyProblem>) {
        for statement in self.statements.values() {
            let mut uids = scope_uids(&statement.policy);
            each_part(&statement.policy, &mut |part| {
                if let pst::Expr::Literal(pst::Literal::EntityUID(uid)) = part {
                    uids.push((uid.ty.to_string(), uid.eid.to_string()));
                }
            });
            for (kind, id) in uids {
                if let Some((message, hint)) = self.misnamed(&kind, &id) {
                    problems.push(statement.problem("SW0614", None, message, Some(hint)));
                }
            }
        }
    }

    fn misnamed(&self, kind: &str, id: &str) -> Option<(String, String)> {
        let tables = || self.shape.tables.iter().map(|table| table.name.as_str());
        match kind {
            "Role" if id.parse::<Role>().is_err() => {
                Some((format!("{id:?} is not a role"), format!("use {}", super::names(&Role::ALL))))
            }
            "Table" if self.table(id).is_none() => {
                Some((format!("there is no table {id:?}"), nearest(id, tables(), "use the name of a table")))
            }
            "Column" => {
                let (table, column) = id.rsplit_once('.').unwrap_or((id, ""));
                let columns = self.table(table).map(|table| &table.columns);
                let exists = columns.is_some_and(|columns| columns.iter().any(|one| one.name == column));
                let hint = "write Column::\"TABLE.COLUMN\" with a table and a column of the project".to_owned();
                (!exists).then(|| (format!("there is no column {id:?}"), hint))
            }
            kind if kind.starts_with(ROW_PREFIX) => {
                let hint = format!("select rows by their values: `resource is {kind}` with `when {{ ... }}`");
                Some(("rows have no names".to_owned(), hint))
            }
            _ => None,
        }
    }

    /// Every row policy must be a filter, for every table and whoever asks.
    fn check_rows(&self, problems: &mut Vec<PolicyProblem>) {
        for table in self.shape.tables.iter().filter(|table| table.kind != TableKind::System) {
            let residuals = match self.residuals_for_anybody(table) {
                Ok(residuals) => residuals,
                Err(cause) => {
                    let message = format!("row policies of {} cannot be evaluated: {cause}", table.name);
                    let (file, line, column) = (String::new(), 1, 1);
                    problems.push(PolicyProblem { file, line, column, code: "SW0615", message, hint: None });
                    continue;
                }
            };
            for residual in residuals {
                let Err(filter::Untranslatable(what)) = filter::condition(&residual, Asker::Any) else { continue };
                let Some(statement) = self.statements.get(residual.id()) else { continue };
                let message = format!("{what} cannot be a row filter");
                let hint = "compare a column with a constant or with what is known of the principal, ask `resource has \
                            COLUMN`, use `like`, `[...].contains(resource.COLUMN)`, and combine with &&, ||, ! and if";
                problems.push(statement.problem("SW0615", None, message, Some(hint.to_owned())));
            }
        }
    }

    fn check_owners(&self, problems: &mut Vec<PolicyProblem>) {
        let owner = Subject::of(&Principal::new("owner", Role::Owner));
        let lost: Vec<&str> =
            OWNERS_NEED.into_iter().filter(|need| !self.allows(&owner, *need, "project")).map(Action::as_str).collect();
        let Some(statement) = self.statements.values().next().filter(|_| !lost.is_empty()) else {
            if self.statements.is_empty() {
                let message = "there is no policy at all: nobody could do anything".to_owned();
                let file = DEFAULT_FILE.to_owned();
                problems.push(PolicyProblem { file, line: 1, column: 1, code: "SW0617", message, hint: None });
            }
            return;
        };
        let message = format!("owners would lose {}, and nobody could change the policies again", lost.join(", "));
        let hint = "keep `permit (principal in Role::\"owner\", action, resource);`".to_owned();
        problems.push(statement.problem("SW0617", None, message, Some(hint)));
    }
}

/// Whether a policy's scope admits one of the actions.
pub(super) fn concerns(policy: &Policy, actions: &[&str]) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => actions.contains(&uid.id().unescaped()),
        ActionConstraint::In(uids) => uids.iter().any(|uid| actions.contains(&uid.id().unescaped())),
    }
}

/// Type and id of the entities in a policy's scope.
fn scope_uids(policy: &Policy) -> Vec<(String, String)> {
    use cedar_policy::{PrincipalConstraint as P, ResourceConstraint as R};
    let mut uids = Vec::new();
    match policy.principal_constraint() {
        P::In(uid) | P::Eq(uid) | P::IsIn(_, uid) => uids.push(uid),
        P::Any | P::Is(_) => {}
    }
    match policy.resource_constraint() {
        R::In(uid) | R::Eq(uid) | R::IsIn(_, uid) => uids.push(uid),
        R::Any | R::Is(_) => {}
    }
    uids.iter().map(|uid| (uid.type_name().to_string(), uid.id().unescaped().to_owned())).collect()
}

/// Calls `visit` with every part of a policy's conditions.
fn each_part(policy: &Policy, visit: &mut dyn FnMut(&pst::Expr)) {
    let Ok(tree) = policy.to_pst() else { return };
    let visit = std::cell::RefCell::new(visit);
    for clause in tree.body().clauses() {
        let (pst::Clause::When(condition) | pst::Clause::Unless(condition)) = clause;
        condition.reduce::<()>(
            &|part| {
                (visit.borrow_mut())(part);
                None
            },
            &|(), ()| (),
            (),
        );
    }
}

/// A message of the validator without the policy's id, which is its place.
fn bare(message: &str) -> String {
    let rest = message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, "));
    source::lowercase(rest.map_or(message, |(_, rest)| rest))
}

/// What a warning of the validator means here; none when it does not matter.
fn doubt(warning: &ValidationWarning) -> Option<&'static str> {
    match warning {
        ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_) => Some(NEVER_APPLIES),
        ValidationWarning::BidiCharsInString(_) | ValidationWarning::BidiCharsInIdentifier(_) => {
            Some("characters that reverse the direction of writing hide what this policy says")
        }
        _ => None,
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    let close = known.map(|other| (strsim::damerau_levenshtein(name, other), other)).min();
    match close {
        Some((distance, other)) if distance <= 3 => format!("did you mean {other:?}?"),
        _ => otherwise.to_owned(),
    }
}
