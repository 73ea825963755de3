//! Local durability: log, state checkpoints, online store.
