//! Pure decisions on Arrow batches: contracts, aggregates, features.
