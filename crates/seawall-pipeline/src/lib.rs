//! The running system, one file per stage in the order of the journey.
