//! One simulated day: the payments made on it, how each is delivered, and which are charged back.
//!
//! A day is a function of the world and its number. Nothing carries over from one day to the next, so the simulator can
//! begin at any of them; what a day makes may be delivered days (late rows) or weeks (chargebacks) later.

use seawall_base::{Instant, Span};

use super::draw::{Draws, Purpose, unique};
use super::entities::{CATEGORIES, COUNTRIES, ELECTRONICS};
use super::fault::{Fault, Window};
use super::truth::{Reason, Verdict};
use super::{AMOUNT_CENTS_MAX, World};

/// Days after which every payment made on a day is delivered: 24 h, 9 h of a slow fraud, 48 h late, 9 h stuck.
pub(super) const PAYMENT_REACH_DAYS: i64 = 4;
/// Days after which every chargeback of a payment made on a day is delivered.
pub(super) const CHARGEBACK_REACH_DAYS: i64 = 47;
/// Least time from a payment to its chargeback.
pub(super) const CHARGEBACK_AFTER_MIN: Span = Span(3 * Span::DAY.0);
/// Greatest time from a payment to its chargeback: within 45 days with room for the delivery.
pub(super) const CHARGEBACK_AFTER_MAX: Span = Span(45 * Span::DAY.0 - Span::HOUR.0);

/// Relative numbers of payments by weekday, Monday first; the mean is 1,000.
const WEEKDAYS: [i64; 7] = [920, 940, 970, 1_010, 1_150, 1_160, 850];
/// Relative numbers of payments by hour, UTC.
const HOURS: [u32; 24] = [3, 2, 1, 1, 1, 2, 6, 15, 30, 38, 42, 46, 52, 48, 42, 42, 46, 56, 62, 54, 40, 26, 14, 6];
/// Relative numbers of frauds by hour, UTC.
const FRAUD_HOURS: [u32; 24] =
    [90, 95, 95, 85, 70, 45, 20, 10, 8, 8, 10, 10, 12, 12, 12, 12, 12, 14, 16, 18, 22, 30, 45, 70];
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
    pub(super) fraud: bool,
}

/// One row on its way to Seawall.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery {
    pub(super) arrival: Instant,
    pub(super) payment: Payment,
    /// Whether the same payment id was delivered before.
    pub(super) again: bool,
    pub(super) fault: Option<Fault>,
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
        let frauds = made.len() as u64;
        for number in 0..self.payments_on(day).saturating_sub(frauds) {
            made.push(self.honest_payment(day, number));
        }
        let mut result = Day::default();
        result.deliveries.reserve(made.len() + made.len() / 8);
        for (number, mut payment) in made.into_iter().enumerate() {
            payment.id = unique(self.options.seed, Purpose::PaymentId, index(day, number as u64));
            let requested_at = self.deliver(payment, &mut result.deliveries);
            result.chargebacks.extend(self.chargeback(payment, requested_at));
        }
        result.deliveries.sort_unstable_by_key(Delivery::order);
        result.chargebacks.sort_unstable_by_key(Chargeback::order);
        result
    }

    /// Midnight at the beginning of `day`.
    fn midnight(&self, day: u32) -> Instant {
        self.options.start + Span(i64::from(day) * Span::DAY.0)
    }

    /// The number of payments on `day`: by weekday, with 5 % of noise.
    fn payments_on(&self, day: u32) -> u64 {
        let since_epoch = self.midnight(day).0.div_euclid(Span::DAY.0);
        // 1970-01-01 was a Thursday.
        let weekday = (since_epoch + 3).rem_euclid(7) as usize;
        let noise = Draws::of(self.options.seed, Purpose::Day, u64::from(day)).between(950, 1_051);
        let mean = i64::from(self.options.payments_per_day);
        (mean * WEEKDAYS[weekday] * noise / 1_000_000).max(1).unsigned_abs()
    }

    fn time_on(&self, draws: &mut Draws, day: u32, hours: &[u32; 24]) -> Instant {
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
        // Customers grow older and buy more online.
        let at_a_terminal = 640u64.saturating_sub(u64::from(day) * 3 / 2).max(300);
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
        Payment {
            id: 0,
            requested_at,
            card,
            card_known: true,
            merchant,
            device,
            channel,
            amount_cents,
            schema_version: 1,
            fraud: false,
        }
    }

    /// An amount in cents: the category's median, the spender's level (permille), prices that rise 0.08 % a day.
    fn amount(&self, draws: &mut Draws, day: u32, merchant: u32, level_permille: u64) -> u64 {
        let category = usize::from(self.population.merchants[merchant as usize].category);
        let (step, rest) = (draws.below(16) as usize, draws.below(1_000));
        let spread = (SPREAD[step] * (1_000 - rest) + SPREAD[step + 1] * rest) / 1_000;
        let prices = 1_000_000 + 800 * u64::from(day);
        (CATEGORIES[category].1 * spread / 1_000 * level_permille / 1_000 * prices / 1_000_000).max(50)
    }

    /// Frauds come in episodes: a stolen card is used several times, or once.
    fn make_frauds(&self, day: u32, made: &mut Vec<Payment>) {
        let thousandths = u64::from(self.options.payments_per_day) * 3;
        let mut draws = Draws::of(self.options.seed, Purpose::Day, (1 << 32) | u64::from(day));
        let episodes = thousandths / 1_000 + u64::from(draws.chance(thousandths % 1_000));
        for number in 0..episodes {
            self.make_episode(day, number, made);
        }
    }

    /// One episode. Fraudsters learn: over 120 days they become slower, less greedy, stay closer to home
    /// and hide among the payments of the day.
    fn make_episode(&self, day: u32, number: u64, made: &mut Vec<Payment>) {
        let mut draws = Draws::of(self.options.seed, Purpose::Episode, index(day, number));
        let learnt = u64::from(day.min(120)) * 1_000 / 120;
        let card = self.population.draw_card(&mut draws, day);
        let home = self.population.cards[card as usize].home;
        let abroad = draws.chance(700 - learnt * 400 / 1_000);
        let burst = draws.chance(650);
        let payments = if burst { 3 + draws.below(7) } else { 1 };
        let pause = Span((1 + 5 * learnt as i64 / 1_000) * 10 * Span::MINUTE.0);
        // A ring of fraudsters keeps its devices for ten days.
        let device = self.population.new_device((1 << 62) | (u64::from(day / 10) << 8) | draws.below(12));
        let hours = if draws.chance(learnt / 2) { &HOURS } else { &FRAUD_HOURS };
        let mut requested_at = self.time_on(&mut draws, day, hours);
        for _ in 0..payments {
            let country = if abroad { other_country(&mut draws, home) } else { home };
            let merchant = self.fraud_merchant(&mut draws, day, country);
            let greed = draws.between(3_400, 6_000) as u64 - learnt * 2;
            let amount_cents = self.amount(&mut draws, day, merchant, greed / 2);
            let channel = if draws.chance(800) { Channel::Web } else { Channel::App };
            made.push(Payment {
                id: 0,
                requested_at,
                card,
                card_known: true,
                merchant,
                device,
                channel,
                amount_cents,
                schema_version: 1,
                fraud: true,
            });
            requested_at = requested_at + Span(draws.between(Span::MINUTE.0, pause.0));
        }
    }

    /// Fraudsters prefer what can be sold again.
    fn fraud_merchant(&self, draws: &mut Draws, day: u32, country: u8) -> u32 {
        let mut merchant = self.population.draw_merchant(draws, day, Some(country));
        for _ in 0..3 {
            let category = self.population.merchants[merchant as usize].category;
            if matches!(CATEGORIES[usize::from(category)].0, "electronics" | "jewellery" | "gaming") {
                break;
            }
            merchant = self.population.draw_merchant(draws, day, Some(country));
        }
        merchant
    }

    /// Adds the deliveries of a payment, with the fault that strikes it; returns the event time that is reported.
    fn deliver(&self, payment: Payment, deliveries: &mut Vec<Delivery>) -> Instant {
        let mut draws = Draws::of(self.options.seed, Purpose::Fault, payment.id);
        let lag = Span(draws.between(50_000, 3_000_000));
        let arrival = payment.requested_at + lag;
        let window = self.windows.iter().find(|window| window.contains(payment.requested_at));
        let mut first = Delivery { arrival, payment, again: false, fault: None, verdict: Verdict::Accepted };
        let second = window.and_then(|window| self.strike(&mut draws, window, &mut first));
        deliveries.push(self.held(first));
        deliveries.extend(second.map(|delivery| self.held(delivery)));
        first.payment.requested_at
    }

    /// Applies a fault to the delivery of a payment made inside of its window; returns a second delivery, if any.
    fn strike(&self, draws: &mut Draws, window: &Window, first: &mut Delivery) -> Option<Delivery> {
        let mut second = None;
        let category = self.population.merchants[first.payment.merchant as usize].category;
        let again_at = first.arrival + Span(draws.between(Span::SECOND.0, 10 * Span::MINUTE.0));
        let again = Delivery { arrival: again_at, again: true, fault: Some(window.fault), ..*first };
        let struck = match window.fault {
            Fault::CentsInsteadOfEuros if category == ELECTRONICS => {
                first.payment.amount_cents *= 100;
                if first.payment.amount_cents > AMOUNT_CENTS_MAX {
                    first.verdict = Verdict::Quarantined(Reason::AmountMaximum);
                }
                true
            }
            Fault::NullBurst if draws.chance(700) => {
                first.payment.card_known = false;
                first.verdict = Verdict::Quarantined(Reason::CardRequired);
                true
            }
            Fault::LateRows if draws.chance(500) => {
                let room = (self.end().0 - first.arrival.0) / 4 * 3;
                let latest = (48 * Span::HOUR.0).min(room);
                first.arrival = first.arrival + Span(draws.between(Span::HOUR.0.min(latest), latest));
                true
            }
            Fault::Duplicates if draws.chance(400) => {
                second = Some(Delivery { verdict: Verdict::Deduplicated, ..again });
                false
            }
            Fault::KeyConflict if draws.chance(300) => {
                let amount_cents = first.payment.amount_cents + 100 + draws.below(900);
                let payment = Payment { amount_cents, ..first.payment };
                second = Some(Delivery { verdict: Verdict::Quarantined(Reason::KeyConflict), payment, ..again });
                false
            }
            Fault::EnumAdded if first.payment.channel == Channel::Pos && draws.chance(500) => {
                first.payment.channel = Channel::Kiosk;
                first.verdict = Verdict::Quarantined(Reason::ChannelEnum);
                true
            }
            Fault::ClockSkew if first.payment.merchant.is_multiple_of(3) => {
                let hours = 2 + i64::from(first.payment.merchant % 5);
                first.payment.requested_at = first.payment.requested_at + Span(hours * Span::HOUR.0);
                true
            }
            Fault::MalformedBatch => {
                first.payment.schema_version = 99;
                first.verdict = Verdict::Rejected;
                true
            }
            // A stuck source holds deliveries, whatever they carry: see `held`.
            Fault::StuckSource => false,
            Fault::CentsInsteadOfEuros
            | Fault::NullBurst
            | Fault::LateRows
            | Fault::Duplicates
            | Fault::KeyConflict
            | Fault::EnumAdded
            | Fault::ClockSkew => false,
        };
        if struck {
            first.fault = Some(window.fault);
        }
        second
    }

    /// A delivery due while the source is stuck comes after it has recovered, sixty times as fast, in the same order.
    fn held(&self, delivery: Delivery) -> Delivery {
        let stuck = |window: &&Window| window.fault == Fault::StuckSource && window.contains(delivery.arrival);
        let mut held = delivery;
        if let Some(window) = self.windows.iter().find(stuck) {
            held.arrival = window.end + Span((delivery.arrival - window.start).0 / 60);
            held.fault = delivery.fault.or(Some(Fault::StuckSource));
        }
        // Malformed rows arrive at odd microseconds and others at even ones, so that the boundary between a malformed
        // batch and a good one never falls inside of a microsecond.
        let odd = i64::from(delivery.verdict == Verdict::Rejected);
        held.arrival = Instant((held.arrival.0 & !1) | odd);
        held
    }

    /// The chargeback of a payment: of nearly every fraud, and of a few payments that were honest.
    fn chargeback(&self, payment: Payment, requested_at: Instant) -> Option<Chargeback> {
        let mut draws = Draws::of(self.options.seed, Purpose::Chargeback, payment.id);
        let comes = if payment.fraud { draws.chance(930) } else { draws.below(100_000) < 40 };
        if !comes {
            return None;
        }
        let latest = CHARGEBACK_AFTER_MAX.0 + 1;
        let one = draws.between(CHARGEBACK_AFTER_MIN.0, latest);
        let after = one.min(draws.between(CHARGEBACK_AFTER_MIN.0, latest));
        let reported_at = requested_at + Span(after);
        let reasons: [u32; 4] = if payment.fraud { [80, 20, 0, 0] } else { [5, 15, 45, 35] };
        let reason = draws.weighted(&reasons) as u8;
        let arrival = reported_at + Span(draws.between(50_000, 3_000_000));
        let id = unique(self.options.seed, Purpose::ChargebackId, payment.id);
        Some(Chargeback { arrival, id, payment: payment.id, reported_at, reason })
    }
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
fn index(day: u32, number: u64) -> u64 {
    (u64::from(day) << 32) | number
}

/// An old country that is not `home`.
fn other_country(draws: &mut Draws, home: u8) -> u8 {
    let old = COUNTRIES.iter().filter(|(_, _, opens)| *opens == 0).count() as u64;
    let country = draws.below(old - 1) as u8;
    if country >= home { country + 1 } else { country }
}
