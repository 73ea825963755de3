//! Synthetic rows that obey a contract, with violations that are known.
//!
//! The same contract, options and seed give the same rows. Values are proposed from what the contract says of a column
//! and judged by its gate before they are handed out: a row that shall obey is drawn anew until the gate accepts it, and
//! a row that shall not breaks exactly the one rule that was meant. How a rule can be broken is found out beforehand, by
//! trying values on the gate.
//!
//! Rules about the whole table (SQL, percentages) are not aimed at; rows merely keep clear of what they count.

mod dice;
mod faulty;
mod pattern;
mod value;

use std::collections::HashSet;

use seawall_base::Instant;
use serde_json::{Map, Value};

use self::dice::Dice;
use self::faulty::Recipe;
use self::value::Column;
use super::compile_for_test;
use super::convert::Input;
use super::gate::Gate;
use super::json::{Limits, decode_ndjson};
use super::model::{Contract, Property, SchemaObject};
use super::verdict::Quarantined;

/// Rows that are made and judged at once.
const CHUNK_ROWS: usize = 4_096;
/// How often a row is drawn anew before generation gives up.
const ROUNDS_MAX: usize = 50;

/// What to generate.
#[derive(Debug, Clone, Copy)]
pub struct GenerateOptions {
    /// Rows in all.
    pub rows: u64,
    /// The share of rows that break a rule, from 0 to 1.
    pub violations: f64,
    /// Rows are the same for the same seed.
    pub seed: u64,
    /// The latest instant that an event has.
    pub until: Instant,
}

impl GenerateOptions {
    /// Reads a share: `1%`, `0.5%`, `0.01`.
    pub fn share(text: &str) -> Option<f64> {
        let (digits, unit) = match text.strip_suffix('%') {
            Some(digits) => (digits, 0.01),
            None => (text, 1.0),
        };
        let share = digits.trim().parse::<f64>().ok()? * unit;
        (0.0..=1.0).contains(&share).then_some(share)
    }
}

/// A row that breaks a rule on purpose.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// The row, from 0.
    pub row: u64,
    /// The rule that it breaks, and no other.
    pub rule: String,
    /// The column.
    pub column: Option<String>,
}

/// Some rows, in order.
#[derive(Debug, Clone, Default)]
pub struct GeneratedChunk {
    /// The rows as JSON objects.
    pub rows: Vec<Value>,
    /// Which of them break which rule.
    pub violations: Vec<Violation>,
}

/// Why rows of a contract cannot be generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// What could not be made.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Stuck {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Stuck {
        Stuck { message: message.into(), hint: hint.into() }
    }
}

/// Makes rows of one object of a contract.
pub struct Generator {
    gate: Gate,
    columns: Vec<Column>,
    options: GenerateOptions,
    recipes: Vec<Recipe>,
    dice: Dice,
    /// Rows handed out.
    made: u64,
    /// Values that must not repeat, per set of columns.
    taken: Vec<(Vec<usize>, HashSet<String>)>,
    /// The last row that obeys: what a repeated key repeats.
    last_good: Option<Map<String, Value>>,
}

/// A row in the making.
struct Draft {
    row: Map<String, Value>,
    recipe: Option<usize>,
}

impl Generator {
    /// A generator for `object` of `contract`, or for its only one.
    ///
    /// # Errors
    /// A contract that cannot be compiled, a column for which no value is found, or violations without a rule.
    pub fn new(contract: &Contract, object: Option<&str>, options: GenerateOptions) -> Result<Generator, Stuck> {
        let gate = compile_for_test(contract, object).map_err(|problems| {
            let first = problems.first().map_or_else(String::new, |problem| problem.message.clone());
            Stuck::new(format!("the contract does not compile: {first}"), "`seawall contract lint` lists every problem")
        })?;
        let name = gate.dataset().name.clone();
        let object: &SchemaObject = contract
            .objects()
            .iter()
            .find(|one| one.name == name)
            .ok_or_else(|| Stuck::new("the object is gone", "report this as a bug"))?;
        let columns = columns(object, options.until)?;
        let taken = unique_sets(object).into_iter().map(|set| (set, HashSet::new())).collect();
        let mut generator = Generator {
            gate,
            columns,
            dice: Dice::new(options.seed),
            options,
            recipes: Vec::new(),
            made: 0,
            taken,
            last_good: None,
        };
        generator.find_recipes()?;
        Ok(generator)
    }

    /// The gate that the rows are made for.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The rules that are broken when violations are asked for: rule and column.
    pub fn rules(&self) -> Vec<(String, Option<String>)> {
        let mut rules: Vec<(String, Option<String>)> = Vec::new();
        for recipe in &self.recipes {
            let rule = (recipe.rule.clone(), recipe.column.clone());
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        rules
    }

    /// The next rows; empty when all are made.
    ///
    /// # Errors
    /// No row could be found that obeys, or that breaks only the rule that was meant.
    pub fn chunk(&mut self) -> Result<GeneratedChunk, Stuck> {
        let rows = (self.options.rows - self.made).min(CHUNK_ROWS as u64);
        let mut drafts = Vec::with_capacity(rows as usize);
        for row in self.made..self.made + rows {
            let is_bad = self.is_bad(row);
            drafts.push(self.draft(is_bad)?);
        }
        self.settle(&mut drafts)?;
        let mut chunk = GeneratedChunk::default();
        for (row, draft) in (self.made..).zip(drafts) {
            if let Some(recipe) = draft.recipe.map(|at| &self.recipes[at]) {
                let (rule, column) = (recipe.rule.clone(), recipe.column.clone());
                chunk.violations.push(Violation { row, rule, column });
            }
            chunk.rows.push(Value::Object(draft.row));
        }
        self.made += rows;
        Ok(chunk)
    }

    /// Whether the row with this number breaks a rule: violations are spread evenly.
    fn is_bad(&self, row: u64) -> bool {
        let share = self.options.violations;
        let until = |rows: u64| (rows as f64 * share).floor();
        share > 0.0 && until(row + 1) > until(row)
    }

    fn draft(&mut self, is_bad: bool) -> Result<Draft, Stuck> {
        let mut row = self.good_row()?;
        if !is_bad {
            return Ok(Draft { row, recipe: None });
        }
        let usable =
            self.recipes.len() - usize::from(self.last_good.is_none() && self.recipes.iter().any(Recipe::repeats));
        if usable == 0 {
            return Err(Stuck::new("the first row cannot repeat an earlier one", "ask for fewer violations"));
        }
        let at = self.dice.below(usable as u64) as usize;
        self.recipes[at].spoil(&mut row, self.last_good.as_ref(), &mut self.dice);
        Ok(Draft { row, recipe: Some(at) })
    }

    /// A row that should obey, whose keys were not handed out before.
    fn good_row(&mut self) -> Result<Map<String, Value>, Stuck> {
        for _ in 0..ROUNDS_MAX {
            let mut row = Map::new();
            for column in &mut self.columns {
                let value = column.draw(&mut self.dice)?;
                row.insert(column.name.clone(), value);
            }
            let keys: Vec<String> =
                self.taken.iter().map(|(columns, _)| key_of(&row, columns, &self.columns)).collect();
            let is_new = |((_, taken), key): (&(Vec<usize>, HashSet<String>), &String)| !taken.contains(key);
            if self.taken.iter().zip(&keys).all(is_new) {
                for ((_, taken), key) in self.taken.iter_mut().zip(keys) {
                    taken.insert(key);
                }
                return Ok(row);
            }
        }
        let sets: Vec<String> = self.taken.iter().map(|(columns, _)| self.names(columns)).collect();
        Err(Stuck::new(
            format!("after {} rows no new value of {} is found", self.made, sets.join(" or ")),
            "ask for fewer rows, or loosen what the contract says of the unique columns",
        ))
    }

    fn names(&self, columns: &[usize]) -> String {
        columns.iter().map(|at| self.columns[*at].name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Draws anew what the gate does not judge as it was meant.
    fn settle(&mut self, drafts: &mut [Draft]) -> Result<(), Stuck> {
        let mut open: Vec<usize> = (0..drafts.len()).collect();
        let mut complaint = String::new();
        for _ in 0..ROUNDS_MAX {
            let rows: Vec<&Map<String, Value>> = open.iter().map(|at| &drafts[*at].row).collect();
            let judged = judge(&self.gate, &rows)?;
            let mut again = Vec::new();
            for (at, reasons) in open.iter().zip(&judged) {
                if self.is_as_meant(&drafts[*at], reasons) {
                    continue;
                }
                complaint = reasons.iter().map(|(rule, column)| told(rule, column)).collect::<Vec<_>>().join(", ");
                again.push(*at);
            }
            if again.is_empty() {
                // Only of rows that will not be drawn anew can the key be repeated.
                let good = drafts.iter().rev().find(|draft| draft.recipe.is_none());
                self.last_good = good.map(|draft| draft.row.clone()).or_else(|| self.last_good.take());
                return Ok(());
            }
            for at in &again {
                let is_bad = drafts[*at].recipe.is_some();
                drafts[*at] = self.draft(is_bad)?;
            }
            open = again;
        }
        Err(Stuck::new(
            format!("no row is found that the gate judges as meant: it says {complaint}"),
            "give the column `examples` that obey its rules",
        ))
    }

    fn is_as_meant(&self, draft: &Draft, reasons: &[(String, Option<String>)]) -> bool {
        match draft.recipe.map(|at| &self.recipes[at]) {
            None => reasons.is_empty(),
            // A repeated key is decided among all rows, not in this chunk alone.
            Some(recipe) if recipe.repeats() => reasons.is_empty() || reasons == [recipe.reason()],
            Some(recipe) => reasons == [recipe.reason()],
        }
    }

    fn find_recipes(&mut self) -> Result<(), Stuck> {
        let base = self.obedient_row()?;
        let mut recipes = Vec::new();
        for column in &self.columns {
            for value in faulty::candidates(&column.property, &mut self.dice) {
                let mut row = base.clone();
                row.insert(column.name.clone(), value.clone());
                let Ok(judged) = judge(&self.gate, &[&row]) else { continue };
                if let [(rule, reason_column)] = judged[0].as_slice() {
                    recipes.push(Recipe::of_value(&column.name, value, rule, reason_column.clone()));
                }
            }
        }
        // At most a few values per rule, so that no rule is broken far more often than the others.
        let mut kept: Vec<Recipe> = Vec::new();
        for recipe in recipes {
            if kept.iter().filter(|other| other.reason() == recipe.reason()).count() < 3 {
                kept.push(recipe);
            }
        }
        kept.extend(self.repeated_key(&base));
        if kept.is_empty() && self.options.violations > 0.0 {
            return Err(Stuck::new(
                "the contract has no rule that one row could break",
                "generate without --violations, or give the contract rules",
            ));
        }
        self.recipes = kept;
        Ok(())
    }

    /// A row that the gate accepts, found by drawing; nothing of it counts as handed out.
    fn obedient_row(&mut self) -> Result<Map<String, Value>, Stuck> {
        let mut complaint = String::new();
        for _ in 0..ROUNDS_MAX {
            let mut row = Map::new();
            for column in &mut self.columns {
                let value = column.draw(&mut self.dice)?;
                row.insert(column.name.clone(), value);
            }
            let judged = judge(&self.gate, &[&row])?;
            if judged[0].is_empty() {
                return Ok(row);
            }
            complaint = judged[0].iter().map(|(rule, column)| told(rule, column)).collect::<Vec<_>>().join(", ");
        }
        Err(Stuck::new(
            format!("no row is found that obeys the contract: the gate says {complaint}"),
            "give the column `examples` that obey its rules",
        ))
    }

    /// The same key with other content, when there is a key and something else.
    fn repeated_key(&self, row: &Map<String, Value>) -> Option<Recipe> {
        let key = &self.gate.dataset().primary_key;
        let other = self.columns.iter().find(|column| {
            let is_free = !self.taken.iter().any(|(set, _)| set.iter().any(|at| self.columns[*at].name == column.name));
            is_free && row.get(&column.name).is_some_and(Value::is_number)
        });
        let single = (key.len() == 1).then(|| key[0].clone());
        (!key.is_empty() && other.is_some()).then(|| Recipe::of_key(key, single))
    }
}

/// The columns of an object, each with its way to make values.
fn columns(object: &SchemaObject, until: Instant) -> Result<Vec<Column>, Stuck> {
    let unique = unique_sets(object);
    let mut columns = Vec::with_capacity(object.properties.len());
    for (at, property) in object.properties.iter().enumerate() {
        let is_unique = unique.iter().any(|set| set == &[at]) || unique.iter().any(|set| set.first() == Some(&at));
        columns.push(Column::of(property, is_unique, until));
    }
    Ok(columns)
}

/// The columns whose values must not repeat: the primary key, and every column that is unique by itself.
fn unique_sets(object: &SchemaObject) -> Vec<Vec<usize>> {
    let at = |keep: &dyn Fn(&Property) -> bool| -> Vec<usize> {
        object.properties.iter().enumerate().filter(|(_, one)| keep(one)).map(|(at, _)| at).collect()
    };
    let mut sets = vec![at(&|property| property.primary_key == Some(true))];
    sets.extend(at(&|property| property.unique == Some(true)).into_iter().map(|at| vec![at]));
    sets.retain(|set| !set.is_empty());
    sets.dedup();
    sets
}

fn key_of(row: &Map<String, Value>, columns: &[usize], all: &[Column]) -> String {
    let parts: Vec<String> =
        columns.iter().map(|at| row.get(&all[*at].name).map_or_else(String::new, Value::to_string)).collect();
    parts.join("\u{1f}")
}

fn told(rule: &str, column: &Option<String>) -> String {
    match column {
        Some(column) => format!("{rule} of {column}"),
        None => rule.to_owned(),
    }
}

type Reasons = Vec<(String, Option<String>)>;

/// What stops each of some rows.
fn judge(gate: &Gate, rows: &[&Map<String, Value>]) -> Result<Vec<Reasons>, Stuck> {
    let mut lines = String::new();
    for row in rows {
        lines.push_str(&Value::Object((*row).clone()).to_string());
        lines.push('\n');
    }
    let decoded = decode_ndjson(gate, lines.as_bytes(), Limits::default());
    if let Some(failure) = decoded.failures.first() {
        let said = failure.reasons.first().map_or_else(String::new, |reason| reason.message.clone());
        return Err(Stuck::new(format!("a row cannot be decoded: {said}"), "report this contract as a bug"));
    }
    let verdict = gate.check(&decoded.batch, Input::Typed, Instant(0));
    if let Some(rejected) = verdict.rejected {
        let said = rejected.first().map_or_else(String::new, |reason| reason.message.clone());
        return Err(Stuck::new(
            format!("the gate refuses the rows as a batch: {said}"),
            "rules that reject or halt cannot be aimed at; give them another mode",
        ));
    }
    let mut judged: Vec<Reasons> = vec![Vec::new(); rows.len()];
    for Quarantined { row, reasons } in verdict.quarantined {
        judged[row as usize] = reasons.into_iter().map(|reason| (reason.rule, reason.column)).collect();
    }
    Ok(judged)
}
