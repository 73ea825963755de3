//! Permits: proof that a policy allowed an action.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::grant::Grants;

/// Proof that `catalog::policy` allowed an action. Mutations and row reads take one.
///
/// The only constructor is reserved for `seawall_catalog::policy`; `cargo xtask tidy` fails on any other call outside
/// of tests. A permit to read rows carries the [`Grants`] that narrow what it shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Permit {
    id: String,
    principal: String,
    action: String,
    resource: String,
    #[serde(skip)]
    grants: Arc<Grants>,
}

/// The parts of a permit, for the audit ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitRecord {
    /// Unique id, carried by the effects that the permit allowed.
    pub id: String,
    /// Who asked.
    pub principal: String,
    /// What they may do.
    pub action: String,
    /// To what.
    pub resource: String,
}

impl Permit {
    /// Issues a permit. Reserved for `seawall_catalog::policy`.
    pub fn issued_by_policy(record: PermitRecord) -> Self {
        let PermitRecord { id, principal, action, resource } = record;
        Permit { id, principal, action, resource, grants: Arc::new(Grants::Everything) }
    }

    /// Restricts what the permit shows. Reserved for `seawall_catalog::policy`.
    pub fn restricted_by_policy(self, grants: Grants) -> Self {
        Permit { grants: Arc::new(grants), ..self }
    }

    /// What it may read.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Unique id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who asked.
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// What they may do.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// To what.
    pub fn resource(&self) -> &str {
        &self.resource
    }
}
