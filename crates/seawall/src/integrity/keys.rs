//! Whether the keys are there that the log is sealed with.

use seawall_base::{Checked, Damage, Error, Finding, Severity};
use seawall_storage::keys::{KeyNumber, KeyRing};

use super::{Places, Report};

/// The ring, and what the log asks of it.
pub(super) struct Ring {
    ring: Result<KeyRing, Error>,
    newest_used: Option<KeyNumber>,
}

impl Ring {
    /// The ring of a data folder, as it is now.
    pub fn of(places: &Places) -> Ring {
        Ring { ring: places.key_ring(), newest_used: None }
    }

    /// The keys; none when they cannot be read.
    pub fn keys(&self) -> Option<KeyRing> {
        self.ring.as_ref().ok().cloned()
    }

    /// The log has frames that are sealed with this key.
    pub fn used(&mut self, key: Option<KeyNumber>) {
        self.newest_used = self.newest_used.max(key);
    }

    /// Says what is wrong with the ring, and whether a key is missing. Keys are numbered without gaps, so the newest one
    /// that is used stands for all.
    pub fn report(self, report: &mut Report) {
        let mut checked = Checked::default();
        let means = "personal fields in the log cannot be opened";
        let mut found = |damage, what: String| {
            let finding = Finding::new("keys", damage, Severity::Critical, what, means);
            checked.findings.push(finding.remedy("put the folder `keys` back, from the data folder or a backup of it"));
        };
        let mut parts = "no key".to_owned();
        match (&self.ring, self.newest_used) {
            (Err(error), _) => found(Damage::Unreadable, error.to_string()),
            (Ok(ring), used) => {
                // A key that was made since the ring was read is read now.
                let missing = used.filter(|used| ring.key(*used).is_err());
                let count = ring.count();
                parts = format!("{} keys, {} destroyed", count.kept, count.destroyed);
                if let Some(missing) = missing {
                    found(
                        Damage::Missing,
                        format!("the log is sealed with key {}, which the ring does not have", missing.0),
                    );
                }
            }
        }
        report.take("keys", parts, checked);
    }
}
