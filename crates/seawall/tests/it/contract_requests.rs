//! Contracts over HTTP: the same reports as the commands give, for posted contracts and for those in force, and who may ask.

use serde_json::{Value, json};

use crate::support::{Project, Server, run};

const ORDERS: &str = "\
apiVersion: v3.2.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, primaryKey: true}
      - {name: at, logicalType: timestamp, required: true}
      - {name: email, logicalType: string, logicalTypeOptions: {pattern: '@'}}
      - name: amount
        logicalType: number
        logicalTypeOptions: {minimum: 0}
        quality:
          - {type: text, description: the amount was agreed on the phone}
    customProperties: [{property: seawall.eventTime, value: at}]
    quality:
      - {type: sql, id: total, query: 'SELECT sum(amount) FROM {object}', mustBeLessThan: 100}
";
const LINES: &str = "\
{\"id\": 1, \"at\": \"2026-01-01T00:00:00Z\", \"email\": \"a@b\", \"amount\": 60}
{\"id\": 2, \"at\": \"2026-01-01T00:00:00Z\", \"email\": \"nobody\", \"amount\": -1}
{\"id\": 3, \"at\": \"2026-01-01T00:00:00Z\", \"email\": \"c@d\", \"amount\": 70}
{\"id\": 1, \"at\": \"2026-01-01T00:00:00Z\", \"email\": \"e@f\", \"amount\": 1}
{\"id\":
";

fn shop() -> Project {
    let project = Project::with(&[
        ("seawall.yaml", "kind: project\nname: shop\n"),
        ("contracts/orders.odcs.yaml", ORDERS),
        ("sources.yaml", "kind: source\nname: orders\nhttp: {}\ncontract: orders@1\n"),
        (
            "views.yaml",
            "kind: feature_view\nname: people\nentity: email\nfrom: orders\ntime: at\nfeatures:\n  \
             total: {sum: amount, window: 24h}\n",
        ),
        ("orders.ndjson", LINES),
    ]);
    project.run(&["apply"]).expect(0);
    project
}

/// A request with headers and any bytes as body.
fn ask(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, String) {
    let mut request = ureq::post(format!("{}{path}", server.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.config().http_status_as_error(false).build().send(body).unwrap();
    let media = response.headers().get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    (response.status().as_u16(), media, response.body_mut().read_to_string().unwrap())
}

fn ask_json(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let (status, _, text) = ask(server, path, headers, body);
    (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}: {text}")))
}

const MULTIPART: (&str, &str) = ("content-type", "multipart/form-data; boundary=between");

fn parts(parts: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let head = format!(
            "--between\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--between--\r\n");
    body
}

/// What differs from run to run, and what only one of the two tells.
fn comparable(mut report: Value) -> Value {
    let fields = report.as_object_mut().unwrap();
    for key in ["version", "took_ms", "bad_rows", "bad_rows_truncated", "written"] {
        fields.remove(key);
    }
    report
}

#[test]
fn a_posted_contract_is_linted_exported_and_imported_as_by_the_commands() {
    let project = shop();
    let server = project.serve(&[]);
    let file = project.path().join("posted.odcs.yaml").display().to_string();
    std::fs::write(&file, ORDERS).unwrap();

    let (status, said) = server.post("/v1/contracts/lint", ORDERS);
    let by_command = run(&["contract", "lint", &file, "--output", "json"]).expect(0).json();
    assert_eq!((status, &said), (200, &comparable(by_command)));
    let (status, said) = server.post("/v1/contracts/lint", &ORDERS.replace("minimum", "minimun"));
    assert_eq!((status, &said["ok"], &said["errors"]), (200, &json!(false), &json!(1)), "{said}");
    let first = &said["diagnostics"][0];
    assert_eq!((&first["line"], &first["help"]), (&json!(14), &json!("did you mean `minimum`?")), "{said}");
    assert!(first["code"].is_string() && first["column"].is_u64());
    let (status, said) =
        server.post("/v1/contracts/lint?set=V=1", &ORDERS.replace("version: 1.0.0", "version: ${V}.0.0"));
    assert_eq!((status, &said["contract"]), (200, &json!("orders 1.0.0")), "{said}");

    for form in ["jsonschema", "sql", "html", "odcs"] {
        let (status, said) = server.post(&format!("/v1/contracts/export?form={form}"), ORDERS);
        let by_command = run(&["contract", "export", &file, "--form", form, "--output", "json"]).expect(0).json();
        assert_eq!((status, &said["text"], &said["lost"]), (200, &by_command["text"], &by_command["lost"]), "{form}");
    }
    let bare = [("accept", "application/schema+json")];
    let (status, media, schema) = ask(&server, "/v1/contracts/export?form=jsonschema", &bare, ORDERS.as_bytes());
    assert_eq!((status, media.as_str()), (200, "application/schema+json"));
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["properties"]["amount"]["minimum"], 0);
    let (status, said) = server.post("/v1/contracts/import?form=jsonschema&name=orders", &schema.to_string());
    assert_eq!(status, 200, "{said}");
    let imported = said["contract"].as_str().unwrap();
    assert_eq!(server.post("/v1/contracts/lint", imported).1["ok"], true, "{imported}");
    let (status, said) = server.post("/v1/contracts/import?form=sql&name=t", "create table t (a int not null)");
    assert!(status == 200 && said["contract"].as_str().unwrap().contains("required: true"), "{said}");

    for (path, body, wanted) in [
        ("/v1/contracts/export?form=xml", ORDERS, (400, "SW1732")),
        ("/v1/contracts/export?form=sql", "kind: DataContract", (422, "SW0257")),
        ("/v1/contracts/import?form=sql", "create table t (a int)", (400, "SW0896")),
        ("/v1/contracts/import?form=sql&name=t", "no sql", (400, "SW1731")),
        ("/v1/contracts/lint?strikt=true", ORDERS, (400, "SW0896")),
    ] {
        let (status, said) = server.post(path, body);
        assert_eq!((status, said["error"]["code"].as_str().unwrap()), wanted, "{path}: {said}");
        assert!(said["error"]["hint"].is_string(), "{path}: {said}");
    }
}

#[test]
fn a_posted_contract_is_compared_with_the_one_in_force_and_what_it_reaches_is_told() {
    let project = shop();
    let server = project.serve(&[]);
    let stricter = ORDERS.replace("minimum: 0", "minimum: 5").replace("version: 1.0.0", "version: 1.1.0");
    let (status, said) = server.post("/v1/contracts/diff", &stricter);
    assert_eq!((status, &said["verdict"], &said["ok"]), (200, &json!("breaking"), &json!(false)), "{said}");
    let change = &said["changes"][0];
    assert_eq!((&change["column"], &change["breaks"]), (&json!("amount"), &json!("producers")), "{said}");
    assert_eq!(change["reaches"]["features"][0]["name"], "people@1.total", "{said}");
    assert!(change["why"].is_string());

    let looser = ORDERS.replace("minimum: 0", "minimum: -5").replace("version: 1.0.0", "version: 1.1.0");
    let (_, said) = server.post("/v1/contracts/diff", &looser);
    assert_eq!((&said["verdict"], &said["ok"]), (&json!("compatible"), &json!(true)), "{said}");
    let (_, said) = server.post("/v1/contracts/diff", ORDERS);
    assert_eq!(said["verdict"], "unchanged", "{said}");

    let both = parts(&[("old", "a.yaml", looser.as_bytes()), ("new", "b.yaml", stricter.as_bytes())]);
    let (status, said) = ask_json(&server, "/v1/contracts/diff", &[MULTIPART], &both);
    assert_eq!((status, &said["verdict"]), (200, &json!("breaking")), "{said}");
    let (status, said) = server.post("/v1/contracts/diff", &ORDERS.replace("id: orders", "id: others"));
    assert_eq!((status, &said["error"]["code"]), (404, &json!("SW0251")), "{said}");
}

#[test]
fn posted_rows_are_held_to_a_contract_and_nothing_is_kept() {
    let project = shop();
    let server = project.serve(&[]);
    let contract = project.path().join("posted.odcs.yaml").display().to_string();
    std::fs::write(&contract, ORDERS).unwrap();
    let data = project.path().join("orders.ndjson").display().to_string();
    let by_command = run(&["contract", "test", &contract, &data, "--output", "json"]).expect(1).json();

    let body = parts(&[("contract", "c.odcs.yaml", ORDERS.as_bytes()), ("rows", "orders.ndjson", LINES.as_bytes())]);
    let (status, said) = ask_json(&server, "/v1/contracts/test?rows=2", &[MULTIPART], &body);
    assert_eq!(status, 200, "{said}");
    assert_eq!(comparable(said.clone()), comparable(by_command));
    assert_eq!((&said["ok"], &said["rows"], &said["stopped"]), (&json!(false), &json!(4), &json!(2)), "{said}");
    assert_eq!((said["bad_rows"].as_array().unwrap().len(), &said["bad_rows_truncated"]), (2, &json!(true)), "{said}");
    assert_eq!(said["bad_rows"][1]["reasons"].as_array().unwrap().len(), 2, "{said}");
    assert_eq!(said["bad_rows"][1]["raw"]["email"], "nobody", "{said}");

    // The same against the contract in force, and as CSV.
    let (_, said) =
        ask_json(&server, "/v1/datasets/orders/test", &[("content-type", "application/x-ndjson")], LINES.as_bytes());
    assert_eq!((&said["rows"], &said["stopped"], &said["object"]), (&json!(4), &json!(2), &json!("orders")), "{said}");
    let csv = "id,at,email,amount\n1,2026-01-01T00:00:00Z,a@b,1.5\n2,2026-01-01T00:00:00Z,b@c,NA\n3,2026-01-01T00:00:00Z,d@e,x\n";
    let (_, said) =
        ask_json(&server, "/v1/datasets/orders/test?null=NA", &[("content-type", "text/csv")], csv.as_bytes());
    assert_eq!((&said["rows"], &said["stopped"]), (&json!(3), &json!(1)), "{said}");
    let good = "id,at,email,amount\n1,2026-01-01T00:00:00Z,a@b,1.5\n";
    let (_, said) = ask_json(&server, "/v1/datasets/orders/test?format=csv", &[], good.as_bytes());
    assert_eq!((&said["ok"], &said["bad_rows"]), (&json!(true), &json!([])), "{said}");
    let table: Vec<&Value> = said["table_rules"].as_array().unwrap().iter().map(|rule| &rule["holds"]).collect();
    assert_eq!(table, [&json!(true)], "{said}");
    let status: Value = serde_json::from_str(&server.get("/v1/status").1).unwrap();
    assert_eq!(status["datasets"]["orders"]["counts"]["received"], 0, "{status}");

    for (path, headers, body, wanted) in [
        ("/v1/datasets/nothing/test", vec![("content-type", "text/csv")], good, (404, "SW0813")),
        ("/v1/datasets/orders/test", vec![("content-type", "text/html")], good, (415, "SW0890")),
        ("/v1/datasets/orders/test?rows=100000", vec![("content-type", "text/csv")], good, (400, "SW0896")),
        ("/v1/contracts/test", vec![("content-type", "text/csv")], good, (400, "SW0256")),
        ("/v1/datasets/orders/test", vec![("content-type", "application/x-parquet")], good, (400, "SW0707")),
    ] {
        let (status, said) = ask_json(&server, path, &headers, body.as_bytes());
        assert_eq!((status, said["error"]["code"].as_str().unwrap()), wanted, "{path}: {said}");
    }
    // Events are taken in as if nothing had happened.
    let (status, receipt) = server.post("/v1/datasets/orders/events", LINES.lines().next().unwrap());
    assert_eq!((status, &receipt["counts"]["accepted"]), (200, &json!(1)), "{receipt}");
}

#[test]
fn contracts_are_inferred_and_rows_generated() {
    let project = shop();
    let server = project.serve(&[]);
    let csv = "id,paid,amount\n1,2026-01-01T00:00:00Z,5\n2,2026-01-02T00:00:00Z,NA\n";
    let headers = [("content-type", "text/csv")];
    let (status, said) = ask_json(&server, "/v1/contracts/infer?name=shop&key=id&time=paid", &headers, csv.as_bytes());
    assert_eq!((status, &said["null_values"]), (200, &json!(["NA"])), "{said}");
    let contract = said["contract"].as_str().unwrap();
    assert_eq!(server.post("/v1/contracts/lint", contract).1["ok"], true, "{contract}");
    assert_eq!(said["profile"].as_array().unwrap().len(), 3, "{said}");
    let (status, said) = ask_json(&server, "/v1/contracts/infer?key=id", &headers, csv.as_bytes());
    assert_eq!((status, &said["error"]["code"]), (400, &json!("SW0896")), "{said}");

    let asked = "rows=200&violations=0.1&seed=7";
    let (status, said) = server.post(&format!("/v1/contracts/generate?{asked}"), ORDERS);
    assert_eq!((status, said["rows"].as_array().unwrap().len()), (200, 200), "{said}");
    let broken: u64 = said["rules"].as_array().unwrap().iter().map(|rule| rule["rows"].as_u64().unwrap()).sum();
    assert!(broken > 0 && said["violations"].as_array().unwrap().len() as u64 == broken, "{said}");
    let contract = project.path().join("posted.odcs.yaml").display().to_string();
    std::fs::write(&contract, ORDERS).unwrap();
    let made =
        run(&["contract", "generate", &contract, "--rows", "200", "--violations", "10%", "--seed", "7"]).expect(0);
    let bare = [("accept", "application/x-ndjson")];
    let (_, media, lines) = ask(&server, &format!("/v1/contracts/generate?{asked}"), &bare, ORDERS.as_bytes());
    assert_eq!((media.as_str(), lines), ("application/x-ndjson", made.stdout), "the same bytes as by the command");
    let (status, said) = server.get("/v1/contracts/orders@1/generate?rows=3");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, said["rows"].as_array().unwrap().len()), (200, 3), "{said}");
    let (status, said) = server.post("/v1/contracts/generate?rows=100001", ORDERS);
    assert_eq!((status, &said["error"]["code"]), (400, &json!("SW0896")), "{said}");
}

#[test]
fn contracts_in_force_are_listed_shown_and_exported() {
    let project = shop();
    let server = project.serve(&[]);
    let json_of = |path: &str| -> (u16, Value) {
        let (status, text) = server.get(path);
        (status, serde_json::from_str(&text).unwrap())
    };
    let (status, said) = json_of("/v1/contracts");
    assert_eq!(
        (status, &said["contracts"][0]["id"], &said["contracts"][0]["datasets"]),
        (200, &json!("orders"), &json!(["orders"]))
    );
    for name in ["orders", "orders@1"] {
        let (status, said) = json_of(&format!("/v1/contracts/{name}"));
        assert_eq!((status, &said["contract"]["schema"][0]["name"]), (200, &json!("orders")), "{said}");
    }
    let (status, said) = json_of("/v1/contracts/orders@2");
    assert_eq!((status, &said["error"]["code"]), (404, &json!("SW0251")), "{said}");
    let (status, said) = json_of("/v1/contracts/orders/export?form=odcs");
    assert_eq!(status, 200, "{said}");
    let (_, diff) = server.post("/v1/contracts/diff", said["text"].as_str().unwrap());
    assert_eq!(diff["verdict"], "unchanged", "{diff}");
}

#[test]
fn policies_decide_who_may() {
    let project = shop();
    std::fs::create_dir_all(project.path().join("policies")).unwrap();
    let policy = "forbid (principal in Role::\"service\", action == Action::\"read_metadata\", resource == \
                  Resource::\"contracts\");\n";
    std::fs::write(project.path().join("policies/services.cedar"), policy).unwrap();
    project.run(&["apply"]).expect(0);
    let token = |name: &str, role: &str| {
        let said =
            project.run(&["token", "create", "--name", name, "--role", role, "--output", "json"]).expect(0).json();
        format!("Bearer {}", said["secret"].as_str().unwrap())
    };
    let (analyst, service) = (token("ada", "analyst"), token("till", "service"));
    let server = project.serve(&["--tokens"]);
    let status = |token: Option<&str>, path: &str| {
        let headers: Vec<(&str, &str)> =
            token.map(|token| ("authorization", token)).into_iter().chain([("content-type", "text/csv")]).collect();
        let (status, said) = ask_json(&server, path, &headers, b"id,at,email,amount\n1,2026-01-01T00:00:00Z,a@b,1\n");
        (status, said["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(status(None, "/v1/contracts/lint"), (401, "SW0880".to_owned()));
    assert_eq!(status(Some(&analyst), "/v1/contracts/lint").0, 200);
    assert_eq!(status(Some(&service), "/v1/contracts/lint").0, 403);
    assert_eq!(status(Some(&service), "/v1/contracts/infer?name=x").0, 403);
    // A service may still hold its rows to the contract of a dataset.
    assert_eq!(status(Some(&service), "/v1/datasets/orders/test").0, 200);
}
