//! References of models: the training set, its label, and the columns of it that a model takes, minds and is sliced by.

use arrow::datatypes::{DataType, Field};
use seawall_base::declare::{Bounds, MissingAction, Model};

use super::super::contract::DatasetEntry;
use super::super::parse::Declaration;
use super::super::read::model as read;
use super::super::shape::head;
use super::super::source::Place;
use super::super::sql::mentions;
use super::super::words::{listed, suggest};
use super::super::yaml::{Entry, Node};
use super::feature_service::VectorColumns;
use super::{Found, Resolver};

/// What a training set offers to a model.
struct SetColumns<'a> {
    name: &'a str,
    context: Vec<&'a str>,
    /// Features of views, and what is derived from them.
    vector: VectorColumns<'a>,
}

/// What a name means in a training set.
enum Meaning {
    /// This column.
    Column(String),
    /// A feature of each of several views: these columns.
    Several(Vec<String>),
    Nothing,
}

impl SetColumns<'_> {
    /// The columns, by the names that they have in the table.
    fn names(&self) -> Vec<String> {
        self.context.iter().map(|name| (*name).to_owned()).chain(self.vector.names()).collect()
    }

    /// The column called `name`, or the one feature of that name.
    fn meaning(&self, name: &str) -> Meaning {
        let names = self.names();
        if names.iter().any(|known| known == name) {
            return Meaning::Column(name.to_owned());
        }
        let same = self.vector.features.iter().filter(|(_, feature)| *feature == name);
        let mut columns: Vec<String> = same.map(|(view, feature)| format!("{view}__{feature}")).collect();
        match columns.len() {
            0 => Meaning::Nothing,
            1 => Meaning::Column(columns.remove(0)),
            _ => Meaning::Several(columns),
        }
    }
}

impl<'a> Resolver<'a> {
    /// A model, its columns by the names that they have in the training set.
    pub(super) fn model(&mut self, declaration: &Declaration) -> Option<Model> {
        let node = &declaration.node;
        let model = self.read(declaration, read::model);
        self.bounds(node);
        if let Some(model) = &model {
            self.intervals(node, model);
        }
        let set = self.training_set_of(node)?;
        self.positive(node, set);
        self.availability(node, set);
        let columns = self.set_columns(set)?;
        let inputs = self.inputs(node, &columns);
        let on_missing = self.on_missing(node, &columns, &inputs);
        let by = self.slices(node, set, &columns);
        let mut model = model?;
        model.inputs = inputs;
        model.on_missing.columns = on_missing;
        model.ready_when.by = by;
        Some(model)
    }

    /// The sound training set that a model names; reported when there is none.
    fn training_set_of(&mut self, node: &Node) -> Option<&'a Declaration> {
        let reference = node.get("training_set")?;
        let name = reference.text()?;
        let declarations = self.declarations;
        let sets = || declarations.iter().filter(|d| d.kind == "training_set");
        if let Some(set) = sets().find(|set| set.name == name) {
            return set.is_sound.then_some(set);
        }
        if !self.is_complete {
            return None;
        }
        let names = || sets().map(|set| set.name.as_str());
        let help = match suggest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the project has the training sets {}", listed(names(), "and")),
        };
        self.report.error("SW0138", format!("there is no training set `{name}`"), reference.place).help(help);
        None
    }

    /// What the training set offers; none when one of its views is not known.
    fn set_columns(&self, set: &'a Declaration) -> Option<SetColumns<'a>> {
        let context = set.node.get("context").map(Node::entries).unwrap_or_default();
        let context = context.iter().map(|entry| entry.key.as_str()).collect();
        Some(SetColumns { name: &set.name, context, vector: self.vector_columns(&set.node)? })
    }

    /// A classifier needs to know which labels are the positive ones.
    fn positive(&mut self, node: &Node, set: &Declaration) {
        let positive = node.get("positive");
        if let Some(sql) = positive.filter(|sql| sql.text().is_some_and(|text| !mentions(text, "label"))) {
            self.report
                .error("SW0171", "`positive` does not mention the label, so it says the same of every row", sql.place)
                .help("write SQL over the column `label`, for example `positive: label > 15`");
        }
        let Some(reference) = node.get("training_set") else { return };
        let Some(label) = set.node.get("label") else {
            self.report
                .error("SW0170", format!("the training set `{}` has no label to learn", set.name), reference.place)
                .label(set.name_place(), "declared here")
                .help("add `label:` to the training set");
            return;
        };
        let Some(field) = self.label_column(label).filter(|field| *field.data_type() != DataType::Boolean) else {
            return;
        };
        if positive.is_some() {
            return;
        }
        let example = if field.data_type().is_numeric() { "label > 0" } else { "label = 'yes'" };
        let message = format!(
            "the label of `{}` is {}, so the model must say which values are the positive ones",
            set.name,
            field.data_type()
        );
        self.report
            .error("SW0171", message, head(node))
            .label(label.get("column").map_or(label.place, |column| column.place), "the label")
            .help(format!("add `positive:`, SQL over the column `label`, for example `positive: {example}`"));
    }

    /// The column that a label takes its value from; none for a label by presence.
    fn label_column(&self, label: &Node) -> Option<&'a Field> {
        let column = label.get("column")?.text()?;
        let Found::Thing(outcomes) = self.contracts.dataset(label.get("from")?.text()?) else { return None };
        outcomes.dataset.as_ref()?.schema.field_with_name(column).ok()
    }

    /// What is trained on the future cannot be promoted, so it is not retrained either.
    fn availability(&mut self, node: &Node, set: &Declaration) {
        let ignores = set.node.get("known").filter(|known| known.text() == Some("ignore"));
        let (Some(known), Some(retrain)) = (ignores, node.entry("retrain")) else { return };
        let message = format!(
            "the training set `{}` ignores when its rows were known, so this model can never be promoted",
            set.name
        );
        self.report
            .error("SW0176", message, retrain.key_place)
            .label(known.place, "known in hindsight")
            .help("remove `retrain`, or let the training set see only what was known in time");
    }

    fn inputs(&mut self, node: &Node, columns: &SetColumns<'_>) -> Vec<String> {
        let mut inputs: Vec<String> = Vec::new();
        for item in node.get("inputs").map(Node::items).unwrap_or_default() {
            let Some(column) = item.text().and_then(|name| self.set_column(name, item.place, columns)) else {
                continue;
            };
            if inputs.contains(&column) {
                self.report
                    .error("SW0129", format!("the input `{column}` is listed twice"), item.place)
                    .help("keep one of the two");
                continue;
            }
            inputs.push(column);
        }
        inputs
    }

    fn on_missing(&mut self, node: &Node, columns: &SetColumns<'_>, inputs: &[String]) -> Vec<(String, MissingAction)> {
        let mut actions: Vec<(String, MissingAction)> = Vec::new();
        let entries = node.get("on_missing").map(Node::entries).unwrap_or_default();
        for entry in entries.iter().filter(|entry| entry.key != "default") {
            let Some(column) = self.set_column(&entry.key, entry.key_place, columns) else { continue };
            if actions.iter().any(|(known, _)| *known == column) {
                self.report
                    .error("SW0129", format!("what a missing `{column}` does is told twice"), entry.key_place)
                    .help("keep one of the two");
                continue;
            }
            if !inputs.is_empty() && !inputs.contains(&column) {
                self.report
                    .error("SW0173", format!("the model does not take `{column}`"), entry.key_place)
                    .help("add it to `inputs`, or remove this line");
            }
            actions.extend(read::missing_action(&entry.node).map(|action| (column, action)));
        }
        actions.sort_by(|a, b| a.0.cmp(&b.0));
        actions
    }

    /// The column of the training set that `name` means; reported when there is none.
    fn set_column(&mut self, name: &str, place: Place, columns: &SetColumns<'_>) -> Option<String> {
        match columns.meaning(name) {
            Meaning::Column(column) => return Some(column),
            Meaning::Several(all) => self.report_several(name, place, &all),
            Meaning::Nothing => self.report_missing(name, place, columns, &[]),
        }
        None
    }

    /// Columns by which a model is sliced: of the training set, of the rows it decides on, or the one feature so called.
    fn slices(&mut self, node: &Node, set: &Declaration, columns: &SetColumns<'_>) -> Vec<String> {
        let mut slices = Vec::new();
        let spine = self.spine_of(set);
        let fields = spine.and_then(|entry| entry.dataset.as_ref()).map(|dataset| dataset.schema.fields());
        let of_rows: Vec<&str> = fields.into_iter().flatten().map(|field| field.name().as_str()).collect();
        let by = node.get("ready_when").and_then(|ready_when| ready_when.get("by"));
        for item in by.map(Node::items).unwrap_or_default() {
            let Some(name) = item.text() else { continue };
            let is_own = columns.names().iter().any(|known| known == name);
            match columns.meaning(name) {
                _ if !is_own && of_rows.contains(&name) => slices.push(name.to_owned()),
                Meaning::Column(column) => slices.push(column),
                Meaning::Several(all) => self.report_several(name, item.place, &all),
                // Rows that are not known may have any column.
                Meaning::Nothing if spine.is_none() => {}
                Meaning::Nothing => self.report_missing(name, item.place, columns, &of_rows),
            }
        }
        slices
    }

    fn spine_of(&self, set: &Declaration) -> Option<&'a DatasetEntry> {
        match self.contracts.dataset(set.node.get("rows")?.get("from")?.text()?) {
            Found::Thing(entry) => Some(entry),
            Found::Unsound | Found::Missing => None,
        }
    }

    fn report_several(&mut self, name: &str, place: Place, columns: &[String]) {
        let help = format!("name one of {}", listed(columns.iter().map(String::as_str), "and"));
        self.report.error("SW0172", format!("several views have a feature `{name}`"), place).help(help);
    }

    fn report_missing(&mut self, name: &str, place: Place, columns: &SetColumns<'_>, more: &[&str]) {
        let names = columns.names();
        let plain = columns.vector.features.iter().map(|(_, feature)| *feature);
        let all = names.iter().map(String::as_str).chain(more.iter().copied());
        let help = match suggest(name, all.clone().chain(plain)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", listed(all, "and")),
        };
        let message = format!("the training set `{}` has no column `{name}`", columns.name);
        self.report.error("SW0138", message, place).help(help);
    }

    fn bounds(&mut self, node: &Node) {
        let Some(ready_when) = node.get("ready_when") else { return };
        for (_, entry) in read::metrics(ready_when) {
            match read::bounds(&entry.node) {
                Some(Bounds { min: None, max: None }) if !self.report.has_error_within(entry.node.place) => {
                    self.empty_bounds(entry);
                }
                Some(Bounds { min: Some(min), max: Some(max) }) if min > max => {
                    self.report
                        .error("SW0174", format!("no value of `{}` is good enough", entry.key), entry.node.place)
                        .help(format!("{min} is more than {max}: swap `min` and `max`"));
                }
                _ => {}
            }
        }
    }

    fn empty_bounds(&mut self, entry: &Entry) {
        self.report
            .error("SW0174", format!("`{}` has neither `min` nor `max`", entry.key), entry.key_place)
            .help(format!("write for example `{}: {{min: 0.8}}`, or remove the key", entry.key));
    }

    fn intervals(&mut self, node: &Node, model: &Model) {
        let Some(retrain) = &model.retrain else { return };
        let Some(max) = retrain.max_interval.filter(|max| *max < retrain.min_interval) else { return };
        let Some(given) = node.get("retrain").and_then(|retrain| retrain.get("max_interval")) else { return };
        let message = format!("`max_interval` is {max}, which is less than `min_interval`, {}", retrain.min_interval);
        self.report.error("SW0175", message, given.place).help("raise the one or lower the other");
    }
}
