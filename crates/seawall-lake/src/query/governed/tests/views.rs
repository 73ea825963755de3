//! Views are planned with the rights of who reads them.

use super::*;

fn with_views(text: &str, views: &[(&str, &str)]) -> Query {
    let views = views.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned())).collect();
    Query { views, ..sql(text) }
}

const VIEWS: [(&str, &str); 5] = [
    ("big", "select payment_id, card_id, amount from payments where amount >= 20"),
    ("biggest", "select * from big order by amount desc limit 1"),
    ("pay", "select * from salaries where amount > 4711"),
    ("hushed", "select secret from payments"),
    ("both", "select p.payment_id from payments p join pay using (payment_id)"),
];

#[tokio::test]
async fn a_view_shows_what_its_reader_may_see() {
    let lake = lake().await;
    let query = || with_views("select payment_id, card_id from biggest", &VIEWS);
    assert_eq!(ask_as(&lake.engine, &analyst(), query()).await.unwrap(), [["p4", "****"]]);
    let full = ask_as(&lake.engine, &permit(), query()).await.unwrap();
    assert_eq!(full.len(), 1);
    assert_ne!(full[0][0], "p4");
    let counted = with_views("select count(*) from big a join biggest b on true", &VIEWS);
    assert_eq!(ask_as(&lake.engine, &analyst(), counted).await.unwrap(), [["2"]]);
}

#[tokio::test]
async fn a_view_over_what_is_not_shown_does_not_exist() {
    let lake = lake().await;
    for view in ["pay", "hushed", "both"] {
        let text = format!("select * from {view}");
        let error = ask_as(&lake.engine, &analyst(), with_views(&text, &VIEWS)).await.unwrap_err();
        let absent = ask_as(&lake.engine, &analyst(), with_views("select * from nothing", &VIEWS)).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (absent.kind(), absent.code()));
        assert_eq!(error.to_string().replace(view, "nothing"), absent.to_string());
        assert_eq!(error.remedy(), absent.remedy());
    }
    let listed = async |permit: &Permit| {
        let text = "select table_name from information_schema.views where table_schema = 'public' order by 1";
        ask_as(&lake.engine, permit, with_views(text, &VIEWS)).await.unwrap()
    };
    let shown = format!("{:?}", listed(&analyst()).await);
    assert!(shown.contains("\"big\"") && shown.contains("\"biggest\""), "{shown}");
    assert!(!shown.contains("pay\"") && !shown.contains("hushed") && !shown.contains("both"), "{shown}");
    assert!(format!("{:?}", listed(&permit()).await).contains("hushed"));
    let tables = ask_as(&lake.engine, &analyst(), with_views("show tables", &VIEWS)).await.unwrap();
    assert!(!format!("{tables:?}").contains("hushed"));
}

#[tokio::test]
async fn the_text_of_a_view_is_not_told() {
    let lake = lake().await;
    for text in
        ["select * from information_schema.views", "explain select * from big", "explain verbose select * from biggest"]
    {
        let rows = ask_as(&lake.engine, &analyst(), with_views(text, &VIEWS)).await.unwrap();
        let told = format!("{rows:?}");
        assert!(!told.contains(">=") && !told.contains("20") && !told.contains("4711"), "{told}");
    }
    let text = "select definition from information_schema.views where table_name = 'big'";
    let full = ask_as(&lake.engine, &permit(), with_views(text, &VIEWS)).await.unwrap();
    assert_eq!(full, [[VIEWS[0].1]]);
}

#[tokio::test]
async fn circles_and_towers_of_views_are_refused() {
    let lake = lake().await;
    let circle = [("a", "select * from b"), ("b", "select * from c"), ("c", "select * from a")];
    let error = ask_as(&lake.engine, &permit(), with_views("select * from a", &circle)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, codes::VIEW), "{error}");
    assert!(error.to_string().contains("a -> b -> c -> a"), "{error}");
    let error = ask_as(&lake.engine, &analyst(), with_views("select * from a", &circle)).await.unwrap_err();
    assert_eq!(error.code(), codes::SQL_TABLE_UNKNOWN);

    let tower: Vec<(String, String)> =
        (0..12).map(|at| (format!("v{}", at + 1), format!("select * from v{at}"))).collect();
    let mut tower: Vec<(&str, &str)> = tower.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    tower.push(("v0", "select payment_id from payments"));
    assert!(ask_as(&lake.engine, &permit(), with_views("select * from v7", &tower)).await.is_ok());
    let error = ask_as(&lake.engine, &permit(), with_views("select * from v12", &tower)).await.unwrap_err();
    assert_eq!(error.code(), codes::VIEW, "{error}");

    let doubling: Vec<(String, String)> = (0..7)
        .map(|at| {
            let below = if at == 0 { "payments".to_owned() } else { format!("d{}", at - 1) };
            let four = vec![format!("select payment_id from {below}"); 4].join(" union all ");
            (format!("d{at}"), four)
        })
        .collect();
    let doubling: Vec<(&str, &str)> = doubling.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    let error = ask_as(&lake.engine, &permit(), with_views("select * from d6", &doubling)).await.unwrap_err();
    assert_eq!(error.code(), codes::VIEW, "{error}");
}

#[tokio::test]
async fn a_view_is_one_select() {
    let lake = lake().await;
    for text in [
        "drop table payments",
        "explain select 1",
        "select 1; select 2",
        "describe payments",
        "copy payments to '/tmp/x'",
    ] {
        let error = ask_as(&lake.engine, &permit(), with_views("select * from v", &[("v", text)])).await.unwrap_err();
        assert_eq!(error.code(), codes::SQL_NOT_READ_ONLY, "{text}: {error}");
    }
    let error =
        ask_as(&lake.engine, &permit(), with_views("select * from v", &[("v", "select x from payments")])).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), codes::SQL_COLUMN_UNKNOWN);
    assert!(error.to_string().starts_with("view v:"), "{error}");
    assert!(error.remedy().unwrap().contains("payment_id"));
}
