//! Windows: where they begin, how far a sawtooth reaches back, and which tiles cover them.
//!
//! A window ends at the decision time T, inclusive. An exact window begins after `T - w`; a sawtooth window begins at
//! `floor(T - w, hop)`, so it is up to one hop longer than declared and never shorter. Times are floored towards the
//! past also before 1970. Tiles are numbered from the epoch; all arithmetic that could overflow is done in tile numbers
//! or in 128 bits.

#[cfg(test)]
mod tests;

use seawall_base::declare::WindowEdge;
use seawall_base::{Instant, Span};

/// Length of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// One minute.
    Minute,
    /// One hour.
    Hour,
    /// One day of 24 hours.
    Day,
}

impl Level {
    /// All levels, finest first.
    pub const ALL: [Level; 3] = [Level::Minute, Level::Hour, Level::Day];

    /// Length of a tile.
    pub fn span(self) -> Span {
        match self {
            Level::Minute => Span::MINUTE,
            Level::Hour => Span::HOUR,
            Level::Day => Span::DAY,
        }
    }

    /// Length of a tile in minutes.
    pub fn minutes(self) -> i64 {
        self.span().0 / Span::MINUTE.0
    }

    /// Number of the tile that holds `at`.
    pub fn tile(self, at: Instant) -> i64 {
        at.0.div_euclid(self.span().0)
    }
}

/// By how much a sawtooth window of this length advances: 1 d from 12 d on, 1 h from 12 h on, else 1 min.
pub fn hop(window: Span) -> Level {
    if window >= Span(12 * Span::DAY.0) {
        Level::Day
    } else if window >= Span(12 * Span::HOUR.0) {
        Level::Hour
    } else {
        Level::Minute
    }
}

/// The first instant inside a window that ends at `at`.
pub fn first_inside(edge: WindowEdge, window: Span, at: Instant) -> Instant {
    let begin = i128::from(at.0) - i128::from(window.0);
    let first = match edge {
        WindowEdge::Lifetime => i128::from(i64::MIN),
        WindowEdge::Exact => begin + 1,
        WindowEdge::Sawtooth => {
            let hop = i128::from(hop(window).span().0);
            begin.div_euclid(hop) * hop
        }
    };
    Instant(i64::try_from(first).unwrap_or(if first < 0 { i64::MIN } else { i64::MAX }))
}

/// Tiles of one level with consecutive numbers `from..until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles {
    /// Their level.
    pub level: Level,
    /// First tile.
    pub from: i64,
    /// The tile after the last.
    pub until: i64,
}

/// Covers the minutes `from..until` (numbered from the epoch) exactly once, with the longest tiles among `levels`, which
/// must include the minute.
pub fn cover(from: i64, until: i64, levels: &[bool; 3], mut visit: impl FnMut(Tiles)) {
    cover_from(2, from, until, levels, &mut visit);
}

fn cover_from(level: usize, from: i64, until: i64, levels: &[bool; 3], visit: &mut impl FnMut(Tiles)) {
    if from >= until {
        return;
    }
    if level == 0 {
        visit(Tiles { level: Level::Minute, from, until });
        return;
    }
    let minutes = Level::ALL[level].minutes();
    let up = -((-from).div_euclid(minutes)) * minutes;
    let down = until.div_euclid(minutes) * minutes;
    if !levels[level] || up >= down {
        cover_from(level - 1, from, until, levels, visit);
        return;
    }
    cover_from(level - 1, from, up, levels, visit);
    visit(Tiles { level: Level::ALL[level], from: up / minutes, until: down / minutes });
    cover_from(level - 1, down, until, levels, visit);
}
