//! Who may do what. This is the only place of the workspace that issues permits.
//!
//! Rights, rows and values are decided by Cedar policies: those that are shipped (`default.cedar`) and those of the
//! project. Decisions are about a principal, who has one of four roles and any number of groups. A permit says that the
//! policies allowed one action on one resource to one principal, and its id travels with the effect (log frames, Delta
//! commits, catalog rows, audit entries); a permit that shows rows carries what it may show of each table.
//!
//! Issuing does no I/O: callers that must leave a trace of denials ask [`crate::Catalog::authorize`]. Cedar is known to
//! this folder only:
//!
//! - `shape` says what policies speak about, `source` reads their text, `set` checks them against the project;
//! - `decide` asks Cedar, `filter` turns what is left of row policies into predicates, `mask` orders masks;
//! - `grants` brings policies along to tables that took rows or values over, `access` compares before and after;
//! - `known` remembers what was decided for as long as the policies hold.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, RwLock};

use seawall_base::grant::Grants;
use seawall_base::permit::PermitRecord;
use seawall_base::{Error, ErrorKind, Permit, Result, Rng};
use serde::{Deserialize, Serialize};

mod access;
mod decide;
mod filter;
mod grants;
mod known;
mod mask;
mod set;
mod shape;
mod source;

#[cfg(test)]
mod tests;

pub use access::{Access, AccessChange, TableAccess, access_diff};
pub use set::PolicySet;
pub use shape::{ColumnShape, Shape, TableKind, TableShape};
pub use source::PolicyProblem;

use decide::Subject;
use known::Principals;

/// The principal of Seawall's own work: table writers, recovery, system tables. No token can have this name.
pub const SYSTEM_PRINCIPAL: &str = "seawall";

/// Who asks, as authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// Name, as it appears in permits and in the audit ledger.
    pub name: String,
    /// What they are, which decides what they may do.
    pub role: Role,
    /// Groups they belong to, such as a country or a team.
    #[serde(default)]
    pub groups: Vec<String>,
}

impl Principal {
    /// A principal that belongs to no group.
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        Principal { name: name.into(), role, groups: Vec::new() }
    }

    /// The same principal as a member of `groups`.
    #[must_use]
    pub fn in_groups<G: Into<String>>(self, groups: impl IntoIterator<Item = G>) -> Self {
        Principal { groups: groups.into_iter().map(Into::into).collect(), ..self }
    }
}

/// What a principal is. Which rights that gives, the policies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, tokens included.
    Owner,
    /// Builds and runs the project: declarations, ingestion, quarantine, rows, training sets.
    Engineer,
    /// Reads rows and metadata, builds training sets, verifies skew.
    Analyst,
    /// A program: sends events and asks for features; reads no rows.
    Service,
}

impl Role {
    /// Every role, the most powerful first.
    pub const ALL: [Role; 4] = [Role::Owner, Role::Engineer, Role::Analyst, Role::Service];

    /// The role's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Engineer => "engineer",
            Role::Analyst => "analyst",
            Role::Service => "service",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| {
            Error::invalid("SW0612", format!("{text:?} is not a role")).hint(format!("use {}", names(&Role::ALL)))
        })
    }
}

/// What a permit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Apply or roll back a revision of the project.
    ApplyProject,
    /// Send rows to a dataset.
    Ingest,
    /// Read rows of tables, quarantine and served vectors included.
    ReadRows,
    /// Read declarations, counts, lineage, versions.
    ReadMetadata,
    /// Read the audit ledger.
    ReadAudit,
    /// Ask for features of an entity.
    ServeFeatures,
    /// Build a training set and record it.
    BuildTrainingSet,
    /// Create tables and commit versions.
    WriteTable,
    /// Create and revoke tokens.
    ManageTokens,
    /// Let quarantined rows in, or drop them.
    ReleaseQuarantine,
    /// Verify that training and serving agree, and record the certificate.
    VerifySkew,
    /// Backup, restore, repair and everything else that concerns the installation.
    Administer,
    /// Train a model and register its version.
    TrainModel,
    /// Make a model version champion or challenger.
    PromoteModel,
    /// Approve or reject a decision that waits for it.
    ApproveDecision,
    /// Return to the champion before.
    RollBack,
    /// Acknowledge, close and comment incidents.
    ManageIncidents,
    /// Ask a model for predictions.
    Predict,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 18] = [
        Action::ApplyProject,
        Action::Ingest,
        Action::ReadRows,
        Action::ReadMetadata,
        Action::ReadAudit,
        Action::ServeFeatures,
        Action::BuildTrainingSet,
        Action::WriteTable,
        Action::ManageTokens,
        Action::ReleaseQuarantine,
        Action::VerifySkew,
        Action::Administer,
        Action::TrainModel,
        Action::PromoteModel,
        Action::ApproveDecision,
        Action::RollBack,
        Action::ManageIncidents,
        Action::Predict,
    ];

    /// The action's name, as it stands in permits.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::ApplyProject => "apply_project",
            Action::Ingest => "ingest",
            Action::ReadRows => "read_rows",
            Action::ReadMetadata => "read_metadata",
            Action::ReadAudit => "read_audit",
            Action::ServeFeatures => "serve_features",
            Action::BuildTrainingSet => "build_training_set",
            Action::WriteTable => "write_table",
            Action::ManageTokens => "manage_tokens",
            Action::ReleaseQuarantine => "release_quarantine",
            Action::VerifySkew => "verify_skew",
            Action::Administer => "administer",
            Action::TrainModel => "train_model",
            Action::PromoteModel => "promote_model",
            Action::ApproveDecision => "approve_decision",
            Action::RollBack => "roll_back",
            Action::ManageIncidents => "manage_incidents",
            Action::Predict => "predict",
        }
    }

    /// Whether permits for it show rows or what was made of them, and therefore carry grants.
    pub fn shows_rows(self) -> bool {
        match self {
            Action::ReadRows
            | Action::ServeFeatures
            | Action::BuildTrainingSet
            | Action::VerifySkew
            | Action::Predict => true,
            Action::ApplyProject
            | Action::Ingest
            | Action::ReadMetadata
            | Action::ReadAudit
            | Action::WriteTable
            | Action::ManageTokens
            | Action::ReleaseQuarantine
            | Action::Administer
            | Action::TrainModel
            | Action::PromoteModel
            | Action::ApproveDecision
            | Action::RollBack
            | Action::ManageIncidents => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Issues permits, each with an id of its own, as the installed policies allow. Clones share the policies.
#[derive(Clone)]
pub struct Policy {
    rng: Arc<dyn Rng>,
    active: Arc<RwLock<Arc<Active>>>,
}

/// Installed policies and what was worked out under them. Nothing that was worked out outlives them.
struct Active {
    set: PolicySet,
    principals: Principals,
}

impl Policy {
    /// The default policies; permit ids come from `rng`.
    pub fn new(rng: Arc<dyn Rng>) -> Self {
        Policy { rng, active: Arc::new(RwLock::new(Arc::new(Active::of(PolicySet::defaults())))) }
    }

    /// Puts `set` in the place of the policies so far. Permits issued before keep what they showed.
    pub fn install(&self, set: PolicySet) {
        *self.active.write().expect("no holder of this lock panics") = Arc::new(Active::of(set));
    }

    /// The policies that hold now.
    pub fn installed(&self) -> PolicySet {
        self.active().set.clone()
    }

    /// A permit for `principal` to do `action` to `resource`, which is a table when one has that name. It carries the
    /// grants of the principal when [`Action::shows_rows`]. `Denied` (SW0610) when the policies do not allow it.
    pub fn authorize(&self, principal: &Principal, action: Action, resource: &str) -> Result<Permit> {
        let active = self.active();
        if !active.may(principal, action, resource) {
            return Err(active.denial(principal, action, resource));
        }
        let permit = self.issue(&principal.name, action, resource);
        if !action.shows_rows() {
            return Ok(permit);
        }
        Ok(permit.restricted_by_policy(active.grants(principal, action).as_ref().clone()))
    }

    /// Whether `principal` may do `action` to `resource`, for callers that need no permit.
    pub fn may(&self, principal: &Principal, action: Action, resource: &str) -> bool {
        self.active().may(principal, action, resource)
    }

    /// What each principal can do and see under the installed policies.
    pub fn access_of(&self, principals: &[Principal]) -> Vec<Access> {
        let active = self.active();
        principals.iter().map(|principal| active.set.access_of(principal)).collect()
    }

    fn active(&self) -> Arc<Active> {
        self.active.read().expect("no holder of this lock panics").clone()
    }

    /// A permit for Seawall's own work, in the name of [`SYSTEM_PRINCIPAL`].
    pub fn system_permit(&self, action: Action, resource: &str) -> Permit {
        self.issue(SYSTEM_PRINCIPAL, action, resource)
    }

    fn issue(&self, principal: &str, action: Action, resource: &str) -> Permit {
        Permit::issued_by_policy(PermitRecord {
            id: self.rng.id(),
            principal: principal.to_owned(),
            action: action.as_str().to_owned(),
            resource: resource.to_owned(),
        })
    }
}

impl Active {
    fn of(set: PolicySet) -> Active {
        Active { set, principals: Principals::default() }
    }

    fn may(&self, principal: &Principal, action: Action, resource: &str) -> bool {
        let known = self.principals.of(principal);
        known.may(action, resource, || self.decide(&known.subject, action, resource))
    }

    /// Things that are no tables, such as `query`, lead to tables: who may read one of those may ask, unless it is
    /// forbidden to ask at all.
    fn decide(&self, subject: &Subject, action: Action, resource: &str) -> bool {
        let compiled = &self.set.inner;
        if compiled.allows(subject, action, resource) {
            return true;
        }
        let leads_to_tables = action.shows_rows() && compiled.table(resource).is_none();
        if !leads_to_tables || compiled.forbids(subject, action, resource) {
            return false;
        }
        let is_shown = |table: &TableShape| {
            table.kind != TableKind::System && grants::is_visible(compiled, subject, action, table)
        };
        compiled.shape.tables.iter().any(is_shown)
    }

    fn grants(&self, principal: &Principal, action: Action) -> Arc<Grants> {
        let known = self.principals.of(principal);
        known.grants(action, || {
            let compiled = &self.set.inner;
            if compiled.is_unrestricted(&known.subject, action) {
                return Grants::Everything;
            }
            let sights = known.sights.get_or_init(|| grants::sights(compiled, &known.subject));
            grants::grants(compiled, &known.subject, action, sights)
        })
    }

    fn denial(&self, principal: &Principal, action: Action, resource: &str) -> Error {
        let Principal { name, role, .. } = principal;
        let holders: Vec<Role> = Role::ALL
            .into_iter()
            .filter(|role| self.set.inner.allows(&Subject::of(&Principal::new("", *role)), action, resource))
            .collect();
        let hint = match holders.as_slice() {
            [] => format!("no role holds {action} here; an owner can change the project's policies"),
            holders => {
                format!("{action} is held by {}; ask an owner for a token with such a role or group", names(holders))
            }
        };
        let message = format!("{name} ({role}) lacks the right {action} on {resource}");
        Error::new(ErrorKind::Denied, "SW0610", message).hint(hint)
    }
}

/// Fails with `Denied` (SW0611) unless `permit` is for one of `actions`: a permit to read does not allow a change.
pub(crate) fn expect_action(permit: &Permit, actions: &[Action]) -> Result<()> {
    if actions.iter().any(|action| action.as_str() == permit.action()) {
        return Ok(());
    }
    let needed: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
    let message = format!(
        "permit {} of {} is for {}, this needs {}",
        permit.id(),
        permit.principal(),
        permit.action(),
        needed.join(" or ")
    );
    Err(Error::new(ErrorKind::Denied, "SW0611", message).hint("ask the policy for a permit for this very action"))
}

fn names(roles: &[Role]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    names.join(", ")
}
