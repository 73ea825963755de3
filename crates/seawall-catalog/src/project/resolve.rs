//! What refers to what: every contract, dataset, column, view and file that a declaration names must be there and fit.

use std::path::{Component, Path, PathBuf};

use arrow::datatypes::{DataType, Field, TimeUnit};
use seawall_base::declare::{Available, FeatureView, Source, TableSettings};
use seawall_base::{Dataset, Span};

use self::features::add_new;
use super::contract::{Contracts, DatasetEntry, Found};
use super::diagnostic::Report;
use super::model::{OtherDeclaration, Project};
use super::parse::Declaration;
use super::policies::policies;
use super::read;
use super::shape::head;
use super::source::{Place, SourceFile};
use super::words::{listed, suggest};
use super::yaml::Node;

mod cycles;
mod feature_service;
mod features;
mod keep;
mod model;
mod other;
mod training_set;
mod view;
mod watch;

/// Checks references and builds the project. What is returned is complete only when nothing was reported.
pub(crate) struct Resolver<'a> {
    pub contracts: &'a Contracts,
    pub declarations: &'a [Declaration],
    /// Whether every file of declarations could be read: only then is an unknown name known to be wrong.
    pub is_complete: bool,
    pub files: &'a [SourceFile],
    pub report: &'a mut Report,
}

impl<'a> Resolver<'a> {
    /// The project.
    pub fn project(mut self) -> Project {
        let declarations = self.declarations;
        let mut project = Project {
            name: self.name(),
            contracts: self.contracts.sound(),
            sources: Vec::new(),
            feature_views: Vec::new(),
            feature_services: Vec::new(),
            training_sets: Vec::new(),
            models: Vec::new(),
            monitors: Vec::new(),
            corrections: Vec::new(),
            views: Vec::new(),
            policies: policies(self.files, self.report),
            log_retention: self.log_retention(),
            tables: None,
            other: Vec::new(),
        };
        // References of unsound declarations are checked too, as far as they can be read.
        for declaration in declarations {
            match declaration.kind {
                "project" => project.tables = self.table_settings(declaration),
                "source" => project.sources.extend(self.source(declaration)),
                "feature_view" => project.feature_views.extend(self.feature_view(declaration)),
                "feature_service" => project.feature_services.extend(self.feature_service(declaration)),
                "training_set" => project.training_sets.extend(self.training_set(declaration)),
                "model" => project.models.extend(self.model(declaration)),
                "monitor" => project.monitors.extend(self.monitor(declaration)),
                "correction" => project.corrections.extend(self.correction(declaration)),
                "view" => project.views.extend(self.named_query(declaration)),
                _ => project.other.extend(self.other(declaration)),
            }
        }
        self.cycles();
        project.sources.sort_by(|a, b| a.name.cmp(&b.name));
        project.feature_views.sort_by(|a, b| a.name.cmp(&b.name));
        project.feature_services.sort_by(|a, b| a.name.cmp(&b.name));
        project.training_sets.sort_by(|a, b| a.name.cmp(&b.name));
        project.models.sort_by(|a, b| a.name.cmp(&b.name));
        project.monitors.sort_by(|a, b| a.name.cmp(&b.name));
        project.corrections.sort_by(|a, b| a.name.cmp(&b.name));
        project.views.sort_by(|a, b| a.name.cmp(&b.name));
        project.other.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
        project
    }

    fn name(&self) -> String {
        self.declarations.iter().find(|d| d.kind == "project").map(|d| d.name.clone()).unwrap_or_default()
    }

    fn log_retention(&self) -> Option<Span> {
        let project = self.declarations.iter().find(|d| d.kind == "project")?;
        read::log_retention(&project.node)
    }

    /// What was read of a declaration. That a sound one cannot be read is a mistake of ours, not the author's.
    fn read<T>(&mut self, declaration: &Declaration, read: fn(&Node) -> Option<T>) -> Option<T> {
        let value = read(&declaration.node);
        if value.is_none() && declaration.is_sound {
            self.unreadable(declaration);
        }
        value
    }

    fn unreadable(&mut self, declaration: &Declaration) {
        let message = format!("this {} passed its checks but cannot be read", declaration.kind.replace('_', " "));
        self.report.error("SW0149", message, head(&declaration.node)).help("report this declaration as a bug");
    }

    fn table_settings(&mut self, declaration: &Declaration) -> Option<TableSettings> {
        let node = declaration.node.get("tables")?;
        let settings = read::table_settings(node);
        if settings.is_none() && declaration.is_sound {
            self.unreadable(declaration);
        }
        settings
    }

    fn source(&mut self, declaration: &Declaration) -> Option<Source> {
        let node = &declaration.node;
        let map = node.get("map").and_then(|map| self.sql(map));
        let entry = self.source_dataset(node);
        if let Some(entry) = entry {
            self.available_at(node, entry);
        }
        let source = self.read(declaration, read::source)?;
        if source.history && source.available_at == Available::Arrival {
            let place = node.entry("history").map_or_else(|| head(node), |entry| entry.key_place);
            self.report
                .warning("SW0144", "this source loads the past, but its rows are known only when they arrive", place)
                .help("name the column that tells when a row was known: `available_at: COLUMN`");
        }
        Some(Source { map, dataset: entry?.name.clone(), ..source })
    }

    /// The dataset that a source feeds: the one it names, or the only one of its contract.
    fn source_dataset(&mut self, node: &Node) -> Option<&'a DatasetEntry> {
        let reference = node.get("contract")?;
        if self.report.has_error_at(reference.place) {
            return None;
        }
        let contract = reference.text()?;
        let (id, major) = contract.rsplit_once('@')?;
        let datasets = match self.contracts.contract(id, major) {
            Found::Thing(datasets) => datasets,
            Found::Unsound => return None,
            Found::Missing => {
                let help = self.contracts.contract_help(id);
                self.report.error("SW0133", format!("there is no contract `{contract}`"), reference.place).help(help);
                return None;
            }
        };
        let names = || datasets.iter().map(|entry| entry.name.as_str());
        match node.get("dataset") {
            Some(named) => {
                let name = named.text()?;
                let found = datasets.iter().find(|entry| entry.name == name);
                if found.is_none() {
                    let message = format!("the contract `{contract}` has no dataset `{name}`");
                    let help = match suggest(name, names()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("it has {}", listed(names(), "and")),
                    };
                    self.report.error("SW0134", message, named.place).help(help);
                }
                found
            }
            None if datasets.len() == 1 => datasets.first(),
            None => {
                let message = format!("the contract `{contract}` has several datasets");
                let help = format!("add `dataset:` with one of {}", listed(names(), "or"));
                self.report.error("SW0124", message, reference.place).help(help);
                None
            }
        }
    }

    /// A plain name under `available_at` is a column, which must hold instants. Expressions are the engine's to check.
    fn available_at(&mut self, node: &Node, entry: &'a DatasetEntry) {
        let Some(at) = node.get("available_at") else { return };
        let text = at.text().unwrap_or_default();
        let is_plain = text.chars().all(|c| c.is_alphanumeric() || c == '_') && !text.starts_with(char::is_numeric);
        if is_plain && text != "arrival" {
            self.instant_column(at, entry);
        }
    }

    fn feature_view(&mut self, declaration: &Declaration) -> Option<FeatureView> {
        let node = &declaration.node;
        let mut view = self.read(declaration, read::feature_view);
        let entry = self.dataset(node.get("from")?)?;
        self.not_a_changelog(node.get("from")?, entry, "features");
        let before = self.report.error_count();
        let entities = node.get("entity").map(Node::one_or_many).unwrap_or_default();
        for (i, column) in entities.iter().enumerate() {
            self.column(column, entry);
            if entities[..i].iter().any(|earlier| earlier.text() == column.text()) {
                self.report.error("SW0129", "this column is part of the entity already", column.place);
            }
        }
        self.instant_column(node.get("time")?, entry);
        let head_is_sound = self.report.error_count() == before;
        let features = node.get("features")?;
        if features.entries().is_empty() && !self.report.has_error_at(features.place) {
            let message = "a feature view without features serves nothing";
            self.report.error("SW0125", message, features.place).help("add one: `n_1h: {count: \"*\", window: 1h}`");
        }
        for feature in features.entries() {
            let computed = self.feature_inputs(&feature.node, entry);
            if let Some(view) = &mut view {
                add_new(&mut view.computed, computed);
            }
            let is_sound = head_is_sound && !self.report.has_error_within(feature.node.place);
            if let (true, Some(view)) = (is_sound, &view) {
                self.compile_feature(view, &feature.key, head(&feature.node), entry);
            }
        }
        view
    }

    /// Features and training sets do not follow rows that others replace or delete.
    fn not_a_changelog(&mut self, from: &Node, entry: &DatasetEntry, what: &str) {
        if entry.dataset.as_ref().is_some_and(|dataset| dataset.changelog.is_some()) {
            let message = format!(
                "`{}` is a changelog, whose rows replace each other, and {what} would count all of them",
                entry.name
            );
            self.report
                .error("SW1906", message, from.place)
                .label(entry.place, "described here")
                .help("read the dataset that the changelog is made of");
        }
    }

    /// The dataset that a source feeds, without a report when it cannot be found.
    fn dataset_of(&self, source: &Node) -> Option<&'a DatasetEntry> {
        let (id, major) = source.get("contract")?.text()?.rsplit_once('@')?;
        let Found::Thing(datasets) = self.contracts.contract(id, major) else { return None };
        match source.get("dataset") {
            Some(named) => datasets.iter().find(|entry| Some(entry.name.as_str()) == named.text()),
            None => datasets.first().filter(|_| datasets.len() == 1),
        }
    }

    /// The dataset that `node` names; reported when there is none.
    fn dataset(&mut self, node: &Node) -> Option<&'a DatasetEntry> {
        let name = node.text()?;
        if self.report.has_error_at(node.place) {
            return None;
        }
        match self.contracts.dataset(name) {
            Found::Thing(entry) => Some(entry),
            Found::Unsound => None,
            Found::Missing => {
                self.missing_dataset(name, node.place);
                None
            }
        }
    }

    fn missing_dataset(&mut self, name: &str, place: Place) {
        let names = || self.contracts.dataset_names();
        let help = match suggest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names().next().is_none() => {
                "describe it with a contract, for example contracts/NAME.odcs.yaml".to_owned()
            }
            None => format!("the contracts describe {}", listed(names(), "and")),
        };
        self.report.error("SW0134", format!("no contract describes the dataset `{name}`"), place).help(help);
    }

    /// The column of `entry` that `node` names; reported when there is none.
    fn column(&mut self, node: &Node, entry: &'a DatasetEntry) -> Option<&'a Field> {
        let name = node.text()?;
        self.named_column(name, node.place, entry)
    }

    fn named_column(&mut self, name: &str, place: Place, entry: &'a DatasetEntry) -> Option<&'a Field> {
        let dataset: &Dataset = entry.dataset.as_ref()?;
        if self.report.has_error_at(place) {
            return None;
        }
        if let Ok(field) = dataset.schema.field_with_name(name) {
            return Some(field);
        }
        let columns = || dataset.schema.fields().iter().map(|field| field.name().as_str());
        let help = match suggest(name, columns()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its columns are {}", listed(columns(), "and")),
        };
        self.report
            .error("SW0135", format!("the dataset `{}` has no column `{name}`", entry.name), place)
            .label(entry.place, "described here")
            .help(help);
        None
    }

    /// The same for a column that must hold instants.
    fn instant_column(&mut self, node: &Node, entry: &'a DatasetEntry) -> Option<&'a Field> {
        let field = self.column(node, entry)?;
        let is_instant = matches!(field.data_type(), DataType::Timestamp(TimeUnit::Microsecond, Some(_)));
        if !is_instant {
            let message = format!("the column `{}` does not hold instants but {}", field.name(), field.data_type());
            self.report
                .error("SW0136", message, node.place)
                .label(entry.place, "described here")
                .help("name a column whose logicalType is timestamp");
            return None;
        }
        Some(field)
    }

    /// Reports two columns whose values can never be equal.
    fn same_type(&mut self, one: &Field, other: &Field, place: Place, roles: (&str, &str)) {
        if one.data_type() == other.data_type() {
            return;
        }
        let message = format!(
            "the column `{}` of {} is {}, but `{}` of {} is {}",
            one.name(),
            roles.0,
            one.data_type(),
            other.name(),
            roles.1,
            other.data_type()
        );
        self.report.error("SW0136", message, place).help("give both the same logicalType in their contracts");
    }

    /// The SQL of a value: itself, or the content of the `.sql` file that it names.
    fn sql(&mut self, node: &Node) -> Option<String> {
        let text = node.text()?;
        let is_file = text.trim_end().ends_with(".sql") && !text.contains(char::is_whitespace);
        if is_file { self.sql_file(node) } else { Some(text.to_owned()) }
    }

    fn sql_file(&mut self, node: &Node) -> Option<String> {
        let text = node.text()?;
        let Some(path) = project_path(text) else {
            self.report
                .error("SW0132", format!("the file {text:?} lies outside of the project"), node.place)
                .help("SQL files belong to the project: give a path relative to its folder, without `..`");
            return None;
        };
        match self.files.iter().find(|file| file.path == path) {
            Some(file) if file.text.trim().is_empty() => {
                self.report.error("SW0132", format!("the file {text} holds no SQL"), node.place);
                None
            }
            Some(file) => Some(file.text.to_string()),
            None => {
                let help = self.sql_file_help(text, &path, node.place);
                self.report.error("SW0132", format!("there is no file {text}"), node.place).help(help);
                None
            }
        }
    }

    /// The SQL of a declaration with `sql` or `file`.
    fn declared_sql(&mut self, node: &Node) -> Option<String> {
        match node.get("file") {
            Some(file) => self.sql_file(file),
            None => node.get("sql")?.text().map(str::to_owned),
        }
    }

    /// The same, without a report when it cannot be found.
    fn sql_quietly(&self, node: &Node) -> Option<String> {
        match node.get("file") {
            None => node.get("sql")?.text().map(str::to_owned),
            Some(file) => {
                let path = project_path(file.text()?)?;
                self.files.iter().find(|file| file.path == path).map(|file| file.text.to_string())
            }
        }
    }

    fn sql_file_help(&self, text: &str, path: &Path, place: Place) -> String {
        let beside = self.files[place.file].path.parent().map(|folder| folder.join(path));
        if let Some(file) = self.files.iter().find(|file| Some(&file.path) == beside.as_ref()) {
            return format!("paths start at the project's folder: {}", file.path.display());
        }
        let known: Vec<String> = self
            .files
            .iter()
            .filter(|file| file.path.extension().is_some_and(|extension| extension == "sql"))
            .map(|file| file.path.to_string_lossy().into_owned())
            .collect();
        match suggest(text, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "paths start at the project's folder".to_owned(),
        }
    }
}

/// `text` as a path within the project, without `.` steps; none when it leads out of it.
fn project_path(text: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(text.trim()).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// A declaration that only the catalog keeps.
fn kept(declaration: &Declaration, body: serde_json::Value) -> OtherDeclaration {
    OtherDeclaration { kind: declaration.kind.to_owned(), name: declaration.name.clone(), body }
}
