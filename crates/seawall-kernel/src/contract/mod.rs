//! Contracts: what a dataset promises, and the gate that holds rows to it.
//!
//! A [`Contract`] is read (ODCS v3.2; v3.0 and v3.1 too), [`compile`]d into a [`Gate`], and the gate splits batches:
//!
//! 1. bytes of JSON become typed rows by [`decode_ndjson`] or [`decode_json_array`]; other formats arrive as Arrow;
//! 2. [`Gate::check`] converts columns without loss, runs every rule, and returns a [`Verdict`];
//! 3. quarantined rows are kept as [`raw_json`], accepted ones are recognised again by [`content_hashes`].
//!
//! Every rule of a contract is either in [`Gate::rules`] or, with the reason, in [`Gate::not_executed`].

mod breaker;
mod check;
mod clock;
mod compile;
mod content;
mod convert;
mod evolve;
mod exchange;
mod form;
mod format;
mod gate;
mod generate;
mod infer;
mod instant;
mod json;
mod model;
mod origin;
mod own;
mod pattern;
mod raw;
mod reason;
mod repeat;
mod rule;
mod service;
mod table_rule;
mod tally;
mod text;
mod verdict;

#[cfg(test)]
mod tests;

pub use breaker::Breaker;
pub use compile::{Problem, compile, compile_for_test};
pub use content::content_hashes;
pub use convert::Input;
pub use evolve::{Breaks, Bump, Change, ChangeKind, ContractChange, ContractDiff, diff, schema_change, widens};
pub use exchange::{Lost, from_json_schema, to_ddl, to_html, to_json_schema};
pub use gate::Gate;
pub use generate::{GenerateOptions, GeneratedChunk, Generator, Stuck, Violation};
pub use infer::{Assumption, infer};
pub use json::{Decoded, Failure, Limits, decode_json_array, decode_ndjson};
pub use model::{
    Bound, Contract, CustomProperty, DescribedValue, EnumValue, LogicalTypeOptions, MapProperty, Property, Quality,
    QualityArguments, References, Relationship, Role, SchemaObject, SlaProperty,
};
pub use own::compile_own;
pub use raw::raw_json;
pub use rule::{Level, NotExecuted, RuleInfo};
pub use service::{Fault as ServiceFault, Observed, Service, ServiceLevel};
pub use table_rule::{Measurement, TableRule};
pub use tally::{About, ExaminedBatch, Examiner, Example, Judged, Measured, Tally};
pub use verdict::{Mode, Quarantined, Reason, Verdict, Warning};
