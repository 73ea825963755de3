//! What the tests of this crate share.

use seawall_base::Permit;
use seawall_base::permit::PermitRecord;

/// A permit for tests; real ones come from the policy.
pub(crate) fn permit() -> Permit {
    Permit::issued_by_policy(PermitRecord {
        id: "conformance".into(),
        principal: "suite".into(),
        action: "append".into(),
        resource: "*".into(),
    })
}
