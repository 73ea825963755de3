//! New projects pass their own check, whatever the data is called.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use seawall_base::declare::{Available, Connector};
use serde_json::json;

use super::super::source::SourceFile;
use super::super::{Loaded, diagnostic, parse_sources, yaml};
use super::yaml_text::{Comments, to_yaml};
use super::*;

fn loaded(files: &[(PathBuf, String)]) -> Loaded {
    let loaded = parse_sources(files, LoadOptions::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded
}

fn text_of<'f>(files: &'f [(PathBuf, String)], path: &str) -> &'f str {
    files.iter().find(|(known, _)| known.to_string_lossy() == path).map(|(_, text)| text.as_str()).unwrap_or_default()
}

/// A sample as a reader of CSV files hands it over: everything is text.
fn csv(columns: &[(&str, &[&str])]) -> Sample {
    let arrays = columns.iter().map(|(name, values)| {
        let values: StringArray = values.iter().map(|value| (*value != "NA").then_some(*value)).collect();
        (*name, Arc::new(values) as ArrayRef, true)
    });
    Sample {
        path: "data/My Flights.csv".to_owned(),
        format: FileFormat::Csv,
        null_values: vec!["NA".to_owned()],
        batches: vec![RecordBatch::try_from_iter_with_nullable(arrays).unwrap()],
    }
}

fn options(sample: Sample, key: &[&str], time: &str) -> InitOptions {
    InitOptions {
        name: "flights".to_owned(),
        from: Some(sample),
        key: key.iter().map(|name| (*name).to_owned()).collect(),
        time: time.to_owned(),
    }
}

#[test]
fn the_example_is_sound_and_points_editors_to_its_schemas() {
    let files =
        init(InitOptions { name: "shop".to_owned(), from: None, key: Vec::new(), time: String::new() }).unwrap();
    let loaded = loaded(&files);
    assert_eq!(loaded.project.name, "shop");
    assert_eq!((loaded.project.feature_views.len(), loaded.project.training_sets.len()), (1, 1));
    let mut checked = 0;
    for (path, text) in files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "yaml")) {
        let first = text.lines().next().unwrap();
        let schema = first.strip_prefix("# yaml-language-server: $schema=").unwrap();
        let target: PathBuf = path.parent().unwrap().join(schema);
        let mut plain = PathBuf::new();
        for part in target.components() {
            match part {
                std::path::Component::ParentDir => assert!(plain.pop()),
                part => plain.push(part),
            }
        }
        let schema = text_of(&files, &plain.to_string_lossy());
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap_or_else(|e| panic!("{plain:?}: {e}"));
        let file = SourceFile { path: path.clone(), text: text.as_str().into() };
        for node in yaml::documents(0, &file, &mut diagnostic::Report::default()) {
            assert!(jsonschema::draft7::new(&schema).unwrap().is_valid(&node.to_json()), "{path:?}");
            checked += 1;
        }
    }
    assert_eq!(checked, 9);
}

#[test]
fn awkward_names_get_a_map() {
    let sample = csv(&[
        ("Flight ID", &["a", "b", "c"]),
        ("Carrier", &["AS", "DL", "AS"]),
        ("2nd \"Stop\"", &["x", "NA", "y"]),
        ("dep time", &["2014-01-01T08:05:00Z", "2014-01-01T09:00:00Z", "2014-01-02T10:00:00Z"]),
        ("DepDelay", &["5", "-3", "NA"]),
        ("dep_delay", &["1", "2", "3"]),
        ("größe", &["1.5", "2.5", "NA"]),
        ("order", &["1", "2", "3"]),
    ]);
    let files = init(options(sample, &["Carrier"], "dep time")).unwrap();
    let loaded = loaded(&files);
    let source = &loaded.project.sources[0];
    let sql = source.map.as_deref().unwrap();
    for line in [
        "\"Flight ID\" as \"flight_id\",",
        "\"2nd \"\"Stop\"\"\" as \"n_2nd_stop\",",
        "\"DepDelay\" as \"dep_delay_2\",",
        "\"dep_delay\" as \"dep_delay\",",
        "\"order\" as \"order\"\n",
    ] {
        assert!(sql.contains(line), "{line} is not in {sql}");
    }
    assert_eq!((&source.available_at, source.history), (&Available::At("dep_time".into()), true));
    let Connector::Files(read) = &source.connector else { panic!("{source:?}") };
    assert_eq!((read.path.as_str(), read.null_values.as_slice()), ("data/My Flights.csv", &["NA".to_owned()][..]));
    let view = &loaded.project.feature_views[0];
    assert_eq!(view.entity, ["carrier"]);
    let features: Vec<&str> = view.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(
        features,
        ["n_24h", "sum_gr_e_24h", "mean_gr_e_24h", "latest_flight_id", "latest_n_2nd_stop", "latest_dep_delay_2"]
    );
    let contract = text_of(&files, "contracts/flights.odcs.yaml");
    assert!(contract.contains("# assumed: there is no primary key, as carrier is not unique"), "{contract}");
    assert!(contract.contains("# Inferred from 3 rows of data/My Flights.csv."), "{contract}");
    assert!(loaded.datasets[0].primary_key.is_empty());
}

#[test]
fn good_names_need_no_map_and_a_unique_key_is_primary() {
    let sample = Sample {
        path: "/data/flights.parquet".to_owned(),
        format: FileFormat::Parquet,
        null_values: Vec::new(),
        batches: vec![
            RecordBatch::try_from_iter([
                ("flight_id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
                ("leg", Arc::new(Int64Array::from(vec![1, 1])) as ArrayRef),
                ("at", Arc::new(TimestampMicrosecondArray::from(vec![0, 1]).with_timezone("UTC")) as ArrayRef),
                ("delay", Arc::new(Float64Array::from(vec![0.5, 1.5])) as ArrayRef),
            ])
            .unwrap(),
        ],
    };
    let files = init(options(sample, &["flight_id", "leg"], "at")).unwrap();
    let loaded = loaded(&files);
    assert_eq!(loaded.datasets[0].primary_key, ["flight_id", "leg"]);
    assert_eq!(loaded.project.sources[0].map, None);
    assert_eq!(loaded.project.feature_views[0].entity, ["flight_id", "leg"]);
    assert!(!files.iter().any(|(path, _)| path.starts_with("maps")));
}

#[test]
fn dates_become_instants() {
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![1, 2]));
    let cards: ArrayRef = Arc::new(StringArray::from(vec!["a", "a"]));
    let batch = RecordBatch::try_from_iter([("card", cards), ("day", dates)]).unwrap();
    let sample = Sample {
        path: "x.parquet".to_owned(),
        format: FileFormat::Parquet,
        null_values: Vec::new(),
        batches: vec![batch],
    };
    let files = init(options(sample, &["card"], "day")).unwrap();
    let loaded = loaded(&files);
    assert_eq!(loaded.datasets[0].event_time.as_deref(), Some("day"));
    let sql = loaded.project.sources[0].map.as_deref().unwrap();
    assert!(sql.contains("cast(\"day\" as timestamp) as \"day\""), "{sql}");
}

#[test]
fn texts_for_null_are_detected_among_numbers_only() {
    let mut sample = csv(&[
        ("card", &["a", "NA", "b"]),
        ("at", &["2014-01-01T00:00:00Z", "2014-01-01T00:00:00Z", "2014-01-02T00:00:00Z"]),
        ("delay", &["5", "N/A", "7.5"]),
        ("country", &["US", "null", "DE"]),
    ]);
    sample.null_values.clear();
    let files = init(options(sample, &["card"], "at")).unwrap();
    let loaded = loaded(&files);
    let Connector::Files(read) = &loaded.project.sources[0].connector else { panic!() };
    assert_eq!(read.null_values, ["N/A"]);
    let delay = loaded.datasets[0].schema.field_with_name("delay").unwrap();
    assert_eq!(delay.data_type(), &arrow::datatypes::DataType::Float64);
    assert!(text_of(&files, "sources/flights.yaml").contains("# assumed: these texts mean null"));
}

#[test]
fn what_does_not_fit_is_said() {
    let sample = || csv(&[("id", &["1", "2"]), ("at", &["2014-01-01T00:00:00Z", "2014-01-01T00:00:00Z"])]);
    let refused = |options: InitOptions| {
        let error = init(options).unwrap_err();
        (error.code(), error.remedy().unwrap_or_default().to_owned())
    };
    let bad_name = InitOptions { name: "My Flights".to_owned(), ..options(sample(), &["id"], "at") };
    assert_eq!(refused(bad_name), ("SW0147", "for example my_flights".to_owned()));
    assert_eq!(refused(options(sample(), &["idd"], "at")), ("SW0147", "did you mean `id`?".to_owned()));
    assert_eq!(refused(options(sample(), &[], "at")).0, "SW0147");
    assert_eq!(refused(options(sample(), &["id"], "id")).0, "SW0147");
    let empty = Sample { batches: Vec::new(), ..sample() };
    assert_eq!(refused(options(empty, &["id"], "at")).0, "SW0147");
}

#[test]
fn written_yaml_is_read_back() {
    let value = json!({
        "plain": "a word", "empty": "", "number": "5", "yes": "yes", "null": "null", "date": "2014-01-01",
        "path": "data/x.csv", "odd": "a: b # c", "quote": "say \"hi\"", "lines": "one\ntwo", "dash": "- a",
        "star": "*", "var": "${x}", "é": "é", "t": "~", "list": [], "map": {}, "nested": [[1, 2], ["a", {"b": null}]],
        "deep": {"properties": [{"name": "a", "options": {"min": 1}}, {"name": "b".repeat(120), "list": [{"x": 1}]}]},
        "float": 1.5, "bool": true
    });
    let mut comments = Comments::new();
    comments.insert(vec!["deep".into(), "properties".into(), "0".into()], vec!["about a".into()]);
    comments.insert(vec!["deep".into(), "properties".into(), "1".into(), "list".into()], vec!["two\nlines".into()]);
    comments.insert(vec!["plain".into()], vec!["about plain".into()]);
    let text = to_yaml(&value, &comments);
    let file = SourceFile { path: "x.yaml".into(), text: text.as_str().into() };
    let mut report = diagnostic::Report::default();
    let nodes = yaml::documents(0, &file, &mut report);
    assert_eq!(report.error_count(), 0, "{text}");
    assert_eq!(nodes[0].to_json(), value, "{text}");
    for comment in ["# about a\n", "# about plain\n", "# two\n", "# lines\n"] {
        assert_eq!(text.matches(comment).count(), 1, "{comment} in {text}");
    }
}
