//! From a contract to a gate. Every mistake is reported at once, each with its place; every rule that the gate will
//! not execute is listed with the reason.

mod column;
mod options;
mod quality;
mod relationship;
mod sla;
mod table;

pub(super) use column::logical_of_physical;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use seawall_base::{Dataset, Span};
use serde_json::Value;

use super::breaker::Breaker;
use super::gate::{Gate, Latency};
use super::instant::Zone;
use super::model::{Contract, CustomProperty, Property, SchemaObject, custom};
use super::rule::{Check, Column, Compat, Kind, Level, Limit, NotExecuted, RuleId, RuleInfo, Uniqueness};
use super::service::ServiceLevel;
use super::table_rule::TableRule;
use super::verdict::Mode;

/// A mistake in a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: a JSON pointer without the leading slash, `schema/0/properties/3/logicalType`.
    pub path: String,
    /// `SW02xx`, see `docs/errors/SW02.md`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it, when the message does not say it all.
    pub hint: Option<String>,
}

/// Compiles `object` of `contract`; without a name, its only object.
///
/// # Errors
/// Every problem that keeps the contract from being executed, in the order of the contract.
pub fn compile(contract: &Contract, object: Option<&str>) -> Result<Gate, Vec<Problem>> {
    compile_for(contract, object, true)
}

/// The same for data that becomes no dataset of a project, such as a file that is tested: objects may have any name,
/// properties need no type, and keys may be of any scalar type.
///
/// # Errors
/// Every problem that keeps the contract from being executed, in the order of the contract.
pub fn compile_for_test(contract: &Contract, object: Option<&str>) -> Result<Gate, Vec<Problem>> {
    compile_for(contract, object, false)
}

fn compile_for(contract: &Contract, object: Option<&str>, strict: bool) -> Result<Gate, Vec<Problem>> {
    let mut compiler = Compiler::new(contract, strict);
    compiler.header(contract);
    compiler.unresolved_variables(contract);
    let gate = compiler.choose(contract, object).map(|index| compiler.object(contract, index));
    match gate {
        Some(gate) if compiler.problems.is_empty() => Ok(compiler.finish(gate)),
        _ => Err(compiler.problems),
    }
}

/// What is known of the object once its columns are compiled.
struct Compiled {
    dataset: Dataset,
    columns: Vec<Column>,
    zone: Zone,
    dedup_horizon: Option<Span>,
    breaker: Option<Breaker>,
}

struct Compiler {
    contract_name: String,
    /// Whether the object becomes a dataset of a project.
    strict: bool,
    object_name: String,
    problems: Vec<Problem>,
    rules: Vec<RuleInfo>,
    limits: HashMap<RuleId, Limit>,
    uniqueness: Vec<Uniqueness>,
    row_counts: Vec<RuleId>,
    latencies: Vec<Latency>,
    table_rules: Vec<TableRule>,
    service_levels: Vec<ServiceLevel>,
    not_executed: Vec<NotExecuted>,
    zone: Zone,
    compat: Compat,
    is_v3_0: bool,
}

impl Compiler {
    fn new(contract: &Contract, strict: bool) -> Self {
        Compiler {
            strict,
            object_name: String::new(),
            contract_name: format!("{}@{}", contract.id(), contract.major().unwrap_or(0)),
            problems: Vec::new(),
            rules: Vec::new(),
            limits: HashMap::new(),
            uniqueness: Vec::new(),
            row_counts: Vec::new(),
            latencies: Vec::new(),
            table_rules: Vec::new(),
            service_levels: Vec::new(),
            not_executed: Vec::new(),
            zone: Zone::utc(),
            compat: Compat::default(),
            is_v3_0: contract.api_version.starts_with("v3.0."),
        }
    }

    fn finish(self, compiled: Compiled) -> Gate {
        Gate {
            contract_name: self.contract_name,
            dataset: compiled.dataset,
            columns: compiled.columns,
            rules: self.rules,
            limits: self.limits,
            uniqueness: self.uniqueness,
            row_counts: self.row_counts,
            latencies: self.latencies,
            table_rules: self.table_rules,
            service_levels: self.service_levels,
            compat: self.compat,
            not_executed: self.not_executed,
            zone: compiled.zone,
            dedup_horizon: compiled.dedup_horizon,
            breaker: compiled.breaker,
        }
    }

    fn problem(&mut self, path: &str, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        self.problems.push(Problem { path: path.to_owned(), code, message: message.into(), hint });
    }

    fn rule(&mut self, rule: &str, column: Option<&str>, mode: Mode, level: Level, description: String) -> RuleId {
        self.rules.push(RuleInfo {
            rule: rule.to_owned(),
            column: column.map(str::to_owned),
            mode,
            level,
            description,
        });
        self.rules.len() - 1
    }

    fn skip(&mut self, path: &str, rule: &str, column: Option<&str>, reason: impl Into<String>) {
        self.not_executed.push(NotExecuted {
            rule: rule.to_owned(),
            column: column.map(str::to_owned),
            path: path.to_owned(),
            reason: reason.into(),
        });
    }

    fn header(&mut self, contract: &Contract) {
        if contract.kind != "DataContract" {
            let message = format!("kind is {:?}", contract.kind);
            self.problem("kind", "SW0200", message, "write `kind: DataContract`");
        }
        let known = ["v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0"];
        if !known.contains(&contract.api_version.as_str()) {
            let message = format!("apiVersion {:?} is not supported", contract.api_version);
            self.problem("apiVersion", "SW0200", message, format!("use one of {}", known.join(", ")));
        }
        if self.strict && contract.major().is_none() {
            let message = format!("version {:?} has no major version from 1", contract.version);
            self.problem("version", "SW0200", message, "write MAJOR.MINOR.PATCH, for example 1.0.0");
        }
        if contract.id.is_empty() {
            self.problem("id", "SW0200", "the contract has no id", "give it one, for example `id: payments`");
        }
    }

    /// A variable that nobody replaced must not be taken for a name or a value. Sections that are not executed keep
    /// theirs.
    fn unresolved_variables(&mut self, contract: &Contract) {
        let sections = [
            ("schema", serde_json::to_value(&contract.schema)),
            ("slaProperties", serde_json::to_value(&contract.sla_properties)),
            ("customProperties", serde_json::to_value(&contract.custom_properties)),
        ];
        let mut found = Vec::new();
        for (name, section) in sections {
            if let Ok(json) = section {
                collect_variables(&json, &mut name.to_owned(), &mut found);
            }
        }
        for (path, text) in found {
            let message = format!("the variable in {text:?} is not resolved");
            self.problem(&path, "SW0211", message, "contracts are read without variables: write the value itself");
        }
    }

    fn choose(&mut self, contract: &Contract, object: Option<&str>) -> Option<usize> {
        let names = contract.object_names().join(", ");
        match (object, contract.objects()) {
            (Some(name), objects) => {
                let found = objects.iter().position(|object| object.name == name);
                if found.is_none() {
                    let message = format!("the contract has no schema object {name:?}");
                    self.problem("schema", "SW0201", message, format!("it has: {names}"));
                }
                found
            }
            (None, [_]) => Some(0),
            (None, []) => {
                self.problem(
                    "schema",
                    "SW0201",
                    "the contract has no schema object",
                    "describe a table under `schema`",
                );
                None
            }
            (None, _) => {
                let hint = format!("say which dataset is meant: {names}");
                self.problem("schema", "SW0201", "the contract has several schema objects", hint);
                None
            }
        }
    }

    fn object(&mut self, contract: &Contract, index: usize) -> Compiled {
        let object = &contract.schema[index];
        object.name.clone_into(&mut self.object_name);
        let path = format!("schema/{index}");
        self.unknown_keys(&path, &object.other, column::OBJECT_KEYS);
        if self.strict && seawall_base::TableName::dataset(&object.name).is_err() {
            let hint = "use lower-case letters, digits and underscores, beginning with a letter";
            self.problem(&format!("{path}/name"), "SW0202", format!("{:?} cannot name a dataset", object.name), hint);
        }
        let settings = Settings { contract, object };
        self.read_zone(&settings, &path);
        self.read_compat(&settings, &path);
        let mode = settings.get("seawall.mode").and_then(|value| self.read_mode(value, &path));
        let mut columns = self.columns(object, &path, mode);
        let changelog = self.changelog(&settings, &mut columns, &path);
        let primary_key = self.primary_key(object, &columns, &path);
        if !primary_key.is_empty() && changelog.is_none() {
            self.key_conflict(&primary_key, &columns, mode);
        }
        if changelog.is_some() {
            self.check_changelog(&primary_key, &settings, &path);
        }
        self.object_quality(object, &columns, &path, mode);
        self.relationships(contract, object, &path);
        self.service_levels(contract, object, &columns);
        let event_time = self.event_time(&settings, &columns, &path);
        let dedup_horizon = self.dedup_horizon(&settings, &path);
        let breaker = self.breaker(&settings, &path);
        let personal = columns.iter().filter(|column| holds_personal(column)).map(|column| column.name.clone());
        let fields: Vec<Field> = columns.iter().map(|column| self.field(column)).collect();
        let dataset = Dataset {
            name: object.name.clone(),
            schema: Arc::new(Schema::new(fields)),
            primary_key,
            event_time,
            personal: personal.collect(),
            subject: self.subject(&settings, &columns, &path),
            changelog,
        };
        Compiled { dataset, columns, zone: self.zone.clone(), dedup_horizon, breaker }
    }

    /// A column is not nullable when no row with null can pass.
    fn field(&self, column: &Column) -> Field {
        let stops_null = |rule: &RuleId| self.rules[*rule].mode != Mode::Warn && !self.limits.contains_key(rule);
        let never_null = column.checks.iter().any(|(rule, check)| matches!(check, Check::NotNull) && stops_null(rule));
        Field::new(&column.name, column.kind.data_type(), !never_null)
    }

    fn read_mode(&mut self, value: &Value, path: &str) -> Option<Mode> {
        let mode = value.as_str().and_then(Mode::parse);
        if mode.is_none() {
            let path = format!("{path}/customProperties");
            let hint = "use warn, quarantine, reject or halt";
            self.problem(&path, "SW0208", format!("seawall.mode is {value}"), hint);
        }
        mode
    }

    fn read_zone(&mut self, settings: &Settings<'_>, path: &str) {
        let Some(value) = settings.get("seawall.zone") else { return };
        match value.as_str().and_then(Zone::named) {
            Some(zone) => self.zone = zone,
            None => {
                let hint = "use a name of the IANA database, for example America/Los_Angeles";
                self.problem(&format!("{path}/customProperties"), "SW0208", format!("seawall.zone is {value}"), hint);
            }
        }
    }

    fn read_compat(&mut self, settings: &Settings<'_>, path: &str) {
        let Some(value) = settings.get("seawall.compat") else { return };
        match value.as_str() {
            Some("datacontract-cli") => self.compat = Compat::DatacontractCli,
            Some("text") => self.compat = Compat::Text,
            _ => {
                let message = format!("seawall.compat is {value}");
                self.problem(&format!("{path}/customProperties"), "SW0208", message, "use text or datacontract-cli");
            }
        }
    }

    fn event_time(&mut self, settings: &Settings<'_>, columns: &[Column], path: &str) -> Option<String> {
        let value = settings.get("seawall.eventTime")?;
        let column = columns.iter().find(|column| Some(column.name.as_str()) == value.as_str());
        match column {
            Some(column) if matches!(column.kind, Kind::Timestamp(_)) => return Some(column.name.clone()),
            Some(_) => {
                let message = format!("seawall.eventTime names {value}, which is no timestamp");
                self.problem(&format!("{path}/customProperties"), "SW0208", message, "give it logicalType: timestamp");
            }
            None => {
                let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                let message = format!("seawall.eventTime names {value}, which is no column");
                let hint = format!("columns: {}", names.join(", "));
                self.problem(&format!("{path}/customProperties"), "SW0208", message, hint);
            }
        }
        None
    }

    /// The column by whose value personal data is sealed and erased. Its text must tell its value exactly.
    fn subject(&mut self, settings: &Settings<'_>, columns: &[Column], path: &str) -> Option<String> {
        let value = settings.get("seawall.subject")?;
        let named = columns.iter().find(|column| Some(column.name.as_str()) == value.as_str());
        match named.map(|column| (column.name.clone(), column.kind.data_type())) {
            Some((name, DataType::Utf8)) => return Some(name),
            Some((name, data_type)) if data_type.is_integer() => return Some(name),
            Some(_) => {
                let message = format!("seawall.subject names {value}, which is neither text nor an integer");
                let hint = "name the column with the id of the person, such as customer_id";
                self.problem(&format!("{path}/customProperties"), "SW0208", message, hint);
            }
            None => {
                let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                let message = format!("seawall.subject names {value}, which is no column");
                let hint = format!("columns: {}", names.join(", "));
                self.problem(&format!("{path}/customProperties"), "SW0208", message, hint);
            }
        }
        None
    }

    /// The column that says whether a row takes the place of the one before or takes it away.
    fn changelog(&mut self, settings: &Settings<'_>, columns: &mut [Column], path: &str) -> Option<String> {
        let value = settings.get("seawall.changelog")?;
        let named = columns.iter_mut().find(|column| Some(column.name.as_str()) == value.as_str());
        let Some(column) = named.filter(|column| matches!(column.kind.data_type(), DataType::Utf8)) else {
            let message = format!("seawall.changelog names {value}, which is no column of text");
            let hint = "describe a column, such as op, with logicalType: string; it says upsert or delete";
            self.problem(&format!("{path}/customProperties"), "SW0208", message, hint);
            return None;
        };
        let words = [Value::from(seawall_base::ids::UPSERT), Value::from(seawall_base::ids::DELETE)];
        let words: Vec<&Value> = words.iter().collect();
        let known = options::allowed(&words, &column.kind, &self.zone).expect("words are text, as the column is");
        let name = column.name.clone();
        let description = format!("must be one of {}", options::listed(&words));
        let mut rule = |description: &str| {
            self.rule("changelog", Some(&name), Mode::Quarantine, Level::Row, description.to_owned())
        };
        if !column.checks.iter().any(|(_, check)| matches!(check, Check::NotNull)) {
            column.checks.push((rule("must say what the row does"), Check::NotNull));
        }
        column.checks.push((rule(&description), Check::OneOf(known)));
        Some(name)
    }

    /// The newest row of a key stands in a changelog, so there must be a key, and none may be forgotten.
    fn check_changelog(&mut self, primary_key: &[String], settings: &Settings<'_>, path: &str) {
        if primary_key.is_empty() {
            let hint = "give the columns that tell which row another one replaces primaryKey: true";
            let message = "seawall.changelog needs a primary key";
            self.problem(&format!("{path}/customProperties"), "SW0208", message, hint);
        }
        if settings.get("seawall.dedupHorizon").is_some() {
            let message = "seawall.dedupHorizon forgets keys, which a changelog cannot";
            self.problem(&format!("{path}/customProperties"), "SW0208", message, "remove one of the two");
        }
    }

    fn dedup_horizon(&mut self, settings: &Settings<'_>, path: &str) -> Option<Span> {
        let value = settings.get("seawall.dedupHorizon")?;
        let span = value.as_str().and_then(|text| text.parse().ok());
        if span.is_none() {
            let hint = "write a whole number and a unit, for example 7d";
            let message = format!("seawall.dedupHorizon is {value}");
            self.problem(&format!("{path}/customProperties"), "SW0208", message, hint);
        }
        span
    }

    fn breaker(&mut self, settings: &Settings<'_>, path: &str) -> Option<Breaker> {
        let value = settings.get("seawall.haltAbove")?;
        let breaker = value.as_str().and_then(Breaker::read);
        if breaker.is_none() {
            let message = format!("seawall.haltAbove is {value}");
            let hint = "write a percentage and a window, for example 5% in 1h";
            self.problem(&format!("{path}/customProperties"), "SW0208", message, hint);
        }
        breaker
    }

    fn primary_key(&mut self, object: &SchemaObject, columns: &[Column], path: &str) -> Vec<String> {
        let mut parts: Vec<(i64, usize, &Property)> = Vec::new();
        for (i, property) in object.properties.iter().enumerate() {
            if property.primary_key == Some(true) {
                parts.push((property.primary_key_position.unwrap_or(i64::MAX), i, property));
            }
        }
        parts.sort_by_key(|(position, index, _)| (*position, *index));
        for pair in parts.windows(2) {
            if pair[0].0 == pair[1].0 && pair[0].0 != i64::MAX {
                let at = format!("{path}/properties/{}/primaryKeyPosition", pair[1].1);
                let message = format!("two columns have primaryKeyPosition {}", pair[1].0);
                self.problem(&at, "SW0209", message, "number the columns of the key from 1");
            }
        }
        let names: Vec<String> = parts.iter().filter_map(|(_, _, property)| property.name.clone()).collect();
        let indices: Vec<usize> =
            names.iter().filter_map(|name| columns.iter().position(|column| &column.name == name)).collect();
        for index in &indices {
            let is_inexact = self.strict && matches!(columns[*index].kind, Kind::Float64);
            if is_inexact || matches!(columns[*index].kind, Kind::Struct(_) | Kind::List(_) | Kind::Map(_)) {
                let message = format!("{} cannot be part of a key: its type has no exact equality", names.join(", "));
                self.problem(&format!("{path}/properties"), "SW0209", message, "use a string, an integer or a decimal");
            }
        }
        names
    }

    /// Two rows of a batch with one key and different content. The newest row of a changelog stands instead.
    fn key_conflict(&mut self, names: &[String], columns: &[Column], mode: Option<Mode>) {
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let indices: Vec<usize> = names.iter().filter_map(place).collect();
        if indices.is_empty() {
            return;
        }
        let only = (names.len() == 1).then(|| names[0].as_str());
        let description = match only {
            Some(_) => "must differ from the key of every other row with different content".to_owned(),
            None => format!("another row of the batch has the same {} and different content", names.join(", ")),
        };
        let mode = mode.unwrap_or(Mode::Quarantine);
        let rule = self.rule("key_conflict", only, mode, Level::Row, description);
        self.uniqueness.push(Uniqueness { rule, columns: indices });
    }
}

/// Whether the column or anything within it is personal.
fn holds_personal(column: &Column) -> bool {
    let nested = match &column.kind {
        Kind::Struct(fields) => fields.iter().any(holds_personal),
        Kind::List(element) | Kind::Map(element) => holds_personal(element),
        _ => false,
    };
    column.personal || nested
}

/// Extensions of the object, with those of the contract as default.
struct Settings<'c> {
    contract: &'c Contract,
    object: &'c SchemaObject,
}

impl<'c> Settings<'c> {
    fn get(&self, name: &str) -> Option<&'c Value> {
        let levels: [&'c [CustomProperty]; 2] = [&self.object.custom_properties, &self.contract.custom_properties];
        levels.into_iter().find_map(|properties| custom(properties, name))
    }
}

fn collect_variables(json: &Value, path: &mut String, found: &mut Vec<(String, String)>) {
    let length = path.len();
    let step = |path: &mut String, name: &str| {
        path.push('/');
        path.push_str(name);
    };
    match json {
        Value::String(text) if names_variable(text) => found.push((path.clone(), text.clone())),
        Value::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                step(path, &i.to_string());
                collect_variables(value, path, found);
                path.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                step(path, name);
                collect_variables(value, path, found);
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `${NAME}` or `${NAME:-default}` anywhere in the text.
fn names_variable(text: &str) -> bool {
    text.split("${").skip(1).any(|rest| {
        let Some(inner) = rest.split('}').next().filter(|inner| inner.len() < rest.len()) else { return false };
        let name = inner.split(":-").next().unwrap_or_default();
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
