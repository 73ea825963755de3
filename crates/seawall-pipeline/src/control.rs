//! Control: one look of the monitor and the policies per tick of the pipeline's clock, driven or real.
//!
//! A tick is recorded when everything it did is; a process that dies in between does it again, and the catalog knows
//! what is there already.

use seawall_base::error::Result;
use seawall_base::{Instant, Span};
use seawall_catalog::policy::Action;
use serde_json::json;

use crate::dependency::breaker::State;
use crate::monitor::Monitor;
use crate::pipeline::Pipeline;
use crate::retrainer::Approver;

/// Name under which the catalog keeps how far control has come.
const POSITION: &str = "control";

/// State of control: what the monitor saw, and the last tick.
#[derive(Default)]
pub(crate) struct Control {
    pub(crate) monitor: Monitor,
    last: Option<Instant>,
}

impl Pipeline {
    /// Looks at everything as of `now`: datasets at every call, models at the first call of a day. A call that is not
    /// newer than the last one does nothing.
    pub async fn control(&self, now: Instant, approvers: &[Approver]) -> Result<()> {
        let mut control = self.control.lock().await;
        // First, because the rest may fail while something is away.
        self.audit_dependencies().await?;
        if control.last.is_none() {
            control.last = self.parts.catalog.control_position(POSITION).await?;
        }
        if control.last.is_some_and(|last| now <= last) {
            return Ok(());
        }
        let revision = self.revision();
        let Control { monitor, last } = &mut *control;
        self.watch_log(monitor, &revision, now).await?;
        // Another process may have promoted or rolled back.
        self.refresh_champions().await?;
        self.follow_champions(monitor, &revision).await?;
        self.look_at_datasets(monitor, &revision, now).await?;
        self.look_at_quality(monitor, &revision, now).await?;
        let is_new_day = last.is_none_or(|last| last.floor(Span::DAY) != now.floor(Span::DAY));
        if is_new_day {
            let views = self.look_at_models(monitor, &revision, now).await?;
            for (name, view) in &views {
                self.retrain_step(revision.model(name)?, view, now).await?;
            }
        }
        self.settle_proposals(approvers, now).await?;
        let permit = self.control_permit(Action::Administer, "control");
        self.parts.catalog.set_control_position(&permit, POSITION, now).await?;
        *last = Some(now);
        self.checkpoint_monitor_if_due(monitor).await;
        Ok(())
    }

    /// Puts into the audit ledger which dependencies went away or are back since the last call.
    pub(crate) async fn audit_dependencies(&self) -> Result<()> {
        while let Some(change) = self.dependencies.next_change() {
            let event = match change.to {
                State::Closed => "dependency_back",
                State::HalfOpen | State::Open => "dependency_away",
                State::ForcedOpen => "dependency_refused",
            };
            let permit = self.control_permit(Action::Administer, change.dependency);
            let detail =
                json!({"last_error": change.last_error, "away_ms": change.away_ms, "calls_refused": change.refused});
            if let Err(error) = self.parts.catalog.audit_dependency(&permit, event, detail).await {
                self.dependencies.put_back(change);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The last instant that control looked at.
    pub async fn control_position(&self) -> Result<Option<Instant>> {
        self.parts.catalog.control_position(POSITION).await
    }
}
