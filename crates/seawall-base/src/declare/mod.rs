//! Declarations as data: what a project's YAML files say once they are parsed and checked.
//!
//! Parsing, spans and diagnostics are `seawall_catalog::project`'s; compiling is the kernel's. Unknown keys are errors.

mod feature_view;
mod source;
mod training_set;

pub use feature_view::{Aggregation, Feature, FeatureView, WindowEdge};
pub use source::{Available, Connector, FileFormat, Files, ReferenceFile, Simulator, Source};
pub use training_set::{FeatureRef, Label, LabelValue, OwnRow, Spine, TrainingSet};
