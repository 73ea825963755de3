//! References of training sets: rows, label, views and the columns that give their entities.

use seawall_base::declare::{FeatureRef, TrainingSet};

use seawall_kernel::contract::compile_own;

use super::super::contract::{DatasetEntry, compile_problem};
use super::super::parse::Declaration;
use super::super::read;
use super::super::shape::head;
use super::super::source::Place;
use super::super::words::{listed, suggest};
use super::super::yaml::Node;
use super::Resolver;

/// Columns that every training set has besides its context and features.
const OWN_COLUMNS: [&str; 2] = ["label", "_at"];

impl<'a> Resolver<'a> {
    pub(super) fn training_set(&mut self, declaration: &'a Declaration) -> Option<TrainingSet> {
        let node = &declaration.node;
        let mut set = self.read(declaration, read::training_set);
        let rows = node.get("rows")?;
        let spine = self.dataset(rows.get("from")?);
        if let Some(spine) = spine {
            self.not_a_changelog(rows.get("from")?, spine, "decisions");
            self.spine(rows, spine);
            self.context(node, spine);
        }
        if let Some(label) = node.get("label") {
            self.label(label, spine);
        }
        self.service_of(node);
        let references = node.get("features").map(Node::items).unwrap_or_default();
        let features = self.feature_references(references, spine);
        let context: Vec<String> =
            node.get("context").map(Node::entries).unwrap_or_default().iter().map(|entry| entry.key.clone()).collect();
        let derived = if node.get("service").is_some() { Vec::new() } else { self.derived(node, &context) };
        if let Some(contract) = node.get("contract") {
            let name = node.get("name").and_then(Node::text).unwrap_or_default();
            self.own_contract(name, contract, &self.columns(node, spine));
        }
        if let Some(set) = &mut set {
            set.features = features;
            set.derived = derived;
        }
        set
    }

    /// Rules over the set's own rows: they compile, and speak of columns that there are.
    fn own_contract(&mut self, name: &str, contract: &Node, columns: &[String]) {
        if self.report.has_error_within(contract.place) {
            return;
        }
        if let Err(problems) = compile_own(name, &contract.to_json()) {
            let mut seen = Vec::new();
            problems.iter().for_each(|problem| compile_problem(contract, problem, &mut seen, self.report));
        }
        for property in contract.get("properties").map(Node::items).unwrap_or_default() {
            let Some(named) = property.get("name") else { continue };
            let Some(column) = named.text().filter(|column| !columns.iter().any(|known| known == column)) else {
                continue;
            };
            let help = match suggest(column, columns.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its columns are {}", listed(columns.iter().map(String::as_str), "and")),
            };
            let message = format!("the training set `{name}` has no column `{column}`");
            self.report.error("SW1510", message, named.place).help(help);
        }
    }

    /// The columns of a training set, as far as its declaration and its views tell them.
    fn columns(&self, node: &'a Node, spine: Option<&'a DatasetEntry>) -> Vec<String> {
        let dataset = spine.and_then(|spine| spine.dataset.as_ref());
        let mut columns = dataset.map(|dataset| dataset.primary_key.clone()).unwrap_or_default();
        columns
            .extend(node.get("context").map(Node::entries).unwrap_or_default().iter().map(|entry| entry.key.clone()));
        columns.extend(self.vector_columns(node).unwrap_or_default().names());
        columns.extend(node.get("label").map(|_| "label".to_owned()));
        columns
    }

    fn spine(&mut self, rows: &Node, spine: &'a DatasetEntry) {
        let Some(from) = rows.get("from") else { return };
        let has_key = spine.dataset.as_ref().is_some_and(|dataset| !dataset.primary_key.is_empty());
        if !has_key {
            let message = format!("the dataset `{}` has no primary key, so its rows cannot be told apart", spine.name);
            self.report
                .error("SW0142", message, from.place)
                .label(spine.place, "described here")
                .help("mark the column that identifies a row with `primaryKey: true` in the contract");
        }
        if let Some(at) = rows.get("at") {
            self.instant_column(at, spine);
        }
    }

    fn context(&mut self, node: &Node, spine: &DatasetEntry) {
        let key = spine.dataset.as_ref().map(|dataset| dataset.primary_key.as_slice()).unwrap_or_default();
        for entry in node.get("context").map(Node::entries).unwrap_or_default() {
            let is_taken = OWN_COLUMNS.contains(&entry.key.as_str()) || key.contains(&entry.key);
            if is_taken {
                self.report
                    .error("SW0129", format!("a training set has a column `{}` already", entry.key), entry.key_place)
                    .help("give the context column another name");
            }
        }
    }

    fn label(&mut self, label: &Node, spine: Option<&'a DatasetEntry>) {
        let Some(from) = label.get("from") else { return };
        let Some(outcomes) = self.dataset(from) else { return };
        self.not_a_changelog(from, outcomes, "labels");
        for join in label.get("join").map(Node::one_or_many).unwrap_or_default() {
            let of_outcome = self.column(join, outcomes);
            let of_row = spine.and_then(|spine| self.column(join, spine));
            if let (Some(of_outcome), Some(of_row)) = (of_outcome, of_row) {
                self.same_type(of_outcome, of_row, join.place, ("the outcomes", "the rows"));
            }
        }
        if let Some(column) = label.get("column") {
            self.column(column, outcomes);
        }
    }

    /// A reference to a view, with the columns of the rows, or of a request, that give its entity.
    pub(super) fn feature_reference(
        &mut self,
        reference: &Node,
        spine: Option<&'a DatasetEntry>,
    ) -> Option<FeatureRef> {
        let named = read::view_of(reference)?;
        let id: seawall_base::VersionedName = named.text()?.parse().ok()?;
        let view = self.view(&id.name, named.place)?;
        let view = &view.node;
        let of_view: Vec<String> =
            view.get("entity")?.one_or_many().iter().filter_map(|column| column.text().map(str::to_owned)).collect();
        let entries = reference.get("entity").map(Node::entries);
        if let Some(entries) = entries {
            for entry in entries.iter().filter(|entry| !of_view.contains(&entry.key)) {
                let columns = || of_view.iter().map(String::as_str);
                let help = match suggest(&entry.key, columns()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("its entity is {}", listed(columns(), "and")),
                };
                let message = format!("the view `{}` has no entity column `{}`", id.name, entry.key);
                self.report.error("SW0135", message, entry.key_place).help(help);
            }
        }
        let mut entity = Vec::new();
        for column in &of_view {
            // The plain form, and columns that a mapping leaves out, use equal names.
            let mapped = entries.and_then(|entries| entries.iter().find(|entry| entry.key == *column));
            let (name, place) = match mapped {
                Some(entry) => (entry.node.text()?.to_owned(), entry.node.place),
                None => (column.clone(), named.place),
            };
            let has_column = self.entity_column(&name, place, spine, view, column);
            if !has_column && mapped.is_none() {
                continue;
            }
            entity.push(name);
        }
        let only = self.only(reference, view);
        Some(FeatureRef { view: id, entity, only })
    }

    /// Whether the rows have the column that gives an entity, and with the type that the view has.
    fn entity_column(
        &mut self,
        name: &str,
        place: Place,
        spine: Option<&'a DatasetEntry>,
        view: &Node,
        of_view: &str,
    ) -> bool {
        let Some(spine) = spine else { return true };
        let Some(of_row) = self.named_column(name, place, spine) else { return false };
        let from = view.get("from").and_then(Node::text).unwrap_or_default();
        let super::Found::Thing(entry) = self.contracts.dataset(from) else { return true };
        let of_view = entry.dataset.as_ref().and_then(|dataset| dataset.schema.field_with_name(of_view).ok());
        if let Some(of_view) = of_view {
            self.same_type(of_view, of_row, place, ("the view", "the rows"));
        }
        true
    }

    /// The sound view of this name; reported when there is none.
    fn view(&mut self, name: &str, place: Place) -> Option<&'a Declaration> {
        let views = || self.declarations.iter().filter(|d| d.kind == "feature_view");
        if let Some(view) = views().find(|view| view.name == name) {
            return view.is_sound.then_some(view);
        }
        if !self.is_complete {
            return None;
        }
        let names = || views().map(|view| view.name.as_str());
        let help = match suggest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the project has the views {}", listed(names(), "and")),
        };
        self.report.error("SW0137", format!("there is no feature view `{name}`"), place).help(help);
        None
    }

    /// Two references to one view would give two columns one name.
    pub(super) fn listed_once(&mut self, reference: &Node, earlier: &[Node]) {
        let name_of = |node: &Node| {
            let text = read::view_of(node).and_then(Node::text).unwrap_or_default();
            text.split('@').next().unwrap_or_default().to_owned()
        };
        let name = name_of(reference);
        if let Some(first) = earlier.iter().find(|node| name_of(node) == name) {
            self.report
                .error("SW0129", format!("the view `{name}` is listed twice"), head(reference))
                .label(head(first), "first listed here")
                .help("keep one; a second entity needs a view of another name");
        }
    }
}
