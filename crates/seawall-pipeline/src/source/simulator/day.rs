//! One simulated day: the payments made on it, how each is delivered, and which are charged back.
//!
//! A day is a function of the world and its number. Nothing carries over from one day to the next, so the simulator can
//! begin at any of them; what a day makes may be delivered days (late rows) or weeks (chargebacks) later.

use seawall_base::{Instant, Span};

use super::draw::{Draws, Purpose, unique};
use super::entities::{CATEGORIES, ELECTRONICS};
use super::fault::{Fault, HELD_SPEED, Window};
use super::fraud::Payer;
use super::truth::{Reason, Verdict};
use super::{AMOUNT_CENTS_MAX, World};

/// Days after which every payment made on a day is delivered: 24 h, 9 h of a slow fraud, 48 h late, and twice 9 h
/// stuck, where a fault that was injected ends within one of the period.
pub(super) const PAYMENT_REACH_DAYS: i64 = 5;
/// Days after which every chargeback of a payment made on a day is delivered.
pub(super) const CHARGEBACK_REACH_DAYS: i64 = 47;
/// Least time from a payment to its chargeback.
pub(super) const CHARGEBACK_AFTER_MIN: Span = Span(3 * Span::DAY.0);
/// Greatest time from a payment to its chargeback: within 45 days with room for the delivery.
pub(super) const CHARGEBACK_AFTER_MAX: Span = Span(45 * Span::DAY.0 - Span::HOUR.0);

/// Relative numbers of payments by weekday, Monday first; the mean is 1,000.
const WEEKDAYS: [i64; 7] = [920, 940, 970, 1_010, 1_150, 1_160, 850];
/// Honest payments per 1,000 payments; the others are frauds.
const HONEST_PERMILLE: u64 = 975;
/// Relative numbers of payments by hour, UTC. Enough of them at night that with 350 payments a day, five hours without
/// one do not happen by themselves.
pub(super) const HOURS: [u32; 24] =
    [12, 9, 8, 8, 8, 10, 14, 20, 30, 38, 42, 46, 52, 48, 42, 42, 46, 56, 62, 54, 40, 28, 20, 15];
/// Amount as permille of the median, at the quantiles 0/16, 1/16, ... 16/16: a long tail to the right.
const SPREAD: [u64; 17] =
    [60, 190, 290, 390, 490, 600, 720, 850, 1_000, 1_180, 1_390, 1_650, 2_000, 2_500, 3_300, 4_900, 9_000];

/// How a payment was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Pos,
    Web,
    App,
    /// Unknown to the contract.
    Kiosk,
}

/// A payment as a producer reports it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payment {
    /// While a day is made, the payment's place on it; then its id, drawn from that.
    pub(super) id: u64,
    /// The event time that is reported, wrong under clock skew.
    pub(super) requested_at: Instant,
    pub(super) card: u32,
    pub(super) card_known: bool,
    pub(super) merchant: u32,
    pub(super) device: u64,
    pub(super) channel: Channel,
    pub(super) amount_cents: u64,
    pub(super) schema_version: i64,
    pub(super) payer: Payer,
}

impl Default for Payment {
    /// What payments have in common before anything goes wrong.
    fn default() -> Self {
        Payment {
            id: 0,
            requested_at: Instant(0),
            card: 0,
            card_known: true,
            merchant: 0,
            device: 0,
            channel: Channel::Pos,
            amount_cents: 0,
            schema_version: 1,
            payer: Payer::Owner,
        }
    }
}

impl Payment {
    pub(super) fn is_fraud(&self) -> bool {
        self.payer != Payer::Owner
    }
}

/// One row on its way to Seawall.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery {
    pub(super) arrival: Instant,
    pub(super) payment: Payment,
    /// Whether the same payment id was delivered before.
    pub(super) again: bool,
    /// The window, by number, whose fault changed, delayed or added it.
    pub(super) struck_by: Option<usize>,
    pub(super) verdict: Verdict,
}

/// A chargeback on its way to Seawall.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chargeback {
    pub(super) arrival: Instant,
    pub(super) id: u64,
    pub(super) payment: u64,
    pub(super) reported_at: Instant,
    /// Place in [`REASONS`].
    pub(super) reason: u8,
}

/// Reasons of chargebacks.
pub(super) const REASONS: [&str; 4] = ["fraud", "unrecognised", "not_received", "defective"];

/// What a day makes.
#[derive(Debug, Default)]
pub(super) struct Day {
    /// Ordered by arrival, then payment id, then first delivery before second.
    pub(super) deliveries: Vec<Delivery>,
    /// Ordered by arrival, then chargeback id.
    pub(super) chargebacks: Vec<Chargeback>,
}

impl World {
    /// Makes day `day` of the period.
    pub(super) fn day(&self, day: u32) -> Day {
        let mut made = Vec::new();
        self.make_frauds(day, &mut made);
        for number in 0..self.honest_payments_on(day) {
            made.push(self.honest_payment(day, number));
        }
        let mut result = Day::default();
        result.deliveries.reserve(made.len() + made.len() / 8);
        for mut payment in made {
            payment.id = unique(self.options.seed, Purpose::PaymentId, payment.id);
            let requested_at = self.deliver(payment, &mut result.deliveries);
            result.chargebacks.extend(self.chargeback(payment, requested_at));
        }
        result.deliveries.sort_unstable_by_key(Delivery::order);
        result.chargebacks.sort_unstable_by_key(Chargeback::order);
        result
    }

    /// Midnight at the beginning of `day`.
    pub(super) fn midnight(&self, day: u32) -> Instant {
        self.options.start + Span(i64::from(day) * Span::DAY.0)
    }

    /// The number of honest payments on `day`: by weekday, with 5 % of noise. It does not depend on the frauds, so that
    /// a change of them leaves all other payments as they are.
    fn honest_payments_on(&self, day: u32) -> u64 {
        let since_epoch = self.midnight(day).0.div_euclid(Span::DAY.0);
        // 1970-01-01 was a Thursday.
        let weekday = (since_epoch + 3).rem_euclid(7) as usize;
        let noise = Draws::of(self.options.seed, Purpose::Day, u64::from(day)).between(950, 1_051);
        let mean = i64::from(self.options.payments_per_day);
        let all = (mean * WEEKDAYS[weekday] * noise / 1_000_000).max(1).unsigned_abs();
        (all * HONEST_PERMILLE).div_ceil(1_000)
    }

    pub(super) fn time_on(&self, draws: &mut Draws, day: u32, hours: &[u32; 24]) -> Instant {
        let hour = draws.weighted(hours) as i64;
        self.midnight(day) + Span(hour * Span::HOUR.0 + draws.between(0, Span::HOUR.0))
    }

    fn honest_payment(&self, day: u32, number: u64) -> Payment {
        let mut draws = Draws::of(self.options.seed, Purpose::Payment, index(day, number));
        let requested_at = self.time_on(&mut draws, day, &HOURS);
        let card = self.population.draw_card(&mut draws, day);
        let at_home = draws.chance(880);
        let home = at_home.then_some(self.population.cards[card as usize].home);
        let merchant = self.population.draw_merchant(&mut draws, day, home);
        // Customers slowly move online.
        let at_a_terminal = 640u64.saturating_sub(u64::from(day) / 3).max(300);
        let channel = if draws.chance(at_a_terminal) {
            Channel::Pos
        } else if draws.chance(550) {
            Channel::Web
        } else {
            Channel::App
        };
        let device = match channel {
            Channel::Pos | Channel::Kiosk => self.population.terminal(merchant, draws.below(3)),
            Channel::Web | Channel::App if draws.chance(960) => self.population.own_device(card),
            Channel::Web | Channel::App => self.population.new_device(index(day, number)),
        };
        let level = u64::from(self.population.cards[card as usize].level);
        let amount_cents = self.amount(&mut draws, day, merchant, level);
        let id = index(day, number);
        Payment { id, requested_at, card, merchant, device, channel, amount_cents, ..Payment::default() }
    }

    /// An amount in cents: the category's median, the spender's level (permille), prices that rise 0.05 % a day.
    pub(super) fn amount(&self, draws: &mut Draws, day: u32, merchant: u32, level_permille: u64) -> u64 {
        let category = usize::from(self.population.merchants[merchant as usize].category);
        let (step, rest) = (draws.below(16) as usize, draws.below(1_000));
        let spread = (SPREAD[step] * (1_000 - rest) + SPREAD[step + 1] * rest) / 1_000;
        (CATEGORIES[category].1 * spread / 1_000 * level_permille / 1_000 * prices(day) / 1_000_000).max(50)
    }

    /// An amount in cents that is near the median of the merchant's category.
    pub(super) fn modest_amount(&self, draws: &mut Draws, day: u32, merchant: u32) -> u64 {
        let category = usize::from(self.population.merchants[merchant as usize].category);
        let permille = draws.between(500, 1_600).unsigned_abs();
        (CATEGORIES[category].1 * permille / 1_000 * prices(day) / 1_000_000).max(50)
    }

    /// Adds the deliveries of a payment, with the fault that strikes it; returns the event time that is reported.
    fn deliver(&self, payment: Payment, deliveries: &mut Vec<Delivery>) -> Instant {
        let mut draws = Draws::of(self.options.seed, Purpose::Fault, payment.id);
        let lag = Span(draws.between(50_000, 3_000_000));
        let arrival = payment.requested_at + lag;
        let mut first = Delivery { arrival, payment, again: false, struck_by: None, verdict: Verdict::Accepted };
        let mut second = None;
        for (place, window) in self.windows.iter().enumerate() {
            if !window.contains(payment.requested_at) {
                continue;
            }
            match self.strike(&mut draws, window, first) {
                Strike::Missed => continue,
                Strike::Changed(changed) => first = Delivery { struck_by: Some(place), ..changed },
                Strike::Repeated(again) => second = Some(Delivery { struck_by: Some(place), again: true, ..again }),
            }
            break;
        }
        deliveries.push(self.held(first));
        deliveries.extend(second.map(|delivery| self.held(delivery)));
        first.payment.requested_at
    }

    /// What a fault makes of the delivery of a payment made inside of its window.
    fn strike(&self, draws: &mut Draws, window: &Window, due: Delivery) -> Strike {
        let mut struck = due;
        let merchant = due.payment.merchant;
        match window.fault {
            Fault::CentsInsteadOfEuros => {
                if self.population.merchants[merchant as usize].category != ELECTRONICS {
                    return Strike::Missed;
                }
                struck.payment.amount_cents *= 100;
                if struck.payment.amount_cents > AMOUNT_CENTS_MAX {
                    struck.verdict = Verdict::Quarantined(Reason::AmountMaximum);
                }
            }
            Fault::NullBurst if draws.chance(700) => {
                struck.payment.card_known = false;
                struck.verdict = Verdict::Quarantined(Reason::CardRequired);
            }
            Fault::LateRows if draws.chance(500) => {
                let least = Span::HOUR.0.min(window.late_max.0);
                struck.arrival = due.arrival + Span(draws.between(least, window.late_max.0));
            }
            Fault::Duplicates if draws.chance(400) => {
                struck.verdict = Verdict::Deduplicated;
                return Strike::Repeated(repeated(draws, struck));
            }
            Fault::KeyConflict if draws.chance(300) => {
                struck.payment.amount_cents += 100 + draws.below(900);
                struck.verdict = Verdict::Quarantined(Reason::KeyConflict);
                return Strike::Repeated(repeated(draws, struck));
            }
            Fault::EnumAdded if due.payment.channel == Channel::Pos && draws.chance(500) => {
                struck.payment.channel = Channel::Kiosk;
                struck.verdict = Verdict::Quarantined(Reason::ChannelEnum);
            }
            Fault::ClockSkew if merchant.is_multiple_of(3) => {
                let hours = 2 + i64::from(merchant % 5);
                struck.payment.requested_at = due.payment.requested_at + Span(hours * Span::HOUR.0);
            }
            Fault::MalformedBatch => {
                struck.payment.schema_version = 99;
                struck.verdict = Verdict::Rejected;
            }
            // A stuck source holds deliveries, whatever they carry: see `held`. A change of fraud makes other payments:
            // see `make_frauds`.
            Fault::NullBurst
            | Fault::LateRows
            | Fault::Duplicates
            | Fault::KeyConflict
            | Fault::EnumAdded
            | Fault::ClockSkew
            | Fault::StuckSource
            | Fault::FraudChange => return Strike::Missed,
        }
        Strike::Changed(struck)
    }

    /// A delivery due while the source is stuck comes after it has recovered, [`HELD_SPEED`] times as fast, in the same
    /// order.
    fn held(&self, delivery: Delivery) -> Delivery {
        let mut held = delivery;
        while let Some((place, window)) = self.stuck_at(held.arrival) {
            held.arrival = window.end + Span((held.arrival - window.start).0 / HELD_SPEED);
            held.struck_by = held.struck_by.or(Some(place));
        }
        // Malformed rows arrive at odd microseconds and others at even ones, so that the boundary between a malformed
        // batch and a good one never falls inside of a microsecond.
        let odd = i64::from(delivery.verdict == Verdict::Rejected);
        held.arrival = Instant((held.arrival.0 & !1) | odd);
        held
    }

    /// The window in which the source is stuck at `at`; the one that ends last, where there are two.
    fn stuck_at(&self, at: Instant) -> Option<(usize, &Window)> {
        let stuck = |(_, window): &(usize, &Window)| window.fault == Fault::StuckSource && window.contains(at);
        self.windows.iter().enumerate().filter(stuck).max_by_key(|(_, window)| window.end)
    }

    /// The chargeback of a payment: of nearly every fraud, and of a few payments that were honest.
    fn chargeback(&self, payment: Payment, requested_at: Instant) -> Option<Chargeback> {
        let mut draws = Draws::of(self.options.seed, Purpose::Chargeback, payment.id);
        let comes = if payment.is_fraud() { draws.chance(930) } else { draws.below(100_000) < 40 };
        if !comes {
            return None;
        }
        let latest = CHARGEBACK_AFTER_MAX.0 + 1;
        let one = draws.between(CHARGEBACK_AFTER_MIN.0, latest);
        let after = one.min(draws.between(CHARGEBACK_AFTER_MIN.0, latest));
        let reported_at = requested_at + Span(after);
        let reasons: [u32; 4] = if payment.is_fraud() { [80, 20, 0, 0] } else { [5, 15, 45, 35] };
        let reason = draws.weighted(&reasons) as u8;
        let arrival = reported_at + Span(draws.between(50_000, 3_000_000));
        let id = unique(self.options.seed, Purpose::ChargebackId, payment.id);
        Some(Chargeback { arrival, id, payment: payment.id, reported_at, reason })
    }
}

/// What a fault makes of a delivery.
enum Strike {
    /// Nothing.
    Missed,
    /// Another delivery in its place.
    Changed(Delivery),
    /// A second delivery after it.
    Repeated(Delivery),
}

/// The delivery once more, up to ten minutes later.
fn repeated(draws: &mut Draws, delivery: Delivery) -> Delivery {
    let later = Span(draws.between(Span::SECOND.0, 10 * Span::MINUTE.0));
    Delivery { arrival: delivery.arrival + later, ..delivery }
}

impl Delivery {
    pub(super) fn order(&self) -> (Instant, u64, bool) {
        (self.arrival, self.payment.id, self.again)
    }
}

impl Chargeback {
    pub(super) fn order(&self) -> (Instant, u64) {
        (self.arrival, self.id)
    }
}

/// A number for place `number` of `day`, different for every pair.
pub(super) fn index(day: u32, number: u64) -> u64 {
    (u64::from(day) << 32) | number
}

/// Prices on `day`, in millionths of those on the first: they rise by 0.05 % a day.
fn prices(day: u32) -> u64 {
    1_000_000 + 500 * u64::from(day)
}
