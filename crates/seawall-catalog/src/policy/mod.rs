//! Who may do what. This is the only place of the workspace that issues permits.
//!
//! Four fixed roles hold fixed sets of rights; the table is [`Action::roles`] and a right that it does not list is
//! denied. A permit says that the policy allowed one action on one resource to one principal, and its id travels with
//! the effect (log frames, Delta commits, catalog rows, audit entries). Issuing does no I/O: callers that must leave a
//! trace of denials ask [`crate::Catalog::authorize`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use seawall_base::permit::PermitRecord;
use seawall_base::{Error, ErrorKind, Permit, Result, Rng};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The principal of Seawall's own work: table writers, recovery, system tables. No token can have this name.
pub const SYSTEM_PRINCIPAL: &str = "seawall";

/// Who asks, as authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// Name, as it appears in permits and in the audit ledger.
    pub name: String,
    /// What they are allowed to do.
    pub role: Role,
}

/// A fixed set of rights.
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

    /// Whether the role holds the right to `action`.
    pub fn may(self, action: Action) -> bool {
        action.roles().contains(&self)
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
    /// Train a model and record its version.
    TrainModel,
    /// Make a model version champion or challenger.
    PromoteModel,
    /// Approve or reject a proposal.
    ApproveDecision,
    /// Bring a former champion back.
    RollBack,
    /// Record signals, open and close incidents.
    ManageIncidents,
    /// Ask a model for a prediction.
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

    /// The roles that hold the right: the whole policy, as one table.
    pub fn roles(self) -> &'static [Role] {
        use Role::{Analyst, Engineer, Owner, Service};
        match self {
            Action::ApplyProject => &[Owner, Engineer],
            Action::Ingest => &[Owner, Engineer, Service],
            Action::ReadRows => &[Owner, Engineer, Analyst],
            Action::ReadMetadata => &[Owner, Engineer, Analyst, Service],
            Action::ReadAudit => &[Owner, Engineer],
            Action::ServeFeatures => &[Owner, Engineer, Service],
            Action::BuildTrainingSet => &[Owner, Engineer, Analyst],
            Action::WriteTable => &[Owner],
            Action::ManageTokens => &[Owner],
            Action::ReleaseQuarantine => &[Owner, Engineer],
            Action::VerifySkew => &[Owner, Engineer, Analyst],
            Action::Administer => &[Owner],
            Action::TrainModel => &[Owner, Engineer],
            Action::PromoteModel => &[Owner, Engineer],
            Action::ApproveDecision => &[Owner, Engineer, Analyst],
            Action::RollBack => &[Owner, Engineer],
            Action::ManageIncidents => &[Owner, Engineer],
            Action::Predict => &[Owner, Engineer, Service],
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Issues permits, each with an id of its own.
#[derive(Clone)]
pub struct Policy {
    rng: Arc<dyn Rng>,
}

impl Policy {
    /// A policy whose permit ids come from `rng`.
    pub fn new(rng: Arc<dyn Rng>) -> Self {
        Policy { rng }
    }

    /// A permit for `principal` to do `action` to `resource`; `Denied` (SW0610) when the role lacks the right.
    pub fn authorize(&self, principal: &Principal, action: Action, resource: &str) -> Result<Permit> {
        if !principal.role.may(action) {
            let Principal { name, role } = principal;
            let message = format!("{name} ({role}) lacks the right {action} on {resource}");
            return Err(Error::new(ErrorKind::Denied, "SW0610", message).hint(format!(
                "{action} is held by {}; ask an owner for a token with such a role",
                names(action.roles())
            )));
        }
        Ok(self.issue(&principal.name, action, resource))
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
