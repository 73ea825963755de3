//! The JSON Schemas against the parser: what one accepts the other accepts.

use super::super::source::SourceFile;
use super::super::{diagnostic, yaml};
use super::*;

/// The documents of a YAML text as JSON.
fn as_json(text: &str) -> Vec<serde_json::Value> {
    let file = SourceFile { path: "x.yaml".into(), text: text.into() };
    let mut report = diagnostic::Report::default();
    yaml::documents(0, &file, &mut report).iter().map(yaml::Node::to_json).collect()
}

fn is_valid(kind: &str, document: &serde_json::Value) -> bool {
    jsonschema::draft7::new(&schema(kind).unwrap()).unwrap().is_valid(document)
}

#[test]
fn sound_declarations_of_every_kind_are_valid() {
    let mut seen = std::collections::BTreeSet::new();
    for (path, text) in base().iter().filter(|(path, _)| parse::is_yaml_file(path)) {
        for document in as_json(text) {
            let kind = document["kind"].as_str().unwrap().replace("DataContract", "contract");
            assert!(is_valid(&kind, &document), "{} {document}", path.display());
            seen.insert(kind);
        }
    }
    assert_eq!(seen, kinds().into_iter().map(str::to_owned).collect());
}

#[test]
fn wrong_shapes_are_not_valid() {
    for kind in kinds() {
        let path = if kind == "contract" { "contract.odcs.yaml".to_owned() } else { format!("{kind}.yaml") };
        let text = fs::read_to_string(golden_folder().join(path)).unwrap();
        for document in as_json(&text) {
            assert!(!is_valid(kind, &document), "{document}");
        }
    }
}

#[test]
fn every_key_and_every_record_of_a_schema_is_described() {
    for kind in kinds() {
        let schema = schema(kind).unwrap();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        let definitions = schema["definitions"].as_object().unwrap();
        for record in definitions.values().chain([&schema]) {
            assert!(record["description"].is_string(), "{record}");
            for (key, property) in record["properties"].as_object().unwrap() {
                assert!(property["description"].is_string(), "{kind}: {key}");
            }
        }
    }
    assert!(schema("nonsense").is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Shapes and schemas come from one table; this shows that they mean the same.
    #[test]
    fn the_parser_and_the_schema_agree(edits in edits(), file in any::<prop::sample::Index>()) {
        let files: Vec<(PathBuf, String)> =
            base().into_iter().filter(|(path, _)| parse::is_yaml_file(path) && !parse::is_contract_file(path)).collect();
        let text = apply(&files[file.index(files.len())].1, &edits);
        let source = SourceFile { path: "x.yaml".into(), text: text.as_str().into() };
        let mut report = diagnostic::Report::default();
        let documents = yaml::documents(0, &source, &mut report);
        prop_assume!(report.error_count() == 0);
        for node in documents {
            let kind = node.get("kind").and_then(yaml::Node::text).unwrap_or_default();
            let Some((kind, record)) = tables::KINDS.iter().find(|(known, _)| *known == kind) else { continue };
            let is_sound = shape::check_record(&node, record, &mut report);
            prop_assert_eq!(is_sound, is_valid(kind, &node.to_json()), "{}", node.to_json());
        }
    }
}
