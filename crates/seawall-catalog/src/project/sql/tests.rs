//! Tables that SQL texts read.

use super::*;

fn check(sql: &str, expected: &[&str]) {
    let read: Vec<String> = tables_read(sql).into_iter().collect();
    assert_eq!(read, expected, "{sql}");
}

#[test]
fn tables_stand_after_from_join_and_commas() {
    check("select * from payments", &["payments"]);
    check("SELECT a, b FROM Payments p, cards AS c WHERE a in (1, 2)", &["cards", "payments"]);
    check("select * from a join b on a.x = b.x left join c using (x) order by x, y", &["a", "b", "c"]);
    check("select (select max(x) from b), y from a", &["a", "b"]);
    check("select * from (select * from a, b) t, c", &["a", "b", "c"]);
    check("select 1 union all select 2 from a", &["a"]);
}

#[test]
fn names_can_be_quoted_and_qualified() {
    check("select * from \"Big \"\"one\"\"\" x", &["Big \"one\""]);
    check("select * from main.public.payments", &["payments"]);
}

#[test]
fn what_only_looks_like_a_table_is_none() {
    check("select 'from secret' -- from hidden\n /* from there */ from a", &["a"]);
    check("with recent as (select * from a) select * from recent", &["a"]);
    check("select * from unnest([1, 2]) u", &[]);
    check("select 'it''s from b' from a", &["a"]);
    check("", &[]);
    check("from", &[]);
    check("select ) from a ) (", &["a"]);
    check("select * from \"open", &["open"]);
}
