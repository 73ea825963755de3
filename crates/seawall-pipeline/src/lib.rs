//! The running system, one file per stage in the order of the journey.
//!
//! A row enters through [`source`] or the server, is decided on by [`gate`], becomes part of a [`frame`] in the log with its
//! personal fields under a [`sealing`], and reaches its table through [`table_writer`] and the online store through
//! [`feature_writer`]; one that is stopped stays in [`quarantine`] until somebody lets it leave. [`serving`] answers
//! requests for features and records what was served, [`scoring`] scores it with a model's champion; `monitor` watches
//! what comes in, what is served and how good models are, [`retrainer`] decides about them, `control` asks both once per
//! tick; [`account`] tells what a prediction rests on; [`replay`] drives all of it on a simulated clock; [`verify`]
//! proves that served and recomputed values are equal, [`integrity`] that what is kept agrees; [`backup`] keeps copies,
//! [`judge`] holds rows to a contract without keeping them, [`transform`] keeps derived datasets up with what they are made of, [`upkeep`] keeps tables small, [`erasure`] takes a person out of everything. Whatever can be away or slow is called through a [`dependency`], and [`freshness`] says
//! how old is what is read meanwhile; [`recovery`] writes down what a start needs, so that it need not read the whole log.
//! [`pipeline`] assembles the stages and owns their tasks.

pub mod account;
mod attach;
mod backfill;
pub mod backtest;
pub mod backup;
mod computing;
mod control;
pub mod dedup;
pub mod dependency;
pub mod erasure;
pub mod explain;
pub mod feature_writer;
pub mod frame;
pub mod freshness;
pub mod gate;
pub mod idempotency;
pub mod integrity;
pub mod ipc;
pub mod judge;
pub mod load;
mod monitor;
pub mod pipeline;
mod portion;
mod quality;
pub mod quarantine;
pub mod receipt;
pub mod recovery;
pub mod replay;
pub mod restore;
pub mod retrainer;
pub mod revision;
pub mod scoring;
pub mod sealing;
mod served_set;
pub mod service;
pub mod serving;
pub mod source;
pub mod table_writer;
pub mod training;
pub mod transform;
pub mod upkeep;
pub mod vector_log;
pub mod verify;

pub use gate::Incoming;
pub use pipeline::{Parts, Pipeline};
pub use receipt::Receipt;
pub use seawall_catalog::Counts;

use arrow::datatypes::{DataType, TimeUnit};

/// Type of every instant column: microseconds, UTC.
pub fn instant_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Adds `counts` to `sum`.
pub fn add_counts(sum: &mut Counts, counts: &Counts) {
    *sum = sum.checked_add(counts).expect("an installation takes in far fewer than 2^64 rows");
}

/// Runs a task's work, and says at once when it fails: nobody may be waiting for its end.
async fn reporting(
    task: &'static str,
    work: impl Future<Output = seawall_base::Result<()>>,
) -> seawall_base::Result<()> {
    let outcome = work.await;
    if let Err(error) = &outcome {
        tracing::error!(task, code = error.code(), %error, "a pipeline task has stopped");
    }
    outcome
}
