//! Local durability: the log of a partition, and the online store with its checkpoints.
//!
//! [`log`] orders events and makes them survive a power cut; [`online`] keeps the feature states of the present in
//! memory and writes them down from time to time; [`keys`] holds the keys that personal fields are sealed with. Log and
//! online store are the embedded implementations of ports of `seawall_base`, and have an in-memory twin that runs the same
//! conformance suite. What lies on the disk is described to the byte in `docs/formats.md`.

mod folder_lock;
pub mod keys;
pub mod log;
pub mod online;
pub mod state;
