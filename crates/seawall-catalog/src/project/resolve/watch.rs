//! References of monitors and corrections.

use std::str::FromStr;

use seawall_base::Instant;
use seawall_base::declare::{Correction, Monitor};

use super::super::contract::DatasetEntry;
use super::super::parse::Declaration;
use super::super::read::watch as read;
use super::super::words::{listed, suggest};
use super::super::yaml::{Node, ScalarKind};
use super::Resolver;

impl<'a> Resolver<'a> {
    pub(super) fn monitor(&mut self, declaration: &Declaration) -> Option<Monitor> {
        let node = &declaration.node;
        let monitor = self.read(declaration, read::monitor);
        let dataset = node.get("dataset")?;
        self.watched_once(declaration, dataset);
        let entry = self.dataset(dataset)?;
        let by = node.get("by").map(Node::items).unwrap_or_default();
        for (i, column) in by.iter().enumerate() {
            self.column(column, entry);
            if by[..i].iter().any(|earlier| earlier.text() == column.text()) {
                self.report.error("SW0129", "this column is listed already", column.place).help("keep one of the two");
            }
        }
        monitor
    }

    /// Two monitors of one dataset would each claim to say how it is watched.
    fn watched_once(&mut self, declaration: &Declaration, dataset: &Node) {
        let Some(name) = dataset.text() else { return };
        let before = self.declarations.iter().take_while(|other| !std::ptr::eq(*other, declaration));
        let mut monitors = before.filter(|other| other.kind == "monitor");
        let earlier = monitors.find_map(|other| other.node.get("dataset").filter(|node| node.text() == Some(name)));
        if let Some(earlier) = earlier {
            self.report
                .error("SW0129", format!("the dataset `{name}` has two monitors"), dataset.place)
                .label(earlier.place, "first monitored here")
                .help("make one of the two");
        }
    }

    pub(super) fn correction(&mut self, declaration: &Declaration) -> Option<Correction> {
        let node = &declaration.node;
        let entry = self.corrected_dataset(node);
        if let Some(entry) = entry {
            self.corrected_columns(node, entry);
        }
        self.divisor(node);
        let only = node.get("only");
        if let Some(only) = only.filter(|only| only.entries().len() != 1 && !self.report.has_error_within(only.place)) {
            self.report
                .error("SW0179", "`only` names one column and its value", only.place)
                .help("write for example `only: {country: SE}`, and one correction per value");
            return None;
        }
        if let Some(from) = node.get("from").filter(|from| !self.report.has_error_at(from.place))
            && let Err(error) = Instant::from_str(from.text().unwrap_or_default())
        {
            self.report.adopt_error(&error, from.place);
            return None;
        }
        self.read(declaration, read::correction)
    }

    /// The dataset of the source that a correction names; a source that does not exist is reported.
    fn corrected_dataset(&mut self, node: &Node) -> Option<&'a DatasetEntry> {
        let reference = node.get("source")?;
        let name = reference.text()?;
        let declarations = self.declarations;
        let sources = || declarations.iter().filter(|d| d.kind == "source");
        if let Some(source) = sources().find(|source| source.name == name) {
            return self.dataset_of(&source.node);
        }
        if self.is_complete && !self.report.has_error_at(reference.place) {
            let names = || sources().map(|source| source.name.as_str());
            let help = match suggest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the project has the sources {}", listed(names(), "and")),
            };
            self.report.error("SW0178", format!("there is no source `{name}`"), reference.place).help(help);
        }
        None
    }

    fn corrected_columns(&mut self, node: &Node, entry: &'a DatasetEntry) {
        if let Some(only) = node.get("only") {
            for condition in only.entries() {
                self.named_column(&condition.key, condition.key_place, entry);
            }
        }
        let Some(column) = node.get("column") else { return };
        let Some(field) = self.column(column, entry).filter(|field| !field.data_type().is_numeric()) else { return };
        let message = format!("the column `{}` does not hold numbers but {}", field.name(), field.data_type());
        self.report
            .error("SW0136", message, column.place)
            .label(entry.place, "described here")
            .help("a correction divides: name a column whose logicalType is integer or number");
    }

    fn divisor(&mut self, node: &Node) {
        let Some(divisor) = node.get("divide_by") else { return };
        let is_zero = |kind| matches!(kind, ScalarKind::Integer(0)) || matches!(kind, ScalarKind::Float(0.0));
        if divisor.scalar().is_some_and(|scalar| is_zero(scalar.kind)) {
            self.report
                .error("SW0179", "nothing can be divided by 0", divisor.place)
                .help("give the factor by which the values are too large");
        }
    }
}
