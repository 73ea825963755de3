//! A project: the folder of declarations, read strictly and checked as a whole before anything runs.

pub mod model;
