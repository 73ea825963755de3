//! References of the declarations that the catalog keeps: models, transforms, live views and tests.

use super::super::model::OtherDeclaration;
use super::super::parse::Declaration;
use super::super::words::{listed, suggest};
use super::super::yaml::Node;
use super::{Resolver, kept, view_input};

impl<'a> Resolver<'a> {
    pub(super) fn other(&mut self, declaration: &Declaration) -> Option<OtherDeclaration> {
        let mut body = declaration.node.to_json();
        match declaration.kind {
            "model" => self.model(&declaration.node),
            "transform" => {
                // The revision covers the SQL itself, not only the name of its file.
                let sql = self.transform(&declaration.node)?;
                body["sql"] = sql.into();
                body.sort_all_objects();
            }
            "live_view" => self.live_view(&declaration.node),
            "test" => self.test(&declaration.node),
            _ => {
                self.unreadable(declaration);
                return None;
            }
        }
        Some(kept(declaration, body))
    }

    fn model(&mut self, node: &Node) {
        let Some(reference) = node.get("training_set") else { return };
        let name = reference.text().unwrap_or_default();
        let sets = || self.declarations.iter().filter(|d| d.kind == "training_set");
        let Some(set) = sets().find(|set| set.name == name) else {
            if !self.is_complete {
                return;
            }
            let names = || sets().map(|set| set.name.as_str());
            let help = match suggest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the project has the training sets {}", listed(names(), "and")),
            };
            self.report.error("SW0138", format!("there is no training set `{name}`"), reference.place).help(help);
            return;
        };
        let Some(features) = self.feature_names(&set.node) else { return };
        for entry in node.get("on_missing").map(Node::entries).unwrap_or_default() {
            if entry.key == "default" || features.contains(&entry.key) {
                continue;
            }
            let names = || features.iter().map(String::as_str).chain(["default"]);
            let help = match suggest(&entry.key, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its features are {}", listed(names(), "and")),
            };
            let message = format!("the training set `{name}` has no feature `{}`", entry.key);
            self.report.error("SW0138", message, entry.key_place).help(help);
        }
    }

    /// Names of a training set's features, `FEATURE` and `VIEW__FEATURE`; none when a view is not known.
    fn feature_names(&self, set: &Node) -> Option<Vec<String>> {
        let mut names = Vec::new();
        for reference in set.get("features")?.items() {
            let view = super::read::view_of(reference)?.text()?.split('@').next()?;
            let found = self.declarations.iter().find(|d| d.kind == "feature_view" && d.name == view)?;
            for feature in found.node.get("features")?.entries() {
                names.push(feature.key.clone());
                names.push(format!("{view}__{}", feature.key));
            }
        }
        for entry in set.get("context").map(Node::entries).unwrap_or_default() {
            names.push(entry.key.clone());
        }
        Some(names)
    }

    fn transform(&mut self, node: &Node) -> Option<String> {
        self.dataset(node.get("to")?);
        match node.get("file") {
            Some(file) => self.sql_file(file),
            None => node.get("sql")?.text().map(str::to_owned),
        }
    }

    /// The SQL of a transform, without a report when it cannot be found.
    pub(super) fn transform_sql_quietly(&self, node: &Node) -> Option<String> {
        match node.get("file") {
            None => node.get("sql")?.text().map(str::to_owned),
            Some(file) => {
                let path = super::project_path(file.text()?)?;
                self.files.iter().find(|file| file.path == path).map(|file| file.text.to_string())
            }
        }
    }

    fn live_view(&mut self, node: &Node) {
        let Some(entry) = node.get("from").and_then(|from| self.dataset(from)) else { return };
        match node.get("time") {
            Some(time) => {
                self.instant_column(time, entry);
            }
            None => {
                let has_time = entry.dataset.as_ref().is_some_and(|dataset| dataset.event_time.is_some());
                if let (false, Some(from)) = (has_time, node.get("from")) {
                    let message = format!("the contract of `{}` names no event time", entry.name);
                    self.report
                        .error("SW0124", message, from.place)
                        .label(entry.place, "described here")
                        .help("add `time: COLUMN`, or the custom property seawall.eventTime to the contract");
                }
            }
        }
        for column in node.get("by").map(Node::one_or_many).unwrap_or_default() {
            self.column(column, entry);
        }
        for aggregate in node.get("columns").map(Node::entries).unwrap_or_default() {
            let input = aggregate.node.entries().iter().find(|entry| view_input(&entry.key)).map(|entry| &entry.node);
            if let Some(column) = input.filter(|column| column.text() != Some("*")) {
                self.column(column, entry);
            }
        }
    }

    fn test(&mut self, node: &Node) {
        for given in node.get("given").map(Node::entries).unwrap_or_default() {
            let entry = match self.contracts.dataset(&given.key) {
                super::Found::Thing(entry) => entry,
                super::Found::Unsound => continue,
                super::Found::Missing => {
                    self.missing_dataset(&given.key, given.key_place);
                    continue;
                }
            };
            for row in given.node.items() {
                for value in row.entries() {
                    self.named_column(&value.key, value.key_place, entry);
                }
            }
        }
    }
}
