//! What is wrong with a dataset: held against its own past, in one place for every kind of fault.

use seawall_base::declare::Monitor;
use seawall_base::watch::{Alternative, CauseKind, Incident, Period};
use seawall_base::{Instant, Span};
use seawall_kernel::drift::share::share_rises;
use seawall_kernel::drift::unit::{first_beyond, unit_change};
use seawall_kernel::drift::volume::volume_falls;

use super::drafts::{Found, key, signal};
use super::hours::{DatasetWatch, RuleKey, Sums, UnitKey};
use super::reach::reach;
use super::recent::RecentRow;
use crate::revision::Revision;

/// Share of rows ahead of their arrival that opens an incident.
const AHEAD_SHARE: f64 = 0.02;
/// Share of rejected rows that opens an incident.
const REJECTED_SHARE: f64 = 0.02;
/// Part of the usual rows of a day below which a source is too quiet.
const VOLUME_FRACTION: f64 = 0.4;
/// Rows of a slice that must look right again before a change of unit is over.
const RECOVERED_ROWS_MIN: u64 = 8;

/// What a look at a dataset says.
#[derive(Default)]
pub(super) struct Verdict {
    /// Causes that are there.
    pub found: Vec<Found>,
    /// Keys of causes that are over, and why.
    pub over: Vec<(String, String)>,
}

/// One look.
pub(super) struct Look<'a> {
    pub revision: &'a Revision,
    pub dataset: &'a str,
    pub monitor: &'a Monitor,
    pub now: Instant,
    /// Open incidents of the dataset.
    pub open: &'a [Incident],
    /// Periods of data faults, open and closed.
    pub faults: &'a [Period],
}

impl Look<'_> {
    /// Looks at everything that is watched.
    pub(super) fn at(&self, watch: &mut DatasetWatch) -> Verdict {
        let mut verdict = Verdict::default();
        let current = watch.current(self.now, self.monitor.window);
        let baseline = watch.baseline(self.now, self.faults).clone();
        self.freshness(watch, &mut verdict);
        self.volume(watch, &mut verdict);
        // What is usual for a number is only known to be steady where somebody declared a monitor.
        if self.revision.watched.contains(self.dataset) {
            self.units(watch, &current, &baseline, &mut verdict);
        }
        self.shares(watch, &current, &baseline, &mut verdict);
        verdict
    }

    fn window(&self) -> Period {
        Period { from: self.now - self.monitor.window, to: self.now }
    }

    fn is_open(&self, key: &str) -> bool {
        self.open.iter().any(|incident| incident.key == key)
    }

    fn found(&self, cause: CauseKind, metric: &str, value: f64, limit: f64, rows: u64) -> Found {
        Found {
            cause,
            subject: self.dataset.to_owned(),
            source: None,
            column: None,
            slice: None,
            factor: None,
            first_bad: None,
            first_bad_at: self.now,
            signal: signal(metric, self.dataset, self.now, self.window(), (value, limit), rows),
            excluded: Vec::new(),
            blast: reach(self.revision, self.dataset, None),
            owner: self.monitor.owner.clone(),
            told: None,
        }
    }

    fn freshness(&self, watch: &DatasetWatch, verdict: &mut Verdict) {
        let (Some(limit), Some(last)) = (self.monitor.freshness, watch.last_arrival) else { return };
        let silence = self.now - last;
        let key = key(CauseKind::Freshness, self.dataset, None, None);
        if silence <= limit {
            if self.is_open(&key) {
                verdict.over.push((key, "rows arrive again".into()));
            }
            return;
        }
        let seconds = |span: Span| span.0 as f64 / Span::SECOND.0 as f64;
        verdict.found.push(Found {
            source: watch.last_source.clone(),
            first_bad_at: last,
            ..self.found(CauseKind::Freshness, "freshness_s", seconds(silence), seconds(limit), 0)
        });
    }

    fn volume(&self, watch: &DatasetWatch, verdict: &mut Verdict) {
        if self.monitor.freshness.is_none() {
            return;
        }
        let Some(usual) = watch.rows_per_day(self.now) else { return };
        let day = Span(Span::DAY.0);
        let received = watch.current(self.now, day).received;
        let key = key(CauseKind::Volume, self.dataset, None, None);
        let is_silent = self.now - watch.last_arrival.unwrap_or(self.now) > Span::HOUR;
        let fell = volume_falls(usual, received, VOLUME_FRACTION);
        if !fell && self.is_open(&key) {
            verdict.over.push((key, "as many rows arrive as usual".into()));
        }
        // A source that sends nothing is one cause: that of freshness.
        if fell && !is_silent {
            verdict.found.push(Found {
                source: watch.last_source.clone(),
                first_bad_at: self.now - day,
                ..self.found(CauseKind::Volume, "volume", received as f64 / usual.max(1.0), VOLUME_FRACTION, received)
            });
        }
    }

    fn units(&self, watch: &DatasetWatch, current: &Sums, baseline: &Sums, verdict: &mut Verdict) {
        let mut columns_changed: Vec<&str> = Vec::new();
        // The whole column comes before its slices: a change of all of it is one cause.
        for (unit, profile) in &current.units {
            let (column, slice) = unit;
            let key = key(CauseKind::UnitChange, self.dataset, Some(column), slice.as_deref());
            let Some(reference) = baseline.units.get(unit) else { continue };
            let Some(change) = unit_change(reference, profile) else {
                if self.is_open(&key) && profile.positives() >= RECOVERED_ROWS_MIN {
                    verdict.over.push((key, format!("{column} is as it was before, for {}", self.monitor.window)));
                }
                continue;
            };
            if columns_changed.contains(&column.as_str()) {
                continue;
            }
            columns_changed.push(column);
            let bad = |row: &&RecentRow| shows(row, unit, |value| first_beyond(reference, value, change.factor));
            let since = self.now - self.monitor.window - self.monitor.window;
            let rows: Vec<RecentRow> = watch.recent.iter().filter(|row| row.arrival >= since).collect();
            let first = first_of_run(&rows.iter().collect::<Vec<_>>(), unit, bad);
            verdict.found.push(Found {
                source: first.map(|row| row.source.clone()).or_else(|| watch.last_source.clone()),
                column: Some(column.clone()),
                slice: slice.clone(),
                factor: Some(change.factor),
                first_bad: first.map(|row| row.id),
                first_bad_at: first.map_or(self.now, |row| row.arrival),
                excluded: not_the_unit(&change),
                blast: reach(self.revision, self.dataset, Some(column)),
                ..self.found(CauseKind::UnitChange, "unit_factor", change.factor, 1.0, profile.positives())
            });
        }
    }

    fn shares(&self, watch: &DatasetWatch, current: &Sums, baseline: &Sums, verdict: &mut Verdict) {
        let none = (String::new(), None);
        self.share(watch, ShareOf::Rejected, &none, (current, baseline), verdict);
        self.share(watch, ShareOf::Ahead, &none, (current, baseline), verdict);
        let open_rules = self.open.iter().filter(|incident| incident.cause == CauseKind::Quarantine);
        let mut rules: Vec<RuleKey> = current.rules.keys().cloned().collect();
        for incident in open_rules {
            let rule = incident.slice.clone().and_then(|slice| slice.strip_prefix("rule=").map(str::to_owned));
            let known = (rule.unwrap_or_default(), incident.column.clone());
            if !rules.contains(&known) {
                rules.push(known);
            }
        }
        for rule in rules {
            let by_unit = |found: &Found| found.cause == CauseKind::UnitChange && found.column == rule.1;
            let explained = verdict.found.iter().any(by_unit)
                || self.open.iter().any(|open| open.cause == CauseKind::UnitChange && open.column == rule.1);
            let key = key(CauseKind::Quarantine, self.dataset, rule.1.as_deref(), Some(&format!("rule={}", rule.0)));
            if !explained {
                self.share(watch, ShareOf::Rule, &rule, (current, baseline), verdict);
            } else if self.is_open(&key) {
                verdict.over.push((key, "explained by a change of unit of the same column".into()));
            }
        }
    }

    fn share(
        &self,
        watch: &DatasetWatch,
        of: ShareOf,
        rule: &RuleKey,
        (current, baseline): (&Sums, &Sums),
        verdict: &mut Verdict,
    ) {
        let (cause, metric, limit) = match of {
            ShareOf::Rejected => (CauseKind::Rejection, "rejected_share", REJECTED_SHARE),
            ShareOf::Ahead => (CauseKind::ClockAhead, "ahead_share", AHEAD_SHARE),
            ShareOf::Rule => (CauseKind::Quarantine, "quarantine_share", self.monitor.quarantine_share),
        };
        let slice = matches!(of, ShareOf::Rule).then(|| format!("rule={}", rule.0));
        let now = of.of(current, rule);
        let key = key(cause, self.dataset, rule.1.as_deref(), slice.as_deref());
        if !share_rises(of.of(baseline, rule), now, limit) {
            let is_over = now.1 > 0 && (now.0 as f64) < limit / 2.0 * now.1 as f64;
            if is_over && self.is_open(&key) {
                verdict.over.push((key, format!("the share is back below {:.1} %", limit * 50.0)));
            }
            return;
        }
        let since = self.now - self.monitor.window - self.monitor.window;
        let first = watch.recent.iter().find(|row| row.arrival >= since && of.shows(row, rule));
        let first = first.as_ref();
        let batch = watch.first_rejected.as_ref().filter(|_| matches!(of, ShareOf::Rejected));
        verdict.found.push(Found {
            source: batch.map(|b| b.source.clone()).or(first.map(|r| r.source.clone())).or(watch.last_source.clone()),
            column: rule.1.clone(),
            slice,
            first_bad: first.map(|row| row.id),
            first_bad_at: batch.map(|b| b.arrival).or(first.map(|row| row.arrival)).unwrap_or(self.now),
            blast: reach(self.revision, self.dataset, rule.1.as_deref()),
            ..self.found(cause, metric, now.0 as f64 / now.1.max(1) as f64, limit, now.1)
        });
    }
}

/// Whose share of the rows is looked at.
#[derive(Clone, Copy)]
enum ShareOf {
    Rejected,
    Ahead,
    Rule,
}

impl ShareOf {
    /// Bad rows and all rows.
    fn of(self, sums: &Sums, rule: &RuleKey) -> (u64, u64) {
        match self {
            ShareOf::Rejected => (sums.rejected, sums.received),
            ShareOf::Ahead => (sums.ahead, sums.accepted),
            ShareOf::Rule => (sums.rules.get(rule).copied().unwrap_or(0), sums.received),
        }
    }

    fn shows(self, row: &RecentRow, rule: &RuleKey) -> bool {
        match self {
            ShareOf::Rejected => false,
            ShareOf::Ahead => row.ahead,
            ShareOf::Rule => row.broken.contains(rule),
        }
    }
}

fn shows(row: &RecentRow, unit: &UnitKey, is_bad: impl Fn(f64) -> bool) -> bool {
    let value = row.numbers.iter().find(|(column, _)| *column == unit.0).map(|(_, value)| *value);
    within(row, unit) && value.is_some_and(is_bad)
}

fn within(row: &RecentRow, unit: &UnitKey) -> bool {
    unit.1.as_ref().is_none_or(|slice| row.slices.contains(slice))
}

/// The first bad row from which on most rows of the slice are bad: a lone extreme before it is no beginning.
fn first_of_run<'a>(
    rows: &[&'a RecentRow],
    unit: &UnitKey,
    bad: impl Fn(&&RecentRow) -> bool,
) -> Option<&'a RecentRow> {
    let slice: Vec<&'a RecentRow> = rows.iter().copied().filter(|row| within(row, unit)).collect();
    let is_bad: Vec<bool> = slice.iter().map(bad).collect();
    let mut bad_after = 0usize;
    let mut first = None;
    for at in (0..slice.len()).rev() {
        bad_after += usize::from(is_bad[at]);
        let after = slice.len() - at;
        if is_bad[at] && bad_after * 10 >= after * 6 {
            first = Some(slice[at]);
        }
    }
    first
}

fn not_the_unit(change: &seawall_kernel::drift::unit::UnitChange) -> Vec<Alternative> {
    let alternative = |what: &str, why: String| Alternative { what: what.to_owned(), why };
    vec![
        alternative(
            "prices or behaviour changed",
            format!(
                "dividing by {} explains {:.0} % of the distance to the values before; {:.2} decades are left",
                change.factor,
                change.explained * 100.0,
                change.unexplained
            ),
        ),
        alternative("other rows came", "the change is in the values of the same slice".to_owned()),
    ]
}
