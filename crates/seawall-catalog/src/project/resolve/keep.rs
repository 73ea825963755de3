//! What `kind: recovery` promises, and whether it can be kept.

use super::super::keep;
use super::super::parse::Declaration;
use super::super::shape::head;
use super::Resolver;

impl Resolver<'_> {
    pub(super) fn recovery(&mut self, declaration: &Declaration) {
        let node = &declaration.node;
        let first = self.declarations.iter().find(|other| other.kind == "recovery");
        if let Some(first) = first.filter(|first| first.name != declaration.name) {
            let message = format!("recovery is declared once, and `{}` declares it", first.name);
            self.report.error("SW1440", message, head(node)).help("bring both declarations together");
        }
        if !declaration.is_sound {
            return;
        }
        let Ok(recovery) = keep::Recovery::read(&node.to_json()) else {
            self.unreadable(declaration);
            return;
        };
        let rpo = recovery.rpo.zip(node.entry("rpo"));
        match (rpo, recovery.backup) {
            (Some((rpo, entry)), Some(backup)) if backup.every > rpo => {
                let message = format!("a backup every {} cannot keep to an RPO of {rpo}", backup.every);
                self.report.error("SW1441", message, entry.node.place).help("take backups more often than the RPO");
            }
            (Some((_, entry)), None) => {
                let message = "nothing takes the backups that this RPO needs";
                self.report
                    .warning("SW1442", message, entry.key_place)
                    .help("add `backup: {to: FOLDER, every: ...}`, or run `seawall backup create` from elsewhere");
            }
            _ => {}
        }
    }
}
