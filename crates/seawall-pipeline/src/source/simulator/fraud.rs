//! Frauds: how stolen cards are used, how fraudsters slowly learn, and how they change their ways for good.
//!
//! The usual fraud is a burst of large payments on the web, at night, often abroad, from a device of a ring. After a
//! [`Fault::FraudChange`] it is one modest payment at an ordinary terminal, close to home: nothing about the payment is
//! unusual but its category and hour together, so what was learnt before is blind to it, and what is learnt after it
//! is not. Every further change moves frauds to another category and hour.

use seawall_base::{Instant, Span};

use super::World;
use super::day::{Channel, HOURS, Payment, index};
use super::draw::{Draws, Purpose};
use super::entities::{CATEGORIES, COUNTRIES};
use super::fault::Fault;

/// Episodes of the usual fraud per 1,000 payments; each has 4.25 payments in the mean.
const EPISODES_PERMILLE: u64 = 6;
/// Episodes per 1,000 payments once fraudsters have changed their ways; each has 1.25 payments in the mean.
const CHANGED_EPISODES_PERMILLE: u64 = 20;
/// Days in which fraudsters learn what [`LEARNT_MAX`] says.
const LEARNING_DAYS: u64 = 180;
/// How much fraudsters learn by themselves, in permille of what would hide them.
const LEARNT_MAX: u64 = 250;
/// Relative numbers of frauds by hour, UTC.
const FRAUD_HOURS: [u32; 24] =
    [60, 55, 45, 40, 35, 25, 18, 14, 14, 16, 18, 20, 22, 22, 24, 26, 28, 32, 36, 42, 50, 58, 64, 64];

/// What fraudsters do after a change: terminals of one category, in a few hours (UTC).
struct Way {
    /// Place in [`CATEGORIES`].
    category: u8,
    first_hour: i64,
    hours: i64,
}

/// What they do after the first change, after the second, and so on, from the beginning again after the last.
const WAYS: [Way; 4] = [
    Way { category: 1, first_hour: 1, hours: 4 },
    Way { category: 2, first_hour: 18, hours: 2 },
    Way { category: 0, first_hour: 8, hours: 2 },
    Way { category: 5, first_hour: 12, hours: 2 },
];

/// Who makes a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payer {
    /// The card's owner.
    Owner,
    /// A fraudster.
    Fraudster,
    /// A fraudster after a change, the window of that number.
    ChangedFraudster(usize),
}

/// A time in which fraudsters keep to one way.
struct Era {
    /// Changes before it.
    number: u64,
    from: Instant,
    to: Instant,
    /// The window of the change that it begins with; none for the first.
    change: Option<usize>,
}

impl World {
    /// The frauds that begin on `day`.
    pub(super) fn make_frauds(&self, day: u32, made: &mut Vec<Payment>) {
        let midnight = self.midnight(day);
        for era in self.eras() {
            if era.to <= midnight || midnight + Span(2 * Span::DAY.0) <= era.from {
                continue;
            }
            let permille = if era.change.is_some() { CHANGED_EPISODES_PERMILLE } else { EPISODES_PERMILLE };
            let thousandths = u64::from(self.options.payments_per_day) * permille;
            let mut draws = Draws::of(self.options.seed, Purpose::Day, (era.number + 1) << 32 | u64::from(day));
            let episodes = thousandths / 1_000 + u64::from(draws.chance(thousandths % 1_000));
            let before = made.len();
            for number in 0..episodes {
                match era.change {
                    None => self.usual_episode(day, number, made),
                    Some(change) => self.changed_episode(day, &era, change, number, made),
                }
            }
            let mut place = 0;
            made.retain(|payment| {
                place += 1;
                place <= before || (era.from <= payment.requested_at && payment.requested_at < era.to)
            });
        }
    }

    /// The eras, one after the other: a change ends what was before it, in the middle of a day where it must.
    fn eras(&self) -> Vec<Era> {
        let mut changes: Vec<(Instant, usize)> = Vec::new();
        for (place, window) in self.windows.iter().enumerate() {
            if window.fault == Fault::FraudChange {
                changes.push((window.start, place));
            }
        }
        changes.sort_unstable();
        let mut eras = vec![Era { number: 0, from: Instant::MIN, to: Instant::MAX, change: None }];
        for (from, place) in changes {
            let number = eras.len() as u64;
            if let Some(last) = eras.last_mut() {
                last.to = from;
            }
            eras.push(Era { number, from, to: Instant::MAX, change: Some(place) });
        }
        eras
    }

    /// An episode of the usual fraud: a stolen card is used several times, or once. Fraudsters learn, but little: they
    /// become slower, less greedy, stay closer to home and hide among the payments of the day.
    fn usual_episode(&self, day: u32, number: u64, made: &mut Vec<Payment>) {
        let mut draws = Draws::of(self.options.seed, Purpose::Episode, index(day, number));
        let learnt = u64::from(day).min(LEARNING_DAYS) * LEARNT_MAX / LEARNING_DAYS;
        let card = self.population.draw_card(&mut draws, day);
        let home = self.population.cards[card as usize].home;
        let abroad = draws.chance(700 - learnt * 400 / 1_000);
        let burst = draws.chance(650);
        let payments = if burst { 3 + draws.below(7) } else { 1 };
        let pause = 10 * Span::MINUTE.0 * (1_000 + 2 * learnt as i64) / 1_000;
        // A ring of fraudsters keeps its devices for ten days.
        let device = self.population.new_device((1 << 62) | (u64::from(day / 10) << 8) | draws.below(12));
        let hours = if draws.chance(learnt / 2) { &HOURS } else { &FRAUD_HOURS };
        let mut requested_at = self.time_on(&mut draws, day, hours);
        for payment in 0..payments {
            let country = if abroad { other_country(&mut draws, home) } else { home };
            let merchant = self.tempting_merchant(&mut draws, day, country);
            let greed = draws.between(3_400, 6_000) as u64 - learnt * 2;
            made.push(Payment {
                id: fraud_index(day, 0, number, payment),
                requested_at,
                card,
                merchant,
                device,
                channel: if draws.chance(800) { Channel::Web } else { Channel::App },
                amount_cents: self.amount(&mut draws, day, merchant, greed / 2),
                payer: Payer::Fraudster,
                ..Payment::default()
            });
            requested_at = requested_at + Span(draws.between(Span::MINUTE.0, pause));
        }
    }

    /// Fraudsters prefer what can be sold again.
    fn tempting_merchant(&self, draws: &mut Draws, day: u32, country: u8) -> u32 {
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

    /// An episode after a change: one payment, seldom two, of an ordinary amount at a terminal in the card's country.
    fn changed_episode(&self, day: u32, era: &Era, change: usize, number: u64, made: &mut Vec<Payment>) {
        let mut draws = Draws::of(self.options.seed, Purpose::Episode, era.number << 52 | index(day, number));
        let way = &WAYS[(era.number - 1) as usize % WAYS.len()];
        let (card, merchant) = self.population.draw_neighbours(&mut draws, day, way.category);
        let hour = way.first_hour + draws.between(0, way.hours);
        let into_hour = draws.between(0, Span::HOUR.0);
        let mut requested_at = self.midnight(day) + Span(hour * Span::HOUR.0 + into_hour);
        for payment in 0..1 + u64::from(draws.chance(250)) {
            made.push(Payment {
                id: fraud_index(day, era.number, number, payment),
                requested_at,
                card,
                merchant,
                device: self.population.terminal(merchant, draws.below(3)),
                channel: Channel::Pos,
                amount_cents: self.modest_amount(&mut draws, day, merchant),
                payer: Payer::ChangedFraudster(change),
                ..Payment::default()
            });
            requested_at = requested_at + Span(draws.between(5 * Span::MINUTE.0, 25 * Span::MINUTE.0));
        }
    }
}

/// The place of a fraud on its day, different from that of every honest payment, whose places are below 2^31.
fn fraud_index(day: u32, era: u64, episode: u64, payment: u64) -> u64 {
    index(day, 1 << 31 | (era & 0x7FFF) << 16 | (episode & 0xFFF) << 4 | payment)
}

/// An old country that is not `home`.
fn other_country(draws: &mut Draws, home: u8) -> u8 {
    let old = COUNTRIES.iter().filter(|(_, _, opens)| *opens == 0).count() as u64;
    let country = draws.below(old - 1) as u8;
    if country >= home { country + 1 } else { country }
}
