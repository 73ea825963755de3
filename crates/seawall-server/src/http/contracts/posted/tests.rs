use super::*;

const TYPE: &str = "multipart/form-data; boundary=b1";

fn taken(body: &str) -> Result<Vec<Part>> {
    take_apart(&Bytes::from(body.replace('\n', "\r\n")), TYPE)
}

#[track_caller]
fn refused(body: &str, what: &str) {
    let error = taken(body).expect_err("it is refused");
    assert_eq!(error.code(), "SW0256");
    assert!(error.message().contains(what), "{error}");
}

#[test]
fn parts_are_taken_apart() {
    let body = "for nobody\n--b1\nContent-Disposition: form-data; name=\"contract\"; filename=\"a \\\"b\\\".yaml\"\n\
                Content-Type: Application/Yaml; charset=utf-8\n\nid: x\n--b\n\n--b1 \ncontent-disposition: form-data; \
                filename=x.csv; name=rows\n\n\n--b1--\nfor nobody either";
    let mut parts = taken(body).unwrap();
    let found: Vec<(&str, Option<&str>, &str, &str)> = parts
        .iter()
        .map(|part| (part.name.as_str(), part.file.as_deref(), part.media.as_str(), part.text().unwrap()))
        .collect();
    assert_eq!(
        found,
        [("contract", Some("a \"b\".yaml"), "application/yaml", "id: x\r\n--b\r\n"), ("rows", Some("x.csv"), "", "")]
    );
    assert_eq!(part(&mut parts, "rows").unwrap().file.as_deref(), Some("x.csv"));
    assert_eq!(part(&mut parts, "rows").unwrap_err().code(), "SW0256");
    let twice =
        "--b1\ncontent-disposition: form-data; name=a\n\n1\n--b1\ncontent-disposition: form-data; name=a\n\n2\n--b1--";
    assert!(part(&mut taken(twice).unwrap(), "a").unwrap_err().message().contains("more than one"));
}

#[test]
fn what_is_no_list_of_parts_is_refused() {
    refused("", "boundary is nowhere");
    refused("--b1", "ends too early");
    refused("--b1\nContent-Disposition: form-data; name=a\n\nx", "ends too early");
    refused("--b1\nContent-Disposition: form-data\n\nx\n--b1--", "no name");
    refused("--b1\nContent-Type: text/csv\n\nx\n--b1--", "no name");
    refused("--b1x\nContent-Disposition: form-data; name=a\n\nx\n--b1--", "within a part");
    refused(&format!("--b1\nX: {}", "y".repeat(PART_HEADERS_BYTES_MAX)), "do not end");
    let many = "--b1\nContent-Disposition: form-data; name=a\n\nx\n".repeat(PARTS_MAX + 1) + "--b1--";
    refused(&many, "too many");
    for boundary in ["", "; boundary=", "; boundary=\"unclosed"] {
        let error = take_apart(&Bytes::from_static(b"--b1--"), &format!("multipart/form-data{boundary}"));
        assert_eq!(error.unwrap_err().code(), "SW0256", "{boundary}");
    }
    // A body that begins like one boundary after the other costs no more than its length.
    let hostile = format!("--b1\nContent-Disposition: form-data; name=a\n\n{}\n--b1--", "\r\n--b".repeat(200_000));
    assert_eq!(taken(&hostile).unwrap().len(), 1);
}
