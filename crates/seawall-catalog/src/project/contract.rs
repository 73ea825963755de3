//! Contracts of a project: read from `*.odcs.yaml`, checked by the kernel, looked up by sources and views.

use seawall_base::Dataset;
use seawall_kernel::contract::{self, Contract, Problem};

use super::diagnostic::Report;
use super::shape::{check_contract, head};
use super::source::Place;
use super::tables::CONTRACT;
use super::variables::{Variables, resolve};
use super::words::{listed, suggest};
use super::yaml::{Node, Value};

pub(crate) mod standard;

/// Every contract of the project, the unsound ones too, so that what refers to them is not called dangling.
#[derive(Default)]
pub(crate) struct Contracts {
    entries: Vec<Entry>,
    /// Whether every contract file told at least its id and its objects.
    is_complete: bool,
}

/// One contract.
struct Entry {
    id: String,
    version: String,
    major: Option<u32>,
    place: Place,
    contract: Option<Contract>,
    datasets: Vec<DatasetEntry>,
}

/// One dataset of a contract.
pub(crate) struct DatasetEntry {
    pub name: String,
    /// Where the contract names it.
    pub place: Place,
    /// What it is; absent when its contract is unsound.
    pub dataset: Option<Dataset>,
}

/// What a reference leads to.
pub(crate) enum Found<T> {
    /// The thing.
    Thing(T),
    /// The thing is declared, but unsound: that is reported elsewhere.
    Unsound,
    /// There is no such thing.
    Missing,
}

/// The contract that a source names: its datasets.
pub(crate) type Datasets<'c> = &'c [DatasetEntry];

impl Contracts {
    /// Reads and checks the contracts among `documents`. `is_complete` says whether all files could be read,
    /// `variables` are the ones that a contract may name.
    pub fn read(documents: &[Node], variables: &Variables, is_complete: bool, report: &mut Report) -> Contracts {
        let mut contracts = Contracts { entries: Vec::new(), is_complete };
        for node in documents {
            let mut node = node.clone();
            resolve(&mut node, variables);
            contracts.read_one(&node, report);
        }
        contracts.check_duplicates(report);
        contracts
    }

    fn read_one(&mut self, node: &Node, report: &mut Report) {
        let is_sound = check_shape(node, report);
        let text = |key: &str| node.get(key).and_then(|value| value.scalar()).map(|scalar| scalar.text.clone());
        let Some(id) = text("id") else {
            self.is_complete = false;
            return;
        };
        let version = text("version").unwrap_or_default();
        let contract = deserialize(node, is_sound, report);
        let mut datasets = match &contract {
            Some(contract) => compile(node, contract, report),
            None => objects(node).map(|(name, place)| DatasetEntry { name, place, dataset: None }).collect(),
        };
        let contract = contract.filter(|_| is_sound);
        if !is_sound {
            datasets.iter_mut().for_each(|entry| entry.dataset = None);
        }
        if !is_sound && datasets.is_empty() {
            self.is_complete = false;
        }
        let place = node.get("id").map_or_else(|| head(node), |id| id.place);
        let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
        self.entries.push(Entry { id, version, major, place, contract, datasets });
    }

    fn check_duplicates(&self, report: &mut Report) {
        let datasets = || self.entries.iter().flat_map(|entry| &entry.datasets);
        for (i, later) in datasets().enumerate() {
            if let Some(earlier) = datasets().take(i).find(|earlier| earlier.name == later.name) {
                report
                    .error("SW0129", format!("the dataset `{}` is described twice", later.name), later.place)
                    .here("described again here")
                    .label(earlier.place, "first described here")
                    .help("a dataset has one contract: replace it by its new version and let sources adapt with a map");
            }
        }
        for (i, later) in self.entries.iter().enumerate() {
            let same = |earlier: &&Entry| earlier.id == later.id && earlier.major == later.major;
            if let Some(earlier) = self.entries[..i].iter().find(same) {
                report
                    .error("SW0129", format!("the contract {:?} {} exists twice", later.id, later.version), later.place)
                    .here("given again here")
                    .label(earlier.place, "first given here")
                    .help("give it another id, or merge the two");
            }
        }
    }

    /// The contracts that are sound, by id and version.
    pub fn sound(&self) -> Vec<Contract> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by(|a, b| (&a.id, a.major, &a.version).cmp(&(&b.id, b.major, &b.version)));
        entries.into_iter().filter_map(|entry| entry.contract.clone()).collect()
    }

    /// The datasets that are sound, by name.
    pub fn datasets(&self) -> Vec<Dataset> {
        let mut datasets: Vec<Dataset> =
            self.entries.iter().flat_map(|entry| &entry.datasets).filter_map(|entry| entry.dataset.clone()).collect();
        datasets.sort_by(|a, b| a.name.cmp(&b.name));
        datasets
    }

    /// The dataset of this name.
    pub fn dataset(&self, name: &str) -> Found<&DatasetEntry> {
        let found = self.entries.iter().flat_map(|entry| &entry.datasets).find(|entry| entry.name == name);
        match found {
            Some(entry) if entry.dataset.is_some() => Found::Thing(entry),
            Some(_) => Found::Unsound,
            None if !self.is_complete => Found::Unsound,
            None => Found::Missing,
        }
    }

    /// The datasets of the contract `id@major`.
    pub fn contract(&self, id: &str, major: &str) -> Found<Datasets<'_>> {
        let wanted = major.parse::<u32>().ok();
        let found = self.entries.iter().find(|entry| entry.id == id && entry.major == wanted && wanted.is_some());
        match found {
            Some(entry) if entry.contract.is_some() => Found::Thing(&entry.datasets),
            Some(_) => Found::Unsound,
            None if !self.is_complete => Found::Unsound,
            None => Found::Missing,
        }
    }

    /// What to do about a reference to a contract that does not exist.
    pub fn contract_help(&self, id: &str) -> String {
        let named = |entry: &Entry| match entry.major {
            Some(major) => format!("{}@{major}", entry.id),
            None => entry.id.clone(),
        };
        let same: Vec<String> = self.entries.iter().filter(|entry| entry.id == id).map(named).collect();
        if !same.is_empty() {
            return format!("the project has {}", listed(same.iter().map(String::as_str), "and"));
        }
        let near = suggest(id, self.entries.iter().map(|entry| entry.id.as_str()));
        if let Some(near) = near.and_then(|near| self.entries.iter().find(|entry| entry.id == near)) {
            return format!("did you mean `{}`?", named(near));
        }
        if self.entries.is_empty() {
            return "the project has no contract yet: write one as contracts/NAME.odcs.yaml".to_owned();
        }
        let all: Vec<String> = self.entries.iter().map(named).collect();
        format!("the project has {}", listed(all.iter().map(String::as_str), "and"))
    }

    /// Names of all datasets, sound or not.
    pub fn dataset_names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().flat_map(|entry| &entry.datasets).map(|entry| entry.name.as_str())
    }
}

/// Checks a contract against the standard; true when nothing is wrong.
pub(crate) fn check_shape(node: &Node, report: &mut Report) -> bool {
    let before = report.error_count();
    check_contract(node, &CONTRACT, report);
    standard::check(node, report);
    report.error_count() == before
}

/// Names and places of the objects that `node` describes, as far as they can be told.
fn objects(node: &Node) -> impl Iterator<Item = (String, Place)> {
    let objects = node.get("schema").map(Node::items).unwrap_or_default();
    objects.iter().filter_map(|object| {
        let name = object.get("name")?;
        Some((name.text()?.to_owned(), name.place))
    })
}

/// The contract as data. Why an unsound one cannot be read is reported already.
pub(crate) fn deserialize(node: &Node, is_sound: bool, report: &mut Report) -> Option<Contract> {
    match serde_json::from_value(node.to_json()) {
        Ok(contract) => Some(contract),
        Err(_) if !is_sound => None,
        Err(error) => {
            report
                .error("SW0143", format!("this is not a contract: {error}"), head(node))
                .help("compare it with the Open Data Contract Standard, v3.0 to v3.2");
            None
        }
    }
}

/// The datasets of a contract; what the kernel has against them is reported where it stands.
fn compile(node: &Node, contract: &Contract, report: &mut Report) -> Vec<DatasetEntry> {
    let mut datasets = Vec::new();
    let mut seen = Vec::new();
    for (name, place) in objects(node) {
        let dataset = match contract::compile(contract, Some(&name)) {
            Ok(gate) => Some(gate.dataset().clone()),
            Err(problems) => {
                problems.iter().for_each(|problem| compile_problem(node, problem, &mut seen, report));
                None
            }
        };
        datasets.push(DatasetEntry { name, place, dataset });
    }
    datasets
}

/// Reports what the kernel has against a contract, once: problems of the contract as a whole come back for every object,
/// and `seen` are the places of those that were reported.
pub(crate) fn compile_problem(node: &Node, problem: &Problem, seen: &mut Vec<(Place, String)>, report: &mut Report) {
    let place = place_of(node, problem);
    let is_known = seen.iter().any(|(known, message)| *known == place && *message == problem.message);
    let is_place_known = seen.iter().any(|(known, _)| *known == place);
    // What the shape has against this place, or against the rule as a whole, says it already.
    let is_told =
        report.has_error_at(place) || rule_at(node, &problem.path).is_some_and(|r| report.has_error_within(r));
    if is_known || is_told && !is_place_known {
        return;
    }
    seen.push((place, problem.message.clone()));
    let draft = report.error(problem.code, problem.message.clone(), place);
    if let Some(help) = &problem.hint {
        draft.help(help.clone());
    }
}

/// The place of the quality rule that `path` leads into.
fn rule_at(root: &Node, path: &str) -> Option<Place> {
    let steps: Vec<&str> = path.split('/').collect();
    let at = steps.iter().rposition(|step| *step == "quality")?;
    let mut node = root;
    for step in steps.get(..at + 2)? {
        node = match &node.value {
            Value::Map(_) => node.get(step)?,
            Value::List(items) => items.get(step.parse::<usize>().ok()?)?,
            Value::Scalar(_) => return None,
        };
    }
    Some(node.place)
}

/// Where the kernel's problem stands: an unknown key at the key, everything else at the value.
fn place_of(root: &Node, problem: &Problem) -> Place {
    let (key, value) = places_at(root, &problem.path);
    if problem.code == UNKNOWN_KEY { key } else { value }
}

/// The kernel's code for a key that the standard does not have.
const UNKNOWN_KEY: &str = "SW0210";

/// The places of key and value that a path such as `schema/0/properties/2/name` leads to, or the nearest on the way.
pub(crate) fn places_at(root: &Node, path: &str) -> (Place, Place) {
    let mut node = root;
    let mut places = (head(root), head(root));
    for step in path.split('/') {
        let next = match &node.value {
            Value::Map(_) => node.entry(step).map(|entry| (&entry.node, entry.key_place)),
            Value::List(items) => {
                step.parse::<usize>().ok().and_then(|index| items.get(index)).map(|item| (item, head(item)))
            }
            Value::Scalar(_) => None,
        };
        let Some((inner, key)) = next else { break };
        node = inner;
        places = (key, head(inner));
    }
    places
}
