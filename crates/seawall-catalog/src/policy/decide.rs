//! Decisions: what Cedar answers about one principal.
//!
//! Rights are decided on the thing that is named, values on columns, rows by partial evaluation on a row of which only
//! the table is known. An error of a `forbid` counts as a prohibition; Cedar alone would skip it.

use std::collections::{BTreeMap, HashSet};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PartialEntities, PartialEntity, PartialEntityUid, PartialRequest, Policy, PolicyId, PolicySet as CedarSet,
    PrincipalConstraint, Request, RestrictedExpression,
};
use seawall_base::grant::{Mask, Predicate};

use super::filter;
use super::mask;
use super::set::{Compiled, concerns};
use super::shape::{ColumnShape, READ_RAW, READ_ROW, TableShape, row_type};
use super::{Action, Principal};

/// The id of the row that stands for every row of its table.
pub(super) const SOME_ROW: &str = "?";

/// A principal as Cedar knows it.
pub(super) struct Subject {
    uid: EntityUid,
    parents: HashSet<EntityUid>,
    attributes: BTreeMap<String, RestrictedExpression>,
}

impl Subject {
    pub(super) fn of(principal: &Principal) -> Subject {
        let text = |text: &String| RestrictedExpression::new_string(text.clone());
        let mut parents: HashSet<EntityUid> = principal.groups.iter().map(|group| uid("Group", group)).collect();
        parents.insert(uid("Role", principal.role.as_str()));
        let groups = RestrictedExpression::new_set(principal.groups.iter().map(text));
        let attributes = BTreeMap::from([("name".to_owned(), text(&principal.name)), ("groups".to_owned(), groups)]);
        Subject { uid: uid("User", &principal.name), parents, attributes }
    }

    fn entity(&self) -> Option<Entity> {
        let attributes = self.attributes.clone().into_iter().collect();
        Entity::new(self.uid.clone(), attributes, self.parents.clone()).ok()
    }

    /// Whether the scope of a policy names this principal.
    fn is_named_by(&self, policy: &Policy) -> bool {
        let is_user = |kind: &EntityTypeName| kind == self.uid.type_name();
        let is_in = |uid: &EntityUid| *uid == self.uid || self.parents.contains(uid);
        match policy.principal_constraint() {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(uid) => uid == self.uid,
            PrincipalConstraint::In(uid) => is_in(&uid),
            PrincipalConstraint::Is(kind) => is_user(&kind),
            PrincipalConstraint::IsIn(kind, uid) => is_user(&kind) && is_in(&uid),
        }
    }
}

/// What Cedar said about one request.
struct Answer {
    is_allowed: bool,
    /// The prohibitions that applied, or that could not be decided.
    forbidding: Vec<PolicyId>,
}

impl Compiled {
    /// Whether `subject` may do `action` to the table of that name, or to another thing when there is no such table.
    pub(super) fn allows(&self, subject: &Subject, action: Action, resource: &str) -> bool {
        self.decide_right(subject, action, resource).is_allowed
    }

    /// Whether a prohibition, rather than a missing right, keeps `subject` from it.
    pub(super) fn forbids(&self, subject: &Subject, action: Action, resource: &str) -> bool {
        !self.decide_right(subject, action, resource).forbidding.is_empty()
    }

    fn decide_right(&self, subject: &Subject, action: Action, resource: &str) -> Answer {
        let entity = match self.table(resource) {
            Some(table) => table_entity(table),
            None => {
                let name = RestrictedExpression::new_string(resource.to_owned());
                let attributes = [("name".to_owned(), name)].into_iter().collect();
                Entity::new(uid("Resource", resource), attributes, HashSet::new()).ok()
            }
        };
        self.answer(&self.rights, subject, action.as_str(), [entity])
    }

    /// How the values of a column are masked for `subject`; none when they are shown.
    pub(super) fn mask_of(&self, subject: &Subject, table: &TableShape, column: &ColumnShape) -> Option<Mask> {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let attributes = [
            ("name".to_owned(), text(&column.name)),
            ("classification".to_owned(), text(column.classification.as_deref().unwrap_or_default())),
            ("tags".to_owned(), RestrictedExpression::new_set(column.tags.iter().map(|tag| text(tag)))),
        ];
        let id = uid("Column", &format!("{}.{}", table.name, column.name));
        let parents = HashSet::from([uid("Table", &table.name)]);
        let entity = Entity::new(id, attributes.into_iter().collect(), parents).ok();
        let answer = self.answer(&self.values, subject, READ_RAW, [entity, table_entity(table)]);
        if answer.is_allowed {
            return None;
        }
        let masks = answer.forbidding.iter().map(|id| {
            let name = self.values.policy(id).and_then(|policy| policy.annotation("mask"));
            name.and_then(mask::named).unwrap_or(Mask::ReplaceWithNull)
        });
        let strictest = mask::strictest(masks).unwrap_or(Mask::ReplaceWithNull);
        Some(mask::fitting(strictest, &column.data_type))
    }

    /// Asks Cedar. The first of `things` is the resource; when it could not be made, the answer is no.
    fn answer<const N: usize>(
        &self,
        policies: &CedarSet,
        subject: &Subject,
        action: &str,
        things: [Option<Entity>; N],
    ) -> Answer {
        let denied = Answer { is_allowed: false, forbidding: Vec::new() };
        let Some(things) = things.into_iter().collect::<Option<Vec<Entity>>>() else { return denied };
        let (Some(resource), Some(entity)) = (things.first().map(Entity::uid), subject.entity()) else { return denied };
        let Ok(entities) = Entities::from_entities(things.into_iter().chain([entity]), None) else { return denied };
        let (principal, action) = (subject.uid.clone(), uid("Action", action));
        let Ok(request) = Request::new(principal, action, resource, Context::empty(), None) else { return denied };
        let response = Authorizer::new().is_authorized(&request, policies, &entities);
        let is_forbid = |id: &&PolicyId| policies.policy(id).is_none_or(|policy| policy.effect() == Effect::Forbid);
        let failures = response.diagnostics().errors().map(|failure| match failure {
            AuthorizationError::PolicyEvaluationError(failure) => failure.policy_id(),
        });
        let failed: Vec<PolicyId> = failures.filter(is_forbid).cloned().collect();
        let is_allowed = response.decision() == Decision::Allow && failed.is_empty();
        let mut forbidding = failed;
        if response.decision() == Decision::Deny {
            forbidding.extend(response.diagnostics().reason().cloned());
        }
        Answer { is_allowed, forbidding }
    }

    /// The rows of a table that `subject` sees by the policies on that very table.
    pub(super) fn rows_of(&self, subject: &Subject, table: &TableShape) -> Predicate {
        match self.try_rows_of(subject, table) {
            Ok(predicate) => predicate,
            Err(cause) => {
                tracing::error!(table = table.name, %cause, "row policies failed, no row is shown");
                Predicate::Constant(false)
            }
        }
    }

    fn try_rows_of(&self, subject: &Subject, table: &TableShape) -> Result<Predicate, String> {
        let (request, entities) = self.some_row(Some(subject), table)?;
        let response = self.rows.tpe(&request, &entities, &self.schema).map_err(|error| error.to_string())?;
        filter::rows_shown(&response).map_err(|filter::Untranslatable(what)| format!("{what} is no filter"))
    }

    /// What is left of the row policies of a table when neither row nor principal are known.
    pub(super) fn residuals_for_anybody(&self, table: &TableShape) -> Result<Vec<Policy>, String> {
        let (request, entities) = self.some_row(None, table)?;
        let response = self.rows.tpe(&request, &entities, &self.schema).map_err(|error| error.to_string())?;
        Ok(response.residual_policies().collect())
    }

    /// The request to read a row of which only the table is known, and everything that is known.
    fn some_row(
        &self,
        subject: Option<&Subject>,
        table: &TableShape,
    ) -> Result<(PartialRequest, PartialEntities), String> {
        let row = uid(&row_type(&table.name), SOME_ROW);
        let parent = uid("Table", &table.name);
        let mut known = vec![self.partial(row.clone(), None, HashSet::from([parent.clone()]))?];
        let table_attributes = table_attributes(table).into_iter().collect();
        known.push(self.partial(parent, Some(table_attributes), HashSet::new())?);
        let principal = match subject {
            Some(subject) => {
                for parent in &subject.parents {
                    known.push(self.partial(parent.clone(), Some(BTreeMap::new()), HashSet::new())?);
                }
                let attributes = subject.attributes.clone();
                known.push(self.partial(subject.uid.clone(), Some(attributes), subject.parents.clone())?);
                PartialEntityUid::from_concrete(subject.uid.clone())
            }
            None => PartialEntityUid::new(type_name("User"), None),
        };
        let (action, row) = (uid("Action", READ_ROW), PartialEntityUid::from_concrete(row));
        let request = PartialRequest::new(principal, action, row, Some(Context::empty()), &self.schema)
            .map_err(|error| error.to_string())?;
        let entities =
            PartialEntities::from_partial_entities(known, &self.schema).map_err(|error| error.to_string())?;
        Ok((request, entities))
    }

    fn partial(
        &self,
        uid: EntityUid,
        attributes: Option<BTreeMap<String, RestrictedExpression>>,
        ancestors: HashSet<EntityUid>,
    ) -> Result<PartialEntity, String> {
        let attributes = attributes.map(|known| known.into_iter().map(|(name, value)| (name.into(), value)).collect());
        let tags = Some(BTreeMap::new());
        PartialEntity::new(uid, attributes, Some(ancestors), tags, &self.schema).map_err(|error| error.to_string())
    }

    /// Whether nothing that `subject` reads under `action` depends on the table, the row or the column: no prohibition
    /// names them, and permits without a condition cover everything. Then even tables that the policies do not know may
    /// be shown.
    pub(super) fn is_unrestricted(&self, subject: &Subject, action: Action) -> bool {
        [action.as_str(), READ_ROW, READ_RAW].into_iter().all(|action| {
            let named = || self.policies().filter(|policy| concerns(policy, &[action]) && subject.is_named_by(policy));
            let is_free = |policy: &Policy| {
                !policy.has_non_scope_constraint()
                    && policy.resource_constraint() == cedar_policy::ResourceConstraint::Any
            };
            let is_forbidden = named().any(|policy| policy.effect() == Effect::Forbid);
            !is_forbidden && named().any(is_free)
        })
    }
}

fn table_attributes(table: &TableShape) -> [(String, RestrictedExpression); 5] {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    [
        ("name".to_owned(), text(&table.name)),
        ("dataset".to_owned(), text(&table.dataset)),
        ("kind".to_owned(), text(table.kind.as_str())),
        ("owner".to_owned(), text(table.owner.as_deref().unwrap_or_default())),
        ("classification".to_owned(), text(table.classification.as_deref().unwrap_or_default())),
    ]
}

fn table_entity(table: &TableShape) -> Option<Entity> {
    Entity::new(uid("Table", &table.name), table_attributes(table).into_iter().collect(), HashSet::new()).ok()
}

/// The id of an entity. `kind` is one of ours and thus a name.
pub(super) fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_name(kind), EntityId::new(id))
}

fn type_name(kind: &str) -> EntityTypeName {
    kind.parse().expect("the schema was made from this name, so it is one")
}
