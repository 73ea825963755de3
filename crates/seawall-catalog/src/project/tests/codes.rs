//! One case per way to be wrong, and the register of codes.

use std::collections::BTreeSet;

use super::*;

/// The codes and places that `text` leads to, as one more file of the sound project.
fn check(path: &str, text: &str, expected: &[&str]) {
    assert_eq!(problems(path, text), expected, "{text}");
}

fn source(rest: &str) -> String {
    format!("kind: source\nname: s\nhttp: {{}}\n{rest}\n")
}

fn view(features: &str) -> String {
    format!("kind: feature_view\nname: v\nentity: card_id\nfrom: payments\ntime: paid_at\nfeatures: {features}\n")
}

fn set(rest: &str) -> String {
    format!("kind: training_set\nname: s\nrows: {{from: payments, at: paid_at}}\n{rest}\n")
}

fn contract(objects: &str) -> String {
    format!("apiVersion: v3.2.0\nkind: DataContract\nid: more\nversion: 1.0.0\nschema:\n{objects}")
}

#[test]
fn files_without_declarations_are_fine() {
    check("x.yaml", "", &[]);
    check("x.yaml", "# nothing\n---\n# nothing\n", &[]);
}

#[test]
fn kinds_names_and_their_files() {
    check("x.yaml", "- a\n", &["SW0127 1:1"]);
    check("x.yaml", "knid: source\n", &["SW0127 1:1"]);
    check("x.yaml", "kind: 5\n", &["SW0127 1:7"]);
    check("x.yaml", "kind: DataContract\n", &["SW0146 1:7"]);
    check("x.odcs.yaml", "kind: source\nname: s\n", &["SW0146 1:1"]);
    check("x.yaml", "kind: project\nname: other\n", &["SW0130 1:1"]);
    check(
        "seawall.yaml",
        "kind: source\nname: s\nhttp: {}\ncontract: payments@1\n",
        &["SW0130 1:1", "SW0126 8:16", "SW0126 13:18"],
    );
    for name in ["Upper", "1st", "a__b", "a_", "\"\"", "a-b", "é", &"x".repeat(81)] {
        check("x.yaml", &format!("kind: source\nname: {name}\nhttp: {{}}\ncontract: payments@1\n"), &["SW0128 2:7"]);
    }
    check("x.yaml", "kind: source\nname: 5\nhttp: {}\ncontract: payments@1\n", &["SW0125 2:7"]);
}

#[test]
fn feature_services() {
    let service = |rest: &str| format!("kind: feature_service\nname: s\n{rest}\n");
    check("x.yaml", &service("features: [card@1]"), &[]);
    check("x.yaml", &service("features: [card@1]\nlog: none"), &[]);
    check("x.yaml", &service(""), &["SW0124 1:1"]);
    check("x.yaml", &service("features: [card]"), &["SW0106 3:12"]);
    check("x.yaml", &service("features: [card@1]\nservice: s@1"), &["SW0123 4:1"]);
    check("x.yaml", &service("features: [card@1]\nservice: s@1\nderived: {a: \"b\"}"), &["SW0123 4:1", "SW0187 5:14"]);
    for log in ["0%", "0.00001%", "100.1%", "1", "some", "-1%", "1.%", ""] {
        let found = problems("x.yaml", &service(&format!("features: [card@1]\nlog: \"{log}\"")));
        assert_eq!(found.len(), 1, "{log}: {found:?}");
    }
    check("x.yaml", &service("features: [card@1]\nderived: {label: card__n_1h}"), &["SW0129 4:11"]);
    check("x.yaml", &service("features: [card@1]\nrequest: {card_id: string}"), &["SW0129 4:11"]);
    check("x.yaml", &service("features: [card@1]\nderived: {a: \"(select 1)\"}"), &["SW0185 4:14"]);
    check("x.yaml", &service("features: [card@1]\nderived: {a: a + 1}"), &["SW0188 4:11"]);
}

#[test]
fn sources() {
    check("x.yaml", &source("contract: payments@1"), &[]);
    check("x.yaml", &source(""), &["SW0124 1:1"]);
    check("x.yaml", "kind: source\nname: s\ncontract: payments@1\n", &["SW0141 1:1"]);
    check("x.yaml", &source("files: {path: x, format: csv}\ncontract: payments@1"), &["SW0141 3:1"]);
    check("x.yaml", &source("contract: payments"), &["SW0106 4:11"]);
    check("x.yaml", &source("contract: payments@0"), &["SW0106 4:11"]);
    check("x.yaml", &source("contract: payments@2"), &["SW0133 4:11"]);
    check("x.yaml", &source("contract: outcomes@2"), &["SW0124 4:11"]);
    check("x.yaml", &source("contract: outcomes@2\ndataset: payments"), &["SW0134 5:10"]);
    check("x.yaml", &source("contract: payments@1\nmap: maps/none.sql"), &["SW0132 5:6"]);
    check("x.yaml", &source("contract: payments@1\nmap: ../payments.sql"), &["SW0132 5:6"]);
    check("x.yaml", &source("contract: payments@1\nmap: /maps/payments.sql"), &["SW0132 5:6"]);
    check("x.yaml", &source("contract: payments@1\nmap: ./maps/payments.sql"), &[]);
    check("x.yaml", &source("contract: payments@1\nmap: select * from input"), &[]);
    check("x.yaml", &source("contract: payments@1\navailable_at: paid_at + interval '1 day'"), &[]);
    check("x.yaml", &source("contract: payments@1\navailable_at: payed_at"), &["SW0135 5:15"]);
    check("x.yaml", &source("contract: payments@1\navailable_at: country"), &["SW0136 5:15"]);
    check("x.yaml", &source("contract: payments@1\nhistory: true"), &["SW0144 5:1"]);
    check("x.yaml", &source("contract: payments@1\nhistory: yes"), &["SW0125 5:10"]);
    check("x.yaml", &source("contract: payments@1\nmap:"), &["SW0125 5:4"]);
    check("x.yaml", "kind: source\nname: s\nfiles: {path: x, format: xml}\ncontract: payments@1\n", &["SW0125 3:26"]);
    check(
        "x.yaml",
        "kind: source\nname: s\nsimulator: {stream: payments, seed: -1}\ncontract: payments@1\n",
        &["SW0125 3:37"],
    );
}

#[test]
fn variables() {
    let files =
        |path: &str| format!("kind: source\nname: s\nfiles: {{path: \"{path}\", format: csv}}\ncontract: payments@1\n");
    check("x.yaml", &files("${data}/x"), &[]);
    check("x.yaml", &files("$${home}/x"), &[]);
    check("x.yaml", &files("a/${dat}/${home}"), &["SW0126 3:18", "SW0126 3:25"]);
    check("x.yaml", &files("${open"), &[]);
}

#[test]
fn expressions_of_features() {
    check("x.yaml", &view("{n: {count: '*', where: amount_eur > 100, window: 1h}}"), &[]);
    check("x.yaml", &view("{n: {sum: amount_eur * 2, window: 1h}}"), &[]);
    check("x.yaml", &view("{n: {count: '*', where: amount_euro > 100, window: 1h}}"), &["SW0135 6:35"]);
    check("x.yaml", &view("{n: {sum: amount_eur * rate, window: 1h}}"), &["SW0135 6:21"]);
    check("x.yaml", &view("{n: {count: '*', where: amount_eur >, window: 1h}}"), &["SW0185 6:35"]);
    check("x.yaml", &view("{n: {count: '*', where: 1 = 1, window: 1h}}"), &["SW0185 6:35"]);
    check("x.yaml", &view("{n: {count: '*', where: now() > paid_at, window: 1h}}"), &["SW0185 6:35"]);
    check("x.yaml", &view("{n: {count: '*', where: current_date > paid_at, window: 1h}}"), &["SW0185 6:35"]);
    check("x.yaml", &view("{n: {count: '*', where: '*', window: 1h}}"), &["SW0185 6:35"]);
    let other = "{n: {count: '*', where: amount_eur > (select max(amount_eur) from payments), window: 1h}}";
    check("x.yaml", &view(other), &["SW0185 6:35"]);
    check("x.yaml", &view("{n: {sum: outcomes.amount_eur, window: 1h}}"), &["SW0185 6:21"]);
    check("x.yaml", &view("{n: {count: '*', where: country, window: 1h}}"), &["SW0309 6:15"]);
    check("x.yaml", &view("{n: {ratio: {count: '*', where: amount_eur > 5}, to: {count: '*'}, window: 1h}}"), &[]);
    check("x.yaml", &view("{n: {ratio: {count: '*'}, window: 1h}}"), &["SW0124 6:15"]);
    check("x.yaml", &view("{n: {ratio: {mean: amount_eur}, to: {count: '*'}, window: 1h}}"), &["SW0123 6:24"]);
    check("x.yaml", &view("{n: {ratio: {count: '*'}, to: {sum: country}, window: 1h}}"), &["SW0301 6:15"]);
    check("x.yaml", &view("{n: {rate: '*', per: 1h, window: 1d}}"), &[]);
    check("x.yaml", &view("{n: {rate: '*', window: 1d}}"), &["SW0124 6:15"]);
    check("x.yaml", &view("{n: {rate: '*', per: 1h, window: lifetime}}"), &["SW0302 6:15"]);
    check("x.yaml", &view("{n: {latest: country, where: amount_eur > 5, ttl: 30d}}"), &[]);
    check("x.yaml", &view("{n: {time_since_first: '*', where: amount_eur > 5}}"), &[]);
}

#[test]
fn feature_views() {
    check("x.yaml", &view("{n: {count: '*', window: 1h}}"), &[]);
    check("x.yaml", &view("{}"), &["SW0125 6:11"]);
    check("x.yaml", &view("[a]"), &["SW0125 6:11"]);
    check("x.yaml", &view("{n: 5}"), &["SW0125 6:15"]);
    check("x.yaml", &view("{n: {window: 1h}}"), &["SW0141 6:15"]);
    check("x.yaml", &view("{n: {count: '*'}}"), &["SW0124 6:15"]);
    check("x.yaml", &view("{n: {count: '*', window: 0s}}"), &["SW0125 6:36"]);
    check("x.yaml", &view("{n: {count: '*', window: 3600}}"), &["SW0108 6:36"]);
    check("x.yaml", &view("{n: {count: '*', sum: amount_eur, window: 1h}}"), &["SW0141 6:16"]);
    check("x.yaml", &view("{n: {count: '*', window: 1h, edge: smooth}}"), &["SW0125 6:46"]);
    check("x.yaml", &view("{n: {quantile: amount_eur, window: 1h}}"), &["SW0124 6:15"]);
    check("x.yaml", &view("{n: {distinct: country, exact: true, window: 1d}}"), &[]);
    check("x.yaml", &view("{n: {distinct: country, exact: very, window: 1d}}"), &["SW0125 6:42"]);
    check("x.yaml", &view("{n: {most_frequent: country, window: 1d}}"), &[]);
    check("x.yaml", &view("{n: {count: '*', window: 59s}}"), &["SW0125 6:36"]);
    check("x.yaml", &view("{n: {count: '*', window: 732d}}"), &["SW0125 6:36"]);
    check("x.yaml", &view("{n: {count: '*', window: 731d}}"), &[]);
    check("x.yaml", &view("{n: {count: '*', window: lifetime}}"), &[]);
    check("x.yaml", &view("{n: {count: '*', window: life}}"), &["SW0108 6:36"]);
    check("x.yaml", &view("{n: {count: '*', window: lifetime, edge: exact}}"), &["SW0125 6:46"]);
    check("x.yaml", &view("{n: {time_since: paid_at}}"), &["SW0125 6:28"]);
    check("x.yaml", &view("{n: {sum: amount_euro, window: 1h}}"), &["SW0135 6:21"]);
    check(
        "x.yaml",
        &view("{n: {sum: country, window: 1h}, m: {mean: card_id, window: 1h}}"),
        &["SW0301 6:15", "SW0301 6:46"],
    );
    let two = view("{n: {count: '*', window: 1h}}").replace("card_id", "[card_id, card_id]");
    check("x.yaml", &two, &["SW0129 3:19"]);
    check("x.yaml", &view("{n: {count: '*', window: 1h}}").replace("paid_at", "country"), &["SW0136 5:7"]);
    check("x.yaml", &view("{n: {count: '*', window: 1h}}").replace("from: payments", "from: payment"), &["SW0134 4:7"]);
    check("x.yaml", &view("{n: {count: '*', window: 1h}}").replace("name: v", "name: card"), &["SW0129 2:7"]);
}

#[test]
fn training_sets() {
    check("x.yaml", &set("features: [card@1]"), &[]);
    check("x.yaml", &set("features: []"), &["SW0125 4:11"]);
    check("x.yaml", &set("features: [card@1, card@2]"), &["SW0129 4:20"]);
    check("x.yaml", &set("features: [card@1]\ncontext: {label: \"1\"}"), &["SW0129 5:11"]);
    check("x.yaml", &set("features: [card@1]\nvisibility_lag: soon"), &["SW0108 5:17"]);
    check("x.yaml", &set("features: [{view: card@1, entity: {card_id: country}}]"), &[]);
    check("x.yaml", &set("features: [{view: card@1, entity: {crd_id: country}}]"), &["SW0135 4:36"]);
    check("x.yaml", &set("features: [{view: card@1, entity: {card_id: amount_eur}}]"), &["SW0136 4:45"]);
    let label = |label: &str| set(&format!("features: [card@1]\nlabel: {label}"));
    check("x.yaml", &label("{from: chargebacks, join: payment_id, column: loss}"), &[]);
    check("x.yaml", &label("{from: chargebacks, join: payment_id}"), &["SW0141 5:8"]);
    check("x.yaml", &label("{from: chargebacks, join: payment_id, present: true}"), &["SW0124 5:8", "SW0124 5:8"]);
    check("x.yaml", &label("{from: chargebacks, join: loss, column: loss}"), &["SW0135 5:34"]);
    check("x.yaml", &label("{from: refunds, join: payment_id, column: refund_id}"), &["SW0136 5:30"]);
    check("x.yaml", &label("{from: nothing, join: payment_id, column: x}"), &["SW0134 5:15"]);
    let keyless = set("features: [card@1]").replace("payments, at: paid_at", "refunds, at: refunded_at");
    check("x.yaml", &keyless, &["SW0142 3:14", "SW0135 4:12"]);
}

#[test]
fn declarations_that_are_kept() {
    check(
        "x.yaml",
        "kind: live_view\nname: l\nfrom: refunds\nwindow: 1m\ncolumns: {n: {count: \"*\"}}\n",
        &["SW0124 3:7"],
    );
    check("x.yaml", "kind: test\nname: t\ngiven: {cards: []}\nexpect: 1\n", &["SW0134 3:9"]);
    check("x.yaml", "kind: transform\nname: t\nsql: select 1\nto: cards\n", &["SW0134 4:5"]);
}

fn model(rest: &str) -> String {
    format!("kind: model\nname: m\ntraining_set: fraud\n{rest}\n")
}

/// A model over a training set of its own, whose label and knowledge are `set_rest`.
fn model_of(set_rest: &str, rest: &str) -> String {
    format!("kind: model\nname: m\ntraining_set: s\n{rest}\n---\n{}", set(&format!("features: [card@1]\n{set_rest}")))
}

#[test]
fn models() {
    check("x.yaml", &model(""), &[]);
    check("x.yaml", &model("").replace("fraud", "frod"), &["SW0138 3:15"]);
    check("x.yaml", &model("inputs: [n_1h, card__p95, is_large]"), &[]);
    check("x.yaml", &model("inputs: [n_1h, card__n_1h]"), &["SW0129 4:16"]);
    check("x.yaml", &model("inputs: [label, country, payment_id]"), &["SW0138 4:10", "SW0138 4:26"]);
    check("x.yaml", &model("inputs: []"), &["SW0125 4:9"]);
    check("x.yaml", &model("on_missing: {n_1h: halt, card__n_1h: accept}"), &["SW0129 4:26"]);
    check("x.yaml", &model("inputs: [p95]\non_missing: {n_1h: halt, p95: halt}"), &["SW0173 5:14"]);
    check("x.yaml", &model("ready_when: {auc: {min: 0.8}, by: [payment_id, is_large, idle_s]}"), &[]);
    check("x.yaml", &model("ready_when: {auc: {min: 0.8}, by: [shop]}"), &["SW0138 4:36"]);
    check("x.yaml", &model("ready_when: {recall: {min: 0.8}}"), &["SW0123 4:14"]);
    check("x.yaml", &model("ready_when: {auc: {}}"), &["SW0174 4:14"]);
    check("x.yaml", &model("ready_when: {auc: {min: 0.8, max: 0.7}}"), &["SW0174 4:19"]);
    check("x.yaml", &model("ready_when: {auc: {min: 1.8}}"), &["SW0125 4:25"]);
    check("x.yaml", &model("retrain: {max_interval: 6d}"), &["SW0175 4:25"]);
    check("x.yaml", &model("retrain: {min_interval: 5d, max_interval: 6d, probation: 0s, approve: []}"), &[]);
    check("x.yaml", &model("retrain: {triggers: {error_rise: 0.1}}"), &["SW0123 4:22"]);
    check("x.yaml", &model("retrain:"), &[]);
    check("x.yaml", &model("trainer: {command: [], timeout: 1m}"), &["SW0125 4:20"]);
    check("x.yaml", &model("trainer: {command: [a], boosting: {}}"), &["SW0141 4:11"]);
    check("x.yaml", &model("trainer: {boosting: {leaves: 1, learning_rate: 0}}"), &["SW0125 4:30", "SW0125 4:48"]);
    for (size, expected) in [
        ("2GiB", &[][..]),
        ("9999999TiB", &[]),
        ("2", &["SW0125 4:33"]),
        ("2GB", &["SW0177 4:33"]),
        ("0GiB", &["SW0177 4:33"]),
        ("99999999TiB", &["SW0177 4:33"]),
    ] {
        check("x.yaml", &model(&format!("trainer: {{command: [a], memory: {size}}}")), expected);
    }
}

#[test]
fn models_know_their_positive_class() {
    let by_column = |column: &str| format!("label: {{from: chargebacks, join: payment_id, column: {column}}}");
    check("x.yaml", &model_of("", ""), &["SW0170 3:15"]);
    check("x.yaml", &model_of(&by_column("loss"), ""), &["SW0171 1:1"]);
    check("x.yaml", &model_of(&by_column("loss"), "positive: label > 15"), &[]);
    check("x.yaml", &model_of(&by_column("loss"), "positive: loss > 15"), &["SW0171 4:11"]);
    check("x.yaml", &model_of(&by_column("loss"), "positive: \"'label' = 'a'\""), &["SW0171 4:11"]);
    check("x.yaml", &model_of(&by_column("los"), ""), &["SW0135 10:54"]);
    let boolean = "    properties:\n      - {name: payment_id, logicalType: string}\n      - {name: lost, logicalType: boolean}\n";
    let mut files = base_with("x.odcs.yaml", &contract(&format!("  - name: more\n{boolean}")));
    let text = model_of("label: {from: more, join: payment_id, column: lost}", "");
    files.push(("x.yaml".into(), text));
    parse_sources(&files, LoadOptions::default()).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn models_in_hindsight_are_not_retrained() {
    let label = "label: {from: chargebacks, join: payment_id, present: true, absent: false, final_after: 45d}";
    let in_hindsight = format!("{label}\nknown: ignore");
    check("x.yaml", &model_of(&in_hindsight, ""), &[]);
    check("x.yaml", &model_of(&in_hindsight, "retrain: {}"), &["SW0176 4:1"]);
    check("x.yaml", &model_of(&format!("{label}\nknown: in_time"), "retrain: {}"), &[]);
    check("x.yaml", &set("features: [card@1]\nknown: later"), &["SW0125 5:8"]);
}

#[test]
fn features_of_several_views_are_named_in_full() {
    let other = format!("---\n{}", view("{n_1h: {count: '*', window: 1h}}"));
    let two = |rest: &str| {
        let label = "label: {from: chargebacks, join: payment_id, present: true, absent: false, final_after: 45d}";
        model_of(label, rest).replace("[card@1]", "[card@1, v@1]") + &other
    };
    check("x.yaml", &two("inputs: [card__n_1h, v__n_1h, sum_24h]"), &[]);
    check("x.yaml", &two("inputs: [n_1h]"), &["SW0172 4:10"]);
    check("x.yaml", &two("ready_when: {by: [n_1h]}"), &["SW0172 4:19"]);
}

#[test]
fn monitors() {
    let monitor = |rest: &str| format!("kind: monitor\nname: m\n{rest}\n");
    check("x.yaml", &monitor("dataset: chargebacks\nby: [loss]"), &[]);
    check("x.yaml", &monitor("dataset: chargeback"), &["SW0134 3:10"]);
    check("x.yaml", &monitor("dataset: chargebacks\nby: [los, loss, loss]"), &["SW0135 4:6", "SW0129 4:17"]);
    check("x.yaml", &monitor("dataset: chargebacks\nquarantine_share: 1.5"), &["SW0125 4:19"]);
    // The sound project monitors payments; what comes later in the order of files is reported.
    check("x.yaml", &monitor("dataset: payments"), &["SW0129 3:10"]);
}

#[test]
fn corrections() {
    let correction = |rest: &str| {
        format!("kind: correction\nname: c\nsource: payments\ncolumn: amount_eur\nreason: INC-1\n{rest}\n")
    };
    check("x.yaml", &correction("divide_by: 0.5"), &[]);
    check("x.yaml", &correction("divide_by: 100").replace("amount_eur", "country"), &["SW0136 4:9"]);
    check("x.yaml", &correction("divide_by: 100").replace("amount_eur", "amount"), &["SW0135 4:9"]);
    check("x.yaml", &correction("divide_by: 100").replace("source: payments", "source: payment"), &["SW0178 3:9"]);
    for zero in ["0", "0.0", "-0.0"] {
        check("x.yaml", &correction(&format!("divide_by: {zero}")), &["SW0179 6:12"]);
    }
    check("x.yaml", &correction("divide_by: .inf"), &["SW0125 6:12"]);
    check("x.yaml", &correction(""), &["SW0124 1:1"]);
    check("x.yaml", &correction("divide_by: 100\nonly: {}"), &["SW0179 7:7"]);
    check("x.yaml", &correction("divide_by: 100\nonly: {country: SE, card_id: 1}"), &["SW0179 7:7"]);
    check("x.yaml", &correction("divide_by: 100\nonly: {shop: SE}"), &["SW0135 7:8"]);
    check("x.yaml", &correction("divide_by: 100\nfrom: 2014-03-01"), &["SW0107 7:7"]);
}

#[test]
fn views() {
    let view = |name: &str, sql: &str| format!("---\nkind: view\nname: {name}\nsql: {sql}\n");
    check("x.yaml", &view("v", "with p as (select 1) select * from p"), &[]);
    check("x.yaml", &view("v", "(select 1) union (select 2);"), &[]);
    check("x.yaml", &view("payments", "select 1"), &["SW0180 3:7"]);
    check("x.yaml", &view("payments__quarantine", "select 1"), &["SW0128 3:7"]);
    check("x.yaml", &view("v", "drop table payments"), &["SW0181 4:6"]);
    check("x.yaml", &view("v", "select 1; select 2"), &["SW0181 4:6"]);
    check("x.yaml", &view("v", "select ';'"), &[]);
    check("x.yaml", &view("v", "select * from v"), &["SW0182 3:7"]);
    check("x.yaml", &(view("a", "select * from b") + &view("b", "select * from a, payments")), &["SW0182 3:7"]);
    check("x.yaml", "kind: view\nname: v\nfile: maps/none.sql\n", &["SW0132 3:7"]);
    check("x.yaml", "kind: view\nname: v\n", &["SW0141 1:1"]);
}

#[test]
fn policies() {
    check("policies/more.cedar", "permit (principal, action, resource);", &[]);
    check("more.cedar", "", &["SW0183 1:1"]);
    check("policies/team/more.cedar", "", &["SW0183 1:1"]);
    check("policies/large.cedar", &"// 456789\n".repeat(27_000), &["SW0183 1:1"]);
    let mut files = base();
    files.extend((0..63).map(|n| (PathBuf::from(format!("policies/p{n}.cedar")), String::new())));
    assert_eq!(parse_sources(&files, LoadOptions::default()).unwrap().project.policies.len(), 64);
    files.push(("policies/z.cedar".into(), String::new()));
    let found = parse_sources(&files, LoadOptions::default()).unwrap_err();
    assert_eq!(
        found.iter().map(|d| (d.code.as_ref(), d.file.as_path())).collect::<Vec<_>>(),
        [("SW0183", Path::new("policies/z.cedar"))]
    );
}

#[test]
fn transforms_cannot_need_each_other() {
    let transform =
        |name: &str, sql: &str, to: &str| format!("---\nkind: transform\nname: {name}\nsql: {sql}\nto: {to}\n");
    let chain = transform("a", "select * from payments", "chargebacks");
    check("x.yaml", &chain, &["SW1907 5:5"]);
    let itself = transform("a", "select * from payments", "payments");
    check("x.yaml", &itself, &["SW0140 3:7", "SW1907 5:5"]);
    let ring = transform("a", "select * from refunds", "chargebacks")
        + &transform("b", "select * from chargebacks, x", "payments");
    // The sound project makes refunds of payments.
    check("x.yaml", &ring, &["SW0140 22:7", "SW1907 5:5", "SW1907 10:5"]);
}

#[test]
fn a_derived_dataset_has_one_maker_and_a_changelog_no_features() {
    let transform =
        |name: &str, rest: &str| format!("---\nkind: transform\nname: {name}\nsql: select * from payments\n{rest}\n");
    // The sound project makes refunds of payments.
    check("x.yaml", &transform("a", "to: refunds"), &["SW1907 5:5"]);
    check("x.yaml", &transform("a", "to: chargebacks\nhistory: true"), &["SW1907 5:5", "SW1908 6:1"]);
    check("x.yaml", &transform("a", "to: chargebacks\navailable_at: nothing"), &["SW1907 5:5", "SW0135 6:15"]);
    let columns = "    properties:\n      - {name: a, logicalType: string, primaryKey: true}\n      - {name: at, logicalType: timestamp}\n      - {name: op, logicalType: string}\n    customProperties: [{property: seawall.changelog, value: op}]\n";
    let mut files = base();
    files.push(("log.odcs.yaml".into(), contract(&format!("  - name: log\n{columns}"))));
    let readers = "kind: feature_view\nname: v\nentity: a\nfrom: log\ntime: at\nfeatures: {n: {count: \"*\", window: 1h}}\n---\nkind: training_set\nname: s\nrows: {from: log, at: at}\nlabel: {from: log, join: a, column: op}\nfeatures: []\n";
    files.push(("x.yaml".into(), readers.into()));
    let found = parse_sources(&files, LoadOptions::default()).unwrap_err();
    let of_changelogs = found.iter().filter(|found| found.code == "SW1906").count();
    assert_eq!(of_changelogs, 3, "one for the view, the decisions and the label: {found}");
}

#[test]
fn contracts() {
    let column = "    properties: [{name: a, logicalType: string}]\n";
    check("x.odcs.yaml", &contract(&format!("  - name: more\n{column}")), &[]);
    check("x.odcs.yaml", &contract(&format!("  - name: payments\n{column}")), &["SW0129 6:11"]);
    check("x.odcs.yaml", &contract(&format!("  - name: More Rows\n{column}")), &["SW0202 6:11"]);
    let second = contract(&format!("  - name: more\n{column}")).replace("id: more", "id: payments");
    check("x.odcs.yaml", &second, &["SW0129 3:5"]);
    let extended = contract(&format!("  - name: more\n    zzzzzz: 1\n{column}"));
    check("x.odcs.yaml", &extended, &["SW0123 7:5"]);
    // One problem of the shape and one of the kernel, in one go.
    let both = contract(
        "  - name: more\n    propertie: 1\n    properties:\n      - {name: a, logicalType: string, logicalTypeOptions: {pattern: \"(\"}}\n",
    );
    let found = problems("x.odcs.yaml", &both);
    assert!(found[0] == "SW0123 7:5" && found[1].starts_with("SW02") && found.len() == 2, "{found:?}");
}

#[test]
fn one_mistake_does_not_make_its_references_dangle() {
    let files = base_with("contracts/payments.odcs.yaml", "kind: DataContract\nid: [payments\n");
    let found = parse_sources(&files, LoadOptions::default()).unwrap_err();
    assert_eq!(found.iter().map(|d| d.code.as_ref()).collect::<Vec<_>>(), ["SW0120"], "{found}");
    let (_, views) = base().into_iter().find(|(path, _)| path == Path::new("views.yaml")).unwrap();
    check(
        "views.yaml",
        &views.replace("{sum: amount_eur, window: 24h}", "{sun: amount_eur, window: 24h}"),
        &["SW0123 8:13"],
    );
    check("views.yaml", &views.replace("kind: live_view", "kind: [live_view"), &["SW0120 15:5"]);
}

#[test]
fn codes_are_explained_with_their_heading() {
    let text = explain("sw0123").unwrap();
    assert!(text.starts_with("## SW0123: "), "{text}");
    assert!(!text.contains("## SW0124"), "{text}");
    assert_eq!(explain("SW9999"), None);
    assert_eq!(explain(""), None);
}

/// Every code in the sources of the workspace has a section, and every section is about a code in use.
#[test]
fn the_register_of_codes_is_complete() {
    let crates = fs::canonicalize(golden_folder()).unwrap().ancestors().nth(4).unwrap().to_owned();
    assert!(crates.ends_with("crates"), "{}", crates.display());
    let mut used = BTreeSet::new();
    let mut folders = vec![crates];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
                used.extend(codes_in(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    let explained: BTreeSet<String> = codes().into_iter().map(str::to_owned).collect();
    let missing: Vec<&String> = used.difference(&explained).collect();
    let unused: Vec<&String> = explained.difference(&used).collect();
    assert!(missing.is_empty(), "codes without a section in docs/errors: {missing:?}");
    assert!(unused.is_empty(), "sections in docs/errors about codes that nothing uses: {unused:?}");
    assert_eq!(codes().len(), explained.len(), "a code has two sections");
}

/// Every `"SWdddd"` in a source text.
fn codes_in(text: &str) -> Vec<String> {
    let is_code = |code: &&str| code.len() == 6 && code[2..].bytes().all(|b| b.is_ascii_digit());
    text.split('"').filter(|part| part.starts_with("SW")).filter(is_code).map(str::to_owned).collect()
}

#[test]
fn recovery_promises_what_it_can_keep() {
    let recovery = |rest: &str| format!("kind: recovery\nname: shop\n{rest}\n");
    let check = |rest: &str, expected: &[&str]| check("keep.yaml", &recovery(rest), expected);
    check("rpo: 15m\nbackup: {to: /b, every: 15m}", &[]);
    check("rpo: 15m\nbackup: {to: /b, every: 16m}", &["SW1441 3:6"]);
    check("rpo: 15m", &["SW1442 3:1"]);
    check("rto: 15m", &[]);
    check("backup: {every: 16m}", &["SW0124 3:9"]);
    check("scrub: {bytes_per_second: 1MiB, every: 1d}", &[]);
    super::super::parse_sources(
        &base_with("more.yaml", &recovery("rto: 1h").replace("shop", "other")),
        LoadOptions::default(),
    )
    .expect_err("recovery is declared twice");
}

#[test]
fn lifecycle_gives_up_what_it_can() {
    let lifecycle = |rest: &str| format!("kind: lifecycle\nname: shop\n{rest}\n");
    let check = |rest: &str, expected: &[&str]| check("lifecycle.yaml", &lifecycle(rest), expected);
    check("raw: {keep_versions: 7d, quarantine: 90d}", &[]);
    check("every: 6h\nfeatures: {keep_versions: 30d}\nmodels: {unused: 90d, move_to: ../archive}", &[]);
    check("derived: {keep_versions: 31d}", &["SW1621 3:26"]);
    check("models: {move_to: /archive}", &["SW1622 3:10"]);
    check("derived: {quarantine: 1d}", &["SW0123 3:11"]);
    super::super::parse_sources(
        &base_with("more.yaml", &lifecycle("every: 1d").replace("shop", "other")),
        LoadOptions::default(),
    )
    .expect_err("the lifecycle is declared twice");
}

#[test]
fn rules_of_a_training_set_speak_of_its_columns() {
    let set = |rules: &str| {
        format!(
            "kind: training_set\nname: second\nrows: {{from: payments, at: paid_at}}\nfeatures: [card@1]\ncontract:\n  {rules}\n"
        )
    };
    let number = "logicalType: number, logicalTypeOptions: {maximum: 9}";
    check(
        "x.yaml",
        &set(&format!("properties: [{{name: card__n_1h, {number}}}, {{name: payment_id, logicalType: string}}]")),
        &[],
    );
    check("x.yaml", &set(&format!("properties: [{{name: card__n_2h, {number}}}]")), &["SW1510 6:23"]);
    check("x.yaml", &set(&format!("properties: [{{name: label, {number}}}]")), &["SW1510 6:23"]);
    check("x.yaml", &set("propertys: []"), &["SW0123 6:3"]);
}
