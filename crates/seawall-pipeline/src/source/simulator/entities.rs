//! Who pays whom: customers, their cards, merchants, devices. All made from the seed, none real.

use std::fmt::Write;

use super::draw::{Draws, Purpose, unique};

/// Country codes: with weight, and the day on which the first merchant there opens.
pub(super) const COUNTRIES: [(&str, u32, u32); 9] = [
    ("DE", 30, 0),
    ("FR", 20, 0),
    ("NL", 12, 0),
    ("ES", 12, 0),
    ("IT", 12, 0),
    ("AT", 6, 0),
    ("BE", 5, 0),
    ("PL", 24, 25),
    ("PT", 16, 55),
];

/// Categories of merchants: with the median amount in cents.
pub(super) const CATEGORIES: [(&str, u64); 8] = [
    ("grocery", 3_200),
    ("fuel", 5_500),
    ("restaurant", 2_800),
    ("electronics", 18_000),
    ("travel", 42_000),
    ("fashion", 7_000),
    ("gaming", 1_800),
    ("jewellery", 35_000),
];

/// Days in which as many merchants open as there were at the start.
const MERCHANTS_DOUBLE_DAYS: u64 = 1_500;
/// Days in which as many cards are issued as there were at the start; half as many fall out of use.
const CARDS_DOUBLE_DAYS: u64 = 1_080;

/// Merchants at the start, at the least: with fewer, what is usual at one of them would look like what is usual.
const MERCHANTS_MIN: u64 = 120;
/// Draws after which a card and a merchant of different countries are put up with.
const NEIGHBOUR_DRAWS_MAX: usize = 200;

/// Place of electronics in [`CATEGORIES`].
pub(super) const ELECTRONICS: u8 = 3;

const FIRST_NAMES: [&str; 16] = [
    "Ada", "Bruno", "Carla", "David", "Elif", "Femke", "Giulia", "Hugo", "Ines", "Jonas", "Katja", "Luca", "Marta",
    "Nils", "Olga", "Pablo",
];
const LAST_NAMES: [&str; 16] = [
    "Amann", "Berger", "Costa", "Dubois", "Esposito", "Fischer", "Garcia", "Huber", "Jansen", "Keller", "Lopez",
    "Martin", "Novak", "Peeters", "Rossi", "Silva",
];

/// A card.
#[derive(Debug, Clone, Copy)]
pub(super) struct Card {
    pub(super) customer: u32,
    /// Place of the customer's home in [`COUNTRIES`].
    pub(super) home: u8,
    /// How often it is used, 1 to 8.
    pub(super) activity: u8,
    /// How much is spent with it, in permille of the median.
    pub(super) level: u16,
}

/// A merchant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merchant {
    /// Place in [`CATEGORIES`].
    pub(super) category: u8,
    /// Place in [`COUNTRIES`].
    pub(super) country: u8,
    /// Day of the period on which it opens.
    pub(super) opened: u32,
}

/// Everybody who takes part in the period. Who comes when does not depend on how long it is.
#[derive(Debug)]
pub(super) struct Population {
    seed: u64,
    cards_at_start: u64,
    merchants_at_start: u64,
    pub(super) cards: Vec<Card>,
    pub(super) merchants: Vec<Merchant>,
    /// Merchants of each country, in the order in which they open.
    merchants_in: Vec<Vec<u32>>,
}

impl Population {
    /// The population of a period of `days` days.
    pub(super) fn new(seed: u64, payments_per_day: u32, days: u32) -> Self {
        let mut population = Population {
            seed,
            cards_at_start: (u64::from(payments_per_day) * 5 / 4).max(60),
            merchants_at_start: (u64::from(payments_per_day) / 10).max(MERCHANTS_MIN),
            cards: Vec::new(),
            merchants: Vec::new(),
            merchants_in: vec![Vec::new(); COUNTRIES.len()],
        };
        population.grow(days);
        population
    }

    /// Adds everybody who comes before the end of a period of `days` days and is not here yet.
    pub(super) fn grow(&mut self, days: u32) {
        for index in self.cards.len() as u64..cards_on(self.cards_at_start, days).1 {
            self.cards.push(card(self.seed, index));
        }
        let (known, at_start) = (self.merchants.len() as u64, self.merchants_at_start);
        for index in known..at_start + at_start * u64::from(days) / MERCHANTS_DOUBLE_DAYS {
            let merchant = merchant(self.seed, index, at_start);
            self.merchants.push(merchant);
            self.merchants_in[usize::from(merchant.country)].push(index as u32);
        }
    }

    /// A card in use on `day`, the busier ones more often.
    pub(super) fn draw_card(&self, draws: &mut Draws, day: u32) -> u32 {
        let (first, end) = cards_on(self.cards_at_start, day);
        let mut index = first;
        for _ in 0..4 {
            index = first + draws.below(end - first);
            if draws.below(8) < u64::from(self.cards[index as usize].activity) {
                break;
            }
        }
        index as u32
    }

    /// A merchant open on `day`, in `country` when there is one, else anywhere; older ones more often.
    pub(super) fn draw_merchant(&self, draws: &mut Draws, day: u32, country: Option<u8>) -> u32 {
        if let Some(country) = country {
            let list = &self.merchants_in[usize::from(country)];
            let open = list.partition_point(|index| self.merchants[*index as usize].opened <= day);
            if open > 0 {
                return list[earlier(draws, open as u64) as usize];
            }
        }
        let open = self.merchants.partition_point(|merchant| merchant.opened <= day);
        earlier(draws, open as u64) as u32
    }

    /// A card in use on `day` and a merchant of `category` open then, in the country where the card's owner lives; older
    /// merchants more often.
    pub(super) fn draw_neighbours(&self, draws: &mut Draws, day: u32, category: u8) -> (u32, u32) {
        let open = self.merchants.partition_point(|merchant| merchant.opened <= day) as u64;
        // Merchants take turns in their categories.
        let of_category = (open - u64::from(category)).div_ceil(CATEGORIES.len() as u64);
        let mut merchant = 0;
        for _ in 0..NEIGHBOUR_DRAWS_MAX {
            merchant = earlier(draws, of_category) as usize * CATEGORIES.len() + usize::from(category);
            if COUNTRIES[usize::from(self.merchants[merchant].country)].2 == 0 {
                break;
            }
        }
        let mut card = self.draw_card(draws, day);
        for _ in 0..NEIGHBOUR_DRAWS_MAX {
            if self.cards[card as usize].home == self.merchants[merchant].country {
                break;
            }
            card = self.draw_card(draws, day);
        }
        (card, merchant as u32)
    }

    /// The device that a card's owner uses at home.
    pub(super) fn own_device(&self, card: u32) -> u64 {
        unique(self.seed, Purpose::Device, u64::from(card))
    }

    /// One of the merchant's terminals.
    pub(super) fn terminal(&self, merchant: u32, terminal: u64) -> u64 {
        unique(self.seed, Purpose::Device, (1 << 40) | (u64::from(merchant) << 2) | terminal)
    }

    /// A device that was never seen before: `index` tells it from others.
    pub(super) fn new_device(&self, index: u64) -> u64 {
        unique(self.seed, Purpose::Device, (1 << 63) | index)
    }

    /// The number of customers.
    pub(super) fn customers(&self) -> u32 {
        self.cards.last().map_or(0, |card| card.customer + 1)
    }

    /// Appends the customer's e-mail address.
    pub(super) fn write_email(&self, customer: u32, text: &mut impl Write) -> std::fmt::Result {
        let (first, last) = self.names(customer);
        let domain = ["com", "org", "net"][customer as usize % 3];
        for c in first.chars().chain(['.']).chain(last.chars()) {
            text.write_char(c.to_ascii_lowercase())?;
        }
        write!(text, ".{customer}@example.{domain}")
    }

    /// The customer's first and last name.
    pub(super) fn names(&self, customer: u32) -> (&'static str, &'static str) {
        let bits = unique(self.seed, Purpose::Customer, u64::from(customer));
        (FIRST_NAMES[(bits & 15) as usize], LAST_NAMES[((bits >> 4) & 15) as usize])
    }

    /// The customer's phone number, in the range that is reserved for fiction.
    pub(super) fn phone(&self, customer: u32) -> String {
        format!("+1-202-555-01{:02}", unique(self.seed, Purpose::Customer, u64::from(customer)) >> 8 & 63)
    }

    /// The customer's year of birth.
    pub(super) fn born(&self, customer: u32) -> i32 {
        1940 + (unique(self.seed, Purpose::Customer, u64::from(customer)) >> 16 & 63) as i32
    }

    /// The number of the card: 16 digits under a prefix that no bank issues, with a right check digit.
    pub(super) fn card_number(&self, card: u32) -> String {
        let digits = format!("9999{:011}", u64::from(card) * 7_919 % 100_000_000_000);
        let mut sum = 0;
        for (place, digit) in digits.bytes().rev().enumerate() {
            let value = u32::from(digit - b'0') * if place % 2 == 0 { 2 } else { 1 };
            sum += value / 10 + value % 10;
        }
        format!("{digits}{}", (10 - sum % 10) % 10)
    }
}

/// First and end of the cards in use on `day`: new ones are issued, and half as many old ones fall out of use.
fn cards_on(at_start: u64, day: u32) -> (u64, u64) {
    let issued = at_start * u64::from(day) / CARDS_DOUBLE_DAYS;
    (issued / 2, at_start + issued)
}

/// Card `index`. Every fifth one is its owner's second.
fn card(seed: u64, index: u64) -> Card {
    let customer = index / 5 * 4 + (index % 5).min(3);
    let mut of_customer = Draws::of(seed, Purpose::Card, customer);
    let homes: Vec<u32> = COUNTRIES.iter().map(|(_, weight, opens)| if *opens == 0 { *weight } else { 0 }).collect();
    let home = of_customer.weighted(&homes) as u8;
    let level = of_customer.between(600, 1_800) as u16;
    let mut of_card = Draws::of(seed, Purpose::Card, (1 << 40) | index);
    Card { customer: customer as u32, home, activity: of_card.between(1, 9) as u8, level }
}

/// Merchant `index`. Every old country has one from the first day; the first to open when a country does is there.
fn merchant(seed: u64, index: u64, at_start: u64) -> Merchant {
    let mut draws = Draws::of(seed, Purpose::Merchant, index);
    let opened = opening_day(index, at_start);
    let mut weights = COUNTRIES.map(|(_, weight, opens)| if opens <= opened { weight } else { 0 });
    let first = COUNTRIES.iter().enumerate().find(|(place, (_, _, opens))| match opens {
        0 => *place as u64 == index,
        _ => index > 0 && opening_day(index - 1, at_start) < *opens && *opens <= opened,
    });
    if let Some((first, _)) = first {
        weights = std::array::from_fn(|place| u32::from(place == first));
    }
    Merchant { category: (index % CATEGORIES.len() as u64) as u8, country: draws.weighted(&weights) as u8, opened }
}

/// The day on which merchant `index` opens; later ones never earlier.
fn opening_day(index: u64, at_start: u64) -> u32 {
    let after = (index + 1).saturating_sub(at_start);
    (after * MERCHANTS_DOUBLE_DAYS).div_ceil(at_start) as u32
}

/// A place in `0..end`, low ones more often.
fn earlier(draws: &mut Draws, end: u64) -> u64 {
    let (one, other) = (draws.below(end), draws.below(end));
    one.min(other)
}
