//! Projects as a whole: what passes, what is found wrong and how it is shown.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use seawall_base::Span;
use seawall_base::declare::{
    Aggregation, Available, Boosting, Bounds, Calibration, CommandTrainer, Connector, Correction, FileFormat, Known,
    LabelValue, LogShare, MetricName, MissingAction, Monitor, ReadyWhen, Trainer, Triggers, ValueType, WindowEdge,
};

use super::*;

mod codes;
mod edits;
mod hostile;
mod owners;
mod schemas;
mod standard;

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/project/golden")
}

/// The files of the sound project that every test begins with.
fn base() -> Vec<(PathBuf, String)> {
    let root = golden_folder().join("base");
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                files.push((path, fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// The sound project with one file more, or one replaced.
fn base_with(path: &str, text: &str) -> Vec<(PathBuf, String)> {
    let mut files = base();
    files.retain(|(known, _)| known != Path::new(path));
    files.push((PathBuf::from(path), text.to_owned()));
    files
}

fn parse_with(path: &str, text: &str) -> Result<Loaded, Diagnostics> {
    parse_sources(&base_with(path, text), LoadOptions::default())
}

/// What is wrong when the sound project gets `text` as a file more: `CODE LINE:COLUMN`, in order.
fn problems(path: &str, text: &str) -> Vec<String> {
    let found = match parse_with(path, text) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    found.iter().map(|d| format!("{} {}:{}", d.code, d.line, d.column)).collect()
}

#[test]
fn the_sound_project_is_read_whole() {
    let loaded = parse_sources(&base(), LoadOptions::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let project = &loaded.project;
    assert_eq!(project.name, "shop");
    let names = |datasets: &[Dataset]| datasets.iter().map(|d| d.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&loaded.datasets), ["chargebacks", "payments", "refunds"]);
    assert_eq!(loaded.datasets[1].primary_key, ["payment_id"]);
    let sources: Vec<&str> = project.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(sources, ["chargebacks", "payments", "payments_history"]);
    let history = &project.sources[2];
    let Connector::Files(files) = &history.connector else { panic!("{history:?}") };
    assert_eq!(files.path, "./data/payments/*.csv");
    assert_eq!((files.format, &files.null_values[..]), (FileFormat::Csv, &["NA".to_owned(), "-1".to_owned()][..]));
    assert!(history.map.as_ref().is_some_and(|sql| sql.starts_with("select id as payment_id")));
    assert_eq!(history.references[0].files.path, "./data/cards.parquet");
    assert_eq!((&history.available_at, history.history), (&Available::At("paid_at".into()), true));
    assert_eq!(project.sources[1].dataset, "payments");
    assert_eq!(project.sources[1].available_at, Available::Arrival);
    let Connector::Simulator(simulator) = &project.sources[0].connector else { panic!("{:?}", project.sources[0]) };
    assert_eq!((simulator.seed, simulator.length, simulator.payments_per_day), (3, Span(30 * Span::DAY.0), 100));
}

#[test]
fn features_and_labels_are_read_as_declared() {
    let loaded = parse_sources(&base(), LoadOptions::default()).unwrap();
    let view = &loaded.project.feature_views[0];
    let by_name: BTreeMap<&str, _> = view.features.iter().map(|feature| (feature.name.as_str(), feature)).collect();
    assert_eq!(by_name["n_1h"].aggregation, Aggregation::Count { column: None });
    assert_eq!((by_name["n_1h"].window, by_name["n_1h"].edge), (Some(Span::HOUR), WindowEdge::Sawtooth));
    assert_eq!(by_name["mean_3h"].edge, WindowEdge::Exact);
    assert_eq!(by_name["p95"].aggregation, Aggregation::Quantile { column: "amount_eur".into(), q: 0.95 });
    assert_eq!(by_name["country"].window, Some(Span(30 * Span::DAY.0)));
    assert_eq!((&by_name["idle_s"].aggregation, by_name["idle_s"].window), (&Aggregation::TimeSince, None));
    let declared: Vec<&str> = view.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(declared, ["n_1h", "sum_24h", "mean_3h", "p95", "country", "idle_s"]);
    let set = &loaded.project.training_sets[0];
    assert_eq!(set.features[0].entity, ["card_id"]);
    assert_eq!(set.visibility_lag, Span(5 * Span::SECOND.0));
    let service = &loaded.project.feature_services[0];
    assert_eq!(service.features[0].only, ["sum_24h", "n_1h"]);
    assert_eq!((service.features[0].entity.as_slice(), service.log), (&["card_id".to_owned()][..], LogShare(10_000)));
    let types: Vec<_> = service.request.iter().map(|value| (value.name.as_str(), value.of)).collect();
    assert_eq!(types, [("amount", ValueType::Double), ("country", ValueType::String)]);
    assert_eq!(service.derived[1].reads, ["card__n_1h", "share_of_day"]);
    let watched = &loaded.project.training_sets[2];
    assert_eq!(
        (watched.service.as_ref().map(ToString::to_string), watched.features.len()),
        (Some("fraud@1".into()), 0)
    );
    let bound = watched.bound(&loaded.project.feature_services).unwrap();
    assert_eq!((&bound.features, &bound.derived), (&service.features, &service.derived));
    assert_eq!(loaded.project.model("watched").unwrap().inputs, ["amount", "card__sum_24h", "is_new"]);
    let label = set.label.as_ref().unwrap();
    assert_eq!(label.value, LabelValue::Present { final_after: Span(45 * Span::DAY.0) });
    let kept: Vec<(&str, &str)> =
        loaded.project.other.iter().map(|other| (other.kind.as_str(), other.name.as_str())).collect();
    assert_eq!(
        kept,
        [
            ("lifecycle", "shop"),
            ("live_view", "turnover"),
            ("recovery", "shop"),
            ("test", "a_card_counts"),
            ("transform", "clean_refunds")
        ]
    );
    let known: Vec<Known> = loaded.project.training_sets.iter().map(|set| set.known).collect();
    assert_eq!(known, [Known::InTime, Known::Ignore, Known::InTime]);
}

#[test]
fn models_are_read_with_their_defaults() {
    let project = parse_sources(&base(), LoadOptions::default()).unwrap().project;
    let day = |n: i64| Span(n * Span::DAY.0);
    let fraud = project.model("fraud").unwrap();
    assert_eq!((fraud.training_set.as_str(), &fraud.positive, fraud.inputs.len()), ("fraud", &None, 0));
    assert_eq!(fraud.trainer, Trainer::Boosting(Boosting::default()));
    assert_eq!((fraud.calibration, fraud.holdout, fraud.rows_min), (Calibration::Platt, day(14), 500));
    // The columns by their names in the training set, whatever the author calls them.
    assert_eq!(fraud.on_missing.action("card__n_1h"), MissingAction::Halt);
    assert_eq!(fraud.on_missing.action("card__p95"), MissingAction::Accept);
    assert_eq!(fraud.on_missing.action("is_large"), MissingAction::Degrade);
    let auc = (MetricName::Auc, Bounds { min: Some(0.8), max: None });
    assert_eq!((&fraud.ready_when.bounds, &fraud.ready_when.by), (&vec![auc], &vec!["country".to_owned()]));
    let retrain = fraud.retrain.as_ref().unwrap();
    assert_eq!((retrain.min_interval, retrain.max_interval, retrain.probation), (day(7), None, day(7)));
    assert_eq!(retrain.triggers, Triggers { psi: Some(0.2), auc_drop: Some(0.03) });
    assert_eq!((&retrain.approve, retrain.slice_margin), (&vec!["owner".to_owned(), "risk".to_owned()], 0.05));

    let losses = project.model("losses").unwrap();
    let command = ["python", "train.py", "--depth", "5"].map(str::to_owned).to_vec();
    let trainer = CommandTrainer { command, timeout: Span::HOUR, memory_bytes_max: 512 << 20 };
    assert_eq!(losses.trainer, Trainer::Command(trainer));
    assert_eq!((losses.positive.as_deref(), losses.owner.as_deref()), (Some("label > 15"), Some("risk")));
    assert_eq!(losses.inputs, ["is_large", "card__n_1h"]);
    assert_eq!((losses.calibration, losses.holdout, losses.rows_min), (Calibration::Isotonic, day(7), 100));
    assert_eq!((losses.retrain.as_ref(), &losses.ready_when), (None, &ReadyWhen::default()));
}

#[test]
fn monitors_corrections_views_and_policies_are_read() {
    let project = parse_sources(&base(), LoadOptions::default()).unwrap().project;
    let monitor = project.monitor_of("payments");
    assert_eq!((monitor.name.as_str(), monitor.quarantine_share), ("payments_arrive", 0.02));
    assert_eq!((monitor.freshness, monitor.window), (Some(Span(30 * Span::MINUTE.0)), Span(6 * Span::HOUR.0)));
    assert_eq!((monitor.by, monitor.owner.as_deref()), (vec!["country".to_owned()], Some("payments")));
    assert_eq!(project.monitor_of("refunds"), Monitor::of("refunds"));
    let corrections: Vec<&Correction> = project.corrections_of("payments").collect();
    let [correction] = corrections.as_slice() else { panic!("{corrections:?}") };
    assert_eq!((correction.column.as_str(), correction.divide_by), ("amount_eur", 100.0));
    assert_eq!(correction.only, Some(("country".to_owned(), "SE".to_owned())));
    assert_eq!(correction.from.unwrap().to_string(), "2014-03-01T00:00:00Z");
    assert_eq!(project.corrections_of("chargebacks").count(), 0);
    let views: Vec<(&str, &str)> = project.views.iter().map(|view| (view.name.as_str(), view.sql.as_str())).collect();
    let by_country = "select country, count(*) as n from large_payments group by country";
    let large = "select * from payments where amount_eur > 1000";
    assert_eq!(views, [("large_by_country", by_country), ("large_payments", large)]);
    let [policies] = project.policies.as_slice() else { panic!("{:?}", project.policies) };
    assert_eq!(policies.path, "policies/engineers.cedar");
    assert!(policies.text.starts_with("@id(\"engineers\")"));
}

/// A stored project of the first release: without the lists that came later, and with the hash that it had then.
#[test]
fn projects_without_the_newer_kinds_keep_their_hash() {
    let stored = r#"{"name":"shop","contracts":[],"sources":[],"feature_views":[],"training_sets":[],"other":[]}"#;
    let project: Project = serde_json::from_str(stored).unwrap();
    assert_eq!(serde_json::to_string(&project).unwrap(), stored);
    assert_eq!(project.revision_hash(), seawall_base::Hash::of(stored.as_bytes()));
    let full = parse_sources(&base(), LoadOptions::default()).unwrap().project;
    let text = serde_json::to_string(&full).unwrap();
    let back: Project = serde_json::from_str(&text).unwrap();
    assert_eq!((&back, back.revision_hash()), (&full, full.revision_hash()));
}

#[test]
fn every_kind_and_every_policy_is_part_of_the_revision() {
    let hash = |files: &[(PathBuf, String)]| {
        let loaded = parse_sources(files, LoadOptions::default()).unwrap_or_else(|problems| panic!("{problems}"));
        loaded.project.revision_hash()
    };
    let before = hash(&base());
    for (path, from, to) in [
        ("models.yaml", "rows_min: 100", "rows_min: 101"),
        ("watch.yaml", "freshness: 30m", "freshness: 31m"),
        ("watch.yaml", "divide_by: 100", "divide_by: 10"),
        ("watch.yaml", "> 1000", "> 1001"),
        ("maps/large.sql", "count(*)", "count(1)"),
        ("policies/engineers.cedar", "engineer\"", "analyst\""),
    ] {
        let mut files = base();
        let (_, text) = files.iter_mut().find(|(known, _)| known == Path::new(path)).unwrap();
        assert!(text.contains(from), "{path} {text}");
        *text = text.replace(from, to);
        assert_ne!(hash(&files), before, "{path}: {from} -> {to}");
    }
}

#[test]
fn the_order_of_files_and_keys_does_not_change_the_revision() {
    let hash = |files: &[(PathBuf, String)]| {
        parse_sources(files, LoadOptions::default()).unwrap().project.revision_hash().to_string()
    };
    let mut files = base();
    let before = hash(&files);
    files.reverse();
    for (path, text) in &mut files {
        if path == Path::new("models.yaml") {
            *text = text.replace("kind: transform\nname: clean_refunds", "name: clean_refunds\nkind: transform");
        }
    }
    assert_eq!(hash(&files), before);
    let (_, text) = files.iter_mut().find(|(path, _)| path == Path::new("maps/payments.sql")).unwrap();
    text.push_str("where true\n");
    assert_ne!(hash(&files), before);
}

#[test]
fn variables_are_replaced_and_overridden() {
    let options = LoadOptions { set: BTreeMap::from([("data".to_owned(), "/mnt/d".to_owned())]) };
    let loaded = parse_sources(&base(), options).unwrap();
    let Connector::Files(files) = &loaded.project.sources[2].connector else { panic!() };
    assert_eq!(files.path, "/mnt/d/payments/*.csv");
    let unknown = LoadOptions { set: BTreeMap::from([("dta".to_owned(), String::new())]) };
    let problems = parse_sources(&base(), unknown).unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert_eq!((problem.code.as_ref(), problem.help.as_deref()), ("SW0126", Some("did you mean `--set data=...`?")));
}

#[test]
fn wrong_files_are_shown_with_place_and_remedy() {
    let folder = golden_folder();
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        let text = fs::read_to_string(folder.join(&name)).unwrap();
        let path = if name == "project.yaml" { "seawall.yaml" } else { name.as_str() };
        let problems = parse_with(path, &text).expect_err(&name);
        assert!(problems.iter().any(|problem| problem.help.is_some()), "{name} has no remedy");
        assert!(problems.iter().any(|problem| problem.file == Path::new(path)), "{name} is not named");
        let expected = folder.join(name.replace(".yaml", ".txt"));
        let rendered = format!("{problems}\n");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &rendered).unwrap();
        }
        let golden = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(rendered, golden, "{name}: run with UPDATE_GOLDEN=1 and review the difference");
    }
}

#[test]
fn json_has_a_version_places_and_counts() {
    let problems = parse_with("x.yaml", "kind: source\nname: é\nhttp: {}\ncontract: payments@1\n").unwrap_err();
    let json = problems.to_json();
    assert_eq!((&json["version"], &json["errors"], &json["warnings"]), (&1.into(), &1.into(), &0.into()));
    let first = &json["diagnostics"][0];
    assert_eq!(first["code"], "SW0128");
    assert_eq!((&first["line"], &first["column"], &first["end_column"]), (&2.into(), &7.into(), &8.into()));
    assert_eq!(first["span"], serde_json::json!({"start": 19, "end": 21}));
    assert_eq!(first["file"], "x.yaml");
}

#[test]
fn colours_are_only_there_when_asked_for() {
    let problems = parse_with("x.yaml", "kind: sourze\n").unwrap_err();
    assert!(!problems.render(false).contains('\u{1b}'));
    assert!(problems.render(true).contains('\u{1b}'));
}

#[test]
fn a_folder_is_read_within_limits() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in base() {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    for skipped in [".git", "data", "target", "node_modules"] {
        fs::create_dir_all(folder.path().join(skipped)).unwrap();
        fs::write(folder.path().join(skipped).join("x.yaml"), "kind: nonsense").unwrap();
    }
    let loaded = load(folder.path(), LoadOptions::default()).unwrap_or_else(|problems| panic!("{problems}"));
    let from_memory = parse_sources(&base(), LoadOptions::default()).unwrap();
    assert_eq!(loaded.project, from_memory.project);
    assert_eq!(loaded.files, from_memory.files);
    fs::write(folder.path().join("large.yaml"), "# large\n".repeat(200_000)).unwrap();
    fs::write(folder.path().join("latin.yaml"), b"name: \xe9\n").unwrap();
    let problems = load(folder.path(), LoadOptions::default()).unwrap_err();
    let found: Vec<(&str, &Path)> = problems.iter().map(|p| (p.code.as_ref(), p.file.as_path())).collect();
    assert_eq!(found, [("SW0131", Path::new("large.yaml")), ("SW0131", Path::new("latin.yaml"))]);
    assert!(problems.to_string().contains("--> large.yaml"), "{problems}");
}

#[test]
fn a_folder_without_project_file_is_no_project() {
    let folder = tempfile::tempdir().unwrap();
    let problems = load(folder.path(), LoadOptions::default()).unwrap_err();
    assert_eq!(problems.iter().map(|p| p.code.as_ref()).collect::<Vec<_>>(), ["SW0130"]);
    let missing = load(&folder.path().join("nowhere"), LoadOptions::default()).unwrap_err();
    assert!(missing.iter().any(|problem| problem.code == "SW0131"), "{missing}");
}

#[cfg(unix)]
#[test]
fn linked_folders_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("seawall.yaml"), "kind: project\nname: shop\n").unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
    let loaded = load(folder.path(), LoadOptions::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.files.len(), 1);
}

/// An edit of a text: cut some characters, or put some in.
#[derive(Debug, Clone)]
enum Edit {
    Cut(usize, usize),
    Insert(usize, String),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let pieces = prop_oneof![
        Just("\n  ".to_owned()),
        Just(": ".to_owned()),
        Just("- ".to_owned()),
        Just("&a ".to_owned()),
        Just("*a".to_owned()),
        Just("{".to_owned()),
        Just("]".to_owned()),
        Just("---\n".to_owned()),
        Just("${data".to_owned()),
        Just("\"".to_owned()),
        Just("é\u{1F980}".to_owned()),
        Just("!!int ".to_owned()),
        "\\PC{0,3}",
    ];
    let edit = prop_oneof![
        (any::<usize>(), 0usize..30).prop_map(|(at, length)| Edit::Cut(at, length)),
        (any::<usize>(), pieces).prop_map(|(at, text)| Edit::Insert(at, text)),
    ];
    proptest::collection::vec(edit, 1..4)
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        match edit {
            Edit::Cut(at, length) => {
                let start = at % (chars.len() + 1);
                let end = (start + length).min(chars.len());
                chars.drain(start..end);
            }
            Edit::Insert(at, piece) => {
                let at = at % (chars.len() + 1);
                chars.splice(at..at, piece.chars());
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever an author types, nothing panics and every place lies within its file.
    #[test]
    fn any_text_gives_places_within_it(file in any::<prop::sample::Index>(), edits in edits()) {
        let mut files = base();
        let chosen = file.index(files.len());
        files[chosen].1 = apply(&files[chosen].1, &edits);
        let texts: BTreeMap<&Path, &str> = files.iter().map(|(path, text)| (path.as_path(), text.as_str())).collect();
        let found = match parse_sources(&files, LoadOptions::default()) {
            Ok(loaded) => loaded.warnings,
            Err(problems) => {
                prop_assert!(problems.error_count() > 0);
                problems
            }
        };
        for problem in &found {
            let text = texts[problem.file.as_path()];
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            prop_assert!(text.is_char_boundary(problem.span.start), "{problem:?}");
            prop_assert!(problem.span.start <= problem.span.end && problem.span.end <= text.len(), "{problem:?}");
            prop_assert!(problem.line >= 1 && problem.line <= text.lines().count() + 1, "{problem:?}");
        }
        let _ = (found.render(true), found.to_json());
    }
}

#[test]
fn settings_of_tables_are_read_and_what_is_left_out_has_its_default() {
    let settings = |text: &str| {
        let files = [(PathBuf::from("seawall.yaml"), format!("kind: project\nname: shop\n{text}"))];
        parse_sources(&files, LoadOptions::default()).map(|loaded| loaded.project)
    };
    assert_eq!(settings("").unwrap().tables, None);
    let project = settings("tables: {file_size: 16MiB, keep_versions: 7d}\n").unwrap();
    let tables = project.tables.unwrap();
    assert_eq!(
        (tables.file_bytes, tables.similar_files, tables.keep_versions.to_string().as_str()),
        (16 << 20, 8, "7d")
    );
    assert_ne!(project.revision_hash(), settings("").unwrap().revision_hash());
    for wrong in ["{file_size: 16}", "{similar_files: 1}", "{keep_versions: 0s}", "{keep: 7d}", "all"] {
        assert!(settings(&format!("tables: {wrong}\n")).is_err(), "{wrong}");
    }
}
