//! References of the declarations that the catalog keeps: transforms, live views, tests, recovery and lifecycle.

use super::super::contract::DatasetEntry;
use super::super::model::OtherDeclaration;
use super::super::parse::Declaration;
use super::super::yaml::Node;
use super::{Resolver, kept};

impl<'a> Resolver<'a> {
    pub(super) fn other(&mut self, declaration: &Declaration) -> Option<OtherDeclaration> {
        let mut body = declaration.node.to_json();
        match declaration.kind {
            "transform" => {
                // The revision covers the SQL itself, not only the name of its file.
                let sql = self.transform(declaration)?;
                body["sql"] = sql.into();
                body.sort_all_objects();
            }
            "live_view" => self.live_view(&declaration.node),
            "test" => self.test(&declaration.node),
            "recovery" => self.recovery(declaration),
            "lifecycle" => self.lifecycle(declaration),
            _ => {
                self.unreadable(declaration);
                return None;
            }
        }
        Some(kept(declaration, body))
    }

    fn transform(&mut self, declaration: &Declaration) -> Option<String> {
        let node = &declaration.node;
        let to = node.get("to")?;
        if let Some(entry) = self.dataset(to) {
            self.only_maker(declaration, to, entry);
            self.available_at(node, entry);
        }
        if let (Some(history), None) = (node.entry("history"), node.get("available_at")) {
            self.report
                .error(
                    "SW1908",
                    "`history` says that `available_at` may lie in the past, and there is none",
                    history.key_place,
                )
                .help("add `available_at: COLUMN`, or leave `history` out");
        }
        self.declared_sql(node)
    }

    /// What a dataset holds is compared with what its transform makes, so nothing else may feed it.
    fn only_maker(&mut self, declaration: &Declaration, to: &Node, entry: &DatasetEntry) {
        let declarations = self.declarations;
        let is_earlier = |other: &&Declaration| std::ptr::addr_eq(*other, declaration);
        let earlier = declarations.iter().take_while(|other| !is_earlier(other));
        let makes = |other: &&Declaration| {
            other.kind == "transform" && other.node.get("to").and_then(Node::text) == Some(&entry.name)
        };
        let feeds = |other: &&Declaration| {
            other.kind == "source" && self.dataset_of(&other.node).is_some_and(|fed| fed.name == entry.name)
        };
        let other = earlier.filter(makes).chain(declarations.iter().filter(feeds)).next();
        if let Some(other) = other {
            let message = format!("the {} `{}` makes `{}` already", other.kind, other.name, entry.name);
            self.report
                .error("SW1907", message, to.place)
                .label(other.name_place(), "declared here")
                .help("let the transform make a dataset of its own, described by another contract");
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
            let input = aggregate.node.entries().first().map(|entry| &entry.node);
            if let Some(column) = input.filter(|column| column.text() != Some("*")) {
                self.column(column, entry);
            }
        }
    }

    fn test(&mut self, node: &Node) {
        // Rows of a source have the columns of its producers, which its map alone knows.
        let is_of_source = node.get("when").is_some_and(|when| when.get("source").is_some());
        for given in node.get("given").map(Node::entries).unwrap_or_default() {
            let entry = match self.contracts.dataset(&given.key) {
                super::Found::Thing(entry) => entry,
                super::Found::Unsound => continue,
                super::Found::Missing => {
                    self.missing_dataset(&given.key, given.key_place);
                    continue;
                }
            };
            for row in given.node.items().iter().filter(|_| !is_of_source) {
                for value in row.entries() {
                    self.named_column(&value.key, value.key_place, entry);
                }
            }
        }
    }
}
