//! Tables and queries: Delta, DataFusion, training sets.
