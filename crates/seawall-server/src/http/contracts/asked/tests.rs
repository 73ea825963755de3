use super::*;

fn asked(query: &str) -> Asked {
    Asked::of(&format!("/v1/contracts/test?{query}").parse().unwrap()).unwrap()
}

fn code<T>(result: Result<T>) -> &'static str {
    result.err().expect("it is refused").code()
}

#[test]
fn each_key_is_read_once_and_none_is_left_over() {
    let mut one = asked("rows=5&null=NA,-&null=&strict=true&set=A=1&set=B=x%3Dy%2Cz&name=a%20b");
    assert_eq!(one.up_to("rows", 20, 10).unwrap(), 5);
    assert_eq!(one.many("null"), ["NA", "-", ""]);
    assert!(one.flag("strict").unwrap());
    let variables = one.variables().unwrap();
    assert_eq!((variables["A"].as_str(), variables["B"].as_str()), ("1", "x=y,z"));
    assert_eq!(one.one("name").unwrap().as_deref(), Some("a b"));
    assert_eq!(one.one("absent").unwrap(), None);
    one.end().unwrap();

    assert_eq!(code(asked("row=5").end()), "SW0896");
    assert_eq!(code(asked("rows=5&rows=6").one("rows")), "SW0896");
    assert_eq!(code(asked("rows=many").up_to("rows", 1, 10)), "SW0896");
    assert_eq!(code(asked("rows=11").up_to("rows", 1, 10)), "SW0896");
    assert_eq!(code(asked("strict=yes").flag("strict")), "SW0896");
    assert_eq!(code(asked("set=A").variables()), "SW0896");
}

#[test]
fn the_format_is_said_by_the_address_the_type_or_the_file() {
    let format = |query: &str, media: &str, file: Option<&str>| asked(query).format(media, file);
    assert_eq!(format("format=csv", "application/x-ndjson", None).unwrap(), FileFormat::Csv);
    assert_eq!(format("", "application/x-ndjson", Some("x.csv")).unwrap(), FileFormat::Ndjson);
    assert_eq!(format("", "application/octet-stream", Some("x.parquet")).unwrap(), FileFormat::Parquet);
    assert_eq!(code(format("", "application/octet-stream", Some("x"))), "SW0890");
    assert_eq!(code(format("format=xml", "text/csv", None)), "SW0896");
}
