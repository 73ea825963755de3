use arrow::array::{ArrayRef, Int64Array, StringArray};

use super::*;

fn selected(select: &Arc<SelectRows>, name: &str, column: ArrayRef) -> Vec<bool> {
    let rows = RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap();
    select(&rows).unwrap().iter().map(|row| row.unwrap()).collect()
}

#[test]
fn rows_are_selected_by_the_exact_id_in_every_type() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("7"), Some(" 7 "), Some("77"), Some(""), None]));
    assert_eq!(selected(&rows_of("person", "7"), "person", texts.clone()), [true, true, false, false, false]);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(70), None]));
    assert_eq!(selected(&rows_of("person", "7"), "person", numbers), [true, false, false]);
    assert_eq!(selected(&rows_of("person", "7"), "other", texts), [false; 5]);
}

#[test]
fn quarantined_rows_are_selected_by_their_text() {
    let raw: ArrayRef = Arc::new(StringArray::from(vec![
        r#"{"person":"7","mail":"x"}"#,
        r#"{"person":7}"#,
        r#"{"person":"8","mail":"7"}"#,
        r#"{"person":null}"#,
        r#"{"person":["7"]}"#,
        "7, not JSON",
    ]));
    assert_eq!(selected(&quarantined_of("person", "7"), "_raw", raw), [true, true, false, false, false, false]);
}
