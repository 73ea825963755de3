//! The wire: HTTP, authentication, metrics.
