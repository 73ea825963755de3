//! What the contract standard asks of keys that depend on each other: which keys a type of server has, which operators
//! a rule has, what a map or a vector needs, which way round a relationship is written.
//!
//! Every key by itself is checked by its shape. What is wrong there is not said again here.

use super::super::diagnostic::Report;
use super::super::shape::head;
use super::super::words::{listed, suggest};
use super::super::yaml::{Entry, Node, ScalarKind, Value};

/// One sentence for editors about the keys of a server.
pub(crate) const SERVER_KEYS: &str = "One of the keys that belong to the type of the server.";

/// The types of servers.
pub(crate) const SERVER_TYPES: &[&str] = &{
    let mut names = [""; SERVERS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = SERVERS[i].0;
        i += 1;
    }
    names
};

/// Each type of server with the keys that it needs and the keys that it may have.
const SERVERS: [(&str, &[&str], &[&str]); 44] = [
    ("api", &["location"], &[]),
    ("athena", &["schema"], &["stagingDir", "catalog", "regionName", "workgroup"]),
    ("azure", &["location", "format"], &["encoding", "delimiter"]),
    ("bigquery", &["project", "dataset"], &[]),
    ("btrieve", &["host", "database"], &["port"]),
    ("clickhouse", &["host", "port", "database"], &[]),
    ("databricks", &["catalog", "schema"], &["host"]),
    ("denodo", &["host", "port"], &["database"]),
    ("dremio", &["host", "port"], &["schema"]),
    ("duckdb", &["database"], &["schema"]),
    ("exasol", &["host"], &["port", "schema"]),
    ("fastobjects", &["database"], &["host", "port"]),
    ("glue", &["account", "database"], &["location", "format", "encoding"]),
    ("cloudsql", &["host", "port", "database", "schema"], &[]),
    ("db2", &["host", "port", "database"], &["schema"]),
    ("hive", &["host", "database"], &["port"]),
    ("impala", &["host", "database"], &["port"]),
    ("informix", &["host", "database"], &["port"]),
    ("ingres", &["database", "host"], &["port"]),
    ("zen", &["host", "database"], &["port"]),
    (
        "custom",
        &[],
        &[
            "account",
            "catalog",
            "database",
            "dataset",
            "delimiter",
            "endpointUrl",
            "format",
            "encoding",
            "host",
            "location",
            "path",
            "port",
            "project",
            "region",
            "regionName",
            "schema",
            "serviceName",
            "stagingDir",
            "warehouse",
            "stream",
        ],
    ),
    ("kafka", &["host"], &["format", "encoding"]),
    ("kinesis", &[], &["region", "format", "encoding"]),
    ("local", &["path", "format"], &["encoding"]),
    ("mysql", &["host", "port", "database"], &[]),
    ("oracle", &["host", "port", "serviceName"], &[]),
    ("poet", &["database"], &["host", "port"]),
    ("hana", &["host"], &["port", "database", "schema"]),
    ("iceberg", &["catalog", "catalogUrl"], &["namespace", "warehouse"]),
    ("postgresql", &["host", "port", "database", "schema"], &[]),
    ("postgres", &["host", "port", "database", "schema"], &[]),
    ("presto", &["host"], &["catalog", "schema"]),
    ("pubsub", &["project"], &[]),
    ("redshift", &["database", "schema"], &["host", "region", "account"]),
    ("s3", &["location"], &["endpointUrl", "format", "encoding", "delimiter"]),
    ("sftp", &["location"], &["format", "encoding", "delimiter"]),
    ("snowflake", &["account", "database", "schema"], &["host", "port", "warehouse"]),
    ("sqlserver", &["host", "database", "schema"], &["port"]),
    ("synapse", &["host", "port", "database"], &[]),
    ("teradata", &["host"], &["port", "database"]),
    ("trino", &["host", "port", "catalog", "schema"], &[]),
    ("vectorwise", &["database", "host"], &["port"]),
    ("versant", &["database"], &["host", "port"]),
    ("vertica", &["host", "port", "database", "schema"], &[]),
];

/// Keys that every server may have.
const COMMON_SERVER_KEYS: &[&str] =
    &["id", "server", "type", "description", "environment", "roles", "customProperties"];

const VERSIONS: &[&str] = &["v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0"];
/// The eight operators of a rule.
const OPERATORS: &[&str] = &[
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
];
const METRICS: &[&str] = &["nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount"];
/// Keys that v3.1 gave up.
const KEYS_OF_V3_0: &[&str] = &["validValues", "mustBeGreaterThanOrEqualTo", "mustBeLessThanOrEqualTo"];

/// Checks `contract`, whose keys have their shapes.
pub(crate) fn check(contract: &Node, report: &mut Report) {
    let version = contract.get("apiVersion").and_then(Node::text).unwrap_or_default();
    if let Some(node) = contract.get("apiVersion").filter(|node| node.text().is_some())
        && !VERSIONS.contains(&version)
    {
        report
            .error("SW0200", format!("apiVersion {version:?} is not supported"), node.place)
            .help(format!("use one of {}", listed(VERSIONS.iter().copied(), "and")));
    }
    let mut checker = Checker { report, is_v3_0: version.starts_with("v3.0.") };
    for server in items(contract, "servers") {
        checker.server(server);
    }
    for object in items(contract, "schema") {
        for relationship in items(object, "relationships") {
            checker.relationship(relationship, true);
        }
        checker.rules(object);
        for property in items(object, "properties") {
            checker.property(property, true);
        }
    }
}

fn items<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    node.get(key).map(Node::items).unwrap_or_default()
}

struct Checker<'r> {
    report: &'r mut Report,
    is_v3_0: bool,
}

impl Checker<'_> {
    fn server(&mut self, server: &Node) {
        let Some(kind) = server.get("type").and_then(Node::text) else { return };
        let Some((_, needed, possible)) = SERVERS.iter().find(|(name, ..)| *name == kind) else { return };
        for key in needed.iter().filter(|key| server.get(key).is_none()) {
            self.report
                .error("SW0213", format!("a server of type {kind} needs `{key}`"), head(server))
                .help(format!("it needs {}", listed(needed.iter().copied(), "and")));
        }
        let belongs = |key: &str| [*needed, *possible, COMMON_SERVER_KEYS].iter().any(|keys| keys.contains(&key));
        for entry in server.entries().iter().filter(|entry| !belongs(&entry.key)) {
            // A key that no server has is reported by its shape.
            if self.is_v3_0 || !SERVERS.iter().any(|(_, a, b)| a.contains(&&*entry.key) || b.contains(&&*entry.key)) {
                continue;
            }
            let all = needed.iter().chain(possible.iter()).copied();
            self.report
                .error("SW0213", format!("a server of type {kind} has no `{}`", entry.key), entry.key_place)
                .help(format!("besides those of every server it has {}", listed(all, "and")));
        }
    }

    /// A property; `is_named` for columns and fields, which need a name, unlike items of arrays and parts of maps.
    fn property(&mut self, property: &Node, is_named: bool) {
        if property.entries().is_empty() {
            return;
        }
        let misspelt = || property.entries().iter().any(|entry| suggest(&entry.key, ["name"]) == Some("name"));
        if is_named && property.get("name").is_none() && !misspelt() {
            self.report.error("SW0124", "this property has no `name`", head(property)).help("add `name`: its column");
        }
        let kind = property.get("logicalType").and_then(Node::text);
        self.nested(property, kind, is_named);
        self.options(property, kind);
        self.allowed(property);
        for relationship in items(property, "relationships") {
            self.relationship(relationship, false);
        }
        self.rules(property);
        for field in items(property, "properties") {
            self.property(field, true);
        }
        if let Some(inner) = property.get("items") {
            self.property(inner, false);
        }
        for part in ["key", "value"] {
            if let Some(inner) = property.get("map").and_then(|map| map.get(part)) {
                self.property(inner, false);
            }
        }
    }

    /// `properties`, `items` and `map` belong to one type each.
    fn nested(&mut self, property: &Node, kind: Option<&str>, is_named: bool) {
        for (key, owner) in [("properties", "object"), ("items", "array"), ("map", "map")] {
            let Some(entry) = property.entry(key) else { continue };
            let belongs = kind.is_none_or(|kind| kind == owner) || (key == "properties" && !is_named);
            if !belongs {
                let message = format!("`{key}` belongs to the logicalType {owner}, this is {}", kind.unwrap_or("none"));
                self.report.error("SW0213", message, entry.key_place).help("remove it, or correct logicalType");
            }
        }
        if kind == Some("map") && property.get("map").is_none() {
            self.report
                .error("SW0213", "a map says what its keys and values are", head(property))
                .help("add `map: {key: {logicalType: string}, value: {logicalType: ...}}`");
        }
    }

    fn options(&mut self, property: &Node, kind: Option<&str>) {
        let options = property.get("logicalTypeOptions");
        let has_dimensions = options.is_some_and(|options| options.get("dimensions").is_some());
        if kind == Some("vector") && !has_dimensions {
            self.report
                .error("SW0213", "a vector says how many dimensions it has", options.map_or(head(property), head))
                .help("add `logicalTypeOptions: {dimensions: 384}`");
        }
        for key in ["exclusiveMinimum", "exclusiveMaximum"] {
            let Some(bound) = options.and_then(|options| options.get(key)) else { continue };
            if !self.is_v3_0 && matches!(bound.scalar().map(|scalar| scalar.kind), Some(ScalarKind::Bool(_))) {
                self.report
                    .error("SW0205", format!("`{key}` is a flag only in v3.0.x"), bound.place)
                    .help("since v3.1 it is the bound itself");
            }
        }
    }

    fn allowed(&mut self, property: &Node) {
        let values = items(property, "enum");
        for (i, later) in values.iter().enumerate() {
            let json = later.to_json();
            if let Some(earlier) = values[..i].iter().find(|earlier| earlier.to_json() == json) {
                self.report
                    .error("SW0204", "this value of the enum stands there twice", later.place)
                    .label(earlier.place, "first given here")
                    .help("remove one of them");
            }
        }
    }

    /// Below a property the referring column is the property itself; below an object both sides are told.
    fn relationship(&mut self, relationship: &Node, is_of_object: bool) {
        if relationship.entries().is_empty() {
            return;
        }
        let (from, to) = (relationship.entry("from"), relationship.entry("to"));
        let needed: &[&str] = if is_of_object { &["from", "to"] } else { &["to"] };
        for key in needed.iter().filter(|key| relationship.get(key).is_none()) {
            let message = format!("this relationship has no `{key}`");
            self.report.error("SW0213", message, head(relationship)).help("write OBJECT.PROPERTY");
        }
        let (Some(from), Some(to)) = (from, to) else { return };
        if !is_of_object {
            self.report
                .error("SW0213", "below a property, a relationship has no `from`", from.key_place)
                .help("remove it: the property itself refers");
            return;
        }
        let width = |entry: &Entry| matches!(&entry.node.value, Value::List(_)).then(|| entry.node.items().len());
        if width(from) != width(to) {
            self.report
                .error("SW0213", "`from` and `to` are not as many columns", to.node.place)
                .help("write both as one reference, or both as lists of the same length");
        }
    }

    fn rules(&mut self, owner: &Node) {
        for rule in items(owner, "quality") {
            if self.is_v3_0 {
                self.rule_of_v3_0(rule);
            } else if !rule.entries().is_empty() {
                self.rule(rule);
            }
        }
    }

    fn rule_of_v3_0(&mut self, rule: &Node) {
        let needed: &[&str] = match rule.get("type").and_then(Node::text) {
            Some("sql") => &["query"],
            Some("custom") => &["engine", "implementation"],
            _ => &[],
        };
        self.needs(rule, needed);
    }

    fn rule(&mut self, rule: &Node) {
        let kind = rule.get("type").and_then(Node::text);
        let is_library = kind == Some("library") || rule.get("metric").is_some();
        let (needed, mut possible): (&[&str], Vec<&str>) = match kind {
            Some("sql") => (&["query"], OPERATORS.to_vec()),
            Some("custom") => (&["engine", "implementation"], Vec::new()),
            _ => (&[], Vec::new()),
        };
        self.needs(rule, needed);
        if is_library {
            self.needs(rule, &["metric"]);
            possible.extend(OPERATORS.iter().chain(&["metric", "rule", "arguments"]));
        }
        possible.extend(needed);
        if is_library || kind == Some("sql") {
            self.operator(rule);
        }
        self.misplaced(rule, &possible, if is_library { "library" } else { kind.unwrap_or("none") });
        let metric = rule.get("metric").filter(|_| is_library);
        if let Some((node, word)) = metric.and_then(|node| Some((node, node.text()?)))
            && !METRICS.contains(&word)
        {
            let draft = self.report.error("SW0207", format!("{word:?} is no metric"), node.place);
            match suggest(word, METRICS.iter().copied()) {
                Some(near) => draft.help(format!("did you mean `{near}`?")),
                None => draft.help(format!("use {}", listed(METRICS.iter().copied(), "or"))),
            };
        }
        self.implementation(rule);
    }

    fn implementation(&mut self, rule: &Node) {
        let Some(implementation) = rule.get("implementation") else { return };
        if implementation.text().is_none() && !matches!(implementation.value, Value::Map(_)) {
            let message = format!("`implementation` must be text or a mapping, not {}", implementation.describe());
            self.report.error("SW0125", message, implementation.place);
        }
    }

    fn needs(&mut self, rule: &Node, keys: &[&str]) {
        for key in keys.iter().filter(|key| rule.get(key).is_none()) {
            let is_misspelt = rule.entries().iter().any(|entry| suggest(&entry.key, [*key]) == Some(*key));
            if !is_misspelt {
                let kind = rule.get("type").and_then(Node::text).unwrap_or("library");
                self.report.error("SW0213", format!("a rule of type {kind} needs `{key}`"), head(rule));
            }
        }
    }

    /// Keys of other types of rules.
    fn misplaced(&mut self, rule: &Node, possible: &[&str], kind: &str) {
        let typed = ["metric", "rule", "arguments", "query", "engine", "implementation"];
        for entry in rule.entries() {
            let key = entry.key.as_str();
            if KEYS_OF_V3_0.contains(&key) {
                let message = format!("`{key}` belongs to v3.0.x");
                self.report
                    .error("SW0213", message, entry.key_place)
                    .help("write `arguments: {validValues: ...}`, mustBeGreaterOrEqualTo, mustBeLessOrEqualTo");
            } else if (typed.contains(&key) || OPERATORS.contains(&key)) && !possible.contains(&key) {
                let message = match kind {
                    "none" => format!("`{key}` belongs to a rule with a type, and this has none"),
                    kind => format!("`{key}` does not belong to a rule of type {kind}"),
                };
                self.report.error("SW0213", message, entry.key_place).help("remove it, or correct `type`");
            }
        }
    }

    fn operator(&mut self, rule: &Node) {
        let given: Vec<&Entry> = rule.entries().iter().filter(|e| OPERATORS.contains(&e.key.as_str())).collect();
        match given.as_slice() {
            [one] => self.range(one),
            [] => {
                let near = rule.entries().iter().any(|entry| suggest(&entry.key, OPERATORS.iter().copied()).is_some());
                if !near {
                    self.report
                        .error("SW0207", "the rule has no operator", head(rule))
                        .help("give it exactly one, for example `mustBe: 0`");
                }
            }
            [first, others @ ..] => {
                let message = format!("the rule has {} operators", given.len());
                let draft = self.report.error("SW0207", message, first.key_place);
                for other in others {
                    draft.label(other.key_place, "and here");
                }
                draft.help("keep one; make two rules when both are meant");
            }
        }
    }

    fn range(&mut self, operator: &Entry) {
        if !operator.key.ends_with("Between") {
            return;
        }
        let Value::List(bounds) = &operator.node.value else { return };
        let are_two = matches!(bounds.as_slice(), [low, high] if low.to_json() != high.to_json());
        if !are_two {
            self.report
                .error("SW0207", format!("`{}` takes two different bounds", operator.key), operator.node.place)
                .help("write [LOW, HIGH]");
        }
    }
}
