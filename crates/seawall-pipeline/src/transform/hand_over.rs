//! Rows of a transform on their way through the gate of its dataset into the log.

use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind};
use seawall_catalog::Counts;
use seawall_catalog::policy::Action;
use seawall_kernel::contract::{Input as Cells, Reason};

use super::compiled::Compiled;
use super::progress::Step;
use crate::frame::{Frame, FrameSeal, Header};
use crate::gate::{self, Incoming};
use crate::pipeline::Pipeline;

impl Pipeline {
    /// Hands rows to the gate; returns what became of them once the log has them. A batch that the contract refuses as a
    /// whole is not kept, and nothing is noted of it.
    pub(super) async fn hand_over(&self, transform: &Compiled, incoming: Incoming) -> Result<Counts> {
        let Compiled { source, dataset, .. } = transform;
        let name = &dataset.dataset.name;
        let permit = self.control_permit(Action::Ingest, name);
        let now = self.parts.clock.now();
        let checked = gate::check_request(source, dataset, &self.parts.keys, &incoming, now).await?;
        if let Some(reasons) = &checked.rejected {
            return Err(refused(name, reasons));
        }
        let mut order = self.order.clone().lock_owned().await;
        let admitted = order.admit(source, dataset, &permit, checked, &incoming, now)?;
        let gate::Admitted { header, payload, rows, refusal, .. } = admitted;
        let append = gate::hand_over(&self.parts.log, &header, payload, rows, order).await?;
        append.durable().await?;
        refusal.map_or(Ok(header.counts), Err)
    }

    /// Appends the last frame of a run, which has no rows.
    pub(super) async fn conclude(&self, transform: &Compiled, step: Step) -> Result<()> {
        let name = &transform.dataset.dataset.name;
        let permit = self.control_permit(Action::Ingest, name);
        let header = Header {
            derived: Some(step),
            ..Header::new(name, &transform.source.source.name, &permit, Counts::default())
        };
        let frame = Frame { header, accepted: None, quarantined: None };
        let mut order = self.order.clone().lock_owned().await;
        order.check_in_step()?;
        order.note(&frame);
        gate::append_in_order(&self.parts.log, &frame, &FrameSeal::default(), order).await?.durable().await?;
        Ok(())
    }
}

/// Rows of a transform, with the types that its SQL gave them.
pub(super) fn typed(rows: arrow::array::RecordBatch) -> Incoming {
    Incoming { mapped: true, ..Incoming::new(rows, Cells::Typed) }
}

fn refused(dataset: &str, reasons: &[Reason]) -> Error {
    let first = reasons.first().map(|reason| reason.message.clone()).unwrap_or_default();
    let message = format!("the contract of {dataset} refuses a batch of the result: {first}");
    Error::new(ErrorKind::Invalid, "SW1911", message)
        .hint("nothing of the batch was kept; repair the SQL, or let the rule quarantine the rows that break it")
}
