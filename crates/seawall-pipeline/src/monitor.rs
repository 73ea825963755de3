//! The monitor: reads the log, watches what comes in, what is served and how good models are, and keeps one incident
//! open per cause.
//!
//! Its state is a sum over the log, which is written down from time to time: a restart goes on from there. It is looked at once per
//! [`TICK`] of the pipeline's clock, driven or real; what it finds goes to the catalog, which knows a cause that is open
//! already. No detector reads anything but the log and the registry.

pub(crate) mod checkpoint;
mod dataset;
pub(crate) mod drafts;
mod hours;
mod performance;
mod reach;
mod recent;
mod served;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seawall_base::error::Result;
use seawall_base::watch::{Alternative, CauseKind, Closed, Incident, Period, Signal};
use seawall_base::{Instant, LogEntry, Span};
use seawall_catalog::policy::Action;
use seawall_kernel::retrain::decide::{ChampionState, Measured, performance_signal};

use crate::frame::Frame;
use crate::pipeline::Pipeline;
use crate::quality::QualityWatch;
use crate::recovery::arrival;
use crate::revision::{DeclaredModel, Revision};
pub(crate) use drafts::{Found, key};
use hours::{DatasetWatch, newest_arrival};
use performance::PerformanceWatch;
use served::ServedWatch;

pub(crate) use performance::positives;
pub(crate) use served::{baseline, read_baseline};

/// How often the monitor looks.
pub const TICK: Span = Span(Span::HOUR.0);
/// PSI of a served input that is told when the model declares no trigger.
const PSI_DEFAULT: f64 = 0.25;
/// Entries read from the log at once.
const ENTRIES_PER_READ: usize = 256;

/// What is watched.
#[derive(Default)]
pub(crate) struct Monitor {
    next_entry: u64,
    datasets: BTreeMap<String, DatasetWatch>,
    served: BTreeMap<String, ServedWatch>,
    performance: BTreeMap<String, PerformanceWatch>,
    /// Models whose performance is up to `next_entry`.
    models: BTreeSet<String>,
    pub(crate) quality: QualityWatch,
    /// When it was written down, or began.
    written: Option<checkpoint::Written>,
}

/// What the monitor knows of a model: the input of the retraining policy.
#[derive(Debug, Clone, Default)]
pub(crate) struct ModelView {
    pub performance: Option<Measured>,
    pub drift: Vec<Signal>,
    pub data_incidents: Vec<String>,
    /// Decisions whose outcome is final, about.
    pub labelled_rows: u64,
}

impl Pipeline {
    /// Reads the log up to its end.
    pub(crate) async fn watch_log(&self, monitor: &mut Monitor, revision: &Revision, now: Instant) -> Result<()> {
        self.load_monitor(monitor).await?;
        for model in revision.models.values() {
            self.meet_model(monitor, model).await?;
        }
        loop {
            let entries = self.parts.log.read(monitor.next_entry, ENTRIES_PER_READ).await?;
            if entries.is_empty() {
                return Ok(());
            }
            for entry in &entries {
                self.watch_entry(monitor, revision, entry, now).await?;
                monitor.next_entry += 1;
            }
            // Nothing here waits while the log is in memory: requests get their turn in between.
            tokio::task::yield_now().await;
        }
    }

    /// Adds up what the log says of a model that was not watched before.
    async fn meet_model(&self, monitor: &mut Monitor, model: &Arc<DeclaredModel>) -> Result<()> {
        if !monitor.models.insert(model.model.name.clone()) {
            return Ok(());
        }
        let mut watch = PerformanceWatch::default();
        let mut next = self.parts.log.extent().first_entry;
        while next < monitor.next_entry {
            let wanted = ENTRIES_PER_READ.min((monitor.next_entry - next) as usize);
            let entries = self.parts.log.read(next, wanted).await?;
            for entry in &entries {
                let header = Frame::decode_header(&entry.payload)?;
                if watch.concerns(model, &header.dataset) {
                    watch.fold(model, &Frame::decode(&entry.payload)?, entry).await?;
                }
            }
            next += entries.len() as u64;
        }
        monitor.performance.insert(model.model.name.clone(), watch);
        Ok(())
    }

    async fn watch_entry(
        &self,
        monitor: &mut Monitor,
        revision: &Revision,
        entry: &LogEntry,
        now: Instant,
    ) -> Result<()> {
        let frame = Frame::decode(&entry.payload)?;
        let name = frame.header.dataset.as_str();
        if let Some(dataset) = revision.datasets.get(name) {
            monitor.quality.fold(&frame, newest_arrival(&frame)?.unwrap_or(now));
            let watch = monitor.datasets.entry(name.to_owned()).or_default();
            let rules = revision.monitors.get(name).expect("every dataset has a monitor");
            watch.fold(&frame, entry.first, &dataset.dataset, rules, now)?;
        }
        for model in revision.models.values() {
            self.watch_model(monitor, model, &frame, entry).await?;
        }
        Ok(())
    }

    async fn watch_model(
        &self,
        monitor: &mut Monitor,
        model: &Arc<DeclaredModel>,
        frame: &Frame,
        entry: &LogEntry,
    ) -> Result<()> {
        let (name, dataset) = (&model.model.name, frame.header.dataset.as_str());
        if dataset == model.set.served_table.as_str()
            && let (Some(watch), Some(rows)) = (monitor.served.get_mut(name), &frame.accepted)
        {
            watch.fold(rows)?;
        }
        let watch = monitor.performance.entry(name.clone()).or_default();
        watch.fold(model, frame, entry).await
    }

    /// Begins to compare what is served with the baseline of the champion that is there now.
    pub(crate) async fn follow_champions(&self, monitor: &mut Monitor, revision: &Revision) -> Result<()> {
        for model in revision.models.values() {
            let name = &model.model.name;
            let aliases = self.parts.catalog.aliases(name).await?;
            let (Some(version), Some(since)) = (aliases.champion, aliases.champion_since) else {
                monitor.served.remove(name);
                continue;
            };
            if monitor.served.get(name).is_some_and(|watch| watch.served().version == version) {
                continue;
            }
            let kept = self.parts.catalog.model_version(name, version).await?;
            // Vectors of before the log begins are not known: what is drifting is told from whole weeks.
            let known_since = since.max(arrival::oldest(self.parts.log.as_ref()).await?);
            let mut watch = ServedWatch::new(version, known_since, read_baseline(&kept.baseline)?);
            self.read_served(&mut watch, model, monitor.next_entry).await?;
            monitor.served.insert(name.clone(), watch);
        }
        Ok(())
    }

    /// What was served since the champion came, when this process began to watch later.
    async fn read_served(&self, watch: &mut ServedWatch, model: &DeclaredModel, until: u64) -> Result<()> {
        let mut next = arrival::first_entry_since(self.parts.log.as_ref(), watch.counts_from()).await?;
        while next < until {
            let wanted = ENTRIES_PER_READ.min((until - next) as usize);
            let entries = self.parts.log.read(next, wanted).await?;
            for entry in &entries {
                if Frame::decode_header(&entry.payload)?.dataset != model.set.served_table.as_str() {
                    continue;
                }
                if let Some(rows) = &Frame::decode(&entry.payload)?.accepted {
                    watch.fold(rows)?;
                }
            }
            next += entries.len() as u64;
            if entries.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Looks at every dataset; opens, updates and closes incidents.
    pub(crate) async fn look_at_datasets(
        &self,
        monitor: &mut Monitor,
        revision: &Revision,
        now: Instant,
    ) -> Result<()> {
        let incidents = self.parts.catalog.incidents(false).await?;
        for (name, watch) in &mut monitor.datasets {
            let Some(rules) = revision.monitors.get(name) else { continue };
            let of_dataset = || incidents.iter().filter(|incident| incident.subject == *name);
            let open: Vec<Incident> = of_dataset().filter(|incident| incident.closed.is_none()).cloned().collect();
            let faults: Vec<Period> = of_dataset().filter(|i| i.cause.is_data_fault()).map(|i| fault(i, now)).collect();
            let look = dataset::Look { revision, dataset: name, monitor: rules, now, open: &open, faults: &faults };
            let verdict = look.at(watch);
            for found in verdict.found {
                self.tell(found, now).await?;
            }
            for (key, reason) in verdict.over {
                self.close_by_key(&open, &key, &reason, now).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn tell(&self, found: Found, now: Instant) -> Result<()> {
        let permit = self.control_permit(Action::ManageIncidents, &found.subject);
        self.parts.catalog.record_signals(&permit, std::slice::from_ref(&found.signal)).await?;
        let (incident, is_new) = self.parts.catalog.open_incident(&permit, &found.incident(now)).await?;
        if is_new {
            tracing::warn!(incident = %incident.id, cause = incident.cause.as_str(), "{}", incident.summary);
        }
        Ok(())
    }

    pub(crate) async fn close_by_key(&self, open: &[Incident], key: &str, reason: &str, now: Instant) -> Result<()> {
        for incident in open.iter().filter(|incident| incident.key == key) {
            let permit = self.control_permit(Action::ManageIncidents, &incident.subject);
            let closed =
                Closed { at: now, by: seawall_catalog::policy::SYSTEM_PRINCIPAL.into(), reason: reason.into() };
            self.parts.catalog.close_incident(&permit, &incident.id, closed).await?;
            tracing::info!(incident = %incident.id, reason, "incident closed");
        }
        Ok(())
    }

    /// Measures every champion: drift of what is served, performance on final labels. Once a day.
    pub(crate) async fn look_at_models(
        &self,
        monitor: &mut Monitor,
        revision: &Revision,
        now: Instant,
    ) -> Result<BTreeMap<String, ModelView>> {
        let incidents = self.parts.catalog.incidents(true).await?;
        let mut views = BTreeMap::new();
        for model in revision.models.values() {
            let name = &model.model.name;
            let mut view = ModelView {
                data_incidents: incidents
                    .iter()
                    .filter(|incident| incident.cause.is_data_fault() && incident.blast.models.contains(name))
                    .filter(|incident| incident.remedy.retrain == seawall_base::watch::Advice::DoNotRetrain)
                    .map(|incident| incident.id.clone())
                    .collect(),
                labelled_rows: monitor.performance.get(name).map_or(0, |watch| watch.labelled(model, now)),
                ..ModelView::default()
            };
            if let Some(champion) = self.champion_state(model).await? {
                self.measure(monitor, model, &champion, now, &incidents, &mut view).await?;
            }
            if let Some(watch) = monitor.performance.get_mut(name) {
                watch.forget(model, now);
            }
            views.insert(name.clone(), view);
        }
        Ok(views)
    }

    async fn measure(
        &self,
        monitor: &Monitor,
        model: &DeclaredModel,
        champion: &ChampionState,
        now: Instant,
        open: &[Incident],
        view: &mut ModelView,
    ) -> Result<()> {
        let name = &model.model.name;
        let permit = self.control_permit(Action::ManageIncidents, name);
        let policy = model.model.retrain.as_ref();
        let psi_max = policy.and_then(|policy| policy.triggers.psi).unwrap_or(PSI_DEFAULT);
        let drift = monitor.served.get(name).map(|watch| watch.signals(name, now, psi_max)).unwrap_or_default();
        self.parts.catalog.record_signals(&permit, &drift).await?;
        let excused = !view.data_incidents.is_empty();
        for (metric, cause) in [("psi", CauseKind::FeatureDrift), ("null_rate", CauseKind::NullRate)] {
            for signal in drift.iter().filter(|signal| signal.metric == metric) {
                let key = key(cause, name, signal.column.as_deref(), None);
                // Drift by itself is a signal; it is an incident where the policy acts on it.
                let acts = metric != "psi" || policy.is_some_and(|policy| policy.triggers.psi.is_some());
                if signal.breached && !excused && acts {
                    self.tell(self.found_in_model(model, cause, signal, signal.window.from, &view.data_incidents), now)
                        .await?;
                } else if !signal.breached {
                    self.close_by_key(open, &key, "what is served is as it was trained on", now).await?;
                }
            }
        }
        view.drift = drift.into_iter().filter(|signal| signal.metric == "psi").collect();

        let Some(policy) = policy else { return Ok(()) };
        let watch = monitor.performance.get(name);
        view.performance = watch.and_then(|watch| watch.measured(model, champion.version, now, policy.evaluate));
        if let Some(measured) = &view.performance
            && let Some(signal) = performance_signal(policy, name, champion, measured, now)
        {
            self.parts.catalog.record_signals(&permit, std::slice::from_ref(&signal)).await?;
            if signal.breached {
                let found = self.found_in_model(
                    model,
                    CauseKind::Performance,
                    &signal,
                    measured.window.from,
                    &view.data_incidents,
                );
                self.tell(found, now).await?;
            }
        }
        Ok(())
    }

    fn found_in_model(
        &self,
        model: &DeclaredModel,
        cause: CauseKind,
        signal: &Signal,
        since: Instant,
        data_incidents: &[String],
    ) -> Found {
        let name = model.model.name.clone();
        let mut blast = seawall_base::watch::Blast {
            training_sets: vec![model.model.training_set.clone()],
            models: vec![name.clone()],
            owners: model.model.owner.iter().cloned().collect(),
            ..Default::default()
        };
        blast.features.extend(signal.column.clone());
        Found {
            cause,
            subject: name,
            source: None,
            column: signal.column.clone(),
            slice: None,
            factor: None,
            first_bad: None,
            first_bad_at: since,
            signal: signal.clone(),
            excluded: not_the_data(cause, data_incidents),
            blast,
            owner: model.model.owner.clone(),
            told: None,
        }
    }

    /// What the policy needs to know of a champion.
    pub(crate) async fn champion_state(&self, model: &DeclaredModel) -> Result<Option<ChampionState>> {
        let name = &model.model.name;
        let aliases = self.parts.catalog.aliases(name).await?;
        let (Some(version), Some(promoted_at)) = (aliases.champion, aliases.champion_since) else { return Ok(None) };
        let kept = self.parts.catalog.model_version(name, version).await?;
        let decisions = self.parts.catalog.decisions(Some(name)).await?;
        let is_settled = decisions.iter().any(|decision| {
            use seawall_base::watch::DecisionKind;
            let settles = matches!(decision.kind, DecisionKind::Confirm | DecisionKind::RollBack);
            settles && decision.at >= promoted_at && decision.version == Some(version)
        });
        let probation = model.model.retrain.as_ref().map(|policy| policy.probation).filter(|span| *span > Span::ZERO);
        Ok(Some(ChampionState {
            version,
            promoted_at,
            claimed: kept.evaluation.clone(),
            probation_until: probation.filter(|_| !is_settled).map(|span| promoted_at + span),
            former: aliases.former,
        }))
    }

    /// Closes the incidents of a model that a promotion answers.
    pub(crate) async fn close_answered(&self, model: &str, version: u32, now: Instant) -> Result<()> {
        for incident in self.parts.catalog.incidents(true).await? {
            let answered = matches!(incident.cause, CauseKind::Performance | CauseKind::FeatureDrift);
            if answered && incident.subject == model {
                let reason = format!("version {version}, which is better on the same decisions, was promoted");
                self.close_by_key(std::slice::from_ref(&incident), &incident.key, &reason, now).await?;
            }
        }
        Ok(())
    }
}

/// Something about a dataset that its contract does not allow, before more is known of it.
pub(crate) fn found(revision: &Revision, dataset: &str, cause: CauseKind, now: Instant, metric: &str) -> Found {
    let window = Period { from: now - TICK, to: now };
    Found {
        cause,
        subject: dataset.to_owned(),
        source: None,
        column: None,
        slice: None,
        factor: None,
        first_bad: None,
        first_bad_at: now,
        signal: drafts::signal(metric, dataset, now, window, (1.0, 0.0), 0),
        excluded: Vec::new(),
        blast: reach::reach(revision, dataset, None),
        owner: revision.monitors.get(dataset).and_then(|monitor| monitor.owner.clone()),
        told: None,
    }
}

/// The period of a data fault; an open one lasts until now.
pub(crate) fn fault(incident: &Incident, now: Instant) -> Period {
    let to = incident.closed.as_ref().map_or(now, |closed| closed.at.min(now));
    Period { from: incident.first_bad_at, to: to.max(incident.first_bad_at + Span(1)) }
}

/// What else a model's incident could be, and is not.
fn not_the_data(cause: CauseKind, data_incidents: &[String]) -> Vec<Alternative> {
    if !matches!(cause, CauseKind::Performance | CauseKind::FeatureDrift) {
        return Vec::new();
    }
    let alternative = |what: &str, why: &str| Alternative { what: what.into(), why: why.into() };
    let diverged =
        alternative("training and serving diverge", "both run the same core; `seawall verify skew` proves it");
    if !data_incidents.is_empty() {
        return vec![diverged];
    }
    vec![alternative("the data is wrong", "no incident about the data that it reads is open"), diverged]
}
