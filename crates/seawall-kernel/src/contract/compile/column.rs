//! Properties into columns: names, types, null, uniqueness, and the keys that nobody knows.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::super::clock::Clock;
use super::super::form::Form;
use super::super::instant::Zone;
use super::super::model::{Bound, LogicalTypeOptions, Property, SchemaObject, custom};
use super::super::rule::{Check, Column, JsonKind, Kind, Level, Uniqueness};
use super::super::verdict::Mode;
use super::Compiler;

/// Keys of a schema object that the standard knows and Seawall does not execute.
pub(super) const OBJECT_KEYS: &[&str] = &[
    "id",
    "physicalName",
    "physicalType",
    "logicalType",
    "description",
    "businessName",
    "authoritativeDefinitions",
    "tags",
    "dataGranularityDescription",
    "synonyms",
    "deprecated",
    "context",
];
/// The same for properties.
const PROPERTY_KEYS: &[&str] = &[
    "id",
    "businessName",
    "description",
    "tags",
    "partitioned",
    "partitionKeyPosition",
    "encryptedName",
    "transformSourceObjects",
    "transformLogic",
    "transformDescription",
    "examples",
    "criticalDataElement",
    "authoritativeDefinitions",
    "semanticType",
    "synonyms",
    "deprecated",
];
/// Keys that are executed; something that reads almost like one of them is a typing error.
const EXECUTED_KEYS: &[&str] = &[
    "name",
    "properties",
    "quality",
    "customProperties",
    "physicalName",
    "physicalType",
    "logicalType",
    "logicalTypeOptions",
    "required",
    "unique",
    "primaryKey",
    "primaryKeyPosition",
    "classification",
    "enum",
    "items",
    "map",
    "relationships",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "dimensions",
    "elementType",
    "normalized",
    "timezone",
    "defaultTimezone",
    "metric",
    "arguments",
    "validValues",
    "missingValues",
    "unit",
    "severity",
    "query",
    "engine",
    "implementation",
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
];

/// What a column inherits from where it stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    /// JSON pointer.
    pub json: &'p str,
    /// Path of the column in messages.
    pub path: &'p str,
    /// Whether something above is personal.
    pub personal: bool,
    /// Mode of schema checks that was declared above.
    pub mode: Option<Mode>,
    /// Index of a top-level column.
    pub top: Option<usize>,
    /// Whether the object above lists the field as required.
    pub required: bool,
}

impl Compiler {
    pub(super) fn columns(&mut self, object: &SchemaObject, path: &str, mode: Option<Mode>) -> Vec<Column> {
        // The standard lets an object describe nothing; a dataset of a project must have columns.
        if object.properties.is_empty() && self.strict {
            self.problem(path, "SW0202", format!("{} has no properties", object.name), "describe its columns");
        } else if object.properties.is_empty() {
            self.skip(path, "properties", None, "the object describes no properties, so every row has its shape");
        }
        self.fields(
            &object.properties,
            path,
            "",
            Place { json: path, path: "", personal: false, mode, top: Some(0), required: false },
            &[],
        )
    }

    fn fields(
        &mut self,
        properties: &[Property],
        json: &str,
        prefix: &str,
        above: Place<'_>,
        required: &[String],
    ) -> Vec<Column> {
        let mut seen = HashSet::new();
        let mut columns = Vec::with_capacity(properties.len());
        for (i, property) in properties.iter().enumerate() {
            let json = format!("{json}/properties/{i}");
            let name = property.name.as_deref().unwrap_or_default();
            self.check_name(name, &json, &mut seen);
            let path = format!("{prefix}{name}");
            let place = Place {
                json: &json,
                path: &path,
                top: above.top.map(|_| i),
                required: required.iter().any(|listed| listed == name),
                ..above
            };
            columns.push(self.column(property, name, place));
        }
        for name in required.iter().filter(|name| !seen.contains(name.as_str())) {
            let message = format!("required names {name:?}, which is no field");
            self.problem(&format!("{json}/logicalTypeOptions/required"), "SW0204", message, "");
        }
        columns
    }

    fn check_name<'n>(&mut self, name: &'n str, json: &str, seen: &mut HashSet<&'n str>) {
        let at = format!("{json}/name");
        if name.is_empty() {
            self.problem(&at, "SW0202", "the property has no name", "give it one");
        } else if name.starts_with('_') {
            let hint = "names that begin with an underscore are kept for Seawall's own columns";
            self.problem(&at, "SW0202", format!("{name:?} begins with an underscore"), hint);
        } else if name.len() > 255 || name.chars().any(char::is_control) {
            self.problem(&at, "SW0202", "the name is too long or holds control characters", "");
        } else if !seen.insert(name) {
            self.problem(&at, "SW0202", format!("there are two properties called {name:?}"), "rename one of them");
        }
    }

    fn column(&mut self, property: &Property, name: &str, place: Place<'_>) -> Column {
        self.unknown_keys(place.json, &property.other, PROPERTY_KEYS);
        let own_mode =
            custom(&property.custom_properties, "seawall.mode").and_then(|value| self.read_mode(value, place.json));
        let personal = place.personal || is_personal(property);
        let place = Place { personal, mode: own_mode.or(place.mode), ..place };
        let mode = place.mode.unwrap_or(Mode::Quarantine);
        // Rules are numbered in the order in which they are named here; reasons keep that order.
        let type_rule = self.rule("type", Some(place.path), mode, Level::Row, String::new());
        let mut checks: Vec<(usize, Check)> = Vec::new();
        let is_key = property.primary_key == Some(true);
        if property.required == Some(true) || place.required || (is_key && place.top.is_some()) {
            let rule = self.rule("required", Some(place.path), mode, Level::Row, "must not be null".to_owned());
            checks.push((rule, Check::NotNull));
        }
        let kind = self.kind(property, place);
        self.rules[type_rule].description = format!("must be {}", kind.description());
        if matches!(kind, Kind::Map(_)) {
            let rule = self.rule("unique_keys", Some(place.path), mode, Level::Row, "must not repeat a key".to_owned());
            checks.push((rule, Check::UniqueKeys));
        }
        if matches!(kind, Kind::Float64) {
            let description = "must be a finite number".to_owned();
            let rule = self.rule("not_finite", Some(place.path), mode, Level::Row, description);
            checks.push((rule, Check::Finite));
        }
        self.options(property, &kind, place, &mut checks);
        self.enumeration(property, &kind, place, &mut checks);
        self.uniqueness_of(property, place, mode);
        self.property_quality(property, &kind, place, &mut checks);
        Column {
            name: name.to_owned(),
            physical_name: property.physical_name.clone().filter(|physical| physical != name),
            path: place.path.to_owned(),
            personal,
            kind,
            type_rule,
            checks,
        }
    }

    fn uniqueness_of(&mut self, property: &Property, place: Place<'_>, mode: Mode) {
        let nested = "it stands within a nested value, whose elements have no identity";
        if property.primary_key == Some(true) && place.top.is_none() {
            let at = format!("{}/primaryKey", place.json);
            self.problem(&at, "SW0209", "a nested property cannot be part of the primary key", "use a column");
        }
        if property.unique != Some(true) {
            return;
        }
        let at = format!("{}/unique", place.json);
        let Some(index) = place.top else {
            self.skip(&at, "unique", Some(place.path), nested);
            return;
        };
        let description = "must differ from every earlier row of the batch".to_owned();
        let rule = self.rule("unique", Some(place.path), mode, Level::Row, description);
        self.uniqueness.push(Uniqueness { rule, columns: vec![index] });
    }

    fn kind(&mut self, property: &Property, place: Place<'_>) -> Kind {
        let physical = property.physical_type.as_deref().unwrap_or_default().trim().to_ascii_lowercase();
        let Some(logical) = property.logical_type.as_deref().or_else(|| logical_of_physical(&physical)) else {
            return self.untyped(place);
        };
        match logical {
            "string" => Kind::Utf8,
            "integer" => Kind::Int64,
            "number" => self.number(&physical, place),
            "boolean" => Kind::Boolean,
            "date" | "timestamp" | "time" => self.temporal(logical, property, place),
            "object" => self.nested_object(property, place),
            "array" => self.nested_array(property, place),
            "map" => self.map(property, place),
            "vector" => self.vector(property, place),
            other => {
                let message = format!("logicalType {other:?} of {} is not supported", place.path);
                self.problem(&format!("{}/logicalType", place.json), "SW0203", message, TYPES_HINT);
                Kind::Utf8
            }
        }
    }

    /// Without a type a value can be anything. A dataset of a project must say what it holds.
    fn untyped(&mut self, place: Place<'_>) -> Kind {
        if self.strict {
            let message = format!("{} has no logicalType", place.path);
            self.problem(&format!("{}/logicalType", place.json), "SW0203", message, TYPES_HINT);
        } else {
            let reason = "the property has neither a logicalType nor a physicalType that Seawall knows";
            self.skip(place.json, "type", Some(place.path), reason);
        }
        Kind::Json(JsonKind::Any)
    }

    fn temporal(&mut self, logical: &str, property: &Property, place: Place<'_>) -> Kind {
        let json = format!("{}/logicalTypeOptions", place.json);
        let none = LogicalTypeOptions::default();
        let options = property.logical_type_options.as_ref().unwrap_or(&none);
        let mut clock = Clock { zoned: options.timezone, ..Clock::default() };
        if let Some(written) = &options.format {
            match Form::compile(written) {
                Ok(form) => clock.form = Some(form),
                Err(why) => {
                    let message = format!("the format {written:?} cannot be read: {why}");
                    let hint = "use the letters of the JDK's DateTimeFormatter, for example yyyy-MM-dd'T'HH:mm:ssXXX";
                    self.problem(&format!("{json}/format"), "SW0204", message, hint);
                }
            }
        }
        if let Some(name) = &options.default_timezone {
            clock.zone = Zone::named(name);
            if clock.zone.is_none() {
                let hint = "use a name of the IANA database, for example Europe/Paris";
                self.problem(&format!("{json}/defaultTimezone"), "SW0204", format!("there is no zone {name:?}"), hint);
            }
        }
        let (has_date, has_time) =
            clock.form.as_ref().map_or((true, true), |form| (form.tells_date(), form.tells_time()));
        if logical == "time" && !has_time || logical != "time" && !has_date {
            let message = format!("the format of {} does not tell a {logical}", place.path);
            self.problem(
                &format!("{json}/format"),
                "SW0204",
                message,
                "add the missing letters, or change logicalType",
            );
        }
        match logical {
            "time" => Kind::Time(clock),
            // Before v3.1 a date with a time of day was a `date` whose format says so.
            "date" if clock.form.is_some() && has_time => Kind::Timestamp(clock),
            "date" => Kind::Date(clock),
            _ => Kind::Timestamp(clock),
        }
    }

    fn map(&mut self, property: &Property, place: Place<'_>) -> Kind {
        let json = format!("{}/map", place.json);
        let Some(map) = &property.map else {
            let message = format!("the map {} does not say what its keys and values are", place.path);
            self.problem(&json, "SW0203", message, "add `map: {key: {logicalType: string}, value: {...}}`");
            return Kind::Json(JsonKind::Object);
        };
        let entry_path = format!("{}[]", place.path);
        let mut parts = Vec::with_capacity(2);
        for (name, part, required) in [("key", &map.key, true), ("value", &map.value, false)] {
            let (json, path) = (format!("{json}/{name}"), format!("{entry_path}.{name}"));
            let place = Place { json: &json, path: &path, top: None, required, ..place };
            parts.push(self.column(part, name, place));
        }
        if !matches!(parts[0].kind, Kind::Utf8 | Kind::Int64 | Kind::Decimal { .. } | Kind::Boolean | Kind::Date(_)) {
            let message = format!("the keys of {} cannot be {}", place.path, parts[0].kind.noun());
            self.problem(&format!("{json}/key"), "SW0203", message, "use strings or integers");
        }
        let mode = place.mode.unwrap_or(Mode::Quarantine);
        let type_rule =
            self.rule("type", Some(&entry_path), mode, Level::Row, "must have a key and a value".to_owned());
        Kind::Map(Box::new(Column {
            name: "element".to_owned(),
            physical_name: None,
            path: entry_path,
            personal: place.personal,
            kind: Kind::Struct(parts),
            type_rule,
            checks: Vec::new(),
        }))
    }

    fn vector(&mut self, property: &Property, place: Place<'_>) -> Kind {
        let path = format!("{}[]", place.path);
        let options = property.logical_type_options.as_ref();
        let kind = options.and_then(|options| options.element_type.as_deref()).unwrap_or("float32");
        let limits = match kind {
            "int8" => Some((-128, 127)),
            "uint8" => Some((0, 255)),
            "binary" => Some((0, 1)),
            _ => None,
        };
        let narrow = matches!(kind, "float32" | "float16" | "bfloat16");
        let element = Property {
            logical_type: Some("number".to_owned()),
            required: Some(true),
            logical_type_options: Some(LogicalTypeOptions {
                minimum: limits.map(|(least, _)| Bound::Number(least.into())),
                maximum: limits.map(|(_, most): (i64, i64)| Bound::Number(most.into())),
                format: narrow.then(|| "f32".to_owned()),
                ..LogicalTypeOptions::default()
            }),
            ..Property::default()
        };
        let inner = Place { path: &path, top: None, required: false, ..place };
        let mut column = self.column(&element, "element", inner);
        if limits.is_some() {
            let mode = place.mode.unwrap_or(Mode::Quarantine);
            let rule = self.rule("elementType", Some(&path), mode, Level::Row, "must be a whole number".to_owned());
            column.checks.push((rule, Check::Whole));
        }
        Kind::List(Box::new(column))
    }

    fn number(&mut self, physical: &str, place: Place<'_>) -> Kind {
        if logical_of_physical(physical) == Some("integer") {
            return Kind::Int64;
        }
        let base = physical.split('(').next().unwrap_or_default().trim();
        if !matches!(base, "decimal" | "numeric" | "number") || !physical.contains('(') {
            return Kind::Float64;
        }
        let inner = physical.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inner, _)| inner);
        let mut parts = inner.split(',').map(|part| part.trim().parse::<u8>());
        let precision = parts.next().and_then(Result::ok);
        let scale = parts.next().map_or(Some(0), Result::ok);
        match (precision, scale) {
            (Some(precision @ 1..=38), Some(scale)) if scale <= precision => {
                Kind::Decimal { precision, scale: i8::try_from(scale).unwrap_or(0) }
            }
            _ => {
                let message = format!("physicalType {physical:?} of {} is no decimal", place.path);
                let hint = "write decimal(PRECISION, SCALE) with at most 38 digits, for example decimal(12, 2)";
                self.problem(&format!("{}/physicalType", place.json), "SW0203", message, hint);
                Kind::Float64
            }
        }
    }

    fn nested_object(&mut self, property: &Property, place: Place<'_>) -> Kind {
        if property.properties.is_empty() {
            let reason = "the object describes no properties: it is kept as JSON text";
            self.skip(place.json, "fields", Some(place.path), reason);
            return Kind::Json(JsonKind::Object);
        }
        let required = property.logical_type_options.as_ref().and_then(|options| options.required.clone());
        let prefix = format!("{}.", place.path);
        let above = Place { top: None, ..place };
        Kind::Struct(self.fields(&property.properties, place.json, &prefix, above, &required.unwrap_or_default()))
    }

    fn nested_array(&mut self, property: &Property, place: Place<'_>) -> Kind {
        let json = format!("{}/items", place.json);
        let path = format!("{}[]", place.path);
        let Some(items) = &property.items else {
            let reason = "the array does not say what its items are: it is kept as JSON text";
            self.skip(place.json, "items", Some(place.path), reason);
            return Kind::Json(JsonKind::Array);
        };
        let above = Place { json: &json, path: &path, top: None, required: false, ..place };
        Kind::List(Box::new(self.column(items, "element", above)))
    }

    /// A key that nobody knows is reported; one that reads almost like an executed key is a mistake. Rules of v3.0.x may have
    /// any key.
    pub(super) fn unknown_keys(&mut self, json: &str, other: &BTreeMap<String, Value>, known: &[&str]) {
        for key in other.keys().filter(|key| !known.contains(&key.as_str())) {
            let at = format!("{json}/{key}");
            let meant = EXECUTED_KEYS.iter().find(|executed| is_near(key, executed));
            let is_open = self.is_v3_0 && json.contains("/quality/");
            match meant.filter(|_| !is_open) {
                Some(meant) if meant == key => {
                    let hint = "remove it, or move it to where it belongs";
                    self.problem(&at, "SW0210", format!("the key {key:?} does not belong here"), hint);
                }
                Some(meant) => {
                    let hint = format!("did you mean `{meant}`?");
                    self.problem(&at, "SW0210", format!("the standard has no key {key:?}"), hint);
                }
                None => self.skip(&at, key, None, "the key is not part of the standard as Seawall knows it"),
            }
        }
    }
}

const TYPES_HINT: &str = "use string, integer, number, boolean, date, timestamp, time, object, array, map or vector";

fn is_personal(property: &Property) -> bool {
    let classified = property.classification.as_deref().is_some_and(|classification| {
        ["personal", "pii", "restricted"].iter().any(|word| classification.eq_ignore_ascii_case(word))
    });
    classified || custom(&property.custom_properties, "seawall.personal") == Some(&Value::Bool(true))
}

/// The logical type that a physical type stands for when none is declared.
pub(in super::super) fn logical_of_physical(physical: &str) -> Option<&'static str> {
    let base = physical.split(['(', '<', ' ']).next().unwrap_or_default();
    Some(match base {
        "string" | "varchar" | "char" | "text" | "nvarchar" | "character" | "uuid" | "varchar2" | "nchar"
        | "bpchar" | "citext" | "clob" | "xml" => "string",
        "int" | "int2" | "int4" | "serial" | "bigserial" | "integer" | "bigint" | "smallint" | "tinyint" | "long"
        | "int8" | "int16" | "int32" | "int64" => "integer",
        "float" | "double" | "real" | "decimal" | "numeric" | "number" | "float64" | "float32" => "number",
        "boolean" | "bool" => "boolean",
        "date" => "date",
        "timestamp" | "timestamptz" | "datetime" | "timestamp_tz" | "timestamp_ntz" | "timestamp_ltz" => "timestamp",
        "time" => "time",
        _ => return None,
    })
}

/// At most two edits apart, ignoring case, and long enough for that to mean something.
fn is_near(left: &str, right: &str) -> bool {
    let (left, right) = (left.to_ascii_lowercase(), right.to_ascii_lowercase());
    let allowed = if right.len() >= 6 { 2 } else { 1 };
    if left.len().abs_diff(right.len()) > allowed || left.len() > 64 {
        return false;
    }
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()] <= allowed
}
