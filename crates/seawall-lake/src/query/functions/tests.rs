use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;

use super::*;

async fn run(sql: &str) -> Result<String, String> {
    let context = SessionContext::new();
    for function in all() {
        context.register_udf(function.as_ref().clone());
    }
    let frame = context.sql(sql).await.map_err(|e| e.to_string())?;
    let batches = frame.collect().await.map_err(|e| e.to_string())?;
    let shown = pretty_format_batches(&batches).map_err(|e| e.to_string())?.to_string();
    let rows = shown.lines().filter(|line| line.starts_with('|')).skip(1);
    Ok(rows.map(|line| line.trim_matches(['|', ' ']).to_owned()).collect::<Vec<_>>().join(";"))
}

async fn check(sql: &str, expected: &str) {
    assert_eq!(run(sql).await.as_deref(), Ok(expected), "{sql}");
}

/// The day of the example: clocks in Seattle and Portland went from two to three on 2014-03-09 and from two to one on
/// 2014-11-02.
#[tokio::test]
async fn a_time_in_the_gap_is_null_and_a_time_that_was_twice_is_the_earlier() {
    let sql = "select local_to_instant(column1, 'America/Los_Angeles') from (values
        ('2014-01-01T00:05:00'), ('2014-03-09T01:59:59'), ('2014-03-09T02:00:00'), ('2014-03-09T02:30:00'),
        ('2014-03-09T03:00:00'), ('2014-11-02T00:59:59'), ('2014-11-02T01:30:00'), ('2014-11-02T02:00:00'),
        (null), ('2014-02-30T00:00:00'), ('soon'))";
    let expected = "2014-01-01T08:05:00Z;2014-03-09T09:59:59Z;;;2014-03-09T10:00:00Z;2014-11-02T07:59:59Z;\
        2014-11-02T08:30:00Z;2014-11-02T10:00:00Z;;;";
    check(sql, expected).await;
}

#[tokio::test]
async fn timestamps_dates_and_text_mean_the_same_local_time() {
    let zone = "'America/Los_Angeles'";
    check(&format!("select local_to_instant(timestamp '2014-07-01 12:00:00', {zone})"), "2014-07-01T19:00:00Z").await;
    check(&format!("select local_to_instant('2014-07-01 12:00:00', {zone})"), "2014-07-01T19:00:00Z").await;
    check(&format!("select local_to_instant(date '2014-07-01', {zone})"), "2014-07-01T07:00:00Z").await;
    check(&format!("select local_to_instant(null, {zone})"), "").await;
    check("select local_to_instant('2014-07-01T12:00:00', cast(null as varchar))", "").await;
}

#[tokio::test]
async fn each_row_can_name_its_zone() {
    let sql = "select local_to_instant('2014-07-01T12:00:00', z) from (values ('UTC'), ('Asia/Kolkata'), (null)) t(z)";
    check(sql, "2014-07-01T12:00:00Z;2014-07-01T06:30:00Z;").await;
}

#[tokio::test]
async fn instants_are_shown_by_the_clocks_of_a_zone() {
    let sql =
        "select instant_to_local(arrow_cast(column1, 'Timestamp(Microsecond, Some(\"UTC\"))'), 'America/Los_Angeles')
        from (values ('2014-03-09T09:59:59Z'), ('2014-03-09T10:00:00Z'), ('2014-11-02T08:30:00Z'),
        ('2014-11-02T09:30:00Z'), (null))";
    check(sql, "2014-03-09T01:59:59;2014-03-09T03:00:00;2014-11-02T01:30:00;2014-11-02T01:30:00;").await;
}

#[tokio::test]
async fn mistakes_are_named() {
    let unknown = run("select local_to_instant('2014-01-01T00:00:00', 'Mars/Olympus')").await.unwrap_err();
    assert!(unknown.contains("Mars/Olympus"), "{unknown}");
    let instant = run(
        "select local_to_instant(arrow_cast('2014-01-01T00:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))'), 'UTC')",
    );
    assert!(instant.await.unwrap_err().contains("is an instant already"));
    assert!(run("select local_to_instant(1, 'UTC')").await.unwrap_err().contains("timestamp or text"));
    assert!(
        run("select instant_to_local(timestamp '2014-01-01 00:00:00', 'UTC')")
            .await
            .unwrap_err()
            .contains("with a zone")
    );
    assert!(run("select local_to_instant('2014-01-01T00:00:00')").await.is_err());
}

proptest::proptest! {
    /// Outside of gaps and doubled hours, going to an instant and back is the identity.
    #[test]
    fn there_and_back(seconds in -2_000_000_000i64..4_000_000_000) {
        let zone = TimeZone::get("America/Los_Angeles").unwrap();
        let local = local_of(seconds * MICROS_PER_SECOND, &zone).unwrap();
        let back = instant_of(civil_of(local).unwrap(), &zone).unwrap();
        let doubled_hour = 3_600 * MICROS_PER_SECOND;
        proptest::prop_assert!(back == seconds * MICROS_PER_SECOND || back == seconds * MICROS_PER_SECOND - doubled_hour);
    }
}
