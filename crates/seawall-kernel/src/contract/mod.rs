//! Contracts: what a dataset promises, and the gate that holds rows to it.

mod model;

pub use model::{
    Bound, Contract, CustomProperty, DescribedValue, EnumValue, LogicalTypeOptions, Property, Quality,
    QualityArguments, SchemaObject, SlaProperty,
};
