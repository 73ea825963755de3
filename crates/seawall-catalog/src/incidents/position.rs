//! How far a control loop has come, so that a restart goes on where it stopped.

use seawall_base::{Instant, Permit, Result};

use crate::catalog::Catalog;
use crate::database::{DuringResult, Fields};
use crate::policy::{Action, expect_action};

impl Catalog {
    /// The instant of the last step that control loop `name` has finished; none before the first.
    pub async fn control_position(&self, name: &str) -> Result<Option<Instant>> {
        let mut reader = self.read().await?;
        let row = sqlx::query("SELECT at FROM control_position WHERE name = $1")
            .bind(name)
            .fetch_optional(&mut *reader)
            .await
            .during("reading a control position")?;
        row.map(|row| row.instant("at")).transpose()
    }

    /// Records that control loop `name` has finished its step at `at`. Positions only move forward: an older one
    /// changes nothing.
    ///
    /// A position decides nothing by itself and moves with every step, so like the counts of frames it has no audit
    /// entry of its own; what a step does has. Needs a permit for `manage_incidents`, `train_model`, `promote_model` or
    /// `administer`.
    pub async fn set_control_position(&self, permit: &Permit, name: &str, at: Instant) -> Result<()> {
        let allowed = [Action::ManageIncidents, Action::TrainModel, Action::PromoteModel, Action::Administer];
        expect_action(permit, &allowed)?;
        let mut write = self.begin().await?;
        sqlx::query(
            "INSERT INTO control_position (name, at, permit) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET at = excluded.at, permit = excluded.permit
             WHERE excluded.at > control_position.at",
        )
        .bind(name)
        .bind(at.0)
        .bind(permit.id())
        .execute(write.connection())
        .await
        .during("recording a control position")?;
        write.commit().await
    }
}
