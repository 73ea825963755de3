//! An analyst as an attacker: no query, command or error shows a card, a person, or a payment of another category.

use std::collections::BTreeSet;

use crate::models::demo;

/// What the analyst must never see, known to the owner.
struct Hidden {
    cards: Vec<String>,
    emails: Vec<String>,
    categories: Vec<String>,
    /// A payment, a merchant and an amount of another category.
    payment: String,
    card: String,
}

fn hidden() -> Hidden {
    let demo = demo();
    let column = |sql: &str| -> Vec<String> {
        let text =
            |row: serde_json::Value| row.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        demo.rows(sql).into_iter().map(text).collect()
    };
    let other = "from payments where merchant_category <> 'electronics' order by _lsn desc limit 1";
    Hidden {
        cards: column("select distinct card_id from payments"),
        emails: column("select distinct customer_email from payments where customer_email is not null"),
        categories: column("select distinct merchant_category from payments where merchant_category <> 'electronics'"),
        payment: column(&format!("select payment_id {other}")).remove(0),
        card: column(&format!("select card_id {other}")).remove(0),
    }
}

impl Hidden {
    /// Demands that `said` holds nothing hidden that `asked` did not hold itself.
    #[track_caller]
    fn check(&self, asked: &str, said: &str) {
        let words: BTreeSet<&str> = said.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.@".contains(c)).collect();
        let fixed = [&self.payment];
        for secret in self.cards.iter().chain(&self.emails).chain(&self.categories).chain(fixed) {
            let shown = words.contains(secret.as_str());
            assert!(!shown || asked.contains(secret.as_str()), "{asked}\nshows {secret}:\n{said}");
        }
    }
}

/// Queries that answer, each with something that its answer must hold.
const ANSWERED: &[(&str, &str)] = &[
    ("select * from payments limit 200", "electronics"),
    ("select distinct merchant_category from payments", "electronics"),
    ("select count(*) as n from payments where merchant_category <> 'electronics'", "| 0 "),
    ("select min(card_id), max(card_id), array_agg(distinct merchant_category) from payments", "*******"),
    ("select card_id, sum(amount_eur) from payments group by card_id limit 50", "*******"),
    (
        "select p.card_id, p.merchant_category, c.reason from payments p join chargebacks c using (payment_id) limit 99",
        "***",
    ),
    (
        "select c.payment_id, p.merchant_category from chargebacks c left join payments p using (payment_id) where p.merchant_category <> 'electronics'",
        "no rows",
    ),
    ("with mine as (select * from payments) select distinct merchant_category, card_id from mine limit 99", "***"),
    ("select * from (select card_id, merchant_category from payments) as inside limit 99", "*******"),
    ("select payment_id from payments where card_id in (select card_id from payments) limit 9", "pay-"),
    (
        "select card_id, row_number() over (partition by card_id order by requested_at) as nth from payments limit 99",
        "***",
    ),
    (
        "select first_value(merchant_category) over (order by _lsn), lag(card_id) over (order by _lsn) from payments limit 99",
        "electronics",
    ),
    (
        "select card_id, merchant_category from payments union all select card_id, merchant_category from fraud__served limit 99",
        "***",
    ),
    ("select merchant_category from payments union select merchant_category from fraud__training_set", "electronics"),
    ("select card_id, merchant_category from payments order by card_id desc, merchant_category desc limit 99", "***"),
    ("select card_id, merchant_category from payments order by merchant_category limit 99 offset 8000", "electronics"),
    ("select reverse(reverse(card_id)), concat('x', card_id), substr(card_id, 1) from payments limit 99", "***"),
    ("select encode(cast(card_id as bytea), 'base64') as coded from payments limit 9", "coded"),
    ("select customer_email from payments where customer_email is not null limit 9", "no rows"),
    ("select max(customer_email) as worst, count(customer_email) as n from payments", "| 0 "),
    (
        "explain select card_id from payments where merchant_category <> 'electronics' and card_id = 'card-000044'",
        "TableScan",
    ),
    ("select * from payments__quarantine limit 500", "electronics"),
    ("select count(*) as n from payments__quarantine where _raw not like '%electronics%'", "| 0 "),
    ("select * from fraud__served limit 200", "electronics"),
    ("select distinct merchant_category from fraud__served", "electronics"),
    ("select * from fraud__training_set limit 200", "electronics"),
    ("select merchant_category, count(*), avg(amount_eur) from fraud__training_set group by 1", "electronics"),
    ("select table_name, column_name from information_schema.columns limit 500", "payments"),
    ("select a.card_id from payments a, payments b where a.card_id = b.card_id and a._lsn < b._lsn limit 9", "***"),
    (
        "select count(*) as n from chargebacks c where exists (select 1 from payments p where p.payment_id = c.payment_id and p.merchant_category <> 'electronics')",
        "| 0 ",
    ),
    ("select * from payments natural join fraud__served limit 20", ""),
];

/// Queries that are refused.
const REFUSED: &[&str] = &[
    "select * from fraud__predictions limit 9",
    "select count(*) from fraud__predictions",
    "select * from system.audit limit 1",
    "select * from system.tokens limit 1",
    "select * from '/etc/passwd'",
    "select * from 'tables/payments/_delta_log/00000000000000000000.json'",
    "set datafusion.execution.batch_size = 1",
    "copy payments to '/tmp/seawall_stolen.parquet'",
    "copy (select * from payments) to '/tmp/seawall_stolen.csv'",
    "create view mine as select * from payments",
    "create external table t stored as csv location '/etc/passwd'",
    "insert into payments select * from payments",
    "drop table payments",
    "select 1; select * from payments",
    "select cast(card_id as bigint) from payments",
    "select cast(merchant_category as bigint) from payments",
    "select cast(customer_email as bigint) / 0, cast(merchant_category as date) from payments",
    "select cast(_raw as bigint) from payments__quarantine",
    "select cast(merchant_category as double) from fraud__served",
    "select arrow_cast(card_id, 'Int64') from payments",
    "select 1 / (case when merchant_category = 'electronics' then 0 else 1 end) from payments",
    "explain analyze select * from payments",
    "explain verbose select * from system.audit",
];

#[test]
fn nothing_hidden_comes_out_of_any_query_or_command() {
    let (demo, hidden) = (demo(), hidden());
    assert!(hidden.cards.len() > 100 && hidden.categories.len() > 2 && hidden.emails.len() > 10);
    let arguments = ["token", "create", "--name", "ana", "--role", "analyst", "--group", "electronics"];
    let made = demo.run(&[&arguments[..], &["--output", "json"]].concat()).expect(0).json();
    let token = made["secret"].as_str();

    for (sql, expected) in ANSWERED {
        let said = demo.run_as(token, &["query", sql]);
        hidden.check(sql, &format!("{}{}", said.stdout, said.stderr));
        assert_eq!(said.code, 0, "{sql}: {}", said.stderr);
        assert!(said.stdout.contains(expected), "{sql}: no {expected} in {}", said.stdout);
        assert!(!sql.starts_with("explain") || !said.stdout.contains(".parquet"), "{sql}: {}", said.stdout);
        assert!(!sql.starts_with("explain") || !said.stdout.contains("card-"), "{sql}: {}", said.stdout);
    }
    for sql in REFUSED {
        let said = demo.run_as(token, &["query", sql]);
        hidden.check(sql, &format!("{}{}", said.stdout, said.stderr));
        assert_eq!(said.code, 2, "{sql}: {}", said.stdout);
        assert!(said.stderr.contains("error[SW"), "{sql}: {}", said.stderr);
        assert!(!said.stderr.contains("root:"), "{sql}: {}", said.stderr);
    }
    assert!(!std::path::Path::new("/tmp/seawall_stolen.parquet").exists());

    let entity = format!("card_id={}", hidden.card);
    let of_payment = format!("select * from payments where payment_id = '{}'", hidden.payment);
    let stopped = "select concat(_partition, ':', _lsn) as id from payments__quarantine
                   where _raw like '%merchant_category%' and _raw not like '%electronics%' limit 1";
    let stopped = demo.rows(stopped)[0]["id"].as_str().unwrap().to_owned();
    let commands: &[(&[&str], i32)] = &[
        (&["query", "select * from payments limit 99", "--at-version", "payments=1"], 0),
        (
            &[
                "query",
                "select distinct merchant_category from fraud__training_set",
                "--at-version",
                "fraud__training_set=1",
            ],
            0,
        ),
        (&["query", &of_payment], 0),
        (&["query", "select * from payments limit 99", "--output", "json"], 0),
        (&["quarantine", "list", "payments", "--limit", "500"], 0),
        (&["quarantine", "show", "payments", &stopped], 2),
        (&["quarantine", "history", "payments"], 0),
        (&["features", "explain", "card.n_24h", "--entity", &entity, "--at", "2026-06-15T00:00:00Z"], 2),
        (&["features", "explain", "card.country", "--entity", &entity, "--at", "2026-06-15T00:00:00Z"], 2),
        (&["token", "list"], 2),
        (&["audit"], 2),
        (&["explain", "prediction", &newest_prediction()], 2),
    ];
    for (arguments, code) in commands {
        let said = demo.run_as(token, arguments);
        let told = format!("{}{}", said.stdout, said.stderr);
        hidden.check(&arguments.join(" "), &told);
        assert!(said.code == *code, "{arguments:?}: {} {told}", said.code);
    }
}

/// The rows behind a feature belong to other categories too: who may not see them gets no explanation.
#[test]
fn who_may_not_see_every_row_gets_no_explanation_of_a_feature() {
    let (demo, hidden) = (demo(), hidden());
    let arguments =
        ["token", "create", "--name", "eve", "--role", "analyst", "--group", "electronics", "--output", "json"];
    let made = demo.run(&arguments).expect(0).json();
    let entity = format!("card_id={}", hidden.card);
    let at = ["--entity", &entity, "--at", "2026-06-15T00:00:00Z", "--output", "json"];
    let whole = demo.run(&[&["features", "explain", "card.n_24h"], &at[..]].concat()).expect(0).json();
    assert!(!whole["rows"].as_array().unwrap().is_empty(), "{whole}");
    let said = demo.run_as(made["secret"].as_str(), &[&["features", "explain", "card.n_24h"], &at[..]].concat());
    assert!(said.code == 2 && said.stdout.contains("SW0610"), "{}{}", said.stdout, said.stderr);
    assert!(!said.stdout.contains("rows"), "{}", said.stdout);
}

fn newest_prediction() -> String {
    let rows = demo().rows("select prediction_id from fraud__predictions order by _lsn desc limit 1");
    rows[0]["prediction_id"].as_str().unwrap().to_owned()
}
