//! `CREATE TABLE` of a database into a first contract.

use seawall_base::error::{Error, Result};
use seawall_kernel::contract::{Bound, Contract, EnumValue, LogicalTypeOptions, Lost, Property, SchemaObject};
use serde_json::{Number, Value, json};
use sqlparser::ast::{BinaryOperator, ColumnDef, ColumnOption, CreateTable, Expr, Statement, TableConstraint};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

/// Longest text that is parsed: schemas of databases are far shorter.
const SQL_BYTES_MAX: usize = 4 << 20;
/// Nesting that an expression may have.
const DEPTH_MAX: usize = 64;

/// A contract called `name` with an object for each `CREATE TABLE` in `sql`, and what a contract cannot say.
///
/// # Errors
/// Text that is no SQL, and SQL that creates no table.
pub(super) fn contract_of_ddl(name: &str, sql: &str) -> Result<(Contract, Vec<Lost>)> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(Error::invalid("SW1731", format!("the SQL is longer than {} MiB", SQL_BYTES_MAX >> 20)));
    }
    let parsed = Parser::new(&GenericDialect {}).with_recursion_limit(DEPTH_MAX).try_with_sql(sql);
    let statements = parsed.and_then(|mut parser| parser.parse_statements()).map_err(|error| {
        Error::invalid("SW1731", "the SQL cannot be read").because(error).hint("give CREATE TABLE statements")
    })?;
    let mut lost = Vec::new();
    let mut schema = Vec::new();
    for statement in statements {
        match statement {
            Statement::CreateTable(table) => schema.push(object(&table, &mut lost)),
            other => {
                let text: String = other.to_string().chars().take(40).collect();
                lost.push(lost_at("sql", &text, "only CREATE TABLE describes data"));
            }
        }
    }
    if schema.is_empty() {
        return Err(Error::invalid("SW1731", "the SQL creates no table").hint("give CREATE TABLE statements"));
    }
    let contract = json!({
        "apiVersion": "v3.2.0", "kind": "DataContract", "id": name, "version": "1.0.0", "status": "draft",
    });
    let mut contract: Contract = serde_json::from_value(contract)
        .map_err(|e| Error::internal("SW1731", "a first contract cannot be made").because(e))?;
    contract.schema = schema;
    Ok((contract, lost))
}

fn lost_at(place: &str, what: &str, why: &str) -> Lost {
    Lost { place: place.to_owned(), what: what.to_owned(), why: why.to_owned() }
}

fn bare(name: &str) -> String {
    name.trim().trim_matches(|c| matches!(c, '"' | '`' | '[' | ']')).to_owned()
}

fn object(table: &CreateTable, lost: &mut Vec<Lost>) -> SchemaObject {
    let written = table.name.to_string();
    let name = bare(written.rsplit('.').next().unwrap_or(&written));
    let mut properties: Vec<Property> = table.columns.iter().map(|column| property(&name, column, lost)).collect();
    for constraint in &table.constraints {
        match constraint {
            TableConstraint::PrimaryKey(key) => {
                for (position, column) in (1..).zip(&key.columns) {
                    let column = bare(&column.to_string());
                    for property in properties.iter_mut().filter(|one| one.name.as_deref() == Some(&column)) {
                        property.primary_key = Some(true);
                        property.primary_key_position = Some(position);
                        property.required = Some(true);
                    }
                }
            }
            TableConstraint::Unique(unique) if unique.columns.len() == 1 => {
                let column = bare(&unique.columns[0].to_string());
                let named = properties.iter_mut().filter(|one| one.name.as_deref() == Some(&column));
                named.for_each(|property| property.unique = Some(true));
            }
            TableConstraint::Check(check) => read_check(&name, &check.expr, &mut properties, lost),
            other => lost.push(lost_at(&name, &other.to_string(), "write it as a relationship or a quality rule")),
        }
    }
    SchemaObject { name, properties, ..SchemaObject::default() }
}

fn property(table: &str, column: &ColumnDef, lost: &mut Vec<Lost>) -> Property {
    let name = bare(&column.name.to_string());
    let place = format!("{table}.{name}");
    let mut property = typed(&place, &column.data_type.to_string(), lost);
    property.name = Some(name.clone());
    let mut checks = Vec::new();
    for option in &column.options {
        match &option.option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => property.required = Some(true),
            ColumnOption::PrimaryKey(_) => {
                property.primary_key = Some(true);
                property.primary_key_position = Some(1);
                property.required = Some(true);
            }
            ColumnOption::Unique(_) => property.unique = Some(true),
            ColumnOption::Comment(text) => {
                property.other.insert("description".to_owned(), json!(text));
            }
            ColumnOption::Check(check) => checks.push(check.expr.as_ref().clone()),
            other => lost.push(lost_at(&place, &other.to_string(), "a contract has no words for it")),
        }
    }
    let mut one = vec![property];
    checks.iter().for_each(|check| read_check(table, check, &mut one, lost));
    one.swap_remove(0)
}

/// The logical type that a type of SQL stands for.
fn typed(place: &str, data_type: &str, lost: &mut Vec<Lost>) -> Property {
    let upper = data_type.to_ascii_uppercase();
    let base = upper.split(['(', ' ']).next().unwrap_or_default().to_owned();
    let argument = upper.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inner, _)| inner.to_owned());
    let mut property = Property::default();
    let logical = match base.as_str() {
        "TEXT" | "STRING" | "CLOB" | "UUID" | "CITEXT" | "ENUM" => "string",
        "VARCHAR" | "CHAR" | "CHARACTER" | "NVARCHAR" | "NCHAR" | "BPCHAR" => {
            let most = argument.as_deref().and_then(|inner| inner.split(' ').next()?.parse().ok());
            property.logical_type_options =
                most.map(|most| LogicalTypeOptions { max_length: Some(most), ..LogicalTypeOptions::default() });
            "string"
        }
        "SMALLINT" | "INT" | "INTEGER" | "TINYINT" | "INT2" | "INT4" | "MEDIUMINT" | "SERIAL" => {
            property.physical_type = Some(base.to_ascii_lowercase());
            "integer"
        }
        "BIGINT" | "INT8" | "BIGSERIAL" => "integer",
        "DECIMAL" | "NUMERIC" | "DEC" => {
            property.physical_type = argument.map(|inner| format!("decimal({})", inner.replace(' ', "")));
            "number"
        }
        "DOUBLE" | "FLOAT" | "REAL" | "FLOAT4" | "FLOAT8" => "number",
        "BOOLEAN" | "BOOL" => "boolean",
        "DATE" => "date",
        "TIMESTAMP" | "TIMESTAMPTZ" | "DATETIME" => "timestamp",
        "TIME" => "time",
        _ => {
            lost.push(lost_at(place, data_type, "contracts do not know the type; it is taken for text"));
            property.physical_type = Some(data_type.to_ascii_lowercase());
            "string"
        }
    };
    property.logical_type = Some(logical.to_owned());
    property
}

/// A condition about one column, as far as contracts have words for it.
fn read_check(table: &str, check: &Expr, properties: &mut [Property], lost: &mut Vec<Lost>) {
    let is_read = match check {
        Expr::Nested(inner) => return read_check(table, inner, properties, lost),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            read_check(table, left, properties, lost);
            return read_check(table, right, properties, lost);
        }
        Expr::BinaryOp { left, op, right } => compared(left, op, right, properties),
        Expr::Between { expr, negated: false, low, high } => {
            compared(expr, &BinaryOperator::GtEq, low, properties)
                && compared(expr, &BinaryOperator::LtEq, high, properties)
        }
        Expr::InList { expr, list, negated: false } => listed(expr, list, properties),
        _ => false,
    };
    if !is_read {
        lost.push(lost_at(table, &check.to_string(), "write it as a quality rule of type sql"));
    }
}

fn compared(left: &Expr, op: &BinaryOperator, right: &Expr, properties: &mut [Property]) -> bool {
    let Some(value) = literal(right) else { return false };
    let written = left.to_string();
    let lower = written.to_ascii_lowercase();
    let of_length = ["char_length(", "length(", "len("].iter().find(|call| lower.starts_with(*call));
    if let Some(call) = of_length {
        let column = bare(written[call.len()..].trim_end_matches(')'));
        let (Some(options), Some(length)) = (options_of(properties, &column), value.as_u64()) else { return false };
        match op {
            BinaryOperator::GtEq => options.min_length = Some(length),
            BinaryOperator::LtEq => options.max_length = Some(length),
            _ => return false,
        }
        return true;
    }
    let bound = match value {
        Value::Number(number) => Bound::Number(number),
        Value::String(text) => Bound::Text(text),
        _ => return false,
    };
    let Some(options) = options_of(properties, &bare(&written)) else { return false };
    match op {
        BinaryOperator::GtEq => options.minimum = Some(bound),
        BinaryOperator::Gt => options.exclusive_minimum = Some(bound),
        BinaryOperator::LtEq => options.maximum = Some(bound),
        BinaryOperator::Lt => options.exclusive_maximum = Some(bound),
        _ => return false,
    }
    true
}

fn listed(expr: &Expr, list: &[Expr], properties: &mut [Property]) -> bool {
    let column = bare(&expr.to_string());
    let values: Option<Vec<EnumValue>> = list.iter().map(|one| literal(one).map(EnumValue::Bare)).collect();
    let property = properties.iter_mut().find(|one| one.name.as_deref() == Some(&column));
    match (property, values) {
        (Some(property), Some(values)) => {
            property.allowed = Some(values);
            true
        }
        _ => false,
    }
}

fn options_of<'p>(properties: &'p mut [Property], column: &str) -> Option<&'p mut LogicalTypeOptions> {
    let property = properties.iter_mut().find(|one| one.name.as_deref() == Some(column))?;
    Some(property.logical_type_options.get_or_insert_with(LogicalTypeOptions::default))
}

/// A number or a text, as it is written.
fn literal(expr: &Expr) -> Option<Value> {
    let written = expr.to_string().replace(' ', if expr.to_string().starts_with('\'') { " " } else { "" });
    if let Some(text) = written.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return Some(Value::String(text.replace("''", "'")));
    }
    serde_json::from_str::<Number>(&written).ok().map(Value::Number)
}
