//! Tests of the feature core: against an oracle, against the bugs of others, against damage, and against the clock.

mod codec;
mod conditions;
mod fixture;
mod named;
mod oracle;
mod random;
mod rows;
mod single;
mod stepwise;
mod timing;
