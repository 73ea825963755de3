//! The simulator's rows as Arrow batches, in the shape of their contracts.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, Float64Builder, Int32Builder, Int64Builder, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use seawall_base::{Instant, Span};

use super::day::{Channel, Chargeback, Delivery, REASONS};
use super::entities::{CATEGORIES, COUNTRIES, Population};
use super::{Stream, World};

static PAYMENTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("payment_id", DataType::Utf8, true),
        Field::new("requested_at", instant(), true),
        Field::new("card_id", DataType::Utf8, true),
        Field::new("customer_id", DataType::Utf8, true),
        Field::new("customer_email", DataType::Utf8, true),
        Field::new("merchant_id", DataType::Utf8, true),
        Field::new("merchant_category", DataType::Utf8, true),
        Field::new("country", DataType::Utf8, true),
        Field::new("device_id", DataType::Utf8, true),
        Field::new("channel", DataType::Utf8, true),
        Field::new("amount_eur", DataType::Float64, true),
        Field::new("schema_version", DataType::Int64, true),
    ]))
});

static CHARGEBACKS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("chargeback_id", DataType::Utf8, true),
        Field::new("payment_id", DataType::Utf8, true),
        Field::new("reported_at", instant(), true),
        Field::new("reason", DataType::Utf8, true),
    ]))
});

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl Stream {
    /// Shape of the stream's batches. Every column may hold null, since rows are what producers send.
    pub fn schema(self) -> SchemaRef {
        match self {
            Stream::Payments => Arc::clone(&PAYMENTS),
            Stream::Chargebacks => Arc::clone(&CHARGEBACKS),
        }
    }
}

/// The text of a payment's id.
pub(super) fn payment_id(id: u64) -> String {
    format!("pay-{id:016x}")
}

/// A column of texts that are written one by one, without a string each.
struct Texts(StringBuilder);

impl Texts {
    fn with_capacity(rows: usize, bytes_per_row: usize) -> Self {
        Texts(StringBuilder::with_capacity(rows, rows * bytes_per_row))
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to memory cannot fail");
        self.0.append_value("");
    }

    fn finish(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

fn instants(values: impl Iterator<Item = Instant>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values.map(|at| at.0)).with_timezone("UTC"))
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(schema, columns).expect("the columns are built beside their schema, one value per row each")
}

pub(super) fn payments(people: &Population, rows: &[Delivery]) -> RecordBatch {
    let mut ids = Texts::with_capacity(rows.len(), 20);
    let mut cards = Texts::with_capacity(rows.len(), 12);
    let mut customers = Texts::with_capacity(rows.len(), 12);
    let mut emails = Texts::with_capacity(rows.len(), 32);
    let mut merchants = Texts::with_capacity(rows.len(), 10);
    let mut devices = Texts::with_capacity(rows.len(), 16);
    let mut amounts = Float64Builder::with_capacity(rows.len());
    let mut versions = Int64Builder::with_capacity(rows.len());
    for Delivery { payment, .. } in rows {
        let customer = people.cards[payment.card as usize].customer;
        ids.push(format_args!("pay-{:016x}", payment.id));
        if payment.card_known {
            cards.push(format_args!("card-{:06}", payment.card));
        } else {
            cards.0.append_null();
        }
        customers.push(format_args!("cust-{customer:06}"));
        people.write_email(customer, &mut emails.0).expect("writing to memory cannot fail");
        emails.push(format_args!(""));
        merchants.push(format_args!("mer-{:05}", payment.merchant));
        devices.push(format_args!("dev-{:012x}", payment.device >> 16));
        amounts.append_value(payment.amount_cents as f64 / 100.0);
        versions.append_value(payment.schema_version);
    }
    let merchant = |row: &Delivery| people.merchants[row.payment.merchant as usize];
    let columns: Vec<ArrayRef> = vec![
        ids.finish(),
        instants(rows.iter().map(|row| row.payment.requested_at)),
        cards.finish(),
        customers.finish(),
        emails.finish(),
        merchants.finish(),
        texts(rows.iter().map(|row| CATEGORIES[usize::from(merchant(row).category)].0)),
        texts(rows.iter().map(|row| COUNTRIES[usize::from(merchant(row).country)].0)),
        devices.finish(),
        texts(rows.iter().map(|row| row.payment.channel.name())),
        Arc::new(amounts.finish()),
        Arc::new(versions.finish()),
    ];
    batch(Stream::Payments.schema(), columns)
}

pub(super) fn chargebacks(rows: &[Chargeback]) -> RecordBatch {
    let mut ids = Texts::with_capacity(rows.len(), 20);
    let mut payments = Texts::with_capacity(rows.len(), 20);
    for row in rows {
        ids.push(format_args!("cb-{:016x}", row.id));
        payments.push(format_args!("pay-{:016x}", row.payment));
    }
    let columns = vec![
        ids.finish(),
        payments.finish(),
        instants(rows.iter().map(|row| row.reported_at)),
        texts(rows.iter().map(|row| REASONS[usize::from(row.reason)])),
    ];
    batch(Stream::Chargebacks.schema(), columns)
}

impl Channel {
    fn name(self) -> &'static str {
        match self {
            Channel::Pos => "pos",
            Channel::Web => "web",
            Channel::App => "app",
            Channel::Kiosk => "kiosk",
        }
    }
}

impl World {
    /// Every customer of the period: `customer_id`, `name`, `email`, `phone`, `home_country`, `born` (year). All but the
    /// first and the country are personal data, of people who do not exist.
    pub fn customers(&self) -> RecordBatch {
        let people = &self.population;
        let count = people.customers();
        let mut homes = vec![0u8; count as usize];
        people.cards.iter().for_each(|card| homes[card.customer as usize] = card.home);
        let mut ids = Texts::with_capacity(count as usize, 12);
        let mut names = Texts::with_capacity(count as usize, 16);
        let mut emails = Texts::with_capacity(count as usize, 32);
        let mut phones = Texts::with_capacity(count as usize, 16);
        let mut born = Int32Builder::with_capacity(count as usize);
        for customer in 0..count {
            let (first, last) = people.names(customer);
            ids.push(format_args!("cust-{customer:06}"));
            names.push(format_args!("{first} {last}"));
            people.write_email(customer, &mut emails.0).expect("writing to memory cannot fail");
            emails.push(format_args!(""));
            phones.push(format_args!("{}", people.phone(customer)));
            born.append_value(people.born(customer));
        }
        let homes = texts(homes.iter().map(|home| COUNTRIES[usize::from(*home)].0));
        let columns: Vec<ArrayRef> =
            vec![ids.finish(), names.finish(), emails.finish(), phones.finish(), homes, Arc::new(born.finish())];
        batch(
            entity_schema(&["customer_id", "name", "email", "phone", "home_country"], &[("born", DataType::Int32)]),
            columns,
        )
    }

    /// Every card of the period: `card_id`, `customer_id`, `pan` (personal; under a prefix that no bank issues),
    /// `masked_pan`.
    pub fn cards(&self) -> RecordBatch {
        let people = &self.population;
        let count = people.cards.len();
        let mut ids = Texts::with_capacity(count, 12);
        let mut customers = Texts::with_capacity(count, 12);
        let mut numbers = Texts::with_capacity(count, 16);
        let mut masked = Texts::with_capacity(count, 16);
        for (index, card) in people.cards.iter().enumerate() {
            let number = people.card_number(index as u32);
            ids.push(format_args!("card-{index:06}"));
            customers.push(format_args!("cust-{:06}", card.customer));
            masked.push(format_args!("9999********{}", &number[12..]));
            numbers.push(format_args!("{number}"));
        }
        let columns = vec![ids.finish(), customers.finish(), numbers.finish(), masked.finish()];
        batch(entity_schema(&["card_id", "customer_id", "pan", "masked_pan"], &[]), columns)
    }

    /// Every merchant of the period: `merchant_id`, `category`, `country`, `opened_at`.
    pub fn merchants(&self) -> RecordBatch {
        let merchants = &self.population.merchants;
        let mut ids = Texts::with_capacity(merchants.len(), 10);
        (0..merchants.len()).for_each(|index| ids.push(format_args!("mer-{index:05}")));
        let opened = |day: u32| self.start() + Span(i64::from(day) * Span::DAY.0);
        let columns = vec![
            ids.finish(),
            texts(merchants.iter().map(|merchant| CATEGORIES[usize::from(merchant.category)].0)),
            texts(merchants.iter().map(|merchant| COUNTRIES[usize::from(merchant.country)].0)),
            instants(merchants.iter().map(|merchant| opened(merchant.opened))),
        ];
        batch(entity_schema(&["merchant_id", "category", "country"], &[("opened_at", instant())]), columns)
    }
}

fn entity_schema(text_columns: &[&str], others: &[(&str, DataType)]) -> SchemaRef {
    let mut fields: Vec<Field> = text_columns.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect();
    fields.extend(others.iter().map(|(name, kind)| Field::new(*name, kind.clone(), false)));
    Arc::new(Schema::new(fields))
}
