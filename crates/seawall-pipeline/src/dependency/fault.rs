//! Fault points: named places where a test or a drill makes a dependency fail.
//!
//! Every operation of a dependency is one. A fault is in memory only, has an end, and is gone after a restart. Without
//! any, a point costs one load of a flag.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Instant, Span};

use super::timer::Timer;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and an error is told.
    Error,
    /// It is done, and an error is told all the same: the answer was lost.
    ErrorAfter,
    /// It is done after a while.
    Latency(Span),
    /// Nothing is done, and no answer comes.
    Hang,
    /// It is done, and no answer comes.
    HangAfter,
}

/// A fault at some operations, until an instant of the dependency's timer.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The operation, or any.
    pub operation: Option<&'static str>,
    /// What goes wrong.
    pub fault: Fault,
    /// When it ends.
    pub until: Instant,
}

/// The fault points of one dependency.
#[derive(Debug, Default)]
pub struct Points {
    armed: AtomicBool,
    plan: Mutex<Option<Plan>>,
}

impl Points {
    /// Makes calls fail as planned, in place of an earlier plan.
    pub fn arm(&self, plan: Plan) {
        *self.plan.lock() = Some(plan);
        self.armed.store(true, Ordering::Release);
    }

    /// Ends the plan.
    pub fn disarm(&self) {
        self.armed.store(false, Ordering::Release);
        *self.plan.lock() = None;
    }

    fn strikes(&self, operation: &'static str, now: Instant) -> Option<Fault> {
        if !self.armed.load(Ordering::Acquire) {
            return None;
        }
        let plan = self.plan.lock();
        let plan = plan.as_ref().filter(|plan| now < plan.until)?;
        plan.operation.is_none_or(|planned| planned == operation).then_some(plan.fault)
    }

    /// Makes a call, or lets it fail as planned.
    pub(super) async fn around<T>(
        &self,
        operation: &'static str,
        timer: &dyn Timer,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Some(fault) = self.strikes(operation, timer.now()) else { return call.await };
        let injected = || Error::new(ErrorKind::Unavailable, "SW1305", format!("a fault was injected at {operation}"));
        match fault {
            Fault::Error => Err(injected()),
            Fault::ErrorAfter => call.await.and_then(|_| Err(injected())),
            Fault::Latency(span) => {
                timer.wait_until(timer.now() + span).await;
                call.await
            }
            Fault::Hang => std::future::pending().await,
            Fault::HangAfter => {
                call.await?;
                std::future::pending().await
            }
        }
    }
}
