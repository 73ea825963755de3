//! Where rows come from: files ([`files`]) and the simulator of card payments ([`simulator`]).
//!
//! A source only decodes. It yields Arrow batches in the source's own shape, and says which lines it could not decode;
//! adapting the shape is the map's work, judging the rows is the gate's.

pub mod files;
pub mod simulator;
