//! A world that goes on after its period, without an end, and in which faults can be injected.

use seawall_base::Instant;
use seawall_base::error::Result;

use super::day::PAYMENT_REACH_DAYS;
use super::fault::{Fault, Window};
use super::truth::FaultTruth;
use super::{Delivered, Options, Stream, World};

/// Days from the beginning of the period for which a live world can be asked: a hundred years.
const DAYS_MAX: u32 = 36_500;

/// The world of [`World::new`] that does not end with its period.
///
/// During the period it delivers what [`World`] delivers. Afterwards the same people go on paying, customers and
/// merchants go on coming, and fraudsters who have changed their ways do not change back.
#[derive(Debug)]
pub struct Live {
    world: World,
    period_end: Instant,
}

impl Live {
    /// The world of `options`, and what comes after it. Fails when they are out of bounds.
    pub fn new(options: Options) -> Result<Self> {
        let mut world = World::new(options)?;
        let period_end = world.end();
        world.days = DAYS_MAX;
        for window in world.windows.iter_mut().filter(|window| window.fault == Fault::FraudChange) {
            window.end = Instant::MAX;
        }
        Ok(Live { world, period_end })
    }

    /// First instant of the period.
    pub fn start(&self) -> Instant {
        self.world.start()
    }

    /// End of the period that [`World`] would deliver. No fault is injected from then on but by [`Live::inject`].
    pub fn period_end(&self) -> Instant {
        self.period_end
    }

    /// The rows of `stream` that arrive at `from <= t < to`, as [`World::batch_between`] gives them. Every day up to `to`
    /// that is not kept is made, so that `to` should not be far in the future.
    pub fn batch_between(&mut self, stream: Stream, from: Instant, to: Instant) -> Vec<Delivered> {
        self.people_come(to);
        self.world.batch_between(stream, from, to)
    }

    /// Injects a fault: it strikes from `at` on as long as it usually does, a change of fraud for good. Deliveries
    /// before `at` stay as they are; those from then on are other ones, so that `at` must not be before what was already
    /// asked for. A fault that is still striking at `at` is not doubled: its window is returned.
    pub fn inject(&mut self, fault: Fault, at: Instant) -> Window {
        let at = at.max(self.start());
        let striking = |window: &&Window| window.fault == fault && window.start <= at && at < window.over();
        if fault != Fault::FraudChange
            && let Some(striking) = self.world.windows.iter().find(striking)
        {
            return *striking;
        }
        let window = Window::from(fault, at);
        self.world.windows.push(window);
        let day = |at| self.world.days_behind(at, Instant(at.0 + 1), PAYMENT_REACH_DAYS).start;
        let first_affected = day(at);
        self.world.payments.split_off(&first_affected);
        self.world.chargebacks.split_off(&first_affected);
        window
    }

    /// The faults of the period and those that were injected, in this order.
    pub fn windows(&self) -> &[Window] {
        &self.world.windows
    }

    /// The truth about a window of [`Live::inject`] or [`Live::windows`], from what is delivered before `until`; no rows
    /// for a window of another world. A change of fraud ends, in what is told, at `until`.
    pub fn truth(&mut self, window: &Window, until: Instant) -> FaultTruth {
        self.people_come(until);
        let Some(number) = self.world.windows.iter().position(|known| known == window) else {
            return window.truth(0);
        };
        let truth = self.world.window_truth(number, until);
        FaultTruth { end: if truth.end == Instant::MAX { until.max(truth.start) } else { truth.end }, ..truth }
    }

    /// Lets everybody in who comes before `to`.
    fn people_come(&mut self, to: Instant) {
        let days = self.world.days_behind(self.start(), to.max(Instant(self.start().0 + 1)), 0).end;
        self.world.population.grow(days);
    }
}
