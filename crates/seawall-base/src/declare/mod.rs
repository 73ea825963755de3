//! Declarations as data: what a project's YAML files say once they are parsed and checked.
//!
//! Parsing, spans and diagnostics are `seawall_catalog::project`'s; compiling is the kernel's. Unknown keys are errors.

mod feature_service;
mod feature_view;
mod model;
mod monitor;
mod source;
mod tables;
mod training_set;
mod transform;

pub use feature_service::{DerivedFeature, FeatureService, LogShare, RequestValue, ValueType};
pub use feature_view::{Aggregation, Expression, Feature, FeatureView, Measure, Part, WindowEdge};
pub use model::{
    Boosting, Bounds, Calibration, CommandTrainer, MetricName, MissingAction, Model, OnMissing, ReadyWhen, Retrain,
    Trainer, Triggers,
};
pub use monitor::{Correction, Monitor, View};
pub use source::{Available, Connector, FileFormat, Files, ReferenceFile, Simulator, Source};
pub use tables::TableSettings;
pub use training_set::{FeatureRef, Known, Label, LabelValue, OwnRow, Spine, TrainingSet};
pub use transform::Transform;
