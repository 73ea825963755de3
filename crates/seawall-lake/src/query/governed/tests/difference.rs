//! Non-interference: two lakes that differ in what the analyst must not see answer the same bytes, and fail the same.

use super::*;

const QUERIES: [&str; 44] = [
    "select * from payments",
    "select * from payments limit 2",
    "select * from payments limit 2 offset 3",
    "select payment_id, card_id from payments order by card_id, payment_id",
    "select payment_id from payments order by amount desc limit 1",
    "select count(*) from payments",
    "select count(*), min(amount), max(amount), sum(amount), avg(amount), stddev(amount) from payments",
    "select max(card_id), min(card_id) from payments",
    "select paid_at, count(*) from payments group by paid_at",
    "select card_id, count(*) from payments group by card_id order by 1, 2",
    "select 1 / (amount - 100) from payments",
    "select 1 / amount from payments",
    "select 1 / (amount - 20) from payments",
    "select 9223372036854775807 + amount from payments where amount > 10",
    "select abs(amount), power(amount, 2) from payments",
    "select cast(card_id as bigint) from payments",
    "select cast(amount as tinyint) from payments",
    "select cast(country as bigint) from payments",
    "select secret from payments",
    "select * from payments where card_id like '%0000'",
    "select * from payments where card_id like '4000%' or card_id like '5999%'",
    "select * from payments where country <> 'DE'",
    "select * from payments where amount = 100 or amount is null",
    "select approx_distinct(card_id), approx_distinct(country), approx_median(amount) from payments",
    "select payment_id, row_number() over (order by payment_id), lag(amount) over (order by payment_id) from payments",
    "select a.payment_id, b.payment_id from payments a left join payments b on a._lsn + 1 = b._lsn",
    "select a.payment_id from payments a join payments b on a.card_id = b.card_id order by 1",
    "select payment_id from payments p where amount >= all (select 1)",
    "select payment_id from payments p where amount > (select avg(amount) from payments) order by 1",
    "select payment_id from payments p where exists (select 1 from payments q where q.amount > p.amount) order by 1",
    "select payment_id from payments union all select payment_id from fraud__served",
    "select payment_id from payments except select payment_id from notes where false order by 1",
    "with recursive r as (select 0 as n union all select n + 1 from r where n < 9) select n from r join payments on _lsn = n",
    "select array_agg(card_id order by payment_id) from payments",
    "select string_agg(payment_id, ',') from payments",
    "select named_struct('card', card_id, 'n', amount) from payments",
    "describe payments",
    "show tables",
    "select * from information_schema.columns where table_name = 'payments'",
    "explain select * from payments where amount > 1",
    "explain verbose select count(*) from payments",
    "explain analyze select count(*) from payments",
    "select * from salaries",
    "select * from payments__quarantine",
];

/// Everything that a caller is told.
async fn told(engine: &DataFusionEngine, text: &str) -> String {
    match engine.query(&analyst(), Query { rows_max: Some(1_000), ..sql(text) }).await {
        Ok(result) => format!("{:?} {:?} {}", result.schema, result.batches, result.truncated),
        Err(error) => format!("{:?} {} {error} {:?}", error.kind(), error.code(), error.remedy()),
    }
}

#[tokio::test]
async fn what_is_hidden_changes_no_byte_of_any_answer() {
    let one = lake_of(&PAYMENTS, 1).await;
    let other = lake_of(&OTHERS, 1).await;
    for text in QUERIES {
        assert_eq!(told(&one.engine, text).await, told(&other.engine, text).await, "{text}");
    }
}

/// Many batches, of which few rows are left: their sizes must not tell how many rows there were.
#[tokio::test]
async fn batches_are_cut_anew_after_the_filter() {
    let mixed = |hidden_every: usize| -> Vec<Payment> {
        let mut payments = Vec::new();
        for at in 0..20_000 {
            if at % hidden_every == 0 {
                payments.push((Some("4000111122221111"), Some("FR"), Some(at as i64), "s", 1));
            }
            payments.push((Some("4000111122220000"), Some("DE"), Some(at as i64), "s", 1));
        }
        payments
    };
    let (few, many) = (lake_of(&mixed(100), 1).await, lake_of(&mixed(2), 1).await);
    for text in ["select amount, card_id from payments", "select sum(amount * 0.1) from payments"] {
        assert_eq!(told(&few.engine, text).await, told(&many.engine, text).await, "{text}");
    }
}
