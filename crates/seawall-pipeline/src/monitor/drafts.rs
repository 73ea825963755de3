//! Incidents in words: what happened, what it is not, what to do.

use seawall_base::watch::{Advice, Alternative, Blast, CauseKind, Incident, Period, Remedy, Signal};
use seawall_base::{Instant, RowId};
use seawall_catalog::incidents::THIS_INCIDENT;

/// What the monitor found, before it is told in words.
pub(crate) struct Found {
    pub cause: CauseKind,
    pub subject: String,
    pub source: Option<String>,
    pub column: Option<String>,
    pub slice: Option<String>,
    pub factor: Option<f64>,
    pub first_bad: Option<RowId>,
    pub first_bad_at: Instant,
    pub signal: Signal,
    pub excluded: Vec<Alternative>,
    pub blast: Blast,
    pub owner: Option<String>,
    /// What happened, in the words of the rule that was broken.
    pub told: Option<String>,
}

/// The key under which an incident of this cause is open.
pub(crate) fn key(cause: CauseKind, subject: &str, column: Option<&str>, slice: Option<&str>) -> String {
    format!("{}:{subject}:{}:{}", cause.as_str(), column.unwrap_or("*"), slice.unwrap_or("*"))
}

impl Found {
    /// Tells it.
    pub(super) fn incident(self, now: Instant) -> Incident {
        let mut blast = self.blast.clone();
        blast.owners.extend(self.owner.clone());
        blast.owners.sort();
        blast.owners.dedup();
        Incident {
            id: String::new(),
            key: key(self.cause, &self.subject, self.column.as_deref(), self.slice.as_deref()),
            summary: self.summary(),
            remedy: self.remedy(),
            cause: self.cause,
            subject: self.subject,
            source: self.source,
            column: self.column,
            slice: self.slice,
            factor: self.factor,
            first_bad: self.first_bad,
            first_bad_at: self.first_bad_at,
            opened_at: now,
            closed: None,
            evidence: vec![self.signal],
            excluded: self.excluded,
            blast,
        }
    }

    fn summary(&self) -> String {
        let column = self.column.as_deref().unwrap_or("rows");
        let source = self.source.as_deref().unwrap_or("its source");
        let within = self.slice.as_ref().map_or(String::new(), |slice| format!(" where {slice}"));
        let value = self.signal.value;
        if let Some(told) = &self.told {
            return told.clone();
        }
        match self.cause {
            CauseKind::Quality | CauseKind::ServiceLevel | CauseKind::Breaker => {
                format!("{} does not keep its contract", self.subject)
            }
            CauseKind::UnitChange => {
                let factor = self.factor.unwrap_or(1.0);
                format!("{source} sends {column} {factor} times as large as before{within}: another unit")
            }
            CauseKind::Quarantine => {
                format!("{:.0} % of the rows of {source} break a rule on {column}", value * 100.0)
            }
            CauseKind::Rejection => {
                format!("{:.0} % of the rows of {source} are rejected as whole batches", value * 100.0)
            }
            CauseKind::Freshness => {
                format!("{source} has sent nothing to {} for {:.1} h", self.subject, value / 3600.0)
            }
            CauseKind::Volume => format!("{source} sends {:.0} % of its usual rows", value * 100.0),
            CauseKind::ClockAhead => {
                format!("{:.0} % of the rows of {source} carry an event time ahead of their arrival", value * 100.0)
            }
            CauseKind::NullRate => {
                format!("{column} is missing in {:.0} % of the vectors of {}", value * 100.0, self.subject)
            }
            CauseKind::FeatureDrift => {
                format!("{column} is served otherwise than {} was trained on (PSI {value:.2})", self.subject)
            }
            CauseKind::Performance => {
                format!("{} ranks {value:.3} AUC worse than it claimed, on final labels", self.subject)
            }
            CauseKind::Damage => format!("{} is not what was written", self.subject),
        }
    }

    fn remedy(&self) -> Remedy {
        let (action, text, command) = match self.cause {
            CauseKind::UnitChange => (
                "correct",
                "divide the column by the factor after the source's map, until the producer is repaired",
                Some(format!("seawall incident remedy {THIS_INCIDENT} --run")),
            ),
            CauseKind::Quarantine => (
                "fix_source",
                "nothing wrong entered: tell the producer; the stopped rows are kept with their reasons",
                Some(format!("seawall quarantine list {}", self.subject)),
            ),
            CauseKind::Rejection => (
                "fix_source",
                "nothing of these batches was kept: the producer was told, and must send them again in a known shape",
                Some("seawall status".to_owned()),
            ),
            CauseKind::Freshness | CauseKind::Volume => (
                "wait",
                "look at the source; what it holds back enters with its own availability, and no value changes",
                Some("seawall status".to_owned()),
            ),
            CauseKind::ClockAhead => (
                "fix_source",
                "tell the producer whose clocks run ahead; such rows are not seen before their event time",
                Some(format!(
                    "seawall query \"select * from {} where _lsn >= {} limit 20\"",
                    self.subject,
                    self.first_bad.map_or(0, |row| row.offset.0)
                )),
            ),
            CauseKind::Quality => (
                "fix_source",
                "find the rows that offend and correct them at their producer, or correct the rule",
                Some(match &self.slice {
                    // Of a training set's own contract.
                    Some(_) => format!("seawall query 'select * from {}__stopped__training_set'", self.subject),
                    None => "seawall query \"select * from system.quality_results where mode = 'table'\"".to_owned(),
                }),
            ),
            CauseKind::ServiceLevel => (
                "fix_source",
                "tell whoever answers for the source that the contract's promise is broken",
                Some("seawall status".to_owned()),
            ),
            CauseKind::Breaker => (
                "fix_source",
                "nothing enters while the dataset is halted: look at what was refused, repair the producer, then resume",
                Some(format!("seawall quarantine resume {}", self.subject)),
            ),
            CauseKind::NullRate => (
                "fix_source",
                "find out why the entity or the column is unknown; the model does what it declares for missing values",
                Some(format!("seawall model show {}", self.subject)),
            ),
            CauseKind::Damage => {
                ("repair", "see what can be mended; stop the server to do it", Some("seawall repair".to_owned()))
            }
            CauseKind::FeatureDrift | CauseKind::Performance => (
                "retrain",
                "train on newer decisions; the retraining policy compares and proposes, people approve",
                Some(format!("seawall model decisions {}", self.subject)),
            ),
        };
        let retrain = match self.cause {
            CauseKind::FeatureDrift | CauseKind::Performance => Advice::Retrain,
            CauseKind::Freshness | CauseKind::Volume | CauseKind::Quarantine | CauseKind::Rejection => Advice::NoMatter,
            CauseKind::Quality | CauseKind::ServiceLevel | CauseKind::Breaker | CauseKind::Damage => Advice::NoMatter,
            CauseKind::UnitChange | CauseKind::ClockAhead | CauseKind::NullRate => Advice::DoNotRetrain,
        };
        Remedy { action: action.to_owned(), text: text.to_owned(), command, retrain }
    }
}

/// A measurement of a dataset over its newest window.
pub(super) fn signal(
    metric: &str,
    subject: &str,
    at: Instant,
    window: Period,
    (value, limit): (f64, f64),
    rows: u64,
) -> Signal {
    Signal {
        at,
        metric: metric.to_owned(),
        subject: subject.to_owned(),
        column: None,
        slice: None,
        value,
        interval: None,
        limit,
        breached: true,
        rows,
        window,
    }
}
