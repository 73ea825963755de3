//! From texts to a checked project: the order of the checks, and what stops which of the later ones.
//!
//! Everything wrong is found in one go. A declaration whose shape is wrong takes no further part, but its name stays
//! known, so that one mistake does not make every reference to it look dangling.

use std::collections::BTreeMap;
use std::path::Path;

use super::contract::Contracts;
use super::diagnostic::{Diagnostics, Report};
use super::read::literal;
use super::resolve::Resolver;
use super::shape::{Record, check_record, head};
use super::source::{Place, SourceFile};
use super::tables::KINDS;
use super::variables::{Variables, expand};
use super::words::{listed, suggest};
use super::yaml::{Node, documents};
use super::{LoadOptions, Loaded};

/// Name of the file that makes a folder a project.
pub(crate) const PROJECT_FILE: &str = "seawall.yaml";

/// A declaration with its kind.
pub(crate) struct Declaration {
    pub kind: &'static str,
    /// Empty when it has none.
    pub name: String,
    pub node: Node,
    /// Whether its shape was found right.
    pub is_sound: bool,
}

/// The documents of all files, sorted by what they are.
#[derive(Default)]
struct Documents {
    declarations: Vec<(&'static str, &'static Record, Node)>,
    contracts: Vec<Node>,
    /// Whether every file of contracts, and of declarations, could be read to its end.
    has_all_contracts: bool,
    has_all_declarations: bool,
}

/// Checks everything; problems found while reading the files are already in `report`.
pub(crate) fn parse(files: Vec<SourceFile>, options: &LoadOptions, mut report: Report) -> Result<Loaded, Diagnostics> {
    let had_problems = report.error_count() > 0;
    let mut documents = sort_documents(&files, &mut report);
    // A file that could not be read might have held anything.
    documents.has_all_contracts &= !had_problems;
    documents.has_all_declarations &= !had_problems;
    let variables = project_variables(&documents.declarations, &files, options, &mut report);
    let declarations = check_shapes(documents.declarations, &variables, &files, &mut report);
    check_duplicates(&declarations, &mut report);
    let contracts = Contracts::read(&documents.contracts, &variables, documents.has_all_contracts, &mut report);
    let project = Resolver {
        contracts: &contracts,
        declarations: &declarations,
        is_complete: documents.has_all_declarations,
        files: &files,
        report: &mut report,
    }
    .project();
    if report.error_count() > 0 {
        return Err(report.finish(&files));
    }
    let warnings = report.finish(&files);
    Ok(Loaded { project, datasets: contracts.datasets(), warnings, files })
}

/// Whether the file at `path` holds contracts.
pub(crate) fn is_contract_file(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.ends_with(".odcs.yaml") || name.ends_with(".odcs.yml")
}

/// Whether the file at `path` holds YAML.
pub(crate) fn is_yaml_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn sort_documents(files: &[SourceFile], report: &mut Report) -> Documents {
    let mut sorted = Documents { has_all_contracts: true, has_all_declarations: true, ..Documents::default() };
    for (index, file) in files.iter().enumerate().filter(|(_, file)| is_yaml_file(&file.path)) {
        let before = report.error_count();
        let nodes = documents(index, file, report);
        let is_contract_file = is_contract_file(&file.path);
        for node in nodes {
            if is_contract_file {
                sort_contract(node, &mut sorted, report);
            } else {
                sort_declaration(node, &mut sorted, report);
            }
        }
        let is_clean = report.error_count() == before;
        sorted.has_all_contracts &= is_clean || !is_contract_file;
        sorted.has_all_declarations &= is_clean || is_contract_file;
    }
    sorted
}

fn sort_contract(node: Node, sorted: &mut Documents, report: &mut Report) {
    let kind = node.get("kind").and_then(Node::text);
    if kind.is_some_and(|kind| KINDS.iter().any(|(known, _)| *known == kind)) {
        report
            .error("SW0146", "a file named *.odcs.yaml holds contracts only", head(&node))
            .help("move this declaration into a file named *.yaml");
        return;
    }
    sorted.contracts.push(node);
}

fn sort_declaration(node: Node, sorted: &mut Documents, report: &mut Report) {
    let kinds = || KINDS.iter().map(|(kind, _)| *kind);
    let Some(kind) = node.get("kind") else {
        let misspelt = node.entries().iter().find(|entry| suggest(&entry.key, ["kind"]).is_some());
        match misspelt {
            Some(entry) => {
                report
                    .error("SW0127", format!("a declaration has a `kind`, this has `{}`", entry.key), entry.key_place)
                    .help("did you mean `kind`?");
            }
            None => {
                report
                    .error("SW0127", "this declaration does not tell its kind", head(&node))
                    .help(format!("begin it with `kind:` and one of {}", listed(kinds(), "or")));
            }
        }
        return;
    };
    let text = kind.scalar().map(|scalar| scalar.text.as_str()).unwrap_or_default();
    if let Some((kind, record)) = KINDS.iter().find(|(known, _)| *known == text) {
        sorted.declarations.push((kind, record, node));
        return;
    }
    if text == "DataContract" {
        report
            .error("SW0146", "this is a contract in a file of declarations", kind.place)
            .help("name its file *.odcs.yaml, for example contracts/payments.odcs.yaml");
        return;
    }
    let help = match suggest(text, kinds()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the kinds are {}", listed(kinds(), "and")),
    };
    report.error("SW0127", format!("there is no kind `{text}`"), kind.place).help(help);
}

/// The variables: defaults of the project's file, then what the caller set.
fn project_variables(
    declarations: &[(&'static str, &'static Record, Node)],
    files: &[SourceFile],
    options: &LoadOptions,
    report: &mut Report,
) -> Variables {
    let projects: Vec<&Node> =
        declarations.iter().filter(|(kind, _, _)| *kind == "project").map(|(_, _, node)| node).collect();
    let is_main = |node: &&&Node| files[node.place.file].path == Path::new(PROJECT_FILE);
    for stray in projects.iter().filter(|node| !is_main(node)) {
        report
            .error("SW0130", "the project is declared outside of seawall.yaml", head(stray))
            .help("keep one `kind: project`, in seawall.yaml at the top of the folder");
    }
    let mut main = projects.iter().filter(|node| is_main(node));
    let project = main.next();
    for second in main {
        report.error("SW0130", "the project is declared twice", head(second)).help("keep one of the two");
    }
    let mut variables = Variables::new();
    for entry in project.and_then(|node| node.get("variables")).map(Node::entries).unwrap_or_default() {
        if let Some(value) = literal(&entry.node) {
            variables.insert(entry.key.clone(), value);
        }
    }
    let main_file = files.iter().position(|file| file.path == Path::new(PROJECT_FILE));
    let Some(file) = main_file else { return variables };
    let whole = Place { file, start: 0, end: 0 };
    if project.is_none() && !report.has_error_in(file) {
        report
            .error("SW0130", "seawall.yaml does not declare the project", whole)
            .help("add `kind: project` and `name: NAME`");
    }
    let declared = project.and_then(|node| node.get("variables")).map_or(whole, |node| node.place);
    set_variables(&mut variables, &options.set, declared, report);
    variables
}

/// Overrides defaults; a name without a default is a typing mistake until shown otherwise.
fn set_variables(variables: &mut Variables, set: &BTreeMap<String, String>, place: Place, report: &mut Report) {
    for name in set.keys().filter(|name| !variables.contains_key(*name)) {
        let help = match suggest(name, variables.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `--set {near}=...`?"),
            None => format!("give it a default there first: `{name}: VALUE`"),
        };
        report
            .error("SW0126", format!("`--set {name}` sets a variable that seawall.yaml does not have"), place)
            .help(help);
    }
    variables.extend(set.iter().map(|(name, value)| (name.clone(), value.clone())));
}

fn check_shapes(
    declarations: Vec<(&'static str, &'static Record, Node)>,
    variables: &Variables,
    files: &[SourceFile],
    report: &mut Report,
) -> Vec<Declaration> {
    let mut checked = Vec::new();
    for (kind, record, mut node) in declarations {
        let before = report.error_count();
        if kind != "project" {
            expand(&mut node, variables, files, report);
        }
        check_record(&node, record, report);
        let is_sound = report.error_count() == before;
        let name = node.get("name").and_then(Node::text).unwrap_or_default().to_owned();
        checked.push(Declaration { kind, name, node, is_sound });
    }
    checked
}

fn check_duplicates(declarations: &[Declaration], report: &mut Report) {
    for (i, later) in declarations.iter().enumerate().filter(|(_, d)| !d.name.is_empty() && d.kind != "project") {
        let same = |earlier: &&Declaration| earlier.kind == later.kind && earlier.name == later.name;
        if let Some(earlier) = declarations[..i].iter().find(same) {
            let kind = later.kind.replace('_', " ");
            report
                .error("SW0129", format!("the {kind} `{}` is declared twice", later.name), later.name_place())
                .here("declared again here")
                .label(earlier.name_place(), "first declared here")
                .help("give one of them another name");
        }
    }
}

impl Declaration {
    /// Where its name stands.
    pub fn name_place(&self) -> Place {
        self.node.get("name").map_or_else(|| head(&self.node), |name| name.place)
    }
}
