//! What `kind: recovery` promises, and whether it can be kept; what `kind: lifecycle` gives up, and whether it can.

use seawall_base::Span;

use super::super::keep;
use super::super::parse::Declaration;
use super::super::read;
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

    pub(super) fn lifecycle(&mut self, declaration: &Declaration) {
        let node = &declaration.node;
        let first = self.declarations.iter().find(|other| other.kind == "lifecycle");
        if let Some(first) = first.filter(|first| first.name != declaration.name) {
            let message = format!("lifecycle is declared once, and `{}` declares it", first.name);
            self.report.error("SW1620", message, head(node)).help("bring both declarations together");
        }
        if !declaration.is_sound {
            return;
        }
        let Ok(lifecycle) = keep::Lifecycle::read(&node.to_json()) else {
            self.unreadable(declaration);
            return;
        };
        let bound = self.keep_versions();
        for class in keep::Class::ALL {
            let declared = lifecycle.keep_versions(class).filter(|keep| *keep > bound);
            let entry = node.get(class.as_str()).and_then(|class| class.entry("keep_versions"));
            if let Some((keep, entry)) = declared.zip(entry) {
                let message = format!("versions are given up after {bound} anyway, so they cannot stay for {keep}");
                self.report.error("SW1621", message, entry.node.place).help(format!(
                    "declare `tables: {{keep_versions: {keep}}}` in seawall.yaml, or a shorter time here"
                ));
            }
        }
        let models = node.get("models");
        if let Some(entry) = models.and_then(|models| models.entry("move_to"))
            && models.is_some_and(|models| models.entry("unused").is_none())
        {
            let message = "nothing is moved while `unused` does not say when";
            self.report.error("SW1622", message, entry.key_place).help("add `unused: 90d`, or leave out `move_to`");
        }
    }

    /// How long versions stay by the project's settings.
    fn keep_versions(&self) -> Span {
        let project = self.declarations.iter().find(|other| other.kind == "project");
        let settings = project.and_then(|project| read::table_settings(project.node.get("tables")?));
        settings.unwrap_or_default().keep_versions
    }
}
