//! What somebody would try who wants to see more than the grant shows.

use super::*;

/// Nothing that the analyst must not see stands in a text.
fn check_clean(text: &str, what: &str) {
    for secret in ["40001111", "40003333", "40009999", "seven", "s0", "s2", "hush", "salaries", ".parquet"] {
        assert!(!text.contains(secret), "{what} tells {secret}: {text}");
    }
}

fn told(error: &seawall_base::Error) -> String {
    format!("{error} {}", error.remedy().unwrap_or_default())
}

#[tokio::test]
async fn counts_do_not_come_from_statistics() {
    let lake = lake().await;
    for text in [
        "select count(*) from payments",
        "select count(1) from payments",
        "select count(*) from payments where true",
        "select count(payment_id) from payments",
        "select count(*) from (select * from payments)",
        "select count(*) from seawall.public.payments",
        "select count(*) from fraud__served",
    ] {
        assert_eq!(lake.value(text).await, "4", "{text}");
    }
    assert_eq!(lake.value("select count(*) from notes").await, "1");
}

#[tokio::test]
async fn extremes_are_those_of_shown_rows() {
    let lake = lake().await;
    let rows =
        lake.rows("select min(amount), max(amount), sum(amount), count(amount), avg(amount) from payments").await;
    assert_eq!(rows, [["10", "30", "60", "3", "20.0"]]);
    assert_eq!(lake.value("select max(card_id) from payments").await, "************2222");
    assert_eq!(lake.value("select max(_lsn) from payments").await, "6");
    assert_eq!(lake.value("select max(paid_at) = min(paid_at) from payments").await, "true");
}

#[tokio::test]
async fn a_limit_does_not_stop_before_the_filter() {
    let lake = lake().await;
    assert_eq!(lake.rows("select payment_id from payments limit 2").await.len(), 2);
    assert_eq!(lake.rows("select payment_id from payments limit 100").await.len(), 4);
    assert_eq!(lake.rows("select payment_id from payments limit 10 offset 3").await.len(), 1);
    assert!(lake.rows("select payment_id from payments limit 10 offset 4").await.is_empty());
    let limited = Query { rows_max: Some(3), ..sql("select payment_id from payments") };
    let result = lake.engine.query(&analyst(), limited).await.unwrap();
    assert!(result.truncated);
}

#[tokio::test]
async fn a_top_k_sort_sees_shown_rows_and_masked_values() {
    let lake = lake().await;
    let rows = lake.rows("select payment_id from payments order by amount desc nulls last limit 1").await;
    assert_eq!(rows, [["p4"]]);
    let rows = lake.rows("select card_id from payments order by card_id nulls last limit 3").await;
    assert_eq!(rows, [["****"], ["************0000"], ["************2222"]]);
}

#[tokio::test]
async fn a_division_cannot_fail_on_hidden_rows() {
    let lake = lake().await;
    assert_eq!(lake.rows("select 1 / (amount - 100) from payments").await.len(), 4);
    assert!(lake.rows("select 1 from payments where 1 / (amount + 7) > 5").await.is_empty());
    let text = "select count(*) from payments where case when amount = 100 then 1 / (amount - 100) else 0 end = 0";
    assert_eq!(lake.value(text).await, "4");
    let error = lake.refused("select 1 / (amount - 30) from payments").await;
    assert_eq!(error.code(), codes::SQL_FAILED);
}

#[tokio::test]
async fn a_failing_cast_quotes_masked_values_only() {
    let lake = lake().await;
    for text in [
        "select cast(card_id as bigint) from payments",
        "select arrow_cast(card_id, 'Int64') from payments",
        "select card_id::date from payments",
        "select to_timestamp(card_id) from payments",
        "select * from payments where cast(card_id as bigint) > 0",
        "select sum(cast(card_id as double)) over () from payments",
    ] {
        let error = lake.refused(text).await;
        check_clean(&told(&error), text);
    }
    assert_eq!(lake.value("select count(try_cast(card_id as bigint)) from payments").await, "0");
}

#[tokio::test]
async fn predicates_see_masked_values() {
    let lake = lake().await;
    for text in [
        "card_id = '4000111122220000'",
        "card_id like '4000%'",
        "card_id ilike '%3333%'",
        "card_id ~ '^4'",
        "regexp_like(card_id, '4000')",
        "starts_with(card_id, '4000')",
        "substr(card_id, 1, 4) = '4000'",
        "card_id in ('4000111122220000', '1234')",
        "card_id between '4000' and '4001'",
        "strpos(card_id, '1111') > 0",
        "'4000111122220000' = card_id",
        "paid_at > timestamp '2024-03-02T00:00:00Z'",
        "extract(day from paid_at) <> 1",
        "country <> 'DE'",
        "country is null",
    ] {
        assert_eq!(lake.value(&format!("select count(*) from payments where {text}")).await, "0", "{text}");
    }
    assert_eq!(lake.value("select count(*) from payments where card_id like '%0000'").await, "1");
}

#[tokio::test]
async fn no_wrapping_undoes_a_mask() {
    let lake = lake().await;
    for text in [
        "select card_id as x from payments",
        "select x from (select card_id x from payments)",
        "select named_struct('c', card_id) from payments",
        "select struct(card_id, payment_id) from payments",
        "select [card_id] from payments",
        "select array_agg(card_id) from payments",
        "select string_agg(card_id, ',') from payments",
        "select first_value(card_id order by payment_id) from payments",
        "select nth_value(card_id, 1 order by payment_id) from payments",
        "select max(named_struct('c', card_id)['c']) from payments",
        "select reverse(reverse(card_id)) from payments",
        "select concat('', card_id) from payments",
        "select coalesce(card_id, 'x') from payments",
        "select arrow_cast(card_id, 'LargeUtf8') from payments",
        "select cast(cast(card_id as bytea) as text) from payments",
        "select p from (select p.card_id as p from payments p) q",
        "select unnest(array_agg(card_id)) from payments",
        "select * from payments",
        "select * exclude (payment_id) from payments",
        "select \"card_id\" from \"payments\"",
    ] {
        let rows = lake.rows(text).await;
        assert!(!rows.is_empty(), "{text}");
        check_clean(&format!("{rows:?}"), text);
    }
    let hashed = lake.rows("select md5(card_id) from payments where payment_id = 'p0'").await;
    assert_eq!(hashed, lake.rows("select md5('************0000')").await);
}

#[tokio::test]
async fn groups_are_those_of_masked_values() {
    let lake = lake().await;
    let rows = lake.rows("select card_id, count(*) from payments group by card_id order by 1 nulls first").await;
    assert_eq!(rows, [["null", "1"], ["****", "1"], ["************0000", "1"], ["************2222", "1"]]);
    assert_eq!(lake.rows("select country, count(*) from payments group by rollup (country)").await.len(), 2);
    assert_eq!(lake.rows("select distinct country from payments").await, [["DE"]]);
    assert_eq!(lake.rows("select country from payments group by country having count(*) > 0").await, [["DE"]]);
}

#[tokio::test]
async fn approximations_and_windows_see_shown_rows() {
    let lake = lake().await;
    for (text, expected) in [
        ("select approx_distinct(payment_id) from payments", "4"),
        ("select approx_distinct(country) from payments", "1"),
        ("select approx_median(amount) from payments", "20.0"),
        ("select max(n) from (select count(*) over () as n from payments)", "4"),
        ("select max(r) from (select row_number() over (order by payment_id) as r from payments)", "4"),
        ("select max(l) from (select lag(amount) over (order by payment_id) as l from payments)", "30"),
        ("select max(s) from (select sum(amount) over (partition by country) as s from payments)", "60"),
        ("select count(*) from (select payment_id, rank() over (order by amount) as r from payments) where r > 0", "4"),
        ("select bit_xor(amount) is null from payments", "false"),
    ] {
        assert_eq!(lake.value(text).await, expected, "{text}");
    }
}

#[tokio::test]
async fn every_scan_of_a_statement_is_restricted() {
    let lake = lake().await;
    for (text, expected) in [
        ("select count(*) from payments a join payments b on a.payment_id = b.payment_id", "4"),
        ("select count(*) from payments a join payments b on a.card_id = b.card_id", "3"),
        ("select count(*) from payments a cross join payments b", "16"),
        ("select count(*) from payments a full join payments b on a._lsn = b._lsn + 1", "8"),
        ("select count(*) from payments p where exists (select 1 from payments q where q._lsn = p._lsn + 1)", "0"),
        ("select count(*) from payments p where amount < (select max(amount) from payments)", "2"),
        ("select count(*) from payments p where not exists (select 1 from payments q where q.amount = 100)", "4"),
        ("select (select count(*) from payments)", "4"),
        ("select count(*) from notes where 100 in (select amount from payments)", "0"),
        ("select count(*) from (select * from payments union all select * from payments)", "8"),
        ("select count(*) from (select payment_id from payments except select payment_id from notes)", "3"),
        ("select count(*) from (select payment_id from payments intersect select payment_id from payments)", "4"),
        ("with p as (select * from payments) select count(*) from p a, p b", "16"),
        (
            "with recursive r as (select 0 as n union all select n + 1 from r where n < 6)
            select count(*) from r join payments on _lsn = n",
            "4",
        ),
        ("select count(*) from notes n, lateral (select * from payments p where p._lsn >= n._lsn) x", "4"),
        ("select count(*) from fraud__served s join payments p using (payment_id)", "4"),
        ("select count(*) from (values (1), (3), (5)) v (n) join payments on _lsn = n", "0"),
        ("select count(*) from (values (1), (3), (5)) v (n) where n in (select _lsn from payments)", "0"),
        ("select count(*) from payments p semi join (select 'FR' as c) f on p.country = f.c", "0"),
    ] {
        let text = text.replace("p semi join", "p left semi join");
        assert_eq!(lake.value(&text).await, expected, "{text}");
    }
}

#[tokio::test]
async fn a_hidden_column_does_not_exist() {
    let lake = lake().await;
    for text in [
        "select secret from payments",
        "select payments.secret from payments",
        "select count(*) from payments where secret = 'x'",
        "select payment_id from payments order by secret",
        "select max(secret) from payments group by secret",
        "select count(*) from payments p join notes n on p.secret = n.payment_id",
    ] {
        let error = lake.refused(text).await;
        assert_eq!(error.code(), codes::SQL_COLUMN_UNKNOWN, "{text}");
        assert!(!error.remedy().unwrap().contains("payments.secret"), "{text}: {error:?}");
    }
    let columns = lake.rows("describe payments").await;
    let names: Vec<&str> = columns.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, ["payment_id", "card_id", "country", "amount", "vip", "paid_at", "_partition", "_lsn"]);
    let text = "select count(*) from information_schema.columns where column_name = 'secret' and table_name <> 'notes'";
    assert_eq!(lake.value(text).await, "0");
    assert!(!lake.rows("show columns from payments").await.iter().any(|row| row.contains(&"secret".to_owned())));
    assert_eq!(lake.rows("select * from payments").await[0].len(), 8);
}

#[tokio::test]
async fn a_table_without_grant_is_like_one_that_never_was() {
    let lake = lake().await;
    for text in [
        "select * from NAME",
        "select count(*) from seawall.public.NAME",
        "describe NAME",
        "show columns from NAME",
        "explain select * from NAME",
        "select 1 from payments where 1 in (select amount from NAME)",
        "with x as (select 1 from NAME) select 1",
    ] {
        let hidden = lake.refused(&text.replace("NAME", "salaries")).await;
        let absent = lake.refused(&text.replace("NAME", "salariez")).await;
        assert_eq!(hidden.code(), absent.code(), "{text}");
        assert_eq!(told(&hidden).replace("salaries", "salariez"), told(&absent), "{text}");
    }
    for text in [
        "show tables",
        "select * from information_schema.tables",
        "select * from information_schema.columns",
        "select * from information_schema.views",
    ] {
        check_clean(&format!("{:?}", lake.rows(text).await), text);
    }
    assert_eq!(lake.value("select count(*) from information_schema.tables where table_schema = 'public'").await, "4");
    let pinned = |table: &str| Query {
        versions: vec![(table.to_owned(), TableVersion(1))],
        ..sql(&format!("select * from {table}"))
    };
    let hidden = ask_as(&lake.engine, &analyst(), pinned("salaries")).await.unwrap_err();
    let absent = ask_as(&lake.engine, &analyst(), pinned("salariez")).await.unwrap_err();
    assert_eq!(told(&hidden).replace("salaries", "salariez"), told(&absent));
}

#[tokio::test]
async fn explanations_tell_names_only() {
    let lake = lake().await;
    for text in [
        "explain select payment_id from payments where amount > 5",
        "explain verbose select payment_id from payments where amount > 5",
        "explain format tree select payment_id from payments where amount > 5",
        "explain format indent select payment_id from payments where amount > 5",
    ] {
        let rows = lake.rows(text).await;
        let plan = format!("{rows:?}");
        check_clean(&plan, text);
        assert!(plan.contains("TableScan payments [payment_id, amount]"), "{plan}");
        for word in ["DE", "country", "rows=", "Exact", "file", "statistics", "PolicyExec"] {
            assert!(!plan.contains(word), "{text} tells {word}: {plan}");
        }
    }
    for text in ["explain analyze select 1 from payments", "explain analyze verbose select count(*) from payments"] {
        let error = lake.refused(text).await;
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, codes::EXPLAIN_ANALYZE));
    }
    let full = ask_as(&lake.engine, &permit(), sql("explain select payment_id from payments")).await.unwrap();
    assert!(format!("{full:?}").contains("physical_plan"));
}

#[tokio::test]
async fn statements_that_do_more_than_read_are_refused() {
    let lake = lake().await;
    for text in [
        "set datafusion.execution.target_partitions = 1",
        "reset datafusion.execution.target_partitions",
        "copy payments to '/tmp/stolen.csv'",
        "copy (select * from payments) to '/tmp/stolen.parquet'",
        "create external table x stored as parquet location '/tmp'",
        "create table x as select * from payments",
        "create view x as select * from payments",
        "insert into notes select * from payments",
        "update payments set country = 'DE'",
        "delete from payments",
        "truncate table payments",
        "drop table payments",
        "prepare q as select * from payments",
        "execute q",
        "create function f() returns int return 1",
        "begin",
        "explain copy payments to '/tmp/x.csv'",
        "select 1; select * from salaries",
    ] {
        let error = lake.refused(text).await;
        assert!([codes::SQL_NOT_READ_ONLY, codes::SQL_INVALID].contains(&error.code()), "{text}: {error:?}");
    }
}

#[tokio::test]
async fn files_cannot_be_named() {
    let lake = lake().await;
    let folder = lake.store.folder(&name("payments")).unwrap();
    let files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|path| path.ends_with(".parquet"))
        .collect();
    for path in files.iter().map(String::as_str).chain(["/etc/passwd", "file:///etc/passwd", "payments/_delta_log"]) {
        for text in [format!("select * from '{path}'"), format!("select * from \"{path}\"")] {
            let error = lake.refused(&text).await;
            assert_eq!(error.kind(), ErrorKind::NotFound, "{text}: {error}");
        }
        for function in ["read_parquet", "read_csv", "parquet_metadata", "delta_scan", "list_files"] {
            let error = lake.refused(&format!("select * from {function}('{path}')")).await;
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
    }
    assert_eq!(lake.value("select count(*) from generate_series(1, 3)").await, "3");
}

#[tokio::test]
async fn an_old_version_is_read_under_the_grant_of_today() {
    let lake = lake().await;
    let pinned = |text: &str| Query { versions: vec![("payments".into(), TableVersion(1))], ..sql(text) };
    let rows = ask_as(&lake.engine, &analyst(), pinned("select count(*), max(card_id) from payments")).await.unwrap();
    assert_eq!(rows, [["4", "************2222"]]);
    let error = ask_as(&lake.engine, &analyst(), pinned("select secret from payments")).await.unwrap_err();
    assert_eq!(error.code(), codes::SQL_COLUMN_UNKNOWN);

    // A column that came later: it is masked where it is, and it decides where it is not.
    let mut evolved = fields();
    evolved.push(Field::new("region", DataType::Utf8, true));
    evolved.extend(system_fields());
    lake.store.ensure(&permit(), &name("payments"), Arc::new(Schema::new(evolved)), &[]).await.unwrap();
    let mut later = grant();
    later.masks.insert("region".into(), Mask::MaskToFixedValue);
    let newest = ask_as(&lake.engine, &restricted(&[("payments", later.clone())]), sql("select * from payments")).await;
    let newest = newest.unwrap();
    assert_eq!((newest.len(), newest[0].len()), (4, 9));
    assert!(newest.iter().all(|row| row[6] == "XXXXXXXX" || row[8] == "XXXXXXXX" || row.contains(&"XXXXXXXX".into())));
    let by_region = Predicate::Not(Box::new(Predicate::Compare {
        column: "region".into(),
        operator: Comparison::Equal,
        literal: Literal::Text("north".into()),
    }));
    let grant = TableGrant { rows: Some(by_region), ..TableGrant::default() };
    let rows = ask_as(&lake.engine, &restricted(&[("payments", grant)]), pinned("select * from payments")).await;
    assert!(rows.unwrap().is_empty(), "null is not shown");
}

#[tokio::test]
async fn stopped_rows_show_no_more_than_accepted_ones() {
    let lake = lake().await;
    let rows = lake.rows("select _lsn, _raw from payments__quarantine order by _lsn").await;
    let expected = [
        [
            "0",
            r#"{"payment_id":"q0","card_id":"************7777","country":"DE","amount":"many","paid_at":"2024-03-01T00:00:00Z"}"#,
        ],
        ["4", r#"{"payment_id":"q4","country":"DE"}"#],
    ];
    assert_eq!(rows, expected);
    for text in [
        "select count(*) from payments__quarantine where _raw like '%4000%'",
        "select count(*) from payments__quarantine where _reasons like '%4000%'",
        "select count(*) from payments__quarantine where _lsn in (1, 2, 3)",
    ] {
        assert_eq!(lake.value(text).await, "0", "{text}");
    }
    assert_eq!(lake.value("select count(*) from payments__quarantine").await, "2");
}

#[tokio::test]
async fn reasons_tell_nothing_that_is_masked() {
    let lake = lake().await;
    let rows = lake.rows("select _reasons from payments__quarantine order by _lsn").await;
    check_clean(&format!("{rows:?}"), "reasons");
    let first: serde_json::Value = serde_json::from_str(&rows[0][0]).unwrap();
    assert_eq!(first[0]["message"], "amount is \"many\", which is not a number");
    assert_eq!(
        first[1],
        serde_json::json!({"rule": "pattern", "column": "card_id", "message": "not shown", "mode": "quarantine"})
    );
    assert_eq!(first[2], serde_json::json!({"rule": "not shown", "message": "not shown", "mode": "warn"}));
    assert_eq!(first[3]["message"], "not shown");
    let second: serde_json::Value = serde_json::from_str(&rows[1][0]).unwrap();
    assert_eq!(second[0]["message"], "not shown");
}

#[tokio::test]
async fn a_scan_is_a_leaf_that_knows_nothing() {
    let lake = lake().await;
    let state = datafusion::prelude::SessionContext::new().state();
    let table = name("payments");
    let version = lake.store.state(&table, None).await.unwrap();
    let (permit, store) = (analyst(), lake.store.as_ref());
    let salt = crate::policy::Salt::of_scan(&permit);
    let policy = crate::policy::of(store, &permit, &table, &version.schema, salt).await.unwrap().unwrap();
    let inner: Arc<dyn TableProvider> =
        Arc::new(datafusion::catalog::MemTable::try_new(Arc::clone(&version.schema), vec![vec![]]).unwrap());
    let table = PolicyTable::new(inner, policy);
    let filter = datafusion::prelude::col("amount").gt(datafusion::prelude::lit(5));
    assert_eq!(table.supports_filters_pushdown(&[&filter]).unwrap(), [TableProviderFilterPushDown::Unsupported]);
    assert!(table.statistics().is_none());
    let exec = table.scan(&state, None, &[], Some(1)).await.unwrap();
    assert!(exec.children().is_empty());
    assert!(!exec.supports_limit_pushdown());
    assert!(exec.with_fetch(Some(1)).is_none());
    #[expect(deprecated)]
    let statistics = exec.partition_statistics(None).unwrap();
    assert_eq!(*statistics, datafusion::common::Statistics::new_unknown(&exec.schema()));
}

#[tokio::test]
async fn a_policy_that_cannot_be_enforced_fails_the_query() {
    let lake = lake().await;
    let ask = async |grant: TableGrant, text: &str| {
        ask_as(&lake.engine, &restricted(&[("payments", grant)]), sql(text)).await
    };
    let masked = |column: &str, mask: Mask| TableGrant {
        masks: BTreeMap::from([(column.to_owned(), mask)]),
        ..TableGrant::default()
    };
    for (column, mask) in [
        ("amount", Mask::ShowLast4),
        ("vip", Mask::MaskAlphanum),
        ("paid_at", Mask::Sha256Global),
        ("card_id", Mask::TruncateToYear),
    ] {
        let error = ask(masked(column, mask), "select * from payments").await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, codes::MASK_UNFIT));
        assert!(error.to_string().contains(column), "{error}");
    }
    let compare = |column: &str, literal: Literal| TableGrant {
        rows: Some(Predicate::Compare { column: column.into(), operator: Comparison::Less, literal }),
        ..TableGrant::default()
    };
    for grant in [
        compare("amount", Literal::Text("4711".into())),
        compare("country", Literal::Integer(4711)),
        compare("vip", Literal::Bool(true)),
        compare("paid_at", Literal::Integer(4711)),
        compare("nowhere", Literal::Integer(4711)),
    ] {
        let error = ask(grant, "select count(*) from payments").await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, codes::FILTER_INCOMPUTABLE));
        assert!(!told(&error).contains("4711") && !told(&error).contains("nowhere"), "{error}");
    }
}

#[tokio::test]
async fn hashes_of_one_query_are_of_no_use_in_another() {
    let lake = lake().await;
    let masks = BTreeMap::from([("card_id".to_owned(), Mask::Sha256QueryLocal)]);
    let permit = restricted(&[("payments", TableGrant { masks, ..TableGrant::default() })]);
    let hashes = async |text: &str| ask_as(&lake.engine, &permit, sql(text)).await.unwrap();
    let text = "select card_id from payments where payment_id = 'p0'";
    let first = hashes(text).await;
    assert_eq!(first[0][0].len(), 64);
    assert_eq!(first, hashes(text).await);
    assert_ne!(first, hashes(&format!("{text} ")).await);
    let joined = "select count(*) from payments a join payments b using (card_id)";
    assert_eq!(hashes(joined).await, [["6"]], "equal values stay equal within a query");
}

/// Both stores apply grants to scans, which is how rows behind a feature are explained.
#[tokio::test]
async fn scans_of_the_stores_are_restricted_too() {
    let lake = lake().await;
    let memory = MemoryStore::new();
    fill(&memory, &PAYMENTS).await;
    for store in [lake.store.as_ref() as &dyn TableStore, &memory] {
        let columns = ["card_id".to_owned(), "payment_id".to_owned()];
        let batches = store.scan(&analyst(), &name("payments"), TableVersion(1), Some(&columns)).await.unwrap();
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!((rows, batches[0].schema().field(0).name().as_str()), (4, "card_id"));
        check_clean(&format!("{batches:?}"), "a scan");
        let secret = ["secret".to_owned()];
        let error = store.scan(&analyst(), &name("payments"), TableVersion(1), Some(&secret)).await.unwrap_err();
        assert_eq!(error.code(), codes::SQL_COLUMN_UNKNOWN);
        let error = store.scan(&analyst(), &name("salaries"), TableVersion(1), None).await.unwrap_err();
        let absent = store.scan(&analyst(), &name("salariez"), TableVersion(1), None).await.unwrap_err();
        assert_eq!(told(&error).replace("salaries", "salariez"), told(&absent));
        let stopped = store.scan(&analyst(), &name("payments__quarantine"), TableVersion(1), None).await.unwrap();
        check_clean(&format!("{stopped:?}"), "stopped rows");
        let notes = store.scan(&analyst(), &name("notes"), TableVersion(1), None).await.unwrap();
        assert_eq!(notes[0].num_columns(), 9);
    }
    let options = EngineOptions { memory_bytes: 1 << 27, threads: 1, spill_folder: None };
    let engine = DataFusionEngine::over(Arc::new(memory), options).unwrap();
    for text in ["select * from payments order by payment_id", "select count(*) from payments__quarantine"] {
        let in_memory = ask_as(&engine, &analyst(), sql(text)).await.unwrap();
        assert_eq!(in_memory, lake.rows(text).await, "{text}");
    }
}
