use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use datafusion::prelude::SessionContext;

use super::*;
use crate::query::session::SessionFactory;

async fn lineage(sql: &str) -> Vec<String> {
    let sessions = SessionFactory::new(1 << 24, None, None).unwrap();
    let context = SessionContext::new_with_state(sessions.session(1));
    let numbers = || Arc::new(Int64Array::from(vec![1, 2]));
    let texts = || Arc::new(StringArray::from(vec!["x", "y"]));
    let input = RecordBatch::try_from_iter([
        ("id", numbers() as _),
        ("amount", numbers() as _),
        ("code", texts() as _),
        ("hidden", numbers() as _),
    ]);
    let airports = RecordBatch::try_from_iter([("code", texts() as _), ("city", texts() as _), ("zone", texts() as _)]);
    context.register_batch("input", input.unwrap()).unwrap();
    context.register_batch("airports", airports.unwrap()).unwrap();
    let plan = context.state().create_logical_plan(sql).await.unwrap();
    // The edges must not depend on the optimiser, but must survive it.
    context.state().optimize(&plan).unwrap();
    let edges = edges(&plan).unwrap();
    edges.into_iter().map(|edge| format!("{} <- {}.{}", edge.output, edge.table, edge.column)).collect()
}

async fn check(sql: &str, expected: &[&str]) {
    assert_eq!(lineage(sql).await, expected, "{sql}");
}

#[tokio::test]
async fn projections_and_aliases() {
    check(
        "select id as key, amount * 2 + id as x, 1 as one from input where hidden > 0 order by hidden",
        &["key <- input.id", "x <- input.amount", "x <- input.id"],
    )
    .await;
    check(
        "select case when amount > 0 then code else 'none' end as c from input",
        &["c <- input.amount", "c <- input.code"],
    )
    .await;
}

#[tokio::test]
async fn joins_name_the_tables_behind_aliases() {
    let sql = "select i.id, a.city || a.zone as place from input i left join airports a on i.code = a.code";
    check(sql, &["id <- input.id", "place <- airports.city", "place <- airports.zone"]).await;
    check("select id from input where code in (select code from airports)", &["id <- input.id"]).await;
    check(
        "select * from airports a join input i using (code) limit 1",
        &[
            "amount <- input.amount",
            "city <- airports.city",
            "code <- airports.code",
            "hidden <- input.hidden",
            "id <- input.id",
            "zone <- airports.zone",
        ],
    )
    .await;
}

#[tokio::test]
async fn common_tables_and_subqueries() {
    let sql = "with a as (select id as k, amount as v from input), b as (select k, v + k as w from a where v > 1)
        select w from b";
    check(sql, &["w <- input.amount", "w <- input.id"]).await;
    check("select (select max(city) from airports) as c, id from input", &["c <- airports.city", "id <- input.id"])
        .await;
    check("select x from (select amount as x, hidden from input) t where hidden = 1", &["x <- input.amount"]).await;
}

#[tokio::test]
async fn unions_merge_by_position() {
    check("select id as a from input union all select amount from input", &["a <- input.amount", "a <- input.id"])
        .await;
    check("select code as c from input union select city from airports", &["c <- airports.city", "c <- input.code"])
        .await;
}

#[tokio::test]
async fn aggregates_and_windows() {
    let sql = "select code, count(*) as n, sum(amount) as s, max(id) - min(hidden) as span from input group by code";
    check(sql, &["code <- input.code", "s <- input.amount", "span <- input.hidden", "span <- input.id"]).await;
    let sql = "select id, sum(amount) over (partition by code order by id) as running from input";
    check(sql, &["id <- input.id", "running <- input.amount", "running <- input.code", "running <- input.id"]).await;
    check("select distinct code as c from input", &["c <- input.code"]).await;
    check(
        "select code, city, sum(1) as n from input join airports using (code) group by rollup (code, city)",
        &["city <- airports.city", "code <- input.code"],
    )
    .await;
}

#[tokio::test]
async fn recursive_queries_lead_to_their_first_term() {
    let sql = "with recursive r as (select id as n from input union all select n + 1 from r where n < 9) select n as m from r";
    check(sql, &["m <- input.id"]).await;
}

#[tokio::test]
async fn values_come_from_nowhere() {
    check("select 1 as x, 'a' as y", &[]).await;
    check("select column1 as x from (values (1), (2))", &[]).await;
}
