//! The one integration test binary: every test runs the real `seawall` binary as a user would.

#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

mod analyst;
mod answers;
mod away;
mod backup;
mod break_it;
mod cases;
mod commands;
mod contract_requests;
mod contracts;
mod declarations;
mod demo;
mod evolution;
mod expressions;
mod flights;
mod ingest;
mod integrity;
mod keeper;
mod kill;
mod models;
mod my_file;
mod privacy;
mod quarantine;
mod recovery;
mod repair;
mod rollback;
#[path = "../../../seawall-lake/src/store/s3_server.rs"]
#[allow(dead_code, reason = "the tests of tables use more of it")]
mod s3_server;
mod serve;
mod services;
mod support;
mod tables;
mod trainers;
mod transforms;
