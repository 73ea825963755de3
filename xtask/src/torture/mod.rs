//! Torture: does what a day in production may do to a server, a great many times, and counts what it breaks.
//!
//! Every harness drives the real binary from outside and keeps its own ledger; none links Seawall. `--short` fits into
//! the continuous integration, `--long` is resumed until its goals are reached. A harness that needs what this machine
//! lacks says so and counts nothing. Sabotage builds prove that the harnesses can fail.

mod artifact;
mod audit;
mod bench;
mod book;
mod bytes;
mod clock;
mod damage;
mod document;
mod event;
mod full;
mod harness;
mod jumps;
mod kill;
mod limits;
mod memory;
mod network;
mod nospace;
mod options;
mod order;
mod power;
mod produce;
mod proxy;
mod run;
mod sabotage;
mod scorecard;
mod seeded;
mod server;
mod session;
mod sim;
mod syscalls;
mod text;
mod trace;
mod traced;
mod whole;
mod zombie;

pub use options::Options;
pub use run::run;
