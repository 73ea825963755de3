//! System of record: projects, revisions, lineage, policy, audit.

pub mod project;
