//! Feature services, and what vectors are made of: features of views, what a request or a context tells, and what is
//! derived from both.

use seawall_base::declare::{DerivedFeature, FeatureRef, FeatureService};

use super::super::contract::DatasetEntry;
use super::super::parse::Declaration;
use super::super::read;
use super::super::shape::head;
use super::super::source::Place;
use super::super::sql::expression;
use super::super::words::{listed, suggest};
use super::super::yaml::Node;
use super::{Found, Resolver};

/// Columns that every record of a vector has.
const OWN_COLUMNS: [&str; 2] = ["label", "_at"];

/// The features that a vector has, as far as its declaration and its views tell them.
#[derive(Debug, Default)]
pub(super) struct VectorColumns<'a> {
    /// View and feature, in declared order.
    pub features: Vec<(&'a str, &'a str)>,
    /// What is derived.
    pub derived: Vec<&'a str>,
}

impl VectorColumns<'_> {
    /// The columns, by the names that they have in the vector.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let features = self.features.iter().map(|(view, feature)| format!("{view}__{feature}"));
        features.chain(self.derived.iter().map(|name| (*name).to_owned()))
    }
}

impl<'a> Resolver<'a> {
    pub(super) fn feature_service(&mut self, declaration: &'a Declaration) -> Option<FeatureService> {
        let node = &declaration.node;
        let mut service = self.read(declaration, read::service::feature_service);
        let references = node.get("features")?.items();
        let features = self.feature_references(references, None);
        self.one_type_per_column(references, &features);
        let entities: Vec<String> = features.iter().flat_map(|reference| reference.entity.iter().cloned()).collect();
        let mut told = entities.clone();
        for entry in node.get("request").map(Node::entries).unwrap_or_default() {
            if entities.contains(&entry.key) || OWN_COLUMNS.contains(&entry.key.as_str()) {
                self.taken(&entry.key, entry.key_place, "the request has it already");
            }
            told.push(entry.key.clone());
        }
        let derived = self.derived(node, &told);
        if let Some(service) = &mut service {
            service.features = features;
            service.derived = derived;
        }
        service
    }

    /// References to views, each once, with the columns that give their entities: of the rows when they are known, else of
    /// a request.
    pub(super) fn feature_references(
        &mut self,
        references: &[Node],
        spine: Option<&'a DatasetEntry>,
    ) -> Vec<FeatureRef> {
        let mut features = Vec::new();
        for (i, reference) in references.iter().enumerate() {
            features.extend(self.feature_reference(reference, spine));
            self.listed_once(reference, &references[..i]);
        }
        features
    }

    /// The features of a view that a reference takes; none when it takes all. Those that are not there are reported.
    pub(super) fn only(&mut self, reference: &Node, view: &Node) -> Vec<String> {
        let known: Vec<&str> =
            view.get("features").map(Node::entries).unwrap_or_default().iter().map(|e| e.key.as_str()).collect();
        let mut only: Vec<String> = Vec::new();
        for item in reference.get("only").map(Node::items).unwrap_or_default() {
            let Some(name) = item.text() else { continue };
            if only.iter().any(|taken| taken == name) {
                self.taken(name, item.place, "it is listed twice");
                continue;
            }
            if !known.contains(&name) && !self.report.has_error_at(item.place) {
                let help = match suggest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("its features are {}", listed(known.iter().copied(), "and")),
                };
                self.report.error("SW0187", format!("the view has no feature `{name}`"), item.place).help(help);
            }
            only.push(name.to_owned());
        }
        only
    }

    /// What is derived from a vector's features and from what is `told` besides.
    pub(super) fn derived(&mut self, node: &'a Node, told: &[String]) -> Vec<DerivedFeature> {
        let entries = node.get("derived").map(Node::entries).unwrap_or_default();
        // With a view that is not known, nobody can say what the vector lacks.
        let columns: Option<Vec<String>> = self.vector_columns(node).map(|columns| columns.names().collect());
        let known: Option<Vec<&str>> =
            columns.as_ref().map(|columns| columns.iter().chain(told).map(String::as_str).collect());
        let mut derived = Vec::new();
        for entry in entries {
            if told.contains(&entry.key) || OWN_COLUMNS.contains(&entry.key.as_str()) {
                self.taken(&entry.key, entry.key_place, "the vector has it already");
            }
            let Some(sql) = entry.node.text().map(str::trim).filter(|_| !self.report.has_error_at(entry.node.place))
            else {
                continue;
            };
            if let Some(reads) = self.derived_reads(sql, &entry.key, entry.node.place, known.as_deref()) {
                derived.push(DerivedFeature { name: entry.key.clone(), sql: sql.to_owned(), reads });
            }
        }
        self.circles(node, &derived);
        derived
    }

    /// The columns that a derived feature reads; none when it cannot be read, which is reported.
    fn derived_reads(&mut self, sql: &str, name: &str, place: Place, known: Option<&[&str]>) -> Option<Vec<String>> {
        let reads = match expression::columns(sql) {
            Ok(reads) => reads,
            Err(refused) => {
                self.report.error("SW0185", refused.message, place).help(refused.help);
                return None;
            }
        };
        if reads.is_empty() {
            self.report
                .error("SW0185", "this expression reads no column, so it is the same for every vector", place)
                .help("name a feature as VIEW__FEATURE, or what the request tells");
            return None;
        }
        let Some(known) = known else { return Some(reads) };
        for read in reads.iter().filter(|read| !known.contains(&read.as_str())) {
            let help = match suggest(read, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it can read {}", listed(known.iter().copied(), "and")),
            };
            let message = format!("the derived feature `{name}` reads `{read}`, which the vector does not have");
            self.report.error("SW0187", message, place).help(help);
        }
        Some(reads)
    }

    /// Derived features that read each other in a circle have no first one.
    fn circles(&mut self, node: &Node, derived: &[DerivedFeature]) {
        let mut open: Vec<&DerivedFeature> = derived.iter().collect();
        loop {
            let names: Vec<&str> = open.iter().map(|feature| feature.name.as_str()).collect();
            let left: Vec<&DerivedFeature> = open
                .iter()
                .filter(|one| one.reads.iter().any(|read| names.contains(&read.as_str())))
                .copied()
                .collect();
            if left.is_empty() {
                return;
            }
            if left.len() == open.len() {
                let Some(first) = node.get("derived").and_then(|derived| derived.entry(&open[0].name)) else { return };
                let message = format!("derived features read each other in a circle: {}", listed(names, "and"));
                self.report.error("SW0188", message, first.key_place).help("write one of them without the others");
                return;
            }
            open = left;
        }
    }

    /// The features of a declaration with `features` or `service`; none when a view or the service is not known.
    pub(super) fn vector_columns(&self, node: &'a Node) -> Option<VectorColumns<'a>> {
        let declarations = self.declarations;
        let named = |kind: &str, id: &str| {
            let name = id.split('@').next().unwrap_or_default();
            declarations.iter().find(|one| one.kind == kind && one.name == name)
        };
        // One step: an unsound service may name a service, itself even.
        let node = match node.get("service") {
            Some(id) => &named("feature_service", id.text()?)?.node,
            None => node,
        };
        let mut columns = VectorColumns::default();
        for reference in node.get("features")?.items() {
            let view = named("feature_view", read::view_of(reference)?.text()?)?;
            let features = view.node.get("features")?.entries().iter().map(|feature| feature.key.as_str());
            match reference.get("only") {
                Some(only) => {
                    columns
                        .features
                        .extend(only.items().iter().filter_map(Node::text).map(|f| (view.name.as_str(), f)));
                }
                None => columns.features.extend(features.map(|feature| (view.name.as_str(), feature))),
            }
        }
        let derived = node.get("derived").map(Node::entries).unwrap_or_default();
        columns.derived.extend(derived.iter().map(|entry| entry.key.as_str()));
        Some(columns)
    }

    /// The service that a training set names; reported when there is none. What it takes from the rows is checked when the
    /// version that is meant is known, by `plan`.
    pub(super) fn service_of(&mut self, node: &Node) {
        let Some(reference) = node.get("service") else { return };
        if let Some(derived) = node.entry("derived") {
            self.report
                .error("SW0188", "a training set with a service derives what the service does", derived.key_place)
                .help("declare it in the feature service, so that it is served as well");
        }
        let Some(name) = reference.text().and_then(|id| id.split('@').next()) else { return };
        let declarations = self.declarations;
        let services = || declarations.iter().filter(|one| one.kind == "feature_service");
        let is_known = services().any(|service| service.name == name);
        if is_known || !self.is_complete || self.report.has_error_at(reference.place) {
            return;
        }
        let names = || services().map(|service| service.name.as_str());
        let help = match (suggest(name, names()), names().next()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(_)) => format!("the project has the feature services {}", listed(names(), "and")),
            (None, None) => "declare one with `kind: feature_service`".to_owned(),
        };
        self.report.error("SW0186", format!("there is no feature service `{name}`"), reference.place).help(help);
    }

    /// A column of the request that gives the entities of several views has one type.
    fn one_type_per_column(&mut self, references: &[Node], features: &[FeatureRef]) {
        let mut known: Vec<(String, arrow::datatypes::Field)> = Vec::new();
        for (reference, bound) in references.iter().zip(features) {
            let Some(view) =
                self.declarations.iter().find(|one| one.kind == "feature_view" && one.name == bound.view.name)
            else {
                continue;
            };
            let from = view.node.get("from").and_then(Node::text).unwrap_or_default();
            let Found::Thing(entry) = self.contracts.dataset(from) else { continue };
            let of_view = view.node.get("entity").map(Node::one_or_many).unwrap_or_default();
            for (column, of_view) in bound.entity.iter().zip(of_view.iter().filter_map(Node::text)) {
                let field = entry.dataset.as_ref().and_then(|dataset| dataset.schema.field_with_name(of_view).ok());
                let Some(field) = field.cloned() else { continue };
                match known.iter().find(|(name, _)| name == column) {
                    Some((_, first)) => {
                        let first = first.clone();
                        self.same_type(&first, &field, head(reference), ("one view", "another"));
                    }
                    None => known.push((column.clone(), field)),
                }
            }
        }
    }

    fn taken(&mut self, name: &str, place: Place, why: &str) {
        self.report
            .error("SW0129", format!("`{name}` cannot be told twice: {why}"), place)
            .help("give it another name");
    }
}
