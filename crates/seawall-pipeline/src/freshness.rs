//! Freshness: how far tables and features lag behind what was acknowledged, so that no answer is silently old.
//!
//! Acknowledged rows are in the log at once and in tables and features a moment later, or much later while the table
//! store is away. An answer made from tables says so: up to which cut they hold everything, and how old the oldest row is
//! that they lack.

use seawall_base::{Cut, Instant, Partition, Span};
use serde::Serialize;

use crate::pipeline::Pipeline;

/// A lag up to this long is the ordinary grouping of commits.
const STALENESS_ORDINARY_MAX: Span = Span(10 * Span::SECOND.0);

/// How fresh an answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freshness {
    /// Whether the answer lags more than it should.
    pub degraded: bool,
    /// Age of the oldest acknowledged row that it lacks, in milliseconds; 0 when it lacks none.
    pub staleness_ms: u64,
    /// Every row of the live partition before this is in it.
    #[serde(serialize_with = "as_text")]
    pub cut: Cut,
}

fn as_text<S: serde::Serializer>(cut: &Cut, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cut)
}

impl Pipeline {
    /// How fresh tables are, and so every answer made from their newest versions.
    pub fn table_freshness(&self) -> Freshness {
        let progress = self.table_writer.progress();
        let lacks_rows = progress.committed_entries < self.parts.log.durable_end().0;
        let behind_since = progress.behind_since.filter(|_| lacks_rows);
        let staleness = self.age(behind_since);
        let is_blocked = lacks_rows && (progress.away_since.is_some() || !progress.is_resumed);
        Freshness {
            degraded: !progress.is_attached || is_blocked || staleness > STALENESS_ORDINARY_MAX,
            staleness_ms: u64::try_from(staleness.0 / 1_000).unwrap_or(0),
            cut: Cut::of(Partition::LIVE, progress.committed_end),
        }
    }

    /// How fresh features are.
    pub fn feature_freshness(&self) -> Freshness {
        let behind_since = self.feature_writer.behind_since();
        Freshness {
            degraded: behind_since.is_some(),
            staleness_ms: u64::try_from(self.age(behind_since).0 / 1_000).unwrap_or(0),
            cut: self.parts.online.store_cut(),
        }
    }

    fn age(&self, since: Option<Instant>) -> Span {
        since.map_or(Span::ZERO, |since| Span((self.parts.clock.now() - since).0.max(0)))
    }
}
