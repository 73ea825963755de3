//! What was worked out under installed policies: who a principal is for Cedar, its rights, and what it may be shown.
//!
//! A decision depends on nothing but the policies, the principal (name, role and groups), the action and the resource, so it
//! is made once for as long as the policies hold: installing others begins with an empty memory. Memory is bounded, since
//! names of principals and resources come from requests; when it is full, everything is worked out anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use seawall_base::grant::Grants;

use super::decide::Subject;
use super::grants::Sights;
use super::{Action, Principal};

/// Principals that are remembered.
pub(super) const PRINCIPALS_MAX: usize = 1024;
/// Rights of one principal that are remembered.
pub(super) const RIGHTS_MAX: usize = 256;
/// A longer name of a resource is not remembered: it comes from a request, and no declared name is as long.
const RESOURCE_BYTES_MAX: usize = 256;

/// The principals that asked.
#[derive(Default)]
pub(super) struct Principals(Mutex<HashMap<Principal, Arc<Known>>>);

impl Principals {
    /// What is known of `principal`.
    pub fn of(&self, principal: &Principal) -> Arc<Known> {
        let mut known = self.0.lock().expect("no holder of this lock panics");
        if let Some(one) = known.get(principal) {
            return one.clone();
        }
        if known.len() >= PRINCIPALS_MAX {
            known.clear();
        }
        let one =
            Arc::new(Known { subject: Subject::of(principal), sights: OnceLock::new(), decided: Mutex::default() });
        known.insert(principal.clone(), one.clone());
        one
    }

    /// How many are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.lock().expect("no holder of this lock panics").len()
    }
}

/// What was worked out about one principal.
pub(super) struct Known {
    pub subject: Subject,
    pub sights: OnceLock<Sights>,
    decided: Mutex<Decided>,
}

#[derive(Default)]
struct Decided {
    rights: HashMap<Action, HashMap<String, bool>>,
    /// Entries of `rights`.
    rights_known: usize,
    grants: HashMap<Action, Arc<Grants>>,
}

impl Known {
    /// Whether the principal may do `action` to `resource`, as `decide` answers when it was not asked before.
    pub fn may(&self, action: Action, resource: &str, decide: impl FnOnce() -> bool) -> bool {
        let of_action = |decided: &Decided| decided.rights.get(&action)?.get(resource).copied();
        if let Some(right) = of_action(&self.decided.lock().expect("no holder of this lock panics")) {
            return right;
        }
        // Without the lock: whoever asks for what is decided already need not wait, and the answer is always the same.
        let right = decide();
        if resource.len() > RESOURCE_BYTES_MAX {
            return right;
        }
        let mut decided = self.decided.lock().expect("no holder of this lock panics");
        if decided.rights_known >= RIGHTS_MAX {
            decided.rights.clear();
            decided.rights_known = 0;
        }
        let is_new = decided.rights.entry(action).or_default().insert(resource.to_owned(), right).is_none();
        decided.rights_known += usize::from(is_new);
        right
    }

    /// What permits for `action` show, worked out once.
    pub fn grants(&self, action: Action, work_out: impl FnOnce() -> Grants) -> Arc<Grants> {
        let mut decided = self.decided.lock().expect("no holder of this lock panics");
        decided.grants.entry(action).or_insert_with(|| Arc::new(work_out())).clone()
    }

    /// Rights that are remembered.
    #[cfg(test)]
    pub fn rights(&self) -> usize {
        self.decided.lock().expect("no holder of this lock panics").rights.values().map(HashMap::len).sum()
    }
}
