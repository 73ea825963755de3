//! Quality rules into checks and counting conditions. What is not executed is listed with the reason.

use serde_json::{Number, Value};

use super::super::model::{EnumValue, Property, Quality, QualityArguments, SchemaObject, custom};
use super::super::rule::{Allowed, Check, Column, Compat, Kind, Level, Limit, RuleId, Threshold, Uniqueness};
use super::super::verdict::Mode;
use super::Compiler;
use super::column::Place;
use super::options::{allowed, listed};

const QUALITY_KEYS: &[&str] = &[
    "description",
    "dimension",
    "method",
    "businessImpact",
    "schedule",
    "scheduler",
    "tags",
    "authoritativeDefinitions",
];

type Checks = Vec<(RuleId, Check)>;

/// The metrics of the library.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Metric {
    NullValues,
    MissingValues,
    InvalidValues,
    DuplicateValues,
    RowCount,
}

impl Metric {
    /// By the name of v3.1 and later, or by that of v3.0.x.
    fn named(name: &str) -> Option<Metric> {
        Some(match name {
            "nullValues" | "nullCheck" => Metric::NullValues,
            "missingValues" => Metric::MissingValues,
            "invalidValues" | "validValues" => Metric::InvalidValues,
            "duplicateValues" | "duplicateCount" => Metric::DuplicateValues,
            "rowCount" => Metric::RowCount,
            _ => return None,
        })
    }
}

/// A library rule that reads well.
struct Library<'q> {
    quality: &'q Quality,
    metric: Metric,
    threshold: Threshold,
    percent: bool,
    json: String,
}

impl Library<'_> {
    fn name(&self) -> &str {
        name(self.quality)
    }

    fn is_row_rule(&self) -> bool {
        self.metric != Metric::RowCount && self.threshold.tolerates_only_zero(self.percent)
    }

    /// `must not be null`, with the condition for a rule that counts.
    fn description(&self, what: &str) -> String {
        if self.is_row_rule() {
            return what.to_owned();
        }
        let unit = if self.percent { " percent" } else { "" };
        format!("{what} ({} {}{unit})", self.name(), self.threshold.words())
    }
}

fn has_operator(quality: &Quality) -> bool {
    [
        quality.must_be.is_some(),
        quality.must_not_be.is_some(),
        quality.must_be_greater_than.is_some(),
        quality.must_be_greater_or_equal_to.is_some(),
        quality.must_be_less_than.is_some(),
        quality.must_be_less_or_equal_to.is_some(),
        quality.must_be_between.is_some(),
        quality.must_not_be_between.is_some(),
    ]
    .contains(&true)
}

pub(super) fn name(quality: &Quality) -> &str {
    let named = [&quality.id, &quality.name, &quality.metric, &quality.rule, &quality.kind];
    named.into_iter().flatten().next().map_or("quality", String::as_str)
}

impl Compiler {
    pub(super) fn property_quality(&mut self, property: &Property, kind: &Kind, place: Place<'_>, checks: &mut Checks) {
        for (i, quality) in property.quality.iter().enumerate() {
            let json = format!("{}/quality/{i}", place.json);
            if self.table_rule(quality, &json, Some(place.path).filter(|_| place.top.is_some())) {
                continue;
            }
            let Some(rule) = self.library(quality, json, Some(place.path)) else { continue };
            match rule.metric {
                Metric::NullValues => {
                    let id = self.quality_rule(&rule, Some(place.path), place.mode, "must not be null");
                    checks.push((id, Check::NotNull));
                }
                Metric::MissingValues => self.missing_values(&rule, kind, place, checks),
                Metric::InvalidValues => self.invalid_values(&rule, property, kind, place, checks),
                Metric::DuplicateValues => match place.top {
                    Some(index) => self.duplicates(&rule, vec![index], Some(place.path), place.mode),
                    None => {
                        let reason = "duplicates are counted among columns, not within nested values";
                        self.skip(&rule.json, rule.name(), Some(place.path), reason);
                    }
                },
                Metric::RowCount => self.misplaced(&rule, "rowCount belongs to a schema object, not to a property"),
            }
        }
    }

    pub(super) fn object_quality(&mut self, object: &SchemaObject, columns: &[Column], path: &str, mode: Option<Mode>) {
        for (i, quality) in object.quality.iter().enumerate() {
            let json = format!("{path}/quality/{i}");
            if self.table_rule(quality, &json, None) {
                continue;
            }
            let Some(rule) = self.library(quality, json, None) else { continue };
            match rule.metric {
                Metric::RowCount => self.row_count(&rule),
                Metric::DuplicateValues => self.object_duplicates(&rule, columns, mode),
                Metric::NullValues | Metric::MissingValues | Metric::InvalidValues => {
                    self.misplaced(&rule, "the metric belongs to a property, not to a schema object");
                }
            }
        }
    }

    fn misplaced(&mut self, rule: &Library<'_>, message: &str) {
        self.problem(&rule.json, "SW0207", message, "move the rule");
    }

    /// Reads a rule of the library; everything else is listed as not executed, mistakes are problems.
    fn library<'q>(&mut self, quality: &'q Quality, json: String, column: Option<&str>) -> Option<Library<'q>> {
        self.unknown_keys(&json, &quality.other, QUALITY_KEYS);
        let word = quality.metric.as_deref().or(quality.rule.as_deref());
        let reason = match quality.kind.as_deref().unwrap_or("library") {
            "library" if quality.kind.is_none() && word.is_none() => {
                Some("it has neither a type nor a metric".to_owned())
            }
            "library" if self.is_v3_0 && !has_operator(quality) => Some("it has no operator".to_owned()),
            "library" => None,
            "text" => Some("it is text for people".to_owned()),
            other => {
                let message = format!("{other:?} is no type of quality rule");
                self.problem(&format!("{json}/type"), "SW0207", message, "use library, text, sql or custom");
                return None;
            }
        };
        if let Some(reason) = reason {
            self.skip(&json, name(quality), column, reason);
            return None;
        }
        let Some(metric) = word.and_then(Metric::named) else {
            match word {
                Some(word) if quality.metric.is_none() => {
                    self.skip(&json, name(quality), column, format!("v3.0.x does not define the rule {word:?}"));
                }
                _ => {
                    let message =
                        word.map_or("the rule has no metric".to_owned(), |word| format!("{word:?} is no metric"));
                    let hint = "use nullValues, missingValues, invalidValues, duplicateValues or rowCount";
                    self.problem(&format!("{json}/metric"), "SW0207", message, hint);
                }
            }
            return None;
        };
        let threshold = self.threshold(quality, &json)?;
        let percent = match quality.unit.as_deref() {
            None | Some("rows") => false,
            Some("percent") => true,
            Some(other) => {
                let reason = format!("Seawall does not know the unit {other:?}; it counts rows or percent");
                self.skip(&json, name(quality), column, reason);
                return None;
            }
        };
        if percent && metric == Metric::RowCount {
            self.skip(&json, name(quality), column, "a number of rows has no percentage");
            return None;
        }
        if percent && metric == Metric::DuplicateValues && self.compat == Compat::DatacontractCli {
            self.skip(&json, name(quality), column, "datacontract-cli cannot test a percentage of duplicate values");
            return None;
        }
        if threshold.impossible() {
            let message = format!("the metric {}, which no count can", threshold.words());
            self.problem(&json, "SW0212", message, "counts begin at 0");
            return None;
        }
        Some(Library { quality, metric, threshold, percent, json })
    }

    /// The one operator of a rule.
    pub(super) fn threshold(&mut self, quality: &Quality, json: &str) -> Option<Threshold> {
        let single = |value: &Option<Number>| value.as_ref().and_then(Number::as_f64);
        let any = |value: &Option<Value>| value.as_ref().map(Value::as_f64);
        let pair = |values: &Option<Vec<Number>>| {
            values.as_ref().map(|values| match values.as_slice() {
                [low, high] => low.as_f64().zip(high.as_f64()),
                _ => None,
            })
        };
        let mut operators: Vec<Option<Threshold>> = Vec::new();
        operators.extend(any(&quality.must_be).map(|value| value.map(Threshold::Equals)));
        operators.extend(any(&quality.must_not_be).map(|value| value.map(Threshold::Differs)));
        operators.extend(single(&quality.must_be_greater_than).map(|value| Some(Threshold::Above(value))));
        operators.extend(single(&quality.must_be_greater_or_equal_to).map(|value| Some(Threshold::AtLeast(value))));
        operators.extend(single(&quality.must_be_less_than).map(|value| Some(Threshold::Below(value))));
        operators.extend(single(&quality.must_be_less_or_equal_to).map(|value| Some(Threshold::AtMost(value))));
        let between = pair(&quality.must_be_between);
        let includes = self.compat == Compat::DatacontractCli;
        let within = if includes { Threshold::Within } else { Threshold::Between };
        operators.extend(between.map(|pair| pair.map(|(low, high)| within(low, high))));
        let outside = pair(&quality.must_not_be_between);
        let beyond = if includes { Threshold::Beyond } else { Threshold::Outside };
        operators.extend(outside.map(|pair| pair.map(|(low, high)| beyond(low, high))));
        match operators.as_slice() {
            [Some(threshold)] => Some(threshold.clone()),
            [None] => {
                let hint = "counts are compared with numbers, ranges with [LOW, HIGH]";
                self.problem(json, "SW0207", "the operator of the rule does not take this value", hint);
                None
            }
            several => {
                let message = format!("the rule has {} operators", several.len());
                self.problem(json, "SW0207", message, "give it exactly one, for example `mustBe: 0`");
                None
            }
        }
    }

    fn quality_rule(&mut self, rule: &Library<'_>, column: Option<&str>, above: Option<Mode>, what: &str) -> RuleId {
        let is_row_rule = rule.is_row_rule();
        let own =
            custom(&rule.quality.custom_properties, "seawall.mode").and_then(|value| self.read_mode(value, &rule.json));
        let by_severity =
            rule.quality.severity.as_deref().filter(|_| rule.metric != Metric::RowCount).map(severity_mode);
        let default = if is_row_rule { above.unwrap_or(Mode::Quarantine) } else { Mode::Warn };
        let mode = own.or(by_severity).unwrap_or(default);
        let level = if is_row_rule { Level::Row } else { Level::Batch };
        let id = self.rule(rule.name(), column, mode, level, rule.description(what));
        if !is_row_rule {
            self.limits.insert(id, Limit { threshold: rule.threshold.clone(), percent: rule.percent });
        }
        id
    }

    fn missing_values(&mut self, rule: &Library<'_>, kind: &Kind, place: Place<'_>, checks: &mut Checks) {
        let values = rule.quality.arguments.as_ref().and_then(|arguments| arguments.missing_values.clone());
        let values = values.unwrap_or_default();
        // A marker of another type cannot stand in the column: it fails the column's type already.
        let fitting: Vec<&Value> = values.iter().filter(|value| allowed(&[*value], kind, &self.zone).is_ok()).collect();
        let markers = match kind {
            Kind::Struct(_) | Kind::List(_) => Allowed::Booleans(Vec::new()),
            _ => allowed(&fitting, kind, &self.zone).unwrap_or(Allowed::Booleans(Vec::new())),
        };
        let id = self.quality_rule(rule, Some(place.path), place.mode, "must not be missing");
        checks.push((id, Check::NotMissing(markers)));
    }

    /// What the rule's arguments say is valid; without any, what the property itself allows.
    fn invalid_values(
        &mut self,
        rule: &Library<'_>,
        property: &Property,
        kind: &Kind,
        place: Place<'_>,
        checks: &mut Checks,
    ) {
        let none = QualityArguments::default();
        let arguments = rule.quality.arguments.as_ref().unwrap_or(&none);
        let mut valid: Option<Vec<&Value>> = arguments
            .valid_values
            .as_ref()
            .or(rule.quality.valid_values.as_ref())
            .map(|values| values.iter().collect());
        let mut pattern = arguments.pattern.as_ref();
        let mut pattern_at = format!("{}/arguments/pattern", rule.json);
        if valid.is_none() && pattern.is_none() {
            valid = property.allowed.as_ref().map(|entries| entries.iter().map(EnumValue::value).collect());
            pattern = property.logical_type_options.as_ref().and_then(|options| options.pattern.as_ref());
            pattern_at = format!("{}/logicalTypeOptions/pattern", place.json);
        }
        let mut found: Vec<Check> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        if let Some(values) = valid {
            match allowed(&values, kind, &self.zone) {
                Ok(set) => {
                    words.push(format!("must be one of {}", listed(&values)));
                    found.push(Check::OneOf(set));
                }
                Err(value) => {
                    let message = format!("{value} cannot be a value of {}, which is {}", place.path, kind.noun());
                    self.problem(&rule.json, "SW0207", message, "write values in the column's own type");
                    return;
                }
            }
        }
        if let Some(pattern) = pattern {
            if !matches!(kind, Kind::Utf8) {
                let message = format!("a pattern does not apply to {}, which is {}", place.path, kind.noun());
                self.problem(&rule.json, "SW0207", message, "patterns are for strings");
                return;
            }
            let Some(matcher) = self.matcher(pattern, &pattern_at) else { return };
            words.push(format!("must match {pattern}"));
            found.push(Check::Pattern(matcher));
        }
        if found.is_empty() {
            let reason =
                "neither its arguments (validValues or pattern) nor the property (enum or pattern) say what is valid";
            self.skip(&rule.json, rule.name(), Some(place.path), reason);
            return;
        }
        let id = self.quality_rule(rule, Some(place.path), place.mode, &words.join(" and "));
        checks.extend(found.into_iter().map(|check| (id, check)));
    }

    fn object_duplicates(&mut self, rule: &Library<'_>, columns: &[Column], mode: Option<Mode>) {
        let names = rule.quality.arguments.as_ref().and_then(|arguments| arguments.properties.clone());
        let names = names.unwrap_or_default();
        let mut indices = Vec::with_capacity(names.len());
        for name in &names {
            match columns.iter().position(|column| &column.name == name) {
                Some(index) => indices.push(index),
                None => {
                    let message = format!("{name:?} is no column");
                    self.problem(&format!("{}/arguments/properties", rule.json), "SW0207", message, "");
                    return;
                }
            }
        }
        if indices.is_empty() {
            self.skip(&rule.json, rule.name(), None, "its arguments do not say of which columns (properties)");
            return;
        }
        let column = (names.len() == 1).then(|| names[0].as_str());
        self.duplicates(rule, indices, column, mode);
    }

    fn duplicates(&mut self, rule: &Library<'_>, columns: Vec<usize>, column: Option<&str>, mode: Option<Mode>) {
        let what = match column {
            Some(_) => "must differ from every earlier row of the batch".to_owned(),
            None => "the columns of the rule repeat an earlier row of the batch".to_owned(),
        };
        let id = self.quality_rule(rule, column, mode, &what);
        self.uniqueness.push(Uniqueness { rule: id, columns });
    }

    fn row_count(&mut self, rule: &Library<'_>) {
        let id = self.quality_rule(rule, None, None, "the number of rows of the batch");
        if self.rules[id].mode == Mode::Quarantine {
            let message = "a rule about the number of rows has no row to put into quarantine";
            self.problem(&rule.json, "SW0207", message, "use seawall.mode warn, reject or halt");
        }
        self.row_counts.push(id);
    }
}

/// `error` and unknown words stop rows, the milder words warn.
pub(super) fn severity_mode(severity: &str) -> Mode {
    let mild = ["info", "warning", "warn", "low", "minor", "trivial"];
    if mild.iter().any(|word| severity.eq_ignore_ascii_case(word)) { Mode::Warn } else { Mode::Quarantine }
}
