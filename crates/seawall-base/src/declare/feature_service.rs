//! `kind: feature_service`: a named, versioned bundle of features of several views, asked for as one.

use serde::{Deserialize, Serialize};

use crate::hash::Hash;
use crate::ids::VersionedName;
use crate::time::Span;

use super::training_set::FeatureRef;

/// A feature service. What it holds is bound once, when it is applied: a version always means the same features of the
/// same versions of views.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureService {
    /// Name.
    pub name: String,
    /// Version, given by `apply`; a changed definition gets the next one.
    pub version: u32,
    /// The features, in declared order. Their entities name columns of the request.
    pub features: Vec<FeatureRef>,
    /// What a request tells besides entities, in declared order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request: Vec<RequestValue>,
    /// Features computed from the others and from the request, in declared order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived: Vec<DerivedFeature>,
    /// How long an answer may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Span>,
    /// Which of its answers are recorded.
    #[serde(default, skip_serializing_if = "LogShare::is_none")]
    pub log: LogShare,
}

/// A value that a request brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestValue {
    /// Name.
    pub name: String,
    /// Type.
    pub of: ValueType,
}

/// Type of a value that a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// Text.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// A float of 64 bits.
    Double,
    /// True or false.
    Boolean,
    /// An instant.
    Timestamp,
    /// A day.
    Date,
}

impl ValueType {
    /// Its Arrow type.
    pub fn data_type(self) -> arrow::datatypes::DataType {
        use arrow::datatypes::{DataType, TimeUnit};
        match self {
            ValueType::String => DataType::Utf8,
            ValueType::Integer => DataType::Int64,
            ValueType::Double => DataType::Float64,
            ValueType::Boolean => DataType::Boolean,
            ValueType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ValueType::Date => DataType::Date32,
        }
    }
}

/// A feature computed by an SQL expression from other columns of the same vector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedFeature {
    /// Name, which is also its column.
    pub name: String,
    /// The expression.
    pub sql: String,
    /// The columns that it reads, ordered: features as `VIEW__FEATURE`, values of the request or of the context, other
    /// derived features.
    pub reads: Vec<String>,
}

/// Which answers of a service are recorded: a share of the requests' rows, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogShare(pub u32);

impl LogShare {
    /// Every answer.
    pub const ALL: LogShare = LogShare(1_000_000);

    /// Whether nothing is recorded.
    pub fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// Whether a request's row with this hash is recorded: the same row gets the same answer each time.
    pub fn takes(self, row_hash: u128) -> bool {
        // The upper half, so that nothing else which is decided by the lower one goes along with it.
        let place = (row_hash >> 64) as u64;
        u128::from(place) * 1_000_000 < u128::from(self.0) << 64
    }
}

impl FeatureService {
    /// Name and version.
    pub fn id(&self) -> VersionedName {
        VersionedName { name: self.name.clone(), version: self.version }
    }

    /// Hash of what its vectors are made of. How fast it must be and what is recorded of it may change without a new
    /// version.
    pub fn definition_hash(&self) -> Hash {
        Hash::of_json(&(&self.name, &self.features, &self.request, &self.derived))
    }
}
